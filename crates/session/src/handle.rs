//! Handles: a series' labels with the place where its shard keeps it.

use std::sync::Arc;

use model::{LabelSet, SeriesRef, ShardId};
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
    /// The value; the staleness marker ends the series.
    pub value: f64,
}
