//! Native histograms in aggregations that keep one state a group and step. The floats are folded beside them, as if there
//! were no histograms; in the end both are put together.

use rayon::prelude::*;

use super::super::accumulate::Accumulated;
use super::super::note::{Note, Notes};
use super::super::vector::{ABSENT, Cell, Cells, Vector, is_absent, no_cells};
use super::super::{Context, SERIES_BLOCK};
use super::{Groups, Output};
use crate::ast::{AggregateOp, Span};
use crate::error::QueryError;

/// What a group has seen of histograms, by step.
enum Seen {
    /// `sum` and `avg`.
    Accumulated(Vec<Option<Box<Accumulated>>>),
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

    /// Adds a row; tells whether it made a step's histograms a mix of exponential and custom buckets.
    fn add(&mut self, op: AggregateOp, cells: &[Cell]) -> bool {
        let mut mixed = false;
        match self {
            Self::Accumulated(states) => {
                for (state, cell) in states.iter_mut().zip(cells) {
                    mixed |= match (cell, state) {
                        (None, _) => false,
                        (Some(histogram), state @ None) => {
                            *state = Some(Box::new(Accumulated::new(histogram)));
                            false
                        }
                        (Some(histogram), Some(state)) if op == AggregateOp::Avg => {
                            state.add_to_mean(histogram)
                        }
                        (Some(histogram), Some(state)) => state.add(histogram),
                    };
                }
            }
            Self::Counted(counts) => {
                for (count, cell) in counts.iter_mut().zip(cells) {
                    *count += u32::from(cell.is_some());
                }
            }
            Self::Ignored => {}
        }
        mixed
    }

    /// Puts the results of a group beside, or in the place of, what its floats came to.
    fn finish(self, op: AggregateOp, values: &mut [f64], notes: &mut Notes) -> Cells {
        match self {
            Self::Accumulated(states) => {
                let mut cells = no_cells(values.len());
                for ((state, value), cell) in states.into_iter().zip(values).zip(&mut cells) {
                    let Some(state) = state else { continue };
                    if !is_absent(*value) {
                        notes.add(Note::MixedGroup);
                        *value = ABSENT;
                        continue;
                    }
                    state.note(notes);
                    let result = if op == AggregateOp::Avg { state.mean() } else { state.sum() };
                    *cell = result.map(|mut histogram| {
                        histogram.compact();
                        histogram.into()
                    });
                }
                Some(cells)
            }
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
    pub(super) fn add<R: AsRef<[I]> + Sync, I: Copy + Into<u64> + Sync>(
        &mut self,
        rows_of: &[R],
        histograms: &[Cells],
        mixed: impl Fn(usize) + Sync,
    ) {
        if histograms.is_empty() {
            return;
        }
        let (op, steps) = (self.op, self.steps);
        self.groups.par_iter_mut().zip(rows_of).with_min_len(SERIES_BLOCK / 16).for_each(|(seen, rows)| {
            for row in rows.as_ref() {
                let row = Into::<u64>::into(*row) as usize;
                let Some(cells) = &histograms[row] else { continue };
                if seen.get_or_insert_with(|| Seen::new(op, steps)).add(op, cells) {
                    mixed(row);
                }
            }
        });
    }

    /// Adds the results to a table of what the floats came to, one row a group.
    pub(super) fn finish(self, context: &Context<'_>, span: Span, output: Output, vector: &mut Vector) {
        if output == Output::States {
            if self.groups.iter().any(Option::is_some) {
                context.note_unmergeable();
            }
            return;
        }
        let mut notes = Notes::default();
        for (group, seen) in self.groups.into_iter().enumerate() {
            let Some(seen) = seen else { continue };
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
        self.budget.check()?;
        let mut fold = HistogramFold::new(op, groups.rows.len(), input.steps);
        fold.add(&groups.rows, &input.histograms, |row| {
            self.note(span, Note::MixedBuckets, input.series[row].labels.metric_name());
        });
        Ok(Some(fold))
    }
}
