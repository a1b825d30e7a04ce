//! What slots hold of finer samples: a reader takes slots instead of finer blocks, and retention lets those go for them.
//!
//! Invariant: of a finer block that is active at the same time, for the same series and shard, an active block of slots holds
//! all samples that lie in its range. So
//! - a downsampling reads all that is active in its window (`check_whole`);
//! - slots are not merged across what is not reduced yet (`hides`);
//! - samples that come into slots' time end them, so that they are made anew (`outdate_slots`). That is not done where
//!   what they were made of is gone: these slots stay, and do not show what came.

use model::{SortRange, TimeRanges, uncovered};

use super::*;
use crate::job::{Downsampling, JobOrder};

impl Catalogue {
    /// Returns the times of a block at which coarser blocks do not hold all of its samples. Damaged ones hold nothing.
    pub fn unreduced(&self, entry: &BlockEntry) -> TimeRanges {
        let meta = &entry.meta;
        let is_whole = |id: BlockId| self.get(id).is_some_and(|other| other.set_aside.is_none());
        let is_coarser = |other: &&BlockMeta| other.resolution_ms > meta.resolution_ms && is_whole(other.id);
        let held = self.meeting(meta.range, meta).filter(is_coarser);
        let held = held.map(|other| (other.range, other.sort_range.clone()));
        uncovered(
            meta.range.closed(),
            &meta.sort_range,
            &held.chain(without_samples(entry)).collect::<Vec<_>>(),
        )
    }

    /// Returns a finer block of which slots, merged into one block, would seem to hold samples that none of them holds.
    pub fn hides(&self, slots: &[&BlockMeta]) -> Option<BlockId> {
        let first = slots.first().filter(|meta| meta.resolution_ms > 0)?;
        let start = slots.iter().map(|meta| meta.range.start).min()?;
        let end = slots.iter().map(|meta| meta.range.end).max()?;
        let hull = BlockRange { start, end };
        let series = slots.iter().map(|meta| meta.sort_range.clone()).reduce(|all, one| all.hull(&one))?;
        let held: Vec<_> = slots.iter().map(|meta| (meta.range, meta.sort_range.clone())).collect();
        let is_hidden = |entry: &BlockEntry| {
            let finer = &entry.meta;
            let held: Vec<_> = held.iter().cloned().chain(without_samples(entry)).collect();
            let range = finer.range.closed().intersect(&hull.closed());
            !uncovered(range, &finer.sort_range.intersect(&series), &held).is_empty()
        };
        let whole = BlockMeta { sort_range: series.clone(), ..(*first).clone() };
        let finer = self.meeting(hull, &whole).filter(|other| other.resolution_ms < first.resolution_ms);
        finer.map(|meta| meta.id).find(|id| self.get(*id).is_some_and(|entry| is_hidden(entry)))
    }

    /// Tells which block a job must not pass over, if any: one with samples of the window that is no input, or that slots
    /// merged into one would hide.
    pub(super) fn check_whole(&self, order: &JobOrder, inputs: &[&BlockMeta]) -> Result<(), String> {
        let Some(Downsampling { window, .. }) = order.downsample else {
            return match self.hides(inputs) {
                Some(id) => Err(format!("block {id} is not reduced yet, and slots on both sides are")),
                None => Ok(()),
            };
        };
        let is_missing = |id: BlockId| !order.inputs.contains(&id);
        let mut meeting =
            inputs.iter().flat_map(|input| self.meeting(window, input).map(move |m| (input, m)));
        let missing =
            meeting.find(|(input, meta)| meta.resolution_ms == input.resolution_ms && is_missing(meta.id));
        match missing {
            Some((_, meta)) => Err(format!("block {} has samples of the same window", meta.id)),
            None => Ok(()),
        }
    }

    /// Notes that nothing was found in a job's window.
    pub(super) fn note_without_samples(&mut self, order: &JobOrder) {
        let Some(Downsampling { window, .. }) = order.downsample else { return };
        for id in &order.inputs {
            if let Some(entry) = self.blocks.get_mut(id) {
                Arc::make_mut(entry).without_samples.push(window);
            }
        }
    }

    /// Ends the slots that lack samples of a raw block that comes now, where they can be made anew.
    pub(super) fn outdate_slots(&mut self, raw: &BlockMeta, at_ms: i64, version: u64) {
        let retired_ms = self.retired_until_ms.get(&raw.shard).copied().unwrap_or(i64::MIN);
        let outdated = self.meeting(raw.range, raw);
        let outdated = outdated.filter(|meta| meta.resolution_ms > 0 && meta.range.start.0 >= retired_ms);
        let ids: Vec<BlockId> = outdated.map(|meta| meta.id).collect();
        self.tombstone(&ids, at_ms, &format!("samples came with block {}", raw.id), version);
    }

    /// Returns the active blocks of a block's shard with times of a range and with some of its series.
    fn meeting<'a>(&'a self, range: BlockRange, meta: &'a BlockMeta) -> impl Iterator<Item = &'a BlockMeta> {
        let meets =
            |other: &&BlockMeta| other.shard == meta.shard && other.sort_range.overlaps(&meta.sort_range);
        self.active_in(range.closed()).filter(meets)
    }
}

/// Returns what a block is known not to hold, of all series.
fn without_samples(entry: &BlockEntry) -> impl Iterator<Item = (BlockRange, SortRange)> {
    entry.without_samples.iter().map(|range| (*range, SortRange::ALL))
}
