//! The native histogram as queries see it: float counts, exponential or custom buckets.

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
