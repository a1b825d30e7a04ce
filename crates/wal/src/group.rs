//! The log of one group, as its users see it.
//!
//! A change takes effect for all readers when the call returns; it is durable when `done` is called, or, for calls
//! without one, no later than the next change that has one. A command enters the queue and the index under one lock,
//! so both see the same order.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::error::WalError;
use crate::index::{Index, Slot};
use crate::queue::{Op, Queue};
use crate::segment::Place;
use crate::types::{Done, Entry, GroupId, LogId, LogState, Vote};

/// What the writer and the handles of a group share.
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) index: Mutex<Index>,
    /// Of all groups of the node.
    pub(crate) cached_bytes: Arc<AtomicU64>,
}

impl Group {
    pub(crate) fn release(&self, bytes: u64) {
        self.cached_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A handle to the log of one group. Clones share the log.
#[derive(Clone)]
pub struct GroupLog {
    pub(crate) group: Arc<Group>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) entry_bytes_max: u64,
}

enum Source {
    Memory(Bytes),
    Disk(Place, u32),
}

/// Entries about to be read. The log may change meanwhile: the plan still reads what it saw.
pub struct ReadPlan {
    parts: Vec<(LogId, Source)>,
}

impl ReadPlan {
    /// Returns whether all payloads are in memory, so that [`Self::load`] does not block.
    pub fn in_memory(&self) -> bool {
        self.parts.iter().all(|(_, source)| matches!(source, Source::Memory(_)))
    }

    /// Returns the entries, reading from the disk those that are not in memory.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] when a record is damaged, [`WalError::Io`].
    pub fn load(self) -> Result<Vec<Entry>, WalError> {
        let load = |(id, source): (LogId, Source)| {
            let payload = match source {
                Source::Memory(payload) => payload,
                Source::Disk(place, payload_bytes) => place.read(payload_bytes, id.index)?,
            };
            Ok(Entry { id, payload })
        };
        self.parts.into_iter().map(load).collect()
    }
}

impl GroupLog {
    /// Returns the group whose log this is.
    pub fn id(&self) -> GroupId {
        self.group.id
    }

    /// Returns where the log begins and ends.
    pub fn state(&self) -> LogState {
        self.group.index.lock().state()
    }

    /// Appends entries. They can be read at once; `done` is called when they are durable.
    ///
    /// The indices are consecutive and follow the log; a log that never had an entry may begin anywhere.
    ///
    /// # Errors
    /// [`WalError::QueueFull`]: call [`crate::Wal::wait_for_room`] and try again; [`WalError::DiskFull`];
    /// [`WalError::TooLarge`]; [`WalError::NotConsecutive`]; [`WalError::Failed`]; [`WalError::Closed`]. Nothing has
    /// changed then, and `done` is not called.
    pub fn append(&self, entries: Vec<Entry>, done: Done) -> Result<(), WalError> {
        let mut index = self.group.index.lock();
        self.check(&index, &entries)?;
        let op = Op::Append(entries.clone());
        let command = self.queue.push(&self.group, op, Some(done))?;
        let mut added = 0;
        for entry in entries {
            added += entry.payload.len() as u64;
            let payload_bytes = u32::try_from(entry.payload.len()).expect("checked against entry_bytes_max");
            let payload = Some(entry.payload);
            index.slots.push_back(Slot { id: entry.id, payload_bytes, command, place: None, payload });
        }
        self.group.cached_bytes.fetch_add(added, Ordering::Relaxed);
        Ok(())
    }

    fn check(&self, index: &Index, entries: &[Entry]) -> Result<(), WalError> {
        if index.destroyed {
            return Err(WalError::Closed);
        }
        let mut next = index.next_index();
        for entry in entries {
            let expected = next.unwrap_or(entry.id.index);
            if entry.id.index != expected {
                let group = self.group.id.0;
                return Err(WalError::NotConsecutive { group, index: entry.id.index, expected });
            }
            let (bytes, bytes_max) = (entry.payload.len() as u64, self.entry_bytes_max);
            if bytes > bytes_max {
                return Err(WalError::TooLarge { bytes, bytes_max });
            }
            next = Some(expected + 1);
        }
        Ok(())
    }

    /// Enters a command and changes the index, as one step.
    fn change(
        &self,
        op: Op,
        done: Option<Done>,
        apply: impl FnOnce(&mut Index) -> u64,
    ) -> Result<(), WalError> {
        let mut index = self.group.index.lock();
        if index.destroyed {
            return Err(WalError::Closed);
        }
        self.queue.push(&self.group, op, done)?;
        let released = apply(&mut index);
        self.group.release(released);
        Ok(())
    }

    /// Saves the vote; `done` is called when it is durable.
    ///
    /// # Errors
    /// [`WalError::Failed`], [`WalError::Closed`]; `done` is not called then.
    pub fn save_vote(&self, vote: Vote, done: Done) -> Result<(), WalError> {
        self.change(Op::Vote(vote), Some(done), |index| {
            index.vote = Some(vote);
            0
        })
    }

    /// Saves the committed position, without waiting for it to be durable.
    ///
    /// # Errors
    /// [`WalError::Failed`], [`WalError::Closed`].
    pub fn save_committed(&self, committed: Option<LogId>) -> Result<(), WalError> {
        self.change(Op::Committed(committed), None, |index| {
            index.committed = committed;
            0
        })
    }

    /// Removes the entries after an index, or all of them, without waiting for it to be durable.
    ///
    /// The caller never takes back what was committed.
    ///
    /// # Errors
    /// [`WalError::Failed`], [`WalError::Closed`].
    pub fn truncate_after(&self, last_kept: Option<u64>) -> Result<(), WalError> {
        self.change(Op::Truncate(last_kept), None, |index| index.truncate_after(last_kept))
    }

    /// Removes the entries up to a position, inclusive, without waiting for it to be durable.
    ///
    /// A position beyond the last entry empties the log, which then continues after it.
    ///
    /// # Errors
    /// [`WalError::Failed`], [`WalError::Closed`].
    pub fn purge(&self, upto: LogId) -> Result<(), WalError> {
        self.change(Op::Purge(upto), None, |index| index.purge(upto))
    }

    /// Plans to read the entries whose index lies in the half-open range, from the first on, as many as fit into
    /// that many payload bytes, and at least one if there is one.
    pub fn read(&self, range: Range<u64>, payload_bytes_max: u64) -> ReadPlan {
        let index = self.group.index.lock();
        let mut parts = Vec::new();
        let mut bytes = 0;
        for slot in index.range(range) {
            bytes += u64::from(slot.payload_bytes);
            if bytes > payload_bytes_max && !parts.is_empty() {
                break;
            }
            let source = match (&slot.payload, &slot.place) {
                (Some(payload), _) => Source::Memory(payload.clone()),
                (None, Some(place)) => Source::Disk(place.clone(), slot.payload_bytes),
                (None, None) => unreachable!("a payload is only evicted once its place is known"),
            };
            parts.push((slot.id, source));
        }
        ReadPlan { parts }
    }

    /// Returns the position of an entry, if the log has it.
    pub fn id_at(&self, index: u64) -> Option<LogId> {
        self.group.index.lock().range(index..index.saturating_add(1)).next().map(|slot| slot.id)
    }

    /// Returns how many payload bytes the log holds after an index, exclusive.
    pub fn bytes_after(&self, index: Option<u64>) -> u64 {
        let start = index.map_or(0, |index| index + 1);
        self.group.index.lock().range(start..u64::MAX).map(|slot| u64::from(slot.payload_bytes)).sum()
    }
}
