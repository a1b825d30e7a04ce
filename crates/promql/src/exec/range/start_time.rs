//! Start timestamps: since when a sample has been counting (Prometheus, `promql/functions.go`).

use storage::Samples;

use super::Window;
use super::cursor::Cursor;
use crate::plan::{Grid, Reference};

/// Tells whether the counter began again between the sample at a position and the one before it.
pub(super) fn is_reset(window: &Window<'_>, index: usize) -> bool {
    let (Some([before_start, start]), [before, time]) =
        (window.starts.get(index - 1..=index), &window.times[index - 1..=index])
    else {
        return false;
    };
    // Zero is unknown; a start at its own sample is how OpenTelemetry says so, and a later one is wrong.
    if *start == 0 || start >= time || start < before {
        return false;
    }
    // A start at the previous sample is that of a delta, unless even that sample's own start is unknown.
    start > before || *before_start != 0 && before_start < before
}

/// Returns since when the window's first sample has been counting, if that is within the window.
pub(super) fn of_first(window: &Window<'_>) -> Option<i64> {
    let start = *window.starts.first()?;
    (start != 0 && start > window.start_ms && start < window.times[0]).then_some(start)
}

/// Tells whether any window holds two samples of which the second began to count before the first, and not with it.
pub(super) fn overlap_within(samples: &Samples, reference: &Reference, grid: &Grid) -> bool {
    let (times, starts) = (&samples.timestamps, &samples.start_timestamps);
    let overlaps = |index: usize| {
        let start = starts[index];
        start != 0 && start < times[index - 1] && start != starts[index - 1]
    };
    if reference.mode.is_some() || !(1..starts.len()).any(overlaps) {
        return false;
    }
    let mut cursor = Cursor::new(times, reference);
    (0..grid.steps)
        .filter_map(|step| cursor.advance(reference.window_end(grid.time(step))))
        .any(|mut seen| seen.next().is_some() && seen.any(overlaps))
}
