//! Aggregations that keep one state a group and step: `sum avg min max count group stddev stdvar`, and `quantile`.

use std::ops::Range;

use super::super::kahan::{Kahan, Mean};
use super::super::vector::{ABSENT, Vector, is_absent};
use super::super::{Context, quantile};
use super::state::{Count, Deviation, Group, Max, Min, State, Variance};
use super::stream::add_row;
use super::{Groups, Output};
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
        output: Output,
    ) -> Result<Vector, QueryError> {
        let histograms = self.fold_histograms(op, span, input, &groups)?;
        let mut vector = match op {
            AggregateOp::Sum => self.fold_as::<Kahan>(input, groups, output),
            AggregateOp::Avg => self.fold_as::<Mean>(input, groups, output),
            AggregateOp::Min => self.fold_as::<Min>(input, groups, output),
            AggregateOp::Max => self.fold_as::<Max>(input, groups, output),
            AggregateOp::Count => self.fold_as::<Count>(input, groups, output),
            AggregateOp::Group => self.fold_as::<Group>(input, groups, output),
            AggregateOp::Stdvar => self.fold_as::<Variance>(input, groups, output),
            AggregateOp::Stddev => self.fold_as::<Deviation>(input, groups, output),
            other => Err(QueryError::Internal(format!("{other} does not fold"))),
        }?;
        if let Some(histograms) = histograms {
            histograms.finish(self, span, output, &mut vector);
        }
        vector.remove_empty_rows();
        Ok(vector)
    }

    fn fold_as<S: State>(
        &self,
        input: &Vector,
        groups: Groups,
        output: Output,
    ) -> Result<Vector, QueryError> {
        self.per_group(input, groups, output.cells::<S>(), |rows, steps, out| {
            let mut states: Vec<Option<S>> = vec![None; steps.len()];
            for row in rows {
                add_row(&mut states, &input.row(*row as usize)[steps.clone()]);
            }
            output.put(states, out);
        })
    }

    pub(super) fn quantiles(&self, q: &[f64], input: &Vector, groups: Groups) -> Result<Vector, QueryError> {
        let mut vector = self.per_group(input, groups, 1, |rows, steps, out| {
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

    /// Computes one row for each group, empty ones too, of so many cells a step; `compute` gets the group's rows, a stretch of steps and
    /// where the results go.
    fn per_group(
        &self,
        input: &Vector,
        groups: Groups,
        cells: usize,
        compute: impl Fn(&[u32], Range<usize>, &mut [f64]) + Sync,
    ) -> Result<Vector, QueryError> {
        let tasks = tasks(&groups, input.steps);
        let parts = self.blocks(tasks.len(), 1, |index| {
            let task = &tasks[index.start];
            let width = task.steps.len() * cells;
            let mut out = vec![ABSENT; task.groups.len() * width];
            for (rows, out) in groups.rows[task.groups.clone()].iter().zip(out.chunks_exact_mut(width)) {
                compute(rows, task.steps.clone(), out);
            }
            Ok(out)
        })?;
        let mut vector = Vector::new(input.steps * cells);
        vector.values = vec![ABSENT; groups.series.len() * vector.steps];
        for (task, part) in tasks.iter().zip(parts) {
            for (group, values) in task.groups.clone().zip(part.chunks_exact(task.steps.len() * cells)) {
                let start = group * vector.steps + task.steps.start * cells;
                vector.values[start..start + values.len()].copy_from_slice(values);
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
