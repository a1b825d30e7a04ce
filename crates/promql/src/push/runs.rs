//! The steps of nodes, cut at a seam: before it, across it, after it.
//!
//! The samples that a step needs follow from the plan of that step alone. They move forward with the steps, or stay, so
//! the steps that need nothing beyond the seam come first, and the steps that need nothing before it come last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::TimeRange;

use super::needed;
use crate::ast::{Expr, NodeId};
use crate::engine::EngineConfig;
use crate::error::QueryError;
use crate::plan::{Plan, Task};

/// What lies on one side of a seam, or across it, and the plan of it.
pub(super) struct Run {
    pub(super) tasks: Vec<Task>,
    pub(super) plan: Arc<Plan>,
}

/// By seam, ms: what lies before it, across it and after it.
pub(super) type Cuts = BTreeMap<i64, [Run; 3]>;

/// Cuts nodes at all seams.
pub(super) fn cut(
    expr: &Expr,
    plan: &Plan,
    config: &EngineConfig,
    seams_ms: BTreeSet<i64>,
    nodes: &[NodeId],
) -> Result<Cuts, QueryError> {
    let mut cuts = Cuts::new();
    for seam_ms in seams_ms {
        let [before, across, after] = tasks_at(expr, plan, config, seam_ms, nodes)?;
        let run = |tasks: Vec<Task>| {
            let plan = Arc::new(plan.part(expr, &tasks, config)?);
            Ok::<_, QueryError>(Run { tasks, plan })
        };
        cuts.insert(seam_ms, [run(before)?, run(across)?, run(after)?]);
    }
    Ok(cuts)
}

fn tasks_at(
    expr: &Expr,
    plan: &Plan,
    config: &EngineConfig,
    seam_ms: i64,
    nodes: &[NodeId],
) -> Result<[Vec<Task>; 3], QueryError> {
    let needed_at = |node, step| {
        let task = Task { node, first: step, steps: 1 };
        plan.part(expr, &[task], config).map(|part| needed(&part))
    };
    let mut cut = [Vec::new(), Vec::new(), Vec::new()];
    for node in nodes {
        let steps = plan.grids[node.index()].steps;
        let before = first(0, steps, |step| needed_at(*node, step), |needed| needed.end.0 >= seam_ms)?;
        let after = first(before, steps, |step| needed_at(*node, step), |needed| needed.start.0 >= seam_ms)?;
        let runs = [0..before, before..after, after..steps];
        for (tasks, run) in cut.iter_mut().zip(runs) {
            if !run.is_empty() {
                tasks.push(Task { node: *node, first: run.start, steps: run.len() });
            }
        }
    }
    Ok(cut)
}

/// Returns the first step of `from..to` from which on a condition holds for what is needed, `to` when it never does.
fn first(
    mut from: usize,
    mut to: usize,
    needed_at: impl Fn(usize) -> Result<TimeRange, QueryError>,
    holds: impl Fn(TimeRange) -> bool,
) -> Result<usize, QueryError> {
    while from < to {
        let middle = from + (to - from) / 2;
        if holds(needed_at(middle)?) {
            to = middle;
        } else {
            from = middle + 1;
        }
    }
    Ok(from)
}
