//! Sums and means of native histograms, with compensation: over the series of a group, or over time.

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

    fn track(&mut self, histogram: &FloatHistogram) {
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
    fn custom_and_exponential_buckets_have_no_sum() {
        let custom = FloatHistogram { schema: model::histogram::CUSTOM_BUCKETS_SCHEMA, ..histogram(1.0) };
        let mut sum = Accumulated::new(&histogram(1.0));
        assert!(sum.add(&custom));
        assert!(!sum.add(&custom), "it is told once");
        assert!(sum.sum().is_none());
    }
}
