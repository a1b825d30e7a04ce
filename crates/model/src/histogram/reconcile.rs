//! One layout for two histograms: the coarser schema, the wider zero bucket, the custom bounds that both have.

use super::FloatHistogram;
use super::layout::coarser_index;
use super::side::accumulate;

impl FloatHistogram {
    /// Merges buckets until they have a coarser exponential schema. Does nothing to custom buckets, or when `schema` is not
    /// coarser.
    pub fn reduce_resolution(&mut self, schema: i32) {
        self.reduce_with(schema, None);
    }

    pub(super) fn reduce_with(&mut self, schema: i32, mut lost: Option<&mut Self>) {
        if self.uses_custom_buckets() || schema >= self.schema {
            return;
        }
        let shift = self.schema.abs_diff(schema);
        self.schema = schema;
        if let Some(lost) = lost.as_deref_mut() {
            lost.schema = schema;
        }
        self.positive_side(lost.as_deref_mut()).rebuild(|index, _, _| Some(coarser_index(index, shift)));
        self.negative_side(lost).rebuild(|index, _, _| Some(coarser_index(index, shift)));
    }

    /// Widens the zero bucket until it holds that of another histogram and cuts no populated bucket of either; returns what the
    /// other one's zero count is then.
    pub(super) fn reconcile_zero_buckets(&mut self, other: &Self, mut lost: Option<&mut Self>) -> f64 {
        let mut threshold = other.zero_threshold;
        // Each turn moves a threshold up to the border of a bucket. Both are equal at the end, unless one is NaN.
        loop {
            if self.zero_threshold > threshold {
                threshold = other.threshold_from(self.zero_threshold);
            }
            if threshold > self.zero_threshold {
                self.widen_zero_bucket(threshold, lost.as_deref_mut());
            }
            let again = self.zero_threshold > threshold;
            if !again {
                return other.count_within(self.zero_threshold);
            }
        }
    }

    /// Returns the smallest zero threshold from `threshold` on that cuts no populated bucket.
    pub(super) fn threshold_from(&self, mut threshold: f64) -> f64 {
        loop {
            let cut = |(index, count): &(i64, f64)| {
                *count != 0.0 && self.bound(index - 1) < threshold && self.bound(*index) > threshold
            };
            let Some((index, _)) = self.positive().find(cut).or_else(|| self.negative().find(cut)) else {
                return threshold;
            };
            threshold = self.bound(index);
        }
    }

    /// Returns what the zero count is with a larger threshold that cuts no populated bucket.
    pub(super) fn count_within(&self, threshold: f64) -> f64 {
        if self.zero_threshold == threshold {
            return self.zero_count;
        }
        let within = |(index, _): &(i64, f64)| self.bound(index - 1) < threshold;
        let positive = self.positive().take_while(within);
        let negative = self.negative().take_while(within);
        positive.chain(negative).fold(self.zero_count, |sum, (_, count)| sum + count)
    }

    /// Moves buckets into the zero bucket, up to a larger threshold or the first one after it that cuts no populated bucket.
    fn widen_zero_bucket(&mut self, threshold: f64, mut lost: Option<&mut Self>) {
        let threshold = self.threshold_from(threshold);
        let within = |(index, _): &(i64, f64)| self.bound(index - 1) < threshold;
        let positive = self.positive().take_while(within).count();
        let negative = self.negative().take_while(within).count();
        move_into(
            &mut self.zero_count,
            &mut self.positive_buckets[..positive],
            lost.as_deref_mut(),
            |lost| &mut lost.positive_buckets,
        );
        move_into(
            &mut self.zero_count,
            &mut self.negative_buckets[..negative],
            lost.as_deref_mut(),
            |lost| &mut lost.negative_buckets,
        );
        self.zero_threshold = threshold;
        if let Some(lost) = lost.as_deref_mut() {
            lost.zero_threshold = threshold;
        }
        self.compact_with(lost);
    }

    /// Leaves only the custom bounds that another histogram has too; false when all are the same.
    pub(super) fn reconcile_bounds(&mut self, others: &[f64], mut lost: Option<&mut Self>) -> bool {
        if self.custom_bounds == others {
            return false;
        }
        let shared = shared_bounds(&self.custom_bounds, others);
        let own = std::mem::replace(&mut self.custom_bounds, shared.clone());
        if let Some(lost) = lost.as_deref_mut() {
            lost.custom_bounds.clone_from(&shared);
        }
        self.positive_side(lost).rebuild(|index, _, _| Some(shared_index(index, &own, &shared)));
        true
    }
}

/// Moves counts, and their compensation, into the zero bucket.
fn move_into(
    zero_count: &mut f64,
    counts: &mut [f64],
    lost: Option<&mut FloatHistogram>,
    side: impl Fn(&mut FloatHistogram) -> &mut Vec<f64>,
) {
    let Some(lost) = lost else {
        *zero_count = counts.iter().fold(*zero_count, |sum, count| sum + count);
        counts.fill(0.0);
        return;
    };
    let mut lost_zero = lost.zero_count;
    for (count, lost) in counts.iter_mut().zip(side(lost)) {
        accumulate(zero_count, Some(&mut lost_zero), std::mem::take(count));
        lost_zero += std::mem::take(lost);
    }
    lost.zero_count = lost_zero;
}

/// Returns the bounds that are in both of two ascending lists.
pub(super) fn shared_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut b = b.iter().peekable();
    let is_shared = |bound: &&f64| {
        while b.next_if(|other| *other < *bound).is_some() {}
        b.next_if(|other| *other == *bound).is_some()
    };
    a.iter().filter(is_shared).copied().collect()
}

/// Returns the bucket that a custom bucket lies in when only `shared` of its `bounds` are left.
pub(super) fn shared_index(index: i64, bounds: &[f64], shared: &[f64]) -> i64 {
    let upper = usize::try_from(index)
        .ok()
        .map_or(f64::NEG_INFINITY, |index| bounds.get(index).copied().unwrap_or(f64::INFINITY));
    shared.partition_point(|bound| *bound < upper) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::{CUSTOM_BUCKETS_SCHEMA, Span};

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    fn positive(schema: i32, offset: i32, counts: &[f64]) -> FloatHistogram {
        FloatHistogram {
            schema,
            count: counts.iter().sum(),
            positive_spans: vec![span(offset, counts.len() as u32)],
            positive_buckets: counts.to_vec(),
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn the_coarser_schema_wins() {
        // Schema 1 has the bounds 1, 1.41, 2, 2.83, 4.
        let fine = positive(1, 0, &[1.0, 2.0, 3.0, 4.0]);
        let coarse = positive(0, 0, &[10.0, 20.0]);
        let expected = positive(0, 0, &[11.0, 25.0, 4.0]);
        let mut sum = fine.clone();
        sum.add(&coarse).expect("both are exponential");
        assert_eq!(sum, expected);
        let mut sum = coarse;
        sum.add(&fine).expect("both are exponential");
        assert_eq!(sum, expected);
    }

    #[test]
    fn the_wider_zero_bucket_wins_and_grows_to_a_border() {
        // Buckets (0.5, 1], (1, 2], (2, 4].
        let narrow = positive(0, 0, &[1.0, 2.0, 3.0]);
        let wide = FloatHistogram {
            zero_threshold: 1.5,
            zero_count: 10.0,
            count: 10.0,
            ..FloatHistogram::default()
        };
        let expected =
            FloatHistogram { zero_threshold: 2.0, zero_count: 13.0, count: 16.0, ..positive(0, 2, &[3.0]) };
        for (a, b) in [(&narrow, &wide), (&wide, &narrow)] {
            let mut sum = a.clone();
            sum.add(b).expect("both are exponential");
            assert_eq!(sum, expected);
        }
    }

    #[test]
    fn an_empty_bucket_may_be_cut() {
        let narrow = positive(0, 0, &[1.0, 0.0, 3.0]);
        assert_eq!(narrow.threshold_from(1.5), 1.5);
        assert_eq!(narrow.count_within(1.5), 1.0);
        assert_eq!(narrow.threshold_from(3.0), 4.0);
        assert_eq!(narrow.threshold_from(f64::NAN).to_bits(), f64::NAN.to_bits());
    }

    #[test]
    fn custom_bounds_are_intersected() {
        let custom = |bounds: &[f64], counts: &[f64]| FloatHistogram {
            custom_bounds: bounds.to_vec(),
            ..positive(CUSTOM_BUCKETS_SCHEMA, 0, counts)
        };
        let mut sum = custom(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]);
        let combined = sum.add(&custom(&[2.0, 2.5], &[10.0, 20.0, 30.0])).expect("both are custom");
        assert!(combined.bounds_reconciled);
        assert_eq!(sum, custom(&[2.0], &[13.0, 57.0]));
        let mut same = custom(&[2.0], &[1.0, 2.0]);
        assert!(!same.add(&sum).expect("both are custom").bounds_reconciled);
        assert_eq!(same, custom(&[2.0], &[14.0, 59.0]));
        let mut none = custom(&[5.0], &[1.0]);
        none.add(&same).expect("both are custom");
        assert_eq!(none, custom(&[], &[74.0]));
    }
}
