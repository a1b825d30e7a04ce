//! The steps of nodes, cut at a seam: before it, across it, after it.
//!
//! The samples that a step needs follow from the plan of that step alone. They move forward with the steps, or stay, so
//! the steps that need nothing beyond the seam come first, and the steps that need nothing before it come last.

use std::collections::HashMap;

use model::TimeRange;

use super::needed;
use crate::ast::{Expr, NodeId};
use crate::engine::EngineConfig;
use crate::error::QueryError;
use crate::plan::{Plan, Task};

/// Cuts of one query; those at a seam are made once.
pub(super) struct Cuts<'a> {
    expr: &'a Expr,
    plan: &'a Plan,
    config: &'a EngineConfig,
    known: HashMap<i64, [Vec<Task>; 3]>,
}

impl<'a> Cuts<'a> {
    pub(super) fn new(expr: &'a Expr, plan: &'a Plan, config: &'a EngineConfig) -> Self {
        Self { expr, plan, config, known: HashMap::new() }
    }

    /// Returns what lies before a seam, across it and after it.
    pub(super) fn at(&mut self, seam_ms: i64, nodes: &[NodeId]) -> Result<[Vec<Task>; 3], QueryError> {
        if let Some(known) = self.known.get(&seam_ms) {
            return Ok(known.clone());
        }
        let mut cut = [Vec::new(), Vec::new(), Vec::new()];
        for node in nodes {
            let steps = self.plan.grids[node.index()].steps;
            let before = self.first(*node, 0, steps, |needed| needed.end.0 >= seam_ms)?;
            let after = self.first(*node, before, steps, |needed| needed.start.0 >= seam_ms)?;
            let runs = [0..before, before..after, after..steps];
            for (tasks, run) in cut.iter_mut().zip(runs) {
                if !run.is_empty() {
                    tasks.push(Task { node: *node, first: run.start, steps: run.len() });
                }
            }
        }
        self.known.insert(seam_ms, cut.clone());
        Ok(cut)
    }

    /// Returns the first step of `from..to` from which on a condition holds, `to` when it never does.
    fn first(
        &self,
        node: NodeId,
        mut from: usize,
        mut to: usize,
        holds: impl Fn(TimeRange) -> bool,
    ) -> Result<usize, QueryError> {
        while from < to {
            let middle = from + (to - from) / 2;
            let task = Task { node, first: middle, steps: 1 };
            if holds(needed(&self.plan.part(self.expr, &[task], self.config)?)) {
                to = middle;
            } else {
                from = middle + 1;
            }
        }
        Ok(from)
    }
}
