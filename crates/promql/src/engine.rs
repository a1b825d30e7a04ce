//! The engine's front: options, limits, the way of one query.
//!
//! 1. Parse and plan: no data yet; what cannot be evaluated is refused here.
//! 2. Select: every distinct selector once, all at the same time, labels and encoded samples.
//! 3. Execute on a thread of its own and the CPU pool: [`crate::exec`] reads and evaluates.
//! 4. Convert the root's result; annotations get their positions.
//!
//! The deadline covers all four. When it passes, or the caller drops the future, a flag stops the workers at their
//! next block of series. A panic in an evaluation becomes an error of that query alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use storage::{MemoryPool, QueryMemory, Queryable, SeriesSet};
use tokio::sync::oneshot;

use crate::ast::{Expr, ValueType};
use crate::control::QueryControl;
use crate::error::QueryError;
use crate::exec::{self, Budget, Executed, Measuring, StopReason};
use crate::explain::Explanation;
use crate::parser::{ParserOptions, parse_with};
use crate::plan::{Grid, Plan};
use crate::push::fragment::{Fragment, Settings, hash_of};
use crate::push::{self, Push};
use crate::value::{QueryResult, QueryStats};

/// The longest query that is parsed where the caller runs; a longer one would hold up an async thread.
const INLINE_QUERY_BYTES_MAX: usize = 4096;
/// The most steps of a range query, as Prometheus's API has it.
pub(crate) const STEPS_MAX: i64 = 11_000;

/// What holds for all queries of an engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// How far back an instant selector looks for a sample, in milliseconds.
    pub lookback_ms: i64,
    /// How many samples a query may hold at a time.
    pub samples_max: u64,
    /// How many bytes a query may hold at a time.
    pub memory_bytes_max: u64,
    /// How many bytes all queries of the engine together may hold at a time.
    pub memory_bytes_total_max: u64,
    /// How long a query may take.
    pub timeout: Duration,
    /// The step of subqueries that name none, in milliseconds: Prometheus's global evaluation interval.
    pub subquery_step_ms: i64,
    /// Whether metric names that operations drop are removed only at the end (`promql-delayed-name-removal`).
    pub delayed_name_removal: bool,
    /// Whether rates and their relatives heed since when samples have been counting (`use-start-timestamps`).
    pub use_start_timestamps: bool,
    /// Whether statistics tell the samples of each step to those who ask for all (`promql-per-step-stats`).
    pub per_step_stats: bool,
    /// Which gates of the language are open.
    pub parser: ParserOptions,
    /// At most so many warnings and so many infos in a result; the rest is counted.
    pub annotations_max: usize,
    /// Whether parts of queries are evaluated by those who hold the data, where they can.
    pub pushdown: bool,
}

impl Default for EngineConfig {
    /// Returns what a stock Prometheus 3 has, and 1 GiB for a query and 4 GiB for all.
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            samples_max: 50_000_000,
            memory_bytes_max: 1 << 30,
            memory_bytes_total_max: 4 << 30,
            timeout: Duration::from_secs(120),
            subquery_step_ms: 60_000,
            delayed_name_removal: false,
            use_start_timestamps: false,
            per_step_stats: false,
            parser: ParserOptions::default(),
            annotations_max: 10,
            pushdown: true,
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
    /// Replaces the engine's choice.
    pub pushdown: Option<bool>,
    /// The longest slots that samples may stand for, in milliseconds, and longer ones never; 0 for raw samples only. Without it,
    /// the engine chooses by steps and windows, and takes coarser ones where there is nothing finer.
    pub resolution_max_ms: Option<i64>,
    /// Whether the result says how it was evaluated.
    pub explain: bool,
    /// Whether the samples that selectors look at are counted by step.
    pub count_steps: bool,
    /// By what the caller watches the query and stops it, made by [`Engine::control`] for this one query.
    pub control: Option<QueryControl>,
}

/// Evaluates queries. Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) config: Arc<EngineConfig>,
    pub(crate) memory: Arc<MemoryPool>,
}

/// Tells the workers of a query to stop when the caller goes away.
pub(crate) struct StopOnDrop(pub(crate) Option<Arc<Budget>>);

impl StopOnDrop {
    /// Leaves the query as it is: nobody works for it any more, and its caller may begin it again.
    pub(crate) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(budget) = &self.0 {
            budget.stop(StopReason::Cancelled);
        }
    }
}

/// Tells whether a query is long, or may hold regular expressions that compile to much more than their text: counted
/// repetitions and Unicode classes.
fn takes_a_while(query: &str) -> bool {
    let grows = |pair: &[u8]| matches!(pair, [b'{', b'0'..=b'9'] | [b'\\', b'p' | b'P']);
    query.len() > INLINE_QUERY_BYTES_MAX || query.as_bytes().windows(2).any(grows)
}

impl Engine {
    /// Makes an engine.
    pub fn new(config: EngineConfig) -> Self {
        Self { memory: MemoryPool::new(config.memory_bytes_total_max), config: Arc::new(config) }
    }

    /// Returns the memory of one more query, for what is read without being evaluated.
    pub fn query_memory(&self) -> QueryMemory {
        self.memory.query(self.config.memory_bytes_max)
    }

    /// Returns the memory of all queries of the engine.
    pub fn memory(&self) -> &Arc<MemoryPool> {
        &self.memory
    }

    /// Makes what watches and stops one query, to be given with its options.
    pub fn control(&self, timeout: Option<Duration>) -> QueryControl {
        let timeout = timeout.unwrap_or(self.config.timeout).min(self.config.timeout);
        let memory = self.memory.query(self.config.memory_bytes_max);
        QueryControl(Arc::new(Budget::new(self.config.samples_max, timeout, memory)))
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
        let plan = {
            let options = options.clone();
            move |engine: &Self, query: &str| engine.plan_instant(query, time_ms, &options)
        };
        let (expr, plan) = self.planned(query, plan).await?;
        self.run(data, query, expr, plan, options).await
    }

    /// Explains how [`Engine::instant`] would evaluate a query, without reading anything.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn explain_instant(
        &self,
        query: &str,
        time_ms: i64,
        options: &QueryOptions,
    ) -> Result<Explanation, QueryError> {
        let options = options.clone();
        let explained = move |engine: &Self, query: &str| {
            let (expr, plan) = engine.plan_instant(query, time_ms, &options)?;
            Ok(Explanation::of(&expr, &plan))
        };
        self.planned(query, explained).await
    }

    fn plan_instant(
        &self,
        query: &str,
        time_ms: i64,
        options: &QueryOptions,
    ) -> Result<(Expr, Plan), QueryError> {
        let expr = parse_with(query, self.config.parser)?;
        let grid = Grid { start_ms: time_ms, step_ms: 0, steps: 1 };
        let plan = self.plan(&expr, grid, time_ms, options)?;
        Ok((expr, plan))
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
        let plan = {
            let options = options.clone();
            move |engine: &Self, query: &str| engine.plan_range(query, start_ms, end_ms, step_ms, &options)
        };
        let (expr, plan) = self.planned(query, plan).await?;
        self.run(data, query, expr, plan, options).await
    }

    /// Explains how [`Engine::range`] would evaluate a query, without reading anything.
    ///
    /// # Errors
    /// As [`Engine::range`].
    pub async fn explain_range(
        &self,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
    ) -> Result<Explanation, QueryError> {
        let options = options.clone();
        let explained = move |engine: &Self, query: &str| {
            let (expr, plan) = engine.plan_range(query, start_ms, end_ms, step_ms, &options)?;
            Ok(Explanation::of(&expr, &plan))
        };
        self.planned(query, explained).await
    }

    fn plan_range(
        &self,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
    ) -> Result<(Expr, Plan), QueryError> {
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
        Ok((expr, plan))
    }

    /// Plans a query, on the CPU pool when that may take a while.
    pub(crate) async fn planned<T: Send + 'static>(
        &self,
        query: &str,
        plan: impl FnOnce(&Self, &str) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        if !takes_a_while(query) {
            return plan(self, query);
        }
        let (engine, query) = (self.clone(), query.to_owned());
        on_pool(move || plan(&engine, &query)).await
    }

    fn plan(&self, expr: &Expr, grid: Grid, end_ms: i64, options: &QueryOptions) -> Result<Plan, QueryError> {
        let lookback_ms = options.lookback_ms.unwrap_or(self.config.lookback_ms);
        Plan::new(expr, grid, end_ms, (lookback_ms, options.resolution_max_ms), &self.config)
    }

    async fn run(
        &self,
        data: Arc<dyn Queryable>,
        query: &str,
        expr: Expr,
        plan: Plan,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let budget = options.control.clone().unwrap_or_else(|| self.control(options.timeout)).0;
        let timeout = options.timeout.unwrap_or(self.config.timeout).min(self.config.timeout);
        let work = async {
            let run = Run {
                engine: self,
                data,
                query,
                expr: Arc::new(expr),
                plan: Arc::new(plan),
                budget: Arc::clone(&budget),
                timeout,
                began: Instant::now(),
                measuring: Measuring { nodes: options.explain, step_samples: options.count_steps },
            };
            if options.pushdown.unwrap_or(self.config.pushdown)
                && let Some(result) = run.pushed().await?
            {
                return Ok(result);
            }
            run.central().await
        };
        let stop = StopOnDrop(Some(Arc::clone(&budget)));
        tokio::select! {
            result = work => {
                stop.disarm();
                result
            }
            error = budget.stopped() => Err(error),
            () = tokio::time::sleep(timeout) => {
                budget.stop(StopReason::Timeout);
                Err(budget.stopped().await)
            }
        }
    }
}

/// One query, planned.
struct Run<'a> {
    engine: &'a Engine,
    data: Arc<dyn Queryable>,
    query: &'a str,
    expr: Arc<Expr>,
    plan: Arc<Plan>,
    budget: Arc<Budget>,
    timeout: Duration,
    began: Instant,
    measuring: Measuring,
}

/// Series of all selectors of a plan.
pub(crate) struct Selected {
    pub(crate) sets: Vec<SeriesSet>,
    pub(crate) warnings: Vec<String>,
    pub(crate) series: u64,
}

impl Run<'_> {
    /// Evaluates the query from samples alone.
    async fn central(&self) -> Result<QueryResult, QueryError> {
        let selected = select(self.data.as_ref(), &self.plan, &self.budget).await?;
        self.execute(Arc::clone(&self.plan), selected, push::Answers::default()).await
    }

    /// Evaluates the query with the help of those who hold the data. `None` when they cannot help.
    async fn pushed(&self) -> Result<Option<QueryResult>, QueryError> {
        let nodes = push::pushable(&self.expr, &self.plan, &self.engine.config);
        let divisions = if nodes.is_empty() { Vec::new() } else { self.data.divisions() };
        if divisions.is_empty() {
            return Ok(None);
        }
        let mut rest = Plan::clone(&self.plan);
        rest.leave_out(&self.expr, &nodes);
        let push = Push {
            engine: self.engine,
            expr: &self.expr,
            plan: &self.plan,
            budget: &self.budget,
            series_max: self.data.series_max(),
            fragment: self.fragment(),
        };
        let selected = select(self.data.as_ref(), &rest, &self.budget);
        let (answers, selected) = futures::future::try_join(push.run(divisions, &nodes), selected).await?;
        match answers {
            Some(answers) => self.execute(Arc::new(rest), selected, answers).await.map(Some),
            None => Ok(None),
        }
    }

    fn fragment(&self) -> Fragment {
        let config = &self.engine.config;
        Fragment {
            query: self.query.to_owned(),
            settings: Settings::of(config, self.plan.lookback_ms, self.plan.resolution_max_ms),
            grid: self.plan.query,
            end_ms: self.plan.query_end_ms,
            tasks: Vec::new(),
            tree_hash: hash_of(&self.expr),
            samples_max: config.samples_max,
            memory_bytes_max: config.memory_bytes_max,
            timeout_ms: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Executes a plan over what was selected and what others have evaluated.
    async fn execute(
        &self,
        plan: Arc<Plan>,
        selected: Selected,
        answers: push::Answers,
    ) -> Result<QueryResult, QueryError> {
        let Selected { sets, mut warnings, series } = selected;
        let push::Answers { nodes, parts, report } = answers;
        let (expr, config) = (Arc::clone(&self.expr), Arc::clone(&self.engine.config));
        let budget = Arc::clone(&self.budget);
        let (preparation, measuring) = (self.began.elapsed(), self.measuring);
        let explanation = measuring.nodes.then(|| Explanation::of(&self.expr, &self.plan));
        let (executed, explanation, parts) = on_thread(move || {
            let merged: Vec<_> = nodes.iter().map(|pushed| pushed.node).collect();
            let selected: Vec<u64> = sets.iter().map(|set| set.series.len() as u64).collect();
            let mut executed = exec::execute(&expr, &plan, &sets, nodes, &config, &budget, measuring)?;
            // From here on the value does not share its labels any more.
            drop(sets);
            executed.memory.resize(executed.value.size_bytes())?;
            let measures = &executed.measures;
            let explanation =
                explanation.map(|one| Box::new(one.with_run(&plan, &merged, &selected, measures)));
            Ok((executed, explanation, parts))
        })
        .await?;
        let Executed { value, memory, mut annotations, measures } = executed;
        let mut stats = QueryStats {
            series,
            samples_read: self.budget.samples_read(),
            samples_peak: self.budget.samples_peak(),
            memory_bytes_peak: self.budget.memory.peak(),
            preparation,
            evaluation: self.began.elapsed().saturating_sub(preparation),
        };
        for part in parts {
            // Numbers of peers are not trusted.
            stats.series = stats.series.saturating_add(part.stats.series);
            stats.samples_read = stats.samples_read.saturating_add(part.stats.samples_read);
            warnings.extend(part.warnings);
            annotations.extend(part.annotations);
        }
        warnings.sort();
        warnings.dedup();
        let (notes, infos) = annotations.into_texts(self.query, self.engine.config.annotations_max);
        warnings.extend(notes);
        let (memory, step_samples) = (Arc::new(memory), measures.step_samples);
        Ok(QueryResult { value, warnings, infos, stats, step_samples, explanation, pushed: report, memory })
    }
}

/// Selects what a plan needs: all at the same time.
pub(crate) async fn select(
    data: &dyn Queryable,
    plan: &Plan,
    budget: &Budget,
) -> Result<Selected, QueryError> {
    let selects = plan.selects.iter().map(|request| data.select(request, &budget.memory));
    let sets: Vec<SeriesSet> = futures::future::try_join_all(selects).await?;
    let series = sets.iter().map(|set| set.series.len() as u64).sum();
    let warnings = sets.iter().flat_map(|set| set.warnings.iter().cloned()).collect();
    Ok(Selected { sets, warnings, series })
}

/// Runs an evaluation on a thread of its own, so that the system shares the processors between a small query and a big one;
/// its blocks of series go to the CPU pool besides. A panic becomes an error.
pub(crate) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
) -> Result<T, QueryError> {
    let (sender, receiver) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        // Nobody waits any more when the caller went away.
        let _ = sender.send(result.unwrap_or_else(|panic| Err(panic_error(&*panic))));
    });
    receiver.await.map_err(|_| QueryError::Cancelled)?
}

/// Runs work that waits for nothing on the CPU pool. A panic becomes an error.
pub(crate) async fn on_pool<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
) -> Result<T, QueryError> {
    let (sender, receiver) = oneshot::channel();
    rayon::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        // Nobody waits any more when the caller went away.
        let _ = sender.send(result.unwrap_or_else(|panic| Err(panic_error(&*panic))));
    });
    receiver.await.map_err(|_| QueryError::Cancelled)?
}

fn panic_error(panic: &(dyn std::any::Any + Send)) -> QueryError {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    QueryError::Internal(text.unwrap_or_else(|| "panic".to_owned()))
}
