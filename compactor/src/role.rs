//! Puts the compactor together.

use std::sync::Arc;

use axum::Router;
use service::Context;
use session::Session;
use tonic::service::Routes;

use crate::metrics::CompactorMetrics;
use crate::retention::Retention;
use crate::{CompactorConfig, CompactorError};

/// One compactor.
pub struct Compactor {
    config: CompactorConfig,
    context: Context,
    session: Arc<Session>,
    metrics: CompactorMetrics,
}

impl Compactor {
    /// Checks the configuration and registers the metrics. The session need not have joined yet.
    ///
    /// # Errors
    /// [`CompactorError`] when a duration cannot be meant.
    pub async fn build(
        config: CompactorConfig,
        context: &Context,
        session: Arc<Session>,
    ) -> Result<Self, CompactorError> {
        config.check()?;
        let metrics = CompactorMetrics::default();
        context.metrics().register(|registry| metrics.register(registry));
        Ok(Self { config, context: context.clone(), session, metrics })
    }

    /// Returns its own HTTP routes: none.
    pub fn http_routes(&self) -> Router {
        Router::new()
    }

    /// Returns its gRPC services: none, nobody asks a compactor anything.
    pub fn grpc_routes(&self) -> Option<Routes> {
        None
    }

    /// Spawns the worker.
    pub fn start(&self) {
        let retention = Retention {
            config: self.config.clone(),
            session: Arc::clone(&self.session),
            metrics: self.metrics.clone(),
        };
        self.context.spawn("compactor retention", retention.run(self.context.shutdown()));
    }
}
