//! The engine's front: options, limits, the way of one query.
//!
//! 1. Parse and plan: no data yet; what cannot be evaluated is refused here.
//! 2. Select: every distinct selector once, all at the same time, labels and encoded samples.
//! 3. Execute on the CPU pool: [`crate::exec`] reads and evaluates.
//! 4. Convert the root's result; annotations get their positions.
//!
//! The deadline covers all four. When it passes, or the caller drops the future, a flag stops the workers at their
//! next block of series. A panic in an evaluation becomes an error of that query alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use storage::{Queryable, SeriesSet};
use tokio::sync::oneshot;

use crate::ast::{Expr, ValueType};
use crate::error::QueryError;
use crate::exec::{self, Budget, StopReason};
use crate::parser::{ParserOptions, parse_with};
use crate::plan::{Grid, Plan};
use crate::value::{QueryResult, QueryStats};

/// The most steps of a range query, as Prometheus's API has it.
const STEPS_MAX: i64 = 11_000;

/// What holds for all queries of an engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// How far back an instant selector looks for a sample, in milliseconds.
    pub lookback_ms: i64,
    /// How many samples a query may hold at a time.
    pub samples_max: u64,
    /// How long a query may take.
    pub timeout: Duration,
    /// The step of subqueries that name none, in milliseconds: Prometheus's global evaluation interval.
    pub subquery_step_ms: i64,
    /// Whether metric names that operations drop are removed only at the end (`promql-delayed-name-removal`).
    pub delayed_name_removal: bool,
    /// Whether rates and their relatives heed since when samples have been counting (`use-start-timestamps`).
    pub use_start_timestamps: bool,
    /// Which gates of the language are open.
    pub parser: ParserOptions,
    /// At most so many warnings and so many infos in a result; the rest is counted.
    pub annotations_max: usize,
}

impl Default for EngineConfig {
    /// Returns what a stock Prometheus 3 has.
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            samples_max: 50_000_000,
            timeout: Duration::from_secs(120),
            subquery_step_ms: 60_000,
            delayed_name_removal: false,
            use_start_timestamps: false,
            parser: ParserOptions::default(),
            annotations_max: 10,
        }
    }
}

/// What one query may choose for itself.
#[derive(Clone, Debug, Default)]
pub struct QueryOptions {
    /// Replaces the engine's lookback.
    pub lookback_ms: Option<i64>,
    /// Shortens the engine's timeout.
    pub timeout: Option<Duration>,
}

/// Evaluates queries. Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub struct Engine {
    config: Arc<EngineConfig>,
}

/// Tells the workers of a query to stop when the caller goes away.
struct StopOnDrop(Arc<Budget>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop(StopReason::Cancelled);
    }
}

impl Engine {
    /// Makes an engine.
    pub fn new(config: EngineConfig) -> Self {
        Self { config: Arc::new(config) }
    }

    /// Returns what the engine was made with.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// Evaluates a query at one time, in milliseconds.
    ///
    /// Vectors keep the order of evaluation: that of the labels, or that of `sort` and `topk`. Cancel-safe: dropping
    /// the future stops the evaluation.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn instant(
        &self,
        data: Arc<dyn Queryable>,
        query: &str,
        time_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let expr = parse_with(query, self.config.parser)?;
        let grid = Grid { start_ms: time_ms, step_ms: 0, steps: 1 };
        let plan = self.plan(&expr, grid, time_ms, options)?;
        self.run(data, query, expr, plan, options).await
    }

    /// Evaluates a query at `start_ms`, `start_ms + step_ms`, ... up to `end_ms` inclusive. Results are sorted by labels.
    ///
    /// # Errors
    /// See [`QueryError`]; `Invalid` for a step that is not positive, an end before the start, more than 11,000 steps,
    /// and queries whose result is neither a scalar nor an instant vector.
    pub async fn range(
        &self,
        data: Arc<dyn Queryable>,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let invalid = |message: &str| Err(QueryError::Invalid(message.to_owned()));
        if step_ms <= 0 {
            return invalid(
                "zero or negative query resolution step widths are not accepted. Try a positive integer",
            );
        }
        if end_ms < start_ms {
            return invalid("end timestamp must not be before start time");
        }
        let steps = end_ms.saturating_sub(start_ms) / step_ms;
        if steps > STEPS_MAX {
            return invalid(
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
            );
        }
        let expr = parse_with(query, self.config.parser)?;
        let value_type = expr.value_type();
        if !matches!(value_type, ValueType::Scalar | ValueType::Vector) {
            let found = model::labels::quote(value_type.documented());
            let message =
                format!("invalid expression type {found} for range query, must be Scalar or instant Vector");
            return Err(QueryError::Invalid(message));
        }
        let grid = Grid { start_ms, step_ms, steps: steps as usize + 1 };
        let plan = self.plan(&expr, grid, end_ms, options)?;
        self.run(data, query, expr, plan, options).await
    }

    fn plan(&self, expr: &Expr, grid: Grid, end_ms: i64, options: &QueryOptions) -> Result<Plan, QueryError> {
        let lookback_ms = options.lookback_ms.unwrap_or(self.config.lookback_ms);
        Plan::new(expr, grid, end_ms, lookback_ms, &self.config)
    }

    async fn run(
        &self,
        data: Arc<dyn Queryable>,
        query: &str,
        expr: Expr,
        plan: Plan,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let budget = Arc::new(Budget::new(self.config.samples_max));
        let stop = StopOnDrop(Arc::clone(&budget));
        let timeout = options.timeout.unwrap_or(self.config.timeout).min(self.config.timeout);
        let work = self.select_and_execute(data, query, expr, plan, budget);
        match tokio::time::timeout(timeout, work).await {
            Ok(result) => result,
            Err(_) => {
                stop.0.stop(StopReason::Timeout);
                Err(QueryError::Timeout)
            }
        }
    }

    async fn select_and_execute(
        &self,
        data: Arc<dyn Queryable>,
        query: &str,
        expr: Expr,
        plan: Plan,
        budget: Arc<Budget>,
    ) -> Result<QueryResult, QueryError> {
        let selects = plan.selects.iter().map(|request| data.select(request));
        let sets: Vec<SeriesSet> = futures::future::try_join_all(selects).await?;
        let series = sets.iter().map(|set| set.series.len() as u64).sum();
        let mut warnings: Vec<String> = sets.iter().flat_map(|set| set.warnings.iter().cloned()).collect();
        warnings.sort();
        warnings.dedup();
        let (sender, receiver) = oneshot::channel();
        let config = Arc::clone(&self.config);
        rayon::spawn(move || {
            let work = AssertUnwindSafe(|| exec::execute(&expr, &plan, &sets, &config, &budget));
            let result = catch_unwind(work).unwrap_or_else(|panic| Err(panic_error(&*panic)));
            // Nobody waits any more when the caller went away.
            let _ = sender.send((result, budget.samples_read()));
        });
        let (result, samples_read) = receiver.await.map_err(|_| QueryError::Cancelled)?;
        let (value, annotations) = result?;
        let (notes, infos) = annotations.into_texts(query, self.config.annotations_max);
        warnings.extend(notes);
        Ok(QueryResult { value, warnings, infos, stats: QueryStats { series, samples_read } })
    }
}

fn panic_error(panic: &(dyn std::any::Any + Send)) -> QueryError {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    QueryError::Internal(text.unwrap_or_else(|| "panic".to_owned()))
}
