//! The writer of a merge or a downsampling: rows come in batches, both files go out. Blocking.

use std::cell::RefCell;
use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use chunk::{ChunkError, EncodedChunk};
use model::{BlockId, BlockRange, LabelSet, Samples};
use tokio::sync::mpsc;

use super::rows::Rows;
use super::{MergedBlock, RowChunks};
use crate::build::{self, BlockSpec, RowOrder};
use crate::chunks::{self, clip_chunks, join_value, merge_chunks};
use crate::erase::Erase;
use crate::error::BlockError;
use crate::layout::{self, Content};
use crate::order::LabelTable;
use crate::place::Place;
use crate::reader::RowColumns;
use crate::series::SeriesRow;
use crate::slots::{self, Slots};

/// What is to be written.
pub(super) struct Work {
    pub(super) spec: BlockSpec,
    /// Names of the inputs.
    pub(super) inputs: Vec<BlockId>,
    /// Their resolution, ms.
    pub(super) of_ms: i64,
    /// What is left out of them.
    pub(super) erase: Arc<dyn Erase>,
}

/// What the values of a row hold.
struct Span {
    first_ms: i64,
    last_ms: i64,
    samples: u64,
}

/// The values of a row, one a column, and what they hold; `None` when that is nothing.
type Written<E> = Result<Option<(Span, Vec<Bytes>)>, E>;

impl Work {
    /// Writes both files from the batches.
    pub(super) fn write(
        &self,
        rows: &Rows,
        mut batches: mpsc::Receiver<Vec<RowChunks>>,
        file: File,
    ) -> Result<MergedBlock, BlockError> {
        // Filled while the values are taken, read once they are written: facts of rows that are kept, and their numbers.
        let (facts, kept) = (RefCell::new(Vec::with_capacity(rows.len())), RefCell::new(Vec::new()));
        let mut row = 0;
        let fault = RefCell::new(None);
        let spec = &self.spec;
        let windows = match spec.resolution_ms {
            0 => layout::windows_of(spec.range, spec.level),
            resolution_ms => layout::slot_windows_of(spec.range, resolution_ms),
        };
        let mut batch = Vec::new().into_iter();
        let values = std::iter::from_fn(|| {
            loop {
                let Some(parts): Option<RowChunks> = batch.next() else {
                    batch = batches.blocking_recv()?.into_iter();
                    continue;
                };
                let written = self.row(&windows, rows, row, parts);
                row += 1;
                let written = written.map_err(|error| *fault.borrow_mut() = Some(error)).ok()?;
                if let Some((row_facts, values)) = written {
                    facts.borrow_mut().push(row_facts);
                    kept.borrow_mut().push(row - 1);
                    return Some(values);
                }
            }
        });
        let hash = || build::rows_hash(kept.borrow().iter().map(|row| rows.labels(*row)));
        let key_values = || build::identity(spec, &windows, &facts.borrow(), hash()).key_values();
        let columns = layout::chunk_columns(spec.resolution_ms, windows.len() - 1);
        let written = chunks::write(file, spec.level, &columns, values.fuse(), key_values);
        if let Some(fault) = fault.into_inner() {
            return Err(fault);
        }
        let ((file, written), hash) = (written?, hash());
        let facts = facts.into_inner();
        if row != rows.len() {
            let reason = format!("{row} of {} series were read", rows.len());
            return Err(BlockError::Encode { file: layout::CHUNKS_FILE, reason });
        }
        let table = LabelTable::new(kept.into_inner().into_iter().map(|row| rows.labels(row)));
        let order = RowOrder {
            rows: &(0..facts.len() as u32).collect::<Vec<_>>(),
            // Rows keep the order that they have with those that went.
            sort_labels: &table.positions(rows.sort_names.iter().map(String::as_str)),
        };
        let identity = build::identity(spec, &windows, &facts, hash);
        let (meta, series_bytes) = build::seal(spec, &identity, &table, order, &facts, &written)?;
        Ok(MergedBlock { meta, series_bytes, chunks: Arc::new(file) })
    }

    /// Makes one series; returns its value in each column, `None` when nothing is left of it.
    fn row(
        &self,
        windows: &[i64],
        rows: &Rows,
        row: usize,
        parts: RowChunks,
    ) -> Result<Option<(SeriesRow, Vec<Bytes>)>, BlockError> {
        let labels = &rows.labels(row);
        let is_merge = self.of_ms == self.spec.resolution_ms;
        let parts = self.leave_out(labels, parts)?;
        if is_merge {
            self.check_parts(labels, &parts)?;
        }
        let made =
            if is_merge { self.merge_row(windows, &parts) } else { self.downsample_row(windows, &parts) };
        let made = made.map_err(|error| {
            let is_damaged = |(_, columns): &&(u16, RowColumns)| {
                let mut samples = Samples::default();
                let mut read = |chunks| chunk::read_merged(chunks, i64::MIN, i64::MAX, &mut samples);
                columns.iter().any(|(_, chunks)| read(chunks).is_err())
            };
            let damaged = parts.iter().find(is_damaged);
            self.bad_series(labels, damaged.unwrap_or(&parts[0]).0, error.to_string())
        })?;
        let Some((Span { first_ms, last_ms, samples }, values)) = made else { return Ok(None) };
        let samples = i32::try_from(samples).map_err(|_| BlockError::InvalidInput {
            block: self.spec.id,
            series: labels.to_string(),
            reason: format!("has {samples} samples, at most {} can be stored", i32::MAX),
        })?;
        let kinds = i32::from(rows.kinds[row]);
        Ok(Some((SeriesRow { kinds, first_ms, last_ms, samples }, values)))
    }

    /// Leaves deleted samples out of the chunks of one series.
    fn leave_out(&self, labels: &LabelSet, mut parts: RowChunks) -> Result<RowChunks, BlockError> {
        if self.erase.is_nothing() {
            return Ok(parts);
        }
        for (input, columns) in &mut parts {
            let erased = self.erase.erased(self.inputs[*input as usize], labels);
            let had_any = columns.iter().any(|(_, chunks)| !chunks.is_empty());
            for (_, chunks) in columns.iter_mut() {
                let left = chunk::without(std::mem::take(chunks), &erased);
                *chunks = left.map_err(|error| self.bad_series(labels, *input, error.to_string()))?;
            }
            // No chunk at all is damage, which the merge finds.
            if had_any && columns.iter().all(|(_, chunks)| chunks.is_empty()) {
                columns.clear();
            }
        }
        parts.retain(|(_, columns)| !columns.is_empty());
        Ok(parts)
    }

    /// Says that the samples that a block has of a series cannot be those that were written.
    fn bad_series(&self, labels: &LabelSet, input: u16, reason: String) -> BlockError {
        let block = self.inputs[input as usize];
        let source =
            BlockError::corrupt(layout::object_keys(block).1, Place::Series(labels.to_string()), reason);
        BlockError::Input { block, source: Box::new(source) }
    }

    /// Checks that each block that is to be merged has samples of a series, and all of them in its range.
    fn check_parts(&self, labels: &LabelSet, parts: &RowChunks) -> Result<(), BlockError> {
        let range = self.spec.range;
        for (input, columns) in parts {
            let is_within = |chunk: &EncodedChunk| {
                range.contains(chunk.start_ms) && range.contains(chunk.end_ms) && chunk.samples > 0
            };
            let mut all = columns.iter().flat_map(|(_, chunks)| chunks).peekable();
            if all.peek().is_none() || !all.all(is_within) {
                let reason = "no chunk, or one outside of the block's range".to_owned();
                return Err(self.bad_series(labels, *input, reason));
            }
        }
        Ok(())
    }

    /// Merges the chunks of one series, content by content and window by window.
    fn merge_row(&self, windows: &[i64], parts: &RowChunks) -> Written<ChunkError> {
        let mut values = Vec::new();
        let mut span = Span { first_ms: i64::MAX, last_ms: i64::MIN, samples: 0 };
        for (number, content) in Content::of(self.of_ms).iter().enumerate() {
            let listed = listed(parts, *content);
            for bounds in windows.windows(2) {
                let merged = merge_chunks(&clip_chunks(&listed, BlockRange::new(bounds[0], bounds[1]))?)?;
                span.include(
                    merged.first().map(|first| first.start_ms),
                    merged.last().map(|last| last.end_ms),
                );
                if number == 0 {
                    span.samples += merged.iter().map(|chunk| u64::from(chunk.samples)).sum::<u64>();
                }
                values.push(join_value(bounds[0], &merged));
            }
        }
        Ok(span.with(values))
    }

    /// Makes slots of one series.
    fn downsample_row(&self, windows: &[i64], parts: &RowChunks) -> Written<ChunkError> {
        let BlockSpec { range, resolution_ms, .. } = self.spec;
        let mut finer = Slots::default();
        for content in Content::of(self.of_ms) {
            let listed = listed(parts, *content);
            let (start_ms, end_ms) = (range.start.0, range.closed().end.0);
            chunk::read_merged(&listed, start_ms, end_ms, finer.column_mut(*content))?;
        }
        let slots = match self.of_ms {
            0 => slots::of_samples(&finer.last, resolution_ms),
            _ => slots::of_slots(&finer, resolution_ms),
        };
        let mut span = Span { first_ms: i64::MAX, last_ms: i64::MIN, samples: slots.last.len() as u64 };
        for column in slots.columns() {
            span.include(column.timestamps.first().copied(), column.timestamps.last().copied());
        }
        Ok(span.with(slots.values(windows)))
    }
}

/// Returns all chunks of a content, by input.
fn listed(parts: &RowChunks, content: Content) -> Vec<EncodedChunk> {
    let columns = parts.iter().flat_map(|(_, columns)| columns).filter(|(other, _)| *other == content);
    columns.flat_map(|(_, chunks)| chunks.iter().cloned()).collect()
}

impl Span {
    fn include(&mut self, first_ms: Option<i64>, last_ms: Option<i64>) {
        self.first_ms = first_ms.map_or(self.first_ms, |ms| self.first_ms.min(ms));
        self.last_ms = last_ms.map_or(self.last_ms, |ms| self.last_ms.max(ms));
    }

    fn with(self, values: Vec<Bytes>) -> Option<(Self, Vec<Bytes>)> {
        (self.first_ms <= self.last_ms).then_some((self, values))
    }
}
