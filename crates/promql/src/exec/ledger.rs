//! Which node of a query holds how many bytes.
//!
//! While a node is evaluated it charges what it is about to allocate, and its operands' bytes stay reserved. At its end
//! exactly what its result takes is kept under its name, until its parent has used it.

use std::sync::{Arc, Mutex, MutexGuard};

use model::FloatHistogram;
use storage::{QueryMemory, Reservation, Samples, Series};

use super::vector::Vector;
use super::{Context, Data};
use crate::ast::{Node, NodeId, NodeKind};
use crate::error::QueryError;
use crate::plan::Grid;
use crate::value;

/// What a decoded float takes: its time and its value.
const SAMPLE_BYTES: u64 = 16;

/// The bytes of all nodes of one query.
pub(super) struct Ledger(Mutex<State>);

struct State {
    /// What the node that is evaluated charged.
    working: Reservation,
    /// What its operands take.
    operands: Vec<Reservation>,
    /// By node: what the result takes that its parent has not used yet.
    results: Vec<Option<Reservation>>,
    last: Kept,
}

/// What the node that ended last took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    /// The most bytes charged at a time.
    pub(super) charged: u64,
    /// The bytes of its result.
    pub(super) bytes: u64,
}

impl Ledger {
    pub(super) fn new(memory: &QueryMemory, nodes: usize) -> Self {
        let results = std::iter::repeat_with(|| None).take(nodes).collect();
        let (working, last) = (memory.empty(), Kept::default());
        Self(Mutex::new(State { working, operands: Vec::new(), results, last }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no worker panics while it holds the lock")
    }

    /// Notes that a node's result is used by the node that is evaluated.
    pub(super) fn use_operand(&self, id: NodeId) {
        let mut state = self.state();
        let held = state.results[id.index()].take();
        state.operands.extend(held);
    }

    /// Ends a node: keeps what its result takes, and gives back all else.
    pub(super) fn keep(&self, id: NodeId, memory: &QueryMemory, bytes: u64) -> Result<(), QueryError> {
        let mut state = self.state();
        state.operands.clear();
        let mut working = std::mem::replace(&mut state.working, memory.empty());
        state.last = Kept { charged: working.peak().max(bytes), bytes };
        working.resize(bytes)?;
        state.results[id.index()] = Some(working);
        Ok(())
    }

    /// Returns what the node that ended last took.
    pub(super) fn last_kept(&self) -> Kept {
        self.state().last
    }

    /// Ends the evaluation of some nodes: returns what is kept for all results.
    pub(super) fn finish_all(self) -> Reservation {
        let State { mut working, results, .. } =
            self.0.into_inner().expect("no worker panics while it holds the lock");
        results.into_iter().flatten().for_each(|result| working.absorb(result));
        working
    }

    /// Ends the query: returns what was charged for its value.
    pub(super) fn finish(self) -> Reservation {
        self.0.into_inner().expect("no worker panics while it holds the lock").working
    }
}

impl Context<'_> {
    /// Reserves bytes for the node that is evaluated, before they are allocated.
    pub(super) fn charge(&self, bytes: usize) -> Result<(), QueryError> {
        Ok(self.ledger.state().working.grow(bytes as u64)?)
    }

    /// Reserves what operands of one step take once they are repeated over the steps of their parent.
    pub(super) fn charge_operands(
        &self,
        id: NodeId,
        node: &Node,
        grid: Grid,
        results: &[Option<Data>],
    ) -> Result<(), QueryError> {
        let steps = match &node.kind {
            NodeKind::Subquery(subquery) => {
                self.plan.subquery_grid(subquery, self.reference(id), &grid, self.config)?.steps
            }
            _ => grid.steps,
        };
        let mut charged = Ok(());
        node.for_each_child(|child| {
            if let (Ok(()), Some(data)) = (&charged, &results[child.index()]) {
                charged = match data {
                    Data::Scalar(_) => self.charge(steps.saturating_mul(size_of::<f64>())),
                    Data::Vector(vector) => self.charge_spread(vector, steps),
                    _ => Ok(()),
                };
            }
        });
        charged
    }

    /// Reserves what a vector takes once it is repeated over so many steps.
    pub(super) fn charge_spread(&self, vector: &Vector, steps: usize) -> Result<(), QueryError> {
        let repeats = vector.steps == 1 && steps != 1;
        let cells = if repeats { vector.series.len().saturating_mul(steps) } else { 0 };
        self.charge(cells.saturating_mul(size_of::<f64>()))
    }

    /// Gives back bytes that were charged and are freed before the node ends.
    pub(super) fn give_back(&self, bytes: usize) {
        self.ledger.state().working.shrink(bytes as u64);
    }

    /// Fails when there is no room for what decoding a series may add to a buffer. The worker holds the buffer's bytes.
    pub(super) fn room_to_read(&self, series: &Series, buffer: &Samples) -> Result<(), QueryError> {
        let more = series.samples.sample_count_max().saturating_sub(buffer.timestamps.capacity());
        if more > 0 {
            self.budget.memory.reserve(more as u64 * SAMPLE_BYTES)?;
        }
        Ok(())
    }

    /// Returns a guard for what one worker holds while it works on a block.
    pub(super) fn block_memory(&self) -> Reservation {
        self.budget.memory.empty()
    }

    /// Keeps for the node what a worker's block results in.
    pub(super) fn keep_block(&self, block: Reservation) {
        self.ledger.state().working.absorb(block);
    }
}

/// Returns what decoded samples take.
pub(super) fn samples_bytes(samples: &Samples) -> u64 {
    let columns =
        samples.timestamps.capacity() + samples.floats.capacity() + samples.start_timestamps.capacity();
    let entries = samples.histograms.capacity() * size_of::<(u32, Arc<FloatHistogram>)>();
    let histograms: usize =
        samples.histograms.iter().map(|(_, histogram)| value::unshared_bytes(histogram)).sum();
    (columns * size_of::<i64>() + entries + histograms) as u64
}

impl Data {
    /// Returns what a result takes, labels that it shares with what was selected left out.
    pub(super) fn size_bytes(&self) -> u64 {
        let bytes = match self {
            Self::Scalar(values) => size_of_val(values.as_slice()),
            Self::Vector(vector) => return vector.size_bytes(),
            Self::Text(bytes) => bytes.len(),
            Self::Stored(series) => return series.iter().map(crate::MatrixSeries::size_bytes).sum(),
        };
        bytes as u64
    }
}
