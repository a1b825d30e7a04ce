//! One series can keep a worker busy for long when its windows are long: now and then the worker looks whether the query
//! was stopped.

use super::super::Budget;
use crate::error::QueryError;

/// After so many samples it looks: a few milliseconds of work.
const CHECK_SAMPLES: usize = 1 << 18;
/// As how much work as so many floats a histogram counts.
const FLOATS_PER_HISTOGRAM: usize = 64;

/// See the module.
pub(super) struct Pace<'a> {
    budget: &'a Budget,
    samples_since_check: usize,
    stopped: Result<(), QueryError>,
}

impl<'a> Pace<'a> {
    pub(super) fn new(budget: &'a Budget) -> Self {
        Self { budget, samples_since_check: 0, stopped: Ok(()) }
    }

    /// Counts the samples of a window that comes next; `false` once the query is stopped.
    pub(super) fn goes_on(&mut self, floats: usize, histograms: usize) -> bool {
        self.samples_since_check += floats + histograms * FLOATS_PER_HISTOGRAM;
        if self.samples_since_check >= CHECK_SAMPLES {
            self.samples_since_check = 0;
            self.stopped = self.budget.check();
        }
        self.stopped.is_ok()
    }

    /// Ends a series.
    pub(super) fn end(self) -> Result<(), QueryError> {
        self.stopped
    }
}
