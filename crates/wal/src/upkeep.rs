//! Upkeep of the writer: spare segments are refilled, the oldest segment is emptied and freed.
//!
//! A segment is freed when no index points into it and every command accepted up to that observation is durable: a
//! purge that is only in memory frees nothing. Segments go oldest first, and the mark says so before the file loses
//! its name, so that a missing segment is always noticed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::error::WalError;
use crate::format::{Kind, RecordHeader, record_bytes};
use crate::mark::MARK_NAME;
use crate::queue::Admission;
use crate::segment::Segment;
use crate::types::LogId;
use crate::writer::{IDLE_SYNC, Placed, Writer};

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl Writer {
    /// Does what is due before the next cycle.
    pub(crate) fn keep_up(&mut self) -> Result<(), WalError> {
        self.rewrite_oldest()?;
        self.free_oldest()?;
        self.refill_spares()?;
        self.stats.segments.store(self.segments.len() as u64, Ordering::Relaxed);
        self.stats.spares.store(self.spares.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn refill_spares(&mut self) -> Result<(), WalError> {
        let was_full_just_now = self.full_since.is_some_and(|found| found.elapsed() < IDLE_SYNC);
        if was_full_just_now && !self.spares.enough() {
            return Ok(());
        }
        while !self.spares.enough() {
            if self.full_since.is_none() {
                self.queue.set_admission(Admission::Preparing);
            }
            match self.spares.create() {
                Ok(()) => {}
                Err(error) if is_full(&error) => {
                    if self.full_since.replace(Instant::now()).is_none() {
                        tracing::error!(
                            "the disk of the log is full: appends are refused until there is space"
                        );
                    }
                    self.queue.set_admission(Admission::DiskFull);
                    return Ok(());
                }
                Err(error) => return Err(WalError::io("create", "a spare segment")(error)),
            }
        }
        self.full_since = None;
        if self.queue.admission() != Admission::Open {
            self.queue.set_admission(Admission::Open);
        }
        Ok(())
    }

    /// Frees the oldest segments that nothing needs.
    fn free_oldest(&mut self) -> Result<(), WalError> {
        while self.segments.len() > 1 {
            let is_held = Arc::strong_count(&self.segments[0]) > 1;
            if is_held {
                self.free_after = None;
                return Ok(());
            }
            let fence = *self.free_after.get_or_insert_with(|| self.queue.last_number());
            if self.durable_command < fence || self.durable_lsn < self.head_first_lsn {
                return Ok(());
            }
            self.free_after = None;
            self.mark.oldest_epoch = self.segments[1].epoch;
            self.mark.write().map_err(WalError::io("write", MARK_NAME))?;
            self.sync_mark()?;
            let oldest = self.segments.pop_front().expect("there are at least two");
            let name = oldest.name();
            self.spares.recycle(&name, oldest.capacity).map_err(WalError::io("recycle", &name))?;
        }
        Ok(())
    }

    /// Writes the live entries of the oldest segment again, when segments pile up and they are few.
    fn rewrite_oldest(&mut self) -> Result<(), WalError> {
        if self.segments.len() <= self.config.segments_before_rewrite || !self.spares.enough() {
            return Ok(());
        }
        let oldest = Arc::clone(&self.segments[0]);
        let live = self.live_in(&oldest);
        let bytes: u64 = live.iter().map(|(_, entry)| record_bytes(entry.bytes as usize) as u64).sum();
        if live.is_empty() || bytes > oldest.capacity / 2 {
            return Ok(());
        }
        let mut placed = Vec::new();
        for (id, entry) in live {
            let payload_bytes = u32::try_from(entry.bytes).expect("a slot holds it as u32");
            let payload = entry.place.read(payload_bytes, id.index)?;
            let record = RecordHeader { kind: Kind::Rewrite, flag: 0, group: entry.group.id.0, id };
            let place = self.put(&record, &payload)?;
            // Its payload stays in or out of the cache as it is.
            placed.push(Placed { bytes: 0, place, ..entry });
        }
        self.flush_batch()?;
        self.sync()?;
        self.publish(placed);
        Ok(())
    }

    /// Returns the entries that stand in a segment.
    fn live_in(&self, segment: &Arc<Segment>) -> Vec<(LogId, Placed)> {
        let mut live = Vec::new();
        for group in self.groups.all() {
            let index = group.index.lock();
            for slot in index.in_segment(segment) {
                let Some(place) = slot.place.clone() else { continue };
                let (position, bytes) = (slot.id.index, u64::from(slot.payload_bytes));
                let group = Arc::clone(&group);
                live.push((slot.id, Placed { group, index: position, command: slot.command, bytes, place }));
            }
        }
        live
    }
}
