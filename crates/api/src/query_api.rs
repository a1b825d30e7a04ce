//! What is served over which ports: the routes and the limits.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use storage::Queryable;

use crate::admin::{self, Admin};
use crate::cluster::{self, ClusterSource};
use crate::endpoint::{admin_route, cross_origin, post_route, route};
use crate::queries::Queries;
use crate::rules::RulesSource;
use crate::status::ProcessStatus;
use crate::targets::TargetsSource;
use crate::{
    active, exemplars, explain, features, labels, query, read, rules, status, syntax, targets, tsdb,
};

/// Whether a result may lack what does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// What does not answer is an error that names it.
    Strict,
    /// What does not answer is a warning that names it.
    Partial,
}

/// Gives each query the view that it reads from.
pub trait ViewSource: Send + Sync {
    /// Returns a view of all data as of now. Cheap: nothing is asked of anybody yet.
    fn view(&self, completeness: Completeness) -> Arc<dyn Queryable>;
}

/// What one process's queries may take.
#[derive(Clone, Debug)]
pub struct QueryLimits {
    /// How many queries run at once, and as many label queries beside them; more wait, up to their timeout.
    pub concurrency_max: usize,
    /// How many queries of either kind may wait for their turn.
    pub queued_max: usize,
    /// The most steps of a range query.
    pub points_max: i64,
}

impl Default for QueryLimits {
    /// Prometheus's: 20 at once, and 11,000 points; as many may wait as Prometheus takes connections.
    fn default() -> Self {
        Self { concurrency_max: 20, queued_max: 512, points_max: 11_000 }
    }
}

/// How one query went.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueryReport {
    /// How long it waited for its turn.
    pub queued: Duration,
    /// How long it ran after that.
    pub evaluated: Duration,
    /// How many samples it read; 0 when it failed.
    pub samples_read: u64,
    /// Whether it has a result; neither a failed query nor one whose caller went away does.
    pub succeeded: bool,
}

/// Is told of every query, for metrics.
pub trait QueryObserver: Send + Sync {
    /// A query came.
    fn started(&self);
    /// A query that came is gone.
    fn finished(&self, report: &QueryReport);
}

/// What the query routes are served over.
pub struct QueryApi {
    /// Runs the queries.
    pub queries: Arc<Queries>,
    /// Where the targets are.
    pub targets: Arc<dyn TargetsSource>,
    /// Where the rules are.
    pub rules: Arc<dyn RulesSource>,
    /// Where the cluster is looked at.
    pub cluster: Arc<dyn ClusterSource>,
    /// What the process says of itself.
    pub status: ProcessStatus,
    /// Changes stored data; `None` when that is switched off.
    pub admin: Option<Arc<dyn Admin>>,
}

/// Returns the routes of Prometheus's query API, `/api/v1/...`, each for GET and POST; those that change something for POST,
/// and below `admin` for PUT too.
pub fn query_routes(api: QueryApi) -> Router {
    let served = Arc::new(api);
    Router::new()
        .route("/api/v1/query", route(&served, query::instant))
        .route("/api/v1/query_range", route(&served, query::range))
        .route("/api/v1/query_explain", route(&served, explain::explain))
        .route("/api/v1/query_exemplars", route(&served, exemplars::exemplars))
        .route("/api/v1/format_query", route(&served, syntax::format_query))
        .route("/api/v1/parse_query", route(&served, syntax::parse_query))
        .route("/api/v1/labels", route(&served, labels::names))
        .route("/api/v1/label/{name}/values", route(&served, labels::values))
        .route("/api/v1/series", route(&served, labels::series))
        .route("/api/v1/metadata", route(&served, labels::metadata))
        .route("/api/v1/targets", route(&served, targets::targets))
        .route("/api/v1/targets/metadata", route(&served, targets::metadata))
        .route("/api/v1/rules", route(&served, rules::rules))
        .route("/api/v1/alerts", route(&served, rules::alerts))
        .route("/api/v1/features", route(&served, features::features))
        .route("/api/v1/status/buildinfo", route(&served, status::build_info))
        .route("/api/v1/status/runtimeinfo", route(&served, status::runtime_info))
        .route("/api/v1/status/flags", route(&served, status::flags))
        .route("/api/v1/status/config", route(&served, status::config))
        .route("/api/v1/status/tsdb", route(&served, tsdb::tsdb))
        .route("/api/v1/status/cluster", route(&served, cluster::cluster))
        .route("/api/v1/status/blocks", route(&served, cluster::blocks))
        .route("/api/v1/status/active_queries", route(&served, active::list))
        .route("/api/v1/status/active_queries/{id}/cancel", post_route(&served, active::cancel))
        .route("/api/v1/admin/tsdb/delete_series", admin_route(&served, admin::delete_series))
        .route("/api/v1/admin/tsdb/clean_tombstones", admin_route(&served, admin::clean_tombstones))
        .route("/api/v1/admin/tsdb/snapshot", admin_route(&served, admin::snapshot))
        .route("/api/v1/read", read::route(&served))
        .layer(axum::middleware::from_fn(cross_origin))
}
