//! Tables of parts into the result of a node.
//!
//! Pieces are merged in the order they come in, groups and rows end up in the order of their labels: so the result does
//! not depend on who was quick.

use std::collections::HashMap;
use std::sync::Arc;

use model::{FloatHistogram, LabelSet};

use super::super::aggregate::Output;
use super::super::aggregate::state::{Count, Deviation, Group, Max, Min, State, Variance};
use super::super::kahan::{Kahan, Mean};
use super::super::vector::{ABSENT, Cell, SeriesMeta, Vector, is_absent, no_cells};
use super::super::{Context, Data};
use super::{Piece, Pushed, SCALAR_CELLS};
use crate::ast::{Aggregate, AggregateOp, NodeKind, Span};
use crate::error::QueryError;
use crate::function::FunctionKind;
use crate::plan::Grid;

/// The rows of a result, found by labels.
#[derive(Default)]
struct Index {
    of_labels: HashMap<LabelSet, usize>,
    series: Vec<SeriesMeta>,
}

impl Index {
    /// Returns the row of a series.
    fn row(&mut self, series: SeriesMeta) -> usize {
        let next = self.series.len();
        let row = *self.of_labels.entry(series.labels.clone()).or_insert(next);
        match self.series.get_mut(row) {
            Some(known) => known.drop_name |= series.drop_name,
            None => self.series.push(series),
        }
        row
    }
}

impl Context<'_> {
    /// Returns the result of a node from the pieces that others have evaluated.
    pub(in super::super) fn merged(
        &self,
        pushed: Pushed,
        results: &mut [Option<Data>],
    ) -> Result<Data, QueryError> {
        self.budget.check()?;
        let grid = self.grid(pushed.node);
        self.charge(grid.steps.saturating_mul(size_of::<f64>()))?;
        let (pushed_node, node) = (pushed.node, self.expr.node(pushed.node));
        let data = match &node.kind {
            NodeKind::Call(function, _) if function.kind == FunctionKind::Scalar => {
                Data::Scalar(only_samples(&pushed.pieces, grid.steps))
            }
            NodeKind::Call(function, _)
                if matches!(function.kind, FunctionKind::Absent | FunctionKind::AbsentOverTime) =>
            {
                Data::Vector(absent_everywhere(pushed.pieces, grid.steps))
            }
            NodeKind::Aggregate(aggregate) => {
                Data::Vector(self.merge_groups(aggregate, node.span, pushed.pieces, grid, results)?)
            }
            _ => Data::Vector(self.union(pushed.pieces, grid.steps)?),
        };
        if let Data::Vector(vector) = &data {
            self.budget.hold(vector.samples())?;
        }
        self.ledger.keep(pushed_node, &self.budget.memory, data.size_bytes())?;
        Ok(data)
    }

    fn merge_groups(
        &self,
        aggregate: &Aggregate,
        span: Span,
        pieces: Vec<Piece>,
        grid: Grid,
        results: &mut [Option<Data>],
    ) -> Result<Vector, QueryError> {
        let steps = grid.steps;
        match aggregate.op {
            AggregateOp::Sum => self.merge_states::<Kahan>(pieces, steps),
            AggregateOp::Avg => self.merge_states::<Mean>(pieces, steps),
            AggregateOp::Min => self.merge_states::<Min>(pieces, steps),
            AggregateOp::Max => self.merge_states::<Max>(pieces, steps),
            // Each value's rows are counts.
            AggregateOp::Count | AggregateOp::CountValues => self.merge_states::<Count>(pieces, steps),
            AggregateOp::Group => self.merge_states::<Group>(pieces, steps),
            AggregateOp::Stdvar => self.merge_states::<Variance>(pieces, steps),
            AggregateOp::Stddev => self.merge_states::<Deviation>(pieces, steps),
            AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK => {
                // What is kept of all is among what is kept of each part.
                let param = aggregate.param.map(|param| self.take(param, grid, results));
                let kept = self.union(pieces, steps)?;
                self.aggregate(aggregate, span, param, kept, grid, Output::Values)
            }
            AggregateOp::LimitRatio => self.union(pieces, steps),
            op @ AggregateOp::Quantile => Err(QueryError::Internal(format!("{op} has no states"))),
        }
    }

    fn merge_states<S: State>(&self, pieces: Vec<Piece>, steps: usize) -> Result<Vector, QueryError> {
        let mut index = Index::default();
        let mut states: Vec<Option<S>> = Vec::new();
        for Piece { first, mut table } in pieces {
            for (from, series) in std::mem::take(&mut table.series).into_iter().enumerate() {
                let row = index.row(series);
                if states.len() < index.series.len() * steps {
                    self.budget.cells(index.series.len(), steps)?;
                    self.charge(steps * size_of::<Option<S>>())?;
                    states.resize(index.series.len() * steps, None);
                }
                let cells = table.row(from).chunks_exact(S::CELLS);
                for (state, cells) in states[row * steps + first..].iter_mut().zip(cells) {
                    if is_absent(cells[0]) {
                        continue;
                    }
                    match state {
                        Some(state) => state.merge(S::unship(cells)),
                        None => *state = Some(S::unship(cells)),
                    }
                }
            }
        }
        let mut vector = Vector { series: index.series, steps, values: Vec::new(), histograms: Vec::new() };
        // Once for the values, once for them in order.
        self.charge(2 * states.len() * size_of::<f64>())?;
        vector.values = vec![ABSENT; states.len()];
        Output::Values.put(states, &mut vector.values);
        Ok(vector.sorted())
    }

    /// Puts rows of the same series together. Two samples of one series at one step come from two series whose labels
    /// became equal.
    fn union(&self, pieces: Vec<Piece>, steps: usize) -> Result<Vector, QueryError> {
        let mut index = Index::default();
        let mut vector = Vector::new(steps);
        for Piece { first, mut table } in pieces {
            for (from, series) in std::mem::take(&mut table.series).into_iter().enumerate() {
                let row = index.row(series);
                if vector.values.len() < index.series.len() * steps {
                    self.budget.cells(index.series.len(), steps)?;
                    self.charge(steps * size_of::<f64>())?;
                    vector.values.resize(index.series.len() * steps, ABSENT);
                }
                for (step, value) in table.row(from).iter().enumerate() {
                    let held = table.histogram(from, step);
                    if is_absent(*value) && held.is_none() {
                        continue;
                    }
                    if vector.has(row, first + step) {
                        return Err(QueryError::same_labelset());
                    }
                    vector.row_mut(row)[first + step] = *value;
                    if let Some(held) = held {
                        self.put_histogram(&mut vector, row, first + step, Arc::clone(held))?;
                    }
                }
            }
        }
        vector.series = index.series;
        if vector.has_histograms() {
            vector.histograms.resize(vector.series.len(), None);
        }
        self.charge(vector.values.len() * size_of::<f64>())?;
        Ok(vector.sorted())
    }
}

impl Context<'_> {
    /// Puts a histogram into a table that is being built.
    fn put_histogram(
        &self,
        vector: &mut Vector,
        row: usize,
        step: usize,
        histogram: Arc<FloatHistogram>,
    ) -> Result<(), QueryError> {
        if vector.histograms.len() <= row {
            vector.histograms.resize(row + 1, None);
        }
        if vector.histograms[row].is_none() {
            self.charge(vector.steps * size_of::<Cell>())?;
        }
        vector.histograms[row].get_or_insert_with(|| no_cells(vector.steps))[step] = Some(histogram);
        Ok(())
    }
}

/// Returns the sample of each step that has exactly one, else NaN.
fn only_samples(pieces: &[Piece], steps: usize) -> Vec<f64> {
    let mut values = vec![f64::NAN; steps];
    let mut counts = vec![0.0; steps];
    for Piece { first, table } in pieces {
        if table.series.is_empty() {
            continue;
        }
        // The row without labels.
        for (step, cells) in table.row(0).chunks_exact(SCALAR_CELLS).enumerate() {
            if !is_absent(cells[0]) {
                let step = first + step;
                counts[step] += cells[1];
                values[step] = if counts[step] == 1.0 { cells[0] } else { f64::NAN };
            }
        }
    }
    values
}

/// Returns a row for the steps at which every part says that there is nothing.
fn absent_everywhere(pieces: Vec<Piece>, steps: usize) -> Vector {
    let mut row = vec![1.0; steps];
    let mut meta = None;
    for Piece { first, mut table } in pieces {
        let covered = &mut row[first..first + table.steps];
        if table.series.is_empty() {
            covered.fill(ABSENT);
            continue;
        }
        for (cell, value) in covered.iter_mut().zip(table.row(0)) {
            if is_absent(*value) {
                *cell = ABSENT;
            }
        }
        meta = table.series.pop();
    }
    let mut vector = Vector::new(steps);
    if let Some(meta) = meta {
        vector.push(meta, &row);
    }
    vector
}
