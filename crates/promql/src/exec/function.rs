//! Function calls: those of instant vectors and scalars; range vectors go to [`super::range`].

pub(super) mod date;
mod info;
mod label;
mod math;
mod native;
mod sort;

pub(super) use self::sort::nan_last;

use model::{LabelSet, MatchOp, Matcher};

use super::selector::Yield;
use super::vector::{ABSENT, Collisions, SeriesMeta, Vector, is_absent};
use super::{Context, Data};
use crate::ast::{NodeId, NodeKind, Span, ValueType};
use crate::error::QueryError;
use crate::function::{Function, FunctionKind as K};
use crate::plan::Grid;

impl Context<'_> {
    /// Evaluates a call.
    pub(super) fn call(
        &self,
        function: &Function,
        args: &[NodeId],
        grid: Grid,
        span: Span,
        results: &mut [Option<Data>],
    ) -> Result<Data, QueryError> {
        if function.args.contains(&ValueType::Matrix) {
            return Ok(Data::Vector(self.range_call(function, args, grid, results)?));
        }
        if function.returns == ValueType::Scalar {
            return Ok(Data::Scalar(self.scalar_call(function.kind, args, grid, results)?));
        }
        let vector = match function.kind {
            K::Vector => single(&self.take_scalar(args[0], grid, results)),
            K::Timestamp => self.timestamp(args[0], grid, results)?,
            K::StartTimestamp => self.start_timestamp(args[0], grid, results)?,
            K::Absent => self.absent(args[0], grid, results),
            K::LabelReplace => self.label_replace(args, grid, results)?,
            K::LabelJoin => self.label_join(args, grid, results)?,
            K::Sort | K::SortDesc | K::SortByLabel | K::SortByLabelDesc => {
                self.sort(function.kind, args, grid, span, results)?
            }
            K::HistogramQuantile => self.histogram_quantile(args, grid, results)?,
            K::HistogramQuantiles => self.histogram_quantiles(args, grid, results)?,
            K::HistogramFraction => self.histogram_fraction(args, grid, results)?,
            K::HistogramAvg
            | K::HistogramCount
            | K::HistogramStddev
            | K::HistogramStdvar
            | K::HistogramSum => self.histogram_call(function.kind, args[0], grid, results)?,
            _ => self.sample_call(function, args, grid, results)?,
        };
        Ok(Data::Vector(vector))
    }

    fn scalar_call(
        &self,
        kind: K,
        args: &[NodeId],
        grid: Grid,
        results: &mut [Option<Data>],
    ) -> Result<Vec<f64>, QueryError> {
        let constant = |value: f64| vec![value; grid.steps];
        let query = self.plan.query;
        Ok(match kind {
            K::Time => (0..grid.steps).map(|step| grid.time(step) as f64 / 1000.0).collect(),
            K::Pi => constant(std::f64::consts::PI),
            K::Start => constant(query.start_ms as f64 / 1000.0),
            K::End => constant(self.plan.query_end_ms as f64 / 1000.0),
            K::Step => constant(query.step_ms as f64 / 1000.0),
            K::Range => constant(self.plan.query_end_ms.saturating_sub(query.start_ms) as f64 / 1000.0),
            K::MinOf | K::MaxOf => {
                let (left, right) =
                    (self.take_scalar(args[0], grid, results), self.take_scalar(args[1], grid, results));
                let choose = if kind == K::MinOf { math::go_min } else { math::go_max };
                left.iter().zip(&right).map(|(a, b)| choose(*a, *b)).collect()
            }
            K::Scalar => only_samples(&self.take_vector(args[0], grid, results), grid.steps),
            other => return Err(QueryError::Internal(format!("{other:?} is not a scalar function"))),
        })
    }

    /// Evaluates a function that maps each sample by itself.
    fn sample_call(
        &self,
        function: &Function,
        args: &[NodeId],
        grid: Grid,
        results: &mut [Option<Data>],
    ) -> Result<Vector, QueryError> {
        let mut vector = match args.first() {
            Some(arg) => self.take_vector(*arg, grid, results),
            None => {
                let times: Vec<f64> = (0..grid.steps).map(|step| grid.time(step) as f64 / 1000.0).collect();
                single(&times)
            }
        };
        let mut scalars = Vec::new();
        for arg in args.iter().skip(1) {
            scalars.push(self.take_scalar(*arg, grid, results));
        }
        vector.remove_histograms();
        match function.kind {
            K::Clamp | K::ClampMin | K::ClampMax => clamp(function.kind, &mut vector, &scalars),
            K::Round => round(&mut vector, scalars.first()),
            kind => match math::function(kind).or_else(|| date::function(kind)) {
                Some(change) => vector.map(change),
                None => return Err(QueryError::Internal(format!("{kind:?} is not a function of samples"))),
            },
        }
        self.drop_names(&mut vector, Collisions::Merge)?;
        Ok(vector)
    }

    fn timestamp(&self, arg: NodeId, grid: Grid, results: &mut [Option<Data>]) -> Result<Vector, QueryError> {
        let inner = self.expr.unwrap_parens(arg);
        let mut vector = if self.plan.inlined[inner.index()] {
            self.selector_as(inner, Yield::Timestamp)?.spread(grid.steps)
        } else {
            let mut vector = self.take_vector(arg, grid, results);
            vector.replace_by(|step| grid.time(step) as f64 / 1000.0);
            vector
        };
        self.drop_names(&mut vector, Collisions::Merge)?;
        Ok(vector)
    }

    /// Only samples as stored have a start timestamp, and only where it is heeded.
    fn start_timestamp(
        &self,
        arg: NodeId,
        grid: Grid,
        results: &mut [Option<Data>],
    ) -> Result<Vector, QueryError> {
        let inner = self.expr.unwrap_parens(arg);
        if !self.plan.inlined[inner.index()] {
            self.take_vector(arg, grid, results);
            return Ok(Vector::new(grid.steps));
        }
        if !self.config.use_start_timestamps {
            return Ok(Vector::new(grid.steps));
        }
        let mut vector = self.selector_as(inner, Yield::StartTimestamp)?.spread(grid.steps);
        self.drop_names(&mut vector, Collisions::Merge)?;
        Ok(vector)
    }

    fn absent(&self, arg: NodeId, grid: Grid, results: &mut [Option<Data>]) -> Vector {
        let input = self.take_vector(arg, grid, results);
        let mut row = vec![1.0; grid.steps];
        for index in 0..input.series.len() {
            for (step, cell) in row.iter_mut().enumerate() {
                if input.has(index, step) {
                    *cell = ABSENT;
                }
            }
        }
        let mut vector = Vector::new(grid.steps);
        vector.push(SeriesMeta::new(self.absent_labels(self.expr.unwrap_parens(arg))), &row);
        vector
    }

    /// Returns the labels of something absent: those that a selector asks for by `=`, and only once.
    pub(super) fn absent_labels(&self, id: NodeId) -> LabelSet {
        let NodeKind::Selector(selector) = &self.expr.node(id).kind else {
            return LabelSet::empty();
        };
        let mut builder = LabelSet::empty().to_builder();
        let mut seen: Vec<&str> = Vec::new();
        // Prometheus sorts the conditions while it reads: those that only take series away come last.
        let required = |name: &str| selector.matchers.iter().any(|m| &*m.name == name && !m.matches(""));
        let subtracts = |m: &&Matcher| {
            !required(&m.name) || matches!(m.op, MatchOp::NotEqual | MatchOp::NotRegex) && m.matches("")
        };
        let (last, first): (Vec<_>, Vec<_>) = selector.matchers.iter().partition(subtracts);
        for matcher in first.into_iter().chain(last) {
            if &*matcher.name == model::labels::METRIC_NAME {
                continue;
            }
            if matcher.op == MatchOp::Equal && !seen.contains(&&*matcher.name) {
                builder.set(&*matcher.name, &*matcher.value);
                seen.push(&matcher.name);
            } else {
                builder.remove(&matcher.name);
            }
        }
        builder.build()
    }

    /// Returns a text argument.
    pub(super) fn take_text(&self, id: NodeId, results: &mut [Option<Data>]) -> Box<[u8]> {
        match results[id.index()].take() {
            Some(Data::Text(bytes)) => bytes,
            _ => unreachable!("the type check lets only strings stand here"),
        }
    }
}

/// Returns a vector of one series without labels.
fn single(values: &[f64]) -> Vector {
    let mut vector = Vector::new(values.len());
    vector.push(SeriesMeta::new(LabelSet::empty()), values);
    vector
}

/// Returns the sample of each step that has exactly one, else NaN.
fn only_samples(vector: &Vector, steps: usize) -> Vec<f64> {
    let mut values = vec![f64::NAN; steps];
    let mut counts = vec![0u32; steps];
    for index in 0..vector.series.len() {
        for (step, value) in vector.row(index).iter().enumerate() {
            if !is_absent(*value) {
                counts[step] += 1;
                values[step] = if counts[step] == 1 { *value } else { f64::NAN };
            }
        }
    }
    values
}

fn clamp(kind: K, vector: &mut Vector, scalars: &[Vec<f64>]) {
    match kind {
        K::ClampMin => vector.map_steps(|step, value| math::go_max(value, scalars[0][step])),
        K::ClampMax => vector.map_steps(|step, value| math::go_min(value, scalars[0][step])),
        _ => vector.map_steps(|step, value| {
            let (least, most) = (scalars[0][step], scalars[1][step]);
            if most < least { ABSENT } else { math::go_max(least, math::go_min(most, value)) }
        }),
    }
    vector.remove_empty_rows();
}

/// Rounds to the nearest multiple, ties up.
fn round(vector: &mut Vector, to: Option<&Vec<f64>>) {
    vector.map_steps(|step, value| {
        let inverse = 1.0 / to.map_or(1.0, |to| to[step]);
        (value * inverse + 0.5).floor() / inverse
    });
}
