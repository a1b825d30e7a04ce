//! The reading port.

use std::sync::Arc;

use async_trait::async_trait;
use model::{Aggregate, Cardinality, LabelSet, Matcher, MetricMetadata, Samples, SeriesExemplars, TimeRange};

use crate::{Division, QueryMemory, Reservation, StorageError};

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
    /// What of the samples stands for slots, if anything does.
    pub coarse: Option<Coarse>,
}

/// Which samples of a selection stand for slots of downsampled blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coarse {
    /// The length of the longest of them, ms.
    pub resolution_ms: i64,
    /// All slots end before it, ms.
    pub until_ms: i64,
}

/// How coarse samples may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The coarsest that serves as well as raw samples, ms; 0 for raw ones. Finer is used where there is nothing as coarse.
    pub wish_ms: i64,
    /// The coarsest that may be used where there is nothing finer, ms.
    pub most_ms: i64,
}

impl Default for Resolution {
    /// Returns raw samples, or the finest there are.
    fn default() -> Self {
        Self { wish_ms: 0, most_ms: i64::MAX }
    }
}

/// Which samples of its range a selector looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// All of them.
    #[default]
    All,
    /// The newest one of each series, as at one step of an instant selector. More may be returned.
    Newest,
}

/// What a selector asks for.
#[derive(Clone, Debug)]
pub struct SelectRequest {
    /// All must match. At least one must not match the empty string; the parser sees to that.
    pub matchers: Vec<Matcher>,
    /// Samples needed, closed; series without a sample in it may be left out.
    pub range: TimeRange,
    /// Which of them are looked at.
    pub wanted: Wanted,
    /// What is asked of slots, where samples stand for such.
    pub aggregate: Aggregate,
    /// How coarse they may be.
    pub resolution: Resolution,
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

    /// Returns how the series of the recent, mutable part are spread over names and values, at most `entries_max` metrics and
    /// pairs; nothing where no such part is.
    async fn cardinality(&self, _entries_max: usize) -> Result<Cardinality, StorageError> {
        Ok(Cardinality::default())
    }

    /// Returns the exemplars within the request's range of series that match one of its selectors, sorted by labels; none
    /// where none are kept. The request's limit does not count.
    async fn exemplars(&self, _request: &LabelRequest) -> Result<Vec<SeriesExemplars>, StorageError> {
        Ok(Vec::new())
    }

    /// Returns how many series a select may match at most; more are [`StorageError::too_many_series`].
    fn series_max(&self) -> usize {
        usize::MAX
    }

    /// Returns who can evaluate parts of a query over this data, in an order that is always the same; none when nobody can.
    fn divisions(&self) -> Vec<Division> {
        Vec::new()
    }
}
