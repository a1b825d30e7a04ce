//! Aggregations directly over samples: `sum by (job) (rate(x[5m]))` without the table in between.
//!
//! The groups of all series are known from their labels. Series are then read a wave at a time, in parallel, and the wave's
//! rows are added to the groups' states in series order: results are those of the table to the last bit, and memory is one
//! wave and the states. Where that saves nothing, or equal labels would have to be looked for, the table is built.

use model::LabelSet;
use rayon::prelude::*;
use storage::{Samples, Series};

use super::super::kahan::{Kahan, Mean};
use super::super::label_ids::LabelIds;
use super::super::note::Note;
use super::super::range::{RangeCall, drops_name};
use super::super::selector::FilledRows;
use super::super::vector::{ABSENT, NAME_LABELS, Row, SeriesMeta, Vector, is_absent};
use super::super::{Context, Data};
use super::histograms::HistogramFold;
use super::state::{Count, Deviation, Group, Max, Min, State, Variance};
use super::{Output, keeps};
use crate::ast::{Aggregate, AggregateOp, NodeId, NodeKind, Span};
use crate::error::QueryError;

/// About how many cells one wave has.
const WAVE_CELLS: usize = 1 << 20;
/// The fewest and the most series of a wave.
const WAVE_SERIES: std::ops::RangeInclusive<usize> = 512..=16_384;
/// How many steps of a single group a worker adds at a time.
const STEPS_TILE: usize = 64;

/// What is read: an instant selector, or a function of a range selector.
enum Operand {
    Selector(NodeId),
    Call(Box<RangeCall>),
}

/// The groups of all series of a selector, in order of first appearance.
struct SeriesGroups {
    of_series: Vec<u32>,
    metas: Vec<SeriesMeta>,
    /// Series have lost their names before they are grouped.
    names_removed: bool,
}

impl Context<'_> {
    /// Evaluates an aggregation whose operand was left to it by the plan.
    pub(in super::super) fn streamed(
        &self,
        aggregate: &Aggregate,
        span: Span,
        operand: NodeId,
        output: Output,
        results: &mut [Option<Data>],
    ) -> Result<Vector, QueryError> {
        let grid = self.grid(operand);
        let (selector, drops) = match &self.expr.node(operand).kind {
            NodeKind::Call(function, args) => {
                let range = args.iter().map(|arg| self.expr.unwrap_parens(*arg));
                let selector = range.into_iter().find_map(|arg| match self.expr.node(arg).kind {
                    NodeKind::Range(selector, _) => Some(selector),
                    _ => None,
                });
                (selector.expect("the plan leaves ranges of selectors only"), drops_name(function.kind))
            }
            _ => (operand, false),
        };
        let series = &self.set_of(selector).series;
        let removed = drops && !self.config.delayed_name_removal;
        let groups = series_groups(aggregate, series, removed);
        let saves = groups.metas.len() * 2 <= series.len() && grid.steps > 0;
        if !saves || removed && !share_one_name(series) {
            let table = match &self.expr.node(operand).kind {
                NodeKind::Call(function, args) => self.range_call(function, args, grid, results)?,
                _ => self.selector(operand)?,
            };
            return self.aggregate(aggregate, span, None, table, grid, output);
        }
        let operand = match &self.expr.node(operand).kind {
            NodeKind::Call(function, args) => {
                Operand::Call(Box::new(self.range_arguments(function, args, grid, results)?))
            }
            _ => Operand::Selector(operand),
        };
        let mut vector = match aggregate.op {
            AggregateOp::Sum => self.stream::<Kahan>(aggregate, &operand, series, groups, grid.steps, output),
            AggregateOp::Avg => self.stream::<Mean>(aggregate, &operand, series, groups, grid.steps, output),
            AggregateOp::Min => self.stream::<Min>(aggregate, &operand, series, groups, grid.steps, output),
            AggregateOp::Max => self.stream::<Max>(aggregate, &operand, series, groups, grid.steps, output),
            AggregateOp::Count => {
                self.stream::<Count>(aggregate, &operand, series, groups, grid.steps, output)
            }
            AggregateOp::Group => {
                self.stream::<Group>(aggregate, &operand, series, groups, grid.steps, output)
            }
            AggregateOp::Stdvar => {
                self.stream::<Variance>(aggregate, &operand, series, groups, grid.steps, output)
            }
            AggregateOp::Stddev => {
                self.stream::<Deviation>(aggregate, &operand, series, groups, grid.steps, output)
            }
            other => Err(QueryError::Internal(format!("{other} does not stream"))),
        }?;
        vector.series.iter_mut().for_each(|series| series.drop_name = drops && !removed);
        let mut left = self.sums.lock().expect("no worker panics while it holds the lock");
        left.iter_mut().for_each(|row| row.series.drop_name = drops && !removed);
        Ok(vector)
    }

    fn stream<S: State>(
        &self,
        aggregate: &Aggregate,
        operand: &Operand,
        series: &[Series],
        groups: SeriesGroups,
        steps: usize,
        output: Output,
    ) -> Result<Vector, QueryError> {
        self.budget.cells(groups.metas.len(), steps)?;
        self.charge(groups.metas.len().saturating_mul(steps).saturating_mul(size_of::<Option<S>>()))?;
        let mut states: Vec<Option<S>> = vec![None; groups.metas.len() * steps];
        let operand_span = self.expr.node(aggregate.expr).span;
        let mut histograms = HistogramFold::new(aggregate.op, groups.metas.len(), steps);
        let mut rows_of: Vec<Vec<u32>> = vec![Vec::new(); groups.metas.len()];
        let mut present: Vec<u32> = Vec::new();
        let wave = (WAVE_CELLS / steps).clamp(*WAVE_SERIES.start(), *WAVE_SERIES.end());
        for start in (0..series.len()).step_by(wave) {
            let end = series.len().min(start + wave);
            let fill = |index: usize, buffer: &mut Samples, row: &mut Row| match operand {
                Operand::Selector(id) => self.instant_row(*id, &series[index], buffer, row),
                Operand::Call(call) => call.fill(self, index, buffer, row),
            };
            let filled = self.filled_rows(start..end, steps, fill)?;
            let (samples, charged) = (filled.samples(), filled.charged_bytes());
            present.extend(filled.with_floats(steps));
            let FilledRows { indexes, values, histograms: cells } = filled;
            self.budget.hold(samples)?;
            rows_of.iter_mut().for_each(Vec::clear);
            for (row, index) in indexes.iter().enumerate() {
                rows_of[groups.of_series[*index as usize] as usize].push(row as u32);
            }
            add_wave(&mut states, &rows_of, &values, steps);
            histograms.add(self, &rows_of, &cells, |row| {
                let labels = &series[indexes[row] as usize].labels;
                let name = if groups.names_removed { "" } else { labels.metric_name() };
                self.note(operand_span, Note::MixedBuckets, name);
            })?;
            self.budget.release(samples);
            self.give_back(charged);
        }
        if let Operand::Call(call) = operand {
            self.annotate_range(
                call,
                present.iter().map(|index| series[*index as usize].labels.metric_name()),
            );
        }
        let cells = output.cells::<S>();
        self.charge(states.len().saturating_mul(cells).saturating_mul(size_of::<f64>()))?;
        let mut vector =
            Vector { series: groups.metas, steps: steps * cells, values: Vec::new(), histograms: Vec::new() };
        vector.values = vec![ABSENT; states.len() * cells];
        output.put(states, &mut vector.values);
        histograms.finish(self, operand_span, output, &mut vector);
        vector.remove_empty_rows();
        Ok(vector)
    }
}

/// Adds rows to the states of their groups: groups side by side, or the stretches of a single one.
fn add_wave<S: State>(states: &mut [Option<S>], rows_of: &[Vec<u32>], values: &[f64], steps: usize) {
    if let [rows] = rows_of {
        states.par_chunks_mut(STEPS_TILE).enumerate().for_each(|(tile, states)| {
            let first = tile * STEPS_TILE;
            for row in rows {
                let start = *row as usize * steps + first;
                add_row(states, &values[start..start + states.len()]);
            }
        });
        return;
    }
    states.par_chunks_mut(steps).zip(rows_of).for_each(|(states, rows)| {
        for row in rows {
            let start = *row as usize * steps;
            add_row(states, &values[start..start + steps]);
        }
    });
}

/// Adds a row of samples to states, step by step.
pub(super) fn add_row<S: State>(states: &mut [Option<S>], row: &[f64]) {
    for (state, value) in states.iter_mut().zip(row) {
        if !is_absent(*value) {
            match state {
                Some(state) => state.add(*value),
                None => *state = Some(S::first(*value)),
            }
        }
    }
}

fn series_groups(aggregate: &Aggregate, series: &[Series], names_removed: bool) -> SeriesGroups {
    let mut groups = SeriesGroups { of_series: vec![0; series.len()], metas: Vec::new(), names_removed };
    if aggregate.grouping.is_empty() && !aggregate.without {
        groups.metas.push(SeriesMeta::new(LabelSet::empty()));
        return groups;
    }
    let mut ids = LabelIds::default();
    let keep = |name: &str| keeps(aggregate, name) && !(names_removed && NAME_LABELS.contains(&name));
    for (one, group) in series.iter().zip(&mut groups.of_series) {
        *group = ids.project(&one.labels, keep);
    }
    groups.metas = ids.into_sets().into_iter().map(SeriesMeta::new).collect();
    groups
}

/// Tells whether series stay different when their names go.
fn share_one_name(series: &[Series]) -> bool {
    let Some(first) = series.first() else { return true };
    let [name, others @ ..] = NAME_LABELS.map(|label| first.labels.get(label));
    others.iter().all(|other| other.is_empty())
        && series.iter().all(|one| NAME_LABELS.map(|label| one.labels.get(label)) == [name, "", ""])
}
