//! What is served over which ports: the routes, the limits, and how a query gets its view.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use promql::{Engine, QueryResult};
use storage::Queryable;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::endpoint::{cross_origin, route};
use crate::rules::RulesSource;
use crate::status::ProcessStatus;
use crate::targets::TargetsSource;
use crate::{ApiError, labels, query, rules, status, targets};

/// How often a query is started with a fresh view when its view became too old while it ran.
const VIEWS_MAX: usize = 3;

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
    /// How many queries run at once, and as many label queries beside them; more wait.
    pub concurrency_max: usize,
    /// How long a query of either kind may wait for its turn.
    pub queue_timeout: Duration,
    /// The most steps of a range query.
    pub points_max: i64,
}

impl Default for QueryLimits {
    /// Prometheus's: 20 at once, 2 minutes, 11,000 points.
    fn default() -> Self {
        Self { concurrency_max: 20, queue_timeout: Duration::from_secs(120), points_max: 11_000 }
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
    /// Evaluates PromQL.
    pub engine: Arc<Engine>,
    /// Where the data is.
    pub views: Arc<dyn ViewSource>,
    /// Where the targets are.
    pub targets: Arc<dyn TargetsSource>,
    /// Where the rules are.
    pub rules: Arc<dyn RulesSource>,
    /// Who counts queries.
    pub observer: Arc<dyn QueryObserver>,
    /// What the process says of itself.
    pub status: ProcessStatus,
    /// What queries may take.
    pub limits: QueryLimits,
    /// The wall clock, ms since the epoch.
    pub now_ms: fn() -> i64,
}

/// Runs a read with a view, and again with a fresh one when the view became too old meanwhile.
///
/// # Errors
/// Those of `run`; kind `Conflict` when that happens time and again.
pub async fn read_fresh<T, F: Future<Output = Result<T, ApiError>>>(
    views: &dyn ViewSource,
    completeness: Completeness,
    run: impl Fn(Arc<dyn Queryable>) -> F,
) -> Result<T, ApiError> {
    let mut count = 1;
    loop {
        match run(views.view(completeness)).await {
            Err(error) if error.is_conflict() && count < VIEWS_MAX => count += 1,
            result => return result,
        }
    }
}

/// The ports with the places for running queries.
pub(crate) struct Served {
    pub(crate) api: QueryApi,
    slots: Semaphore,
    /// Apart from `slots`, so that a dashboard's slow queries do not block the editor's completion.
    label_slots: Semaphore,
}

/// Tells the observer that a query is gone, however it went.
struct Reporting<'a> {
    observer: &'a dyn QueryObserver,
    report: QueryReport,
    began: Instant,
}

impl Drop for Reporting<'_> {
    fn drop(&mut self) {
        self.report.evaluated = self.began.elapsed().saturating_sub(self.report.queued);
        self.observer.finished(&self.report);
    }
}

impl Served {
    /// Runs a query in its turn.
    pub(crate) async fn query<F: Future<Output = Result<QueryResult, ApiError>>>(
        &self,
        completeness: Completeness,
        run: impl Fn(Arc<dyn Queryable>) -> F,
    ) -> Result<(QueryResult, QueryReport), ApiError> {
        let observer = self.api.observer.as_ref();
        observer.started();
        let mut reporting = Reporting { observer, report: QueryReport::default(), began: Instant::now() };
        let slot = self.turn(&self.slots).await?;
        reporting.report.queued = reporting.began.elapsed();
        let result = read_fresh(self.api.views.as_ref(), completeness, run).await?;
        drop(slot);
        reporting.report.succeeded = true;
        reporting.report.samples_read = result.stats.samples_read;
        let evaluated = reporting.began.elapsed().saturating_sub(reporting.report.queued);
        Ok((result, QueryReport { evaluated, ..reporting.report }))
    }

    async fn turn<'a>(&self, slots: &'a Semaphore) -> Result<SemaphorePermit<'a>, ApiError> {
        let waited = tokio::time::timeout(self.api.limits.queue_timeout, slots.acquire()).await;
        Ok(waited.map_err(|_| ApiError::Queue)?.expect("the semaphore is never closed"))
    }

    /// Runs a label query in its turn. See [`read_fresh`].
    pub(crate) async fn read<T, F: Future<Output = Result<T, ApiError>>>(
        &self,
        completeness: Completeness,
        run: impl Fn(Arc<dyn Queryable>) -> F,
    ) -> Result<T, ApiError> {
        let _slot = self.turn(&self.label_slots).await?;
        read_fresh(self.api.views.as_ref(), completeness, run).await
    }
}

/// Returns the routes of Prometheus's query API, `/api/v1/...`, each for GET and POST.
pub fn query_routes(api: QueryApi) -> Router {
    let places = || Semaphore::new(api.limits.concurrency_max);
    let (slots, label_slots) = (places(), places());
    let served = Arc::new(Served { api, slots, label_slots });
    Router::new()
        .route("/api/v1/query", route(&served, query::instant))
        .route("/api/v1/query_range", route(&served, query::range))
        .route("/api/v1/query_exemplars", route(&served, query::exemplars))
        .route("/api/v1/labels", route(&served, labels::names))
        .route("/api/v1/label/{name}/values", route(&served, labels::values))
        .route("/api/v1/series", route(&served, labels::series))
        .route("/api/v1/metadata", route(&served, labels::metadata))
        .route("/api/v1/targets", route(&served, targets::targets))
        .route("/api/v1/rules", route(&served, rules::rules))
        .route("/api/v1/alerts", route(&served, rules::alerts))
        .route("/api/v1/status/buildinfo", route(&served, status::build_info))
        .route("/api/v1/status/runtimeinfo", route(&served, status::runtime_info))
        .route("/api/v1/status/flags", route(&served, status::flags))
        .route("/api/v1/status/config", route(&served, status::config))
        .layer(axum::middleware::from_fn(cross_origin))
}
