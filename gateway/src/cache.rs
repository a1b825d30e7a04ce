//! The cache on disk: ranges of objects, each in a file of its own, in front of the object store.
//!
//! Objects of blocks never change, so entries never go stale; the least recently used go when room is needed. What is read
//! from disk is checked by its checksum, and fetched anew when that fails. When the disk is full or cannot be written, reads
//! go on without the cache: counted, and logged once until it works again.

mod dir;
mod entry;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use block::{BlockError, RangeReader};
use bytes::Bytes;

pub(crate) use dir::CacheDir;
pub(crate) use entry::EntryKey;

use crate::joined::Joined;
use crate::metrics::{CacheMetrics, ResultLabel};

/// Reads through the cache. Equal reads at the same time are joined, also without a cache.
pub(crate) struct CachedReader {
    inner: Arc<dyn RangeReader>,
    dir: Option<Arc<CacheDir>>,
    joined: Joined<EntryKey, Bytes>,
    metrics: CacheMetrics,
}

impl CachedReader {
    pub(crate) fn new(inner: Arc<dyn RangeReader>, dir: Option<CacheDir>, metrics: CacheMetrics) -> Self {
        Self { inner, dir: dir.map(Arc::new), joined: Joined::new(), metrics }
    }

    /// Removes all entries of an object: what the store gave did not belong to the block.
    pub(crate) async fn forget(&self, object: &str) {
        if let Some(dir) = self.dir.clone() {
            let object = object.to_owned();
            // A failure is counted by the directory itself; the entries are out of its index in any case.
            let _ = tokio::task::spawn_blocking(move || dir.forget(&object)).await;
        }
    }
}

#[async_trait]
impl RangeReader for CachedReader {
    async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes, BlockError> {
        let entry = EntryKey::new(key, range);
        let (inner, dir, metrics) = (Arc::clone(&self.inner), self.dir.clone(), self.metrics.clone());
        let read = entry.clone();
        self.joined.run(entry, || read_through(inner, dir, metrics, read)).await
    }
}

async fn read_through(
    inner: Arc<dyn RangeReader>,
    dir: Option<Arc<CacheDir>>,
    metrics: CacheMetrics,
    entry: EntryKey,
) -> Result<Bytes, BlockError> {
    let Some(dir) = dir else { return inner.read(&entry.object, entry.range()).await };
    let (cache, key) = (Arc::clone(&dir), entry.clone());
    let cached = tokio::task::spawn_blocking(move || cache.load(&key)).await.ok().flatten();
    let result = if cached.is_some() { "hit" } else { "miss" };
    metrics.reads.get_or_create(&ResultLabel { result }).inc();
    if let Some(bytes) = cached {
        return Ok(bytes);
    }
    let bytes = inner.read(&entry.object, entry.range()).await?;
    let stored = bytes.clone();
    // Waiting bounds how many writes run; the answer does not depend on it.
    let _ = tokio::task::spawn_blocking(move || dir.store(&entry, &stored)).await;
    Ok(bytes)
}
