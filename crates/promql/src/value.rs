//! Results.

use std::sync::Arc;

use model::{FloatHistogram, LabelSet};

/// What a query yields.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryResult {
    /// The value.
    pub value: Value,
    /// What the user should know of: storage first, then the query's own, sorted.
    pub warnings: Vec<String>,
    /// Hints, sorted.
    pub infos: Vec<String>,
    /// What it took.
    pub stats: QueryStats,
}

/// What a query took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Series selected, counted once for each distinct selector.
    pub series: u64,
    /// Samples decoded.
    pub samples_read: u64,
}

/// A value of one of the four types.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// One float.
    Scalar {
        /// The query's time.
        time_ms: i64,
        /// The float.
        value: f64,
    },
    /// One text.
    String {
        /// The query's time.
        time_ms: i64,
        /// The text; bytes that are not UTF-8 are replaced.
        value: String,
    },
    /// One sample a series.
    Vector(Vec<VectorSample>),
    /// Many samples a series.
    Matrix(Vec<MatrixSeries>),
}

/// One sample with its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// The labels.
    pub labels: LabelSet,
    /// The query's time.
    pub time_ms: i64,
    /// The float; without meaning when there is a histogram.
    pub value: f64,
    /// The histogram, if the sample is one.
    pub histogram: Option<Arc<FloatHistogram>>,
}

/// Samples with their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSeries {
    /// The labels.
    pub labels: LabelSet,
    /// `(ms, value)` in time order.
    pub points: Vec<(i64, f64)>,
    /// `(ms, histogram)` in time order.
    pub histograms: Vec<(i64, Arc<FloatHistogram>)>,
}
