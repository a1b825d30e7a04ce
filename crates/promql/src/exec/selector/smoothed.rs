//! `smoothed` instant selectors: the value between the samples before and after a step.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::CounterResetHint;
use storage::Samples;

use super::super::note::{Note, Notes};
use super::super::range::{extended, split};
use super::super::vector::Row;
use crate::plan::{Grid, Reference};

/// The neighbours of a time among samples of one kind.
struct Neighbours {
    /// The last sample at or before it.
    before: Option<usize>,
    /// The first sample after it.
    after: Option<usize>,
}

/// Puts on each step the value between the samples before and after it, or else the one before it.
pub(super) fn fill(samples: &mut Samples, reference: &Reference, grid: &Grid, row: &mut Row) -> Notes {
    let histograms = split(samples);
    let mut notes = Notes::default();
    for step in 0..grid.steps {
        let time_ms = reference.window_end(grid.time(step));
        let floats_near = neighbours(&samples.timestamps, reference, time_ms);
        let histograms_near = neighbours(&histograms.times, reference, time_ms);
        match (floats_near, histograms_near) {
            (Neighbours { before: None, after: None }, near) => {
                let value = |index: usize| &histograms.values[index];
                let point = |index: usize| (histograms.times[index], &**value(index));
                match near {
                    Neighbours { before: Some(before), after: Some(after) } if point(before).0 < time_ms => {
                        if let Some(histogram) = between(point(before), point(after), time_ms, &mut notes) {
                            row.put(step, Arc::new(histogram));
                        }
                    }
                    Neighbours { before: Some(before), .. } => row.put(step, Arc::clone(value(before))),
                    Neighbours { before: None, .. } => {}
                }
            }
            (near, Neighbours { before: None, after: None }) => {
                let point = |index: usize| (samples.timestamps[index], samples.floats[index]);
                let Some(before) = near.before.map(point) else { continue };
                row.values[step] = match near.after.map(point) {
                    Some(after) if before.0 < time_ms => extended::interpolate(before, after, time_ms, false),
                    _ => before.1,
                };
            }
            _ => notes.add(Note::MixedWindow),
        }
    }
    notes
}

/// Finds the samples next to a time that are near enough.
fn neighbours(times: &[i64], reference: &Reference, time_ms: i64) -> Neighbours {
    let next = times.partition_point(|time| *time <= time_ms);
    let first_ms = time_ms.saturating_sub(reference.range_ms);
    let last_ms = time_ms.saturating_add(reference.after_ms);
    Neighbours {
        before: next.checked_sub(1).filter(|before| times[*before] > first_ms),
        after: Some(next).filter(|after| times.get(*after).is_some_and(|time| *time <= last_ms)),
    }
}

/// Two gauges may fall; anything else that falls was reset.
fn between(
    from: (i64, &FloatHistogram),
    to: (i64, &FloatHistogram),
    time_ms: i64,
    notes: &mut Notes,
) -> Option<FloatHistogram> {
    let is_gauge = |histogram: &FloatHistogram| histogram.reset_hint == CounterResetHint::Gauge;
    let counter = !(is_gauge(from.1) && is_gauge(to.1));
    extended::native::interpolate(from, to, time_ms, counter, notes)
}
