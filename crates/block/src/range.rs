//! Ranged reads: the port through which a block's bytes come, and the merging of reads that lie close together.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use crate::error::BlockError;
use crate::place::Place;
use crate::upload::with_retries;

/// Two parts with at most so many unneeded bytes between them are read together: bytes are cheaper than requests.
const GAP_BYTES_MAX: u64 = 256 << 10;
/// No single read is longer, unless one part is: reads of one query run in parallel.
const READ_BYTES_MAX: u64 = 8 << 20;

/// Where a block's bytes come from: the object store itself, or a cache in front of it.
#[async_trait]
pub trait RangeReader: Send + Sync {
    /// Reads the bytes of `range` (half-open, not empty) of the object `key`. Cancel-safe.
    ///
    /// # Errors
    /// Kind `NotFound` when there is no such object, `Unavailable` when the store does not answer.
    async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes, BlockError>;

    /// Reads parts of the object `key`, which ascend and do not overlap, and returns the bytes of each. The caller has
    /// put together what is worth one request; a cache keeps each part by itself and asks only for those it lacks.
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`RangeReader::read`]; `Corrupt` when the object ends before a part does.
    async fn read_parts(&self, key: &str, parts: &[Range<u64>]) -> Result<Vec<Bytes>, BlockError> {
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Ok(Vec::new()) };
        let whole = first.start..last.end;
        let bytes = read_exact(self, key, whole.clone()).await?;
        Ok(parts.iter().map(|part| slice(&bytes, &whole, part)).collect())
    }

    /// Drops what is kept of such bytes, since they did not match their checksums: the next read asks the store itself.
    ///
    /// A reader that keeps nothing has nothing to do.
    async fn forget(&self, _key: &str, _range: Range<u64>) {}
}

/// Returns a part of the bytes of a range that holds it; shares them.
///
/// # Panics
/// When the part lies outside of the range.
pub fn slice(bytes: &Bytes, range: &Range<u64>, part: &Range<u64>) -> Bytes {
    bytes.slice((part.start - range.start) as usize..(part.end - range.start) as usize)
}

/// Reads straight from the object store; transient failures are tried again a few times.
pub struct ObjectStoreReader {
    store: Arc<dyn ObjectStore>,
}

impl ObjectStoreReader {
    /// Reads from `store`.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl RangeReader for ObjectStoreReader {
    async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes, BlockError> {
        let path = Path::from(key);
        with_retries(|| async {
            let read = self.store.get_range(&path, range.clone()).await;
            read.map_err(|e| BlockError::store("reading", key, e))
        })
        .await
    }
}

/// Reads a range and insists on its length.
///
/// # Errors
/// As [`RangeReader::read`]; `Corrupt` when the object ends before the range does.
pub async fn read_exact<R: RangeReader + ?Sized>(
    reader: &R,
    key: &str,
    range: Range<u64>,
) -> Result<Bytes, BlockError> {
    let expected = range.end - range.start;
    let bytes = reader.read(key, range.clone()).await?;
    if bytes.len() as u64 != expected {
        let place = Place::Bytes { start: range.start, end: range.end };
        return Err(BlockError::corrupt(key, place, format!("{} bytes, expected {expected}", bytes.len())));
    }
    Ok(bytes)
}

/// Puts parts of an object, which ascend, into groups that are worth one request each: no gap within a group exceeds
/// 256 KiB, and no group 8 MiB but for one part that does so alone. Returns each group as a range of positions.
pub fn coalesce(parts: impl IntoIterator<Item = Range<u64>>) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut open = 0..0;
    for (position, part) in parts.into_iter().enumerate() {
        match groups.last_mut() {
            Some(group)
                if part.start.saturating_sub(open.end) <= GAP_BYTES_MAX
                    && part.end - open.start <= READ_BYTES_MAX =>
            {
                open.end = part.end;
                group.end = position + 1;
            }
            _ => {
                open = part;
                groups.push(position..position + 1);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(parts: &[Range<u64>]) -> Vec<Range<u64>> {
        let groups = coalesce(parts.iter().cloned());
        groups.into_iter().map(|group| parts[group.start].start..parts[group.end - 1].end).collect()
    }

    #[test]
    fn parts_within_the_gap_are_read_together() {
        assert_eq!(reads(&[]), []);
        assert_eq!(reads(&[4..10, 10..20, 1 << 30..2 << 30]), [4..20, 1 << 30..2 << 30]);
        assert_eq!(reads(&[0..10, 10 + GAP_BYTES_MAX..20 + GAP_BYTES_MAX]).len(), 1);
        assert_eq!(reads(&[0..10, 11 + GAP_BYTES_MAX..20 + GAP_BYTES_MAX]).len(), 2);
    }

    #[test]
    fn no_read_grows_beyond_the_limit_but_for_one_large_part() {
        let mib = 1 << 20;
        let pages: Vec<Range<u64>> = (0..20).map(|i| i * mib..(i + 1) * mib).collect();
        assert_eq!(reads(&pages), [0..8 * mib, 8 * mib..16 * mib, 16 * mib..20 * mib]);
        assert_eq!(reads(&[0..9 * mib, 9 * mib..10 * mib]).len(), 2);
    }
}
