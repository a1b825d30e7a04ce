//! A node over parts of the series: what each part leaves, and how that becomes the node's result over all series.
//!
//! 1. Whoever has a part evaluates the nodes of a fragment over it ([`execute_part`]): rows stay rows, aggregations leave
//!    their states. All of it is a table, with one or more cells a step ([`cells_of`]).
//! 2. The tables travel as frames ([`frame`]).
//! 3. Who wants the result merges the tables, in an order that is always the same, and the nodes above go on from there.
//!
//! Which nodes these can be is decided in [`crate::push`]. What a part cannot see is whether labels of its rows, once
//! some were taken away or overwritten, are those of a row of another part: it then says so, and nothing of it is used.

mod frame;
pub(super) mod histogram;
mod merge;
mod sums;

use std::sync::atomic::Ordering;

use storage::{Reservation, SeriesSet};

pub(crate) use self::frame::{FrameError, decode, encode};
pub(super) use self::sums::SumRow;
pub(crate) use self::sums::heeds_order;
use super::aggregate::Output;
use super::aggregate::state::{Deviation, State, Variance};
use super::kahan::{Kahan, Mean};
use super::vector::{ABSENT, SeriesMeta, Vector, is_absent};
use super::{Budget, Context, Data};
use crate::annotation::Annotations;
use crate::ast::{AggregateOp, Expr, NodeId, NodeKind};
use crate::engine::EngineConfig;
use crate::error::QueryError;
use crate::function::FunctionKind;
use crate::plan::{Plan, Task};
use crate::value::QueryStats;

/// What an evaluation over a part of the series leaves.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// One a task.
    pub(crate) tables: Vec<Table>,
    pub(crate) annotations: Annotations,
    /// How many series each select of the part's plan had.
    pub(crate) selected: Vec<u64>,
    /// Those of the storage.
    pub(crate) warnings: Vec<String>,
    pub(crate) stats: QueryStats,
    /// The tables must not be used: rows of this part may have got labels that rows of another part have, where that
    /// matters.
    pub(crate) unmergeable: bool,
    /// What the tables take.
    pub(crate) memory: Option<Reservation>,
}

impl Part {
    /// Returns how many rows the tables have.
    pub(crate) fn rows(&self) -> u64 {
        self.tables.iter().map(|table| (table.rows.series.len() + table.sums.len()) as u64).sum()
    }
}

/// What a node leaves over some of its steps and some of its series.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Rows, or the states of aggregations of floats.
    pub(super) rows: Vector,
    /// The states of `sum` and `avg` of histograms.
    pub(super) sums: Vec<SumRow>,
}

impl Table {
    fn size_bytes(&self) -> u64 {
        self.rows.size_bytes() + self.sums.iter().map(SumRow::size_bytes).sum::<u64>()
    }
}

/// A table, and at which of the node's steps it begins.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) first: usize,
    pub(crate) table: Table,
}

/// A node that others have evaluated, piece by piece. Every step is covered for every series exactly once.
#[derive(Debug)]
pub(crate) struct Pushed {
    pub(crate) node: NodeId,
    pub(crate) pieces: Vec<Piece>,
}

/// Returns how many cells a step of a node's table has.
pub(crate) fn cells_of(expr: &Expr, node: NodeId) -> usize {
    match &expr.node(node).kind {
        NodeKind::Aggregate(aggregate) => match aggregate.op {
            AggregateOp::Sum => Kahan::CELLS,
            AggregateOp::Avg => Mean::CELLS,
            AggregateOp::Stdvar => Variance::CELLS,
            AggregateOp::Stddev => Deviation::CELLS,
            _ => 1,
        },
        NodeKind::Call(function, _) if function.kind == FunctionKind::Scalar => SCALAR_CELLS,
        _ => 1,
    }
}

/// The value and the number of samples that `scalar` has seen.
const SCALAR_CELLS: usize = 2;

/// Evaluates nodes over a part whose series are selected. `plan` is that of the tasks.
pub(crate) fn execute_part(
    expr: &Expr,
    plan: &Plan,
    tasks: &[Task],
    sets: &[SeriesSet],
    config: &EngineConfig,
    budget: &Budget,
) -> Result<Part, QueryError> {
    let context = Context::new(expr, plan, sets, config, budget);
    let mut results: Vec<Option<Data>> = Vec::with_capacity(expr.nodes.len());
    let mut tables: Vec<Option<Table>> = tasks.iter().map(|_| None).collect();
    for (id, _) in expr.nodes() {
        let mut data = None;
        if let Some(index) = tasks.iter().position(|task| task.node == id) {
            let rows = context.table(id, &mut results)?;
            let sums = context.take_sums(context.grid(id).steps)?;
            let table = Table { rows, sums };
            context.ledger.keep(id, &budget.memory, table.size_bytes())?;
            tables[index] = Some(table);
        } else if plan.wanted[id.index()] && !plan.inlined[id.index()] {
            data = context.node(id, &mut results)?;
        }
        results.push(data);
    }
    let tables = tables.into_iter().map(|table| table.expect("each task is a node")).collect();
    let unmergeable = context.unmergeable.load(Ordering::Relaxed);
    let (ledger, annotations) = context.finish();
    let memory = Some(ledger.finish_all());
    Ok(Part { tables, annotations, unmergeable, memory, ..Part::default() })
}

impl Context<'_> {
    /// Evaluates a node to what is merged with that of other parts.
    fn table(&self, id: NodeId, results: &mut [Option<Data>]) -> Result<Vector, QueryError> {
        let grid = self.grid(id);
        let node = self.expr.node(id);
        self.charge_operands(id, node, grid, results)?;
        match &node.kind {
            NodeKind::Aggregate(aggregate) if aggregate.op.folds() => {
                let operand = self.expr.unwrap_parens(aggregate.expr);
                let states = if self.plan.inlined[operand.index()] {
                    self.streamed(aggregate, node.span, operand, Output::States, results)?
                } else {
                    let input = self.take_vector(aggregate.expr, grid, results);
                    self.aggregate(aggregate, node.span, None, input, grid, Output::States)?
                };
                let cells = cells_of(self.expr, id);
                self.charge(states.series.len() * cells * grid.steps * size_of::<f64>())?;
                Ok(spread(states, cells, grid.steps))
            }
            NodeKind::Call(function, args) if function.kind == FunctionKind::Scalar => {
                Ok(seen(&self.take_vector(args[0], grid, results), grid.steps))
            }
            NodeKind::Call(function, _)
                if matches!(function.kind, FunctionKind::LabelReplace | FunctionKind::LabelJoin) =>
            {
                // Rows of equal labels meet when the tables are merged.
                let before = self.unmergeable.load(Ordering::Relaxed);
                let data = self.node(id, results)?;
                self.unmergeable.store(before, Ordering::Relaxed);
                self.vector_of(data, grid.steps)
            }
            _ => {
                let data = self.node(id, results)?;
                self.vector_of(data, grid.steps)
            }
        }
    }

    /// Takes the states of histograms that the node has left, repeated over so many steps if they are of one.
    fn take_sums(&self, steps: usize) -> Result<Vec<SumRow>, QueryError> {
        let mut rows =
            std::mem::take(&mut *self.sums.lock().expect("no worker panics while it holds the lock"));
        for row in rows.iter_mut().filter(|row| row.sums.len() != steps) {
            self.charge((row.size_bytes() as usize).saturating_mul(steps))?;
            row.sums = vec![row.sums[0].clone(); steps];
        }
        Ok(rows)
    }

    /// Returns rows for all steps; a parenthesis hands on what may have one step only.
    fn vector_of(&self, data: Option<Data>, steps: usize) -> Result<Vector, QueryError> {
        match data.map(|data| self.release(data)) {
            Some(Data::Vector(vector)) => {
                self.charge_spread(&vector, steps)?;
                Ok(vector.spread(steps))
            }
            _ => unreachable!("only nodes that yield vectors are pushed as rows"),
        }
    }
}

/// Repeats a table of one step over so many.
fn spread(table: Vector, cells: usize, steps: usize) -> Vector {
    if table.steps != cells || steps == 1 {
        return table;
    }
    let values = table.values.chunks_exact(cells).flat_map(|row| row.repeat(steps)).collect();
    let series = if steps == 0 { Vec::new() } else { table.series };
    Vector { series, steps: steps * cells, values, histograms: Vec::new() }
}

/// Returns for each step some sample, and how many there are; one row without labels, or none.
fn seen(vector: &Vector, steps: usize) -> Vector {
    let mut row = vec![ABSENT; steps * SCALAR_CELLS];
    for index in 0..vector.series.len() {
        for (value, cells) in vector.row(index).iter().zip(row.chunks_exact_mut(SCALAR_CELLS)) {
            if !is_absent(*value) {
                let count = if is_absent(cells[0]) { 0.0 } else { cells[1] };
                cells.copy_from_slice(&[*value, count + 1.0]);
            }
        }
    }
    let mut table = Vector::new(steps * SCALAR_CELLS);
    table.push(SeriesMeta::new(model::LabelSet::empty()), &row);
    table
}
