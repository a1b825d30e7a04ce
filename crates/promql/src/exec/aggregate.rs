//! Aggregations: rows to groups.
//!
//! The group of each series is known from its labels before a sample is looked at. Groups, and stretches of steps
//! within a group, are independent, so they go to different workers; within one, series are added in input order.

mod count_values;
mod fold;
mod rank;
mod ratio;
mod state;
mod stream;

use std::collections::HashMap;

use model::LabelSet;
use model::labels::METRIC_NAME;

use super::vector::{SeriesMeta, Vector};
use super::{Context, Data, quantile};
use crate::ast::{Aggregate, AggregateOp};
use crate::error::QueryError;
use crate::plan::Grid;

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

    /// Groups rows by the labels that a projection leaves.
    pub(super) fn new(vector: &Vector, project: impl Fn(&LabelSet) -> LabelSet) -> Self {
        let mut ids: HashMap<LabelSet, u32> = HashMap::new();
        let mut groups = Self { series: Vec::new(), rows: Vec::new() };
        for (row, series) in vector.series.iter().enumerate() {
            let labels = project(&series.labels);
            let id = *ids.entry(labels).or_insert_with_key(|labels| {
                groups.series.push(SeriesMeta::new(labels.clone()));
                groups.rows.push(Vec::new());
                (groups.series.len() - 1) as u32
            });
            groups.rows[id as usize].push(row as u32);
            groups.series[id as usize].drop_name |= series.drop_name;
        }
        groups
    }
}

fn project(aggregate: &Aggregate, labels: &LabelSet) -> LabelSet {
    let listed = |name: &str| aggregate.grouping.iter().any(|label| label == name);
    if aggregate.without {
        labels.filtered(|name| name != METRIC_NAME && !listed(name))
    } else {
        labels.filtered(listed)
    }
}

impl Context<'_> {
    /// Evaluates an aggregation.
    pub(super) fn aggregate(
        &self,
        aggregate: &Aggregate,
        param: Option<Data>,
        input: Vector,
        grid: Grid,
    ) -> Result<Vector, QueryError> {
        let groups = if aggregate.grouping.is_empty() && !aggregate.without {
            Groups::all(&input)
        } else {
            Groups::new(&input, |labels| project(aggregate, labels))
        };
        match (aggregate.op, param) {
            (AggregateOp::CountValues, Some(Data::Text(label))) => self.count_values(&label, &input, groups),
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
                self.limit_ratio(&ratios, self.expr.node(param).span, input)
            }
            (op, _) => self.fold(op, &input, groups),
        }
    }

    fn warn_of_quantiles(&self, aggregate: &Aggregate, quantiles: &[f64]) {
        let Some(param) = aggregate.param else { return };
        let span = self.expr.node(param).span;
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
