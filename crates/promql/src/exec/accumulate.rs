//! Sums and means of native histograms, with compensation: over the series of a group, or over time.
//!
//! They can be merged. The result is that of all histograms in any order, unless [`Layout::heeds_order`] says otherwise.

mod wire;

use model::FloatHistogram;
use model::histogram::{CounterResetHint, HistogramError};

use super::note::{Note, Notes, Operation};

/// What has been added up so far; at least one histogram.
#[derive(Clone, Debug)]
pub(super) struct Accumulated {
    /// The sum; or the mean once it is `incremental`.
    total: FloatHistogram,
    /// What rounding took from `total`.
    lost: Option<Box<FloatHistogram>>,
    /// How many histograms there were.
    count: f64,
    /// The sum would have overflowed, so the mean itself is kept.
    incremental: bool,
    /// One was the first after a counter reset.
    reset: bool,
    /// One was not.
    not_reset: bool,
    /// Custom bounds differed.
    reconciled: bool,
    /// Exponential and custom buckets met: there is no result.
    mixed: bool,
    /// Schemas differed.
    schemas: bool,
    /// Widths of zero buckets differed.
    zeros: bool,
}

/// What the buckets of some histograms have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Of exponential buckets.
    schema: Option<i32>,
    zero_threshold: f64,
    mixed: bool,
    schemas: bool,
    zeros: bool,
}

impl Layout {
    /// Takes in the histograms of another part.
    pub(super) fn join(&mut self, other: Self) {
        self.mixed |= other.mixed || self.schema.is_none() != other.schema.is_none();
        self.schemas |= other.schemas || self.schema != other.schema;
        self.zeros |= other.zeros || self.zero_threshold.to_bits() != other.zero_threshold.to_bits();
    }

    /// Tells whether the order of the histograms decides about the sum, or about what is said of it: exponential and custom
    /// buckets met, or a zero bucket is widened and buckets are made coarser, and either may come first.
    pub(super) fn heeds_order(self) -> bool {
        self.mixed || self.schemas && self.zeros
    }
}

impl Accumulated {
    pub(super) fn new(first: &FloatHistogram) -> Self {
        let mut new = Self {
            total: first.clone(),
            lost: None,
            count: 1.0,
            incremental: false,
            reset: false,
            not_reset: false,
            reconciled: false,
            mixed: false,
            schemas: false,
            zeros: false,
        };
        new.track(first);
        new
    }

    /// Returns about what it takes once something was added.
    pub(super) fn size_bytes(&self) -> usize {
        // The compensation has the layout of the total.
        size_of::<Self>() + 2 * self.total.size_bytes()
    }

    /// Adds a histogram to a sum; tells when this one made the histograms a mix of exponential and custom buckets.
    pub(super) fn add(&mut self, histogram: &FloatHistogram) -> bool {
        if self.mixed {
            return false;
        }
        self.track(histogram);
        self.count += 1.0;
        self.add_to_total(histogram)
    }

    /// Adds a histogram to a mean; tells the same.
    pub(super) fn add_to_mean(&mut self, histogram: &FloatHistogram) -> bool {
        if self.mixed {
            return false;
        }
        self.track(histogram);
        self.count += 1.0;
        if !self.incremental {
            if (weight(&self.total) + weight(histogram)).is_finite() {
                return self.add_to_total(histogram);
            }
            self.incremental = true;
            self.total.divide(self.count - 1.0);
            self.change_lost(|lost, count| lost.divide(count - 1.0));
        }
        let share = (self.count - 1.0) / self.count;
        self.total.scale(share);
        self.change_lost(|lost, count| lost.scale((count - 1.0) / count));
        let mut part = histogram.clone();
        part.divide(self.count);
        self.add_to_total(&part)
    }

    fn change_lost(&mut self, change: impl Fn(&mut FloatHistogram, f64)) {
        if let Some(lost) = &mut self.lost {
            change(lost, self.count);
        }
    }

    /// Adds what another part has summed up. What both have is no mix of buckets.
    pub(super) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.merge_totals(other);
    }

    /// Adds what another part has of a mean. What both have is no mix of buckets.
    pub(super) fn merge_mean(&mut self, mut other: Self) {
        let count = self.count + other.count;
        let fits = (weight(&self.total) + weight(&other.total)).is_finite();
        if self.incremental || other.incremental || !fits {
            self.make_share_of(count);
            other.make_share_of(count);
        }
        self.count = count;
        self.merge_totals(other);
    }

    /// Makes a sum or mean what its histograms contribute to the mean of so many.
    fn make_share_of(&mut self, count: f64) {
        let (own, weight) = (self.count, self.count / count);
        let divisor = if self.incremental { 1.0 } else { own };
        self.incremental = true;
        for numbers in std::iter::once(&mut self.total).chain(self.lost.as_deref_mut()) {
            numbers.divide(divisor);
            numbers.scale(weight);
        }
    }

    fn merge_totals(&mut self, other: Self) {
        let mut layout = self.layout();
        layout.join(other.layout());
        (self.schemas, self.zeros) = (layout.schemas, layout.zeros);
        self.mixed |= other.mixed;
        self.reset |= other.reset;
        self.not_reset |= other.not_reset;
        self.reconciled |= other.reconciled;
        self.add_to_total(&other.total);
        if let Some(mut lost) = other.lost {
            lost.reset_hint = self.total.reset_hint;
            self.add_to_total(&lost);
        }
    }

    pub(super) fn layout(&self) -> Layout {
        let exponential = !self.total.uses_custom_buckets();
        Layout {
            schema: exponential.then_some(self.total.schema),
            zero_threshold: if exponential { self.total.zero_threshold } else { 0.0 },
            mixed: self.mixed,
            schemas: self.schemas,
            zeros: self.zeros,
        }
    }

    fn track(&mut self, histogram: &FloatHistogram) {
        self.schemas |= histogram.schema != self.total.schema;
        self.zeros |= histogram.zero_threshold.to_bits() != self.total.zero_threshold.to_bits();
        self.reset |= histogram.reset_hint == CounterResetHint::Reset;
        self.not_reset |= histogram.reset_hint == CounterResetHint::NotReset;
    }

    fn add_to_total(&mut self, histogram: &FloatHistogram) -> bool {
        match self.total.add_compensated(histogram, &mut self.lost) {
            Ok(combined) => self.reconciled |= combined.bounds_reconciled,
            Err(HistogramError::MixedSchemas) => self.mixed = true,
            // Histograms that were stored are valid.
            Err(_) => {}
        }
        self.mixed
    }

    /// Returns the sum, unless there is none.
    pub(super) fn sum(mut self) -> Option<FloatHistogram> {
        self.total.settle(self.lost);
        (!self.mixed).then_some(self.total)
    }

    /// Returns the mean, unless there is none.
    pub(super) fn mean(mut self) -> Option<FloatHistogram> {
        if !self.incremental {
            self.total.divide(self.count);
            self.change_lost(|lost, count| lost.divide(count));
        }
        self.total.settle(self.lost);
        (!self.mixed).then_some(self.total)
    }

    /// Adds what is to be said of the result. That exponential and custom buckets met is said when it happens.
    pub(super) fn note(&self, notes: &mut Notes) {
        if self.reset && self.not_reset && !self.mixed {
            notes.add(Note::ResetCollision(Operation::Aggregation));
        }
        if self.reconciled {
            notes.add(Note::Reconciled(Operation::Aggregation));
        }
    }
}

/// Returns what no number of the histogram, and no sum of its buckets, is beyond.
fn weight(histogram: &FloatHistogram) -> f64 {
    let buckets = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
    let fixed = [histogram.count, histogram.sum, histogram.zero_count];
    fixed.iter().chain(buckets).map(|number| number.abs()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(sum: f64) -> FloatHistogram {
        let buckets = vec![1.0];
        let spans = vec![model::histogram::Span { offset: 0, length: 1 }];
        FloatHistogram {
            sum,
            count: 1.0,
            positive_buckets: buckets,
            positive_spans: spans,
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn sums_keep_what_rounding_takes() {
        let mut sum = Accumulated::new(&histogram(1.0));
        for term in [1e100, 1.0, -1e100] {
            assert!(!sum.add(&histogram(term)));
        }
        let sum = sum.sum().expect("one kind of buckets");
        assert_eq!((sum.sum, sum.count, sum.positive_buckets), (2.0, 4.0, vec![4.0]));
    }

    #[test]
    fn means_survive_an_overflowing_sum() {
        let mut mean = Accumulated::new(&histogram(f64::MAX));
        for _ in 0..3 {
            assert!(!mean.add_to_mean(&histogram(f64::MAX)));
        }
        let mean = mean.mean().expect("one kind of buckets");
        assert!((mean.sum / f64::MAX - 1.0).abs() < 1e-12, "{}", mean.sum);
        assert!((mean.count - 1.0).abs() < 1e-12, "{}", mean.count);
    }

    #[test]
    fn merged_parts_are_the_whole() {
        let terms = [1.0, 1e100, 1.0, -1e100, 3.0];
        for cut in 1..terms.len() {
            let part = |terms: &[f64]| {
                let mut sum = Accumulated::new(&histogram(terms[0]));
                terms[1..].iter().for_each(|term| assert!(!sum.add(&histogram(*term))));
                sum
            };
            let mut sum = part(&terms[..cut]);
            sum.merge(part(&terms[cut..]));
            let mean = sum.clone().mean().expect("one kind of buckets");
            let sum = sum.sum().expect("one kind of buckets");
            assert_eq!((sum.sum, sum.count, sum.positive_buckets), (5.0, 5.0, vec![5.0]), "cut at {cut}");
            assert_eq!((mean.sum, mean.count), (1.0, 1.0), "cut at {cut}");
        }
    }

    #[test]
    fn merged_means_survive_an_overflowing_sum() {
        for (left, right) in [(1, 1), (1, 3), (3, 1), (4, 3)] {
            let part = |count: usize| {
                let mut mean = Accumulated::new(&histogram(f64::MAX));
                (1..count).for_each(|_| assert!(!mean.add_to_mean(&histogram(f64::MAX))));
                mean
            };
            let mut mean = part(left);
            mean.merge_mean(part(right));
            let mean = mean.mean().expect("one kind of buckets");
            assert!((mean.sum / f64::MAX - 1.0).abs() < 1e-12, "{}", mean.sum);
            assert!((mean.count - 1.0).abs() < 1e-12, "{}", mean.count);
        }
    }

    #[test]
    fn layouts_tell_when_order_matters() {
        let of = |schema, zero_threshold| {
            Accumulated::new(&FloatHistogram { schema, zero_threshold, ..histogram(1.0) }).layout()
        };
        let custom = model::histogram::CUSTOM_BUCKETS_SCHEMA;
        for (parts, expected) in [
            ([of(0, 0.0), of(1, 0.0), of(2, 0.0)], false),
            ([of(0, 0.0), of(0, 0.1), of(0, 0.2)], false),
            ([of(0, 0.0), of(1, 0.0), of(0, 0.1)], true),
            ([of(0, 0.0), of(0, 0.0), of(custom, 0.0)], true),
            ([of(custom, 0.0), of(custom, 0.0), of(custom, 0.0)], false),
        ] {
            let [mut all, second, third] = parts;
            all.join(second);
            all.join(third);
            assert_eq!(all.heeds_order(), expected, "{parts:?}");
        }
    }

    #[test]
    fn custom_and_exponential_buckets_have_no_sum() {
        let custom = FloatHistogram { schema: model::histogram::CUSTOM_BUCKETS_SCHEMA, ..histogram(1.0) };
        let mut sum = Accumulated::new(&histogram(1.0));
        assert!(sum.add(&custom));
        assert!(!sum.add(&custom), "it is told once");
        assert!(sum.sum().is_none());
    }
}
