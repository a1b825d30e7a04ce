//! The bytes of a segment. All numbers are little-endian.
//!
//! ```text
//! segment  = header (64 bytes), batch*, then anything
//! header   = magic 8, epoch u64, salt u64, first_lsn u64, previous_end u64, zeros 20, crc u32
//! batch    = magic u32, crc u32, epoch u64, lsn u64, durable_upto u64, body_bytes u32, records u32,
//!            headers_crc u32, zeros 4, record*
//! record   = payload_bytes u32, crc u32, kind u8, flag u8, zeros 2, group u32, term u64, node u64, index u64,
//!            payload, zeros to a multiple of 8
//! ```
//!
//! A segment file is used again and again, so what follows the last batch may be batches of an earlier life. Each
//! life has its epoch (counted, part of the file name) and a random salt; every checksum starts from both, so bytes
//! of another life, or bytes that a client chose, are never taken for a batch. A batch has a sequence number (LSN)
//! without gaps, and names the last LSN that was durable when it was written: a damaged batch at or below that was
//! acknowledged. The crc of a batch covers its header; each record has its own, over everything else in it.

use crate::types::LogId;

pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;
pub(crate) const BATCH_HEADER_BYTES: usize = 48;
pub(crate) const RECORD_HEADER_BYTES: usize = 40;
/// Everything starts at a multiple of this.
pub(crate) const ALIGNMENT: usize = 8;

/// The last byte is the version of the format.
const SEGMENT_MAGIC: [u8; 8] = *b"NORNWAL\x01";
pub(crate) const BATCH_MAGIC: u32 = 0x5442_574e;

/// Returns the checksum that all others of a segment start from.
pub(crate) fn seed_of(epoch: u64, salt: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&epoch.to_le_bytes()), &salt.to_le_bytes())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("the range is four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the range is eight bytes"))
}

/// What stands at the start of a segment. Written and synced before the file gets its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) epoch: u64,
    pub(crate) salt: u64,
    /// The LSN of the first batch here; the segment before ends with the one before.
    pub(crate) first_lsn: u64,
    /// Where the segment before ends, exclusive; 0 when this is the first of all.
    pub(crate) previous_end: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.salt.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_lsn.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.previous_end.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Returns nothing when the bytes are too few, damaged, or of another format.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..SEGMENT_HEADER_BYTES)?;
        if bytes[..8] != SEGMENT_MAGIC || u32_at(bytes, 60) != crc32c::crc32c(&bytes[..60]) {
            return None;
        }
        Some(Self {
            epoch: u64_at(bytes, 8),
            salt: u64_at(bytes, 16),
            first_lsn: u64_at(bytes, 24),
            previous_end: u64_at(bytes, 32),
        })
    }
}

/// What stands before the records that were written together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) epoch: u64,
    pub(crate) lsn: u64,
    pub(crate) durable_upto: u64,
    pub(crate) body_bytes: u32,
    pub(crate) records: u32,
    /// [`add_header_checksum`] over the records.
    pub(crate) headers_crc: u32,
}

/// Takes the header of the next record of a batch into the checksum of all of them, which starts at 0.
pub(crate) fn add_header_checksum(checksum: u32, record: &[u8]) -> u32 {
    crc32c::crc32c_append(checksum, &record[..RECORD_HEADER_BYTES])
}

impl BatchHeader {
    pub(crate) fn encode(&self, seed: u32) -> [u8; BATCH_HEADER_BYTES] {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        bytes[..4].copy_from_slice(&BATCH_MAGIC.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.lsn.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.durable_upto.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.records.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.headers_crc.to_le_bytes());
        let crc = crc32c::crc32c_append(seed, &bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Returns nothing unless an undamaged header of this life of the segment stands there.
    pub(crate) fn decode(bytes: &[u8], epoch: u64, seed: u32) -> Option<Self> {
        let bytes = bytes.get(..BATCH_HEADER_BYTES)?;
        if u32_at(bytes, 0) != BATCH_MAGIC || u64_at(bytes, 8) != epoch {
            return None;
        }
        if u32_at(bytes, 4) != crc32c::crc32c_append(seed, &bytes[8..]) {
            return None;
        }
        Some(Self {
            epoch,
            lsn: u64_at(bytes, 16),
            durable_upto: u64_at(bytes, 24),
            body_bytes: u32_at(bytes, 32),
            records: u32_at(bytes, 36),
            headers_crc: u32_at(bytes, 40),
        })
    }
}

/// What a record says. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The entry `id` with the payload; everything at or after its index is gone.
    Entry = 1,
    /// The vote `(term, node)`; the flag says committed.
    Vote = 2,
    /// The committed position; none without the flag.
    Committed = 3,
    /// Entries after `index` are gone; all are without the flag.
    Truncate = 4,
    /// Entries up to `id`, inclusive, are gone.
    Purge = 5,
    /// The group exists.
    Create = 6,
    /// The group is gone with all it had.
    Destroy = 7,
    /// The entry `id` stands here now as well; nothing else changes.
    Rewrite = 8,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Entry,
            2 => Self::Vote,
            3 => Self::Committed,
            4 => Self::Truncate,
            5 => Self::Purge,
            6 => Self::Create,
            7 => Self::Destroy,
            8 => Self::Rewrite,
            _ => return None,
        })
    }
}

/// A record without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: Kind,
    pub(crate) flag: u8,
    pub(crate) group: u32,
    pub(crate) id: LogId,
}

/// Returns how many bytes a record takes.
pub(crate) fn record_bytes(payload_bytes: usize) -> usize {
    RECORD_HEADER_BYTES + payload_bytes.next_multiple_of(ALIGNMENT)
}

impl RecordHeader {
    /// Appends the record to a buffer.
    pub(crate) fn encode(&self, payload: &[u8], seed: u32, out: &mut Vec<u8>) {
        let start = out.len();
        let payload_bytes =
            u32::try_from(payload.len()).expect("entries are limited to a quarter of a segment");
        out.extend_from_slice(&payload_bytes.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&[self.kind as u8, self.flag, 0, 0]);
        out.extend_from_slice(&self.group.to_le_bytes());
        out.extend_from_slice(&self.id.term.to_le_bytes());
        out.extend_from_slice(&self.id.node.to_le_bytes());
        out.extend_from_slice(&self.id.index.to_le_bytes());
        out.extend_from_slice(payload);
        out.resize(start + record_bytes(payload.len()), 0);
        let crc = Self::checksum(&out[start..], seed);
        out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    }

    fn checksum(record: &[u8], seed: u32) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(seed, &record[..4]), &record[8..])
    }

    /// Reads the record at the start of the bytes: its header, its payload, and how many bytes it takes.
    ///
    /// Returns nothing when the bytes are too few or damaged.
    pub(crate) fn decode(bytes: &[u8], seed: u32) -> Option<(Self, &[u8], usize)> {
        let header = bytes.get(..RECORD_HEADER_BYTES)?;
        let payload_bytes = u32_at(header, 0) as usize;
        let total = record_bytes(payload_bytes);
        let record = bytes.get(..total)?;
        if u32_at(header, 4) != Self::checksum(record, seed) {
            return None;
        }
        let id = LogId { term: u64_at(header, 16), node: u64_at(header, 24), index: u64_at(header, 32) };
        let kind = Kind::from_byte(header[8])?;
        let parsed = Self { kind, flag: header[9], group: u32_at(header, 12), id };
        Some((parsed, &record[RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + payload_bytes], total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: LogId = LogId { term: 3, node: 2, index: 7 };

    #[test]
    fn the_bytes_of_version_1_never_change() {
        let header = SegmentHeader { epoch: 5, salt: 9, first_lsn: 11, previous_end: 640 };
        assert_eq!(&header.encode()[..16], b"NORNWAL\x01\x05\0\0\0\0\0\0\0");
        let seed = seed_of(5, 9);
        let batch =
            BatchHeader { epoch: 5, lsn: 11, durable_upto: 10, body_bytes: 48, records: 1, headers_crc: 99 };
        let mut bytes = batch.encode(seed).to_vec();
        RecordHeader { kind: Kind::Entry, flag: 0, group: 4, id: ID }.encode(b"hello", seed, &mut bytes);
        let whole = [&header.encode()[..], &bytes].concat();
        assert_eq!(whole.len(), 64 + 48 + 48);
        let hex: String = whole.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
    }

    /// Taken from the first version; a change means that old logs cannot be read.
    const GOLDEN: &str = concat!(
        "4e4f524e57414c01050000000000000009000000000000000b000000000000008002000000000000",
        "00000000000000000000000000000000000000001f7193434e574254bbed55780500000000000000",
        "0b000000000000000a0000000000000030000000010000006300000000000000050000004092b261",
        "010000000400000003000000000000000200000000000000070000000000000068656c6c6f000000",
    );

    #[test]
    fn every_part_is_read_back() {
        let header = SegmentHeader { epoch: 5, salt: 9, first_lsn: 11, previous_end: 640 };
        assert_eq!(SegmentHeader::decode(&header.encode()), Some(header));
        let batch =
            BatchHeader { epoch: 5, lsn: 11, durable_upto: 10, body_bytes: 48, records: 1, headers_crc: 99 };
        assert_eq!(BatchHeader::decode(&batch.encode(77), 5, 77), Some(batch));
        assert_eq!(BatchHeader::decode(&batch.encode(77), 6, 77), None);
        assert_eq!(BatchHeader::decode(&batch.encode(77), 5, 78), None);
        let record = RecordHeader { kind: Kind::Rewrite, flag: 1, group: 4, id: ID };
        let mut bytes = Vec::new();
        record.encode(b"hello", 77, &mut bytes);
        assert_eq!(RecordHeader::decode(&bytes, 77), Some((record, &b"hello"[..], 48)));
        assert_eq!(RecordHeader::decode(&bytes[..47], 77), None);
    }

    #[test]
    fn no_flipped_bit_goes_unnoticed() {
        let record = RecordHeader { kind: Kind::Entry, flag: 0, group: 4, id: ID };
        let mut bytes = Vec::new();
        record.encode(b"hello", 77, &mut bytes);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&damaged, 77), None, "bit {bit}");
        }
    }
}
