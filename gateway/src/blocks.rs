//! The blocks that are open: their index in memory, bounded by bytes, the least recently used closed first.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use block::{BlockError, BlockReader, RangeReader};
use model::{BlockId, BlockMeta, ErrorKind};
use parking_lot::Mutex;

use crate::cache::{CacheDir, CachedReader, EntryKey};
use crate::joined::Joined;
use crate::lru::Lru;
use crate::metrics::{BlockMetrics, ResultLabel};

/// Opens blocks and keeps them open while there is room. A closed block that is being read lives until the read ends.
pub(crate) struct Blocks {
    reader: Arc<CachedReader>,
    open: Mutex<Lru<BlockId, BlockReader>>,
    opening: Joined<BlockId, BlockReader>,
    /// Blocks whose last read found damage; bounded by the blocks of the catalogue.
    damaged: Mutex<BTreeSet<BlockId>>,
    metrics: BlockMetrics,
}

impl Blocks {
    pub(crate) fn new(reader: Arc<CachedReader>, bytes_max: u64, metrics: BlockMetrics) -> Self {
        let open = Mutex::new(Lru::new(bytes_max));
        Self { reader, open, opening: Joined::new(), damaged: Mutex::default(), metrics }
    }

    /// Returns an open block; opens it first when it is not. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`BlockReader::open`].
    pub(crate) async fn get(&self, meta: &BlockMeta) -> Result<BlockReader, BlockError> {
        if let Some(open) = self.open.lock().get(&meta.id) {
            return Ok(open.clone());
        }
        let reader: Arc<dyn RangeReader> = Arc::clone(&self.reader) as _;
        let (asked, opens) = (meta.clone(), self.metrics.opens.clone());
        let open = || async move {
            let opened = BlockReader::open(reader, asked).await;
            let result = if opened.is_ok() { "ok" } else { "failed" };
            opens.get_or_create(&ResultLabel { result }).inc();
            opened
        };
        let opened = self.opening.run(meta.id, open).await;
        if opened.is_err() {
            return self.note(meta, opened).await;
        }
        let opened = opened?;
        let mut open = self.open.lock();
        let closed = open.insert(meta.id, opened.clone(), opened.memory_bytes() as u64);
        self.metrics.open.set(open.len() as i64);
        self.metrics.open_bytes.set(open.weight() as i64);
        drop(open);
        // Freeing a large index takes time: not under the lock.
        drop(closed);
        Ok(opened)
    }

    /// Puts what opening a block takes into the cache on disk, without opening it. Nothing happens without such a cache.
    ///
    /// # Errors
    /// Those of [`RangeReader::read`].
    pub(crate) async fn fetch(&self, meta: &BlockMeta) -> Result<(), BlockError> {
        let Some(dir) = self.reader.dir() else { return Ok(()) };
        for (key, range) in opening_reads(meta) {
            if !dir.contains(&EntryKey::new(key, range.clone())) {
                self.reader.read(key, range).await?;
            }
        }
        Ok(())
    }

    /// Returns the cache on disk, if there is one.
    pub(crate) fn cache_dir(&self) -> Option<&Arc<CacheDir>> {
        self.reader.dir()
    }

    /// Passes a result on. When bytes of the block were damaged, that is logged once, and the next read asks the object
    /// store again instead of the cache.
    pub(crate) async fn note<T>(
        &self,
        meta: &BlockMeta,
        result: Result<T, BlockError>,
    ) -> Result<T, BlockError> {
        let damage = result.as_ref().err().filter(|error| error.kind() == ErrorKind::Corrupt);
        match damage {
            Some(error) => {
                if self.damaged.lock().insert(meta.id) {
                    tracing::error!(block = %meta.id, %error, "a block is damaged: restore its object, queries of it fail");
                }
                self.open.lock().remove(&meta.id);
                self.reader.forget(&meta.series_object.key).await;
                self.reader.forget(&meta.chunks_object.key).await;
            }
            None if result.is_ok() => {
                self.damaged.lock().remove(&meta.id);
            }
            None => {}
        }
        self.metrics.damaged.set(self.damaged.lock().len() as i64);
        result
    }
}

/// Returns what [`BlockReader::open`] reads of a block: one object whole, and the end of the other.
pub(crate) fn opening_reads(meta: &BlockMeta) -> [(&str, Range<u64>); 2] {
    let (series, chunks) = (&meta.series_object, &meta.chunks_object);
    let tail_start = chunks.size_bytes.saturating_sub(chunks.tail_bytes);
    [(&series.key, 0..series.size_bytes), (&chunks.key, tail_start..chunks.size_bytes)]
}
