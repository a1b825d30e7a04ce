//! Aggregates over time (Prometheus, `promql/functions.go`).

use super::super::kahan::{Kahan, Mean};
use super::super::quantile;
use super::Window;

pub(super) fn sum(window: &Window<'_>) -> Option<f64> {
    let mut sum = Kahan::new(window.values[0]);
    window.values[1..].iter().for_each(|value| sum.add(*value));
    Some(sum.value())
}

pub(super) fn avg(window: &Window<'_>) -> Option<f64> {
    if !window.hidden.is_empty() {
        // Sums of slots, and how many samples they are of.
        return Some(sum(window)? / count(window)?);
    }
    let mut mean = Mean::default();
    window.values.iter().for_each(|value| mean.add(*value));
    Some(mean.value())
}

pub(super) fn min(window: &Window<'_>) -> Option<f64> {
    window
        .values
        .iter()
        .copied()
        .reduce(|least, value| if value < least || least.is_nan() { value } else { least })
}

pub(super) fn max(window: &Window<'_>) -> Option<f64> {
    window
        .values
        .iter()
        .copied()
        .reduce(|most, value| if value > most || most.is_nan() { value } else { most })
}

pub(super) fn count(window: &Window<'_>) -> Option<f64> {
    Some(window.values.len() as f64 + total(window.hidden))
}

/// Adds up what samples stand for besides themselves.
pub(super) fn total(hidden: &[u32]) -> f64 {
    hidden.iter().map(|hidden| u64::from(*hidden)).sum::<u64>() as f64
}

pub(super) fn last(window: &Window<'_>) -> Option<f64> {
    window.values.last().copied()
}

pub(super) fn first(window: &Window<'_>) -> Option<f64> {
    window.values.first().copied()
}

/// Population variance in one pass, as Welford has it, compensated.
pub(super) fn stdvar(window: &Window<'_>) -> Option<f64> {
    let (mut mean, mut squares) = (Kahan::default(), Kahan::default());
    for (index, value) in window.values.iter().enumerate() {
        let delta = value - mean.raw();
        mean.add(delta / (index + 1) as f64);
        squares.add(delta * (value - mean.raw()));
    }
    Some(squares.raw() / window.values.len() as f64)
}

pub(super) fn stddev(window: &Window<'_>) -> Option<f64> {
    stdvar(window).map(f64::sqrt)
}

pub(super) fn quantile(window: &Window<'_>) -> Option<f64> {
    Some(quantile::quantile(window.params[0], &mut window.values.to_vec()))
}

/// Median of the distances from the median; NaN when any value is.
pub(super) fn mad(window: &Window<'_>) -> Option<f64> {
    if window.values.iter().any(|value| value.is_nan()) {
        return Some(f64::NAN);
    }
    let mut values = window.values.to_vec();
    let median = quantile::quantile(0.5, &mut values);
    values.iter_mut().for_each(|value| *value = (*value - median).abs());
    Some(quantile::quantile(0.5, &mut values))
}

fn seconds_of(window: &Window<'_>, index: usize) -> Option<f64> {
    Some(window.times[index] as f64 / 1000.0)
}

/// Returns the index of the last sample that is not worse than any before.
fn index_of(values: &[f64], better_or_equal: impl Fn(f64, f64) -> bool) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate().skip(1) {
        if better_or_equal(*value, values[best]) || values[best].is_nan() {
            best = index;
        }
    }
    best
}

pub(super) fn ts_of_min(window: &Window<'_>) -> Option<f64> {
    seconds_of(window, index_of(window.values, |value, best| value <= best))
}

pub(super) fn ts_of_max(window: &Window<'_>) -> Option<f64> {
    seconds_of(window, index_of(window.values, |value, best| value >= best))
}

pub(super) fn ts_of_first(window: &Window<'_>) -> Option<f64> {
    seconds_of(window, 0)
}

pub(super) fn ts_of_last(window: &Window<'_>) -> Option<f64> {
    seconds_of(window, window.times.len() - 1)
}
