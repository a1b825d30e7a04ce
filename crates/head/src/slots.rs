//! Where series live: slots that are used again, and refs that are not.
//!
//! A ref is a slot (low 32 bits) and the slot's generation (high 32 bits), which counts the series it held before. So a
//! look-up is an index and a comparison, postings are sets of small numbers, and memory stays as large as the most
//! series there ever were at once. The lowest free slot is taken first: a function of the state alone, so that replicas
//! and restored snapshots assign the same refs.

use model::SeriesRef;
use roaring::RoaringBitmap;

use crate::series::Series;

/// Slots a segment; a table grows by segments, so that it never moves.
const SEGMENT_SLOTS: usize = 1024;

#[derive(Debug)]
struct Slot {
    generation: u32,
    series: Option<Series>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    segments: Vec<Vec<Slot>>,
    len: u32,
    free: RoaringBitmap,
}

impl Slots {
    /// Puts a series into the lowest free slot and returns the slot.
    pub(crate) fn insert(&mut self, series: Series) -> u32 {
        let Some(slot) = self.free.min() else { return self.push(0, Some(series)) };
        self.free.remove(slot);
        self.slot_mut(slot).expect("a free slot exists").series = Some(series);
        slot
    }

    /// Appends a slot behind all others. Snapshots are restored this way.
    ///
    /// # Panics
    /// When there are 2^32 slots already, which is far beyond what memory holds.
    pub(crate) fn push(&mut self, generation: u32, series: Option<Series>) -> u32 {
        let slot = self.len;
        self.len = slot.checked_add(1).expect("there are fewer than 2^32 series");
        if series.is_none() && generation < u32::MAX {
            self.free.insert(slot);
        }
        if self.segments.last().is_none_or(|segment| segment.len() == SEGMENT_SLOTS) {
            self.segments.push(Vec::with_capacity(SEGMENT_SLOTS));
        }
        let segment = self.segments.last_mut().expect("there is a segment with room");
        segment.push(Slot { generation, series });
        slot
    }

    /// Removes the series of a slot; its ref is never given out again.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Series> {
        let entry = self.slot_mut(slot)?;
        let series = entry.series.take()?;
        entry.generation = entry.generation.saturating_add(1);
        // A slot whose generations are used up stays empty for ever.
        if entry.generation < u32::MAX {
            self.free.insert(slot);
        }
        Some(series)
    }

    fn slot(&self, slot: u32) -> Option<&Slot> {
        self.segments.get(slot as usize / SEGMENT_SLOTS)?.get(slot as usize % SEGMENT_SLOTS)
    }

    fn slot_mut(&mut self, slot: u32) -> Option<&mut Slot> {
        self.segments.get_mut(slot as usize / SEGMENT_SLOTS)?.get_mut(slot as usize % SEGMENT_SLOTS)
    }

    /// Returns the series that a ref names, if it is still there.
    pub(crate) fn by_ref(&self, series: SeriesRef) -> Option<&Series> {
        let slot = self.slot(series.0 as u32)?;
        slot.series.as_ref().filter(|_| u64::from(slot.generation) == series.0 >> 32)
    }

    /// Returns the series that a ref names, if it is still there.
    pub(crate) fn by_ref_mut(&mut self, series: SeriesRef) -> Option<&mut Series> {
        let slot = self.slot_mut(series.0 as u32)?;
        slot.series.as_mut().filter(|_| u64::from(slot.generation) == series.0 >> 32)
    }

    /// Returns the series in a slot.
    pub(crate) fn get(&self, slot: u32) -> Option<&Series> {
        self.slot(slot)?.series.as_ref()
    }

    /// Returns the ref of the series in a slot.
    pub(crate) fn series_ref(&self, slot: u32) -> Option<SeriesRef> {
        let entry = self.slot(slot).filter(|entry| entry.series.is_some())?;
        Some(SeriesRef(u64::from(entry.generation) << 32 | u64::from(slot)))
    }

    /// Iterates over all slots in order: generation and series.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Option<&Series>)> {
        self.segments.iter().flatten().map(|slot| (slot.generation, slot.series.as_ref()))
    }

    /// Iterates over the series there are, with their slots.
    pub(crate) fn series_mut(&mut self) -> impl Iterator<Item = (u32, &mut Series)> {
        let slots = self.segments.iter_mut().flatten();
        (0..).zip(slots).filter_map(|(slot, entry)| Some((slot, entry.series.as_mut()?)))
    }

    /// Returns how many slots there are, free ones included.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Returns how much memory the slots take.
    pub(crate) fn size_bytes(&self) -> usize {
        self.segments.len() * SEGMENT_SLOTS * size_of::<Slot>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_used_again_and_refs_are_not() {
        let mut slots = Slots::default();
        let series = || Series::new(0, Box::new([]));
        let insert = |slots: &mut Slots| {
            let slot = slots.insert(series());
            slots.series_ref(slot).expect("it was just put there")
        };
        let refs: Vec<SeriesRef> = (0..3).map(|_| insert(&mut slots)).collect();
        assert_eq!(refs, [SeriesRef(0), SeriesRef(1), SeriesRef(2)]);
        assert!(slots.remove(2).is_some() && slots.remove(1).is_some() && slots.remove(1).is_none());
        assert!(slots.by_ref(refs[1]).is_none());
        assert_eq!(insert(&mut slots), SeriesRef(1 << 32 | 1), "the lowest slot, a new generation");
        assert!(slots.by_ref(refs[1]).is_none() && slots.by_ref(refs[0]).is_some());
        assert!(slots.by_ref(SeriesRef(u64::MAX)).is_none());
    }
}
