//! A frozen window of the head, series by series, for whoever writes its block.
//!
//! The chunks of a slice of series are copied under the lock at a time and given up once they are read, so that a window
//! is never held a second time, neither encoded nor decoded.

use model::{BlockRange, SeriesRef, TimeRange, TimeRanges};
use parking_lot::RwLockReadGuard;

use crate::label_table::LabelTable;
use crate::selection::{COPY_SLICE_SERIES, COPY_STEP_SERIES};
use crate::series::ChunkCopies;
use crate::{Head, HeadSeries};

/// After how many slices the pages that were read of the head's files are given back: a window is read once, and should not
/// be in memory as a whole after that.
const EVICT_AFTER_SLICES: usize = 16;

/// Iterates over the series of a window; see [`Head::window`].
struct Window<'a> {
    head: &'a Head,
    range: TimeRange,
    /// The series that are still to be copied.
    refs: std::vec::IntoIter<SeriesRef>,
    /// Those that are copied and still to be handed out.
    slice: std::vec::IntoIter<HeadSeries>,
    slices: usize,
}

impl Head {
    /// Returns the series that may have samples in a window, in no order, with the chunks that hold them: about 1.5 bytes a
    /// sample. Between [`Head::cut`] at its end and [`Head::drop_before`] beyond its start, their samples are the same on
    /// all replicas, however often they are read.
    ///
    /// The chunks also hold samples around the window: read them with [`chunk::read_merged`] over its range, which may leave
    /// nothing. The iterator locks the head for a slice of the series at a time.
    pub fn window(&self, range: BlockRange) -> impl Iterator<Item = HeadSeries> {
        let state = self.state.read();
        let refs: Vec<SeriesRef> =
            state.index.all().iter().filter_map(|slot| state.slots.series_ref(slot)).collect();
        let slice = Vec::new().into_iter();
        Window { head: self, range: range.closed(), refs: refs.into_iter(), slice, slices: 0 }
    }
}

impl Iterator for Window<'_> {
    type Item = HeadSeries;

    fn next(&mut self) -> Option<HeadSeries> {
        while self.slice.len() == 0 && self.refs.len() > 0 {
            let refs: Vec<SeriesRef> = self.refs.by_ref().take(COPY_SLICE_SERIES).collect();
            self.slices += 1;
            if self.slices.is_multiple_of(EVICT_AFTER_SLICES) {
                self.evict();
            }
            self.slice = self.copy(&refs).into_iter();
        }
        self.slice.next()
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        self.evict();
    }
}

impl Window<'_> {
    fn evict(&self) {
        let files = self.head.state.read().store.spool.files();
        files.evict();
    }

    /// Copies the series of a slice that have chunks in the range, without what was deleted before the cut.
    fn copy(&self, refs: &[SeriesRef]) -> Vec<HeadSeries> {
        let (mut table, mut copies, mut ends) = (LabelTable::default(), ChunkCopies::default(), Vec::new());
        {
            let mut state = self.head.state.read();
            for (at, series_ref) in refs.iter().enumerate() {
                if at.is_multiple_of(COPY_STEP_SERIES) {
                    RwLockReadGuard::bump(&mut state);
                    table.resume(&state.index);
                }
                let Some(series) = state.slots.by_ref(*series_ref) else { continue };
                let before = copies.len();
                series.copy_chunks(self.range, &state.store.spool, &mut copies);
                if copies.len() > before {
                    table.push(&state.index, &series.pairs);
                    ends.push((copies.len(), state.tombstones.at_cut(*series_ref).cloned()));
                }
            }
        }
        let (mut chunks, mut before) = (copies.into_chunks(), 0);
        let mut series = |(place, (end, deleted)): (usize, (usize, Option<TimeRanges>))| {
            let chunks = chunks.by_ref().take(end - std::mem::replace(&mut before, end)).collect();
            let series = HeadSeries { labels: table.label_set(place), chunks };
            // With a damaged chunk it stays as it is: whoever builds the block finds the damage, and builds none.
            series.clone().without(deleted.as_ref()).unwrap_or(Some(series))
        };
        ends.into_iter().enumerate().filter_map(&mut series).collect()
    }
}
