//! A block's directory, opened for reading.

use std::path::Path;

use model::{Samples, TimeRange};

use crate::chunk;
use crate::error::TsdbError;
use crate::index::{Index, IndexReader, SeriesEntry};
use crate::meta::Meta;
use crate::segments::{ChunkReader, Segments};
use crate::tombstones::Tombstones;

/// A block of Prometheus or Thanos.
#[derive(Debug)]
pub struct Block {
    meta: Meta,
    index: Index,
    segments: Segments,
    tombstones: Tombstones,
}

impl Block {
    /// Opens a directory: reads what the block says of itself, the index's symbols, and the tombstones.
    ///
    /// # Errors
    /// [`TsdbError`] when a file is missing or damaged; [`TsdbError::Unsupported`] for a downsampled block.
    pub fn open(dir: &Path) -> Result<Self, TsdbError> {
        let meta = Meta::read(dir)?;
        if meta.resolution_ms() != 0 {
            let what = format!(
                "block {} is downsampled to {} ms: only raw blocks are read",
                meta.ulid,
                meta.resolution_ms()
            );
            return Err(TsdbError::Unsupported { path: dir.to_owned(), what });
        }
        let index = Index::open(dir)?;
        Ok(Self { meta, index, segments: Segments::open(dir)?, tombstones: Tombstones::read(dir)? })
    }

    /// Returns what the block says of itself.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Returns the size of index and chunks in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.index.size_bytes() + self.segments.size_bytes()
    }

    /// Returns a reader of the block's series.
    pub fn series(&self) -> SeriesCursor<'_> {
        SeriesCursor {
            block: self,
            index: IndexReader::new(&self.index),
            chunks: ChunkReader::new(&self.segments),
            scratch: Samples::default(),
        }
    }
}

/// Reads series and their samples.
#[derive(Debug)]
pub struct SeriesCursor<'a> {
    block: &'a Block,
    index: IndexReader<'a>,
    chunks: ChunkReader<'a>,
    scratch: Samples,
}

impl SeriesCursor<'_> {
    /// Returns the next series in the order of the index; `None` behind the last.
    ///
    /// # Errors
    /// [`TsdbError`] when the index is damaged here.
    pub fn next_series(&mut self) -> Result<Option<SeriesEntry>, TsdbError> {
        self.index.next()
    }

    /// Returns the series that `reference` names, as an entry's reference does.
    ///
    /// # Errors
    /// [`TsdbError`] when there is none, or it is damaged.
    pub fn series_at(&mut self, reference: u64) -> Result<SeriesEntry, TsdbError> {
        self.index.at(reference)
    }

    /// Appends the samples of a series within a closed range, in time order, without what is deleted. Of chunks that
    /// overlap the first one's sample stays at equal timestamps.
    ///
    /// # Errors
    /// [`TsdbError`] when a chunk is damaged, or of an encoding that is not supported.
    pub fn read(
        &mut self,
        series: &SeriesEntry,
        range: TimeRange,
        out: &mut Samples,
    ) -> Result<(), TsdbError> {
        let Self { block, chunks, scratch, .. } = self;
        scratch.clear();
        let mut overlaps = false;
        let wanted =
            |chunk: &&crate::ChunkRef| chunk.start_ms <= range.end.0 && chunk.end_ms >= range.start.0;
        for chunk in series.chunks.iter().filter(wanted) {
            let (encoding, data, place) = chunks.read(chunk.reference)?;
            let before = scratch.len();
            let decoded = chunk::decode(encoding, data, scratch);
            decoded.map_err(|fault| place.corrupt_or_unsupported(&fault))?;
            let read = &scratch.timestamps[before..];
            if read.first() != Some(&chunk.start_ms) || read.last() != Some(&chunk.end_ms) {
                return Err(place.corrupt("the chunk's times are not those of the index"));
            }
            overlaps |= before > 0 && scratch.timestamps[before - 1] >= scratch.timestamps[before];
        }
        if overlaps {
            let mut order: Vec<usize> = (0..scratch.len()).collect();
            order.sort_by_key(|at| scratch.timestamps[*at]);
            order.dedup_by_key(|at| scratch.timestamps[*at]);
            let mut sorted = Samples::default();
            sorted.extend_from(scratch, order.into_iter());
            *scratch = sorted;
        }
        block.tombstones.apply(series.reference, scratch);
        let start = scratch.timestamps.partition_point(|time_ms| *time_ms < range.start.0);
        let end = scratch.timestamps.partition_point(|time_ms| *time_ms <= range.end.0);
        out.extend_from(scratch, start..end.max(start));
        Ok(())
    }
}
