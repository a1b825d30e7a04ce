//! What can be wrong with histograms, in the words of Prometheus (`model/histogram/generic.go`).

use super::{CUSTOM_BUCKETS_SCHEMA, EXPONENTIAL_SCHEMA_MAX, EXPONENTIAL_SCHEMA_MIN};
use crate::float::format_general;

/// Why histograms cannot be combined, or why one is not valid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HistogramError {
    /// One has exponential buckets, the other custom ones.
    #[error("cannot apply this operation on histograms with a mix of exponential and custom bucket schemas")]
    MixedSchemas,
    /// There is no such schema.
    #[error(
        "histogram has an invalid schema, which must be between {EXPONENTIAL_SCHEMA_MIN} and {EXPONENTIAL_SCHEMA_MAX} \
         for exponential buckets, or {CUSTOM_BUCKETS_SCHEMA} for custom buckets, got schema {0}"
    )]
    InvalidSchema(i32),
    /// What is wrong with one of the sides.
    #[error("{side}: {problem}")]
    Side {
        /// `positive side`, `negative side` or `custom buckets`.
        side: &'static str,
        /// What it is.
        problem: Box<HistogramError>,
    },
    /// A run begins before the end of the previous one.
    #[error("span number {number} with offset {offset}: histogram has a span whose offset is negative")]
    NegativeOffset {
        /// Which, from 1.
        number: usize,
        /// The offset.
        offset: i32,
    },
    /// The runs hold more or fewer buckets than there are counts.
    #[error(
        "spans need {needed} buckets, have {found} buckets: histogram spans specify different number of buckets than provided"
    )]
    BucketsMismatch {
        /// What the runs add up to.
        needed: u64,
        /// How many counts there are.
        found: usize,
    },
    /// A bucket has a negative count.
    #[error(
        "bucket number {number} has observation count of {}: histogram has a bucket whose observation count is negative",
        format_general(*count)
    )]
    NegativeBucket {
        /// Which, from 1.
        number: usize,
        /// The count.
        count: f64,
    },
    /// The zero bucket has a negative count.
    #[error(
        "zero bucket has observation count of {}: histogram has a bucket whose observation count is negative",
        format_general(*.0)
    )]
    NegativeZeroBucket(f64),
    /// The count is negative.
    #[error("observation count is  {}: histogram's observation count is negative", format_general(*.0))]
    NegativeCount(f64),
    /// There are custom bounds beside an exponential schema.
    #[error("histogram with exponential schema must not have custom bounds")]
    BoundsWithExponentialSchema,
    /// There is a zero bucket beside custom buckets.
    #[error("custom buckets: must have zero count of 0")]
    CustomZeroCount,
    /// There is a zero threshold beside custom buckets.
    #[error("custom buckets: must have zero threshold of 0")]
    CustomZeroThreshold,
    /// There are negative runs beside custom buckets.
    #[error("custom buckets: must not have negative spans")]
    CustomNegativeSpans,
    /// There are negative counts beside custom buckets.
    #[error("custom buckets: must not have negative buckets")]
    CustomNegativeBuckets,
    /// A custom bound is NaN.
    #[error("histogram custom bounds must not be NaN")]
    BoundNan,
    /// The last custom bound is infinite, which is implied.
    #[error("last +Inf bound must not be explicitly defined: histogram custom bounds must be finite")]
    BoundInfinite,
    /// Custom bounds do not ascend.
    #[error(
        "previous bound is {previous:.6} and current is {current:.6}: histogram custom bounds must be in strictly increasing order"
    )]
    BoundsNotAscending {
        /// A bound.
        previous: f64,
        /// The one after it.
        current: f64,
    },
    /// The buckets hold more observations than there are, though some may be in none.
    #[error(
        "{found} observations found in buckets, but the Count field is {count}: histogram's observation count should be at \
         least the number of observations found in the buckets"
    )]
    CountNotBigEnough {
        /// In the buckets.
        found: u64,
        /// As the histogram says.
        count: u64,
    },
    /// The buckets hold more or fewer observations than there are.
    #[error(
        "{found} observations found in buckets, but the Count field is {count}: histogram's observation count should equal \
         the number of observations found in the buckets (in absence of NaN)"
    )]
    CountMismatch {
        /// In the buckets.
        found: u64,
        /// As the histogram says.
        count: u64,
    },
    /// There are more buckets than custom bounds allow.
    #[error(
        "only {bounds} custom bounds defined which is insufficient to cover total span length of {length}: histogram custom bounds are too few"
    )]
    TooFewBounds {
        /// How many bounds there are.
        bounds: usize,
        /// How far the runs reach.
        length: u64,
    },
}
