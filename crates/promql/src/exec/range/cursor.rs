//! Which samples each step's window has.

use std::ops::Range;

use crate::ast::RangeMode;
use crate::plan::Reference;

/// Walks over the samples of one series, from window to window.
pub(super) struct Cursor<'a> {
    times: &'a [i64],
    reference: &'a Reference,
    /// The first sample after the last window's start.
    first: usize,
    /// The first sample after the last window's end.
    next: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(times: &'a [i64], reference: &'a Reference) -> Self {
        Self { times, reference, first: 0, next: 0 }
    }

    /// Returns the samples of the window with this end, which must not be before the one asked for last; `None` when there
    /// is nothing to evaluate.
    ///
    /// An `anchored` window begins with the last sample at or before its start, if one is near; so does a `smoothed` one,
    /// which also ends with the first sample at or after its end. Neither consists of samples outside of it alone.
    pub(super) fn advance(&mut self, end_ms: i64) -> Option<Range<usize>> {
        let (times, reference) = (self.times, self.reference);
        let start_ms = end_ms.saturating_sub(reference.range_ms);
        while self.next < times.len() && times[self.next] <= end_ms {
            self.next += 1;
        }
        while self.first < times.len() && times[self.first] <= start_ms {
            self.first += 1;
        }
        let (mut first, mut next) = (self.first, self.next);
        if let Some(mode) = reference.mode {
            let ends_inside = next == 0 || times[next - 1] < end_ms;
            let beyond_ms = end_ms.saturating_add(reference.after_ms);
            if mode == RangeMode::Smoothed && ends_inside && times.get(next).is_some_and(|t| *t <= beyond_ms)
            {
                next += 1;
            }
            if first < next && first > 0 && times[first - 1] > start_ms.saturating_sub(reference.before_ms) {
                first -= 1;
            }
        }
        (first < next && times[first] <= end_ms).then_some(first..next)
    }
}
