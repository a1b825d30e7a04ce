//! Functions of range vectors: a window of samples at each step.
//!
//! A series is read once into a buffer; the windows of all steps are slices of it. Windows are open at their start and
//! closed at their end, and hold no staleness markers. Those of `anchored` and `smoothed` ranges also hold the samples
//! beside the borders.

mod counter;
mod cursor;
pub(super) mod extended;
mod histogram;
mod mixed;
mod over_time;
mod pace;
mod regression;
mod samples;
mod start_time;
mod transitions;

use std::sync::Mutex;

use storage::Samples;

use self::cursor::Cursor;
use self::pace::Pace;
pub(super) use self::samples::split;
use self::samples::{Histograms, HistogramsSeen, cells_to_histograms};
use super::vector::{ABSENT, Collisions, Row, SeriesMeta, Vector, is_absent};
use super::{Context, Data, quantile};
use crate::ast::{NodeId, NodeKind, Span, ValueType};
use crate::error::QueryError;
use crate::function::{Function, FunctionKind};
use crate::plan::{Grid, Reference};

/// The samples of one step: floats, histograms or both, but at least one.
pub(super) struct Window<'a> {
    /// Of the floats: milliseconds, ascending.
    pub(super) times: &'a [i64],
    pub(super) values: &'a [f64],
    /// Whether any float of the series is below the one before it.
    pub(super) falls: bool,
    /// Since when each sample has been counting, 0 for unknown; empty when that is unknown for all, or not to be heeded.
    pub(super) starts: &'a [i64],
    /// What each float stands for besides itself; empty when that is nothing for all.
    pub(super) hidden: &'a [u32],
    /// At other times than the floats.
    pub(super) histograms: HistogramsSeen<'a>,
    /// Open.
    pub(super) start_ms: i64,
    /// Closed.
    pub(super) end_ms: i64,
    /// The step's time; differs from `end_ms` by offset and `@`.
    pub(super) step_ms: i64,
    /// The scalar arguments at this step, in order.
    pub(super) params: [f64; 2],
}

/// A function of windows that hold floats only.
type WindowFn = fn(&Window<'_>) -> Option<f64>;

/// Tells whether a function's results lose their metric name.
pub(super) fn drops_name(kind: FunctionKind) -> bool {
    !matches!(kind, FunctionKind::LastOverTime | FunctionKind::FirstOverTime)
}

/// A call of a function with a range vector, its arguments taken.
pub(super) struct RangeCall {
    kind: FunctionKind,
    compute: WindowFn,
    source: Source,
    reference: Reference,
    matrix_span: Span,
    inner: NodeId,
    scalars: Vec<(Span, Vec<f64>)>,
    grid: Grid,
}

impl RangeCall {
    /// Fills the row of a series.
    pub(super) fn fill(
        &self,
        context: &Context<'_>,
        index: usize,
        buffer: &mut Samples,
        row: &mut Row,
    ) -> Result<(), QueryError> {
        let histograms = self.source.read(context, index, buffer)?;
        self.check_factors(buffer, &histograms)?;
        if !histograms.is_empty() {
            let metric = self.source.metric_name(context, index);
            return self.fill_mixed(context, metric, buffer, histograms, row);
        }
        let mut pace = Pace::new(context.budget);
        each_window(buffer, &histograms, &self.reference, &self.grid, &self.scalars, |step, window| {
            if pace.goes_on(window.values.len(), 0)
                && let Some(value) = (self.compute)(window)
            {
                row.values[step] = value;
            }
        });
        pace.end()?;
        if matches!(self.kind, FunctionKind::Rate | FunctionKind::Increase)
            && start_time::overlap_within(
                &buffer.timestamps,
                &buffer.start_timestamps,
                &self.reference,
                &self.grid,
            )
        {
            self.warn_of_overlap(context, self.source.metric_name(context, index));
        }
        Ok(())
    }

    fn warn_of_overlap(&self, context: &Context<'_>, metric: &str) {
        let name = model::labels::quote(metric);
        let text = "sample has start time that overlaps with previous sample timestamp for metric";
        context.warn(self.matrix_span, format!("{text} {name}"));
    }
}

impl RangeCall {
    /// Refuses factors of smoothing that are not between 0 and 1, where there is something to smooth.
    fn check_factors(&self, samples: &Samples, histograms: &Histograms) -> Result<(), QueryError> {
        if self.kind != FunctionKind::DoubleExponentialSmoothing {
            return Ok(());
        }
        let mut problem = None;
        each_window(samples, histograms, &self.reference, &self.grid, &self.scalars, |_, window| {
            problem = problem.take().or_else(|| regression::invalid_factor(&window.params));
        });
        problem.map_or(Ok(()), |problem| Err(QueryError::Execution(problem)))
    }
}

/// Where the samples come from.
enum Source {
    /// A selector's series.
    Stored(NodeId),
    /// A subquery's result and its grid.
    Computed(Vector, Grid),
}

impl Source {
    fn len(&self, context: &Context<'_>) -> usize {
        match self {
            Self::Stored(selector) => context.set_of(*selector).series.len(),
            Self::Computed(vector, _) => vector.series.len(),
        }
    }

    fn meta(&self, context: &Context<'_>, index: usize) -> SeriesMeta {
        match self {
            Self::Stored(selector) => SeriesMeta::new(context.set_of(*selector).series[index].labels.clone()),
            Self::Computed(vector, _) => vector.series[index].clone(),
        }
    }

    fn metric_name<'a>(&'a self, context: &'a Context<'_>, index: usize) -> &'a str {
        match self {
            Self::Stored(selector) => context.set_of(*selector).series[index].labels.metric_name(),
            Self::Computed(vector, _) => vector.series[index].labels.metric_name(),
        }
    }

    /// Reads all samples of a series, without staleness markers: floats into `out`, histograms are returned.
    fn read(&self, context: &Context<'_>, index: usize, out: &mut Samples) -> Result<Histograms, QueryError> {
        match self {
            Self::Stored(selector) => {
                context.read(*selector, &context.set_of(*selector).series[index], out)?;
                Ok(split(out))
            }
            Self::Computed(vector, grid) => {
                out.clear();
                for (step, value) in vector.row(index).iter().enumerate() {
                    if !is_absent(*value) {
                        out.push(grid.time(step), *value);
                    }
                }
                Ok(vector
                    .cells(index)
                    .map_or_else(Histograms::default, |cells| cells_to_histograms(cells, grid)))
            }
        }
    }
}

impl Context<'_> {
    /// Evaluates a function with a range vector among its arguments.
    pub(super) fn range_call(
        &self,
        function: &Function,
        args: &[NodeId],
        grid: Grid,
        results: &mut [Option<Data>],
    ) -> Result<Vector, QueryError> {
        let call = self.range_arguments(function, args, grid, results)?;
        if function.kind == FunctionKind::AbsentOverTime {
            return self.absent_over_time(call.inner, &call.source, &call.reference, grid);
        }
        let mut vector = self.rows(
            call.source.len(self),
            grid.steps,
            |index| call.source.meta(self, index),
            |index, buffer, row| call.fill(self, index, buffer, row),
        )?;
        let floats = (0..vector.series.len()).filter(|row| vector.has_floats(*row));
        self.annotate_range(&call, floats.map(|row| vector.series[row].labels.metric_name()));
        if drops_name(function.kind) {
            self.drop_names(&mut vector, Collisions::Refuse)?;
        }
        Ok(vector)
    }

    /// Takes the arguments of a function with a range vector among them.
    pub(super) fn range_arguments(
        &self,
        function: &Function,
        args: &[NodeId],
        grid: Grid,
        results: &mut [Option<Data>],
    ) -> Result<RangeCall, QueryError> {
        let position = function.args.iter().position(|arg| *arg == ValueType::Matrix);
        let matrix = args[position.expect("one argument is a range vector")];
        let scalars = args
            .iter()
            .filter(|arg| **arg != matrix)
            .map(|arg| (self.argument_span(*arg), self.take_scalar(*arg, grid, results)))
            .collect();
        let inner = self.expr.unwrap_parens(matrix);
        let reference = *self.reference(inner);
        let compute = match reference.mode.and_then(|mode| extended::function(function.kind, mode)) {
            Some(compute) => compute,
            None => window_fn(function.kind)?,
        };
        Ok(RangeCall {
            kind: function.kind,
            compute,
            source: self.source(matrix, inner, grid, results)?,
            reference,
            matrix_span: match &self.expr.node(inner).kind {
                // Prometheus forgets where a subquery stood: its notes point at the start of the query.
                NodeKind::Subquery(_) => Span::default(),
                _ => self.argument_span(matrix),
            },
            inner,
            scalars,
            grid,
        })
    }

    fn source(
        &self,
        matrix: NodeId,
        inner: NodeId,
        grid: Grid,
        results: &mut [Option<Data>],
    ) -> Result<Source, QueryError> {
        Ok(match &self.expr.node(inner).kind {
            NodeKind::Range(selector, _) => Source::Stored(*selector),
            NodeKind::Subquery(subquery) => {
                let steps = self.plan.subquery_grid(subquery, self.reference(inner), &grid, self.config)?;
                Source::Computed(self.take_vector(matrix, steps, results), steps)
            }
            _ => unreachable!("only selectors and subqueries are range vectors"),
        })
    }

    /// Adds the annotations of a call, given the metric names of the series that have a float for a result.
    pub(super) fn annotate_range<'a>(&self, call: &RangeCall, names: impl Iterator<Item = &'a str>) {
        let mut names = names.peekable();
        if names.peek().is_none() {
            return;
        }
        match call.kind {
            FunctionKind::QuantileOverTime => {
                let (span, values) = &call.scalars[0];
                for q in values.iter().filter(|q| quantile::is_unusual(**q)) {
                    self.warn(*span, quantile::warning(*q));
                }
            }
            FunctionKind::Rate | FunctionKind::Increase => {
                let mut last = None;
                for name in names {
                    if last != Some(name) && !counter::is_counter_name(name) {
                        let name = model::labels::quote(name);
                        let hint =
                            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:";
                        self.info(call.matrix_span, format!("{hint} {name}"));
                    }
                    last = Some(name);
                }
            }
            _ => {}
        }
    }

    fn absent_over_time(
        &self,
        inner: NodeId,
        source: &Source,
        reference: &Reference,
        grid: Grid,
    ) -> Result<Vector, QueryError> {
        let present = Mutex::new(vec![false; grid.steps]);
        self.blocks(source.len(self), super::SERIES_BLOCK, |block| {
            let _room = self.budget.memory.reserve(grid.steps as u64)?;
            let mut seen = vec![false; grid.steps];
            let mut buffer = Samples::default();
            for index in block {
                let histograms = source.read(self, index, &mut buffer)?;
                each_window(&buffer, &histograms, reference, &grid, &[], |step, _| seen[step] = true);
            }
            let mut present = present.lock().expect("no worker panics while it holds the lock");
            present.iter_mut().zip(seen).for_each(|(present, seen)| *present |= seen);
            Ok(())
        })?;
        let selector = match self.expr.node(inner).kind {
            NodeKind::Range(selector, _) => selector,
            _ => inner,
        };
        let present = present.into_inner().expect("no worker panics while it holds the lock");
        let row: Vec<f64> = present.iter().map(|present| if *present { ABSENT } else { 1.0 }).collect();
        let mut vector = Vector::new(grid.steps);
        vector.push(SeriesMeta::new(self.absent_labels(selector)), &row);
        Ok(vector)
    }
}

/// Returns a window of floats, for a function without further arguments.
fn window_of<'a>(
    samples: &'a Samples,
    seen: std::ops::Range<usize>,
    reference: &Reference,
    step_ms: i64,
) -> Window<'a> {
    let end_ms = reference.window_end(step_ms);
    Window {
        times: &samples.timestamps[seen.clone()],
        values: &samples.floats[seen.clone()],
        falls: true,
        starts: samples.start_timestamps.get(seen.clone()).unwrap_or_default(),
        hidden: samples.hidden.get(seen).unwrap_or_default(),
        histograms: HistogramsSeen::default(),
        start_ms: end_ms.saturating_sub(reference.range_ms),
        end_ms,
        step_ms,
        params: [0.0; 2],
    }
}

/// Tells whether any value is below the one before it; counters seldom are, and one pass says so for all windows.
fn falls(values: &[f64]) -> bool {
    // No early end, so that several are compared at a time.
    values.windows(2).fold(false, |falls, pair| falls | (pair[1] < pair[0]))
}

/// Calls `visit` with each step whose window holds a sample.
fn each_window(
    samples: &Samples,
    histograms: &Histograms,
    reference: &Reference,
    grid: &Grid,
    scalars: &[(Span, Vec<f64>)],
    mut visit: impl FnMut(usize, &Window<'_>),
) {
    let mut cursor = Cursor::new(&samples.timestamps, reference);
    let mut histogram_cursor = Cursor::new(&histograms.times, reference);
    let falls = falls(&samples.floats);
    for step in 0..grid.steps {
        let step_ms = grid.time(step);
        let end_ms = reference.window_end(step_ms);
        let (seen, histograms_seen) = (cursor.advance(end_ms), histogram_cursor.advance(end_ms));
        if seen.is_none() && histograms_seen.is_none() {
            continue;
        }
        let seen = seen.unwrap_or_default();
        let param = |index: usize| scalars.get(index).map_or(0.0, |(_, values)| values[step]);
        let window = Window {
            times: &samples.timestamps[seen.clone()],
            values: &samples.floats[seen.clone()],
            falls,
            starts: samples.start_timestamps.get(seen.clone()).unwrap_or_default(),
            hidden: samples.hidden.get(seen).unwrap_or_default(),
            histograms: histograms.seen(histograms_seen.unwrap_or_default()),
            start_ms: end_ms.saturating_sub(reference.range_ms),
            end_ms,
            step_ms,
            params: [param(0), param(1)],
        };
        visit(step, &window);
    }
}

fn window_fn(kind: FunctionKind) -> Result<WindowFn, QueryError> {
    use FunctionKind as K;
    Ok(match kind {
        K::Rate => counter::rate,
        K::Increase => counter::increase,
        K::Delta => counter::delta,
        K::Irate => counter::irate,
        K::Idelta => counter::idelta,
        K::Resets => counter::resets,
        K::Changes => counter::changes,
        K::Deriv => regression::deriv,
        K::PredictLinear => regression::predict_linear,
        K::DoubleExponentialSmoothing => regression::double_exponential_smoothing,
        K::AvgOverTime => over_time::avg,
        K::SumOverTime => over_time::sum,
        K::MinOverTime => over_time::min,
        K::MaxOverTime => over_time::max,
        K::CountOverTime => over_time::count,
        K::LastOverTime => over_time::last,
        K::FirstOverTime => over_time::first,
        K::PresentOverTime | K::AbsentOverTime => |_| Some(1.0),
        K::StdvarOverTime => over_time::stdvar,
        K::StddevOverTime => over_time::stddev,
        K::QuantileOverTime => over_time::quantile,
        K::MadOverTime => over_time::mad,
        K::TsOfMinOverTime => over_time::ts_of_min,
        K::TsOfMaxOverTime => over_time::ts_of_max,
        K::TsOfFirstOverTime => over_time::ts_of_first,
        K::TsOfLastOverTime => over_time::ts_of_last,
        other => return Err(QueryError::Internal(format!("{other:?} is not a function of range vectors"))),
    })
}
