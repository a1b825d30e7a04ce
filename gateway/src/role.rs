//! Puts the gateway together.

use std::sync::Arc;

use axum::Router;
use block::ObjectStoreReader;
use cluster::ControlState;
use object_store::ObjectStore;
use promql::Engine;
use proto::connect::MESSAGE_BYTES_MAX;
use proto::store::store_server::StoreServer;
use service::Context;
use session::Session;
use tokio::sync::{Semaphore, watch};
use tonic::service::Routes;

use crate::blocks::Blocks;
use crate::cache::{CacheDir, CachedReader};
use crate::metered::Metered;
use crate::metrics::{CacheMetrics, GatewayMetrics};
use crate::prefetch::{OwnNode, Prefetch};
use crate::store_service::StoreService;
use crate::{GatewayConfig, GatewayError};

/// One gateway.
pub struct Gateway {
    context: Context,
    service: StoreService,
    own_node: OwnNode,
}

impl Gateway {
    /// Takes over what an earlier run cached. The session need not have joined yet. `engine` evaluates parts of queries over
    /// blocks, within its own limits.
    ///
    /// A cache directory that cannot be used is logged, and the gateway works without it.
    ///
    /// # Errors
    /// [`GatewayError`] when a limit is zero.
    pub async fn build(
        config: GatewayConfig,
        context: &Context,
        session: Arc<Session>,
        objects: Arc<dyn ObjectStore>,
        engine: Engine,
    ) -> Result<Self, GatewayError> {
        let catalogue = session.watch();
        let own_node = Arc::new(move || session.membership().map(|membership| membership.node));
        Self::over(config, context, catalogue, own_node, objects, engine).await
    }

    async fn over(
        config: GatewayConfig,
        context: &Context,
        catalogue: watch::Receiver<Arc<ControlState>>,
        own_node: OwnNode,
        objects: Arc<dyn ObjectStore>,
        engine: Engine,
    ) -> Result<Self, GatewayError> {
        if config.selects_in_flight_max == 0 {
            return Err(GatewayError::ZeroLimit { key: "selects_in_flight_max" });
        }
        let metrics = GatewayMetrics::default();
        context.metrics().register(|registry| metrics.register(registry, &config));
        let cache = open_cache(&config, metrics.cache.clone()).await?;
        let store = Metered { inner: ObjectStoreReader::new(objects), metrics: metrics.store.clone() };
        let reader = CachedReader::new(Arc::new(store), cache, metrics.cache.clone());
        let blocks = Blocks::new(Arc::new(reader), config.open_blocks_bytes_max, metrics.blocks.clone());
        let service = StoreService {
            catalogue,
            blocks: Arc::new(blocks),
            selects: Arc::new(Semaphore::new(config.selects_in_flight_max.min(Semaphore::MAX_PERMITS))),
            select_bytes_max: config.select_bytes_max,
            select_series_max: config.select_series_max,
            metrics,
            engine,
        };
        Ok(Self { context: context.clone(), service, own_node })
    }

    /// Returns the gRPC service.
    pub fn grpc_routes(&self) -> Routes {
        Routes::new(StoreServer::new(self.service.clone()).max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Returns no routes: a gateway has no HTTP API of its own.
    pub fn http_routes(&self) -> Router {
        Router::new()
    }

    /// Spawns the worker that opens new blocks ahead.
    pub fn start(&self) {
        let prefetch = Prefetch {
            catalogue: self.service.catalogue.clone(),
            blocks: Arc::clone(&self.service.blocks),
            own_node: Arc::clone(&self.own_node),
        };
        self.context.spawn("block prefetch", prefetch.run(self.context.shutdown()));
    }
}

async fn open_cache(config: &GatewayConfig, metrics: CacheMetrics) -> Result<Option<CacheDir>, GatewayError> {
    let Some(dir) = config.cache_dir.clone() else { return Ok(None) };
    let (path, size) = (dir.clone(), config.cache_size_bytes);
    let failures = metrics.write_failures.clone();
    let opened = tokio::task::spawn_blocking(move || CacheDir::open(&path, size, metrics)).await;
    match opened.map_err(GatewayError::CacheScan)? {
        Ok(cache) => Ok(Some(cache)),
        Err(error) => {
            failures.inc();
            tracing::warn!(path = %dir.display(), %error, "the cache directory cannot be used, blocks are read without it");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests;
