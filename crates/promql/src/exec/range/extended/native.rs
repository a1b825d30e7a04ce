//! Anchored and smoothed ranges of native histograms.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::CounterResetHint;
use storage::Samples;

use super::super::cursor::Cursor;
use super::super::mixed::Point;
use super::super::pace::Pace;
use super::super::samples::{Histograms, HistogramsSeen};
use super::super::transitions::{self, Started};
use super::super::{RangeCall, window_of};
use crate::ast::RangeMode;
use crate::exec::note::{Note, Notes, Operation};
use crate::exec::vector::Row;
use crate::function::FunctionKind as K;
use crate::plan::Reference;

/// One step's range.
struct Ends {
    /// Open.
    start_ms: i64,
    /// Closed.
    end_ms: i64,
}

impl RangeCall {
    /// Fills the row of a series that has histograms. The range is anchored or smoothed.
    pub(in super::super) fn fill_extended(
        &self,
        floats: &Samples,
        histograms: &Histograms,
        row: &mut Row,
        notes: &mut Notes,
        pace: &mut Pace<'_>,
    ) {
        let mut of_floats = Cursor::new(&floats.timestamps, &self.reference);
        let mut of_histograms = Cursor::new(&histograms.times, &self.reference);
        for step in 0..self.grid.steps {
            // A window may hold all of them.
            if !pace.goes_on(floats.floats.len(), histograms.values.len()) {
                return;
            }
            let step_ms = self.grid.time(step);
            let end_ms = self.reference.window_end(step_ms);
            let ends = Ends { start_ms: end_ms.saturating_sub(self.reference.range_ms), end_ms };
            if matches!(self.kind, K::Resets | K::Changes) {
                let points = points(floats, histograms, &self.reference, &ends);
                if !points.is_empty() {
                    row.values[step] = transitions::count(self.kind, &points);
                }
                continue;
            }
            let near = |times: &[i64]| is_near(times, &self.reference, &ends);
            match (near(&floats.timestamps), near(&histograms.times)) {
                (true, true) => notes.add(Note::MixedWindow),
                (true, false) => {
                    let seen = of_floats.advance(end_ms);
                    let window = seen.map(|seen| window_of(floats, seen, &self.reference, step_ms));
                    if let Some(value) = window.and_then(|window| (self.compute)(&window)) {
                        row.values[step] = value;
                    }
                }
                _ => {
                    let seen = of_histograms.advance(end_ms);
                    let change = seen.and_then(|seen| self.change(histograms.seen(seen), &ends, notes));
                    if let Some(change) = change {
                        row.put(step, Arc::new(change));
                    }
                }
            }
        }
    }

    /// Returns what a rate, an increase or a delta is.
    fn change(&self, seen: HistogramsSeen<'_>, ends: &Ends, notes: &mut Notes) -> Option<FloatHistogram> {
        let smoothed = self.reference.mode == Some(RangeMode::Smoothed);
        let counter = self.kind != K::Delta;
        let customs = |histogram: &Arc<FloatHistogram>| histogram.uses_custom_buckets();
        if seen.values.iter().any(|histogram| customs(histogram) != customs(&seen.values[0])) {
            notes.add(Note::MixedBuckets);
            return None;
        }
        let is_gauge = |histogram: &FloatHistogram| histogram.reset_hint == CounterResetHint::Gauge;
        if counter && seen.values.iter().any(|histogram| is_gauge(histogram)) {
            notes.add(Note::NotCounter);
        }
        let last = seen.times.len() - 1;
        let between = |index: usize, time_ms: i64, notes: &mut Notes| {
            let point = |index: usize| (seen.times[index], &*seen.values[index]);
            interpolate(point(index), point(index + 1), time_ms, counter, notes)
        };
        let left = match smoothed && seen.times[0] < ends.start_ms {
            true => between(0, ends.start_ms, notes)?,
            false => FloatHistogram::clone(&seen.values[0]),
        };
        let right = match smoothed && seen.times[last] > ends.end_ms {
            true => between(last - 1, ends.end_ms, notes)?,
            false => FloatHistogram::clone(&seen.values[last]),
        };
        if self.kind == K::Delta && (!is_gauge(&left) || !is_gauge(&right)) {
            notes.add(Note::NotGauge);
        }
        let mut change = right.clone();
        notes.combined(change.sub(&left), Operation::Subtraction).then_some(())?;
        if counter {
            let spans_first = smoothed && seen.times[0] < ends.start_ms;
            if let Some(lost) = lost_by_resets(seen, &left, &right, spans_first, notes)? {
                notes.combined(change.add(&lost), Operation::Addition).then_some(())?;
            }
        }
        if self.kind == K::Rate {
            change.divide(self.reference.range_ms as f64 / 1000.0);
        }
        change.reset_hint = CounterResetHint::Gauge;
        change.compact();
        Some(change)
    }
}

/// Returns what a counter had reached before each of its resets, if there were any; `None` when that cannot be added up.
///
/// `spans_first`: the left border lies between the first two samples, so a reset between them is in its value already.
fn lost_by_resets(
    seen: HistogramsSeen<'_>,
    left: &FloatHistogram,
    right: &FloatHistogram,
    spans_first: bool,
    notes: &mut Notes,
) -> Option<Option<FloatHistogram>> {
    let last = seen.values.len() - 1;
    let (mut first, mut before) = (1, left);
    if spans_first && seen.values[1].detect_reset(&seen.values[0]) {
        (first, before) = (2, &seen.values[1]);
    }
    if first > last {
        return Some(None);
    }
    let mut lost: Option<FloatHistogram> = None;
    // The right border has the last sample's hint, and stands in for it.
    for histogram in seen.values[first..last].iter().map(|histogram| &**histogram).chain([right]) {
        if histogram.detect_reset(before) {
            match &mut lost {
                None => lost = Some(before.clone()),
                Some(lost) => notes.combined(lost.add(before), Operation::Addition).then_some(())?,
            }
        }
        before = histogram;
    }
    Some(lost)
}

/// Returns the histogram between two others; a counter that was reset in between began again at zero. `None` when exponential
/// and custom buckets meet.
pub(in crate::exec) fn interpolate(
    from: (i64, &FloatHistogram),
    to: (i64, &FloatHistogram),
    time_ms: i64,
    counter: bool,
    notes: &mut Notes,
) -> Option<FloatHistogram> {
    if from.1.uses_custom_buckets() != to.1.uses_custom_buckets() {
        notes.add(Note::MixedBuckets);
        return None;
    }
    let fraction = time_ms.saturating_sub(from.0) as f64 / to.0.saturating_sub(from.0) as f64;
    let mut between = to.1.clone();
    if counter && to.1.detect_reset(from.1) {
        between.scale(fraction);
        return Some(between);
    }
    notes.combined(between.sub(from.1), Operation::Subtraction).then_some(())?;
    between.scale(fraction);
    notes.combined(between.add(from.1), Operation::Addition).then_some(())?;
    Some(between)
}

/// Tells whether there is any sample in the range or so near that it may stand in for a border.
fn is_near(times: &[i64], reference: &Reference, ends: &Ends) -> bool {
    let first = ends.start_ms.saturating_sub(reference.before_ms);
    let next = times.partition_point(|time_ms| *time_ms <= first);
    times.get(next).is_some_and(|time_ms| *time_ms <= ends.end_ms.saturating_add(reference.after_ms))
}

/// Returns all samples of an anchored range in time order, the anchor first; none when there is nothing after the start.
fn points<'a>(
    floats: &Samples,
    histograms: &'a Histograms,
    reference: &Reference,
    ends: &Ends,
) -> Vec<Started<'a>> {
    let first = ends.start_ms.saturating_sub(reference.before_ms);
    let seen = |times: &[i64]| {
        times.partition_point(|time_ms| *time_ms <= first)
            ..times.partition_point(|time_ms| *time_ms <= ends.end_ms)
    };
    let start = |starts: &[i64], index: usize| starts.get(index).copied().unwrap_or(0);
    let of_floats = seen(&floats.timestamps).map(|index| {
        let point = Point::Float(floats.floats[index]);
        Started { time_ms: floats.timestamps[index], start_ms: start(&floats.start_timestamps, index), point }
    });
    let all = histograms.seen(0..histograms.times.len());
    let of_histograms = seen(all.times).map(|index| {
        let point = Point::Histogram(&all.values[index]);
        Started { time_ms: all.times[index], start_ms: start(all.starts, index), point }
    });
    let mut points: Vec<_> = of_floats.chain(of_histograms).collect();
    points.sort_by_key(|point| point.time_ms);
    let inside = points.partition_point(|point| point.time_ms <= ends.start_ms);
    if inside == points.len() { Vec::new() } else { points.split_off(inside.saturating_sub(1)) }
}
