//! The log of one group as memory knows it: where each entry stands, and its payload while that is cached.
//!
//! It is ahead of the disk: it changes when a command is accepted, not when it is written. A slot therefore remembers
//! the command that made it, so that a late word from the writer about a truncated entry is not taken for its
//! successor at the same index. Pure data; the lock around it is [`crate::group::Group`]'s.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::segment::{Place, Segment};
use crate::types::{LogId, LogState, Vote};

/// One entry.
pub(crate) struct Slot {
    pub(crate) id: LogId,
    pub(crate) payload_bytes: u32,
    /// The command that brought it; 0 when recovery found it.
    pub(crate) command: u64,
    /// Where it stands on disk; none until it is durable.
    pub(crate) place: Option<Place>,
    /// Never gone before `place` is there.
    pub(crate) payload: Option<Bytes>,
}

/// The log of one group.
#[derive(Default)]
pub(crate) struct Index {
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    /// Consecutive; the first follows `purged`.
    pub(crate) slots: VecDeque<Slot>,
    pub(crate) destroyed: bool,
}

impl Slot {
    fn cached_bytes(&self) -> u64 {
        self.payload.as_ref().map_or(0, |payload| payload.len() as u64)
    }
}

impl Index {
    pub(crate) fn last(&self) -> Option<LogId> {
        self.slots.back().map(|slot| slot.id).or(self.purged)
    }

    pub(crate) fn state(&self) -> LogState {
        let last = self.last();
        let committed = match (self.committed, last) {
            (Some(committed), Some(last)) if committed.index <= last.index => Some(committed),
            (Some(_), last) => last,
            (None, _) => None,
        };
        LogState { vote: self.vote, committed, purged: self.purged, last }
    }

    /// Returns the index that the next entry must have; none when the log never had an entry.
    pub(crate) fn next_index(&self) -> Option<u64> {
        self.last().map(|id| id.index + 1)
    }

    fn position(&self, index: u64) -> Option<usize> {
        let first = self.slots.front()?.id.index;
        usize::try_from(index.checked_sub(first)?).ok()
    }

    fn slot_mut(&mut self, index: u64, command: u64) -> Option<&mut Slot> {
        let position = self.position(index)?;
        self.slots.get_mut(position).filter(|slot| slot.command == command)
    }

    /// Forgets entries after the index, or all of them; returns how many cached bytes that released.
    pub(crate) fn truncate_after(&mut self, last_kept: Option<u64>) -> u64 {
        let kept = match (last_kept, self.slots.front()) {
            (Some(last), Some(first)) if last >= first.id.index => (last - first.id.index + 1) as usize,
            _ => 0,
        };
        self.slots.drain(kept.min(self.slots.len())..).map(|slot| slot.cached_bytes()).sum()
    }

    /// Forgets entries up to the position, inclusive; returns how many cached bytes that released.
    pub(crate) fn purge(&mut self, upto: LogId) -> u64 {
        if self.purged.is_some_and(|purged| purged.index >= upto.index) {
            return 0;
        }
        self.purged = Some(upto);
        let gone = self.slots.partition_point(|slot| slot.id.index <= upto.index);
        self.slots.drain(..gone).map(|slot| slot.cached_bytes()).sum()
    }

    /// Notes where an entry stands, unless it is gone by now.
    pub(crate) fn placed(&mut self, index: u64, command: u64, place: Place) {
        if let Some(slot) = self.slot_mut(index, command) {
            slot.place = Some(place);
        }
    }

    /// Drops the payload of an entry that is durable; returns how many cached bytes that released.
    pub(crate) fn evict(&mut self, index: u64, command: u64) -> u64 {
        let Some(slot) = self.slot_mut(index, command).filter(|slot| slot.place.is_some()) else {
            return 0;
        };
        let released = slot.cached_bytes();
        slot.payload = None;
        released
    }

    /// Returns the slots whose index lies in the range.
    pub(crate) fn range(&self, range: Range<u64>) -> impl Iterator<Item = &Slot> {
        let start = self.slots.partition_point(|slot| slot.id.index < range.start);
        self.slots.range(start..).take_while(move |slot| slot.id.index < range.end)
    }

    /// Returns the slots that stand in a segment.
    pub(crate) fn in_segment(&self, segment: &Arc<Segment>) -> impl Iterator<Item = &Slot> {
        let stands_there =
            |slot: &&Slot| slot.place.as_ref().is_some_and(|place| Arc::ptr_eq(&place.segment, segment));
        self.slots.iter().filter(stands_there)
    }

    /// Forgets everything; returns how many cached bytes that released.
    pub(crate) fn destroy(&mut self) -> u64 {
        let released = self.slots.iter().map(Slot::cached_bytes).sum();
        *self = Self { destroyed: true, ..Self::default() };
        released
    }
}
