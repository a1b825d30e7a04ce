//! Functions of windows of native histograms (Prometheus, `promql/functions.go`).

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::CounterResetHint;

use super::super::accumulate::Accumulated;
use super::super::note::{Note, Notes, Operation};
use super::counter::{Sampled, growth};
use super::mixed::{Point, Sample};
use super::over_time::total;
use super::samples::HistogramsSeen;
use super::transitions::Started;
use super::{Window, start_time};
use crate::function::FunctionKind as K;

/// Returns the sum or the mean of a window without floats.
pub(super) fn accumulated(kind: K, window: &Window<'_>, notes: &mut Notes) -> Option<Sample> {
    if !window.values.is_empty() {
        notes.add(Note::MixedWindow);
        return None;
    }
    let (first, rest) = window.histograms.values.split_first()?;
    let hidden = window.histograms.hidden;
    // Sums of slots, of which some are of more than one sample: their mean is that of the samples.
    let of_slots = kind == K::AvgOverTime && !hidden.is_empty();
    let kind = if of_slots { K::SumOverTime } else { kind };
    let mut accumulated = Accumulated::new(first);
    for histogram in rest {
        let mixed = match kind {
            K::AvgOverTime => accumulated.add_to_mean(histogram),
            _ => accumulated.add(histogram),
        };
        if mixed {
            notes.add(Note::MixedBuckets);
            return None;
        }
    }
    accumulated.note(notes);
    let mut result = if kind == K::AvgOverTime { accumulated.mean() } else { accumulated.sum() }?;
    if of_slots {
        result.divide(window.histograms.values.len() as f64 + total(hidden));
    }
    Some(Sample::from(result))
}

/// `rate`, `increase` and `delta`: the change over the whole range.
pub(super) fn extrapolated(kind: K, window: &Window<'_>, notes: &mut Notes) -> Option<Sample> {
    if !window.values.is_empty() {
        notes.add(Note::MixedWindow);
        return None;
    }
    let seen = window.histograms;
    let counter = kind != K::Delta;
    let counts_from_ms =
        if counter { start_time::of_first(seen.times, seen.starts, window.start_ms) } else { None };
    let (first, last) = (&seen.values[0], seen.times.len() - 1);
    let mut change = match (last, counts_from_ms) {
        (0, None) => return None,
        (0, Some(_)) => FloatHistogram::clone(first),
        (_, None) => change(seen, counter, notes)?,
        (_, Some(_)) => {
            let mut change = change(seen, counter, notes)?;
            notes.combined(change.add(first), Operation::Addition).then_some(change)?
        }
    };
    let falls_short = counter && counts_from_ms.is_none() && change.count > 0.0 && first.count >= 0.0;
    let to_zero = falls_short.then(|| first.count / change.count);
    let sampled = Sampled { first_ms: seen.times[0], last_ms: seen.times[last], gaps: last, counts_from_ms };
    let mut factor = growth(window, &sampled, to_zero);
    if kind == K::Rate {
        factor /= (window.end_ms - window.start_ms) as f64 / 1000.0;
    }
    change.scale(factor);
    Some(Sample::from(change))
}

/// Returns the change from the first to the last of at least two histograms: a gauge. A counter's resets must be known.
fn change(seen: HistogramsSeen<'_>, counter: bool, notes: &mut Notes) -> Option<FloatHistogram> {
    let (values, last) = (seen.values, seen.values.len() - 1);
    let is_gauge = |index: usize| values[index].reset_hint == CounterResetHint::Gauge;
    match counter {
        true if (0..=last).any(is_gauge) => notes.add(Note::NotCounter),
        false if !is_gauge(0) || !is_gauge(last) => notes.add(Note::NotGauge),
        _ => {}
    }
    // With a reset right after the first, nothing of it matters, not even its layout.
    let nothing;
    let (first, mut next): (&FloatHistogram, usize) = if counter && seen.resets[1] {
        let (schema, custom_bounds) = (values[1].schema, values[1].custom_bounds.clone());
        nothing = FloatHistogram { schema, custom_bounds, ..FloatHistogram::default() };
        (&nothing, 2)
    } else {
        (&values[0], 1)
    };
    let custom = first.uses_custom_buckets();
    let inner = if counter { &values[1..] } else { &values[last..] };
    if inner.iter().any(|histogram| histogram.uses_custom_buckets() != custom) {
        notes.add(Note::MixedBuckets);
        return None;
    }
    let mut change = FloatHistogram::clone(&values[last]);
    let schema = inner.iter().map(|histogram| histogram.schema).fold(first.schema, i32::min);
    if schema < change.schema {
        change.reduce_resolution(schema);
    }
    // Resets are counted one by one here, so that hints differ means nothing.
    notes.combined(change.sub(first), Operation::Subtraction).then_some(())?;
    while counter && next <= last {
        if seen.resets[next] {
            notes.combined(change.add(&values[next - 1]), Operation::Addition).then_some(())?;
        }
        next += 1;
    }
    change.reset_hint = CounterResetHint::Gauge;
    change.compact();
    Some(change)
}

/// `irate` and `idelta`: the change between the last two samples, of which one at least is a histogram.
pub(super) fn instant(kind: K, pair: &[Started<'_>; 2], notes: &mut Notes) -> Option<Sample> {
    let [Started { point: Point::Histogram(before), .. }, Started { point: Point::Histogram(last), .. }] =
        pair
    else {
        notes.add(Note::MixedWindow);
        return None;
    };
    let times = [pair[0].time_ms, pair[1].time_ms];
    let gauges = [last, before].map(|histogram| histogram.reset_hint == CounterResetHint::Gauge);
    let rate = kind == K::Irate;
    if rate && gauges.contains(&true) {
        notes.add(Note::NotCounter);
    }
    if !rate && gauges.contains(&false) {
        notes.add(Note::NotGauge);
    }
    let starts = [pair[0].start_ms, pair[1].start_ms];
    let is_reset = rate && (start_time::is_reset(&times, &starts, 1) || last.detect_reset(before));
    let mut change = FloatHistogram::clone(last);
    if !is_reset {
        notes.combined(change.sub(before), Operation::Subtraction).then_some(())?;
    }
    change.reset_hint = CounterResetHint::Gauge;
    change.compact();
    if rate {
        change.divide((times[1] - times[0]) as f64 / 1000.0);
    }
    Some(Sample::from(change))
}

impl From<FloatHistogram> for Sample {
    fn from(histogram: FloatHistogram) -> Self {
        Self::Histogram(Arc::new(histogram))
    }
}
