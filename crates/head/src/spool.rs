//! Where the bytes of sealed chunks lie: in segments, each full one in a mapped local file.
//!
//! Sealed chunks are most of a head's bytes and hardly ever read. In files they are not the process's memory until somebody
//! reads them, and never memory that the system cannot take back. The files are a cache of this process: they have
//! no names and no format, are gone with it, and come again from the snapshot and the log ("Local files" in
//! `docs/formats/head-snapshot.md`).
//!
//! Life cycle of a segment: 1. filled in memory, the *tail*; 2. full, written and mapped, from then on never changed; 3. freed
//! when its last chunk is released, which is when a window is dropped, and gone when its last reader is. Should a file not be
//! written, since the disk is full, the segment stays in memory: no sample depends on these files.
//!
//! Readers take [`Spool::shared`] bytes with them and need neither copy nor lock.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::map::Map;

/// How large a segment is, unless one chunk is larger: small enough that writing one costs apply about a millisecond.
const SEGMENT_BYTES: usize = 2 << 20;

/// Where some bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    segment: u32,
    offset: u32,
}

/// Bytes that never change.
#[derive(Debug)]
struct Full {
    bytes: Bytes,
    /// None when they are in memory.
    map: Option<Arc<Map>>,
}

#[derive(Debug, Default)]
struct Segment {
    /// None for the tail, and for a segment that is free.
    full: Option<Full>,
    /// How many chunks lie in it.
    live: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Spool {
    /// None keeps everything in memory.
    directory: Option<PathBuf>,
    segment_bytes: usize,
    segments: Vec<Segment>,
    free: Vec<u32>,
    tail: Vec<u8>,
    tail_id: u32,
    /// Bytes in mapped files.
    mapped_bytes: usize,
    /// Bytes of full segments in memory.
    memory_bytes: usize,
    failures: u64,
}

/// The files of a spool, for whoever has read much of them.
pub(crate) struct SpoolFiles(Vec<Arc<Map>>);

impl SpoolFiles {
    /// Makes what was read of the files leave the memory of the process.
    pub(crate) fn evict(&self) {
        self.0.iter().for_each(|map| map.evict());
    }
}

/// Keeps what is an owner of bytes alive for [`Bytes`].
struct Shared(Arc<Map>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl Spool {
    /// Returns an empty spool.
    pub(crate) fn new(directory: Option<PathBuf>) -> Self {
        Self::with_segments(directory, SEGMENT_BYTES)
    }

    fn with_segments(directory: Option<PathBuf>, segment_bytes: usize) -> Self {
        Self {
            directory,
            segment_bytes,
            segments: vec![Segment::default()],
            free: Vec::new(),
            tail: Vec::new(),
            tail_id: 0,
            mapped_bytes: 0,
            memory_bytes: 0,
            failures: 0,
        }
    }

    /// Keeps bytes until they are released.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Place {
        if !self.tail.is_empty() && self.tail.len() + bytes.len() > self.segment_bytes {
            self.roll();
        }
        if self.tail.capacity() == 0 {
            self.tail.reserve_exact(self.segment_bytes);
        }
        let offset = u32::try_from(self.tail.len()).expect("a segment is smaller than 4 GiB");
        self.tail.extend_from_slice(bytes);
        self.segments[self.tail_id as usize].live += 1;
        Place { segment: self.tail_id, offset }
    }

    /// Makes the tail a full segment and begins a new one.
    fn roll(&mut self) {
        if self.segments[self.tail_id as usize].live > 0 {
            self.segments[self.tail_id as usize].full = Some(self.fill());
            self.tail_id = self.free.pop().unwrap_or_else(|| {
                self.segments.push(Segment::default());
                u32::try_from(self.segments.len() - 1).expect("there are fewer than 2^32 segments")
            });
        }
        self.tail.clear();
    }

    /// Moves the tail's bytes to where they stay.
    fn fill(&mut self) -> Full {
        let mapped = self.directory.as_ref().map(|directory| Map::of(&self.tail, directory));
        if let Some(Ok(map)) = mapped {
            let map = Arc::new(map);
            self.mapped_bytes += self.tail.len();
            return Full { bytes: Bytes::from_owner(Shared(Arc::clone(&map))), map: Some(map) };
        }
        self.failures += u64::from(mapped.is_some());
        self.memory_bytes += self.tail.len();
        Full { bytes: Bytes::from(std::mem::take(&mut self.tail)), map: None }
    }

    /// Gives bytes up; nobody may ask for them again.
    pub(crate) fn release(&mut self, place: Place) {
        let segment = &mut self.segments[place.segment as usize];
        segment.live -= 1;
        if segment.live > 0 || place.segment == self.tail_id {
            return;
        }
        let full = segment.full.take().expect("every segment but the tail is full");
        *(if full.map.is_some() { &mut self.mapped_bytes } else { &mut self.memory_bytes }) -=
            full.bytes.len();
        self.free.push(place.segment);
    }

    /// Returns bytes that were put.
    pub(crate) fn bytes(&self, place: Place, length: usize) -> &[u8] {
        let segment = self.segments[place.segment as usize].full.as_ref();
        let bytes = segment.map_or(&*self.tail, |full| &*full.bytes);
        &bytes[place.offset as usize..place.offset as usize + length]
    }

    /// Returns bytes that were put, to be kept for as long as the caller likes; `None` while they lie in the tail.
    pub(crate) fn shared(&self, place: Place, length: usize) -> Option<Bytes> {
        let full = self.segments[place.segment as usize].full.as_ref()?;
        Some(full.bytes.slice(place.offset as usize..place.offset as usize + length))
    }

    /// Returns all files there are now.
    pub(crate) fn files(&self) -> SpoolFiles {
        let full = self.segments.iter().filter_map(|segment| segment.full.as_ref());
        SpoolFiles(full.filter_map(|full| full.map.clone()).collect())
    }

    /// Returns how many bytes lie in files, dead ones of live segments included.
    pub(crate) fn mapped_bytes(&self) -> usize {
        self.mapped_bytes
    }

    /// Returns how many bytes are in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes + self.tail.capacity() + self.segments.capacity() * size_of::<Segment>()
    }

    /// Returns how many files could not be written.
    pub(crate) fn failures(&self) -> u64 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Puts and releases runs of bytes, and reads all live ones after each step.
    fn check(mut spool: Spool, steps: &[(bool, usize)]) {
        let mut live: Vec<(Place, Vec<u8>)> = Vec::new();
        for (number, (releases, size)) in steps.iter().enumerate() {
            if *releases && !live.is_empty() {
                let (place, _) = live.swap_remove(size % live.len());
                spool.release(place);
            } else {
                let bytes = vec![number as u8; *size];
                live.push((spool.put(&bytes), bytes));
            }
            for (place, bytes) in &live {
                assert_eq!(spool.bytes(*place, bytes.len()), bytes);
                assert!(spool.shared(*place, bytes.len()).is_none_or(|shared| shared == *bytes));
            }
        }
        let kept: Vec<(Bytes, Vec<u8>)> =
            live.iter().filter_map(|(p, b)| Some((spool.shared(*p, b.len())?, b.clone()))).collect();
        live.iter().for_each(|(place, _)| spool.release(*place));
        assert_eq!((spool.mapped_bytes, spool.memory_bytes), (0, 0), "what nobody needs is freed");
        assert!(kept.iter().all(|(shared, bytes)| shared == bytes), "readers keep what they took");
    }

    proptest! {
        #[test]
        fn bytes_stay_until_they_are_released(steps in prop::collection::vec((any::<bool>(), 0usize..200), 0..100)) {
            let directory = tempfile::tempdir().expect("the system has a directory for temporary files");
            check(Spool::with_segments(None, 256), &steps);
            check(Spool::with_segments(Some(directory.path().to_owned()), 256), &steps);
        }
    }

    #[test]
    fn without_a_disk_segments_stay_in_memory() {
        let mut spool = Spool::with_segments(Some("/nonexistent/directory".into()), 4);
        let places: Vec<Place> = (0..3u8).map(|byte| spool.put(&[byte; 3])).collect();
        assert!((0..3u8).all(|byte| spool.bytes(places[usize::from(byte)], 3) == [byte; 3]));
        assert_eq!((spool.failures, spool.mapped_bytes, spool.memory_bytes), (2, 0, 6));
        assert!(spool.shared(places[0], 3).is_some() && spool.shared(places[2], 3).is_none());
    }
}
