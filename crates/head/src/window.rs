//! A frozen window of the head, series by series, for whoever writes its block.
//!
//! The chunks of a slice of series are copied under the lock at a time and given up once they are read, so that a window
//! is never held a second time, neither encoded nor decoded.

use model::{BlockRange, SeriesRef, TimeRange};

use crate::copy::Copies;
use crate::read::COPY_SLICE_SERIES;
use crate::{Head, HeadSeries};

/// Iterates over the series of a window; see [`Head::window`].
struct Window<'a> {
    head: &'a Head,
    range: TimeRange,
    /// The series that are still to be copied.
    refs: std::vec::IntoIter<SeriesRef>,
    /// Those that are copied and still to be handed out.
    slice: std::vec::IntoIter<HeadSeries>,
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
        Window { head: self, range: range.closed(), refs: refs.into_iter(), slice }
    }
}

impl Iterator for Window<'_> {
    type Item = HeadSeries;

    fn next(&mut self) -> Option<HeadSeries> {
        while self.slice.len() == 0 && self.refs.len() > 0 {
            let refs: Vec<SeriesRef> = self.refs.by_ref().take(COPY_SLICE_SERIES).collect();
            let (mut copies, range) = (Copies::default(), self.range);
            let slice = {
                let state = self.head.state.read();
                let series = refs.iter().filter_map(|series| state.slots.by_ref(*series));
                copies.copy(&state.index, series, range.start.0, range.end.0)
            };
            copies.take(slice, i64::MIN);
            let series = copies.into_sorted().into_iter();
            self.slice =
                series.map(|(labels, chunks)| HeadSeries { labels, chunks }).collect::<Vec<_>>().into_iter();
        }
        self.slice.next()
    }
}
