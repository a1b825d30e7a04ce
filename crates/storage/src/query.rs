//! The reading port.

use std::sync::Arc;

use async_trait::async_trait;
use model::{FloatHistogram, LabelSet, Matcher, MetricMetadata, TimeRange};

use crate::{Division, QueryMemory, Reservation, StorageError};

/// Decoded samples of one series, column by column, in time order.
///
/// `floats[i]` belongs to `timestamps[i]` (ms). Where `histograms` holds an entry for position `i`, the sample is a
/// native histogram and `floats[i]` has no meaning. A float with the staleness marker's bits ends the series; so does a
/// histogram whose `sum` has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Milliseconds, strictly ascending.
    pub timestamps: Vec<i64>,
    /// One a timestamp.
    pub floats: Vec<f64>,
    /// `(position, histogram)`, positions strictly ascending.
    pub histograms: Vec<(u32, Arc<FloatHistogram>)>,
    /// Since when each sample has been counting (ms), one a timestamp, 0 for unknown. Empty when all are unknown.
    pub start_timestamps: Vec<i64>,
}

impl Samples {
    /// Empties the columns and keeps their memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.floats.clear();
        self.histograms.clear();
        self.start_timestamps.clear();
    }

    /// Appends a float sample; `time_ms` must be later than the last one.
    pub fn push(&mut self, time_ms: i64, value: f64) {
        debug_assert!(
            self.timestamps.last().is_none_or(|last| *last < time_ms),
            "samples come in time order"
        );
        self.timestamps.push(time_ms);
        self.floats.push(value);
        if !self.start_timestamps.is_empty() {
            self.start_timestamps.push(0);
        }
    }

    /// Appends a histogram sample; `time_ms` must be later than the last one.
    pub fn push_histogram(&mut self, time_ms: i64, histogram: Arc<FloatHistogram>) {
        self.histograms.push((self.timestamps.len() as u32, histogram));
        self.push(time_ms, 0.0);
    }

    /// Says since when the last sample has been counting; 0 for unknown.
    ///
    /// # Panics
    /// When there is no sample.
    pub fn start_last(&mut self, start_ms: i64) {
        if start_ms != 0 || !self.start_timestamps.is_empty() {
            self.start_timestamps.resize(self.timestamps.len(), 0);
            *self.start_timestamps.last_mut().expect("there is a sample") = start_ms;
        }
    }

    /// Returns how many samples there are.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }
}

/// The encoded samples of one series; decoded by whoever needs them, as often as needed.
pub trait SampleSource: Send + Sync {
    /// Appends the samples within `range` (closed) to `out`, in time order, each timestamp once. Does not clear `out`.
    ///
    /// CPU-bound: call it from a worker, not from an async task.
    ///
    /// # Errors
    /// Kind `Corrupt` with the place when bytes are damaged.
    fn read(&self, range: TimeRange, out: &mut Samples) -> Result<(), StorageError>;

    /// Returns an upper bound of how many samples [`SampleSource::read`] can yield, for limits checked before decoding.
    fn sample_count_max(&self) -> usize;
}

/// A series as a query sees it.
#[derive(Clone)]
pub struct Series {
    /// Its full labels, external labels included.
    pub labels: LabelSet,
    /// Its samples, still encoded.
    pub samples: Arc<dyn SampleSource>,
}

/// What a selector selected: sorted by labels, each label set once.
#[derive(Clone, Default)]
pub struct SeriesSet {
    /// The series.
    pub series: Vec<Series>,
    /// What is missing, by name, when partial results were allowed.
    pub warnings: Vec<String>,
    /// The memory that labels and encoded samples take, where the port counts it.
    pub memory: Option<Arc<Reservation>>,
}

/// What a selector asks for.
#[derive(Clone, Debug)]
pub struct SelectRequest {
    /// All must match. At least one must not match the empty string; the parser sees to that.
    pub matchers: Vec<Matcher>,
    /// Samples needed, closed; series without a sample in it may be left out.
    pub range: TimeRange,
    /// Stop with kind `LimitExceeded` beyond this many series; `None` for the port's own limit.
    pub series_limit: Option<usize>,
}

/// What a metadata query asks for.
#[derive(Clone, Debug)]
pub struct LabelRequest {
    /// Union of selectors; empty means everything.
    pub selectors: Vec<Vec<Matcher>>,
    /// Only series with a sample in it count, as far as the index knows; closed.
    pub range: TimeRange,
    /// Return at most so many results, the first in order; `None` for all.
    pub limit: Option<usize>,
}

/// A result with its warnings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labelled<T> {
    /// Sorted, each once.
    pub values: Vec<T>,
    /// What is missing, by name; and a notice when `limit` cut the result.
    pub warnings: Vec<String>,
}

/// A consistent view of all data that one query reads from. All its answers belong to one catalogue version.
///
/// Every method fails with kind `Conflict` when the view became too old to be served exactly: take a new one and start
/// the query again; with kind `Unavailable` naming the shard, gateway or cluster that did not answer. Cancel-safe.
#[async_trait]
pub trait Queryable: Send + Sync {
    /// Returns the series that match, with their samples. What it receives is reserved from `memory` as it comes.
    async fn select(&self, request: &SelectRequest, memory: &QueryMemory) -> Result<SeriesSet, StorageError>;

    /// Returns label names.
    async fn label_names(&self, request: &LabelRequest) -> Result<Labelled<String>, StorageError>;

    /// Returns the values of one label.
    async fn label_values(
        &self,
        name: &str,
        request: &LabelRequest,
    ) -> Result<Labelled<String>, StorageError>;

    /// Returns label sets.
    async fn series(&self, request: &LabelRequest) -> Result<Labelled<LabelSet>, StorageError>;

    /// Returns metadata, of one family or of all; a family may have several entries when targets disagree.
    async fn metadata(&self, family: Option<&str>) -> Result<Vec<MetricMetadata>, StorageError>;

    /// Returns who can evaluate parts of a query over this data, in an order that is always the same; none when nobody can.
    fn divisions(&self) -> Vec<Division> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_timestamps_are_there_for_all_samples_or_for_none() {
        let mut samples = Samples::default();
        samples.push(10, 1.0);
        samples.start_last(0);
        assert_eq!(samples.start_timestamps, []);
        samples.push(20, 2.0);
        samples.start_last(15);
        samples.push_histogram(30, Arc::default());
        assert_eq!(samples.start_timestamps, [0, 15, 0]);
        samples.start_last(25);
        samples.start_last(0);
        assert_eq!(samples.start_timestamps, [0, 15, 0]);
        samples.clear();
        assert_eq!(samples, Samples::default());
    }
}
