//! The sealed chunks of one series, in one allocation, in time order and without overlap.
//!
//! Each chunk lies behind a header of [`HEADER_BYTES`]: first and last timestamp (i64), length (u16) and number of
//! samples (u8), little endian; a length that does not fit, as histograms may have, follows (u32). A million series with four chunks each would pay more for four allocations and handles
//! than for the samples; here they pay 19 bytes a chunk. The same bytes go into the snapshot.

use bytes::Bytes;
use chunk::{ChunkError, EncodedChunk, encode_run, runs};
use model::{SampleValue, Samples};

/// The most samples a sealed chunk of the head holds; Prometheus's number, so that boundaries look familiar.
pub(crate) const CHUNK_SAMPLES: usize = 120;

const HEADER_BYTES: usize = 19;
/// Stands for a length that follows the header.
const LENGTH_FOLLOWS: u16 = u16::MAX;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChunkLog(Vec<u8>);

/// One chunk of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) samples: u32,
    pub(crate) data: &'a [u8],
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
    pub(crate) fn push(&mut self, samples: &Samples) {
        for run in runs(samples) {
            for from in run.clone().step_by(CHUNK_SAMPLES) {
                self.push_chunk(&encode_run(samples, from..run.end.min(from + CHUNK_SAMPLES)));
            }
        }
    }

    fn push_chunk(&mut self, chunk: &EncodedChunk) {
        let length = u16::try_from(chunk.data.len()).unwrap_or(LENGTH_FOLLOWS);
        let samples = u8::try_from(chunk.samples).expect("a chunk has at most 120 samples");
        self.0.reserve_exact(header_bytes(chunk.data.len()) + chunk.data.len());
        self.0.extend_from_slice(&chunk.start_ms.to_le_bytes());
        self.0.extend_from_slice(&chunk.end_ms.to_le_bytes());
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.push(samples);
        if length == LENGTH_FOLLOWS {
            let length = u32::try_from(chunk.data.len()).expect("a chunk's cells are bounded");
            self.0.extend_from_slice(&length.to_le_bytes());
        }
        self.0.extend_from_slice(&chunk.data);
    }

    fn push_entry(&mut self, entry: &Entry<'_>) {
        self.push_chunk(&EncodedChunk {
            start_ms: entry.start_ms,
            end_ms: entry.end_ms,
            samples: entry.samples,
            data: Bytes::copy_from_slice(entry.data),
        });
    }

    pub(crate) fn entries(&self) -> Entries<'_> {
        Entries { rest: &self.0 }
    }

    pub(crate) fn samples(&self) -> u64 {
        self.entries().map(|entry| u64::from(entry.samples)).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn first_ms(&self) -> Option<i64> {
        self.entries().next().map(|entry| entry.start_ms)
    }

    /// Returns the chunk whose span holds a time.
    pub(crate) fn find(&self, time_ms: i64) -> Option<Entry<'_>> {
        self.entries().find(|entry| time_ms <= entry.end_ms).filter(|entry| entry.start_ms <= time_ms)
    }

    /// Forgets the chunks that end before a time; returns how many samples they held.
    pub(crate) fn drop_before(&mut self, end_ms: i64) -> u64 {
        let (mut samples, mut bytes) = (0, 0);
        for entry in self.entries().take_while(|entry| entry.end_ms < end_ms) {
            samples += u64::from(entry.samples);
            bytes += header_bytes(entry.data.len()) + entry.data.len();
        }
        if bytes > 0 {
            self.0 = self.0[bytes..].to_vec();
        }
        samples
    }

    /// Adds samples that may lie anywhere, none of them at a time that a chunk already holds.
    ///
    /// Chunks that they overlap are opened and sealed anew, and so is the one before them when it has room.
    pub(crate) fn insert(&mut self, samples: &Samples) {
        let times = &samples.timestamps;
        let (Some(first_ms), Some(last_ms)) = (times.first(), times.last()) else { return };
        let entries: Vec<Entry<'_>> = self.entries().collect();
        let before = entries.partition_point(|entry| entry.end_ms < *first_ms);
        let after = entries.partition_point(|entry| entry.start_ms <= *last_ms);
        let has_room = |entry: &Entry<'_>| entry.samples as usize + times.len() <= CHUNK_SAMPLES;
        let from = if before > 0 && has_room(&entries[before - 1]) { before - 1 } else { before };
        let mut all = samples.clone();
        for entry in &entries[from..after] {
            chunk::decode(entry.data, &mut all).expect("chunks are checked when they enter the head");
        }
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_unstable_by_key(|at| all.timestamps[*at]);
        let mut merged = Samples::default();
        merged.extend_from(&all, order.into_iter());
        let mut rebuilt = Self::default();
        entries[..from].iter().for_each(|entry| rebuilt.push_entry(entry));
        rebuilt.push(&merged);
        entries[after..].iter().for_each(|entry| rebuilt.push_entry(entry));
        *self = rebuilt;
    }

    /// Returns the bytes that [`ChunkLog::from_bytes`] takes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes bytes after decoding each chunk and holding it against its header; `None` when anything is wrong.
    pub(crate) fn from_bytes(bytes: &[u8], scratch: &mut Scratch) -> Option<Self> {
        let (mut rest, mut last_ms) = (bytes, None);
        while !rest.is_empty() {
            let (entry, next) = split_entry(rest)?;
            scratch.read(entry.data).ok()?;
            let times = &scratch.samples.timestamps;
            let is_true = times.first() == Some(&entry.start_ms)
                && times.last() == Some(&entry.end_ms)
                && times.len() == entry.samples as usize
                && times.len() <= CHUNK_SAMPLES
                && last_ms < Some(entry.start_ms);
            if !is_true {
                return None;
            }
            (rest, last_ms) = (next, Some(entry.end_ms));
        }
        Some(Self(bytes.to_vec()))
    }

    /// Returns how much heap memory it holds.
    pub(crate) fn size_bytes(&self) -> usize {
        self.0.capacity()
    }
}

/// Iterates over the chunks of a log.
#[derive(Clone)]
pub(crate) struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (entry, rest) = split_entry(self.rest).expect("a log holds whole chunks");
        self.rest = rest;
        Some(entry)
    }
}

fn split_entry(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
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
    Some((Entry { start_ms, end_ms, samples: u32::from(*samples), data }, rest))
}

/// Returns how long the header of a chunk of so many bytes is.
fn header_bytes(length: usize) -> usize {
    HEADER_BYTES + if length < usize::from(LENGTH_FOLLOWS) { 0 } else { 4 }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::FloatHistogram;
    use model::histogram::Span;

    use super::*;

    fn times(log: &ChunkLog) -> Vec<i64> {
        let (mut scratch, mut all) = (Scratch::default(), Vec::new());
        for entry in log.entries() {
            scratch.read(entry.data).expect("what was pushed decodes");
            all.extend_from_slice(&scratch.samples.timestamps);
        }
        all
    }

    fn floats(timestamps: &[i64]) -> Samples {
        let mut samples = Samples::default();
        timestamps.iter().for_each(|time_ms| samples.push(*time_ms, *time_ms as f64));
        samples
    }

    fn log_of(timestamps: &[i64]) -> ChunkLog {
        let mut log = ChunkLog::default();
        log.push(&floats(timestamps));
        log
    }

    #[test]
    fn chunks_are_found_by_time_and_dropped_whole() {
        let mut log = log_of(&(0..300).map(|i| i * 10).collect::<Vec<_>>());
        assert_eq!(log.entries().map(|entry| entry.samples).collect::<Vec<_>>(), [120, 120, 60]);
        assert_eq!(log.find(1200).map(|entry| entry.start_ms), Some(1200));
        assert!(log.find(1195).is_none(), "between two chunks");
        assert!(log.find(3000).is_none() && log.find(-1).is_none());
        assert_eq!(log.drop_before(1190), 0);
        assert_eq!(log.drop_before(1191), 120);
        assert_eq!((log.first_ms(), times(&log).len()), (Some(1200), 180));
    }

    #[test]
    fn late_samples_are_merged_where_they_belong() {
        let mut log = log_of(&(0..300).map(|i| i * 10).collect::<Vec<_>>());
        log.insert(&floats(&[5, 1205, 2995]));
        let mut expected: Vec<i64> = (0..300).map(|i| i * 10).chain([5, 1205, 2995]).collect();
        expected.sort_unstable();
        assert_eq!(times(&log), expected);
        let mut small = log_of(&[10, 20]);
        small.insert(&floats(&[30, 40]));
        assert_eq!((times(&small), small.entries().count()), (vec![10, 20, 30, 40], 1));
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
        let mut log = ChunkLog::default();
        log.push(&samples);
        assert_eq!(log.entries().map(|entry| entry.samples).collect::<Vec<_>>(), [2, 1, 1]);
        assert!(log.as_bytes().len() > 100_000);
        assert_eq!(ChunkLog::from_bytes(log.as_bytes(), &mut Scratch::default()), Some(log.clone()));
        assert_eq!((times(&log), log.drop_before(4), times(&log)), (vec![1, 2, 3, 4], 3, vec![4]));
    }

    #[test]
    fn only_true_bytes_are_taken() {
        let log = log_of(&[10, 20, 30]);
        let mut scratch = Scratch::default();
        assert_eq!(ChunkLog::from_bytes(log.as_bytes(), &mut scratch), Some(log.clone()));
        for position in 0..log.as_bytes().len() {
            let mut damaged = log.as_bytes().to_vec();
            damaged[position] ^= 1;
            assert_eq!(ChunkLog::from_bytes(&damaged, &mut scratch), None, "byte {position}");
        }
        let twice = [log.as_bytes(), log.as_bytes()].concat();
        assert_eq!(ChunkLog::from_bytes(&twice, &mut scratch), None, "chunks overlap");
    }
}
