//! The blocks that are open: their index in memory, bounded by bytes, the least recently used closed first.

use std::ops::Range;
use std::sync::Arc;

use block::{BlockError, BlockReader, Place, RangeReader};
use model::{BlockId, BlockMeta};
use parking_lot::Mutex;

use crate::cache::{CacheDir, CachedReader, EntryKey};
use crate::joined::Joined;
use crate::lru::Lru;
use crate::metrics::{BlockMetrics, ResultLabel};
use crate::quarantine::Quarantine;

/// Opens blocks and keeps them open while there is room. A closed block that is being read lives until the read ends.
pub(crate) struct Blocks {
    reader: Arc<CachedReader>,
    open: Mutex<Lru<BlockId, BlockReader>>,
    opening: Joined<BlockId, BlockReader>,
    pub(crate) quarantine: Quarantine,
    metrics: BlockMetrics,
}

impl Blocks {
    pub(crate) fn new(
        reader: Arc<CachedReader>,
        bytes_max: u64,
        quarantine: Quarantine,
        metrics: BlockMetrics,
    ) -> Self {
        let open = Mutex::new(Lru::new(bytes_max));
        Self { reader, open, opening: Joined::new(), quarantine, metrics }
    }

    /// Returns an open block; opens it first when it is not. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`BlockReader::open`]; at once when the block is known to be damaged as a whole.
    pub(crate) async fn get(&self, meta: &BlockMeta) -> Result<BlockReader, BlockError> {
        self.quarantine.admit(meta.id)?;
        let opened = self.open(meta).await;
        self.note(meta, opened)
    }

    /// Reads a place of a block that was damaged again, of the store where that is what was damaged.
    ///
    /// # Errors
    /// Those of [`BlockReader::open`] and [`BlockReader::check`].
    pub(crate) async fn check(&self, meta: &BlockMeta, place: &Place) -> Result<(), BlockError> {
        if !place.is_contained() {
            // What is open or cached may be of a time before the damage.
            let closed = self.open.lock().remove(&meta.id);
            drop(closed);
            for (key, range) in opening_reads(meta) {
                self.reader.forget(key, range).await;
            }
        }
        self.open(meta).await?.check(place).await
    }

    /// Returns an open block; opens it first when it is not, also when it was damaged before.
    async fn open(&self, meta: &BlockMeta) -> Result<BlockReader, BlockError> {
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
        let opened = self.opening.run(meta.id, open).await?;
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

    /// Passes a result on, and notes the damage that it tells of.
    pub(crate) fn note<T>(&self, meta: &BlockMeta, result: Result<T, BlockError>) -> Result<T, BlockError> {
        self.quarantine.note(meta, result)
    }
}

/// Returns what [`BlockReader::open`] reads of a block: one object whole, and the end of the other.
pub(crate) fn opening_reads(meta: &BlockMeta) -> [(&str, Range<u64>); 2] {
    let (series, chunks) = (&meta.series_object, &meta.chunks_object);
    let tail_start = chunks.size_bytes.saturating_sub(chunks.tail_bytes);
    [(&series.key, 0..series.size_bytes), (&chunks.key, tail_start..chunks.size_bytes)]
}
