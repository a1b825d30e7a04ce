//! Reading the log back: which batches count, where the log ends, and whether anything acknowledged is damaged.
//!
//! A batch that cannot be read is one of two things. A torn tail: the last sync never returned, nobody was told, and
//! the batch may be cut. Or damage to something that was acknowledged: then this replica would break its word by
//! going on, and opening fails. What decides is the highest LSN known to have been durable, from the mark, from
//! every batch read, and from batches found behind the bad one.
//!
//! 1. Segments are read oldest first; each but the last must end exactly where its successor says it does.
//! 2. In the last one, the first batch that cannot be read ends the log.
//! 3. A torn tail is overwritten with zeros, so that nothing of it can ever be read as the continuation of a batch
//!    written later.
//! 4. What was not known to be durable is written once more and synced: the bytes seen may have been in the page
//!    cache only.

use std::collections::BTreeMap;
use std::sync::Arc;

use memchr::memmem;

use crate::disk::Disk;
use crate::error::WalError;
use crate::format::{
    ALIGNMENT, BATCH_HEADER_BYTES, BATCH_MAGIC, BatchHeader, RecordHeader, SEGMENT_HEADER_BYTES,
    SegmentHeader, add_header_checksum, seed_of,
};
use crate::index::Index;
use crate::replay::Replay;
use crate::segment::{Place, Segment, epoch_of};

/// How much of a torn tail is zeroed at once.
const ZERO_BYTES: usize = 1 << 20;

/// What the log was found to be.
pub(crate) struct Recovered {
    /// All segments, oldest first; empty for a new log.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Where the last segment ends, exclusive.
    pub(crate) end: u64,
    /// The LSN of the next batch.
    pub(crate) next_lsn: u64,
    /// The LSN of the first batch of the last segment.
    pub(crate) head_first_lsn: u64,
    pub(crate) groups: BTreeMap<u32, Index>,
}

/// A segment that is being read.
struct Scan {
    segment: Arc<Segment>,
    header: SegmentHeader,
    bytes: Vec<u8>,
}

/// Where a scan stopped.
struct Stop {
    offset: usize,
    next_lsn: u64,
    /// The highest LSN that the batches call durable.
    durable_upto: u64,
    /// Where the first batch stands that was not known to be durable beforehand.
    unsure_from: usize,
}

/// Reads the whole log.
pub(crate) fn recover(
    disk: &dyn Disk,
    names: &[String],
    durable_upto: u64,
    oldest_epoch: u64,
) -> Result<Recovered, WalError> {
    let mut epochs: Vec<(u64, &String)> =
        names.iter().filter_map(|name| Some((epoch_of(name)?, name))).collect();
    epochs.sort_unstable();
    check_names(&epochs, durable_upto, oldest_epoch)?;
    let mut replay = Replay::default();
    let mut recovered =
        Recovered { segments: Vec::new(), end: 0, next_lsn: 1, head_first_lsn: 1, groups: BTreeMap::new() };
    let mut before: Option<(Scan, Stop)> = None;
    for (epoch, name) in &epochs {
        let scan = open_segment(disk, name, *epoch)?;
        if let Some((previous, stop)) = &before {
            check_seam(previous, stop, &scan.header)?;
        } else {
            recovered.next_lsn = scan.header.first_lsn;
        }
        let stop = read_batches(&scan, durable_upto, &mut replay);
        recovered.segments.push(Arc::clone(&scan.segment));
        before = Some((scan, stop));
    }
    if let Some((last, stop)) = &before {
        end_log(last, stop, durable_upto)?;
        recovered.end = stop.offset as u64;
        recovered.next_lsn = stop.next_lsn;
        recovered.head_first_lsn = last.header.first_lsn;
    }
    let oldest = epochs.first().map(|(_, name)| (*name).clone()).unwrap_or_default();
    recovered.groups =
        replay.finish().map_err(|reason| WalError::Corrupt { segment: oldest, offset: 0, reason })?;
    Ok(recovered)
}

/// Checks that no segment is missing at the front or in the middle.
fn check_names(epochs: &[(u64, &String)], durable_upto: u64, oldest_epoch: u64) -> Result<(), WalError> {
    let missing = |epoch: u64| WalError::Corrupt {
        segment: crate::segment::segment_name(epoch),
        offset: 0,
        reason: "the segment is missing".to_owned(),
    };
    match epochs.first() {
        None if durable_upto > 0 => return Err(missing(oldest_epoch)),
        Some((first, _)) if oldest_epoch > 0 && *first > oldest_epoch => return Err(missing(oldest_epoch)),
        _ => {}
    }
    match epochs.windows(2).find(|pair| pair[1].0 != pair[0].0 + 1) {
        Some(pair) => Err(missing(pair[0].0 + 1)),
        None => Ok(()),
    }
}

fn open_segment(disk: &dyn Disk, name: &str, epoch: u64) -> Result<Scan, WalError> {
    let file = disk.open(name).map_err(WalError::io("open", name))?;
    let capacity = file.length().map_err(WalError::io("measure", name))?;
    let length = usize::try_from(capacity).expect("a file that fits into the address space");
    let mut bytes = vec![0; length];
    file.read_at(&mut bytes, 0).map_err(WalError::io("read", name))?;
    // A segment gets its name after its header is durable, so a bad header is damage, never a torn write.
    let header = SegmentHeader::decode(&bytes).filter(|header| header.epoch == epoch);
    let Some(header) = header else {
        let reason = "the segment header is not valid".to_owned();
        return Err(WalError::Corrupt { segment: name.to_owned(), offset: 0, reason });
    };
    let seed = seed_of(epoch, header.salt);
    Ok(Scan { segment: Arc::new(Segment { epoch, seed, capacity, file }), header, bytes })
}

/// Replays batches until one cannot be read.
fn read_batches(scan: &Scan, durable_upto: u64, replay: &mut Replay) -> Stop {
    let mut stop = Stop {
        offset: SEGMENT_HEADER_BYTES,
        next_lsn: scan.header.first_lsn,
        durable_upto: scan.header.first_lsn - 1,
        unsure_from: SEGMENT_HEADER_BYTES,
    };
    while let Some((header, records)) = scan.batch_at(stop.offset, stop.next_lsn) {
        for (record, payload_bytes, offset) in records {
            let place = Place { segment: Arc::clone(&scan.segment), offset: offset as u64 };
            replay.apply(&record, payload_bytes, place);
        }
        stop.offset += BATCH_HEADER_BYTES + header.body_bytes as usize;
        stop.durable_upto = stop.durable_upto.max(header.durable_upto);
        if header.lsn <= durable_upto {
            stop.unsure_from = stop.offset;
        }
        stop.next_lsn += 1;
    }
    stop
}

type Records = Vec<(RecordHeader, usize, usize)>;

impl Scan {
    fn header_at(&self, offset: usize) -> Option<BatchHeader> {
        BatchHeader::decode(self.bytes.get(offset..)?, self.segment.epoch, self.segment.seed)
    }

    /// Reads the batch at the offset: its header, and each record with its payload's length and its offset.
    fn batch_at(&self, offset: usize, lsn: u64) -> Option<(BatchHeader, Records)> {
        let header = self.header_at(offset).filter(|header| header.lsn == lsn)?;
        let start = offset + BATCH_HEADER_BYTES;
        let end = start.checked_add(header.body_bytes as usize)?;
        let mut records = Vec::new();
        let mut at = start;
        let mut headers_crc = 0;
        while at < end {
            let (record, payload, total) = RecordHeader::decode(self.bytes.get(at..end)?, self.segment.seed)?;
            records.push((record, payload.len(), at));
            headers_crc = add_header_checksum(headers_crc, &self.bytes[at..]);
            at += total;
        }
        let is_whole = records.len() == header.records as usize && headers_crc == header.headers_crc;
        is_whole.then_some((header, records))
    }

    /// Finds headers of this life at or behind the offset; returns whether there is any, and the highest LSN that
    /// they call durable.
    fn look_behind(&self, offset: usize) -> (bool, u64) {
        let magic = BATCH_MAGIC.to_le_bytes();
        let mut found = (false, 0);
        for position in memmem::find_iter(&self.bytes[offset..], &magic) {
            let at = offset + position;
            if !at.is_multiple_of(ALIGNMENT) {
                continue;
            }
            if let Some(header) = self.header_at(at) {
                found = (true, found.1.max(header.durable_upto));
            }
        }
        found
    }

    fn corrupt(&self, offset: usize, reason: String) -> WalError {
        WalError::Corrupt { segment: self.segment.name(), offset: offset as u64, reason }
    }
}

/// Checks that a segment ends where its successor begins.
fn check_seam(previous: &Scan, stop: &Stop, next: &SegmentHeader) -> Result<(), WalError> {
    if stop.offset as u64 == next.previous_end && stop.next_lsn == next.first_lsn {
        return Ok(());
    }
    let reason = format!(
        "batch {} cannot be read, but the log went on to batch {} in the next segment",
        stop.next_lsn, next.first_lsn
    );
    Err(previous.corrupt(stop.offset, reason))
}

/// Decides what the end of the last segment is, and makes it a clean end.
fn end_log(scan: &Scan, stop: &Stop, durable_upto: u64) -> Result<(), WalError> {
    let (torn, durable_behind) = scan.look_behind(stop.offset);
    let durable = durable_upto.max(stop.durable_upto).max(durable_behind);
    if stop.next_lsn <= durable {
        let reason =
            format!("batch {} cannot be read, but it was acknowledged (up to {durable})", stop.next_lsn);
        return Err(scan.corrupt(stop.offset, reason));
    }
    let name = scan.segment.name();
    let file = &scan.segment.file;
    if torn {
        tracing::warn!(segment = %name, offset = stop.offset, lsn = stop.next_lsn, "cut the torn tail of the log");
        let zeros = vec![0; ZERO_BYTES];
        for start in (stop.offset..scan.bytes.len()).step_by(ZERO_BYTES) {
            let count = ZERO_BYTES.min(scan.bytes.len() - start);
            file.write_at(&zeros[..count], start as u64).map_err(WalError::io("write", &name))?;
        }
    }
    let unsure = &scan.bytes[stop.unsure_from..stop.offset];
    file.write_at(unsure, stop.unsure_from as u64).map_err(WalError::io("write", &name))?;
    file.sync().map_err(WalError::io("sync", &name))
}
