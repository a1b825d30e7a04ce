//! The queries of one process: who runs, who waits for a turn, how one is watched and stopped.
//!
//! 1. A query is entered in the list of active ones, and waits for a place among those that run. The wait counts against
//!    the query's timeout, and so many may wait and no more.
//! 2. It runs with a view of the data, and again with a fresh one when the view became too old meanwhile.
//! 3. However it ends - result, error, timeout, cancelled by id, or dropped because its caller went away - its place is
//!    free and its entry gone.
//!
//! HTTP requests and the queries of other roles take their turns here alike.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use model::time::format_duration_ms;
use parking_lot::Mutex;
use promql::{Engine, QueryControl, QueryOptions, QueryResult};
use storage::Queryable;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::ApiError;
use crate::query_api::{Completeness, QueryLimits, QueryObserver, QueryReport, ViewSource};

/// How often a query is started with a fresh view when its view became too old while it ran.
const VIEWS_MAX: usize = 3;
/// How much of a query's text the list of active queries keeps.
const TEXT_BYTES_MAX: usize = 1024;

/// A query that runs or waits for its turn.
#[derive(Clone, Debug)]
pub struct ActiveQuery {
    /// By what it is cancelled; unique in this process.
    pub id: u64,
    /// Its text, cut when it is long.
    pub text: String,
    /// When it came, ms since the epoch.
    pub started_ms: i64,
    /// How long ago that was.
    pub age: Duration,
    /// Whether it still waits for its turn.
    pub is_waiting: bool,
    /// How many samples it decoded so far.
    pub samples_read: u64,
    /// How many bytes it holds now.
    pub memory_bytes: u64,
}

struct Entry {
    text: String,
    started_ms: i64,
    began: Instant,
    is_waiting: bool,
    control: QueryControl,
}

#[derive(Default)]
struct Active {
    last_id: u64,
    by_id: BTreeMap<u64, Entry>,
}

/// So many at a time, and so many that wait.
struct Gate {
    places: Semaphore,
    queue: Semaphore,
}

/// What queries are run over.
pub struct QueryPorts {
    /// Evaluates PromQL.
    pub engine: Arc<Engine>,
    /// Where the data is.
    pub views: Arc<dyn ViewSource>,
    /// Who counts queries.
    pub observer: Arc<dyn QueryObserver>,
    /// What queries may take.
    pub limits: QueryLimits,
    /// The wall clock, ms since the epoch.
    pub now_ms: fn() -> i64,
}

/// See the module.
pub struct Queries {
    ports: QueryPorts,
    gate: Gate,
    /// Apart from `gate`, so that a dashboard's slow queries do not block the editor's completion.
    label_gate: Gate,
    active: Mutex<Active>,
}

/// Takes a query off the list and tells the observer, however it went.
struct Tracked<'a> {
    queries: &'a Queries,
    id: u64,
    began: Instant,
    report: QueryReport,
}

impl Drop for Tracked<'_> {
    fn drop(&mut self) {
        self.queries.active.lock().by_id.remove(&self.id);
        self.report.evaluated = self.began.elapsed().saturating_sub(self.report.queued);
        self.queries.ports.observer.finished(&self.report);
    }
}

impl Queries {
    /// Makes an empty list.
    pub fn new(ports: QueryPorts) -> Self {
        let gate = || Gate {
            places: Semaphore::new(ports.limits.concurrency_max),
            queue: Semaphore::new(ports.limits.queued_max),
        };
        Self { gate: gate(), label_gate: gate(), ports, active: Mutex::default() }
    }

    /// Returns what evaluates the queries.
    pub fn engine(&self) -> &Engine {
        &self.ports.engine
    }

    /// Returns the wall clock, ms since the epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        (self.ports.now_ms)()
    }

    pub(crate) fn limits(&self) -> &QueryLimits {
        &self.ports.limits
    }

    /// Runs a query in its turn. `run` is given a view and the options with what is left of the timeout. Cancel-safe:
    /// dropping the future stops the query wherever it is.
    ///
    /// # Errors
    /// Those of `run`; [`ApiError::QueueFull`] and [`ApiError::QueueTimeout`] when it gets no turn.
    pub async fn run<F: Future<Output = Result<QueryResult, ApiError>>>(
        &self,
        text: &str,
        completeness: Completeness,
        options: QueryOptions,
        run: impl Fn(Arc<dyn Queryable>, QueryOptions) -> F,
    ) -> Result<(QueryResult, QueryReport), ApiError> {
        let engine_timeout = self.engine().config().timeout;
        let timeout = options.timeout.unwrap_or(engine_timeout).min(engine_timeout);
        let control = self.engine().control(Some(timeout));
        let mut tracked = self.track(text, &control);
        let deadline = tracked.began + timeout;
        let place = tokio::select! {
            place = self.turn(&self.gate, deadline, timeout) => place?,
            error = control.stopped() => return Err(error.into()),
        };
        tracked.report.queued = tracked.began.elapsed();
        if let Some(entry) = self.active.lock().by_id.get_mut(&tracked.id) {
            entry.is_waiting = false;
        }
        let run = |data| {
            let left = deadline.saturating_duration_since(Instant::now());
            run(data, QueryOptions { timeout: Some(left), control: Some(control.clone()), ..options.clone() })
        };
        let result = self.read_fresh(completeness, run).await?;
        drop(place);
        tracked.report.succeeded = true;
        tracked.report.samples_read = result.stats.samples_read;
        let evaluated = tracked.began.elapsed().saturating_sub(tracked.report.queued);
        Ok((result, QueryReport { evaluated, ..tracked.report }))
    }

    /// Runs a read of labels in its turn, with a view as [`Queries::run`] does.
    ///
    /// # Errors
    /// As [`Queries::run`].
    pub(crate) async fn read<T, F: Future<Output = Result<T, ApiError>>>(
        &self,
        completeness: Completeness,
        run: impl Fn(Arc<dyn Queryable>) -> F,
    ) -> Result<T, ApiError> {
        let timeout = self.engine().config().timeout;
        let _place = self.turn(&self.label_gate, Instant::now() + timeout, timeout).await?;
        self.read_fresh(completeness, run).await
    }

    /// Returns the queries that run or wait, the oldest first.
    pub fn active(&self) -> Vec<ActiveQuery> {
        let active = self.active.lock();
        let shown = |(id, entry): (&u64, &Entry)| ActiveQuery {
            id: *id,
            text: entry.text.clone(),
            started_ms: entry.started_ms,
            age: entry.began.elapsed(),
            is_waiting: entry.is_waiting,
            samples_read: entry.control.samples_read(),
            memory_bytes: entry.control.memory_bytes(),
        };
        active.by_id.iter().map(shown).collect()
    }

    /// Stops a query; `false` when there is none by that id.
    pub fn cancel(&self, id: u64) -> bool {
        let control = self.active.lock().by_id.get(&id).map(|entry| entry.control.clone());
        control.inspect(QueryControl::cancel).is_some()
    }

    fn track(&self, text: &str, control: &QueryControl) -> Tracked<'_> {
        self.ports.observer.started();
        let began = Instant::now();
        let text = text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned();
        let entry =
            Entry { text, started_ms: self.now_ms(), began, is_waiting: true, control: control.clone() };
        let mut active = self.active.lock();
        active.last_id += 1;
        let id = active.last_id;
        active.by_id.insert(id, entry);
        Tracked { queries: self, id, began, report: QueryReport::default() }
    }

    async fn turn<'a>(
        &self,
        gate: &'a Gate,
        deadline: Instant,
        timeout: Duration,
    ) -> Result<SemaphorePermit<'a>, ApiError> {
        // Only when nobody waits is there a place at once.
        if let Ok(place) = gate.places.try_acquire() {
            return Ok(place);
        }
        let QueryLimits { concurrency_max, queued_max, .. } = *self.limits();
        let full = |_| ApiError::QueueFull { concurrency_max, queued_max };
        let _waiting = gate.queue.try_acquire().map_err(full)?;
        let place = tokio::time::timeout_at(deadline, gate.places.acquire()).await;
        let timeout = format_duration_ms(timeout.as_millis() as u64);
        let place = place.map_err(|_| ApiError::QueueTimeout { timeout, concurrency_max })?;
        Ok(place.expect("the semaphore is never closed"))
    }

    async fn read_fresh<T, F: Future<Output = Result<T, ApiError>>>(
        &self,
        completeness: Completeness,
        run: impl Fn(Arc<dyn Queryable>) -> F,
    ) -> Result<T, ApiError> {
        let mut count = 1;
        loop {
            match run(self.ports.views.view(completeness)).await {
                Err(error) if error.is_conflict() && count < VIEWS_MAX => count += 1,
                result => return result,
            }
        }
    }
}
