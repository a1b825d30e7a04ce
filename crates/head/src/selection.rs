//! What a selector selects, handed out a slice of the series at a time, so that nobody holds all of their chunks at once.
//!
//! 1. [`Head::selection`] copies the labels of all series that match and sorts them: their order is known from here on.
//! 2. [`Selection::next_slice`] copies the chunks of the next series. One that has left the head meanwhile had no sample for
//!    this query.

use chunk::EncodedChunk;
use model::{LabelSet, Matcher, SeriesRef, TimeRange, TimeRanges};
use parking_lot::RwLockReadGuard;

use crate::label_table::LabelTable;
use crate::look::{STEP_ITEMS, View};
use crate::read::check_fresh;
use crate::series::ChunkCopies;
use crate::{Head, HeadError, matching};

/// How many series are copied at a time.
pub(crate) const COPY_SLICE_SERIES: usize = 1024;

/// After how many of them a waiting writer is let in.
pub(crate) const COPY_STEP_SERIES: usize = 64;

/// A selected series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadSeries {
    /// Its labels, without external labels.
    pub labels: LabelSet,
    /// Its chunks, which may overlap in time; no timestamp occurs in two of them. At least one.
    pub chunks: Vec<EncodedChunk>,
}

impl HeadSeries {
    /// Leaves deleted samples out; `None` when no other is left. CPU-bound where there are any.
    pub(crate) fn without(self, deleted: Option<&TimeRanges>) -> Result<Option<Self>, HeadError> {
        let Some(deleted) = deleted else { return Ok(Some(self)) };
        let Self { labels, chunks } = self;
        match chunk::without(chunks, deleted) {
            Ok(chunks) => Ok((!chunks.is_empty()).then_some(Self { labels, chunks })),
            Err(source) => Err(HeadError::DamagedChunk { labels, source }),
        }
    }
}

/// A series of a slice.
struct Found {
    place: u32,
    /// Where its chunks end among the copies.
    end: usize,
    deleted: Option<TimeRanges>,
}

/// See the module.
#[derive(Debug)]
pub struct Selection {
    table: LabelTable,
    refs: Vec<SeriesRef>,
    /// Places in `refs` and in the table that are still to be handed out, the next one last.
    places: Vec<u32>,
    range: TimeRange,
    from_ms: i64,
    newest_only: bool,
}

impl Head {
    /// Finds the series that satisfy all matchers and may have a sample in `range` at or after `from_ms`.
    ///
    /// `from_ms` is where the caller's blocks end: no sample before it is returned. CPU-bound.
    ///
    /// # Errors
    /// [`HeadError::Stale`] when samples from `from_ms` on have already been dropped.
    pub fn selection(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        from_ms: i64,
    ) -> Result<Selection, HeadError> {
        let (table, refs) = self.look(|look| {
            let slots: Vec<u32> = matching::select(look, matchers)?.into_iter().collect();
            let (mut table, mut refs) = (LabelTable::default(), Vec::with_capacity(slots.len()));
            for slots in slots.chunks(STEP_ITEMS) {
                let state = look.state();
                if let Err(stale) = check_fresh(state, from_ms) {
                    return Ok(Err(stale));
                }
                for slot in slots {
                    let series = state.slots.get(*slot).expect("postings hold slots of series");
                    table.push(&state.index, &series.pairs);
                    refs.push(state.slots.series_ref(*slot).expect("it has a series"));
                }
                look.pause()?;
            }
            Ok(check_fresh(look.state(), from_ms).map(|()| (table, refs)))
        })?;
        let mut places = table.order();
        places.reverse();
        Ok(Selection { table, refs, places, range, from_ms, newest_only: false })
    }

    /// Returns all of a selection at once, sorted by labels; see [`Head::selection`].
    ///
    /// # Errors
    /// [`HeadError::Stale`], also when it happens during the call; [`HeadError::LimitExceeded`] for more than `series_limit`
    /// series.
    pub fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        from_ms: i64,
        series_limit: usize,
    ) -> Result<Vec<HeadSeries>, HeadError> {
        self.selection(matchers, range, from_ms)?.all(self, series_limit)
    }
}

impl Selection {
    /// Returns the same selection for a caller to whom the newest sample of each series in the range suffices. It still gets
    /// whole chunks of series whose newest sample of all lies after the range.
    pub fn newest_only(self) -> Self {
        Self { newest_only: true, ..self }
    }

    /// Returns all series at once.
    ///
    /// # Errors
    /// As [`Head::select`].
    pub fn all(mut self, head: &Head, series_limit: usize) -> Result<Vec<HeadSeries>, HeadError> {
        let mut selected = Vec::new();
        while let Some(slice) = self.next_slice(head)? {
            selected.extend(slice);
            if selected.len() > series_limit {
                return Err(HeadError::LimitExceeded { limit: series_limit });
            }
        }
        Ok(selected)
    }

    /// Returns the next series, in the order of their labels, maybe none of this slice; `None` at the end.
    ///
    /// Chunks without a millisecond in the range are left out, others are not clipped to it; what they hold before `from_ms`
    /// is hidden. CPU-bound.
    ///
    /// # Errors
    /// [`HeadError::Stale`] when samples from `from_ms` on have been dropped meanwhile; [`HeadError::DamagedChunk`].
    pub fn next_slice(&mut self, head: &Head) -> Result<Option<Vec<HeadSeries>>, HeadError> {
        if self.places.is_empty() {
            return Ok(None);
        }
        let places = self.places.split_off(self.places.len().saturating_sub(COPY_SLICE_SERIES));
        let mut copies = ChunkCopies::default();
        let mut found: Vec<Found> = Vec::with_capacity(places.len());
        {
            let mut state = head.state.read();
            let range = TimeRange::new(self.range.start.0.max(self.from_ms), self.range.end.0);
            for (at, place) in places.into_iter().rev().enumerate() {
                if at.is_multiple_of(COPY_STEP_SERIES) {
                    RwLockReadGuard::bump(&mut state);
                }
                let before = copies.len();
                let series_ref = self.refs[place as usize];
                let deleted = state.tombstones.of(series_ref);
                if let Some(series) = state.slots.by_ref(series_ref) {
                    let newest_ms = series.newest_ms();
                    let is_seen =
                        |ranges: &TimeRanges| newest_ms.is_some_and(|newest| !ranges.contains(newest));
                    let newest_only = self.newest_only && deleted.is_none_or(is_seen);
                    series.copy_wanted(newest_only, range, &state.store.spool, &mut copies);
                }
                if copies.len() > before {
                    found.push(Found { place, end: copies.len(), deleted: deleted.cloned() });
                }
            }
            // When nothing was dropped until now, no series had gone that was looked for.
            check_fresh(&state, self.from_ms)?;
        }
        let mut chunks = copies.into_chunks().map(|chunk| chunk.visible_from(self.from_ms));
        let (mut series, mut before) = (Vec::with_capacity(found.len()), 0);
        for Found { place, end, deleted } in found {
            let chunks = chunks.by_ref().take(end - std::mem::replace(&mut before, end)).collect();
            let labels = self.table.label_set(place as usize);
            series.extend(HeadSeries { labels, chunks }.without(deleted.as_ref())?);
        }
        Ok(Some(series))
    }
}
