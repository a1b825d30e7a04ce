//! Aggregations: rows to groups.
//!
//! The group of each series is known from its labels before a sample is looked at. Groups, and stretches of steps
//! within a group, are independent, so they go to different workers; within one, series are added in input order.

mod count_values;
mod fold;
pub(super) mod histograms;
mod rank;
mod ratio;
pub(super) mod state;
mod stream;

use model::LabelSet;
use model::labels::METRIC_NAME;

use self::state::State;
use super::label_ids::LabelIds;
use super::note::Note;
use super::vector::{SeriesMeta, Vector};
use super::{Context, Data, quantile};
use crate::ast::{Aggregate, AggregateOp, Span};
use crate::error::QueryError;
use crate::plan::Grid;

/// What becomes of the states of an aggregation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// The result.
    Values,
    /// Themselves, [`State::CELLS`] cells a step, to be merged with those of other parts.
    States,
}

impl Output {
    pub(super) fn cells<S: State>(self) -> usize {
        if self == Self::States { S::CELLS } else { 1 }
    }

    /// Puts states into cells; those of groups that have seen nothing stay as they are.
    pub(super) fn put<S: State>(self, states: Vec<Option<S>>, out: &mut [f64]) {
        for (state, cells) in states.into_iter().zip(out.chunks_exact_mut(self.cells::<S>())) {
            match state {
                Some(state) if self == Self::States => state.ship(cells),
                Some(state) => cells[0] = state.finish(),
                None => {}
            }
        }
    }
}

/// How the rows of a vector fall into groups, in order of first appearance.
pub(super) struct Groups {
    pub(super) series: Vec<SeriesMeta>,
    /// The rows of each group, in order.
    pub(super) rows: Vec<Vec<u32>>,
}

impl Groups {
    /// Puts all rows into one group without labels.
    fn all(vector: &Vector) -> Self {
        if vector.series.is_empty() {
            return Self { series: Vec::new(), rows: Vec::new() };
        }
        let drop_name = vector.series.iter().any(|series| series.drop_name);
        let series = SeriesMeta { labels: LabelSet::empty(), drop_name };
        Self { series: vec![series], rows: vec![(0..vector.series.len() as u32).collect()] }
    }

    /// Groups rows by the labels whose names are kept.
    pub(super) fn new(vector: &Vector, keep: impl Fn(&str) -> bool) -> Self {
        let mut ids = LabelIds::default();
        let mut rows: Vec<Vec<u32>> = Vec::new();
        let mut drop_name = Vec::new();
        for (row, series) in vector.series.iter().enumerate() {
            let id = ids.project(&series.labels, &keep) as usize;
            rows.resize_with(ids.len(), Vec::new);
            drop_name.resize(ids.len(), false);
            rows[id].push(row as u32);
            drop_name[id] |= series.drop_name;
        }
        let series = ids.into_sets().into_iter().zip(drop_name);
        Self { series: series.map(|(labels, drop_name)| SeriesMeta { labels, drop_name }).collect(), rows }
    }
}

/// Tells whether an aggregation's groups have a label.
fn keeps(aggregate: &Aggregate, name: &str) -> bool {
    let is_listed = aggregate.grouping.iter().any(|label| label == name);
    if aggregate.without { name != METRIC_NAME && !is_listed } else { is_listed }
}

impl Context<'_> {
    /// Evaluates an aggregation.
    pub(super) fn aggregate(
        &self,
        aggregate: &Aggregate,
        span: Span,
        param: Option<Data>,
        mut input: Vector,
        grid: Grid,
        output: Output,
    ) -> Result<Vector, QueryError> {
        if let Some(Data::Text(label)) = &param {
            return self.count_values(aggregate, label, &input);
        }
        let groups = if aggregate.grouping.is_empty() && !aggregate.without {
            Groups::all(&input)
        } else {
            Groups::new(&input, |name| keeps(aggregate, name))
        };
        let operand_span = self.expr.node(aggregate.expr).span;
        let ignored = match aggregate.op {
            AggregateOp::Quantile => Some(operand_span),
            AggregateOp::TopK | AggregateOp::BottomK => Some(span),
            _ => None,
        };
        if let Some(span) = ignored.filter(|_| input.has_histograms()) {
            self.note(span, Note::IgnoredInAggregation(aggregate.op.as_str()), "");
            input.histograms.clear();
        }
        match (aggregate.op, param) {
            (AggregateOp::Quantile, Some(Data::Scalar(q))) => {
                self.warn_of_quantiles(aggregate, &q);
                self.quantiles(&q, &input, groups)
            }
            (
                op @ (AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK),
                Some(Data::Scalar(k)),
            ) => self.ranked(op, &k, input, &groups, grid),
            (AggregateOp::LimitRatio, Some(Data::Scalar(ratios))) => {
                let param = aggregate.param.expect("the parser gives this operator a parameter");
                self.limit_ratio(&ratios, self.argument_span(param), input)
            }
            (op, _) => self.fold(op, operand_span, &input, groups, output),
        }
    }

    fn warn_of_quantiles(&self, aggregate: &Aggregate, quantiles: &[f64]) {
        let Some(param) = aggregate.param else { return };
        let span = self.argument_span(param);
        let known = quantiles.iter().copied().filter(|q| !q.is_nan());
        let least = known.clone().fold(f64::INFINITY, f64::min);
        let most = known.fold(f64::NEG_INFINITY, f64::max);
        if quantiles.iter().any(|q| q.is_nan()) {
            self.warn(span, quantile::warning(f64::NAN));
        }
        if most > 1.0 {
            self.warn(span, quantile::warning(most));
        }
        if least < 0.0 {
            self.warn(span, quantile::warning(least));
        }
    }
}
