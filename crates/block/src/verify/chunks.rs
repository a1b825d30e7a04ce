//! Every value of `chunks.parquet`, decoded, and what it says held against the numbers in `series.parquet`.

use std::ops::Range;

use bytes::Bytes;
use chunk::EncodedChunk;
use model::{BlockMeta, BlockRange, Samples, TimeRange};
use roaring::RoaringBitmap;

use super::page_bytes;
use crate::build::kinds;
use crate::chunks::{Page, PageTable, decode_value};
use crate::error::BlockError;
use crate::layout::{self, Content};
use crate::place::Place;
use crate::series::SeriesFile;

/// What the samples of a row turned out to be.
#[derive(Clone, Copy)]
struct RowFacts {
    first_ms: i64,
    last_ms: i64,
    samples: u32,
    kinds: u8,
}

/// Gathers facts of all rows, page by page in any order.
pub(super) struct RowCheck {
    series_key: String,
    chunks_key: String,
    rows: Vec<RowFacts>,
    /// Rows of which a value could not be read.
    damaged: RoaringBitmap,
    samples: u64,
}

impl RowCheck {
    pub(super) fn new(meta: &BlockMeta, rows: u32) -> Self {
        let nothing = RowFacts { first_ms: i64::MAX, last_ms: i64::MIN, samples: 0, kinds: 0 };
        Self {
            series_key: meta.series_object.key.clone(),
            chunks_key: meta.chunks_object.key.clone(),
            rows: vec![nothing; rows as usize],
            damaged: RoaringBitmap::new(),
            samples: 0,
        }
    }

    /// Decodes some pages of a piece; returns what is wrong with them.
    pub(super) fn pages(
        &mut self,
        table: &PageTable,
        pages: &[Page],
        piece: &Range<u64>,
        bytes: &Bytes,
    ) -> Vec<BlockError> {
        let mut faults = Vec::new();
        for page in pages {
            match table.decode_page(page, page_bytes(page, piece, bytes)) {
                Ok(values) => {
                    let (content, window) = (table.content(page), table.window(page));
                    for (row, value) in page.rows.clone().zip(values) {
                        if let Err(reason) = self.value(row, content, window, value.data()) {
                            self.damaged.insert(row);
                            let place = Place::Value { column: table.column_name(page), row };
                            faults.push(BlockError::corrupt(&self.chunks_key, place, reason));
                        }
                    }
                }
                Err(error) => {
                    self.damaged.insert_range(page.rows.clone());
                    faults.push(error);
                }
            }
        }
        faults
    }

    /// Decodes one value.
    fn value(&mut self, row: u32, content: Content, window: BlockRange, value: &[u8]) -> Result<(), String> {
        let mut last_ms = None;
        for chunk in decode_value(window.start.0, value, &TimeRange::ALL)? {
            if last_ms.is_some_and(|last_ms| last_ms >= chunk.start_ms) {
                return Err(format!("a chunk from {} overlaps the one before", chunk.start_ms));
            }
            last_ms = Some(chunk.end_ms);
            self.chunk(row, content, window, &chunk)?;
        }
        Ok(())
    }

    fn chunk(
        &mut self,
        row: u32,
        content: Content,
        window: BlockRange,
        chunk: &EncodedChunk,
    ) -> Result<(), String> {
        let mut samples = Samples::default();
        chunk::decode(&chunk.data, &mut samples)
            .map_err(|e| format!("the chunk from {}: {e}", chunk.start_ms))?;
        let times = &samples.timestamps;
        let actual = (times.first().copied(), times.last().copied(), times.len());
        let stated = (Some(chunk.start_ms), Some(chunk.end_ms), chunk.samples as usize);
        if actual != stated {
            return Err(format!("a chunk holds {actual:?} (first, last, count), and says {stated:?}"));
        }
        if !window.contains(chunk.start_ms) || !window.contains(chunk.end_ms) {
            return Err(format!(
                "the chunk from {} to {} lies outside of its window [{}, {})",
                chunk.start_ms, chunk.end_ms, window.start, window.end
            ));
        }
        let facts = &mut self.rows[row as usize];
        facts.first_ms = facts.first_ms.min(chunk.start_ms);
        facts.last_ms = facts.last_ms.max(chunk.end_ms);
        match content {
            Content::Samples => facts.kinds |= kinds(&samples) as u8,
            Content::Last => {}
            // Of slots, only their last samples count.
            _ => return Ok(()),
        }
        facts.samples = facts.samples.saturating_add(chunk.samples);
        self.samples += u64::from(chunk.samples);
        Ok(())
    }

    /// Holds the rows against the columns of `series.parquet`.
    pub(super) fn finish(&self, series: &SeriesFile, samples: &[i32]) -> Vec<BlockError> {
        let mut faults = Vec::new();
        let mut fault = |column: &str, row: usize, stated: i64, actual: i64| {
            let reason = format!("row {row} says {stated}, its samples {actual}");
            faults.push(BlockError::corrupt(&self.series_key, Place::Column(column.to_owned()), reason));
        };
        let whole = self.rows.iter().enumerate().filter(|(row, _)| !self.damaged.contains(*row as u32));
        for (row, facts) in whole {
            let stated = samples.get(row).copied().unwrap_or_default();
            if i64::from(facts.samples) != i64::from(stated) {
                fault(layout::SAMPLES_COLUMN, row, stated.into(), facts.samples.into());
            }
            if facts.first_ms != series.first_ms[row] {
                fault(layout::MINT_COLUMN, row, series.first_ms[row], facts.first_ms);
            }
            if facts.last_ms != series.last_ms[row] {
                fault(layout::MAXT_COLUMN, row, series.last_ms[row], facts.last_ms);
            }
            // A merged block has the union of what its inputs said, a downsampled one says what its raw samples were.
            if facts.kinds & !series.kinds[row] != 0 {
                fault(layout::KINDS_COLUMN, row, series.kinds[row].into(), facts.kinds.into());
            }
        }
        faults
    }

    /// Returns how many series have samples that were read.
    pub(super) fn series(&self) -> u64 {
        self.rows.iter().filter(|facts| facts.samples > 0).count() as u64
    }

    /// Returns how many samples were read.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }
}
