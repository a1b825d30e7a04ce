//! The mark: a small file that says up to which LSN everything was durable, and which segment is the oldest.
//!
//! Without it, damage to the last batch of the log could not be told from a write that a crash interrupted. It is
//! written after each sync of the log (so it survives the death of the process exactly) and synced itself about once
//! a second (so it survives the death of the machine nearly). It may lag behind the truth, never lead it.
//!
//! ```text
//! file = slot (64 bytes) at 0, slot at 2048; slot = magic 8, generation u64, durable_upto u64, oldest_epoch u64, zeros 28, crc u32
//! ```
//! Slots are written in turn; the undamaged one with the higher generation counts.

use std::io;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};

pub(crate) const MARK_NAME: &str = "durable";
const MARK_BYTES: u64 = 4096;
const SLOT_BYTES: usize = 64;
const SLOT_OFFSETS: [u64; 2] = [0, 2048];
const MARK_MAGIC: [u8; 8] = *b"NORNMRK\x01";

/// The open mark file.
pub(crate) struct Mark {
    file: Arc<dyn DiskFile>,
    generation: u64,
    pub(crate) durable_upto: u64,
    pub(crate) oldest_epoch: u64,
}

impl Mark {
    /// Opens the mark, or creates one that knows nothing.
    pub(crate) fn open(disk: &dyn Disk) -> io::Result<Self> {
        if !disk.list()?.iter().any(|name| name == MARK_NAME) {
            disk.create(MARK_NAME, MARK_BYTES)?;
        }
        let file = disk.open(MARK_NAME)?;
        let mut mark = Self { file, generation: 0, durable_upto: 0, oldest_epoch: 0 };
        for offset in SLOT_OFFSETS {
            let mut slot = [0; SLOT_BYTES];
            mark.file.read_at(&mut slot, offset)?;
            mark.take_newer(&slot);
        }
        Ok(mark)
    }

    fn take_newer(&mut self, slot: &[u8; SLOT_BYTES]) {
        let number =
            |at: usize| u64::from_le_bytes(slot[at..at + 8].try_into().expect("the range is eight bytes"));
        let crc = u32::from_le_bytes(slot[60..].try_into().expect("the range is four bytes"));
        let valid = slot[..8] == MARK_MAGIC && crc == crc32c::crc32c(&slot[..60]);
        if valid && number(8) > self.generation {
            (self.generation, self.durable_upto, self.oldest_epoch) = (number(8), number(16), number(24));
        }
    }

    /// Writes the present values, without a sync.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        self.generation += 1;
        let mut slot = [0; SLOT_BYTES];
        slot[..8].copy_from_slice(&MARK_MAGIC);
        slot[8..16].copy_from_slice(&self.generation.to_le_bytes());
        slot[16..24].copy_from_slice(&self.durable_upto.to_le_bytes());
        slot[24..32].copy_from_slice(&self.oldest_epoch.to_le_bytes());
        let crc = crc32c::crc32c(&slot[..60]);
        slot[60..].copy_from_slice(&crc.to_le_bytes());
        self.file.write_at(&slot, SLOT_OFFSETS[(self.generation % 2) as usize])
    }

    /// Syncs what was written.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryDisk;

    #[test]
    fn the_newest_undamaged_slot_counts() {
        let disk = MemoryDisk::default();
        let mut mark = Mark::open(&disk).unwrap();
        for lsn in 1..=3 {
            mark.durable_upto = lsn;
            mark.write().unwrap();
        }
        assert_eq!(Mark::open(&disk).unwrap().durable_upto, 3);
        let mut bytes = disk.bytes(MARK_NAME).unwrap();
        bytes[2048 + 16] ^= 1;
        disk.insert(MARK_NAME, bytes);
        assert_eq!(Mark::open(&disk).unwrap().durable_upto, 2);
    }
}
