//! What the nodes of a query took: for whoever explains it, and for its statistics.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use storage::Samples;

use super::{Context, Data};
use crate::ast::{Expr, NodeId, NodeKind};
use crate::error::QueryError;
use crate::plan::Grid;

/// What the evaluation of one node took, its operands left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeStats {
    /// Series of the result.
    pub series: u64,
    /// Samples of the result; a histogram counts as many.
    pub samples: u64,
    /// Samples decoded.
    pub samples_read: u64,
    /// Bytes reserved while it was evaluated.
    pub memory_bytes: u64,
    /// Bytes of the result.
    pub result_bytes: u64,
    /// How long it took.
    pub wall: Duration,
    /// How long all workers together were at it.
    pub busy: Duration,
}

/// What was measured of a whole query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measures {
    /// By node; `None` for what was not evaluated by itself.
    pub(crate) nodes: Vec<Option<NodeStats>>,
    /// By step of the query: the samples that selectors looked at. Empty unless they were to be counted.
    pub(crate) step_samples: Vec<u64>,
}

/// Counts the samples that selectors look at, by step of the query.
///
/// An instant selector looks at one sample a series and step, a range selector at all of its window, as in Prometheus.
/// What is evaluated once for all steps counts at each; what a subquery's steps look at counts at the last.
#[derive(Debug)]
pub(super) struct StepSamples {
    query: Grid,
    /// By node: whether it is the selector of a range.
    is_range: Vec<bool>,
    counts: Mutex<Vec<u64>>,
}

impl StepSamples {
    pub(super) fn new(expr: &Expr, query: Grid) -> Self {
        let mut is_range = vec![false; expr.nodes.len()];
        for (_, node) in expr.nodes() {
            if let NodeKind::Range(selector, _) = node.kind {
                is_range[selector.index()] = true;
            }
        }
        Self { query, is_range, counts: Mutex::new(vec![0; query.steps]) }
    }

    pub(super) fn into_counts(self) -> Vec<u64> {
        self.counts.into_inner().expect("no worker panics while it holds the lock")
    }

    fn add(&self, grid: Grid, seen: &[u64]) {
        let mut counts = self.counts.lock().expect("no worker panics while it holds the lock");
        if grid == self.query {
            counts.iter_mut().zip(seen).for_each(|(count, seen)| *count += seen);
        } else if let [seen] = seen {
            counts.iter_mut().for_each(|count| *count += seen);
        } else if let Some(last) = counts.last_mut() {
            *last += seen.iter().sum::<u64>();
        }
    }
}

impl Context<'_> {
    /// Counts the samples of a series that the steps of a selector look at, where that is wanted.
    pub(super) fn count_steps(&self, selector: NodeId, samples: &Samples) {
        let Some(steps) = &self.step_samples else { return };
        let (grid, reference) = (self.grid(selector), self.reference(selector));
        let is_range = steps.is_range[selector.index()];
        let before = |time_ms: i64| samples.timestamps.partition_point(|time| *time <= time_ms);
        let seen = |step: usize| {
            let end_ms = reference.window_end(grid.time(step));
            let seen = before(end_ms) - before(end_ms.saturating_sub(reference.range_ms));
            if is_range { seen as u64 } else { seen.min(1) as u64 }
        };
        steps.add(grid, &(0..grid.steps).map(seen).collect::<Vec<_>>());
    }

    /// Evaluates a node, and measures it where the query is to be explained.
    pub(super) fn measured(
        &self,
        evaluate: impl FnOnce() -> Result<Option<Data>, QueryError>,
    ) -> Result<(Option<Data>, Option<NodeStats>), QueryError> {
        if !self.explains {
            return Ok((evaluate()?, None));
        }
        let (read, busy, began) = (self.budget.samples_read(), self.budget.busy(), Instant::now());
        let Some(data) = evaluate()? else { return Ok((None, None)) };
        let wall = began.elapsed();
        let kept = self.ledger.last_kept();
        let mut stats = NodeStats {
            samples_read: self.budget.samples_read() - read,
            memory_bytes: kept.charged,
            result_bytes: kept.bytes,
            wall,
            busy: wall.max(self.budget.busy() - busy),
            ..NodeStats::default()
        };
        match &data {
            Data::Scalar(values) => (stats.series, stats.samples) = (0, values.len() as u64),
            Data::Vector(vector) => {
                stats.series = vector.series.len() as u64;
                stats.samples = vector.samples() as u64;
            }
            Data::Stored(series) => stats.series = series.len() as u64,
            Data::Text(_) => {}
        }
        Ok((Some(data), Some(stats)))
    }
}
