//! Whether a histogram from outside is one.
//!
//! That the count is that of all buckets is not checked: it need not be, because of rounding and of NaN observations, which
//! are in no bucket.

use super::{EXPONENTIAL_SCHEMA_MAX, EXPONENTIAL_SCHEMA_MIN, FloatHistogram, HistogramError, Span};

impl FloatHistogram {
    /// Checks that runs and counts fit together, that no count is negative, and that nothing is there which the schema has not.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn validate(&self) -> Result<(), HistogramError> {
        if self.uses_custom_buckets() {
            self.validate_custom().map_err(|problem| match problem {
                HistogramError::CustomZeroCount
                | HistogramError::CustomZeroThreshold
                | HistogramError::CustomNegativeSpans
                | HistogramError::CustomNegativeBuckets => problem,
                problem => on("custom buckets", problem),
            })?;
        } else if (EXPONENTIAL_SCHEMA_MIN..=EXPONENTIAL_SCHEMA_MAX).contains(&self.schema) {
            self.validate_exponential()?;
        } else {
            return Err(HistogramError::InvalidSchema(self.schema));
        }
        if self.count < 0.0 {
            return Err(HistogramError::NegativeCount(self.count));
        }
        check_counts(&self.positive_buckets).map_err(|problem| on("positive side", problem))
    }

    fn validate_exponential(&self) -> Result<(), HistogramError> {
        check_spans(&self.positive_spans, self.positive_buckets.len())
            .map_err(|problem| on("positive side", problem))?;
        check_spans(&self.negative_spans, self.negative_buckets.len())
            .and_then(|()| check_counts(&self.negative_buckets))
            .map_err(|problem| on("negative side", problem))?;
        if self.zero_count < 0.0 {
            return Err(HistogramError::NegativeZeroBucket(self.zero_count));
        }
        if self.custom_bounds.is_empty() { Ok(()) } else { Err(HistogramError::BoundsWithExponentialSchema) }
    }

    fn validate_custom(&self) -> Result<(), HistogramError> {
        check_bounds(&self.custom_bounds)?;
        if let Some(span) = self.positive_spans.first().filter(|span| span.offset < 0) {
            return Err(HistogramError::NegativeOffset { number: 1, offset: span.offset });
        }
        check_spans(&self.positive_spans, self.positive_buckets.len())?;
        let reach = |span: &Span| u64::from(span.offset.unsigned_abs()) + u64::from(span.length);
        let length = self.positive_spans.iter().map(reach).sum();
        let bounds = self.custom_bounds.len();
        if (bounds as u64) + 1 < length {
            return Err(HistogramError::TooFewBounds { bounds, length });
        }
        if self.zero_count != 0.0 {
            return Err(HistogramError::CustomZeroCount);
        }
        if self.zero_threshold != 0.0 {
            return Err(HistogramError::CustomZeroThreshold);
        }
        if !self.negative_spans.is_empty() {
            return Err(HistogramError::CustomNegativeSpans);
        }
        if self.negative_buckets.is_empty() { Ok(()) } else { Err(HistogramError::CustomNegativeBuckets) }
    }
}

fn on(side: &'static str, problem: HistogramError) -> HistogramError {
    HistogramError::Side { side, problem: Box::new(problem) }
}

fn check_spans(spans: &[Span], buckets: usize) -> Result<(), HistogramError> {
    if let Some(position) = spans.iter().skip(1).position(|span| span.offset < 0) {
        return Err(HistogramError::NegativeOffset {
            number: position + 2,
            offset: spans[position + 1].offset,
        });
    }
    let needed = spans.iter().map(|span| u64::from(span.length)).sum();
    if needed == buckets as u64 {
        Ok(())
    } else {
        Err(HistogramError::BucketsMismatch { needed, found: buckets })
    }
}

fn check_counts(counts: &[f64]) -> Result<(), HistogramError> {
    match counts.iter().position(|count| *count < 0.0) {
        Some(position) => {
            Err(HistogramError::NegativeBucket { number: position + 1, count: counts[position] })
        }
        None => Ok(()),
    }
}

fn check_bounds(bounds: &[f64]) -> Result<(), HistogramError> {
    let mut before = f64::NEG_INFINITY;
    for (position, bound) in bounds.iter().enumerate() {
        if bound.is_nan() {
            return Err(HistogramError::BoundNan);
        }
        if position > 0 && *bound <= before {
            return Err(HistogramError::BoundsNotAscending { previous: before, current: *bound });
        }
        before = *bound;
    }
    if before == f64::INFINITY { Err(HistogramError::BoundInfinite) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::CUSTOM_BUCKETS_SCHEMA;

    fn check(histogram: &FloatHistogram, expected: &str) {
        let found = histogram.validate().err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(found, expected);
    }

    fn spans(spans: &[(i32, u32)]) -> Vec<Span> {
        spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
    }

    #[test]
    fn exponential_histograms() {
        let none = FloatHistogram::default();
        check(&none, "");
        check(
            &FloatHistogram { schema: 9, ..none.clone() },
            "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom \
             buckets, got schema 9",
        );
        check(
            &FloatHistogram {
                positive_spans: spans(&[(0, 3)]),
                positive_buckets: vec![1.0, 2.0],
                ..none.clone()
            },
            "positive side: spans need 3 buckets, have 2 buckets: histogram spans specify different number of buckets than \
             provided",
        );
        check(
            &FloatHistogram { negative_spans: spans(&[(-5, 1), (-1, 1)]), ..none.clone() },
            "negative side: span number 2 with offset -1: histogram has a span whose offset is negative",
        );
        check(
            &FloatHistogram {
                positive_spans: spans(&[(0, 2)]),
                positive_buckets: vec![1.0, -2.5],
                ..none.clone()
            },
            "positive side: bucket number 2 has observation count of -2.5: histogram has a bucket whose observation count is \
             negative",
        );
        check(
            &FloatHistogram { zero_count: -1.0, ..none.clone() },
            "zero bucket has observation count of -1: histogram has a bucket whose observation count is negative",
        );
        check(
            &FloatHistogram { count: -1.0, ..none.clone() },
            "observation count is  -1: histogram's observation count is negative",
        );
        check(
            &FloatHistogram { custom_bounds: vec![1.0], ..none },
            "histogram with exponential schema must not have custom bounds",
        );
    }

    #[test]
    fn custom_histograms() {
        let custom = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            custom_bounds: vec![1.0, 2.0],
            positive_spans: spans(&[(0, 1), (1, 1)]),
            positive_buckets: vec![1.0, 2.0],
            ..FloatHistogram::default()
        };
        let bounds = |bounds: &[f64]| FloatHistogram { custom_bounds: bounds.to_vec(), ..custom.clone() };
        check(&custom, "");
        check(
            &bounds(&[1.0]),
            "custom buckets: only 1 custom bounds defined which is insufficient to cover total span length of 3: histogram \
             custom bounds are too few",
        );
        check(
            &bounds(&[2.0, 1.0]),
            "custom buckets: previous bound is 2.000000 and current is 1.000000: histogram custom bounds must be in strictly \
             increasing order",
        );
        check(
            &bounds(&[1.0, f64::INFINITY]),
            "custom buckets: last +Inf bound must not be explicitly defined: histogram custom bounds must be finite",
        );
        check(&bounds(&[f64::NAN]), "custom buckets: histogram custom bounds must not be NaN");
        check(
            &FloatHistogram { zero_count: 1.0, ..custom.clone() },
            "custom buckets: must have zero count of 0",
        );
        check(
            &FloatHistogram { positive_spans: spans(&[(-1, 2)]), ..custom.clone() },
            "custom buckets: span number 1 with offset -1: histogram has a span whose offset is negative",
        );
        check(
            &FloatHistogram { negative_spans: spans(&[(0, 1)]), ..custom },
            "custom buckets: must not have negative spans",
        );
    }
}
