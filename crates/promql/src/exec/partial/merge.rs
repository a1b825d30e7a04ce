//! Tables of parts into the result of a node.
//!
//! Pieces are merged in the order they come in, groups and rows end up in the order of their labels: so the result does
//! not depend on who was quick.

use std::collections::HashMap;
use std::sync::Arc;

use model::{FloatHistogram, LabelSet};

use super::super::accumulate::Accumulated;
use super::super::aggregate::Output;
use super::super::aggregate::histograms::{Sums, finish_sums};
use super::super::aggregate::state::{Count, Deviation, Group, Max, Min, State, Variance};
use super::super::kahan::{Kahan, Mean};
use super::super::note::Notes;
use super::super::vector::{ABSENT, Cell, SeriesMeta, Vector, is_absent, no_cells};
use super::super::{Context, Data};
use super::{Piece, Pushed, SCALAR_CELLS, SumRow};
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
            AggregateOp::Sum => self.merge_sums::<Kahan>(aggregate, pieces, steps),
            AggregateOp::Avg => self.merge_sums::<Mean>(aggregate, pieces, steps),
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

    fn merge_states<S: State>(&self, mut pieces: Vec<Piece>, steps: usize) -> Result<Vector, QueryError> {
        let mut index = Index::default();
        let states = self.merged_states::<S>(&mut pieces, steps, &mut index)?;
        Ok(self.values_of(states, index, steps)?.sorted())
    }

    /// Merges the states of floats, and takes their rows out of the pieces.
    fn merged_states<S: State>(
        &self,
        pieces: &mut [Piece],
        steps: usize,
        index: &mut Index,
    ) -> Result<Vec<Option<S>>, QueryError> {
        let mut states: Vec<Option<S>> = Vec::new();
        for Piece { first, table } in pieces {
            let mut table = std::mem::take(&mut table.rows);
            for (from, series) in std::mem::take(&mut table.series).into_iter().enumerate() {
                let row = index.row(series);
                if states.len() < index.series.len() * steps {
                    self.budget.cells(index.series.len(), steps)?;
                    self.charge(steps * size_of::<Option<S>>())?;
                    states.resize(index.series.len() * steps, None);
                }
                let cells = table.row(from).chunks_exact(S::CELLS);
                for (state, cells) in states[row * steps + *first..].iter_mut().zip(cells) {
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
        Ok(states)
    }

    /// Returns what merged states come to; rows that are known and have none are empty.
    fn values_of<S: State>(
        &self,
        mut states: Vec<Option<S>>,
        index: Index,
        steps: usize,
    ) -> Result<Vector, QueryError> {
        states.resize(index.series.len() * steps, None);
        let mut vector = Vector { series: index.series, steps, values: Vec::new(), histograms: Vec::new() };
        // Once for the values, once for them in order.
        self.charge(2 * states.len() * size_of::<f64>())?;
        vector.values = vec![ABSENT; states.len()];
        Output::Values.put(states, &mut vector.values);
        Ok(vector)
    }

    /// Merges sums or means, of floats and of histograms.
    fn merge_sums<S: State>(
        &self,
        aggregate: &Aggregate,
        mut pieces: Vec<Piece>,
        steps: usize,
    ) -> Result<Vector, QueryError> {
        let mut index = Index::default();
        let states = self.merged_states::<S>(&mut pieces, steps, &mut index)?;
        let sums = self.merged_sums(aggregate.op, pieces, steps, &mut index)?;
        let mut vector = self.values_of(states, index, steps)?;
        let mut notes = Notes::default();
        for (row, sums) in sums.into_iter().enumerate() {
            let Some(sums) = sums else { continue };
            self.charge(steps * size_of::<Cell>())?;
            let cells = finish_sums(aggregate.op, sums, vector.row_mut(row), &mut notes);
            vector.histograms.resize(vector.series.len(), None);
            vector.histograms[row] = Some(cells);
        }
        self.notes(self.expr.node(aggregate.expr).span, notes, "");
        vector.remove_empty_rows();
        Ok(vector.sorted())
    }

    /// Merges the sums of histograms, by row.
    fn merged_sums(
        &self,
        op: AggregateOp,
        pieces: Vec<Piece>,
        steps: usize,
        index: &mut Index,
    ) -> Result<Vec<Option<Sums>>, QueryError> {
        let mut merged: Vec<Option<Sums>> = Vec::new();
        for Piece { first, table } in pieces {
            for SumRow { series, sums } in table.sums {
                self.budget.check()?;
                let row = index.row(series);
                if merged.len() <= row {
                    self.budget.cells(index.series.len(), steps)?;
                    self.charge(steps * size_of::<Option<Box<Accumulated>>>())?;
                    merged.resize(row + 1, None);
                }
                let known = merged[row].get_or_insert_with(|| vec![None; steps]);
                for (known, sum) in known[first..].iter_mut().zip(sums) {
                    match (known, sum) {
                        (_, None) => {}
                        (Some(known), Some(sum)) if op == AggregateOp::Avg => known.merge_mean(*sum),
                        (Some(known), Some(sum)) => known.merge(*sum),
                        (known, sum) => *known = sum,
                    }
                }
            }
        }
        Ok(merged)
    }

    /// Puts rows of the same series together. Two samples of one series at one step come from two series whose labels
    /// became equal.
    fn union(&self, pieces: Vec<Piece>, steps: usize) -> Result<Vector, QueryError> {
        let mut index = Index::default();
        let mut vector = Vector::new(steps);
        for Piece { first, table } in pieces {
            let mut table = table.rows;
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
        let table = &table.rows;
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
    for Piece { first, table } in pieces {
        let mut table = table.rows;
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
