//! The out-of-order samples of one series: a small sorted buffer, and sealed chunks beneath it.
//!
//! Only series that need it have one. A full buffer is merged into the chunks, which therefore never overlap one
//! another; with the series' other chunks they do, and readers merge them.

use model::{SampleValue, Samples};

use crate::chunk_log::{ChunkLog, ChunkStore};
use crate::spool::Spool;

/// How many samples wait in the buffer before they are sealed.
const BUFFER_SAMPLES_MAX: usize = 32;

/// See the module. No timestamp occurs twice in it, nor in it and in the series' other chunks.
#[derive(Debug, Default)]
pub(crate) struct Late {
    waiting: Samples,
    log: ChunkLog,
}

impl Late {
    /// Adds a sample; its time must be a new one.
    pub(crate) fn insert(&mut self, time_ms: i64, start_ms: i64, value: SampleValue, spool: &mut Spool) {
        let position = self.waiting.timestamps.partition_point(|t| *t < time_ms);
        self.waiting.insert(position, time_ms, start_ms, value);
        if self.waiting.len() >= BUFFER_SAMPLES_MAX {
            self.log.insert(&self.waiting, spool);
            self.waiting.clear();
        }
    }

    /// Returns the value of the sample at a time.
    pub(crate) fn find(&self, time_ms: i64, store: &mut ChunkStore) -> Option<SampleValue> {
        if let Ok(position) = self.waiting.timestamps.binary_search(&time_ms) {
            return Some(self.waiting.value(position));
        }
        store.find(&self.log.find(time_ms)?, time_ms)
    }

    /// Returns the samples that wait, in time order.
    pub(crate) fn waiting(&self) -> &Samples {
        &self.waiting
    }

    pub(crate) fn log(&self) -> &ChunkLog {
        &self.log
    }

    pub(crate) fn first_ms(&self) -> Option<i64> {
        self.waiting.timestamps.first().copied().into_iter().chain(self.log.first_ms()).min()
    }

    pub(crate) fn samples(&self) -> u64 {
        self.waiting.len() as u64 + self.log.samples()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.log.is_empty()
    }

    /// Forgets samples before a time, as far as chunks end before it; returns how many.
    pub(crate) fn drop_before(&mut self, end_ms: i64, spool: &mut Spool) -> u64 {
        let old = self.waiting.timestamps.partition_point(|t| *t < end_ms);
        self.waiting.remove(0..old);
        old as u64 + self.log.drop_before(end_ms, spool)
    }

    /// Takes up again what a snapshot holds; `None` when the buffer is longer than it can be or not sorted.
    pub(crate) fn restore(waiting: Samples, log: ChunkLog) -> Option<Self> {
        let fits = waiting.len() < BUFFER_SAMPLES_MAX && waiting.timestamps.is_sorted_by(|a, b| a < b);
        fits.then_some(Self { waiting, log })
    }

    /// Returns how much heap memory it holds.
    pub(crate) fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.waiting.size_bytes() + self.log.size_bytes()
    }
}
