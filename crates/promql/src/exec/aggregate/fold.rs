//! Aggregations that keep one state a group and step: `sum avg min max count group stddev stdvar`, and `quantile`.

use std::ops::Range;

use super::super::kahan::{Kahan, Mean};
use super::super::vector::{ABSENT, Vector, is_absent};
use super::super::{Context, quantile};
use super::Groups;
use crate::ast::AggregateOp;
use crate::error::QueryError;

/// How many cells of input a worker takes at a time, at least.
const CELLS_PER_TASK: usize = 1 << 16;

/// What one group has seen at one step.
trait State: Copy {
    fn first(value: f64) -> Self;
    fn add(&mut self, value: f64);
    fn finish(self) -> f64;
}

impl State for Kahan {
    fn first(value: f64) -> Self {
        Self::new(value)
    }
    fn add(&mut self, value: f64) {
        Self::add(self, value);
    }
    fn finish(self) -> f64 {
        self.value()
    }
}

impl State for Mean {
    fn first(value: f64) -> Self {
        let mut mean = Self::default();
        mean.add(value);
        mean
    }
    fn add(&mut self, value: f64) {
        Self::add(self, value);
    }
    fn finish(self) -> f64 {
        self.value()
    }
}

#[derive(Clone, Copy)]
struct Min(f64);

impl State for Min {
    fn first(value: f64) -> Self {
        Self(value)
    }
    fn add(&mut self, value: f64) {
        if value < self.0 || self.0.is_nan() {
            self.0 = value;
        }
    }
    fn finish(self) -> f64 {
        self.0
    }
}

#[derive(Clone, Copy)]
struct Max(f64);

impl State for Max {
    fn first(value: f64) -> Self {
        Self(value)
    }
    fn add(&mut self, value: f64) {
        if value > self.0 || self.0.is_nan() {
            self.0 = value;
        }
    }
    fn finish(self) -> f64 {
        self.0
    }
}

#[derive(Clone, Copy)]
struct Count(u64);

impl State for Count {
    fn first(_: f64) -> Self {
        Self(1)
    }
    fn add(&mut self, _: f64) {
        self.0 += 1;
    }
    fn finish(self) -> f64 {
        self.0 as f64
    }
}

#[derive(Clone, Copy)]
struct Group;

impl State for Group {
    fn first(_: f64) -> Self {
        Self
    }
    fn add(&mut self, _: f64) {}
    fn finish(self) -> f64 {
        1.0
    }
}

/// Population variance, as Welford has it.
#[derive(Clone, Copy)]
struct Variance {
    count: f64,
    mean: f64,
    squares: f64,
}

impl State for Variance {
    fn first(value: f64) -> Self {
        Self { count: 1.0, mean: value, squares: if value.is_finite() { 0.0 } else { f64::NAN } }
    }
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }
    fn finish(self) -> f64 {
        self.squares / self.count
    }
}

#[derive(Clone, Copy)]
struct Deviation(Variance);

impl State for Deviation {
    fn first(value: f64) -> Self {
        Self(Variance::first(value))
    }
    fn add(&mut self, value: f64) {
        self.0.add(value);
    }
    fn finish(self) -> f64 {
        self.0.finish().sqrt()
    }
}

/// A stretch of steps of a few groups.
struct Task {
    groups: Range<usize>,
    steps: Range<usize>,
}

impl Context<'_> {
    pub(super) fn fold(&self, op: AggregateOp, input: &Vector, groups: Groups) -> Result<Vector, QueryError> {
        match op {
            AggregateOp::Sum => self.fold_as::<Kahan>(input, groups),
            AggregateOp::Avg => self.fold_as::<Mean>(input, groups),
            AggregateOp::Min => self.fold_as::<Min>(input, groups),
            AggregateOp::Max => self.fold_as::<Max>(input, groups),
            AggregateOp::Count => self.fold_as::<Count>(input, groups),
            AggregateOp::Group => self.fold_as::<Group>(input, groups),
            AggregateOp::Stdvar => self.fold_as::<Variance>(input, groups),
            AggregateOp::Stddev => self.fold_as::<Deviation>(input, groups),
            other => Err(QueryError::Unsupported(format!("the aggregation {other}"))),
        }
    }

    fn fold_as<S: State>(&self, input: &Vector, groups: Groups) -> Result<Vector, QueryError> {
        self.per_group(input, groups, |rows, steps, out| {
            let mut states: Vec<Option<S>> = vec![None; steps.len()];
            for row in rows {
                let row = &input.row(*row as usize)[steps.clone()];
                for (state, value) in states.iter_mut().zip(row) {
                    if !is_absent(*value) {
                        match state {
                            Some(state) => state.add(*value),
                            None => *state = Some(S::first(*value)),
                        }
                    }
                }
            }
            for (cell, state) in out.iter_mut().zip(states) {
                *cell = state.map_or(ABSENT, S::finish);
            }
        })
    }

    pub(super) fn quantiles(&self, q: &[f64], input: &Vector, groups: Groups) -> Result<Vector, QueryError> {
        self.per_group(input, groups, |rows, steps, out| {
            let mut values = Vec::with_capacity(rows.len());
            for (step, cell) in steps.zip(out) {
                values.clear();
                let column = rows.iter().map(|row| input.values[*row as usize * input.steps + step]);
                values.extend(column.filter(|value| !is_absent(*value)));
                if !values.is_empty() {
                    *cell = quantile::quantile(q[step], &mut values);
                }
            }
        })
    }

    /// Computes one row for each group; `compute` gets the group's rows, a stretch of steps and where the results go.
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
        vector.remove_empty_rows();
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
