//! One entry of the cache: its name and its bytes. Specified in `docs/formats/gateway-cache.md`.
//!
//! ```text
//! file name: <xxh3-64 of the object's key, 16 hex>-<start>-<end>      below a folder of the first two digits
//! content:   "NGC1" | key length u32 LE | key | start u64 LE | end u64 LE | bytes | crc32c u32 LE of all before
//! ```

use std::ops::Range;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 4] = b"NGC1";
const CRC_BYTES: usize = 4;

/// A range of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EntryKey {
    pub(crate) object: String,
    start: u64,
    end: u64,
}

/// What a file's name tells: enough to find an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EntryName {
    object_hash: u64,
    start: u64,
    end: u64,
}

impl EntryKey {
    pub(crate) fn new(object: &str, range: Range<u64>) -> Self {
        Self { object: object.to_owned(), start: range.start, end: range.end }
    }

    pub(crate) fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    pub(crate) fn name(&self) -> EntryName {
        EntryName { object_hash: object_hash(&self.object), start: self.start, end: self.end }
    }

    /// Returns the bytes in front of the payload.
    fn header(&self) -> Vec<u8> {
        let mut header = Vec::with_capacity(24 + self.object.len());
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&(self.object.len() as u32).to_le_bytes());
        header.extend_from_slice(self.object.as_bytes());
        header.extend_from_slice(&self.start.to_le_bytes());
        header.extend_from_slice(&self.end.to_le_bytes());
        header
    }

    /// Returns what stands before and after the payload in the file.
    pub(crate) fn frame(&self, payload: &[u8]) -> (Vec<u8>, [u8; CRC_BYTES]) {
        let header = self.header();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header), payload);
        (header, crc.to_le_bytes())
    }

    /// Returns the payload of a file, if the file is whole and of this entry.
    pub(crate) fn payload(&self, file: &Bytes) -> Option<Bytes> {
        let (body, crc) = file.split_last_chunk::<CRC_BYTES>()?;
        let header = self.header();
        let whole = crc32c::crc32c(body) == u32::from_le_bytes(*crc) && body.starts_with(&header);
        let payload = whole.then(|| file.slice(header.len()..body.len()))?;
        (payload.len() as u64 == self.end.checked_sub(self.start)?).then_some(payload)
    }
}

/// Returns the hash by which an object's entries are found.
fn object_hash(object: &str) -> u64 {
    xxh3_64(object.as_bytes())
}

impl EntryName {
    /// Returns the folder and the file.
    pub(crate) fn path(self) -> (String, String) {
        let Self { object_hash, start, end } = self;
        (format!("{:02x}", object_hash >> 56), format!("{object_hash:016x}-{start}-{end}"))
    }

    /// Returns a number that stands for the name; two names share one once in 2^64.
    pub(crate) fn fingerprint(self) -> u64 {
        let numbers = [self.object_hash, self.start, self.end].map(u64::to_le_bytes);
        xxh3_64(numbers.as_flattened())
    }

    /// Reads a file's name; `None` when it is not one of ours.
    pub(crate) fn parse(file: &str) -> Option<Self> {
        let (hash, range) = file.split_once('-')?;
        let (start, end) = range.split_once('-')?;
        let object_hash = u64::from_str_radix(hash, 16).ok()?;
        let name = Self { object_hash, start: start.parse().ok()?, end: end.parse().ok()? };
        (name.path().1 == file).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_not_ours() {
        let name = EntryKey::new("b/39/x/chunks.parquet", 4..65_540).name();
        let (folder, file) = name.path();
        assert!(file.starts_with(&folder) && file.ends_with("-4-65540"), "{file}");
        assert_eq!(EntryName::parse(&file), Some(name));
        for other in ["", "readme.md", "0-1-2", "00000000000000ff-1-2.3.tmp", "00000000000000FF-1-2"] {
            assert_eq!(EntryName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn only_the_whole_file_of_the_same_entry_has_a_payload() {
        let key = EntryKey::new("object", 10..15);
        let (header, crc) = key.frame(b"hello");
        let file = Bytes::from([&header[..], b"hello", &crc].concat());
        assert_eq!(key.payload(&file).as_deref(), Some(&b"hello"[..]));
        assert_eq!(EntryKey::new("object", 11..16).payload(&file), None);
        assert_eq!(EntryKey::new("objekt", 10..15).payload(&file), None);
        for position in 0..file.len() {
            let mut damaged = file.to_vec();
            damaged[position] ^= 1;
            assert_eq!(key.payload(&damaged.into()), None, "byte {position}");
            assert_eq!(key.payload(&file.slice(..position)), None, "cut at {position}");
        }
    }
}
