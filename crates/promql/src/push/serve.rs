//! The other end of a fragment: evaluates its nodes over the series that are here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use storage::Queryable;

use super::fragment::{Fragment, FragmentError, hash_of};
use super::pushable;
use crate::ast::Expr;
use crate::engine::{Engine, STEPS_MAX, Selected, StopOnDrop, on_thread, select};
use crate::error::QueryError;
use crate::exec::{Budget, Part, StopReason, encode, execute_part};
use crate::parser::parse_with;
use crate::plan::{Plan, Task};

/// A fragment that can be evaluated here.
struct PlannedFragment {
    /// With the settings and limits of the fragment.
    engine: Engine,
    expr: Arc<Expr>,
    /// That of the tasks.
    plan: Arc<Plan>,
    tasks: Vec<Task>,
}

impl Engine {
    /// Evaluates a fragment of a query over a part of the series and returns the frames that answer it. `None` when this
    /// version does not evaluate it: whoever asks then does it from samples.
    ///
    /// Limits are the smaller ones of this engine and of the fragment. Cancel-safe: dropping the future stops the
    /// evaluation.
    ///
    /// # Errors
    /// `Invalid` for bytes that are no fragment; else as [`Engine::range`].
    pub async fn evaluate_fragment(
        &self,
        data: Arc<dyn Queryable>,
        fragment: &[u8],
    ) -> Result<Option<Vec<Bytes>>, QueryError> {
        let fragment = match Fragment::decode(fragment) {
            Ok(fragment) => fragment,
            Err(FragmentError::Version { .. }) => return Ok(None),
            Err(error) => return Err(QueryError::Invalid(error.to_string())),
        };
        let (query, timeout) = (fragment.query.clone(), Duration::from_millis(fragment.timeout_ms));
        let planned = self.planned(&query, move |engine, _| engine.plan_fragment(fragment)).await?;
        let Some(PlannedFragment { engine, expr, plan, tasks }) = planned else { return Ok(None) };
        let timeout = engine.config().timeout.min(timeout);
        let budget = engine.control(Some(timeout)).0;
        let _stop = StopOnDrop(Some(Arc::clone(&budget)));
        let work = async {
            let mut part = engine.evaluate_part(data, expr, plan, tasks, Arc::clone(&budget)).await?;
            part.stats.samples_read = budget.samples_read();
            on_thread(move || Ok(encode(&part))).await
        };
        tokio::select! {
            frames = work => frames.map(Some),
            () = tokio::time::sleep(timeout) => {
                budget.stop(StopReason::Timeout);
                Err(budget.stopped().await)
            }
        }
    }

    /// Plans a fragment. `None` when this version does not evaluate it.
    fn plan_fragment(&self, fragment: Fragment) -> Result<Option<PlannedFragment>, QueryError> {
        let mut config = fragment.settings.applied_to(self.config());
        config.samples_max = config.samples_max.min(fragment.samples_max);
        config.memory_bytes_max = config.memory_bytes_max.min(fragment.memory_bytes_max);
        let Ok(expr) = parse_with(&fragment.query, config.parser) else { return Ok(None) };
        if hash_of(&expr) != fragment.tree_hash {
            return Ok(None);
        }
        if fragment.grid.steps > STEPS_MAX as usize + 1 {
            return Err(QueryError::Invalid("the fragment has more steps than a query may have".to_owned()));
        }
        let own = (config.lookback_ms, fragment.settings.resolution_max_ms);
        let plan = Plan::new(&expr, fragment.grid, fragment.end_ms, own, &config)?;
        let engine = Self { config: Arc::new(config), memory: Arc::clone(&self.memory) };
        if !fits(&expr, &plan, &fragment.tasks, &engine) {
            return Ok(None);
        }
        let plan = Arc::new(plan.part(&expr, &fragment.tasks, engine.config())?);
        Ok(Some(PlannedFragment { engine, expr: Arc::new(expr), plan, tasks: fragment.tasks }))
    }

    /// Selects and evaluates tasks. `plan` is that of the tasks; what is decoded counts in the budget.
    pub(super) async fn evaluate_part(
        &self,
        data: Arc<dyn Queryable>,
        expr: Arc<Expr>,
        plan: Arc<Plan>,
        tasks: Vec<Task>,
        budget: Arc<Budget>,
    ) -> Result<Part, QueryError> {
        let Selected { sets, warnings, series } = select(data.as_ref(), &plan, &budget).await?;
        let (config, selected) =
            (Arc::clone(&self.config), sets.iter().map(|set| set.series.len() as u64).collect());
        let mut part = on_thread(move || execute_part(&expr, &plan, &tasks, &sets, &config, &budget)).await?;
        part.warnings = warnings;
        part.selected = selected;
        part.stats.series = series;
        Ok(part)
    }
}

/// Tells whether tasks are of nodes that this version would push, within their steps, each once.
fn fits(expr: &Expr, plan: &Plan, tasks: &[Task], engine: &Engine) -> bool {
    let nodes = pushable(expr, plan, engine.config());
    tasks.iter().enumerate().all(|(index, task)| {
        let steps = || plan.grids[task.node.index()].steps;
        let is_again = tasks[..index].iter().any(|other| other.node == task.node);
        nodes.contains(&task.node) && !is_again && task.steps > 0 && {
            task.first.checked_add(task.steps).is_some_and(|end| end <= steps())
        }
    })
}
