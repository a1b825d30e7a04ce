//! Merges blocks of one shard into one, streaming; or a range of their series, when all would be too much for one ([`split`]).
//!
//! 1. Labels of all inputs, which their readers hold anyway, are joined and put in the order that the output has.
//! 2. Rows are read in that order, a batch at a time, from all inputs at once, and handed to a writer on a blocking thread.
//!    Inputs sort their rows by metric name first as the output does, so a batch touches few pages, hardly any twice.
//! 3. The writer makes each row's chunks ([`crate::chunks::merge_chunks`]) and writes `chunks.parquet` to a file without a
//!    name, then `series.parquet` to memory.
//!
//! 4. Deleted samples are left out of each input; a series of which nothing remains is not written.
//!
//! Held at once: labels, three batches, one row group; never a whole input or output. Equal inputs give equal
//! bytes, in whatever order they are given. Of equal timestamps the sample of the block with the lowest id stays.

mod rows;
mod split;

use std::cell::RefCell;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chunk::{ChunkError, EncodedChunk};
use model::{BlockId, BlockMeta, BlockRange, LabelSet, Samples, SortRange};
use tokio::sync::mpsc;

use crate::build::{self, BlockSpec, RowOrder};
use crate::chunks::{self, Sink, clip_chunks, join_value, merge_chunks};
use crate::erase::Erase;
use crate::error::BlockError;
use crate::layout;
use crate::order::LabelTable;
use crate::place::Place;
use crate::reader::BlockReader;
use crate::series::SeriesRow;
use rows::Rows;

pub use split::{SplitLimits, split};

/// About how much memory one batch takes.
const BATCH_BYTES: u64 = 32 << 20;
/// What a row of an input takes in a batch besides its bytes: lists, counters, the allocator's share.
const PART_BYTES: u64 = 200;
/// How many batches wait for the writer.
const BATCHES_WAITING_MAX: usize = 1;

/// A merged block that is not uploaded yet.
#[derive(Debug)]
pub struct MergedBlock {
    /// What the catalogue stores.
    pub meta: BlockMeta,
    /// `series.parquet`.
    pub(crate) series_bytes: Bytes,
    /// `chunks.parquet`, in a file that goes with this.
    chunks: Arc<File>,
}

impl MergedBlock {
    /// Reads a part of `chunks.parquet`. Blocking.
    pub(crate) fn read_chunks(&self, range: Range<u64>) -> impl FnOnce() -> std::io::Result<Bytes> + use<> {
        let file = Arc::clone(&self.chunks);
        move || file.read_back(range)
    }
}

/// One row of the output: its chunks, by input.
type RowChunks = Vec<(u16, Vec<EncodedChunk>)>;

/// What a merge writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeOutput {
    /// Its name.
    pub id: BlockId,
    /// Above those of the inputs.
    pub level: u8,
    /// Which of the inputs' series it gets.
    pub sort_range: SortRange,
}

/// Merges opened blocks of one shard into one block; `spool_dir` holds its samples meanwhile.
///
/// Samples that `erase` names are left out; when nothing remains, the output has no series. The range spans those of the
/// inputs. Dropping the future stops the writer at the next batch.
///
/// # Errors
/// [`BlockError::Unlike`] when the blocks are not of one shard and cluster; [`BlockError::Input`] names a block that cannot
/// be read, with the reason; [`BlockError::Encode`] when the output cannot be written.
///
/// # Panics
/// When there is no input.
pub async fn merge(
    output: &MergeOutput,
    inputs: Vec<BlockReader>,
    erase: Arc<dyn Erase>,
    spool_dir: &Path,
) -> Result<MergedBlock, BlockError> {
    merge_in_batches(output, inputs, erase, spool_dir, BATCH_BYTES).await
}

async fn merge_in_batches(
    output: &MergeOutput,
    mut inputs: Vec<BlockReader>,
    erase: Arc<dyn Erase>,
    spool_dir: &Path,
    batch_bytes: u64,
) -> Result<MergedBlock, BlockError> {
    inputs.sort_by_key(|input| input.meta().id);
    let spec = spec(output, &inputs)?;
    let fault =
        |e: &dyn std::fmt::Display| BlockError::Encode { file: layout::CHUNKS_FILE, reason: e.to_string() };
    let file = tempfile::tempfile_in(spool_dir).map_err(|e| fault(&e))?;
    let ended = |e: tokio::task::JoinError| fault(&e);
    let (shared, erased, part) = (inputs.clone(), Arc::clone(&erase), output.sort_range.clone());
    let rows = tokio::task::spawn_blocking(move || Rows::join(&shared, &part, &*erased));
    let rows = rows.await.map_err(ended)??;
    let rows = Arc::new(rows);
    let (sender, receiver) = mpsc::channel(BATCHES_WAITING_MAX);
    let ids: Vec<BlockId> = inputs.iter().map(|input| input.meta().id).collect();
    let shared = Arc::clone(&rows);
    let writer = tokio::task::spawn_blocking(move || write(&spec, &ids, &shared, &*erase, receiver, file));
    let read = feed(&inputs, &rows, sender, batch_bytes).await;
    // The writer ends when its sender is gone; what went wrong in reading is the earlier fault.
    let written = writer.await.map_err(ended)?;
    read?;
    written
}

/// Describes the output.
fn spec(output: &MergeOutput, inputs: &[BlockReader]) -> Result<BlockSpec, BlockError> {
    let first = inputs.first().expect("there is something to merge").meta();
    let metas = || inputs.iter().map(BlockReader::meta);
    for meta in metas() {
        let unlike = |reason| BlockError::Unlike { block: meta.id, other: first.id, reason };
        if meta.shard != first.shard {
            return Err(unlike("they are of different shards"));
        }
        if meta.external_labels != first.external_labels {
            return Err(unlike("they have different external labels"));
        }
    }
    let start = metas().map(|meta| meta.range.start).min().unwrap_or(first.range.start);
    let end = metas().map(|meta| meta.range.end).max().unwrap_or(first.range.end);
    Ok(BlockSpec {
        id: output.id,
        shard: first.shard,
        range: BlockRange { start, end },
        level: output.level,
        cut_index: metas().map(|meta| meta.cut_index).max().unwrap_or(first.cut_index),
        parents: metas().map(|meta| meta.id).collect(),
        resolution_ms: first.resolution_ms,
        sort_range: output.sort_range.clone(),
        external_labels: first.external_labels.clone(),
        metadata: inputs.iter().flat_map(|input| input.metadata(None)).collect(),
    })
}

/// Reads batch after batch for the writer, until all is read or the writer is gone.
async fn feed(
    inputs: &[BlockReader],
    rows: &Rows,
    sender: mpsc::Sender<Vec<RowChunks>>,
    batch_bytes: u64,
) -> Result<(), BlockError> {
    // Unpacked, a row takes more than its share of the object, about a byte a sample and more where bytes are incompressible.
    let part_bytes = |input: &BlockReader| {
        let meta = input.meta();
        meta.chunks_object.size_bytes.max(meta.samples) / meta.series.max(1) + PART_BYTES
    };
    let part_bytes: Vec<u64> = inputs.iter().map(part_bytes).collect();
    let mut next = 0;
    while next < rows.len() {
        let (mut end, mut bytes) = (next, 0);
        while end < rows.len() && bytes < batch_bytes {
            bytes += rows.sources(end).iter().map(|source| part_bytes[source.input as usize]).sum::<u64>();
            end += 1;
        }
        let batch = read_batch(inputs, rows, next..end).await?;
        if sender.send(batch).await.is_err() {
            return Ok(());
        }
        next = end;
    }
    Ok(())
}

/// Reads the chunks of some rows of the output from all inputs.
async fn read_batch(
    inputs: &[BlockReader],
    rows: &Rows,
    range: Range<usize>,
) -> Result<Vec<RowChunks>, BlockError> {
    let read = inputs.iter().enumerate().map(|(number, input)| {
        let sources = range.clone().flat_map(|row| rows.sources(row));
        let mut wanted: Vec<u32> =
            sources.filter(|source| source.input as usize == number).map(|source| source.row).collect();
        wanted.sort_unstable();
        async move {
            let fault = |source| BlockError::Input { block: input.meta().id, source: Box::new(source) };
            input.read_rows(wanted).await.map_err(fault)
        }
    });
    let mut read = futures::future::try_join_all(read).await?;
    let mut take = |source: &rows::Source| {
        let rows = &mut read[source.input as usize];
        let at = rows.binary_search_by_key(&source.row, |(row, _)| *row).expect("every wanted row was read");
        (source.input, std::mem::take(&mut rows[at].1))
    };
    Ok(range.map(|row| rows.sources(row).iter().map(&mut take).collect()).collect())
}

/// Writes both files from the batches. Blocking.
fn write(
    spec: &BlockSpec,
    inputs: &[BlockId],
    rows: &Rows,
    erase: &dyn Erase,
    mut batches: mpsc::Receiver<Vec<RowChunks>>,
    file: File,
) -> Result<MergedBlock, BlockError> {
    // Filled while the values are taken, read once they are written: facts of rows that are kept, and their numbers.
    let (facts, kept) = (RefCell::new(Vec::with_capacity(rows.len())), RefCell::new(Vec::new()));
    let mut row = 0;
    let fault = RefCell::new(None);
    let windows = layout::windows_of(spec.range, spec.level);
    let mut batch = Vec::new().into_iter();
    let values = std::iter::from_fn(|| {
        loop {
            let Some(chunks): Option<RowChunks> = batch.next() else {
                batch = batches.blocking_recv()?.into_iter();
                continue;
            };
            let merged = leave_out(inputs, &rows.labels[row], chunks, erase)
                .and_then(|chunks| merge_row(spec, &windows, inputs, rows, row, &chunks));
            row += 1;
            let merged = merged.map_err(|error| *fault.borrow_mut() = Some(error)).ok()?;
            if let Some((row_facts, values)) = merged {
                facts.borrow_mut().push(row_facts);
                kept.borrow_mut().push(row - 1);
                return Some(values);
            }
        }
    });
    let labels = |kept: &[usize]| kept.iter().map(|row| &rows.labels[*row]).collect::<Vec<_>>();
    let hash = || build::rows_hash(labels(&kept.borrow()).into_iter());
    let key_values = || build::identity(spec, &windows, &facts.borrow(), hash()).key_values();
    let written = chunks::write(file, spec.level, windows.len() - 1, values.fuse(), key_values);
    if let Some(fault) = fault.into_inner() {
        return Err(fault);
    }
    let ((file, written), hash) = (written?, hash());
    let (facts, labels) = (facts.into_inner(), labels(&kept.into_inner()));
    if row != rows.len() {
        let reason = format!("{row} of {} series were read", rows.len());
        return Err(BlockError::Encode { file: layout::CHUNKS_FILE, reason });
    }
    let table = LabelTable::new(labels.into_iter());
    let order = RowOrder {
        rows: &(0..facts.len() as u32).collect::<Vec<_>>(),
        // Rows keep the order that they have with those that went.
        sort_labels: &table.positions(rows.sort_names.iter().map(String::as_str)),
    };
    let identity = build::identity(spec, &windows, &facts, hash);
    let (meta, series_bytes) = build::seal(spec, &identity, &table, order, &facts, &written)?;
    Ok(MergedBlock { meta, series_bytes, chunks: Arc::new(file) })
}

/// Leaves deleted samples out of the chunks of one series.
fn leave_out(
    inputs: &[BlockId],
    labels: &LabelSet,
    parts: RowChunks,
    erase: &dyn Erase,
) -> Result<RowChunks, BlockError> {
    let left = parts.into_iter().map(|(input, chunks)| {
        let block = inputs[input as usize];
        // No chunk at all is damage, which the merge finds.
        if erase.is_nothing() || chunks.is_empty() {
            return Ok(Some((input, chunks)));
        }
        let left = chunk::without(chunks, &erase.erased(block, labels));
        let left = left.map_err(|error| bad_series(block, labels, error.to_string()))?;
        Ok((!left.is_empty()).then_some((input, left)))
    });
    left.filter_map(Result::transpose).collect()
}

/// Says that the samples that a block has of a series cannot be those that were written.
fn bad_series(block: BlockId, labels: &LabelSet, reason: String) -> BlockError {
    let source = BlockError::corrupt(layout::object_keys(block).1, Place::Series(labels.to_string()), reason);
    BlockError::Input { block, source: Box::new(source) }
}

/// Merges one series; returns its value in each window, `None` when nothing is left of it.
fn merge_row(
    spec: &BlockSpec,
    windows: &[i64],
    inputs: &[BlockId],
    rows: &Rows,
    row: usize,
    parts: &RowChunks,
) -> Result<Option<(SeriesRow, Vec<Bytes>)>, BlockError> {
    if parts.is_empty() {
        return Ok(None);
    }
    let labels = &rows.labels[row];
    let bad = |input: u16, reason: String| bad_series(inputs[input as usize], labels, reason);
    for (input, chunks) in parts {
        let is_within = |chunk: &EncodedChunk| {
            spec.range.contains(chunk.start_ms) && spec.range.contains(chunk.end_ms) && chunk.samples > 0
        };
        if chunks.is_empty() || !chunks.iter().all(is_within) {
            return Err(bad(*input, "no chunk, or one outside of the block's range".to_owned()));
        }
    }
    let merged = merge_windows(windows, parts).map_err(|error| {
        let is_damaged = |chunks: &[EncodedChunk]| {
            chunk::read_merged(chunks, i64::MIN, i64::MAX, &mut Samples::default()).is_err()
        };
        let damaged = parts.iter().find(|(_, chunks)| is_damaged(chunks));
        bad(damaged.unwrap_or(&parts[0]).0, error.to_string())
    })?;
    let all = || merged.iter().flatten();
    let samples = all().map(|chunk| u64::from(chunk.samples)).sum::<u64>();
    let samples = i32::try_from(samples).map_err(|_| BlockError::InvalidInput {
        block: spec.id,
        series: labels.to_string(),
        reason: format!("has {samples} samples, at most {} can be stored", i32::MAX),
    })?;
    let (first, last) = (all().next(), all().next_back());
    let facts = SeriesRow {
        kinds: i32::from(rows.kinds[row]),
        first_ms: first.expect("every part has a chunk within the range").start_ms,
        last_ms: last.expect("every part has a chunk within the range").end_ms,
        samples,
    };
    let values = windows.iter().zip(&merged).map(|(start_ms, chunks)| join_value(*start_ms, chunks));
    Ok(Some((facts, values.collect())))
}

/// Merges the chunks of one series window by window; `windows` are bounds.
fn merge_windows(windows: &[i64], parts: &RowChunks) -> Result<Vec<Vec<EncodedChunk>>, ChunkError> {
    let listed: Vec<EncodedChunk> = parts.iter().flat_map(|(_, chunks)| chunks.iter().cloned()).collect();
    let merge = |bounds: &[i64]| merge_chunks(&clip_chunks(&listed, BlockRange::new(bounds[0], bounds[1]))?);
    windows.windows(2).map(merge).collect()
}

#[cfg(test)]
mod tests {
    use model::ShardId;
    use object_store::ObjectStore;
    use object_store::memory::InMemory;

    use super::*;
    use crate::{BlockInput, EraseNothing, ObjectStoreReader, build as build_block, upload};

    /// Opens a block whose rows have another order than its neighbour's: which label has fewer values differs.
    async fn block(store: &Arc<dyn ObjectStore>, number: i64) -> BlockReader {
        let spec = BlockSpec {
            id: BlockId(number as u128),
            shard: ShardId(1),
            range: BlockRange::new(number * 1000, number * 1000 + 1000),
            level: 0,
            cut_index: 1,
            parents: Vec::new(),
            resolution_ms: 0,
            sort_range: model::SortRange::ALL,
            external_labels: Default::default(),
            metadata: Vec::new(),
        };
        let series = |at: i64| {
            let (few, many) = ((at % 3).to_string(), at.to_string());
            let (a, b) = if number % 2 == 0 { (&few, &many) } else { (&many, &few) };
            let mut samples = Samples::default();
            (0..20).for_each(|i| samples.push(number * 1000 + i * 40, (at * i) as f64));
            (LabelSet::from_pairs([("__name__", "m"), ("a", a.as_str()), ("b", b.as_str())]), samples)
        };
        let series: Vec<(LabelSet, Samples)> = (0..50).map(series).collect();
        let inputs = series.iter().map(|(labels, samples)| BlockInput { labels, samples });
        let built = build_block(&spec, inputs).expect("valid");
        upload(&**store, &built).await.expect("the name is free");
        let reader = Arc::new(ObjectStoreReader::new(Arc::clone(store)));
        BlockReader::open(reader, built.meta).await.expect("undamaged")
    }

    #[tokio::test]
    async fn the_size_of_batches_does_not_show() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut inputs = Vec::new();
        for number in 1..5 {
            inputs.push(block(&store, number).await);
        }
        let dir = std::env::temp_dir();
        let nothing = || Arc::new(EraseNothing);
        let output = MergeOutput { id: BlockId(9), level: 2, sort_range: SortRange::ALL };
        let whole = merge(&output, inputs.clone(), nothing(), &dir).await.expect("undamaged").meta;
        assert_eq!((whole.series, whole.samples), (97, 4 * 50 * 20));
        for batch_bytes in [1, 1000, 5000] {
            let batched = merge_in_batches(&output, inputs.clone(), nothing(), &dir, batch_bytes).await;
            assert_eq!(batched.expect("undamaged").meta, whole, "{batch_bytes}");
        }
    }
}
