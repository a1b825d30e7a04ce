//! The sealed chunks of one series, in time order and without overlap: where each lies in the spool, and what must be known
//! of it without reading it.
//!
//! In a snapshot each chunk lies behind a header: first and last timestamp (i64), length (u16) and number
//! of samples (u8), little endian; a length that does not fit, as histograms may have, follows (u32).

use std::ops::Range;

use bytes::Bytes;
use chunk::{ChunkError, EncodedChunk, encode_run, runs};
use model::{SampleValue, Samples};

use crate::spool::{Place, Spool};

/// The most samples a sealed chunk of the head holds; Prometheus's number, so that boundaries look familiar.
pub(crate) const CHUNK_SAMPLES: usize = 120;

/// Stands for a length that follows the header.
const LENGTH_FOLLOWS: u16 = u16::MAX;

/// The longest chunk in bytes: its length shares 32 bits with the number of samples.
const LENGTH_MAX: usize = (1 << 24) - 1;

/// See the module. Its chunks are given back to their spool one by one, as [`ChunkLog::drop_before`] does.
#[derive(Debug, Default)]
pub(crate) struct ChunkLog(Vec<SealedChunk>);

/// One chunk of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SealedChunk {
    pub(crate) start_ms: i64,
    /// From the first sample to the last.
    span_ms: u32,
    place: Place,
    /// Length in bytes, and the number of samples in the lowest 8 bits.
    size: u32,
}

impl SealedChunk {
    /// Returns the last sample's time.
    pub(crate) fn end_ms(&self) -> i64 {
        self.start_ms + i64::from(self.span_ms)
    }

    pub(crate) fn samples(&self) -> u32 {
        self.size & 0xff
    }

    fn length(&self) -> usize {
        (self.size >> 8) as usize
    }

    /// Returns the chunk itself.
    pub(crate) fn data<'a>(&self, spool: &'a Spool) -> &'a [u8] {
        spool.bytes(self.place, self.length())
    }

    /// Returns the chunk itself, to keep; `None` while it must be copied.
    pub(crate) fn shared(&self, spool: &Spool) -> Option<Bytes> {
        spool.shared(self.place, self.length())
    }
}

/// Sealed chunks' bytes, and what is needed to make and to read them.
#[derive(Debug)]
pub(crate) struct ChunkStore {
    pub(crate) spool: Spool,
    pub(crate) scratch: Scratch,
}

impl ChunkStore {
    pub(crate) fn new(spool: Spool) -> Self {
        Self { spool, scratch: Scratch::default() }
    }

    /// Returns the value of the sample of a chunk at a time. Chunks were checked when they entered the head: should a file
    /// of this machine have changed since, this replica can no longer tell what to do, and stops.
    pub(crate) fn find(&mut self, chunk: &SealedChunk, time_ms: i64) -> Option<SampleValue> {
        self.scratch.read(chunk.data(&self.spool)).expect("chunks are checked when they enter the head");
        self.scratch.find(time_ms)
    }
}

/// Reused memory for decoded samples.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) samples: Samples,
}

impl Scratch {
    /// Replaces the content by the samples of a chunk.
    pub(crate) fn read(&mut self, data: &[u8]) -> Result<(), ChunkError> {
        self.samples.clear();
        chunk::decode(data, &mut self.samples)
    }

    /// Returns the value of the sample at a time.
    pub(crate) fn find(&self, time_ms: i64) -> Option<SampleValue> {
        Some(self.samples.value(self.samples.timestamps.binary_search(&time_ms).ok()?))
    }
}

impl ChunkLog {
    /// Seals samples and appends them, in chunks of at most [`CHUNK_SAMPLES`]. They must be later than all before.
    pub(crate) fn push(&mut self, samples: &Samples, spool: &mut Spool) {
        for run in runs(samples) {
            for from in run.clone().step_by(CHUNK_SAMPLES) {
                self.push_run(samples, from..run.end.min(from + CHUNK_SAMPLES), spool);
            }
        }
    }

    /// Seals one run; in halves, should it be too long for a [`SealedChunk`] in time or in bytes.
    fn push_run(&mut self, samples: &Samples, run: Range<usize>, spool: &mut Spool) {
        let span_ms = samples.timestamps[run.end - 1].abs_diff(samples.timestamps[run.start]);
        let fits = u32::try_from(span_ms).is_ok();
        let chunk = fits.then(|| encode_run(samples, run.clone())).filter(|c| c.data.len() <= LENGTH_MAX);
        match chunk {
            Some(chunk) => {
                self.push_entry(&Entry::of(&chunk), spool).expect("its span and length were looked at");
            }
            None => {
                assert!(run.len() > 1, "one sample is shorter than a chunk may be");
                let middle = run.start + run.len() / 2;
                self.push_run(samples, run.start..middle, spool);
                self.push_run(samples, middle..run.end, spool);
            }
        }
    }

    /// Appends a chunk; `None` when it is too long, in time or in bytes.
    fn push_entry(&mut self, entry: &Entry<'_>, spool: &mut Spool) -> Option<()> {
        let span_ms = u32::try_from(entry.end_ms.abs_diff(entry.start_ms)).ok()?;
        let length = u32::try_from(entry.data.len()).ok().filter(|length| *length as usize <= LENGTH_MAX)?;
        let (place, size) = (spool.put(entry.data), length << 8 | u32::from(entry.samples));
        self.0.reserve_exact(1);
        self.0.push(SealedChunk { start_ms: entry.start_ms, span_ms, place, size });
        Some(())
    }

    pub(crate) fn chunks(&self) -> &[SealedChunk] {
        &self.0
    }

    pub(crate) fn samples(&self) -> u64 {
        self.0.iter().map(|chunk| u64::from(chunk.samples())).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn first_ms(&self) -> Option<i64> {
        self.0.first().map(|chunk| chunk.start_ms)
    }

    /// Returns the chunk whose span holds a time.
    pub(crate) fn find(&self, time_ms: i64) -> Option<SealedChunk> {
        let at = self.0.partition_point(|chunk| chunk.end_ms() < time_ms);
        self.0.get(at).copied().filter(|chunk| chunk.start_ms <= time_ms)
    }

    /// Forgets the chunks that end before a time; returns how many samples they held.
    pub(crate) fn drop_before(&mut self, end_ms: i64, spool: &mut Spool) -> u64 {
        let count = self.0.partition_point(|chunk| chunk.end_ms() < end_ms);
        if count == 0 {
            return 0;
        }
        let samples = self.0.drain(..count).map(|chunk| release(&chunk, spool)).sum();
        self.0.shrink_to_fit();
        samples
    }

    /// Adds samples that may lie anywhere, none of them at a time that a chunk already holds.
    ///
    /// Chunks that they overlap are opened and sealed anew, and so is the one before them when it has room.
    pub(crate) fn insert(&mut self, samples: &Samples, spool: &mut Spool) {
        let times = &samples.timestamps;
        let (Some(first_ms), Some(last_ms)) = (times.first(), times.last()) else { return };
        let before = self.0.partition_point(|chunk| chunk.end_ms() < *first_ms);
        let after = self.0.partition_point(|chunk| chunk.start_ms <= *last_ms);
        let has_room = |chunk: &SealedChunk| chunk.samples() as usize + times.len() <= CHUNK_SAMPLES;
        let from = if before > 0 && has_room(&self.0[before - 1]) { before - 1 } else { before };
        let mut all = samples.clone();
        for chunk in &self.0[from..after] {
            let opened = chunk::decode(chunk.data(spool), &mut all);
            opened.expect("chunks are checked when they enter the head");
        }
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_unstable_by_key(|at| all.timestamps[*at]);
        let mut merged = Samples::default();
        merged.extend_from(&all, order.into_iter());
        let mut sealed = Self::default();
        sealed.push(&merged, spool);
        for chunk in self.0.splice(from..after, sealed.0) {
            release(&chunk, spool);
        }
        self.0.shrink_to_fit();
    }

    /// Appends the bytes that [`ChunkLog::from_bytes`] takes.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>, spool: &Spool) {
        for chunk in &self.0 {
            let (start_ms, end_ms, samples) = (chunk.start_ms, chunk.end_ms(), chunk.samples() as u8);
            Entry { start_ms, end_ms, samples, data: chunk.data(spool) }.write_to(out);
        }
    }

    /// Takes bytes after decoding each chunk and holding it against its header; `None` when anything is wrong. What was
    /// taken till then stays in the store.
    pub(crate) fn from_bytes(bytes: &[u8], store: &mut ChunkStore) -> Option<Self> {
        let (mut rest, mut last_ms, mut log) = (bytes, None, Self::default());
        while !rest.is_empty() {
            let (entry, next) = Entry::read(rest, last_ms, &mut store.scratch)?;
            log.push_entry(&entry, &mut store.spool)?;
            (rest, last_ms) = (next, Some(entry.end_ms));
        }
        Some(log)
    }

    /// Returns how much heap memory it holds, without the chunks themselves.
    pub(crate) fn size_bytes(&self) -> usize {
        self.0.capacity() * size_of::<SealedChunk>()
    }
}

/// Gives a chunk's bytes up; returns how many samples it held.
fn release(chunk: &SealedChunk, spool: &mut Spool) -> u64 {
    spool.release(chunk.place);
    u64::from(chunk.samples())
}

/// Writes samples in the form of a log, for a snapshot.
pub(crate) fn write_samples(samples: &Samples, out: &mut Vec<u8>) {
    for run in runs(samples) {
        for from in run.clone().step_by(CHUNK_SAMPLES) {
            let chunk = encode_run(samples, from..run.end.min(from + CHUNK_SAMPLES));
            Entry::of(&chunk).write_to(out);
        }
    }
}

/// Reads what [`write_samples`] wrote; `None` when anything is wrong.
pub(crate) fn read_samples(bytes: &[u8], scratch: &mut Scratch) -> Option<Samples> {
    let (mut rest, mut last_ms, mut samples) = (bytes, None, Samples::default());
    while !rest.is_empty() {
        let (entry, next) = Entry::read(rest, last_ms, scratch)?;
        samples.extend_from(&scratch.samples, 0..scratch.samples.len());
        (rest, last_ms) = (next, Some(entry.end_ms));
    }
    Some(samples)
}

/// A chunk in a snapshot.
struct Entry<'a> {
    start_ms: i64,
    end_ms: i64,
    samples: u8,
    data: &'a [u8],
}

impl<'a> Entry<'a> {
    fn of(chunk: &'a EncodedChunk) -> Self {
        let samples = u8::try_from(chunk.samples).expect("a chunk has at most 120 samples");
        Self { start_ms: chunk.start_ms, end_ms: chunk.end_ms, samples, data: &chunk.data }
    }

    fn write_to(&self, out: &mut Vec<u8>) {
        let length = u16::try_from(self.data.len()).unwrap_or(LENGTH_FOLLOWS);
        out.extend_from_slice(&self.start_ms.to_le_bytes());
        out.extend_from_slice(&self.end_ms.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.push(self.samples);
        if length == LENGTH_FOLLOWS {
            let length = u32::try_from(self.data.len()).expect("a chunk's cells are bounded");
            out.extend_from_slice(&length.to_le_bytes());
        }
        out.extend_from_slice(self.data);
    }

    /// Reads the first chunk of some bytes, which must begin after `last_ms`, and leaves its samples in the scratch memory.
    fn read(bytes: &'a [u8], last_ms: Option<i64>, scratch: &mut Scratch) -> Option<(Self, &'a [u8])> {
        let (entry, rest) = Self::split(bytes)?;
        scratch.read(entry.data).ok()?;
        let times = &scratch.samples.timestamps;
        let is_true = times.first() == Some(&entry.start_ms)
            && times.last() == Some(&entry.end_ms)
            && times.len() == usize::from(entry.samples)
            && times.len() <= CHUNK_SAMPLES
            && last_ms < Some(entry.start_ms);
        is_true.then_some((entry, rest))
    }

    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (start, rest) = bytes.split_first_chunk::<8>()?;
        let (end, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (samples, rest) = rest.split_first()?;
        let (length, rest) = match u16::from_le_bytes(*length) {
            LENGTH_FOLLOWS => {
                let (length, rest) = rest.split_first_chunk::<4>()?;
                (u32::from_le_bytes(*length) as usize, rest)
            }
            length => (usize::from(length), rest),
        };
        let (data, rest) = rest.split_at_checked(length)?;
        let (start_ms, end_ms) = (i64::from_le_bytes(*start), i64::from_le_bytes(*end));
        Some((Self { start_ms, end_ms, samples: *samples, data }, rest))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::FloatHistogram;
    use model::histogram::Span;

    use super::*;

    fn store() -> ChunkStore {
        ChunkStore::new(Spool::new(None))
    }

    fn times(log: &ChunkLog, store: &mut ChunkStore) -> Vec<i64> {
        let mut all = Vec::new();
        for chunk in log.chunks() {
            store.scratch.read(chunk.data(&store.spool)).expect("what was pushed decodes");
            all.extend_from_slice(&store.scratch.samples.timestamps);
        }
        all
    }

    fn floats(timestamps: &[i64]) -> Samples {
        let mut samples = Samples::default();
        timestamps.iter().for_each(|time_ms| samples.push(*time_ms, *time_ms as f64));
        samples
    }

    fn log_of(timestamps: &[i64], store: &mut ChunkStore) -> ChunkLog {
        let mut log = ChunkLog::default();
        log.push(&floats(timestamps), &mut store.spool);
        log
    }

    fn bytes(log: &ChunkLog, store: &ChunkStore) -> Vec<u8> {
        let mut bytes = Vec::new();
        log.write_to(&mut bytes, &store.spool);
        bytes
    }

    fn sizes(log: &ChunkLog) -> Vec<u32> {
        log.chunks().iter().map(SealedChunk::samples).collect()
    }

    #[test]
    fn chunks_are_found_by_time_and_dropped_whole() {
        let mut store = store();
        let mut log = log_of(&(0..300).map(|i| i * 10).collect::<Vec<_>>(), &mut store);
        assert_eq!(sizes(&log), [120, 120, 60]);
        assert_eq!(log.find(1200).map(|chunk| chunk.start_ms), Some(1200));
        assert!(log.find(1195).is_none(), "between two chunks");
        assert!(log.find(3000).is_none() && log.find(-1).is_none());
        assert_eq!(log.drop_before(1190, &mut store.spool), 0);
        assert_eq!(log.drop_before(1191, &mut store.spool), 120);
        assert_eq!((log.first_ms(), times(&log, &mut store).len()), (Some(1200), 180));
    }

    #[test]
    fn late_samples_are_merged_where_they_belong() {
        let mut store = store();
        let mut log = log_of(&(0..300).map(|i| i * 10).collect::<Vec<_>>(), &mut store);
        log.insert(&floats(&[5, 1205, 2995]), &mut store.spool);
        let mut expected: Vec<i64> = (0..300).map(|i| i * 10).chain([5, 1205, 2995]).collect();
        expected.sort_unstable();
        assert_eq!(times(&log, &mut store), expected);
        let mut small = log_of(&[10, 20], &mut store);
        small.insert(&floats(&[30, 40]), &mut store.spool);
        assert_eq!((times(&small, &mut store), small.chunks().len()), (vec![10, 20, 30, 40], 1));
    }

    #[test]
    fn samples_months_apart_are_not_in_one_chunk() {
        let (mut store, month_ms) = (store(), 30 * 86_400_000);
        let spread: Vec<i64> = (0..6).map(|i| i * month_ms).collect();
        let log = log_of(&spread, &mut store);
        assert_eq!((sizes(&log), times(&log, &mut store)), (vec![1, 2, 1, 2], spread));
    }

    #[test]
    fn histograms_may_be_longer_than_a_short_length() {
        let histogram = FloatHistogram {
            positive_spans: vec![Span { offset: 0, length: 20_000 }],
            positive_buckets: (0..20_000).map(|bucket| f64::from(bucket).sqrt()).collect(),
            ..FloatHistogram::default()
        };
        let mut samples = floats(&[1, 2]);
        samples.push_histogram(3, Arc::new(histogram));
        samples.push(4, 1.0);
        let (mut store, mut log) = (store(), ChunkLog::default());
        log.push(&samples, &mut store.spool);
        assert_eq!(sizes(&log), [2, 1, 1]);
        let written = bytes(&log, &store);
        assert!(written.len() > 100_000);
        let read = ChunkLog::from_bytes(&written, &mut store).expect("it was just written");
        assert_eq!(bytes(&read, &store), written);
        assert_eq!(times(&log, &mut store), [1, 2, 3, 4]);
        assert_eq!((log.drop_before(4, &mut store.spool), times(&log, &mut store)), (3, vec![4]));
    }

    #[test]
    fn only_true_bytes_are_taken() {
        let mut store = store();
        let log = log_of(&[10, 20, 30], &mut store);
        let written = bytes(&log, &store);
        assert!(ChunkLog::from_bytes(&written, &mut store).is_some());
        for position in 0..written.len() {
            let mut damaged = written.clone();
            damaged[position] ^= 1;
            assert!(ChunkLog::from_bytes(&damaged, &mut store).is_none(), "byte {position}");
            assert!(read_samples(&damaged, &mut store.scratch).is_none(), "byte {position}");
        }
        let twice = [written.as_slice(), written.as_slice()].concat();
        assert!(ChunkLog::from_bytes(&twice, &mut store).is_none(), "chunks overlap");
    }
}
