//! Puts the querier together.
//!
//! 1. [`Querier::build`] checks the limits and registers metrics; nothing runs yet.
//! 2. The process merges [`Querier::http_routes`] and [`Querier::grpc_routes`] into its servers.
//! 3. [`Querier::start`] waits for the control state; with it the process becomes ready.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};

use api::{NoRules, Queries, QueryApi, QueryPorts};
use axum::Router;
use proto::query::query_server::QueryServer;
use service::{Context, ReadyGate};
use session::Session;
use tonic::service::Routes;

use crate::config::AdminApi;
use crate::deletes::Deletes;
use crate::fleet::Fleet;
use crate::instant::InstantService;
use crate::metrics::QuerierMetrics;
use crate::overview::Overview;
use crate::owners::Owners;
use crate::targets::Scrapers;
use crate::view::Views;
use crate::{QuerierConfig, QuerierError};

/// One querier.
pub struct Querier {
    config: QuerierConfig,
    context: Context,
    session: Arc<Session>,
    queries: Arc<Queries>,
    deletes: Arc<Deletes>,
}

impl Querier {
    /// Makes a querier over the cluster that the session knows.
    ///
    /// # Errors
    /// [`QuerierError::ZeroLimit`] when a limit lets no query through.
    pub async fn build(
        config: QuerierConfig,
        context: &Context,
        session: Arc<Session>,
    ) -> Result<Self, QuerierError> {
        let limit = config.engine.config();
        let limits = [
            ("query.max-concurrency", config.queries.concurrency_max as u64),
            ("query.max-queued", config.queries.queued_max as u64),
            ("query.max-series", config.series_max as u64),
            ("query.max-memory-bytes", limit.memory_bytes_max),
            ("query.max-total-memory-bytes", limit.memory_bytes_total_max),
            ("query.max-samples", limit.samples_max),
        ];
        if let Some((name, _)) = limits.into_iter().find(|(_, limit)| *limit == 0) {
            return Err(QuerierError::ZeroLimit { name });
        }
        let concurrency_max = config.queries.concurrency_max;
        let engine = Arc::new(config.engine.clone());
        let metrics = context
            .metrics()
            .register(|registry| QuerierMetrics::register(registry, concurrency_max, &engine));
        let fleet = Arc::new(Fleet::new(
            Arc::clone(&session),
            metrics.clone(),
            Owners::new(config.gateway_replicas),
            config.leader_patience,
        ));
        let queries = Queries::new(QueryPorts {
            engine,
            views: Arc::new(Views { fleet: Arc::clone(&fleet), series_max: config.series_max }),
            observer: Arc::new(metrics),
            limits: config.queries.clone(),
            now_ms: wall_clock_ms,
        });
        let deletes = Arc::new(Deletes { fleet, now_ms: wall_clock_ms, orders: AtomicU64::default() });
        Ok(Self { queries: Arc::new(queries), context: context.clone(), config, session, deletes })
    }

    /// Returns Prometheus's query API, and the page.
    pub fn http_routes(&self) -> Router {
        api::query_routes(QueryApi {
            queries: Arc::clone(&self.queries),
            targets: Arc::new(Scrapers { session: Arc::clone(&self.session) }),
            rules: Arc::new(NoRules),
            cluster: Arc::new(Overview { session: Arc::clone(&self.session) }),
            status: self.config.status.clone(),
            admin: (self.config.admin_api == AdminApi::On).then(|| Arc::clone(&self.deletes) as _),
        })
        .merge(ui::routes())
    }

    /// Returns the service by which other roles query.
    pub fn grpc_routes(&self) -> Option<Routes> {
        let service =
            InstantService { queries: Arc::clone(&self.queries), session: Arc::clone(&self.session) };
        Some(Routes::new(QueryServer::new(service)))
    }

    /// Becomes ready once it knows where the shards are.
    pub fn start(&self) {
        let gate = self.context.gate("querier");
        gate.close("waiting for the control state");
        let session = Arc::clone(&self.session);
        let shutdown = self.context.shutdown();
        self.context.spawn("querier readiness", async move {
            tokio::select! {
                () = know_shards(&session, &gate) => {}
                () = shutdown.cancelled() => {}
            }
            Ok::<(), Infallible>(())
        });
    }
}

async fn know_shards(session: &Session, gate: &ReadyGate) {
    let mut states = session.watch();
    // The sender lives as long as the session, which is borrowed here.
    if states.wait_for(|state| !state.shard_map.shards.is_empty()).await.is_ok() {
        gate.open();
    }
}

fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 reads as 1970; the queries then simply find nothing.
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
