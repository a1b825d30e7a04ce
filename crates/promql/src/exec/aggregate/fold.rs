//! Aggregations that keep one state a group and step: `sum avg min max count group stddev stdvar`, and `quantile`.

use std::ops::Range;

use super::super::kahan::{Kahan, Mean};
use super::super::vector::{ABSENT, Vector, is_absent};
use super::super::{Context, quantile};
use super::Groups;
use super::state::{Count, Deviation, Group, Max, Min, State, Variance};
use super::stream::add_row;
use crate::ast::{AggregateOp, Span};
use crate::error::QueryError;

/// How many cells of input a worker takes at a time, at least.
const CELLS_PER_TASK: usize = 1 << 16;

/// A stretch of steps of a few groups.
struct Task {
    groups: Range<usize>,
    steps: Range<usize>,
}

impl Context<'_> {
    /// Folds a table; `span` is the operand's.
    pub(super) fn fold(
        &self,
        op: AggregateOp,
        span: Span,
        input: &Vector,
        groups: Groups,
    ) -> Result<Vector, QueryError> {
        let histograms = self.fold_histograms(op, span, input, &groups)?;
        let mut vector = match op {
            AggregateOp::Sum => self.fold_as::<Kahan>(input, groups),
            AggregateOp::Avg => self.fold_as::<Mean>(input, groups),
            AggregateOp::Min => self.fold_as::<Min>(input, groups),
            AggregateOp::Max => self.fold_as::<Max>(input, groups),
            AggregateOp::Count => self.fold_as::<Count>(input, groups),
            AggregateOp::Group => self.fold_as::<Group>(input, groups),
            AggregateOp::Stdvar => self.fold_as::<Variance>(input, groups),
            AggregateOp::Stddev => self.fold_as::<Deviation>(input, groups),
            other => Err(QueryError::Unsupported(format!("the aggregation {other}"))),
        }?;
        if let Some(histograms) = histograms {
            histograms.finish(self, span, &mut vector);
        }
        vector.remove_empty_rows();
        Ok(vector)
    }

    fn fold_as<S: State>(&self, input: &Vector, groups: Groups) -> Result<Vector, QueryError> {
        self.per_group(input, groups, |rows, steps, out| {
            let mut states: Vec<Option<S>> = vec![None; steps.len()];
            for row in rows {
                add_row(&mut states, &input.row(*row as usize)[steps.clone()]);
            }
            for (cell, state) in out.iter_mut().zip(states) {
                *cell = state.map_or(ABSENT, S::finish);
            }
        })
    }

    pub(super) fn quantiles(&self, q: &[f64], input: &Vector, groups: Groups) -> Result<Vector, QueryError> {
        let mut vector = self.per_group(input, groups, |rows, steps, out| {
            let mut values = Vec::with_capacity(rows.len());
            for (step, cell) in steps.zip(out) {
                values.clear();
                let column = rows.iter().map(|row| input.values[*row as usize * input.steps + step]);
                values.extend(column.filter(|value| !is_absent(*value)));
                if !values.is_empty() {
                    *cell = quantile::quantile(q[step], &mut values);
                }
            }
        })?;
        vector.remove_empty_rows();
        Ok(vector)
    }

    /// Computes one row for each group, empty ones too; `compute` gets the group's rows, a stretch of steps and where the results go.
    fn per_group(
        &self,
        input: &Vector,
        groups: Groups,
        compute: impl Fn(&[u32], Range<usize>, &mut [f64]) + Sync,
    ) -> Result<Vector, QueryError> {
        let tasks = tasks(&groups, input.steps);
        let parts = self.blocks(tasks.len(), 1, |index| {
            let task = &tasks[index.start];
            let width = task.steps.len();
            let mut out = vec![ABSENT; task.groups.len() * width];
            for (rows, out) in groups.rows[task.groups.clone()].iter().zip(out.chunks_exact_mut(width)) {
                compute(rows, task.steps.clone(), out);
            }
            Ok(out)
        })?;
        let mut vector = Vector::new(input.steps);
        vector.values = vec![ABSENT; groups.series.len() * input.steps];
        for (task, part) in tasks.iter().zip(parts) {
            for (group, values) in task.groups.clone().zip(part.chunks_exact(task.steps.len())) {
                let start = group * input.steps;
                vector.values[start + task.steps.start..start + task.steps.end].copy_from_slice(values);
            }
        }
        vector.series = groups.series;
        Ok(vector)
    }
}

/// Cuts the work: several small groups to a task, several tasks to a large group.
fn tasks(groups: &Groups, steps: usize) -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    if steps == 0 {
        return tasks;
    }
    let (mut start, mut cells) = (0, 0);
    for (group, rows) in groups.rows.iter().enumerate() {
        cells += rows.len() * steps;
        if cells < CELLS_PER_TASK && group + 1 < groups.rows.len() {
            continue;
        }
        let parts = if group == start { cells.div_ceil(CELLS_PER_TASK).min(steps) } else { 1 };
        let width = steps.div_ceil(parts.max(1));
        for from in (0..steps).step_by(width) {
            tasks.push(Task { groups: start..group + 1, steps: from..(from + width).min(steps) });
        }
        (start, cells) = (group + 1, 0);
    }
    tasks
}
