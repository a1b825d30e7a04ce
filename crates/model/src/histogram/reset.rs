//! Counter resets: has the counted thing begun anew since the previous sample?

use super::layout::{Indexed, coarser};
use super::reconcile::shared_bounds;
use super::{CounterResetHint, FloatHistogram, Span};

impl FloatHistogram {
    /// Tells whether a counter reset lies between `previous` and this histogram.
    ///
    /// The hint decides when it says something. Else it is a reset when a count has fallen: that of all observations, of the
    /// zero bucket or of a bucket; when the resolution has grown; when the zero threshold has fallen or cuts a bucket that was
    /// populated. A fallen sum is none: observations may be negative.
    pub fn detect_reset(&self, previous: &Self) -> bool {
        match self.reset_hint {
            CounterResetHint::Reset => return true,
            CounterResetHint::NotReset => return false,
            // Of gauges nothing better is known.
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.uses_custom_buckets() {
            if !previous.uses_custom_buckets() {
                return true;
            }
            if self.custom_bounds != previous.custom_bounds {
                return self.has_fallen_by_shared_bounds(previous);
            }
            return has_fallen(self.positive(), previous.positive());
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        if previous.zero_threshold != self.zero_threshold
            && previous.threshold_from(self.zero_threshold) != self.zero_threshold
        {
            return true;
        }
        if self.zero_count < previous.count_within(self.zero_threshold) {
            return true;
        }
        self.has_fallen_bucket(
            previous,
            (&self.positive_spans, &self.positive_buckets),
            (&previous.positive_spans, &previous.positive_buckets),
        ) || self.has_fallen_bucket(
            previous,
            (&self.negative_spans, &self.negative_buckets),
            (&previous.negative_spans, &previous.negative_buckets),
        )
    }

    /// Compares the buckets of one side, of exponential histograms, as far as they lie outside of the zero bucket.
    fn has_fallen_bucket(&self, previous: &Self, now: (&[Span], &[f64]), before: (&[Span], &[f64])) -> bool {
        let inside = |(index, _): &(i64, f64)| self.bound(*index) <= self.zero_threshold;
        let now_buckets = Indexed::new(now.0, now.1);
        let shift = previous.schema.abs_diff(self.schema);
        if shift == 0 && now.0 == before.0 && now.1.len() == before.1.len() {
            // The usual case: nothing but counts has changed.
            let within = now_buckets.take_while(inside).count();
            return now.1[within..].iter().zip(&before.1[within..]).any(|(now, before)| now < before);
        }
        let before_buckets = coarser(Indexed::new(before.0, before.1), shift);
        has_fallen(now_buckets.skip_while(inside), before_buckets.skip_while(inside))
    }

    /// Tells whether the count between two bounds that both histograms have has fallen.
    fn has_fallen_by_shared_bounds(&self, previous: &Self) -> bool {
        let (mut now, mut before) = (self.positive().peekable(), previous.positive().peekable());
        let mut bounds = shared_bounds(&self.custom_bounds, &previous.custom_bounds);
        bounds.push(f64::INFINITY);
        bounds.into_iter().any(|bound| {
            let (mut now_count, mut before_count) = (0.0, 0.0);
            while let Some((_, count)) = now.next_if(|(index, _)| self.bound(*index) <= bound) {
                now_count += count;
            }
            while let Some((_, count)) = before.next_if(|(index, _)| previous.bound(*index) <= bound) {
                before_count += count;
            }
            now_count < before_count
        })
    }
}

/// Tells whether a bucket has a smaller count than before, or is gone though it was populated.
fn has_fallen(now: impl Iterator<Item = (i64, f64)>, mut before: impl Iterator<Item = (i64, f64)>) -> bool {
    let mut now = now.peekable();
    before.any(|(index, old)| {
        while now.next_if(|(other, _)| *other < index).is_some() {}
        match now.peek() {
            Some((other, new)) if *other == index => *new < old,
            _ => old != 0.0,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::CUSTOM_BUCKETS_SCHEMA;

    fn positive(offset: i32, counts: &[f64]) -> FloatHistogram {
        FloatHistogram {
            count: 100.0,
            positive_spans: vec![Span { offset, length: counts.len() as u32 }],
            positive_buckets: counts.to_vec(),
            ..FloatHistogram::default()
        }
    }

    fn check(previous: &FloatHistogram, now: &FloatHistogram, expected: bool) {
        assert_eq!(now.detect_reset(previous), expected, "{previous} then {now}");
    }

    #[test]
    fn fallen_counts_are_resets() {
        let before = positive(0, &[1.0, 0.0, 3.0]);
        check(&before, &before, false);
        check(&before, &positive(0, &[2.0, 0.0, 3.0]), false);
        check(&before, &positive(0, &[1.0, 0.0, 2.0]), true);
        check(&before, &positive(0, &[1.0]), true);
        check(&before, &positive(2, &[9.0]), true);
        check(&positive(0, &[0.0]), &positive(2, &[9.0]), false);
        check(&before, &FloatHistogram { count: 99.0, ..before.clone() }, true);
        check(&before, &FloatHistogram { sum: -1.0, ..before.clone() }, false);
        check(&FloatHistogram { zero_count: 2.0, ..before.clone() }, &before, true);
    }

    #[test]
    fn the_hint_decides() {
        let before = positive(0, &[1.0]);
        let hinted = |reset_hint, counts: &[f64]| FloatHistogram { reset_hint, ..positive(0, counts) };
        check(&before, &hinted(CounterResetHint::Reset, &[2.0]), true);
        check(&before, &hinted(CounterResetHint::NotReset, &[0.5]), false);
        check(&before, &hinted(CounterResetHint::Gauge, &[0.5]), true);
    }

    #[test]
    fn a_change_of_layout_may_be_one() {
        let before = positive(1, &[1.0, 2.0]);
        check(&before, &FloatHistogram { schema: 1, ..before.clone() }, true);
        // Both buckets of schema 0 lie in (1, 16] of schema -2.
        check(&before, &FloatHistogram { schema: -2, ..positive(1, &[3.0]) }, false);
        check(&before, &FloatHistogram { schema: -2, ..positive(1, &[2.0]) }, true);
        let zero = |zero_threshold, zero_count, counts: &[f64]| FloatHistogram {
            zero_threshold,
            zero_count,
            ..positive(2, counts)
        };
        check(&zero(0.5, 1.0, &[2.0]), &zero(0.25, 1.0, &[2.0]), true);
        check(&before, &zero(2.0, 1.0, &[2.0]), false);
        check(&before, &zero(2.0, 0.5, &[2.0]), true);
        check(&before, &zero(1.5, 1.0, &[2.0]), true);
    }

    #[test]
    fn custom_bounds_are_compared_where_both_have_them() {
        let custom = |bounds: &[f64], counts: &[f64]| FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            custom_bounds: bounds.to_vec(),
            ..positive(0, counts)
        };
        let before = custom(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]);
        check(&before, &custom(&[2.0], &[3.0, 7.0]), false);
        check(&before, &custom(&[2.0], &[2.0, 8.0]), true);
        check(&before, &custom(&[5.0], &[9.0, 1.0]), false);
        check(&before, &custom(&[5.0], &[8.0, 1.0]), true);
        check(&positive(0, &[1.0]), &before, true);
        check(&before, &positive(0, &[1.0]), true);
    }
}
