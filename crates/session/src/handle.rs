//! Handles: a series' labels with the place where its shard keeps it.

use std::sync::Arc;

use model::{FloatHistogram, LabelSet, SeriesRef, ShardId};
use parking_lot::Mutex;

/// A series as a writer knows it. Cheap to clone; all clones learn the reference together.
///
/// Once the shard told the series' reference, appends name it by that and send no labels.
#[derive(Clone)]
pub struct SeriesHandle(Arc<Inner>);

struct Inner {
    labels: LabelSet,
    hash: u64,
    place: Mutex<Option<(ShardId, SeriesRef)>>,
}

impl SeriesHandle {
    /// Makes a handle that knows only the labels.
    pub fn new(labels: LabelSet) -> Self {
        let hash = labels.stable_hash();
        Self(Arc::new(Inner { labels, hash, place: Mutex::new(None) }))
    }

    /// Returns the labels.
    pub fn labels(&self) -> &LabelSet {
        &self.0.labels
    }

    /// Returns the labels' stable hash.
    pub fn hash(&self) -> u64 {
        self.0.hash
    }

    /// Returns the reference within a shard, if that shard told it.
    pub(crate) fn reference_in(&self, shard: ShardId) -> Option<SeriesRef> {
        self.0.place.lock().filter(|(known, _)| *known == shard).map(|(_, reference)| reference)
    }

    /// Returns the shard that told its reference last, and the reference.
    pub(crate) fn known_place(&self) -> Option<(ShardId, SeriesRef)> {
        *self.0.place.lock()
    }

    /// Remembers, or forgets, the reference.
    pub(crate) fn place(&self, place: Option<(ShardId, SeriesRef)>) {
        *self.0.place.lock() = place;
    }

    /// Tells whether two handles are the same one.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// One sample of a known series.
#[derive(Clone)]
pub struct HandleSample {
    /// The series.
    pub series: SeriesHandle,
    /// Milliseconds.
    pub time_ms: i64,
    /// The value; the staleness marker ends the series. Of a histogram it has no meaning.
    pub value: f64,
    /// What it has beyond a float; most samples have nothing.
    pub wide: Option<Box<WideValue>>,
}

/// What a sample has beyond a float.
#[derive(Clone, Debug, Default)]
pub struct WideValue {
    /// Since when it has been counting (ms), 0 for unknown.
    pub start_ms: i64,
    /// The value, unless it is the float. It must be [`FloatHistogram::is_storable`].
    pub histogram: Option<Arc<FloatHistogram>>,
}

impl HandleSample {
    /// Returns a float without a start timestamp.
    pub fn float(series: SeriesHandle, time_ms: i64, value: f64) -> Self {
        Self { series, time_ms, value, wide: None }
    }

    /// Returns how many floats it weighs in a batch.
    pub(crate) fn weight(&self) -> usize {
        let histogram = self.wide.as_ref().and_then(|wide| wide.histogram.as_ref());
        1 + histogram.map_or(0, |histogram| {
            let spans = histogram.positive_spans.len() + histogram.negative_spans.len();
            histogram.buckets_len() + spans + histogram.custom_bounds.len()
        })
    }
}
