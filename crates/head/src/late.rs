//! The out-of-order samples of one series: a small sorted buffer, and sealed chunks beneath it.
//!
//! Only series that need it have one. A full buffer is merged into the chunks, which therefore never overlap one
//! another; with the series' other chunks they do, and readers merge them.

use crate::chunk_log::{ChunkLog, Scratch};

/// How many samples wait in the buffer before they are sealed.
const BUFFER_SAMPLES_MAX: usize = 32;

/// See the module. No timestamp occurs twice in it, nor in it and in the series' other chunks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Late {
    timestamps: Vec<i64>,
    values: Vec<f64>,
    log: ChunkLog,
}

impl Late {
    /// Adds a sample; its time must be a new one.
    pub(crate) fn insert(&mut self, time_ms: i64, value: f64, scratch: &mut Scratch) {
        let position = self.timestamps.partition_point(|t| *t < time_ms);
        self.timestamps.insert(position, time_ms);
        self.values.insert(position, value);
        if self.timestamps.len() >= BUFFER_SAMPLES_MAX {
            self.log.insert(&self.timestamps, &self.values, scratch);
            self.timestamps.clear();
            self.values.clear();
        }
    }

    /// Returns the bits of the sample at a time.
    pub(crate) fn find(&self, time_ms: i64, scratch: &mut Scratch) -> Option<u64> {
        if let Ok(position) = self.timestamps.binary_search(&time_ms) {
            return Some(self.values[position].to_bits());
        }
        let entry = self.log.find(time_ms)?;
        scratch.read(entry.data).expect("chunks are checked when they enter the head");
        scratch.find(time_ms)
    }

    /// Returns the samples that wait, in time order.
    pub(crate) fn buffer(&self) -> (&[i64], &[f64]) {
        (&self.timestamps, &self.values)
    }

    pub(crate) fn log(&self) -> &ChunkLog {
        &self.log
    }

    pub(crate) fn first_ms(&self) -> Option<i64> {
        self.timestamps.first().copied().into_iter().chain(self.log.first_ms()).min()
    }

    pub(crate) fn samples(&self) -> u64 {
        self.timestamps.len() as u64 + self.log.samples()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.timestamps.is_empty() && self.log.is_empty()
    }

    /// Forgets samples before a time, as far as chunks end before it; returns how many.
    pub(crate) fn drop_before(&mut self, end_ms: i64) -> u64 {
        let old = self.timestamps.partition_point(|t| *t < end_ms);
        self.timestamps.drain(..old);
        self.values.drain(..old);
        old as u64 + self.log.drop_before(end_ms)
    }

    /// Takes up again what a snapshot holds; `None` when the buffer is longer than it can be or not sorted.
    pub(crate) fn restore(timestamps: Vec<i64>, values: Vec<f64>, log: ChunkLog) -> Option<Self> {
        let fits = timestamps.len() < BUFFER_SAMPLES_MAX && timestamps.len() == values.len();
        (fits && timestamps.is_sorted_by(|a, b| a < b)).then_some(Self { timestamps, values, log })
    }

    /// Returns how much heap memory it holds.
    pub(crate) fn size_bytes(&self) -> usize {
        size_of::<Self>() + 8 * (self.timestamps.capacity() + self.values.capacity()) + self.log.size_bytes()
    }
}
