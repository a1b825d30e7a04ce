//! What was pushed where, for whoever explains a query.

use crate::exec::Part;
use crate::plan::Task;

/// What others evaluated of a query; empty when nobody was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PushReport {
    /// In the order of divisions and times.
    pub runs: Vec<PushedRun>,
}

/// What one evaluator did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PushedRun {
    /// Who it was.
    pub owner: String,
    /// The nodes of the tree by index, and for each the first step and how many.
    pub nodes: Vec<(usize, usize, usize)>,
    /// Series selected, counted once for each distinct selector.
    pub series: u64,
    /// Samples decoded.
    pub samples_read: u64,
    /// Rows of the answer.
    pub rows: u64,
    /// Bytes of the answer; 0 for what was evaluated here.
    pub bytes: u64,
    /// How long it took, the way included.
    pub seconds: f64,
}

impl PushedRun {
    /// The owner of what the engine evaluated itself, from raw samples.
    pub const HERE: &'static str = "here";

    pub(super) fn take(&mut self, tasks: &[Task], parts: &[Part]) {
        self.nodes = tasks.iter().map(|task| (task.node.index(), task.first, task.steps)).collect();
        for part in parts {
            self.series = self.series.saturating_add(part.stats.series);
            self.samples_read = self.samples_read.saturating_add(part.stats.samples_read);
            self.rows += part.rows();
        }
    }
}
