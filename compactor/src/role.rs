//! Puts the compactor together.

use std::sync::Arc;

use axum::Router;
use service::Context;
use session::Session;
use tonic::service::Routes;

use crate::deletes::Assessor;
use crate::merge::Merger;
use crate::metrics::{CompactorMetrics, MergeMetrics};
use crate::repair::Repair;
use crate::retention::Retention;
use crate::{CompactorConfig, CompactorError};

/// One compactor.
pub struct Compactor {
    config: CompactorConfig,
    context: Context,
    session: Arc<Session>,
    metrics: CompactorMetrics,
    merge_metrics: MergeMetrics,
}

impl Compactor {
    /// Checks the configuration and registers the metrics. The session need not have joined yet.
    ///
    /// # Errors
    /// [`CompactorError`] when a duration cannot be meant, or the directory for merging cannot be made.
    pub async fn build(
        config: CompactorConfig,
        context: &Context,
        session: Arc<Session>,
    ) -> Result<Self, CompactorError> {
        config.check()?;
        let metrics = CompactorMetrics::default();
        let merge_metrics = MergeMetrics::default();
        context.metrics().register(|registry| {
            metrics.register(registry);
            merge_metrics.register(registry);
        });
        Ok(Self { config, context: context.clone(), session, metrics, merge_metrics })
    }

    /// Returns its own HTTP routes: none.
    pub fn http_routes(&self) -> Router {
        Router::new()
    }

    /// Returns its gRPC services: none, nobody asks a compactor anything.
    pub fn grpc_routes(&self) -> Option<Routes> {
        None
    }

    /// Spawns the workers.
    pub fn start(&self) {
        let retention = Retention {
            config: self.config.clone(),
            session: Arc::clone(&self.session),
            metrics: self.metrics.clone(),
        };
        self.context.spawn("compactor retention", retention.run(self.context.shutdown()));
        let assessor = Assessor { config: self.config.clone(), session: Arc::clone(&self.session) };
        self.context.spawn("compactor deletes", assessor.run(self.context.shutdown()));
        let repair = Repair {
            config: self.config.clone(),
            session: Arc::clone(&self.session),
            metrics: self.merge_metrics.clone(),
        };
        self.context.spawn("compactor repair", repair.run(self.context.shutdown()));
        let merger = Merger {
            config: self.config.clone(),
            session: Arc::clone(&self.session),
            metrics: self.merge_metrics.clone(),
        };
        self.context.spawn("compactor merge", merger.run(self.context.shutdown()));
    }
}
