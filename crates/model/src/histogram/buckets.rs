//! Buckets with their bounds, from the lowest to the highest and back.

use super::FloatHistogram;
use super::layout::Indexed;

/// A bucket: a range of values and how many observations fell into it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Where it begins.
    pub lower: f64,
    /// Where it ends.
    pub upper: f64,
    /// Whether `lower` belongs to it.
    pub lower_inclusive: bool,
    /// Whether `upper` belongs to it.
    pub upper_inclusive: bool,
    /// Its observations.
    pub count: f64,
}

impl Bucket {
    /// Returns the share of its observations below a value in it, when they are spread evenly by their logarithm.
    pub fn logarithmic_share(&self, value: f64) -> f64 {
        let [lower, upper, value_log] = [self.lower, self.upper, value].map(|bound| bound.abs().log2());
        if value > 0.0 {
            (value_log - lower) / (upper - lower)
        } else {
            1.0 - (value_log - upper) / (lower - upper)
        }
    }
}

/// The buckets of a histogram in ascending order: negative ones, the zero bucket if it is populated, positive ones.
///
/// A bucket that overlaps with the zero bucket begins or ends at the zero threshold.
#[derive(Clone, Debug)]
pub struct Buckets<'a> {
    histogram: &'a FloatHistogram,
    negative: Indexed<'a>,
    zero: bool,
    positive: Indexed<'a>,
}

impl FloatHistogram {
    /// Yields the buckets, empty ones among them, from the lowest to the highest or (reversed) from the highest.
    pub fn buckets(&self) -> Buckets<'_> {
        Buckets {
            histogram: self,
            negative: self.negative(),
            zero: self.zero_count > 0.0,
            positive: self.positive(),
        }
    }

    /// Yields `(index, count)` of the positive buckets.
    pub(super) fn positive(&self) -> Indexed<'_> {
        Indexed::new(&self.positive_spans, &self.positive_buckets)
    }

    /// Yields `(index, count)` of the negative buckets, from the zero bucket down.
    pub(super) fn negative(&self) -> Indexed<'_> {
        Indexed::new(&self.negative_spans, &self.negative_buckets)
    }

    /// Returns a positive bucket as the schema defines it.
    pub(super) fn positive_bucket(&self, index: i64, count: f64) -> Bucket {
        let (lower, upper) = (self.bound(index - 1), self.bound(index));
        let custom = self.uses_custom_buckets();
        let lower_inclusive = if custom { index == 0 } else { lower < 0.0 };
        Bucket { lower, upper, lower_inclusive, upper_inclusive: custom || upper > 0.0, count }
    }

    /// Returns a negative bucket as the schema defines it.
    pub(super) fn negative_bucket(&self, index: i64, count: f64) -> Bucket {
        let (lower, upper) = (-self.bound(index), -self.bound(index - 1));
        Bucket { lower, upper, lower_inclusive: lower < 0.0, upper_inclusive: upper > 0.0, count }
    }

    /// Returns the zero bucket.
    pub(super) fn zero_bucket(&self) -> Bucket {
        let (lower, upper) = (-self.zero_threshold, self.zero_threshold);
        Bucket { lower, upper, lower_inclusive: true, upper_inclusive: true, count: self.zero_count }
    }
}

impl Buckets<'_> {
    fn clipped_negative(&self, (index, count): (i64, f64)) -> Bucket {
        let mut bucket = self.histogram.negative_bucket(index, count);
        if bucket.upper < 0.0 && bucket.upper > -self.histogram.zero_threshold {
            bucket.upper = -self.histogram.zero_threshold;
        }
        bucket
    }

    fn clipped_positive(&self, (index, count): (i64, f64)) -> Bucket {
        let mut bucket = self.histogram.positive_bucket(index, count);
        if bucket.lower > 0.0 && bucket.lower < self.histogram.zero_threshold {
            bucket.lower = self.histogram.zero_threshold;
        }
        bucket
    }
}

impl Iterator for Buckets<'_> {
    type Item = Bucket;

    fn next(&mut self) -> Option<Bucket> {
        if let Some(item) = self.negative.next_back() {
            return Some(self.clipped_negative(item));
        }
        if std::mem::take(&mut self.zero) {
            return Some(self.histogram.zero_bucket());
        }
        self.positive.next().map(|item| self.clipped_positive(item))
    }
}

impl DoubleEndedIterator for Buckets<'_> {
    fn next_back(&mut self) -> Option<Bucket> {
        if let Some(item) = self.positive.next_back() {
            return Some(self.clipped_positive(item));
        }
        if std::mem::take(&mut self.zero) {
            return Some(self.histogram.zero_bucket());
        }
        self.negative.next().map(|item| self.clipped_negative(item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::{CUSTOM_BUCKETS_SCHEMA, Span};

    fn ranges(histogram: &FloatHistogram) -> Vec<(f64, f64, f64)> {
        let forward: Vec<Bucket> = histogram.buckets().collect();
        let mut backward: Vec<Bucket> = histogram.buckets().rev().collect();
        backward.reverse();
        assert_eq!(forward, backward);
        forward.iter().map(|bucket| (bucket.lower, bucket.upper, bucket.count)).collect()
    }

    #[test]
    fn buckets_ascend_from_both_ends() {
        let span = |offset, length| Span { offset, length };
        let histogram = FloatHistogram {
            zero_threshold: 0.75,
            zero_count: 2.0,
            positive_spans: vec![span(0, 1), span(0, 0), span(1, 2)],
            positive_buckets: vec![1.0, 0.0, 3.0],
            negative_spans: vec![span(1, 2)],
            negative_buckets: vec![2.0, 4.0],
            ..FloatHistogram::default()
        };
        let expected = [
            (-4.0, -2.0, 4.0),
            (-2.0, -1.0, 2.0),
            (-0.75, 0.75, 2.0),
            (0.75, 1.0, 1.0),
            (2.0, 4.0, 0.0),
            (4.0, 8.0, 3.0),
        ];
        assert_eq!(ranges(&histogram), expected);
    }

    #[test]
    fn custom_buckets_run_from_infinity_to_infinity() {
        let histogram = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            positive_buckets: vec![1.0, 2.0, 3.0],
            custom_bounds: vec![5.0, 10.0],
            ..FloatHistogram::default()
        };
        let expected = [(f64::NEG_INFINITY, 5.0, 1.0), (5.0, 10.0, 2.0), (10.0, f64::INFINITY, 3.0)];
        assert_eq!(ranges(&histogram), expected);
        let inclusive: Vec<_> = histogram.buckets().map(|b| (b.lower_inclusive, b.upper_inclusive)).collect();
        assert_eq!(inclusive, [(true, true), (false, true), (false, true)]);
    }

    #[test]
    fn layouts_that_do_not_fit_are_read_as_far_as_they_go() {
        let mut histogram = FloatHistogram {
            positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: u32::MAX }],
            positive_buckets: vec![1.0, 2.0, 3.0],
            ..FloatHistogram::default()
        };
        assert_eq!(ranges(&histogram), [(0.5, 1.0, 1.0), (1.0, 2.0, 2.0), (4.0, 8.0, 3.0)]);
        histogram.positive_spans.pop();
        assert_eq!(ranges(&histogram), [(0.5, 1.0, 1.0), (1.0, 2.0, 2.0)]);
        histogram.positive_spans.clear();
        assert_eq!(ranges(&histogram), []);
    }
}
