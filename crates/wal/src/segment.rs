//! One segment file in one life: reading records from it, writing batches to it.
//!
//! Every place in an index holds its segment, so a segment that nobody holds but the writer's table has no live
//! entry and no reader, and can be recycled.

use std::sync::Arc;

use bytes::Bytes;

use crate::disk::DiskFile;
use crate::error::WalError;
use crate::format::{Kind, RecordHeader, record_bytes};

const SEGMENT_SUFFIX: &str = ".wal";

/// An open segment file.
pub(crate) struct Segment {
    pub(crate) epoch: u64,
    pub(crate) seed: u32,
    pub(crate) capacity: u64,
    pub(crate) file: Arc<dyn DiskFile>,
}

/// Where an entry's record stands.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) segment: Arc<Segment>,
    pub(crate) offset: u64,
}

/// Returns the name of the segment file of an epoch; names sort as epochs do.
pub(crate) fn segment_name(epoch: u64) -> String {
    format!("{epoch:016x}{SEGMENT_SUFFIX}")
}

/// Returns the epoch of a segment file, and nothing for other files.
pub(crate) fn epoch_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SEGMENT_SUFFIX)?;
    if digits.len() != 16 {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

impl Segment {
    pub(crate) fn name(&self) -> String {
        segment_name(self.epoch)
    }
}

impl Place {
    /// Reads the payload of the entry that stands here.
    pub(crate) fn read(&self, payload_bytes: u32, index: u64) -> Result<Bytes, WalError> {
        let name = self.segment.name();
        let mut bytes = vec![0; record_bytes(payload_bytes as usize)];
        let count =
            self.segment.file.read_at(&mut bytes, self.offset).map_err(WalError::io("read", &name))?;
        let corrupt =
            |reason: String| WalError::Corrupt { segment: name.clone(), offset: self.offset, reason };
        let Some((header, payload, _)) = RecordHeader::decode(&bytes[..count], self.segment.seed) else {
            return Err(corrupt(format!("the checksum of entry {index} does not match")));
        };
        if !matches!(header.kind, Kind::Entry | Kind::Rewrite) || header.id.index != index {
            return Err(corrupt(format!("expected entry {index}, found {header:?}")));
        }
        Ok(Bytes::copy_from_slice(payload))
    }
}
