//! Handles: a series' labels with the place where its shard keeps it.

use std::sync::Arc;

use model::{Exemplar, FloatHistogram, LabelSet, SeriesRef, ShardId};
use parking_lot::Mutex;
use storage::SeriesLabels;

/// A series as a writer knows it. Cheap to clone; all clones learn the reference together.
///
/// Once the shard told the series' reference, appends name it by that and send no labels.
#[derive(Clone)]
pub struct SeriesHandle(Arc<Inner>);

struct Inner {
    labels: SeriesLabels,
    hash: u64,
    place: Mutex<Option<Place>>,
}

/// Where a series is kept: its shard, and what the shard calls it.
pub(crate) type Place = (ShardId, SeriesRef);

impl SeriesHandle {
    /// Makes a handle that knows only the labels.
    pub fn new(labels: LabelSet) -> Self {
        let hash = labels.stable_hash();
        Self::placed(SeriesLabels::Set(labels), hash, None)
    }

    /// Makes a handle of labels that decode, whose stable hash is known.
    pub(crate) fn placed(labels: SeriesLabels, hash: u64, place: Option<Place>) -> Self {
        Self(Arc::new(Inner { labels, hash, place: Mutex::new(place) }))
    }

    /// Returns the labels.
    pub fn labels(&self) -> LabelSet {
        self.0
            .labels
            .decode()
            .expect("labels of a handle were decoded before it was made, or have the bytes of such")
    }

    /// Returns the labels' stable hash.
    pub fn hash(&self) -> u64 {
        self.0.hash
    }

    /// Returns the reference within a shard, if that shard told it.
    pub(crate) fn reference_in(&self, shard: ShardId) -> Option<SeriesRef> {
        self.place().filter(|(known, _)| *known == shard).map(|(_, reference)| reference)
    }

    /// Returns where the series is kept, as far as is known.
    pub(crate) fn place(&self) -> Option<Place> {
        *self.0.place.lock()
    }

    /// Remembers, or forgets, where the series is kept.
    pub(crate) fn set_place(&self, place: Option<Place>) {
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

/// One exemplar of a known series.
#[derive(Clone)]
pub struct HandleExemplar {
    /// The series.
    pub series: SeriesHandle,
    /// The exemplar itself.
    pub exemplar: Exemplar,
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
