//! Start timestamps: since when a sample has been counting (Prometheus, `promql/functions.go`).

use super::cursor::Cursor;
use crate::plan::{Grid, Reference};

/// Tells whether the counter began again between the sample at a position and the one before it. There may be no starts.
pub(super) fn is_reset(times: &[i64], starts: &[i64], index: usize) -> bool {
    let Some([before_start, start]) = starts.get(index - 1..=index) else { return false };
    let (before, time) = (&times[index - 1], &times[index]);
    // Zero is unknown; a start at its own sample is how OpenTelemetry says so, and a later one is wrong.
    if *start == 0 || start >= time || start < before {
        return false;
    }
    // A start at the previous sample is that of a delta, unless even that sample's own start is unknown.
    start > before || *before_start != 0 && before_start < before
}

/// Returns since when a window's first sample has been counting, if that is within the window. There may be no starts.
pub(super) fn of_first(times: &[i64], starts: &[i64], window_start_ms: i64) -> Option<i64> {
    let start = *starts.first()?;
    (start != 0 && start > window_start_ms && start < times[0]).then_some(start)
}

/// Tells whether the sample at a position began to count before the one ahead of it, and not with it.
pub(super) fn overlaps(times: &[i64], starts: &[i64], index: usize) -> bool {
    let Some([before_start, start]) = starts.get(index - 1..=index) else { return false };
    *start != 0 && *start < times[index - 1] && start != before_start
}

/// Tells whether any window holds two samples that overlap.
pub(super) fn overlap_within(times: &[i64], starts: &[i64], reference: &Reference, grid: &Grid) -> bool {
    let overlaps = |index: usize| overlaps(times, starts, index);
    if reference.mode.is_some() || !(1..starts.len()).any(overlaps) {
        return false;
    }
    let mut cursor = Cursor::new(times, reference);
    (0..grid.steps)
        .filter_map(|step| cursor.advance(reference.window_end(grid.time(step))))
        .any(|mut seen| seen.next().is_some() && seen.any(overlaps))
}
