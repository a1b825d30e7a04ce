//! Deleted samples: for each series the times at which what it held was deleted. The samples stay where they are, and readers
//! leave them out; whoever writes the window's block leaves out what was deleted before its cut.
//!
//! The rules are Prometheus's (`tsdb/head.go`, `Delete`): a delete reaches from a series' first to its newest sample at most,
//! so whatever comes later is kept. A sample that comes late, to a time that was deleted, is a duplicate, conflicting or
//! accepted as without the delete, and is not seen in any case.
//!
//! A block is named by the log index of its window's cut, and must be the same whoever writes it and when. So what is
//! deleted from a frozen window shows to readers alone; the catalogue leaves it out of the block.

use hashbrown::HashMap;
use model::{SeriesRef, TimeRange, TimeRanges};

use crate::HeadError;

/// How many ranges a head holds at the most, over all series: some 300 MB.
pub(crate) const RANGES_MAX: usize = 4_000_000;

type BySeries = HashMap<SeriesRef, TimeRanges>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    /// What readers leave out.
    all: BySeries,
    /// What was there at the last cut, before its end.
    at_cut: BySeries,
    /// Ranges of `all`.
    ranges: usize,
}

impl Tombstones {
    /// Adds ranges of series, all or none.
    ///
    /// # Errors
    /// [`HeadError::TooManyDeletes`].
    pub(crate) fn add(&mut self, deleted: Vec<(SeriesRef, TimeRange)>) -> Result<(), HeadError> {
        if self.ranges + deleted.len() > RANGES_MAX {
            return Err(HeadError::TooManyDeletes { limit: RANGES_MAX });
        }
        for (series, range) in deleted {
            let ranges = self.all.entry(series).or_default();
            let before = ranges.as_slice().len();
            ranges.insert(range);
            self.ranges = self.ranges + ranges.as_slice().len() - before;
        }
        Ok(())
    }

    /// Keeps what was deleted before `end_ms` as it is now, for the frozen window.
    pub(crate) fn cut(&mut self, end_ms: i64) {
        let frozen = |(series, ranges): (&SeriesRef, &TimeRanges)| {
            let before = TimeRange::new(i64::MIN, end_ms.saturating_sub(1));
            let ranges: TimeRanges = ranges.as_slice().iter().map(|range| range.intersect(&before)).collect();
            (!ranges.is_empty()).then_some((*series, ranges))
        };
        self.at_cut = self.all.iter().filter_map(frozen).collect();
    }

    /// Forgets what was deleted before a time: the samples are gone.
    pub(crate) fn drop_before(&mut self, end_ms: i64) {
        for by_series in [&mut self.all, &mut self.at_cut] {
            by_series.retain(|_, ranges| {
                ranges.forget_before(end_ms);
                !ranges.is_empty()
            });
        }
        self.ranges = self.all.values().map(|ranges| ranges.as_slice().len()).sum();
    }

    /// Returns what readers leave out of a series.
    pub(crate) fn of(&self, series: SeriesRef) -> Option<&TimeRanges> {
        // Nearly always there is none at all.
        if self.all.is_empty() { None } else { self.all.get(&series) }
    }

    /// Returns what is left out of a series of the frozen window.
    pub(crate) fn at_cut(&self, series: SeriesRef) -> Option<&TimeRanges> {
        if self.at_cut.is_empty() { None } else { self.at_cut.get(&series) }
    }

    /// Returns series with their ranges, those of readers and those at the cut, in the order of slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SeriesRef, &TimeRanges, Option<&TimeRanges>)> {
        let mut all: Vec<_> = self.all.iter().map(|(series, ranges)| (*series, ranges)).collect();
        all.sort_unstable_by_key(|(series, _)| series.0 as u32);
        all.into_iter().map(|(series, ranges)| (series, ranges, self.at_cut.get(&series)))
    }

    /// Takes up what a snapshot holds of a series.
    pub(crate) fn restore(&mut self, series: SeriesRef, all: TimeRanges, at_cut: TimeRanges) {
        self.ranges += all.as_slice().len();
        self.all.insert(series, all);
        if !at_cut.is_empty() {
            self.at_cut.insert(series, at_cut);
        }
    }

    /// Returns about how much memory it takes.
    pub(crate) fn size_bytes(&self) -> usize {
        let series = self.all.capacity() + self.at_cut.capacity();
        series * (size_of::<(SeriesRef, TimeRanges)>() + 1) + 2 * self.ranges * size_of::<TimeRange>()
    }
}
