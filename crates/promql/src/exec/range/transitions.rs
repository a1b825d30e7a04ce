//! Resets and changes among samples of which some are histograms. Going from one kind to the other is both.

use super::mixed::Point;
use super::start_time;
use crate::function::FunctionKind;

/// A sample and since when it has been counting, 0 for unknown.
#[derive(Clone, Copy)]
pub(super) struct Started<'a> {
    pub(super) time_ms: i64,
    pub(super) start_ms: i64,
    pub(super) point: Point<'a>,
}

/// Counts what `resets`, or else `changes`, counts; samples in time order.
pub(super) fn count(kind: FunctionKind, points: &[Started<'_>]) -> f64 {
    let counts = match kind {
        FunctionKind::Resets => is_reset,
        _ => is_change,
    };
    points.windows(2).filter(|pair| counts(&pair[0], &pair[1])).count() as f64
}

fn is_reset(before: &Started<'_>, after: &Started<'_>) -> bool {
    let starts = [before.start_ms, after.start_ms];
    let began_again = || start_time::is_reset(&[before.time_ms, after.time_ms], &starts, 1);
    match (before.point, after.point) {
        (Point::Float(before), Point::Float(after)) => after < before || began_again(),
        (Point::Histogram(before), Point::Histogram(after)) => began_again() || after.detect_reset(before),
        _ => true,
    }
}

fn is_change(before: &Started<'_>, after: &Started<'_>) -> bool {
    match (before.point, after.point) {
        (Point::Float(before), Point::Float(after)) => {
            before != after && !(before.is_nan() && after.is_nan())
        }
        (Point::Histogram(before), Point::Histogram(after)) => !after.equals(before),
        _ => true,
    }
}
