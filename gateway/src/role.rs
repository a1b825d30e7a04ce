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
use crate::cache::{CacheDir, CachedReader, PageMemory};
use crate::metered::Metered;
use crate::metrics::{CacheMetrics, GatewayMetrics};
use crate::prefetch::Prefetch;
use crate::quarantine::{self, Quarantine};
use crate::store_service::StoreService;
use crate::{GatewayConfig, GatewayError};

/// One gateway.
pub struct Gateway {
    context: Context,
    service: StoreService,
    name: String,
    replicas: usize,
}

impl Gateway {
    /// Opens the cache. The session need not have joined yet. `engine` evaluates parts of queries over
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
        let name = session.config().name.clone();
        Self::over(config, context, catalogue, name, objects, engine).await
    }

    async fn over(
        config: GatewayConfig,
        context: &Context,
        catalogue: watch::Receiver<Arc<ControlState>>,
        name: String,
        objects: Arc<dyn ObjectStore>,
        engine: Engine,
    ) -> Result<Self, GatewayError> {
        for (key, limit) in
            [("selects_in_flight_max", config.selects_in_flight_max), ("replicas", config.replicas)]
        {
            if limit == 0 {
                return Err(GatewayError::ZeroLimit { key });
            }
        }
        let metrics = GatewayMetrics::default();
        context.metrics().register(|registry| metrics.register(registry, &config));
        let cache = open_cache(&config, metrics.cache.clone()).await?;
        let store = Metered::new(ObjectStoreReader::new(objects), metrics.store.clone());
        let pages = PageMemory::new(config.cache_memory_bytes);
        let reader = CachedReader::new(Arc::new(store), pages, cache, metrics.cache.clone());
        let quarantine = Quarantine::new(catalogue.clone(), metrics.damage.clone());
        let open_bytes_max = config.open_blocks_bytes_max;
        let blocks = Blocks::new(Arc::new(reader), open_bytes_max, quarantine, metrics.blocks.clone());
        let service = StoreService {
            catalogue,
            blocks: Arc::new(blocks),
            deletes: Arc::default(),
            selects: Arc::new(Semaphore::new(config.selects_in_flight_max.min(Semaphore::MAX_PERMITS))),
            select_bytes_max: config.select_bytes_max,
            select_series_max: config.select_series_max,
            metrics,
            engine,
        };
        Ok(Self { context: context.clone(), service, name, replicas: config.replicas })
    }

    /// Returns the gRPC service.
    pub fn grpc_routes(&self) -> Routes {
        Routes::new(StoreServer::new(self.service.clone()).max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Returns no routes: a gateway has no HTTP API of its own.
    pub fn http_routes(&self) -> Router {
        Router::new()
    }

    /// Spawns the workers: one takes over what an earlier run cached, and brings blocks here ahead of queries; one looks
    /// again at what is damaged.
    pub fn start(&self) {
        let prefetch = Prefetch {
            catalogue: self.service.catalogue.clone(),
            blocks: Arc::clone(&self.service.blocks),
            name: self.name.clone(),
            replicas: self.replicas,
        };
        self.context.spawn("block prefetch", prefetch.run(self.context.shutdown()));
        let recheck = quarantine::run(Arc::clone(&self.service.blocks), self.context.shutdown());
        self.context.spawn("block quarantine", recheck);
    }
}

async fn open_cache(
    config: &GatewayConfig,
    metrics: CacheMetrics,
) -> Result<Option<Arc<CacheDir>>, GatewayError> {
    let Some(dir) = config.cache_dir.clone() else { return Ok(None) };
    let (path, size) = (dir.clone(), config.cache_size_bytes);
    let failures = metrics.write_failures.clone();
    let opened = tokio::task::spawn_blocking(move || CacheDir::open(&path, size, metrics)).await;
    match opened.map_err(GatewayError::Cache)? {
        Ok(cache) => Ok(Some(Arc::new(cache))),
        Err(error) => {
            failures.inc();
            tracing::warn!(path = %dir.display(), %error, "the cache directory cannot be used, blocks are read without it");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests;
