//! What PromQL reads off one native histogram: quantiles, fractions, variance (Prometheus, `promql/quantile.go` and
//! `promql/functions.go`).
//!
//! Observations are taken to be spread evenly in a custom bucket and in the zero bucket, and evenly by their logarithm in an
//! exponential one. NaN observations are counted but lie in no bucket; a histogram that has some has a NaN sum, as has one that
//! observed both infinities.

use model::FloatHistogram;
use model::histogram::Bucket;

use crate::exec::kahan::Kahan;

/// What the reader of a number should know because of NaN observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::exec) enum NanNote {
    /// The quantile lies among them, so it is NaN.
    QuantileIsNan,
    /// They are taken for larger than all others, so the quantile is higher than without them.
    QuantileIsSkewed,
    /// They are in no fraction.
    NotInFraction,
}

impl NanNote {
    /// Returns the text of the info.
    pub(in crate::exec) fn text(self) -> &'static str {
        match self {
            Self::QuantileIsNan => "input to histogram_quantile has NaN observations, result is NaN",
            Self::QuantileIsSkewed => {
                "input to histogram_quantile has NaN observations, result is skewed higher"
            }
            Self::NotInFraction => {
                "input to histogram_fraction has NaN observations, which are excluded from all fractions"
            }
        }
    }
}

/// Returns the quantile: infinite outside of 0 to 1, NaN without observations.
///
/// The bucket is searched from the nearer end, so that rounding errors are small where quantiles are asked for.
pub(in crate::exec) fn quantile(q: f64, histogram: &FloatHistogram) -> (f64, Option<NanNote>) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if histogram.count == 0.0 || q.is_nan() {
        return (f64::NAN, None);
    }
    let has_nan_sum = histogram.sum.is_nan();
    let from_below = has_nan_sum || q < 0.5;
    let mut buckets = histogram.buckets();
    let mut next = || if from_below { buckets.next() } else { buckets.next_back() };
    let mut rank = histogram.count * if from_below { q } else { 1.0 - q };
    let mut bucket = NO_BUCKET;
    let mut count = 0.0;
    while let Some(candidate) = next() {
        bucket = candidate;
        count += bucket.count;
        if bucket.count != 0.0 && count >= rank {
            break;
        }
    }
    let Some(bucket) = within(bucket, histogram) else {
        // Nothing is known of where observations lie in a custom bucket without a bound.
        return (if bucket.lower.is_infinite() { bucket.upper } else { bucket.lower }, None);
    };
    // Sums of counts may be a rounding error above the count.
    count = count.min(histogram.count);
    if count < rank {
        return if has_nan_sum { (f64::NAN, Some(NanNote::QuantileIsNan)) } else { (bucket.upper, None) };
    }
    rank = if from_below { rank - (count - bucket.count) } else { count - rank };
    let mut note = None;
    if has_nan_sum {
        while let Some(rest) = next() {
            count += rest.count;
        }
        note = (count < histogram.count).then_some(NanNote::QuantileIsSkewed);
    }
    (interpolated(&bucket, rank / bucket.count, histogram), note)
}

/// What a histogram without buckets is searched in.
const NO_BUCKET: Bucket =
    Bucket { lower: 0.0, upper: 0.0, lower_inclusive: false, upper_inclusive: false, count: 0.0 };

/// Narrows a bucket to where its observations are taken to be; `None` when that is unknown.
///
/// The zero bucket of a histogram with observations of one sign ends at zero; so does a first custom bucket that ends above it.
fn within(mut bucket: Bucket, histogram: &FloatHistogram) -> Option<Bucket> {
    if histogram.uses_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY {
            bucket.lower = 0.0;
            return (bucket.upper > 0.0).then_some(bucket);
        }
        return (bucket.upper != f64::INFINITY).then_some(bucket);
    }
    if bucket.lower < 0.0 && bucket.upper > 0.0 {
        one_sided(&mut bucket, histogram);
    }
    Some(bucket)
}

/// Makes the zero bucket end at zero when all other observations have one sign.
fn one_sided(zero: &mut Bucket, histogram: &FloatHistogram) {
    match (histogram.negative_buckets.is_empty(), histogram.positive_buckets.is_empty()) {
        (true, false) => zero.lower = 0.0,
        (false, true) => zero.upper = 0.0,
        _ => {}
    }
}

/// Returns the value that a share of a bucket's observations lies below.
fn interpolated(bucket: &Bucket, share: f64, histogram: &FloatHistogram) -> f64 {
    if histogram.uses_custom_buckets() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return bucket.lower + (bucket.upper - bucket.lower) * share;
    }
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    if bucket.lower > 0.0 {
        (lower + (upper - lower) * share).exp2()
    } else {
        -(upper + (lower - upper) * (1.0 - share)).exp2()
    }
}

/// Returns the share of all observations between two values; NaN without observations or bounds.
pub(in crate::exec) fn fraction(
    lower: f64,
    upper: f64,
    histogram: &FloatHistogram,
) -> (f64, Option<NanNote>) {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, None);
    }
    if lower >= upper {
        return (0.0, None);
    }
    let (mut below_lower, mut below_upper) = (None, None);
    // Observations in the buckets before, and up to, the present one.
    let (mut rank, mut count) = (0.0, 0.0);
    for mut bucket in histogram.buckets() {
        count += bucket.count;
        let is_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if is_zero {
            one_sided(&mut bucket, histogram);
        }
        let linear = is_zero || histogram.uses_custom_buckets();
        for (value, found) in [(lower, &mut below_lower), (upper, &mut below_upper)] {
            if found.is_none() {
                *found = rank_in(&bucket, value, rank, linear);
            }
        }
        rank += bucket.count;
    }
    let mut note = None;
    if !histogram.sum.is_nan() {
        count = histogram.count;
    } else if count < histogram.count {
        note = Some(NanNote::NotInFraction);
    }
    let at_most_all = |rank: Option<f64>| rank.map_or(count, |rank| if rank > count { count } else { rank });
    ((at_most_all(below_upper) - at_most_all(below_lower)) / histogram.count, note)
}

/// Returns how many observations lie below a value, if the value lies below the end of a bucket with `rank` of them before.
fn rank_in(bucket: &Bucket, value: f64, rank: f64, linear: bool) -> Option<f64> {
    if bucket.lower >= value {
        return Some(rank);
    }
    if bucket.upper <= value {
        return None;
    }
    if linear {
        return Some(if bucket.lower == f64::NEG_INFINITY {
            bucket.count
        } else {
            rank + bucket.count * (value - bucket.lower) / (bucket.upper - bucket.lower)
        });
    }
    Some(rank + bucket.count * bucket.logarithmic_share(value))
}

/// Returns the variance of all observations, each taken for the middle of its bucket.
pub(in crate::exec) fn variance(histogram: &FloatHistogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let mut squares = Kahan::new(0.0);
    for bucket in histogram.buckets().filter(|bucket| bucket.count != 0.0) {
        let middle = if histogram.uses_custom_buckets() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
        };
        let difference = middle - mean;
        squares.add(bucket.count * difference * difference);
    }
    squares.raw() / histogram.count
}

/// Returns the standard deviation of all observations, each taken for the middle of its bucket.
pub(in crate::exec) fn deviation(histogram: &FloatHistogram) -> f64 {
    variance(histogram).sqrt()
}

#[cfg(test)]
mod tests {
    use model::histogram::{CUSTOM_BUCKETS_SCHEMA, Span};

    use super::*;

    fn exponential(negative: &[f64], zero: f64, positive: &[f64]) -> FloatHistogram {
        let spans = |counts: &[f64]| vec![Span { offset: 0, length: counts.len() as u32 }];
        FloatHistogram {
            count: negative.iter().chain(positive).sum::<f64>() + zero,
            zero_threshold: 0.25,
            zero_count: zero,
            negative_spans: spans(negative),
            negative_buckets: negative.to_vec(),
            positive_spans: spans(positive),
            positive_buckets: positive.to_vec(),
            ..FloatHistogram::default()
        }
    }

    fn custom(bounds: &[f64], counts: &[f64]) -> FloatHistogram {
        FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            zero_threshold: 0.0,
            custom_bounds: bounds.to_vec(),
            ..exponential(&[], 0.0, counts)
        }
    }

    /// The quantile, and back.
    fn check(histogram: &FloatHistogram, q: f64, expected: f64) {
        let (found, note) = quantile(q, histogram);
        assert!((found - expected).abs() < 1e-12, "{q} of {histogram}: {found}");
        assert_eq!(note, None);
        let (back, note) = fraction(f64::NEG_INFINITY, found, histogram);
        assert!((back - q).abs() < 1e-12, "below {found} in {histogram}: {back}");
        assert_eq!(note, None);
    }

    #[test]
    fn quantiles_of_exponential_buckets() {
        // (0.5, 1], (1, 2], (2, 4] with 4, 2, 2.
        let positive = exponential(&[], 0.0, &[4.0, 2.0, 2.0]);
        check(&positive, 0.25, 0.5_f64.sqrt());
        check(&positive, 0.5, 1.0);
        check(&positive, 0.75, 2.0);
        check(&positive, 0.875, 8.0_f64.sqrt());
        let negative = exponential(&[2.0, 2.0], 0.0, &[]);
        check(&negative, 0.25, -2.0_f64.sqrt());
        check(&negative, 0.75, -(0.5_f64.sqrt()));
    }

    #[test]
    fn the_zero_bucket_is_linear_and_takes_sides() {
        check(&exponential(&[1.0], 2.0, &[1.0]), 0.5, 0.0);
        check(&exponential(&[1.0], 2.0, &[1.0]), 0.375, -0.125);
        check(&exponential(&[], 2.0, &[2.0]), 0.25, 0.125);
        check(&exponential(&[2.0], 2.0, &[]), 0.75, -0.125);
    }

    #[test]
    fn quantiles_of_custom_buckets() {
        let histogram = custom(&[5.0, 10.0], &[2.0, 4.0, 2.0]);
        check(&histogram, 0.125, 2.5);
        check(&histogram, 0.5, 7.5);
        // The last bucket has no end.
        assert_eq!(quantile(0.9, &histogram), (10.0, None));
        // The first one has no begin.
        assert_eq!(quantile(0.1, &custom(&[-5.0, 5.0], &[4.0, 4.0])), (-5.0, None));
        assert_eq!(quantile(0.5, &custom(&[], &[4.0])).0, f64::INFINITY);
    }

    #[test]
    fn nan_observations_are_taken_for_the_largest() {
        let mut histogram = exponential(&[], 0.0, &[4.0, 4.0]);
        histogram.sum = f64::NAN;
        assert_eq!(quantile(0.5, &histogram), (1.0, None));
        histogram.count = 10.0;
        assert_eq!(quantile(0.4, &histogram), (1.0, Some(NanNote::QuantileIsSkewed)));
        let (value, note) = quantile(0.9, &histogram);
        assert!(value.is_nan());
        assert_eq!(note, Some(NanNote::QuantileIsNan));
        assert_eq!(fraction(f64::NEG_INFINITY, 1.0, &histogram), (0.4, Some(NanNote::NotInFraction)));
    }

    #[test]
    fn what_has_no_quantile() {
        let histogram = exponential(&[], 0.0, &[4.0]);
        assert_eq!(quantile(-0.1, &histogram).0, f64::NEG_INFINITY);
        assert_eq!(quantile(1.1, &histogram).0, f64::INFINITY);
        assert!(quantile(f64::NAN, &histogram).0.is_nan());
        assert!(quantile(0.5, &FloatHistogram::default()).0.is_nan());
        assert!(fraction(0.0, 1.0, &FloatHistogram::default()).0.is_nan());
        assert_eq!(fraction(1.0, 1.0, &histogram).0, 0.0);
        // Counted, but in no bucket.
        let lost = FloatHistogram { count: 3.0, ..FloatHistogram::default() };
        assert_eq!(quantile(0.5, &lost), (0.0, None));
    }

    #[test]
    fn variance_takes_the_middle_of_buckets() {
        let histogram = FloatHistogram { sum: 15.0, ..custom(&[0.0, 10.0, 20.0], &[0.0, 1.0, 1.0]) };
        // Middles 5 and 15, mean 7.5.
        assert_eq!(variance(&histogram), (2.5 * 2.5 + 7.5 * 7.5) / 2.0);
        let histogram = FloatHistogram { sum: 0.0, ..exponential(&[1.0], 1.0, &[1.0]) };
        assert!((variance(&histogram) - 1.0 / 3.0).abs() < 1e-15);
        assert!((deviation(&histogram) - (1.0_f64 / 3.0).sqrt()).abs() < 1e-15);
    }
}
