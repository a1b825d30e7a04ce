//! Merges blocks of one shard into one, streaming, or makes slots of them; or a range of their series, when all would be too much for one ([`split()`]).
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
mod write;

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use model::{BlockId, BlockMeta, BlockRange, SortRange, TimeRange};
use tokio::sync::mpsc;

use crate::build::BlockSpec;
use crate::chunks::Sink;
use crate::erase::Erase;
use crate::error::BlockError;
use crate::layout;
use crate::reader::{BlockReader, RowColumns};
use rows::Rows;
use write::Work;

pub use split::{SplitLimits, split};

/// About how much memory one batch takes.
const BATCH_BYTES: u64 = 32 << 20;
/// What a row of an input takes in a batch besides its bytes: lists, counters, the allocator's share.
const PART_BYTES: u64 = 200;
/// How many batches wait for the writer.
const BATCHES_WAITING_MAX: usize = 1;

/// A finished block in files, not uploaded yet: merged, or built by [`crate::build_in_files`].
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
    pub(crate) fn new(meta: BlockMeta, series_bytes: Bytes, chunks: File) -> Self {
        Self { meta, series_bytes, chunks: Arc::new(chunks) }
    }

    /// Reads a part of `chunks.parquet`. Blocking.
    pub(crate) fn read_chunks(&self, range: Range<u64>) -> impl FnOnce() -> std::io::Result<Bytes> + use<> {
        let file = Arc::clone(&self.chunks);
        move || file.read_back(range)
    }
}

/// One row of the output: its chunks, by input.
type RowChunks = Vec<(u16, RowColumns)>;

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
    write_in_batches(spec(output, &inputs)?, inputs, erase, spool_dir, BATCH_BYTES).await
}

/// What of its inputs a downsampling reads, and what it makes of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slotting {
    /// The length of a slot, ms.
    pub resolution_ms: i64,
    /// The range of the output. Whole slots.
    pub window: BlockRange,
}

/// Downsamples opened blocks of one shard and resolution into one block; else as [`merge`].
///
/// # Errors
/// As [`merge`]; [`BlockError::Unlike`] also when the blocks' slots do not make up those that are wanted.
///
/// # Panics
/// When there is no input.
pub async fn downsample(
    output: &MergeOutput,
    slotting: Slotting,
    inputs: Vec<BlockReader>,
    erase: Arc<dyn Erase>,
    spool_dir: &Path,
) -> Result<MergedBlock, BlockError> {
    let spec = spec(output, &inputs)?;
    let Slotting { resolution_ms, window } = slotting;
    for input in inputs.iter().map(BlockReader::meta) {
        let unlike = |reason| BlockError::Unlike { block: input.id, other: output.id, reason };
        let of_ms = input.resolution_ms;
        if resolution_ms <= of_ms || of_ms > 0 && resolution_ms % of_ms != 0 {
            return Err(unlike("its slots do not make up whole ones"));
        }
        if !input.range.overlaps(&window.closed()) {
            return Err(unlike("it lies outside of the window"));
        }
    }
    let spec = BlockSpec { resolution_ms, range: window, ..spec };
    write_in_batches(spec, inputs, erase, spool_dir, BATCH_BYTES).await
}

async fn write_in_batches(
    spec: BlockSpec,
    mut inputs: Vec<BlockReader>,
    erase: Arc<dyn Erase>,
    spool_dir: &Path,
    batch_bytes: u64,
) -> Result<MergedBlock, BlockError> {
    inputs.sort_by_key(|input| input.meta().id);
    let fault =
        |e: &dyn std::fmt::Display| BlockError::Encode { file: layout::CHUNKS_FILE, reason: e.to_string() };
    let file = tempfile::tempfile_in(spool_dir).map_err(|e| fault(&e))?;
    let ended = |e: tokio::task::JoinError| fault(&e);
    let (shared, erased, part) = (inputs.clone(), Arc::clone(&erase), spec.sort_range.clone());
    let rows = tokio::task::spawn_blocking(move || Rows::join(&shared, &part, &*erased));
    let rows = rows.await.map_err(ended)??;
    let rows = Arc::new(rows);
    let (sender, receiver) = mpsc::channel(BATCHES_WAITING_MAX);
    let ids: Vec<BlockId> = inputs.iter().map(|input| input.meta().id).collect();
    let of_ms = inputs[0].meta().resolution_ms;
    // A merge takes everything: a sample outside of its block's range is damage.
    let time = if spec.resolution_ms == of_ms { TimeRange::ALL } else { spec.range.closed() };
    let work = Work { spec, inputs: ids, of_ms, erase };
    let shared = Arc::clone(&rows);
    let writer = tokio::task::spawn_blocking(move || work.write(&shared, receiver, file));
    let read = feed(&inputs, &rows, time, sender, batch_bytes).await;
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
        if meta.resolution_ms != first.resolution_ms {
            return Err(unlike("they have different resolutions"));
        }
    }
    let start = metas().map(|meta| meta.range.start).min().unwrap_or(first.range.start);
    let end = metas().map(|meta| meta.range.end).max().unwrap_or(first.range.end);
    Ok(BlockSpec {
        id: output.id,
        shard: first.shard,
        range: BlockRange { start, end },
        level: output.level,
        // The least: a delete that the catalogue hears of later concerns what was cut before it.
        cut_index: metas().map(|meta| meta.cut_index).min().unwrap_or(first.cut_index),
        parents: metas().map(|meta| meta.id).collect::<BTreeSet<_>>().into_iter().collect(),
        resolution_ms: first.resolution_ms,
        sort_range: output.sort_range.clone(),
        external_labels: first.external_labels.clone(),
        metadata: inputs.iter().flat_map(|input| input.metadata().iter().cloned()).collect(),
    })
}

/// Reads batch after batch for the writer, until all is read or the writer is gone.
async fn feed(
    inputs: &[BlockReader],
    rows: &Rows,
    time: TimeRange,
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
        let batch = read_batch(inputs, rows, time, next..end).await?;
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
    time: TimeRange,
    range: Range<usize>,
) -> Result<Vec<RowChunks>, BlockError> {
    let read = inputs.iter().enumerate().map(|(number, input)| {
        let sources = range.clone().flat_map(|row| rows.sources(row));
        let mut wanted: Vec<u32> =
            sources.filter(|source| source.input as usize == number).map(|source| source.row).collect();
        wanted.sort_unstable();
        async move {
            let fault = |source| BlockError::Input { block: input.meta().id, source: Box::new(source) };
            input.read_rows(wanted, time).await.map_err(fault)
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

#[cfg(test)]
mod tests {
    use model::{LabelSet, Samples, ShardId};
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
            let spec = spec(&output, &inputs).expect("blocks of one shard");
            let batched = write_in_batches(spec, inputs.clone(), nothing(), &dir, batch_bytes).await;
            assert_eq!(batched.expect("undamaged").meta, whole, "{batch_bytes}");
        }
    }
}
