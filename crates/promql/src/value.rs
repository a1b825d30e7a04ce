//! Results.

use std::sync::Arc;
use std::time::Duration;

use model::{FloatHistogram, LabelSet};
use storage::Reservation;

use crate::explain::Explanation;

use crate::push::PushReport;

/// What a query yields.
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// The value.
    pub value: Value,
    /// What the user should know of: storage first, then the query's own, sorted.
    pub warnings: Vec<String>,
    /// Hints, sorted.
    pub infos: Vec<String>,
    /// What it took.
    pub stats: QueryStats,
    /// The samples that selectors looked at, by step, when they were to be counted; what others evaluated is not in it.
    pub step_samples: Vec<u64>,
    /// How it was evaluated, when that was asked for.
    pub explanation: Option<Box<Explanation>>,
    /// What of it others evaluated.
    pub pushed: PushReport,
    /// The memory that the value takes, held until the last clone of the result is gone.
    pub memory: Arc<Reservation>,
}

/// What a query took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Series selected, counted once for each distinct selector.
    pub series: u64,
    /// Samples decoded.
    pub samples_read: u64,
    /// The most samples held at a time.
    pub samples_peak: u64,
    /// The most bytes reserved at a time.
    pub memory_bytes_peak: u64,
    /// How long it took until all series were there, and all that others evaluated.
    pub preparation: Duration,
    /// How long the evaluation took after that.
    pub evaluation: Duration,
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

impl Value {
    /// Returns what the value takes, labels and histograms that it shares left out.
    pub fn size_bytes(&self) -> u64 {
        match self {
            Self::Scalar { .. } => 0,
            Self::String { value, .. } => value.len() as u64,
            Self::Vector(samples) => samples.iter().map(VectorSample::size_bytes).sum(),
            Self::Matrix(series) => series.iter().map(MatrixSeries::size_bytes).sum(),
        }
    }
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

impl VectorSample {
    fn size_bytes(&self) -> u64 {
        let histogram: usize = self.histogram.iter().map(unshared_bytes).sum();
        (size_of::<Self>() + self.labels.unshared_bytes() + histogram) as u64
    }
}

impl MatrixSeries {
    /// Returns what the series takes, labels that it shares left out.
    pub(crate) fn size_bytes(&self) -> u64 {
        let points = self.points.capacity() * size_of::<(i64, f64)>();
        let histograms = self.histograms.capacity() * size_of::<(i64, Arc<FloatHistogram>)>();
        let heap: usize = self.histograms.iter().map(|(_, histogram)| unshared_bytes(histogram)).sum();
        (size_of::<Self>() + self.labels.unshared_bytes() + points + histograms + heap) as u64
    }
}

/// Returns what is freed when this clone of a histogram goes: nothing while there is another.
pub(crate) fn unshared_bytes(histogram: &Arc<FloatHistogram>) -> usize {
    if Arc::strong_count(histogram) > 1 { 0 } else { histogram.size_bytes() }
}
