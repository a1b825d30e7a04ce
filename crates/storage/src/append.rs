//! The writing port.

use std::sync::Arc;

use async_trait::async_trait;
use model::{Exemplar, FloatHistogram, MetricMetadata};

use crate::{SeriesLabels, StorageError};

/// One series' new samples.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesWrite {
    /// Full labels of the series, without external labels.
    pub labels: SeriesLabels,
    /// `(ms, value)` in time order.
    pub samples: Vec<(i64, f64)>,
    /// `(ms, native histogram)` in time order. They must be [`FloatHistogram::is_storable`].
    pub histograms: Vec<(i64, Arc<FloatHistogram>)>,
    /// Since when samples have been counting: `(ms of the sample, ms of its start)` in time order, floats and histograms
    /// alike. Those that are not named have no start.
    pub starts: Vec<(i64, i64)>,
    /// In time order. What becomes of them is not told: they are a help to people, and no sample depends on them.
    pub exemplars: Vec<Exemplar>,
}

impl SeriesWrite {
    /// Returns a write without samples.
    pub fn new(labels: impl Into<SeriesLabels>) -> Self {
        Self {
            labels: labels.into(),
            samples: Vec::new(),
            histograms: Vec::new(),
            starts: Vec::new(),
            exemplars: Vec::new(),
        }
    }
}

/// One write: any number of series of any shards.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteRequest {
    /// The samples.
    pub series: Vec<SeriesWrite>,
    /// What the families say of themselves.
    pub metadata: Vec<MetricMetadata>,
}

/// What became of the samples of one write: exact counts. Their sum is the number of samples sent, but for invalid series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppendOutcome {
    /// Stored, on a majority of disks.
    pub accepted: u64,
    /// Already there with the same bits: success.
    pub duplicate: u64,
    /// The timestamp is taken by another value.
    pub conflicting: u64,
    /// Older than the series' newest sample by more than the out-of-order window allows.
    pub out_of_order: u64,
    /// Older than what the head still accepts.
    pub too_old: u64,
    /// Further in the future than allowed.
    pub too_new: u64,
    /// Refused by a limit on series.
    pub over_limit: u64,
    /// The first refusal as a sentence that names the series and the timestamp.
    pub first_refusal: Option<String>,
    /// Series, not samples, whose labels cannot be stored. Their samples are in no other count.
    pub invalid_series: u64,
    /// Why the first of them cannot.
    pub first_invalid: Option<String>,
}

impl AppendOutcome {
    /// Returns how many samples were refused for good: sending them again cannot help.
    pub fn refused(&self) -> u64 {
        self.conflicting + self.out_of_order + self.too_old + self.too_new + self.over_limit
    }

    /// Adds another outcome's counts; keeps the earlier first refusal.
    pub fn merge(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.duplicate += other.duplicate;
        self.conflicting += other.conflicting;
        self.out_of_order += other.out_of_order;
        self.too_old += other.too_old;
        self.too_new += other.too_new;
        self.over_limit += other.over_limit;
        self.first_refusal = self.first_refusal.take().or(other.first_refusal);
        self.invalid_series += other.invalid_series;
        self.first_invalid = self.first_invalid.take().or(other.first_invalid);
    }
}

/// Where writes go.
#[async_trait]
pub trait Appender: Send + Sync {
    /// Writes durably and returns exact counts; refused samples are not an error.
    ///
    /// # Errors
    /// Kind `Unavailable` or `Timeout`: some samples may or may not be stored; the same write may be sent again, since
    /// equal samples count as duplicates. Kind `LimitExceeded` when buffers are full: try again later.
    async fn append(&self, request: WriteRequest) -> Result<AppendOutcome, StorageError>;
}
