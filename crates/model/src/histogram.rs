//! The native histogram as queries see it: float counts, exponential or custom buckets.
//!
//! A histogram counts observations in buckets. Exponential buckets lie on both sides of a zero bucket and their bounds are
//! powers of 2^(2^-schema); custom buckets have bounds of their own and no zero bucket. Populated buckets are stored as runs
//! ([`Span`]) with one count each. Arithmetic brings two layouts together first: the coarser schema, the wider zero bucket,
//! the bounds that both have (Prometheus `model/histogram/float_histogram.go`).
//!
//! Read in this order: `bounds`, `layout`, `buckets`, `side`, `combine`, `reconcile`, `compact`, `reset`, `trim`, `text`,
//! `validate`, `bytes`, `error`. Operations never panic, whatever the layout; they are meaningful for histograms that pass
//! [`FloatHistogram::validate`].

mod bounds;
mod bounds_table;
mod buckets;
mod bytes;
mod combine;
mod compact;
mod error;
mod layout;
mod reconcile;
mod reset;
mod side;
mod text;
mod trim;
mod validate;

pub use buckets::{Bucket, Buckets};
pub use bytes::HISTOGRAM_BUCKETS_MAX;
pub use combine::Combined;
pub use error::HistogramError;

use crate::sample::is_stale;

/// A run of consecutive buckets: `offset` is the gap to the previous run (for the first run: the index of its first bucket).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Gap to the previous run, in buckets; may be negative only in the first run.
    pub offset: i32,
    /// How many buckets the run has.
    pub length: u32,
}

/// Whether a histogram is known to follow a counter reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CounterResetHint {
    /// Nothing is known: compare the buckets.
    #[default]
    Unknown,
    /// It is the first after a reset.
    Reset,
    /// It continues the previous one.
    NotReset,
    /// It is a gauge: resets have no meaning.
    Gauge,
}

/// The schema number of histograms with custom bucket bounds.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// The coarsest exponential schema: bounds are powers of 65536.
pub const EXPONENTIAL_SCHEMA_MIN: i32 = -4;

/// The finest exponential schema: 256 buckets for each power of two.
pub const EXPONENTIAL_SCHEMA_MAX: i32 = 8;

/// A native histogram with absolute float counts a bucket (Prometheus `model/histogram/float_histogram.go`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatHistogram {
    /// See [`CounterResetHint`].
    pub reset_hint: CounterResetHint,
    /// -4 to 8: bucket bounds are powers of 2^(2^-schema); or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    /// Observations with an absolute value up to this count into `zero_count`.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations, the NaNs among them.
    pub count: f64,
    /// Sum of all observations.
    pub sum: f64,
    /// Layout of `positive_buckets`.
    pub positive_spans: Vec<Span>,
    /// Layout of `negative_buckets`.
    pub negative_spans: Vec<Span>,
    /// Counts, not cumulative, not deltas.
    pub positive_buckets: Vec<f64>,
    /// Counts, not cumulative, not deltas.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds without +Inf, ascending; only with [`CUSTOM_BUCKETS_SCHEMA`].
    pub custom_bounds: Vec<f64>,
}

impl FloatHistogram {
    /// Tells whether the buckets have bounds of their own instead of exponential ones.
    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Tells whether this is a staleness marker: its sum has the marker's bits.
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    /// Multiplies all counts and the sum. A negative factor makes a gauge.
    pub fn scale(&mut self, factor: f64) {
        self.for_each_number(|number| *number *= factor);
        if factor < 0.0 {
            self.reset_hint = CounterResetHint::Gauge;
        }
    }

    /// Divides all counts and the sum. Division by zero leaves no buckets; a negative divisor makes a gauge.
    pub fn divide(&mut self, divisor: f64) {
        if divisor == 0.0 {
            self.positive_spans.clear();
            self.positive_buckets.clear();
            self.negative_spans.clear();
            self.negative_buckets.clear();
        }
        self.for_each_number(|number| *number /= divisor);
        if divisor < 0.0 {
            self.reset_hint = CounterResetHint::Gauge;
        }
    }

    fn for_each_number(&mut self, mut change: impl FnMut(&mut f64)) {
        change(&mut self.zero_count);
        change(&mut self.count);
        change(&mut self.sum);
        self.positive_buckets.iter_mut().for_each(&mut change);
        self.negative_buckets.iter_mut().for_each(change);
    }

    /// Returns the memory it takes, in bytes, with everything it owns; limits count a histogram as a sixteenth of it samples.
    pub fn size_bytes(&self) -> usize {
        let spans = self.positive_spans.len() + self.negative_spans.len();
        let floats = self.positive_buckets.len() + self.negative_buckets.len() + self.custom_bounds.len();
        SIZE_BYTES_FIXED + spans * size_of::<Span>() + floats * size_of::<f64>()
    }

    /// Tells whether two histograms are the same data: counts and sums bit for bit, so that equal NaNs are equal.
    ///
    /// The reset hint does not count, nor do runs of no buckets.
    pub fn equals(&self, other: &Self) -> bool {
        self.schema == other.schema
            && same_bits(
                &[self.count, self.sum, self.zero_count],
                &[other.count, other.sum, other.zero_count],
            )
            && self.zero_threshold == other.zero_threshold
            && (!self.uses_custom_buckets() || self.custom_bounds == other.custom_bounds)
            && layout::same_runs(&self.negative_spans, &other.negative_spans)
            && layout::same_runs(&self.positive_spans, &other.positive_spans)
            && same_bits(&self.negative_buckets, &other.negative_buckets)
            && same_bits(&self.positive_buckets, &other.positive_buckets)
    }
}

/// What a histogram without buckets takes, as Prometheus counts it (8 bytes for the pointer, 160 for the fields).
const SIZE_BYTES_FIXED: usize = 168;

fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}
