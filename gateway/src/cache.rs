//! The cache in front of the object store: pages in memory and on disk, whole series objects and tails on disk.
//!
//! Objects of blocks never change, so entries never go stale; the least recently used go when room is needed. A page is kept
//! from its second use on (`memory`), so that reading through a year once evicts nothing; what opening a block takes is kept
//! from the first. What is read from disk is checked by its checksum, and fetched anew when that fails. When the disk is full
//! or cannot be written, reads go on without it: counted, and logged once until it works again.
//!
//! What a query lacks of pages that lie close together is asked for in as few requests as if there were no cache, and equal
//! requests at the same time are one.

mod dir;
mod entry;
mod memory;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use block::{BlockError, RangeReader, coalesce, read_exact, slice};
use bytes::Bytes;
use futures::future::try_join_all;

pub(crate) use dir::CacheDir;
pub(crate) use entry::EntryKey;
pub(crate) use memory::{PageMemory, Use};

use crate::joined::Joined;
use crate::metrics::CacheMetrics;

/// Reads through the cache. Equal reads at the same time are joined, also without a cache.
pub(crate) struct CachedReader {
    inner: Arc<dyn RangeReader>,
    memory: PageMemory,
    dir: Option<Arc<CacheDir>>,
    joined: Joined<EntryKey, Bytes>,
    metrics: CacheMetrics,
}

impl CachedReader {
    pub(crate) fn new(
        inner: Arc<dyn RangeReader>,
        memory: PageMemory,
        dir: Option<Arc<CacheDir>>,
        metrics: CacheMetrics,
    ) -> Self {
        Self { inner, memory, dir, joined: Joined::new(), metrics }
    }

    /// Returns the cache on disk, if there is one.
    pub(crate) fn dir(&self) -> Option<&Arc<CacheDir>> {
        self.dir.as_ref()
    }

    /// Takes from memory what is there, and lists what was now used for the second time.
    fn read_memory(&self, keys: &[EntryKey], found: &mut [Option<Bytes>]) -> Vec<(EntryKey, Bytes)> {
        let mut second = Vec::new();
        for (key, place) in keys.iter().zip(found) {
            let Some((bytes, usage)) = self.memory.get(key.name()) else { continue };
            if usage == Use::Second {
                second.push((key.clone(), bytes.clone()));
            }
            *place = Some(bytes);
            self.metrics.memory_hits.inc();
        }
        second
    }

    /// Takes from disk what is there of what is missing.
    async fn read_disk(&self, keys: &[EntryKey], found: &mut [Option<Bytes>]) {
        let missing = missing_of(keys, found);
        let Some(dir) = self.dir.clone().filter(|_| !missing.is_empty()) else { return };
        let load = move || missing.into_iter().map(|(at, key)| (at, dir.load(&key))).collect::<Vec<_>>();
        for (at, bytes) in tokio::task::spawn_blocking(load).await.unwrap_or_default() {
            if let Some(bytes) = bytes {
                self.metrics.disk_hits.inc();
                self.memory.keep(keys[at].name(), bytes.clone());
                found[at] = Some(bytes);
            }
        }
    }

    /// Asks the store for what is missing; adds what was now used for the second time to `second`.
    async fn read_store(
        &self,
        keys: &[EntryKey],
        found: &mut [Option<Bytes>],
        second: &mut Vec<(EntryKey, Bytes)>,
    ) -> Result<(), BlockError> {
        let missing = missing_of(keys, found);
        self.metrics.misses.inc_by(missing.len() as u64);
        let groups = coalesce(missing.iter().map(|(_, key)| key.range()));
        let reads = groups.into_iter().map(|group| {
            let missing = &missing[group];
            let whole = missing[0].1.range().start..missing[missing.len() - 1].1.range().end;
            async move {
                let request = EntryKey::new(&missing[0].1.object, whole.clone());
                let (inner, asked) = (Arc::clone(&self.inner), request.clone());
                let read = || async move { read_exact(&*inner, &asked.object, asked.range()).await };
                Ok::<_, BlockError>((missing, whole, self.joined.run(request, read).await?))
            }
        });
        for (missing, whole, bytes) in try_join_all(reads).await? {
            for (at, key) in missing {
                let part = slice(&bytes, &whole, &key.range());
                if self.memory.admit(key.name(), &part) == Use::Second {
                    second.push((key.clone(), part.clone()));
                }
                found[*at] = Some(part);
            }
        }
        Ok(())
    }

    async fn store(&self, entries: Vec<(EntryKey, Bytes)>) {
        let Some(dir) = self.dir.clone().filter(|_| !entries.is_empty()) else { return };
        let store = move || entries.iter().for_each(|(key, bytes)| dir.store(key, bytes));
        // Waiting bounds how many writes run; the answer does not depend on it.
        let _ = tokio::task::spawn_blocking(store).await;
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

    async fn read_parts(&self, key: &str, parts: &[Range<u64>]) -> Result<Vec<Bytes>, BlockError> {
        let keys: Vec<EntryKey> = parts.iter().map(|part| EntryKey::new(key, part.clone())).collect();
        let mut found: Vec<Option<Bytes>> = vec![None; keys.len()];
        let mut second = self.read_memory(&keys, &mut found);
        self.read_disk(&keys, &mut found).await;
        self.read_store(&keys, &mut found, &mut second).await?;
        self.metrics.memory_bytes.set(self.memory.bytes() as i64);
        self.store(second).await;
        Ok(found.into_iter().map(|bytes| bytes.expect("the store gave what was missing")).collect())
    }

    async fn forget(&self, key: &str, range: Range<u64>) {
        let name = EntryKey::new(key, range).name();
        self.memory.forget(name);
        if let Some(dir) = self.dir.clone() {
            // A failure is counted by the directory itself; the entry is out of its index in any case.
            let _ = tokio::task::spawn_blocking(move || dir.forget(name)).await;
        }
    }
}

fn missing_of(keys: &[EntryKey], found: &[Option<Bytes>]) -> Vec<(usize, EntryKey)> {
    let missing = keys.iter().zip(found).enumerate().filter(|(_, (_, bytes))| bytes.is_none());
    missing.map(|(at, (key, _))| (at, key.clone())).collect()
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
    if let Some(bytes) = cached {
        metrics.disk_hits.inc();
        return Ok(bytes);
    }
    metrics.misses.inc();
    let bytes = inner.read(&entry.object, entry.range()).await?;
    let stored = bytes.clone();
    // Waiting bounds how many writes run; the answer does not depend on it.
    let _ = tokio::task::spawn_blocking(move || dir.store(&entry, &stored)).await;
    Ok(bytes)
}
