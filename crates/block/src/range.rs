//! Ranged reads: the port through which a block's bytes come, and the merging of reads that lie close together.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use crate::chunks::Page;
use crate::error::BlockError;
use crate::upload::with_retries;

/// Two pages with at most so many unneeded bytes between them are read together: bytes are cheaper than requests.
const GAP_BYTES_MAX: u64 = 256 << 10;
/// No single read is longer, so that reads of one query run in parallel.
const READ_BYTES_MAX: u64 = 8 << 20;

/// Where a block's bytes come from: the object store itself, or a cache in front of it.
#[async_trait]
pub trait RangeReader: Send + Sync {
    /// Reads the bytes of `range` (half-open, not empty) of the object `key`. Cancel-safe.
    ///
    /// # Errors
    /// Kind `NotFound` when there is no such object, `Unavailable` when the store does not answer.
    async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes, BlockError>;
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
pub(crate) async fn read_exact(
    reader: &dyn RangeReader,
    key: &str,
    range: Range<u64>,
) -> Result<Bytes, BlockError> {
    let expected = range.end - range.start;
    let bytes = reader.read(key, range.clone()).await?;
    if bytes.len() as u64 != expected {
        let place = format!("bytes {} to {}", range.start, range.end);
        return Err(BlockError::corrupt(key, place, format!("{} bytes, expected {expected}", bytes.len())));
    }
    Ok(bytes)
}

/// One read with the pages that are wanted of it, each with those of its rows that are wanted.
#[derive(Debug, PartialEq)]
pub(crate) struct Fetch {
    pub(crate) bytes: Range<u64>,
    pub(crate) pages: Vec<(Page, Vec<u32>)>,
}

/// Merges pages, which come in file order, into reads.
pub(crate) fn coalesce<'a>(pages: impl IntoIterator<Item = (&'a Page, Vec<u32>)>) -> Vec<Fetch> {
    let mut fetches: Vec<Fetch> = Vec::new();
    for (page, rows) in pages {
        let entry = (page.clone(), rows);
        match fetches.last_mut() {
            Some(fetch)
                if page.bytes.start.saturating_sub(fetch.bytes.end) <= GAP_BYTES_MAX
                    && page.bytes.end - fetch.bytes.start <= READ_BYTES_MAX =>
            {
                fetch.bytes.end = page.bytes.end;
                fetch.pages.push(entry);
            }
            _ => fetches.push(Fetch { bytes: page.bytes.clone(), pages: vec![entry] }),
        }
    }
    fetches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(pages: &[Range<u64>]) -> Vec<Range<u64>> {
        let pages: Vec<Page> = pages.iter().map(|bytes| Page::at(bytes.clone())).collect();
        coalesce(pages.iter().map(|page| (page, vec![0]))).into_iter().map(|fetch| fetch.bytes).collect()
    }

    #[test]
    fn pages_within_the_gap_are_read_together() {
        assert_eq!(reads(&[]), []);
        assert_eq!(reads(&[4..10, 10..20, 1 << 30..2 << 30]), [4..20, 1 << 30..2 << 30]);
        assert_eq!(reads(&[0..10, 10 + GAP_BYTES_MAX..20 + GAP_BYTES_MAX]).len(), 1);
        assert_eq!(reads(&[0..10, 11 + GAP_BYTES_MAX..20 + GAP_BYTES_MAX]).len(), 2);
    }

    #[test]
    fn no_read_grows_beyond_the_limit_but_for_one_large_page() {
        let mib = 1 << 20;
        let pages: Vec<Range<u64>> = (0..20).map(|i| i * mib..(i + 1) * mib).collect();
        assert_eq!(reads(&pages), [0..8 * mib, 8 * mib..16 * mib, 16 * mib..20 * mib]);
        assert_eq!(reads(&[0..9 * mib, 9 * mib..10 * mib]).len(), 2);
    }
}
