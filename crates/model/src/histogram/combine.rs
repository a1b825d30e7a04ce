//! Addition and subtraction, plain and compensated.
//!
//! Compensation keeps what rounding took from each number (Neumaier's improvement of Kahan's summation) in a second
//! histogram of the same layout; histogram and compensation added are the exact sum, nearly.

use super::bounds::exponential;
use super::layout::{Indexed, coarser, merged};
use super::reconcile::shared_index;
use super::side::{Side, accumulate};
use super::{CounterResetHint, FloatHistogram, HistogramError, Span};

/// What somebody should know of a combination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Combined {
    /// One histogram was the first after a counter reset, the other one was not.
    pub reset_collision: bool,
    /// Custom bounds differed: only those that both have are left.
    pub bounds_reconciled: bool,
}

impl FloatHistogram {
    /// Adds another histogram after bringing both to one layout. Empty buckets may be left.
    ///
    /// A collision of reset hints, and that of anything with an unknown hint, has an unknown hint; a gauge stays one.
    ///
    /// # Errors
    /// [`HistogramError::MixedSchemas`]; nothing is changed then.
    pub fn add(&mut self, other: &Self) -> Result<Combined, HistogramError> {
        self.combine(other, 1.0, None)
    }

    /// Subtracts another histogram as [`Self::add`] adds one. The result of PromQL's `-` is a gauge: that is the caller's part.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn sub(&mut self, other: &Self) -> Result<Combined, HistogramError> {
        self.combine(other, -1.0, None)
    }

    /// Adds another histogram, and what rounding took to `compensation`, which must come from earlier additions to `self`.
    ///
    /// End with [`Self::settle`].
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_compensated(
        &mut self,
        other: &Self,
        compensation: &mut Option<Box<Self>>,
    ) -> Result<Combined, HistogramError> {
        let lost = compensation.get_or_insert_with(|| Box::new(self.nothing_lost()));
        self.combine(other, 1.0, Some(lost))
    }

    /// Adds what earlier additions took.
    pub fn settle(&mut self, compensation: Option<Box<Self>>) {
        let Some(lost) = compensation else { return };
        let settle = |number: &mut f64, lost: f64| {
            if number.is_finite() {
                *number += lost;
            }
        };
        settle(&mut self.count, lost.count);
        settle(&mut self.sum, lost.sum);
        settle(&mut self.zero_count, lost.zero_count);
        let settle_all = |counts: &mut [f64], lost: &[f64]| {
            counts.iter_mut().zip(lost).for_each(|(n, lost)| settle(n, *lost))
        };
        settle_all(&mut self.positive_buckets, &lost.positive_buckets);
        settle_all(&mut self.negative_buckets, &lost.negative_buckets);
    }

    /// Returns a compensation of zero for each number.
    fn nothing_lost(&self) -> Self {
        Self {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            positive_buckets: vec![0.0; self.positive_buckets.len()],
            negative_buckets: vec![0.0; self.negative_buckets.len()],
            positive_spans: self.positive_spans.clone(),
            negative_spans: self.negative_spans.clone(),
            custom_bounds: self.custom_bounds.clone(),
            ..Self::default()
        }
    }

    /// Adds another histogram times `sign`.
    fn combine(
        &mut self,
        other: &Self,
        sign: f64,
        mut lost: Option<&mut Self>,
    ) -> Result<Combined, HistogramError> {
        if self.uses_custom_buckets() != other.uses_custom_buckets() {
            return Err(HistogramError::MixedSchemas);
        }
        let reset_collision = self.combine_hint(other.reset_hint);
        let mut bounds_reconciled = false;
        if self.uses_custom_buckets() {
            bounds_reconciled = self.reconcile_bounds(&other.custom_bounds, lost.as_deref_mut());
        } else {
            let zero_count = self.reconcile_zero_buckets(other, lost.as_deref_mut());
            let lost_zero = lost.as_deref_mut().map(|lost| &mut lost.zero_count);
            accumulate(&mut self.zero_count, lost_zero, sign * zero_count);
            self.reduce_with(other.schema, lost.as_deref_mut());
        }
        accumulate(&mut self.count, lost.as_deref_mut().map(|lost| &mut lost.count), sign * other.count);
        accumulate(&mut self.sum, lost.as_deref_mut().map(|lost| &mut lost.sum), sign * other.sum);
        self.combine_buckets(other, sign, lost);
        Ok(Combined { reset_collision, bounds_reconciled })
    }

    /// Adds the buckets of a histogram whose layout this one has taken over as far as needed.
    fn combine_buckets(&mut self, other: &Self, sign: f64, mut lost: Option<&mut Self>) {
        if self.uses_custom_buckets() {
            let bounds = std::mem::take(&mut self.custom_bounds);
            let side = self.positive_side(lost);
            if bounds == other.custom_bounds
                && side.has_layout(&other.positive_spans, &other.positive_buckets)
            {
                side.add_aligned(&other.positive_buckets, sign);
            } else {
                let index = |index| shared_index(index, &other.custom_bounds, &bounds);
                side.add(merged(other.positive().map(|(own, count)| (index(own), count))), sign);
            }
            self.custom_bounds = bounds;
            return;
        }
        let exponential = Exponential {
            schema: self.schema,
            term_schema: other.schema.max(self.schema),
            threshold: self.zero_threshold,
            widened: self.zero_threshold != other.zero_threshold,
        };
        let positive = self.positive_side(lost.as_deref_mut());
        exponential.add(positive, &other.positive_spans, &other.positive_buckets, sign);
        let negative = self.negative_side(lost);
        exponential.add(negative, &other.negative_spans, &other.negative_buckets, sign);
    }

    /// Brings the hints of two histograms together; true when they contradict each other.
    fn combine_hint(&mut self, other: CounterResetHint) -> bool {
        use CounterResetHint::{Gauge, Unknown};
        let collision = match (self.reset_hint, other) {
            (a, b) if a == b => return false,
            (Gauge, _) | (_, Gauge) => {
                self.reset_hint = Gauge;
                return false;
            }
            (Unknown, _) | (_, Unknown) => false,
            _ => true,
        };
        self.reset_hint = Unknown;
        collision
    }
}

/// How exponential buckets are read while they are added.
#[derive(Clone, Copy)]
struct Exponential {
    /// The schema of the sum.
    schema: i32,
    /// The schema of the terms; not coarser.
    term_schema: i32,
    /// The zero threshold of the sum.
    threshold: f64,
    /// Buckets of the terms that begin before the threshold have been counted into the zero bucket.
    widened: bool,
}

impl Exponential {
    /// Tells whether a bucket of a term has been counted already.
    ///
    /// Prometheus looks at buckets after it has brought them to the schema of the sum, and counts some twice: those that a
    /// threshold between two bounds of that schema leaves in a bucket which it cuts.
    fn is_counted(self, index: i64) -> bool {
        self.widened && exponential(index - 1, self.term_schema) < self.threshold
    }

    /// Tells whether a bucket of the sum lies in the zero bucket, where nothing is kept.
    fn is_inside(self, index: i64) -> bool {
        exponential(index, self.schema) <= self.threshold
    }

    fn add(self, side: Side<'_>, spans: &[Span], counts: &[f64], sign: f64) {
        let terms = Indexed::new(spans, counts);
        let first = terms.clone().next();
        let goes_whole = first.is_none_or(|(index, _)| !self.is_counted(index) && !self.is_inside(index));
        if goes_whole && self.schema == self.term_schema && side.has_layout(spans, counts) {
            side.add_aligned(counts, sign);
            return;
        }
        let terms = terms.skip_while(move |(index, _)| self.is_counted(*index));
        let terms = coarser(terms, self.term_schema.abs_diff(self.schema));
        side.add(terms.skip_while(move |(index, _)| self.is_inside(*index)), sign);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(sum: f64, hint: CounterResetHint) -> FloatHistogram {
        FloatHistogram { count: 1.0, sum, reset_hint: hint, ..FloatHistogram::default() }
    }

    #[test]
    fn hints_of_sums() {
        use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
        for (a, b, expected, collision) in [
            (Unknown, Reset, Unknown, false),
            (NotReset, Unknown, Unknown, false),
            (NotReset, NotReset, NotReset, false),
            (NotReset, Reset, Unknown, true),
            (Reset, NotReset, Unknown, true),
            (Gauge, Reset, Gauge, false),
            (NotReset, Gauge, Gauge, false),
        ] {
            let mut sum = counter(1.0, a);
            let combined = sum.add(&counter(2.0, b)).expect("both are exponential");
            assert_eq!((sum.reset_hint, combined.reset_collision), (expected, collision), "{a:?} {b:?}");
            assert_eq!((sum.count, sum.sum), (2.0, 3.0));
        }
    }

    #[test]
    fn exponential_and_custom_buckets_do_not_mix() {
        let mut sum = counter(1.0, CounterResetHint::Unknown);
        let custom = FloatHistogram { schema: crate::histogram::CUSTOM_BUCKETS_SCHEMA, ..sum.clone() };
        let before = sum.clone();
        assert_eq!(sum.add(&custom), Err(HistogramError::MixedSchemas));
        assert_eq!(sum.sub(&custom), Err(HistogramError::MixedSchemas));
        assert_eq!(sum, before);
    }

    #[test]
    fn compensated_sums_keep_small_terms() {
        let mut sum = counter(1.0, CounterResetHint::Unknown);
        let mut lost = None;
        for term in [1e100, 1.0, -1e100] {
            sum.add_compensated(&counter(term, CounterResetHint::Unknown), &mut lost)
                .expect("both are exponential");
        }
        sum.settle(lost);
        assert_eq!((sum.count, sum.sum), (4.0, 2.0));
    }
}
