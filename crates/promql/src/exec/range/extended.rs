//! Ranges that are `anchored` or `smoothed`: what the borders' values are, and what changed between them (Prometheus,
//! `promql/functions.go`). Nothing is extrapolated.

pub(in super::super) mod native;

use storage::Samples;

use super::cursor::Cursor;
use super::{Window, WindowFn, window_of};
use crate::ast::RangeMode;
use crate::function::FunctionKind as K;
use crate::plan::Reference;

/// Returns how a function reads such ranges, when it reads them in a way of its own.
pub(super) fn function(kind: K, mode: RangeMode) -> Option<WindowFn> {
    use RangeMode::{Anchored, Smoothed};
    Some(match (kind, mode) {
        (K::Rate, Anchored) => |window| Some(per_second(window, anchored(window, true))),
        (K::Increase, Anchored) => |window| Some(anchored(window, true)),
        (K::Delta, Anchored) => |window| Some(anchored(window, false)),
        (K::Rate, Smoothed) => |window| Some(per_second(window, smoothed(window, true))),
        (K::Increase, Smoothed) => |window| Some(smoothed(window, true)),
        (K::Delta, Smoothed) => |window| Some(smoothed(window, false)),
        _ => return None,
    })
}

fn per_second(window: &Window<'_>, change: f64) -> f64 {
    change / ((window.end_ms - window.start_ms) as f64 / 1000.0)
}

/// Returns the change from the first to the last sample.
fn anchored(window: &Window<'_>, counter: bool) -> f64 {
    let values = window.values;
    let (left, right) = (values[0], values[values.len() - 1]);
    let lost = if counter { lost_by_resets(left, &values[1..], right) } else { 0.0 };
    right - left + lost
}

/// Returns the change from the value at the window's start to that at its end.
fn smoothed(window: &Window<'_>, counter: bool) -> f64 {
    let Borders { left, right, inside } = borders(window, counter);
    let lost = if counter { lost_by_resets(left, &window.values[inside], right) } else { 0.0 };
    right - left + lost
}

struct Borders {
    left: f64,
    right: f64,
    /// The samples between the borders.
    inside: std::ops::Range<usize>,
}

/// Returns the values at both ends of a smoothed window.
fn borders(window: &Window<'_>, counter: bool) -> Borders {
    let (times, values) = (window.times, window.values);
    let point = |index: usize| (times[index], values[index]);
    let last = times.len() - 1;
    let (mut left, mut right) = (values[0], values[last]);
    if times[0] < window.start_ms {
        left = interpolate(point(0), point(1), window.start_ms, counter);
    }
    if times[last] > window.end_ms {
        right = interpolate(point(last - 1), point(last), window.end_ms, counter);
    }
    let begin = usize::from(times[0] <= window.start_ms);
    let end = last + usize::from(times[last] < window.end_ms);
    Borders { left, right, inside: begin..end.max(begin) }
}

/// Returns what a counter had reached before each of its resets.
fn lost_by_resets(left: f64, inside: &[f64], right: f64) -> f64 {
    let (mut lost, mut before) = (0.0, left);
    for value in inside.iter().copied().chain([right]) {
        if value < before {
            lost += before;
        }
        before = value;
    }
    lost
}

/// Returns the value between two points; a counter that fell in between began again at zero.
pub(in super::super) fn interpolate(from: (i64, f64), to: (i64, f64), time_ms: i64, counter: bool) -> f64 {
    let start = if counter && to.1 < from.1 { 0.0 } else { from.1 };
    start + (to.1 - start) * time_ms.saturating_sub(from.0) as f64 / to.0.saturating_sub(from.0) as f64
}

/// Returns the points of a range as a result: one on each border, and the samples between them.
pub(in super::super) fn points(
    samples: &Samples,
    reference: &Reference,
    time_ms: i64,
    mode: RangeMode,
) -> Vec<(i64, f64)> {
    let end_ms = reference.window_end(time_ms);
    let Some(seen) = Cursor::new(&samples.timestamps, reference).advance(end_ms) else { return Vec::new() };
    let window = &window_of(samples, seen, reference, time_ms);
    let (times, values) = (window.times, window.values);
    let Borders { left, right, inside } = match mode {
        RangeMode::Smoothed => borders(window, false),
        RangeMode::Anchored => {
            let last = times.len() - 1;
            let begin = usize::from(times[0] <= window.start_ms);
            let end = last + usize::from(times[last] < window.end_ms);
            Borders { left: values[0], right: values[last], inside: begin..end.max(begin) }
        }
    };
    let inner = inside.map(|index| (times[index], values[index]));
    [(window.start_ms, left)].into_iter().chain(inner).chain([(window.end_ms, right)]).collect()
}
