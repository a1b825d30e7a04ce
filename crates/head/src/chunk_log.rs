//! The sealed chunks of one series, in one allocation, in time order and without overlap.
//!
//! Each chunk lies behind a header of [`HEADER_BYTES`]: first and last timestamp (i64), length (u16) and number of
//! samples (u8), little endian. A million series with four chunks each would pay more for four allocations and handles
//! than for the samples; here they pay 19 bytes a chunk. The same bytes go into the snapshot.

use bytes::Bytes;
use chunk::{ChunkError, EncodedChunk, encode};

/// The most samples a sealed chunk of the head holds; Prometheus's number, so that boundaries look familiar.
pub(crate) const CHUNK_SAMPLES: usize = 120;

const HEADER_BYTES: usize = 19;

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
    pub(crate) timestamps: Vec<i64>,
    pub(crate) values: Vec<f64>,
}

impl Scratch {
    /// Replaces the content by the samples of a chunk.
    pub(crate) fn read(&mut self, data: &[u8]) -> Result<(), ChunkError> {
        self.timestamps.clear();
        self.values.clear();
        chunk::decode(data, &mut self.timestamps, &mut self.values)
    }

    /// Returns the bits of the sample at a time.
    pub(crate) fn find(&self, time_ms: i64) -> Option<u64> {
        let position = self.timestamps.binary_search(&time_ms).ok()?;
        Some(self.values[position].to_bits())
    }
}

impl ChunkLog {
    /// Seals samples and appends them, in chunks of at most [`CHUNK_SAMPLES`]. They must be later than all before.
    pub(crate) fn push(&mut self, timestamps: &[i64], values: &[f64]) {
        for (timestamps, values) in timestamps.chunks(CHUNK_SAMPLES).zip(values.chunks(CHUNK_SAMPLES)) {
            self.push_chunk(&encode(timestamps, values));
        }
    }

    fn push_chunk(&mut self, chunk: &EncodedChunk) {
        let length = u16::try_from(chunk.data.len()).expect("120 samples take less than 64 KiB");
        let samples = u8::try_from(chunk.samples).expect("a chunk has at most 120 samples");
        self.0.reserve_exact(HEADER_BYTES + chunk.data.len());
        self.0.extend_from_slice(&chunk.start_ms.to_le_bytes());
        self.0.extend_from_slice(&chunk.end_ms.to_le_bytes());
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.push(samples);
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
            bytes += HEADER_BYTES + entry.data.len();
        }
        if bytes > 0 {
            self.0 = self.0[bytes..].to_vec();
        }
        samples
    }

    /// Adds samples that may lie anywhere, none of them at a time that a chunk already holds.
    ///
    /// Chunks that they overlap are opened and sealed anew, and so is the one before them when it has room.
    pub(crate) fn insert(&mut self, timestamps: &[i64], values: &[f64], scratch: &mut Scratch) {
        let (Some(first_ms), Some(last_ms)) = (timestamps.first(), timestamps.last()) else { return };
        let entries: Vec<Entry<'_>> = self.entries().collect();
        let before = entries.partition_point(|entry| entry.end_ms < *first_ms);
        let after = entries.partition_point(|entry| entry.start_ms <= *last_ms);
        let has_room = |entry: &Entry<'_>| entry.samples as usize + timestamps.len() <= CHUNK_SAMPLES;
        let from = if before > 0 && has_room(&entries[before - 1]) { before - 1 } else { before };
        let mut merged: Vec<(i64, f64)> = timestamps.iter().copied().zip(values.iter().copied()).collect();
        for entry in &entries[from..after] {
            scratch.read(entry.data).expect("chunks are checked when they enter the head");
            merged.extend(scratch.timestamps.iter().copied().zip(scratch.values.iter().copied()));
        }
        merged.sort_unstable_by_key(|(time_ms, _)| *time_ms);
        let (timestamps, values): (Vec<i64>, Vec<f64>) = merged.into_iter().unzip();
        let mut rebuilt = Self::default();
        entries[..from].iter().for_each(|entry| rebuilt.push_entry(entry));
        rebuilt.push(&timestamps, &values);
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
            let times = &scratch.timestamps;
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
    let (data, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let (start_ms, end_ms) = (i64::from_le_bytes(*start), i64::from_le_bytes(*end));
    Some((Entry { start_ms, end_ms, samples: u32::from(*samples), data }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(log: &ChunkLog) -> Vec<i64> {
        let (mut scratch, mut all) = (Scratch::default(), Vec::new());
        for entry in log.entries() {
            scratch.read(entry.data).expect("what was pushed decodes");
            all.extend_from_slice(&scratch.timestamps);
        }
        all
    }

    fn log_of(timestamps: &[i64]) -> ChunkLog {
        let mut log = ChunkLog::default();
        let values: Vec<f64> = timestamps.iter().map(|t| *t as f64).collect();
        log.push(timestamps, &values);
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
        log.insert(&[5, 1205, 2995], &[1.0, 2.0, 3.0], &mut Scratch::default());
        let mut expected: Vec<i64> = (0..300).map(|i| i * 10).chain([5, 1205, 2995]).collect();
        expected.sort_unstable();
        assert_eq!(times(&log), expected);
        let mut small = log_of(&[10, 20]);
        small.insert(&[30, 40], &[1.0, 2.0], &mut Scratch::default());
        assert_eq!((times(&small), small.entries().count()), (vec![10, 20, 30, 40], 1));
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
