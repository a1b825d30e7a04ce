//! When numbers and histograms are equal enough.

use model::FloatHistogram;

use super::literal::Literal;

/// How far two numbers may differ, relative to the sum of their sizes.
const TOLERANCE: f64 = 1e-6;

/// Tells whether two numbers are equal enough.
pub(crate) fn almost_equal(a: f64, b: f64) -> bool {
    if model::is_stale(a) || model::is_stale(b) {
        return model::is_stale(a) && model::is_stale(b);
    }
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    if a == b {
        return true;
    }
    let (difference, sum) = ((a - b).abs(), a.abs() + b.abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

/// Tells whether a histogram is the expected one: layout exactly, numbers almost, the reset hint if it is named.
pub(crate) fn is_expected(expected: &Literal, found: &FloatHistogram) -> bool {
    let (mut a, mut b) = (expected.histogram.clone(), found.clone());
    a.compact();
    b.compact();
    let all_equal =
        |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| almost_equal(*a, *b));
    (!expected.names_hint || a.reset_hint == b.reset_hint)
        && (a.schema, &a.positive_spans, &a.negative_spans)
            == (b.schema, &b.positive_spans, &b.negative_spans)
        && a.zero_threshold == b.zero_threshold
        && a.custom_bounds == b.custom_bounds
        && all_equal(&[a.count, a.sum, a.zero_count], &[b.count, b.sum, b.zero_count])
        && all_equal(&a.positive_buckets, &b.positive_buckets)
        && all_equal(&a.negative_buckets, &b.negative_buckets)
}
