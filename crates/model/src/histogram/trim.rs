//! Histograms without the observations above or below a value.
//!
//! A bucket that the value cuts is shared out: evenly if it is a custom one or the zero bucket, by the logarithm if it is
//! exponential. What is left has a new sum, each observation taken for the middle of what is left of its bucket; a histogram
//! that loses nothing keeps its own. Of a bucket without a bound little is known: a part of it stays only where it can be
//! told which.

use super::layout::Indexes;
use super::{Bucket, FloatHistogram};

/// Which observations stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Below,
    Above,
}

/// A cut, and what it has left so far.
struct Cut {
    value: f64,
    keep: Keep,
    custom: bool,
    count: f64,
    sum: f64,
    changed: bool,
}

impl FloatHistogram {
    /// Returns what PromQL's `</` leaves: the observations below `value`.
    #[must_use]
    pub fn trim_upper(&self, value: f64) -> Self {
        self.trim(value, Keep::Below)
    }

    /// Returns what PromQL's `>/` leaves: the observations above `value`.
    #[must_use]
    pub fn trim_lower(&self, value: f64) -> Self {
        self.trim(value, Keep::Above)
    }

    fn trim(&self, value: f64, keep: Keep) -> Self {
        let mut left = self.clone();
        let custom = self.uses_custom_buckets();
        let mut cut = Cut { value, keep, custom, count: 0.0, sum: 0.0, changed: false };
        let bucket = |index, count| self.positive_bucket(index, count);
        let has_positive = cut.side(
            Indexes::new(&self.positive_spans, self.positive_buckets.len()),
            bucket,
            &mut left.positive_buckets,
        );
        let bucket = |index, count| self.negative_bucket(index, count);
        let has_negative = cut.side(
            Indexes::new(&self.negative_spans, self.negative_buckets.len()),
            bucket,
            &mut left.negative_buckets,
        );
        if self.zero_count > 0.0 {
            let mut zero = self.zero_bucket();
            // With observations of one sign, the zero bucket has that sign too.
            match (has_negative, has_positive) {
                (true, false) => zero.upper = 0.0,
                (false, true) => zero.lower = 0.0,
                _ => {}
            }
            cut.take(cut.left_of_zero(&zero), &mut left.zero_count);
        }
        if cut.changed {
            (left.count, left.sum) = (cut.count, cut.sum);
            left.compact();
        }
        left
    }
}

impl Cut {
    /// Cuts the buckets of one side; tells whether any was populated.
    fn side(
        &mut self,
        indexes: Indexes<'_>,
        bucket: impl Fn(i64, f64) -> Bucket,
        counts: &mut [f64],
    ) -> bool {
        let mut populated = false;
        for (index, position) in indexes {
            if counts[position] != 0.0 {
                populated = true;
                let bucket = bucket(index, counts[position]);
                self.take(self.left_of(&bucket), &mut counts[position]);
            }
        }
        populated
    }

    /// Takes note of what is left of a bucket: the count, and the middle of where it lies.
    fn take(&mut self, (left, middle): (f64, f64), count: &mut f64) {
        if left.to_bits() != count.to_bits() {
            *count = left;
            self.changed = true;
        }
        self.count += left;
        self.sum += middle * left;
    }

    fn left_of(&self, bucket: &Bucket) -> (f64, f64) {
        let (stays, is_cut) = match self.keep {
            Keep::Below => (bucket.upper <= self.value, bucket.lower < self.value),
            Keep::Above => (bucket.lower >= self.value, bucket.upper > self.value),
        };
        if stays {
            return (bucket.count, self.middle(bucket.lower, bucket.upper));
        }
        if !is_cut {
            return (0.0, 0.0);
        }
        if bucket.lower == f64::NEG_INFINITY {
            return self.left_of_first(bucket);
        }
        if bucket.upper == f64::INFINITY {
            // All that is known of the observations above is that they may be.
            return if self.keep == Keep::Above { (bucket.count, self.value) } else { (0.0, 0.0) };
        }
        let share = if self.custom {
            (self.value - bucket.lower) / (bucket.upper - bucket.lower)
        } else {
            bucket.logarithmic_share(self.value)
        };
        let below = bucket.count * share;
        match self.keep {
            Keep::Below => (below, self.middle(bucket.lower, self.value)),
            Keep::Above => (bucket.count - below, self.middle(self.value, bucket.upper)),
        }
    }

    /// Cuts a bucket without a lower bound; one that ends above zero is taken to begin there.
    fn left_of_first(&self, bucket: &Bucket) -> (f64, f64) {
        let ends_positive = bucket.upper > 0.0 && bucket.upper != f64::INFINITY;
        match self.keep {
            Keep::Below if self.value > 0.0 && ends_positive => {
                (bucket.count * self.value / bucket.upper, self.value / 2.0)
            }
            Keep::Below if bucket.upper <= 0.0 => (bucket.count, self.value),
            Keep::Above if self.value >= 0.0 && ends_positive => {
                (bucket.count * (1.0 - self.value / bucket.upper), (self.value + bucket.upper) / 2.0)
            }
            _ => (0.0, 0.0),
        }
    }

    fn left_of_zero(&self, zero: &Bucket) -> (f64, f64) {
        let (begins_after, ends_before) = (self.value <= zero.lower, self.value >= zero.upper);
        let (stays, goes) = match self.keep {
            Keep::Below => (ends_before && !begins_after, begins_after),
            Keep::Above => (begins_after, ends_before && !begins_after),
        };
        if stays {
            return (zero.count, (zero.lower + zero.upper) / 2.0);
        }
        if goes {
            return (0.0, 0.0);
        }
        let (lower, upper) = match self.keep {
            Keep::Below => (zero.lower, self.value),
            Keep::Above => (self.value, zero.upper),
        };
        (zero.count * (upper - lower) / (zero.upper - zero.lower), (lower + upper) / 2.0)
    }

    /// Returns the middle of a range: by logarithm between exponential bounds, where there is a bound.
    fn middle(&self, lower: f64, upper: f64) -> f64 {
        match (lower.is_infinite(), upper.is_infinite()) {
            (true, true) => 0.0,
            (true, false) if upper > 0.0 => upper / 2.0,
            (true, false) => upper,
            (false, true) => lower,
            (false, false) if self.custom => (lower + upper) / 2.0,
            (false, false) => (lower * upper).abs().sqrt().copysign(lower + upper),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::{CUSTOM_BUCKETS_SCHEMA, Span};

    fn positive(schema: i32, counts: &[f64]) -> FloatHistogram {
        FloatHistogram {
            schema,
            count: counts.iter().sum(),
            sum: 1000.0,
            positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
            positive_buckets: counts.to_vec(),
            ..FloatHistogram::default()
        }
    }

    fn custom(bounds: &[f64], counts: &[f64]) -> FloatHistogram {
        FloatHistogram { custom_bounds: bounds.to_vec(), ..positive(CUSTOM_BUCKETS_SCHEMA, counts) }
    }

    /// Cuts at a value: count and sum below, and above.
    fn check(histogram: &FloatHistogram, value: f64, below: (f64, f64), above: (f64, f64)) {
        for (left, expected) in [(histogram.trim_upper(value), below), (histogram.trim_lower(value), above)] {
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-12 * b.abs();
            let found = (left.count, left.sum);
            assert!(
                close(found.0, expected.0) && close(found.1, expected.1),
                "{histogram} at {value}: {found:?}"
            );
            assert!(!left.positive_buckets.contains(&0.0), "{left}");
            assert_eq!(left.custom_bounds, histogram.custom_bounds);
        }
    }

    #[test]
    fn exponential_buckets_are_cut_by_logarithm() {
        // (0.5, 1], (1, 2], (2, 4], with the middles sqrt(0.5), sqrt(2), sqrt(8).
        let histogram = positive(0, &[2.0, 4.0, 8.0]);
        let root = f64::sqrt;
        check(&histogram, 2.0, (6.0, 2.0 * root(0.5) + 4.0 * root(2.0)), (8.0, 8.0 * root(8.0)));
        check(
            &histogram,
            root(8.0),
            (10.0, 2.0 * root(0.5) + 4.0 * root(2.0) + 4.0 * root(2.0 * root(8.0))),
            (4.0, 4.0 * root(4.0 * root(8.0))),
        );
        check(&histogram, f64::INFINITY, (14.0, 1000.0), (0.0, 0.0));
        check(&histogram, 0.5, (0.0, 0.0), (14.0, 1000.0));
        let mut mirrored = histogram.clone();
        std::mem::swap(&mut mirrored.positive_spans, &mut mirrored.negative_spans);
        std::mem::swap(&mut mirrored.positive_buckets, &mut mirrored.negative_buckets);
        check(&mirrored, -2.0, (8.0, -8.0 * root(8.0)), (6.0, -2.0 * root(0.5) - 4.0 * root(2.0)));
    }

    #[test]
    fn the_zero_bucket_is_cut_evenly() {
        let zero = FloatHistogram { zero_threshold: 0.5, zero_count: 4.0, ..positive(0, &[]) };
        let zero = FloatHistogram { count: 4.0, ..zero };
        check(&zero, 0.25, (3.0, -0.375), (1.0, 0.375));
        let sided = FloatHistogram {
            count: 5.0,
            positive_spans: vec![Span { offset: 1, length: 1 }],
            ..zero.clone()
        };
        let sided = FloatHistogram { positive_buckets: vec![1.0], ..sided };
        check(&sided, 0.25, (2.0, 0.25), (3.0, 0.75 + 2.0_f64.sqrt()));
        let thin = FloatHistogram { zero_threshold: 0.0, ..zero };
        check(&thin, 0.0, (0.0, 0.0), (4.0, 1000.0));
        check(&thin, 1.0, (4.0, 1000.0), (0.0, 0.0));
        check(&thin, -1.0, (0.0, 0.0), (4.0, 1000.0));
    }

    #[test]
    fn custom_buckets_are_cut_evenly() {
        let histogram = custom(&[4.0, 8.0], &[2.0, 4.0, 2.0]);
        check(&histogram, 6.0, (4.0, 2.0 * 2.0 + 2.0 * 5.0), (4.0, 2.0 * 7.0 + 2.0 * 8.0));
        // The first bucket begins at zero, the last one has no end.
        check(&histogram, 1.0, (0.5, 0.5 * 0.5), (7.5, 1.5 * 2.5 + 4.0 * 6.0 + 2.0 * 8.0));
        check(&histogram, 10.0, (6.0, 2.0 * 2.0 + 4.0 * 6.0), (2.0, 2.0 * 10.0));
        // Below a first bucket that ends at or below zero all may lie.
        let negative = custom(&[-4.0], &[2.0, 3.0]);
        check(&negative, -6.0, (2.0, -12.0), (3.0, -12.0));
        check(&custom(&[], &[5.0]), 1.0, (0.0, 0.0), (0.0, 0.0));
    }
}
