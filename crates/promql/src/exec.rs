//! Execution: nodes in arena order, each from the results of its children.
//!
//! Labels first: a node knows the labels, groups and matches of its result before it touches a sample, so the inner
//! loops run along rows of floats. Work on series is cut into blocks of [`SERIES_BLOCK`]; a worker takes a block, reads
//! and evaluates it in buffers of its own, and checks the [`Budget`] once. The order of results, and of floating point
//! sums, does not depend on how many workers there are.

mod accumulate;
mod aggregate;
mod binary;
mod budget;
mod function;
mod histogram;
mod kahan;
mod label_ids;
mod ledger;
mod measure;
mod note;
mod partial;
mod quantile;
mod range;
mod result;
mod selector;
mod vector;

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rayon::prelude::*;
use storage::{Reservation, SeriesSet};

use self::aggregate::Output;
pub(crate) use self::budget::{Budget, StopReason};
use self::ledger::Ledger;
pub(crate) use self::measure::Measures;
pub use self::measure::NodeStats;
use self::measure::StepSamples;
use self::partial::SumRow;
pub(crate) use self::partial::{FrameError, Part, Piece, Pushed, decode, encode, execute_part, heeds_order};
use self::vector::{Collisions, NAME_LABELS, Vector, changed};
use crate::annotation::{Annotations, Level};
use crate::ast::{Expr, NodeId, NodeKind, Span, UnaryOp, ValueType};
use crate::engine::EngineConfig;
use crate::error::QueryError;
use crate::function::FunctionKind;
use crate::plan::{Grid, Plan};
use crate::value::{MatrixSeries, Value};

/// How many series a worker takes at a time: enough to pay for the hand-over, few enough to stop soon.
const SERIES_BLOCK: usize = 256;
/// How many blocks a worker takes of one query before it looks for those of others: workers finish what they began
/// first, so without turns a small query would wait for the end of a big one. What is lost is half a block a turn.
const BLOCKS_PER_TURN: usize = 8;

/// The result of a node.
#[derive(Debug)]
enum Data {
    /// One float a step.
    Scalar(Vec<f64>),
    Vector(Vector),
    Text(Box<[u8]>),
    /// Samples as stored, of a range that is the whole query.
    Stored(Vec<MatrixSeries>),
}

/// What all nodes of a query share.
struct Context<'a> {
    expr: &'a Expr,
    plan: &'a Plan,
    sets: &'a [SeriesSet],
    config: &'a EngineConfig,
    budget: &'a Budget,
    ledger: Ledger,
    annotations: Mutex<Annotations>,
    /// What is evaluated here holds for this part of the series only: see [`Part::unmergeable`].
    unmergeable: AtomicBool,
    /// States of an aggregation's histograms, until they are put into its table.
    sums: Mutex<Vec<SumRow>>,
    /// Whether each node is measured.
    explains: bool,
    step_samples: Option<StepSamples>,
}

/// What a query whose series are selected yields.
pub(crate) struct Executed {
    pub(crate) value: Value,
    /// What was reserved for the value.
    pub(crate) memory: Reservation,
    pub(crate) annotations: Annotations,
    pub(crate) measures: Measures,
}

/// What is to be measured of a query.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measuring {
    pub(crate) nodes: bool,
    pub(crate) step_samples: bool,
}

/// Evaluates a query whose series are selected, and some of whose nodes others have evaluated.
pub(crate) fn execute(
    expr: &Expr,
    plan: &Plan,
    sets: &[SeriesSet],
    pushed: Vec<Pushed>,
    config: &EngineConfig,
    budget: &Budget,
    measuring: Measuring,
) -> Result<Executed, QueryError> {
    let mut context = Context::new(expr, plan, sets, config, budget);
    context.explains = measuring.nodes;
    context.step_samples = measuring.step_samples.then(|| StepSamples::new(expr, plan.query));
    let mut results: Vec<Option<Data>> = Vec::with_capacity(expr.nodes.len());
    let mut measures = Measures::default();
    let mut pushed = pushed.into_iter().peekable();
    for (id, _) in expr.nodes() {
        let (data, stats) = match pushed.next_if(|pushed| pushed.node == id) {
            Some(pushed) => context.measured(|| context.merged(pushed, &mut results).map(Some))?,
            None if plan.wanted[id.index()] && !plan.inlined[id.index()] => {
                context.measured(|| context.node(id, &mut results))?
            }
            None => (None, None),
        };
        results.push(data);
        measures.nodes.push(stats);
    }
    let root = results.pop().flatten().expect("the root is evaluated");
    let value = context.value(root)?;
    measures.step_samples = context.step_samples.take().map_or(Vec::new(), StepSamples::into_counts);
    let (ledger, annotations) = context.finish();
    Ok(Executed { value, memory: ledger.finish(), annotations, measures })
}

impl<'a> Context<'a> {
    fn new(
        expr: &'a Expr,
        plan: &'a Plan,
        sets: &'a [SeriesSet],
        config: &'a EngineConfig,
        budget: &'a Budget,
    ) -> Self {
        let ledger = Ledger::new(&budget.memory, expr.nodes.len());
        let (annotations, unmergeable) = (Mutex::default(), AtomicBool::new(false));
        let (sums, explains, step_samples) = (Mutex::default(), false, None);
        Self {
            expr,
            plan,
            sets,
            config,
            budget,
            ledger,
            annotations,
            unmergeable,
            sums,
            explains,
            step_samples,
        }
    }

    fn finish(self) -> (Ledger, Annotations) {
        self.note_resolutions();
        let annotations = self.annotations.into_inner().expect("no worker panics while it holds the lock");
        (self.ledger, annotations)
    }

    /// Says of selectors whose samples are coarser than the query would have them that they are, and why.
    fn note_resolutions(&self) {
        for (id, node) in self.expr.nodes() {
            let select = self.plan.select_of[id.index()];
            let Some(coarse) = self.sets.get(select).and_then(|set| set.coarse) else { continue };
            if coarse.resolution_ms > self.plan.selects[select].resolution.wish_ms {
                let resolution = model::time::format_duration_ms(coarse.resolution_ms.unsigned_abs());
                let text =
                    "finer samples are gone for a part of the range, which was read at a resolution of";
                self.info(node.span, format!("{text} {resolution}"));
            }
        }
    }

    /// Leaves states for the table of the node that is evaluated.
    fn leave_sums(&self, row: SumRow) {
        self.sums.lock().expect("no worker panics while it holds the lock").push(row);
    }

    /// Notes that the result cannot be merged with that of other parts of the series.
    fn note_unmergeable(&self) {
        self.unmergeable.store(true, Ordering::Relaxed);
    }
}

impl Context<'_> {
    /// Evaluates a node whose children are evaluated; `None` for ranges that their function reads itself.
    fn node(&self, id: NodeId, results: &mut [Option<Data>]) -> Result<Option<Data>, QueryError> {
        self.budget.check()?;
        let grid = self.grid(id);
        let node = self.expr.node(id);
        self.charge(grid.steps.saturating_mul(size_of::<f64>()))?;
        self.charge_operands(id, node, grid, results)?;
        let data = match &node.kind {
            // Inside of a subquery without a step nothing is evaluated, so nothing can be wrong with it.
            _ if grid.steps == 0 && self.expr.type_of(id) == ValueType::Vector => {
                node.for_each_child(|child| {
                    if results[child.index()].is_some() {
                        self.take(child, grid, results);
                    }
                });
                Data::Vector(Vector::new(0))
            }
            NodeKind::Number(value) | NodeKind::Duration(value) => Data::Scalar(vec![*value; grid.steps]),
            NodeKind::String(bytes) => Data::Text(bytes.clone()),
            // A subquery's table has steps of its own, so nothing is repeated here.
            NodeKind::Paren(child) => match results[child.index()].take() {
                Some(data) => {
                    self.ledger.use_operand(*child);
                    self.release(data)
                }
                None => return Ok(None),
            },
            NodeKind::Unary(UnaryOp::Plus, child) => self.take(*child, grid, results),
            NodeKind::Unary(UnaryOp::Minus, child) => self.negate(self.take(*child, grid, results))?,
            NodeKind::Selector(_) => Data::Vector(self.selector(id)?),
            NodeKind::Range(selector, _) if id == self.expr.unwrap_parens(self.expr.root()) => {
                Data::Stored(self.stored_range(*selector)?)
            }
            NodeKind::Range(..) => return Ok(None),
            NodeKind::Subquery(subquery) => {
                let inner = self.plan.subquery_grid(subquery, self.reference(id), &grid, self.config)?;
                Data::Vector(self.take_vector(subquery.expr, inner, results))
            }
            NodeKind::Binary(binary) => {
                let (lhs, rhs) = (self.take(binary.lhs, grid, results), self.take(binary.rhs, grid, results));
                self.binary(binary, node.span, lhs, rhs)?
            }
            NodeKind::Aggregate(aggregate)
                if self.plan.inlined[self.expr.unwrap_parens(aggregate.expr).index()] =>
            {
                let operand = self.expr.unwrap_parens(aggregate.expr);
                let vector = self.streamed(aggregate, node.span, operand, Output::Values, results)?;
                self.charge_spread(&vector, grid.steps)?;
                Data::Vector(vector.spread(grid.steps))
            }
            NodeKind::Aggregate(aggregate) => {
                let param = aggregate.param.map(|param| self.take(param, grid, results));
                let input = self.take_vector(aggregate.expr, grid, results);
                Data::Vector(self.aggregate(aggregate, node.span, param, input, grid, Output::Values)?)
            }
            NodeKind::Call(function, args) if function.kind == FunctionKind::Info => {
                Data::Vector(self.info_call(id, args, grid, results)?)
            }
            NodeKind::Call(function, args) => self.call(function, args, grid, node.span, results)?,
        };
        if let Data::Vector(vector) = &data {
            self.budget.hold(vector.samples())?;
        }
        self.ledger.keep(id, &self.budget.memory, data.size_bytes())?;
        Ok(Some(data))
    }

    fn grid(&self, id: NodeId) -> Grid {
        self.plan.grids[id.index()]
    }

    fn reference(&self, id: NodeId) -> &crate::plan::Reference {
        &self.plan.references[id.index()]
    }

    /// Takes a child's result, repeated over the parent's grid when it has one step only.
    fn take(&self, id: NodeId, grid: Grid, results: &mut [Option<Data>]) -> Data {
        let data = results[id.index()].take().expect("children are evaluated before parents, and used once");
        self.ledger.use_operand(id);
        self.spread(data, grid)
    }

    /// Takes a result out of the count of what is held.
    fn release(&self, data: Data) -> Data {
        if let Data::Vector(vector) = &data {
            self.budget.release(vector.samples());
        }
        data
    }

    fn spread(&self, data: Data, grid: Grid) -> Data {
        match self.release(data) {
            Data::Scalar(values) if values.len() == 1 && grid.steps != 1 => {
                Data::Scalar(vec![values[0]; grid.steps])
            }
            Data::Vector(vector) => Data::Vector(vector.spread(grid.steps)),
            other => other,
        }
    }

    fn take_vector(&self, id: NodeId, grid: Grid, results: &mut [Option<Data>]) -> Vector {
        match self.take(id, grid, results) {
            Data::Vector(vector) => vector,
            _ => unreachable!("the type check lets only vectors stand here"),
        }
    }

    fn take_scalar(&self, id: NodeId, grid: Grid, results: &mut [Option<Data>]) -> Vec<f64> {
        match self.take(id, grid, results) {
            Data::Scalar(values) => values,
            _ => unreachable!("the type check lets only scalars stand here"),
        }
    }

    /// Returns where an argument stands, parentheses around it left out.
    fn argument_span(&self, id: NodeId) -> Span {
        self.expr.node(self.expr.unwrap_parens(id)).span
    }

    fn negate(&self, data: Data) -> Result<Data, QueryError> {
        Ok(match data {
            Data::Scalar(mut values) => {
                values.iter_mut().for_each(|value| *value = -*value);
                Data::Scalar(values)
            }
            Data::Vector(mut vector) => {
                vector.map(|value| -value);
                vector
                    .map_histograms(|_, histogram| Some(changed(histogram, |negative| negative.scale(-1.0))));
                self.drop_names(&mut vector, Collisions::Merge)?;
                Data::Vector(vector)
            }
            _ => unreachable!("the type check lets only numbers be negated"),
        })
    }

    /// Removes the metric names of a result, or marks them for removal at the end.
    fn drop_names(&self, vector: &mut Vector, collisions: Collisions) -> Result<(), QueryError> {
        if self.config.delayed_name_removal {
            vector.series.iter_mut().for_each(|series| series.drop_name = true);
            return Ok(());
        }
        let extra = |label: (&str, &str)| NAME_LABELS[1..].contains(&label.0);
        if vector.series.iter().any(|series| series.labels.iter().any(extra)) {
            self.note_unmergeable();
        }
        vector.remove_names(|_| true, collisions)
    }

    fn warn(&self, span: Span, text: impl Into<String>) {
        self.annotate(Level::Warning, span, text.into());
    }

    fn info(&self, span: Span, text: impl Into<String>) {
        self.annotate(Level::Info, span, text.into());
    }

    fn annotate(&self, level: Level, span: Span, text: String) {
        self.annotations.lock().expect("no worker panics while it holds the lock").add(level, text, span);
    }

    /// Runs work over `0..len` in blocks, in parallel, and in turns with other queries; results in order. Stops at the first
    /// error.
    fn blocks<T: Send>(
        &self,
        len: usize,
        block: usize,
        work: impl Fn(Range<usize>) -> Result<T, QueryError> + Sync,
    ) -> Result<Vec<T>, QueryError> {
        let run = |index: usize| {
            self.budget.check()?;
            let began = Instant::now();
            let result = work(index * block..len.min((index + 1) * block));
            self.budget.worked(began.elapsed());
            result
        };
        let count = len.div_ceil(block);
        if count <= 1 {
            return (0..count).map(run).collect();
        }
        let turn = rayon::current_num_threads() * BLOCKS_PER_TURN;
        let mut results = Vec::with_capacity(count);
        for first in (0..count).step_by(turn) {
            let part: Result<Vec<T>, QueryError> =
                (first..count.min(first + turn)).into_par_iter().map(run).collect();
            results.extend(part?);
        }
        Ok(results)
    }

    fn value(&self, root: Data) -> Result<Value, QueryError> {
        let grid = self.plan.query;
        let instant = grid.step_ms == 0;
        self.ledger.use_operand(self.expr.root());
        if let Data::Vector(vector) = &root {
            self.charge_spread(vector, grid.steps)?;
            self.charge(result::size_bytes(vector))?;
        }
        Ok(match self.spread(root, grid) {
            Data::Scalar(values) if instant => Value::Scalar { time_ms: grid.start_ms, value: values[0] },
            Data::Scalar(values) => result::scalar_matrix(&values, grid),
            Data::Text(bytes) => {
                let value = String::from_utf8_lossy(&bytes).into_owned();
                Value::String { time_ms: grid.start_ms, value }
            }
            Data::Stored(series) => Value::Matrix(series),
            Data::Vector(mut vector) => {
                vector.remove_names(|series| series.drop_name, Collisions::Merge)?;
                match self.expr.value_type() {
                    ValueType::Matrix => {
                        let id = self.expr.unwrap_parens(self.expr.root());
                        result::matrix(vector, self.subquery_result_grid(id)?)
                    }
                    _ if instant => result::vector(vector, grid.start_ms),
                    _ => result::matrix(vector, grid),
                }
            }
        })
    }

    fn subquery_result_grid(&self, id: NodeId) -> Result<Grid, QueryError> {
        match &self.expr.node(id).kind {
            NodeKind::Subquery(subquery) => {
                self.plan.subquery_grid(subquery, self.reference(id), &self.grid(id), self.config)
            }
            _ => unreachable!("a computed range vector comes from a subquery"),
        }
    }
}
