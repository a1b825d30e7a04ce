//! Rates, increases, deltas, resets (Prometheus, `promql/functions.go`).

use super::over_time::total;
use super::{Window, start_time};

/// Samples further apart than this many mean gaps are not continued up to the border.
const EXTRAPOLATION_GAPS_MAX: f64 = 1.1;

/// Tells whether a metric's name is that of a counter, or there is none.
pub(super) fn is_counter_name(name: &str) -> bool {
    name.is_empty() || ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix))
}

pub(super) fn increase(window: &Window<'_>) -> Option<f64> {
    extrapolated(window, true)
}

pub(super) fn rate(window: &Window<'_>) -> Option<f64> {
    let range_ms = window.end_ms - window.start_ms;
    extrapolated_factor(window, true).map(|(change, factor)| change * (factor / (range_ms as f64 / 1000.0)))
}

pub(super) fn delta(window: &Window<'_>) -> Option<f64> {
    extrapolated(window, false)
}

fn extrapolated(window: &Window<'_>, counter: bool) -> Option<f64> {
    extrapolated_factor(window, counter).map(|(change, factor)| change * factor)
}

/// Returns the change between the first and the last sample, and by how much it grows to cover the whole range.
fn extrapolated_factor(window: &Window<'_>, counter: bool) -> Option<(f64, f64)> {
    let (times, values) = (window.times, window.values);
    let last = times.len() - 1;
    let counts_from_ms =
        if counter { start_time::of_first(times, window.starts, window.start_ms) } else { None };
    if last == 0 && counts_from_ms.is_none() {
        return None;
    }
    let first = values[0];
    let mut change = values[last] - first;
    if counter && (window.falls || !window.starts.is_empty()) {
        for index in 1..values.len() {
            if values[index] < values[index - 1] || start_time::is_reset(times, window.starts, index) {
                change += values[index - 1];
            }
        }
    }
    if counts_from_ms.is_some() {
        // It was zero then.
        change += first;
    }
    let falls_short = counter && counts_from_ms.is_none() && change > 0.0 && first >= 0.0;
    let to_zero = falls_short.then(|| first / change);
    let sampled = Sampled { first_ms: times[0], last_ms: times[last], gaps: last, counts_from_ms };
    Some((change, growth(window, &sampled, to_zero)))
}

/// What part of a window its samples cover.
pub(super) struct Sampled {
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    /// One less than there are samples.
    pub(super) gaps: usize,
    /// When the first sample was zero, if that is known and in the window.
    pub(super) counts_from_ms: Option<i64>,
}

/// Returns by how much a change between samples grows to cover the whole range.
///
/// A counter is never below zero, so it is not followed further back than to where it was zero: `to_zero` of what the
/// samples cover, before the first.
pub(super) fn growth(window: &Window<'_>, sampled: &Sampled, to_zero: Option<f64>) -> f64 {
    let seconds = |from: i64, to: i64| (to - from) as f64 / 1000.0;
    let mut to_start = seconds(window.start_ms, sampled.first_ms);
    let mut to_end = seconds(sampled.last_ms, window.end_ms);
    let mut covered = seconds(sampled.first_ms, sampled.last_ms);
    let gap = if sampled.gaps == 0 { 0.0 } else { covered / sampled.gaps as f64 };
    if let Some(from_ms) = sampled.counts_from_ms {
        // There is nothing to guess.
        covered = seconds(from_ms, sampled.last_ms);
        to_start = 0.0;
    } else if to_start >= gap * EXTRAPOLATION_GAPS_MAX {
        to_start = gap / 2.0;
    }
    if let Some(share) = to_zero {
        to_start = to_start.min(covered * share);
    }
    if to_end >= gap * EXTRAPOLATION_GAPS_MAX {
        to_end = gap / 2.0;
    }
    (covered + to_start + to_end) / covered
}

pub(super) fn irate(window: &Window<'_>) -> Option<f64> {
    let [before, last] = *window.values.last_chunk::<2>()?;
    let [before_ms, last_ms] = *window.times.last_chunk::<2>()?;
    let reset = last < before || start_time::is_reset(window.times, window.starts, window.times.len() - 1);
    let change = if reset { last } else { last - before };
    Some(change / ((last_ms - before_ms) as f64 / 1000.0))
}

pub(super) fn idelta(window: &Window<'_>) -> Option<f64> {
    let [before, last] = *window.values.last_chunk::<2>()?;
    Some(last - before)
}

pub(super) fn resets(window: &Window<'_>) -> Option<f64> {
    let values = window.values;
    let reset = |index: &usize| {
        values[*index] < values[*index - 1] || start_time::is_reset(window.times, window.starts, *index)
    };
    // Those before the first sample are not between any two.
    let hidden = window.hidden.get(1..).unwrap_or_default();
    Some((1..values.len()).filter(reset).count() as f64 + total(hidden))
}

pub(super) fn changes(window: &Window<'_>) -> Option<f64> {
    let changed = |pair: &&[f64]| pair[0] != pair[1] && !(pair[0].is_nan() && pair[1].is_nan());
    Some(window.values.windows(2).filter(changed).count() as f64)
}
