//! One series of the head: its labels as pair ids, its open chunk, its sealed chunks, its out-of-order samples.
//!
//! Life cycle of a sample: 1. appended to the open chunk; 2. sealed with 119 others when the next one comes; 3. dropped
//! with its chunk once the chunk lies wholly in published blocks.
//!
//! Invariants: the open chunk is empty only when the series has no sample, so the newest sample is always its last;
//! out-of-order samples are older than that; no timestamp occurs twice.

use std::sync::Arc;

use bytes::Bytes;
use chunk::{EncodedChunk, OpenChunk, OpenRun};
use model::{FloatHistogram, SampleValue, TimeRange};

use crate::chunk_log::{CHUNK_SAMPLES, ChunkLog, ChunkStore, SealedChunk};
use crate::late::Late;
use crate::spool::Spool;

/// See the module.
#[derive(Debug)]
pub(crate) struct Series {
    /// The stable hash of the label set.
    pub(crate) hash: u64,
    /// The label set, as ids of the index in label order.
    pub(crate) pairs: Box<[u32]>,
    open: OpenRun,
    sealed: ChunkLog,
    late: Option<Box<Late>>,
}

/// Chunks on their way to a reader. Filled under the lock: sealed chunks are shared, others copied into one buffer. Made
/// into [`EncodedChunk`]s after.
#[derive(Default)]
pub(crate) struct ChunkCopies {
    buffer: Vec<u8>,
    chunks: Vec<ChunkCopy>,
}

struct ChunkCopy {
    start_ms: i64,
    end_ms: i64,
    samples: u32,
    data: CopiedData,
}

enum CopiedData {
    Shared(Bytes),
    /// In the buffer, behind the one before, up to here.
    Copied(usize),
}

impl ChunkCopies {
    /// Takes what was appended to the buffer as a chunk.
    fn end_chunk(&mut self, start_ms: i64, end_ms: i64, samples: u32) {
        let data = CopiedData::Copied(self.buffer.len());
        self.chunks.push(ChunkCopy { start_ms, end_ms, samples, data });
    }

    fn push_sealed(&mut self, chunk: &SealedChunk, spool: &Spool) {
        let (start_ms, end_ms, samples) = (chunk.start_ms, chunk.end_ms(), chunk.samples());
        match chunk.shared(spool) {
            Some(data) => {
                self.chunks.push(ChunkCopy { start_ms, end_ms, samples, data: CopiedData::Shared(data) });
            }
            None => {
                self.buffer.extend_from_slice(chunk.data(spool));
                self.end_chunk(start_ms, end_ms, samples);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Turns the copies into chunks; those that were copied share one allocation.
    pub(crate) fn into_chunks(self) -> impl Iterator<Item = EncodedChunk> {
        let buffer = Bytes::from(self.buffer);
        let mut begin = 0;
        self.chunks.into_iter().map(move |ChunkCopy { start_ms, end_ms, samples, data }| {
            let data = match data {
                CopiedData::Shared(data) => data,
                CopiedData::Copied(end) => buffer.slice(std::mem::replace(&mut begin, end)..end),
            };
            EncodedChunk { start_ms, end_ms, samples, data }
        })
    }
}

impl Series {
    pub(crate) fn new(hash: u64, pairs: Box<[u32]>) -> Self {
        let (open, sealed) = (OpenRun::default(), ChunkLog::default());
        Self { hash, pairs, open, sealed, late: None }
    }

    /// Returns the newest sample's time.
    pub(crate) fn newest_ms(&self) -> Option<i64> {
        self.open.last_ms()
    }

    /// Returns the oldest sample's time.
    pub(crate) fn first_ms(&self) -> Option<i64> {
        let in_order = self.sealed.first_ms().or(self.open.first_ms())?;
        let late = self.late.as_ref().and_then(|late| late.first_ms());
        Some(late.map_or(in_order, |late| late.min(in_order)))
    }

    /// Returns from when to when it holds samples that are not dropped; `None` without any.
    pub(crate) fn held(&self, dropped_until_ms: i64) -> Option<TimeRange> {
        let held = TimeRange::new(self.first_ms()?.max(dropped_until_ms), self.newest_ms()?);
        (!held.is_empty()).then_some(held)
    }

    /// Returns how many samples its chunks hold. Linear in their number.
    pub(crate) fn samples(&self) -> u64 {
        let late = self.late.as_ref().map_or(0, |late| late.samples());
        self.sealed.samples() + self.open.len() as u64 + late
    }

    /// Returns how many chunks it has. Linear in their number.
    pub(crate) fn chunks(&self) -> u64 {
        let late = self.late.as_ref();
        let late = late.map_or(0, |late| late.log().chunks().len() + usize::from(!late.waiting().is_empty()));
        (self.sealed.chunks().len() + usize::from(!self.open.is_empty()) + late) as u64
    }

    /// Appends a sample later than the newest.
    pub(crate) fn append(&mut self, time_ms: i64, start_ms: i64, value: SampleValue, store: &mut ChunkStore) {
        // The marker of a float behind a histogram is that of a histogram, as with Prometheus, and joins its chunk.
        let is_behind_histogram = || matches!(self.open.last_value(), Some(SampleValue::Histogram(_)));
        let value = match value {
            SampleValue::Float(float) if model::is_stale(float) && is_behind_histogram() => {
                SampleValue::Histogram(Arc::new(FloatHistogram::stale()))
            }
            value => value,
        };
        if self.open.len() >= CHUNK_SAMPLES || !self.open.takes(start_ms, &value) {
            self.seal(store);
        }
        self.open.append(time_ms, start_ms, value);
    }

    /// Appends a float without a start timestamp, later than the newest sample: [`Series::append`] for what nearly all are.
    pub(crate) fn append_float(&mut self, time_ms: i64, value: f64, store: &mut ChunkStore) {
        match &mut self.open {
            OpenRun::Floats(open) if open.len() < CHUNK_SAMPLES => open.append(time_ms, value),
            _ => self.append(time_ms, 0, SampleValue::Float(value), store),
        }
    }

    fn seal(&mut self, store: &mut ChunkStore) {
        let open = std::mem::take(&mut self.open);
        store.scratch.read(&open.to_encoded().data).expect("an open chunk decodes");
        self.sealed.push(&store.scratch.samples, &mut store.spool);
    }

    /// Adds a sample older than the newest, at a time that has none.
    pub(crate) fn insert_late(&mut self, time_ms: i64, start_ms: i64, value: SampleValue, spool: &mut Spool) {
        self.late.get_or_insert_default().insert(time_ms, start_ms, value, spool);
    }

    /// Returns the value of the sample at a time; decodes a chunk unless it is the newest.
    pub(crate) fn find(&self, time_ms: i64, store: &mut ChunkStore) -> Option<SampleValue> {
        let newest_ms = self.newest_ms()?;
        if time_ms >= newest_ms {
            return self.open.last_value().filter(|_| time_ms == newest_ms);
        }
        let late = self.late.as_ref().and_then(|late| late.find(time_ms, store));
        if late.is_some() {
            return late;
        }
        if self.open.first_ms().is_none_or(|first_ms| time_ms < first_ms) {
            return store.find(&self.sealed.find(time_ms)?, time_ms);
        }
        store.scratch.read(&self.open.to_encoded().data).expect("an open chunk decodes");
        store.scratch.find(time_ms)
    }

    /// Copies the newest sample as a chunk of its own, if it lies in the closed range and is all that is wanted; else the
    /// chunks that share a millisecond with the range.
    pub(crate) fn copy_wanted(
        &self,
        newest_only: bool,
        range: TimeRange,
        spool: &Spool,
        out: &mut ChunkCopies,
    ) {
        let newest = if newest_only { self.newest_float() } else { None };
        match newest.filter(|(time_ms, _)| range.contains(*time_ms)) {
            Some((time_ms, value)) => {
                let mut newest = OpenChunk::new();
                newest.append(time_ms, value);
                newest.write_encoded(&mut out.buffer);
                out.end_chunk(time_ms, time_ms, 1);
            }
            None => self.copy_chunks(range, spool, out),
        }
    }

    /// Returns the newest sample where it is a float of which no start is known.
    fn newest_float(&self) -> Option<(i64, f64)> {
        match &self.open {
            OpenRun::Floats(chunk) => Some((chunk.last_ms()?, chunk.last_value()?)),
            OpenRun::Wide(_) => None,
        }
    }

    /// Copies the chunks that share a millisecond with the range.
    pub(crate) fn copy_chunks(&self, range: TimeRange, spool: &Spool, out: &mut ChunkCopies) {
        let (start_ms, end_ms) = (range.start.0, range.end.0);
        let late = self.late.as_deref();
        let sealed = self.sealed.chunks().iter().chain(late.into_iter().flat_map(|late| late.log().chunks()));
        for chunk in sealed.filter(|chunk| chunk.start_ms <= end_ms && chunk.end_ms() >= start_ms) {
            out.push_sealed(chunk, spool);
        }
        if let Some(late) = late {
            let (waiting, mut open) = (late.waiting(), OpenRun::default());
            for (at, time_ms) in waiting.timestamps.iter().enumerate() {
                let (sample_start_ms, value) = (waiting.start(at), waiting.value(at));
                if !open.takes(sample_start_ms, &value) {
                    copy_open(&open, start_ms, end_ms, out);
                    open = OpenRun::default();
                }
                open.append(*time_ms, sample_start_ms, value);
            }
            copy_open(&open, start_ms, end_ms, out);
        }
        copy_open(&self.open, start_ms, end_ms, out);
    }

    /// Forgets chunks that end before a time; returns how many samples they held.
    pub(crate) fn drop_before(&mut self, end_ms: i64, spool: &mut Spool) -> u64 {
        let mut samples = self.sealed.drop_before(end_ms, spool);
        if let Some(late) = &mut self.late {
            samples += late.drop_before(end_ms, spool);
            self.late.take_if(|late| late.is_empty());
        }
        if self.open.last_ms().is_some_and(|last_ms| last_ms < end_ms) {
            samples += self.open.len() as u64;
            self.open = OpenRun::default();
        }
        samples
    }

    /// Returns how much heap memory it holds.
    pub(crate) fn size_bytes(&self) -> usize {
        let late = self.late.as_ref().map_or(0, |late| late.size_bytes());
        self.open.size_bytes() + self.sealed.size_bytes() + late
    }

    pub(crate) fn open(&self) -> &OpenRun {
        &self.open
    }

    pub(crate) fn sealed(&self) -> &ChunkLog {
        &self.sealed
    }

    pub(crate) fn late(&self) -> Option<&Late> {
        self.late.as_deref()
    }

    /// Puts back what a snapshot holds. The caller has checked each part.
    pub(crate) fn restore(&mut self, open: OpenRun, sealed: ChunkLog, late: Option<Late>) {
        (self.open, self.sealed, self.late) = (open, sealed, late.map(Box::new));
    }
}

fn copy_open(open: &OpenRun, start_ms: i64, end_ms: i64, out: &mut ChunkCopies) {
    let (Some(first_ms), Some(last_ms)) = (open.first_ms(), open.last_ms()) else { return };
    if first_ms <= end_ms && last_ms >= start_ms {
        open.write_encoded(&mut out.buffer);
        out.end_chunk(first_ms, last_ms, open.len() as u32);
    }
}
