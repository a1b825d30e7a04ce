//! Native histograms in aggregations that keep one state a group and step. The floats are folded beside them, as if there
//! were no histograms; in the end both are put together.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::super::accumulate::Accumulated;
use super::super::note::{Note, Notes};
use super::super::partial::SumRow;
use super::super::vector::{ABSENT, Cell, Cells, Vector, is_absent, no_cells};
use super::super::{Budget, Context};
use super::{Groups, Output};
use crate::ast::{AggregateOp, Span};
use crate::error::QueryError;

/// How many steps of a group a worker adds at a time.
const STEPS_TILE: usize = 16;
/// How many groups a worker takes at a time, at least.
const GROUPS_MIN: usize = 16;

/// The sum of a group's histograms at each step.
pub(in super::super) type Sums = Vec<Option<Box<Accumulated>>>;

/// What a group has seen of histograms, by step.
enum Seen {
    /// `sum` and `avg`.
    Accumulated(Sums),
    /// `count` and `group`.
    Counted(Vec<u32>),
    /// The other operators: they pass over histograms.
    Ignored,
}

impl Seen {
    fn new(op: AggregateOp, steps: usize) -> Self {
        match op {
            AggregateOp::Sum | AggregateOp::Avg => Self::Accumulated(vec![None; steps]),
            AggregateOp::Count | AggregateOp::Group => Self::Counted(vec![0; steps]),
            _ => Self::Ignored,
        }
    }

    /// Adds the rows of a group in order. `mixed` is told of rows whose kind of buckets differs from those before.
    fn add(&mut self, op: AggregateOp, rows: &Rows<'_>, mixed: &(impl Fn(usize) + Sync)) {
        match self {
            Self::Accumulated(states) => {
                let tiles = states.par_chunks_mut(STEPS_TILE).enumerate();
                tiles.for_each(|(tile, states)| rows.accumulate(op, tile * STEPS_TILE, states, mixed));
            }
            Self::Counted(counts) => {
                for (_, cells) in rows.with_cells() {
                    for (count, cell) in counts.iter_mut().zip(cells) {
                        *count += u32::from(cell.is_some());
                    }
                }
            }
            Self::Ignored => {}
        }
    }

    /// Puts the results of a group beside, or in the place of, what its floats came to.
    fn finish(self, op: AggregateOp, values: &mut [f64], notes: &mut Notes) -> Cells {
        match self {
            Self::Accumulated(sums) => Some(finish_sums(op, sums, values, notes)),
            Self::Counted(counts) => {
                for (count, value) in counts.into_iter().zip(values).filter(|(count, _)| *count > 0) {
                    let floats = if is_absent(*value) { 0.0 } else { *value };
                    *value = if op == AggregateOp::Group { 1.0 } else { floats + f64::from(count) };
                }
                None
            }
            Self::Ignored => {
                notes.add(Note::IgnoredInAggregation(op.as_str()));
                None
            }
        }
    }
}

/// Puts the sums or means of a group's histograms in the place of what its floats came to; there is neither where it has
/// both.
pub(in super::super) fn finish_sums(
    op: AggregateOp,
    sums: Sums,
    values: &mut [f64],
    notes: &mut Notes,
) -> Box<[Cell]> {
    let mut cells = no_cells(values.len());
    for ((sum, value), cell) in sums.into_iter().zip(values).zip(&mut cells) {
        let Some(sum) = sum else { continue };
        if !is_absent(*value) {
            notes.add(Note::MixedGroup);
            *value = ABSENT;
            continue;
        }
        sum.note(notes);
        let result = if op == AggregateOp::Avg { sum.mean() } else { sum.sum() };
        *cell = result.map(|mut histogram| {
            histogram.compact();
            histogram.into()
        });
    }
    cells
}

/// The rows of one group.
struct Rows<'a> {
    rows: &'a [u32],
    /// Of all rows.
    histograms: &'a [Cells],
    budget: &'a Budget,
    /// What states that were made take.
    new_bytes: &'a AtomicUsize,
}

impl Rows<'_> {
    fn with_cells(&self) -> impl Iterator<Item = (usize, &[Cell])> {
        let rows = self.rows.iter().map(|row| *row as usize);
        rows.filter_map(|row| Some((row, self.histograms[row].as_deref()?)))
    }

    /// Adds a stretch of steps; stops soon when the query is stopped.
    fn accumulate(
        &self,
        op: AggregateOp,
        first: usize,
        states: &mut [Option<Box<Accumulated>>],
        mixed: &impl Fn(usize),
    ) {
        for (row, cells) in self.with_cells() {
            if self.budget.check().is_err() {
                return;
            }
            for (state, cell) in states.iter_mut().zip(&cells[first..]) {
                let Some(histogram) = cell else { continue };
                let is_mixed = match state {
                    None => {
                        let new = Accumulated::new(histogram);
                        self.new_bytes.fetch_add(new.size_bytes(), Ordering::Relaxed);
                        *state = Some(Box::new(new));
                        false
                    }
                    Some(state) if op == AggregateOp::Avg => state.add_to_mean(histogram),
                    Some(state) => state.add(histogram),
                };
                if is_mixed {
                    mixed(row);
                }
            }
        }
    }
}

/// The histograms of all groups; of most operators none.
pub(super) struct HistogramFold {
    op: AggregateOp,
    steps: usize,
    groups: Vec<Option<Seen>>,
}

impl HistogramFold {
    pub(super) fn new(op: AggregateOp, groups: usize, steps: usize) -> Self {
        Self { op, steps, groups: (0..groups).map(|_| None).collect() }
    }

    /// Adds rows, given those of each group; `mixed` is told of rows whose kind of buckets differs from those before.
    pub(super) fn add(
        &mut self,
        context: &Context<'_>,
        rows_of: &[Vec<u32>],
        histograms: &[Cells],
        mixed: impl Fn(usize) + Sync,
    ) -> Result<(), QueryError> {
        if histograms.is_empty() {
            return Ok(());
        }
        let (op, steps, new_bytes) = (self.op, self.steps, AtomicUsize::new(0));
        self.groups.par_iter_mut().zip(rows_of).with_min_len(GROUPS_MIN).for_each(|(seen, rows)| {
            let rows = Rows { rows, histograms, budget: context.budget, new_bytes: &new_bytes };
            if rows.with_cells().next().is_some() {
                seen.get_or_insert_with(|| Seen::new(op, steps)).add(op, &rows, &mixed);
            }
        });
        context.budget.check()?;
        context.charge(new_bytes.into_inner())
    }

    /// Adds the results to a table of what the floats came to, one row a group. States of sums are left to the context.
    pub(super) fn finish(self, context: &Context<'_>, span: Span, output: Output, vector: &mut Vector) {
        let mut notes = Notes::default();
        for (group, seen) in self.groups.into_iter().enumerate() {
            let Some(seen) = seen else { continue };
            let seen = match seen {
                Seen::Accumulated(sums) if output == Output::States => {
                    context.leave_sums(SumRow { series: vector.series[group].clone(), sums });
                    continue;
                }
                seen => seen,
            };
            let cells = seen.finish(self.op, vector.row_mut(group), &mut notes);
            if cells.is_some() {
                vector.histograms.resize(vector.series.len(), None);
                vector.histograms[group] = cells;
            }
        }
        context.notes(span, notes, "");
    }
}

impl Context<'_> {
    /// Folds the histograms of a table, if it has any.
    pub(super) fn fold_histograms(
        &self,
        op: AggregateOp,
        span: Span,
        input: &Vector,
        groups: &Groups,
    ) -> Result<Option<HistogramFold>, QueryError> {
        if !input.has_histograms() {
            return Ok(None);
        }
        let mut fold = HistogramFold::new(op, groups.rows.len(), input.steps);
        fold.add(self, &groups.rows, &input.histograms, |row| {
            self.note(span, Note::MixedBuckets, input.series[row].labels.metric_name());
        })?;
        Ok(Some(fold))
    }
}
