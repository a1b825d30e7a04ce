//! The quantile of a set of values.

use std::cmp::Ordering;

/// Orders floats with NaN below everything.
pub(super) fn nan_first(a: &f64, b: &f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.partial_cmp(b).expect("neither is NaN"),
    }
}

/// Returns the quantile, linear between ranks; sorts the values. Outside of 0 to 1 infinite, NaN for no values.
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&q) {
        return if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    values.sort_unstable_by(nan_first);
    let rank = q * (values.len() - 1) as f64;
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min((values.len() - 1) as f64);
    let weight = rank - rank.floor();
    values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
}

/// Tells whether a quantile deserves a warning.
pub(super) fn is_unusual(q: f64) -> bool {
    !(0.0..=1.0).contains(&q)
}

/// Returns the warning of an unusual quantile.
pub(super) fn warning(q: f64) -> String {
    format!("quantile value should be between 0 and 1, got {}", model::float::format_general(q))
}
