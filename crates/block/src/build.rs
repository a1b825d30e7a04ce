//! Builds a block: a pure function from series to the bytes of both files.
//!
//! Life cycle: 1. series are read, checked and encoded one by one, so that decoded samples are never held for more than
//! one; 2. rows are ordered; 3. `chunks.parquet` is written, and each value given up once its page is; 4. `series.parquet`,
//! which holds what proves the other file.
//!
//! Nothing here reads a clock, draws a random number or names the program's release, so replicas that build from equal
//! heads upload equal objects.

mod values;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use bytes::Bytes;
use chunk::ChunkError;
use model::{
    BlockId, BlockMeta, BlockRange, LabelSet, MetricMetadata, ObjectMeta, Samples, ShardId, SortRange,
    TimeRange,
};
use xxhash_rust::xxh3::Xxh3;

use crate::chunks::{self, Sink, encode_value};
use crate::error::BlockError;
use crate::layout::{self, Identity, Stats};
use crate::merge::MergedBlock;
use crate::order::{LabelTable, LabelTableBuilder};
use crate::reader::BlockSeries;
use crate::series::{self, SeriesRow, WrittenChunks};
use values::{SpooledValues, Values};

/// Everything of a block that is not in its series.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockSpec {
    /// Its name.
    pub id: BlockId,
    /// The shard it was cut from.
    pub shard: ShardId,
    /// The window that all samples lie in.
    pub range: BlockRange,
    /// 0 as cut; compaction counts up.
    pub level: u8,
    /// The shard's log index of the cut.
    pub cut_index: u64,
    /// The blocks it is merged from; none when it is cut from a head.
    pub parents: Vec<BlockId>,
    /// The length of a slot when it is downsampled, ms; 0 for raw samples, which is what [`build`] takes.
    pub resolution_ms: i64,
    /// Which part of the shard's series it may hold: all of them, unless a merge was split.
    pub sort_range: SortRange,
    /// The cluster's identity; recorded, not put on the series.
    pub external_labels: BTreeMap<String, String>,
    /// What metric families say of themselves; stored sorted, each entry once.
    pub metadata: Vec<MetricMetadata>,
}

/// A series as [`build`] takes it.
pub trait SeriesInput {
    /// Appends its samples in time order, each timestamp once. It may leave out those outside of `range`, the block's; a
    /// block refuses them.
    ///
    /// # Errors
    /// [`ChunkError`] when what it is read from is damaged.
    fn read(&self, range: TimeRange, out: &mut Samples) -> Result<(), ChunkError>;

    /// Gives up everything but its labels, which are without external labels.
    fn into_labels(self) -> LabelSet;
}

/// One series with its samples decoded.
#[derive(Clone, Copy, Debug)]
pub struct BlockInput<'a> {
    /// Its labels, without external labels.
    pub labels: &'a LabelSet,
    /// Within the block's range, strictly ascending in time.
    pub samples: &'a Samples,
}

impl SeriesInput for BlockInput<'_> {
    fn read(&self, _range: TimeRange, out: &mut Samples) -> Result<(), ChunkError> {
        out.extend_from(self.samples, 0..self.samples.len());
        Ok(())
    }

    fn into_labels(self) -> LabelSet {
        self.labels.clone()
    }
}

/// One series with its samples encoded. Its chunks may overlap, on equal timestamps the one listed first wins; samples
/// outside of the block's range are left out.
impl SeriesInput for BlockSeries {
    fn read(&self, range: TimeRange, out: &mut Samples) -> Result<(), ChunkError> {
        chunk::read_merged(&self.chunks, range.start.0, range.end.0, out)
    }

    fn into_labels(self) -> LabelSet {
        self.labels
    }
}

/// A finished block that is not uploaded yet.
#[derive(Clone, Debug, PartialEq)]
pub struct BuiltBlock {
    /// What the catalogue stores.
    pub meta: BlockMeta,
    /// `series.parquet`.
    pub series_bytes: Bytes,
    /// `chunks.parquet`.
    pub chunks_bytes: Bytes,
}

/// Builds a block from its series, in any order; equal input gives equal bytes. Series without samples are left out.
///
/// CPU-bound: about 40 ns a sample. Each series is read, encoded and given up before the next one is asked for: beside
/// labels and encoded samples, one series is held decoded. A block without series is valid.
///
/// # Errors
/// [`BlockError::InvalidInput`] when two series have the same labels, or samples are damaged, not ascending or outside of
/// the range; [`BlockError::Encode`] when a file cannot be written.
pub fn build<S: SeriesInput>(
    spec: &BlockSpec,
    series: impl IntoIterator<Item = S>,
) -> Result<BuiltBlock, BlockError> {
    let (meta, series_bytes, chunks_bytes) = build_with(spec, series, Vec::new(), Vec::with_capacity)?;
    Ok(BuiltBlock { meta, series_bytes, chunks_bytes: chunks_bytes.into() })
}

/// Builds the block that [`build`] does, in files without names of a directory: what is held beside `series.parquet` is
/// some 150 bytes a series, and each text of their labels once.
///
/// # Errors
/// As [`build`].
pub fn build_in_files<S: SeriesInput>(
    spec: &BlockSpec,
    series: impl IntoIterator<Item = S>,
    spool_dir: &Path,
) -> Result<MergedBlock, BlockError> {
    let file = || tempfile::tempfile_in(spool_dir).map_err(not_spooled);
    let (values, chunks) = (SpooledValues::new(file()?), file()?);
    let (meta, series_bytes, chunks) = build_with(spec, series, values, |_| chunks)?;
    Ok(MergedBlock::new(meta, series_bytes, chunks))
}

fn not_spooled(error: io::Error) -> BlockError {
    BlockError::Encode { file: layout::CHUNKS_FILE, reason: error.to_string() }
}

fn build_with<S: SeriesInput, V: Values, K: Sink>(
    spec: &BlockSpec,
    series: impl IntoIterator<Item = S>,
    values: V,
    sink: impl FnOnce(usize) -> K,
) -> Result<(BlockMeta, Bytes, K), BlockError> {
    let EncodedSeries { mut table, facts, mut values, values_bytes } =
        EncodedSeries::encode(spec, series, values)?;
    let sort_labels = table.sort_labels();
    let (rows, twins) = table.rows(&sort_labels);
    if let Some((twin, _)) = twins {
        return Err(invalid(spec, &table.label_set(twin as usize), "is given twice".to_owned()));
    }
    let facts: Vec<SeriesRow> = rows.iter().map(|row| facts[*row as usize]).collect();
    let windows = [spec.range.start.0, spec.range.end.0];
    let mut hash = RowsHash::default();
    rows.iter().for_each(|row| hash.push(&table.label_set(*row as usize)));
    let identity = identity(spec, &windows, &facts, hash.finish());
    let mut fault = None;
    let taken = rows.iter().map_while(|row| match values.take(*row) {
        Ok(value) => Some(vec![value]),
        Err(error) => {
            fault = Some(error);
            None
        }
    });
    // The file is hardly ever larger than its values; a buffer that grows would be copied whole. Room unused stays untouched.
    let columns = layout::chunk_columns(0, 1);
    let sink = sink(values_bytes);
    let written = chunks::write(sink, spec.level, &columns, taken, || identity.key_values());
    if let Some(error) = fault {
        return Err(not_spooled(error));
    }
    let (sink, written) = written?;
    let order = RowOrder { rows: &rows, sort_labels: &sort_labels };
    let (meta, series_bytes) = seal(spec, &identity, &table, order, &facts, &written)?;
    Ok((meta, series_bytes, sink))
}

/// Returns what both files say of their block, from the facts of all its rows.
pub(crate) fn identity<'a>(
    spec: &'a BlockSpec,
    windows: &'a [i64],
    facts: &[SeriesRow],
    rows_xxh3: u128,
) -> Identity<'a> {
    let samples = facts.iter().map(|row| row.samples as u64).sum();
    Identity {
        id: spec.id,
        shard: spec.shard,
        range: spec.range,
        level: spec.level,
        cut_index: spec.cut_index,
        parents: &spec.parents,
        resolution_ms: spec.resolution_ms,
        sort_range: &spec.sort_range,
        external_labels: &spec.external_labels,
        windows,
        stats: Stats { series: facts.len() as u64, samples },
        rows_xxh3,
    }
}

/// The order of a block's rows.
#[derive(Clone, Copy)]
pub(crate) struct RowOrder<'a> {
    /// Positions of the rows' series in the table.
    pub(crate) rows: &'a [u32],
    /// Positions of label names in the table, as they sort the rows.
    pub(crate) sort_labels: &'a [u32],
}

/// Writes `series.parquet` beside a finished `chunks.parquet`, and describes both.
pub(crate) fn seal(
    spec: &BlockSpec,
    identity: &Identity<'_>,
    table: &LabelTable,
    order: RowOrder<'_>,
    facts: &[SeriesRow],
    written: &WrittenChunks,
) -> Result<(BlockMeta, Bytes), BlockError> {
    let mut metadata = spec.metadata.clone();
    metadata.sort_unstable();
    metadata.dedup();
    let (series_bytes, series_tail) = series::write(identity, table, order, facts, &metadata, written)
        .map_err(|reason| BlockError::Encode { file: layout::SERIES_FILE, reason })?;
    let (series_key, chunks_key) = layout::object_keys(spec.id);
    let meta = BlockMeta {
        id: spec.id,
        shard: spec.shard,
        range: spec.range,
        level: spec.level,
        cut_index: spec.cut_index,
        series: identity.stats.series,
        samples: identity.stats.samples,
        external_labels: spec.external_labels.clone(),
        parents: spec.parents.clone(),
        resolution_ms: spec.resolution_ms,
        sort_range: spec.sort_range.clone(),
        series_object: ObjectMeta {
            key: series_key,
            size_bytes: series_bytes.len() as u64,
            tail_bytes: series_tail,
            crc32c: crc32c::crc32c(&series_bytes),
        },
        chunks_object: ObjectMeta {
            key: chunks_key,
            size_bytes: written.facts.size_bytes,
            tail_bytes: written.facts.tail_bytes,
            crc32c: written.facts.crc32c,
        },
    };
    Ok((meta, series_bytes.into()))
}

/// What remains of the input, one element a series.
struct EncodedSeries<V> {
    table: LabelTable,
    facts: Vec<SeriesRow>,
    /// What the chunks column holds of each.
    values: V,
    values_bytes: usize,
}

impl<V: Values> EncodedSeries<V> {
    fn encode<S: SeriesInput>(
        spec: &BlockSpec,
        series: impl IntoIterator<Item = S>,
        mut values: V,
    ) -> Result<Self, BlockError> {
        let (mut labels_of, mut facts, mut values_bytes) = (LabelTableBuilder::default(), Vec::new(), 0);
        let mut samples = Samples::default();
        for input in series {
            samples.clear();
            let read = input.read(spec.range.closed(), &mut samples);
            let labels = input.into_labels();
            let checked = read.map_err(|error| error.to_string());
            let checked = checked.and_then(|()| check(spec, &samples));
            checked.map_err(|reason| invalid(spec, &labels, reason))?;
            if samples.is_empty() {
                continue;
            }
            if labels_of.len() >= layout::ROWS_MAX {
                return Err(invalid(spec, &labels, format!("one of more than {} series", layout::ROWS_MAX)));
            }
            labels_of.push(&labels);
            facts.push(facts_of(&samples));
            let value = encode_value(spec.range.start.0, &samples);
            values_bytes += value.len();
            values.push(value).map_err(not_spooled)?;
        }
        values.finish().map_err(not_spooled)?;
        Ok(Self { table: labels_of.finish(), facts, values, values_bytes })
    }
}

fn invalid(spec: &BlockSpec, labels: &LabelSet, reason: String) -> BlockError {
    BlockError::InvalidInput { block: spec.id, series: labels.to_string(), reason }
}

/// Tells what is wrong with a series' samples, if anything is.
fn check(spec: &BlockSpec, samples: &Samples) -> Result<(), String> {
    let timestamps = &samples.timestamps;
    if timestamps.len() != samples.floats.len() {
        return Err(format!("{} timestamps but {} values", timestamps.len(), samples.floats.len()));
    }
    if !samples.histograms.iter().all(|(_, histogram)| histogram.is_storable()) {
        return Err("a histogram's spans are not those of its buckets".to_owned());
    }
    if i32::try_from(timestamps.len()).is_err() {
        return Err(format!("has {} samples, at most {} can be stored", timestamps.len(), i32::MAX));
    }
    if let Some(pair) = timestamps.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(format!("timestamp {} follows {}", pair[1], pair[0]));
    }
    let (Some(first), Some(last)) = (timestamps.first(), timestamps.last()) else { return Ok(()) };
    let range = spec.range;
    if !range.contains(*first) || !range.contains(*last) {
        return Err(format!(
            "samples from {first} to {last} lie outside of [{}, {})",
            range.start, range.end
        ));
    }
    Ok(())
}

/// Describes checked samples, of which there is at least one.
fn facts_of(samples: &Samples) -> SeriesRow {
    let timestamps = &samples.timestamps;
    SeriesRow {
        kinds: kinds(samples),
        first_ms: timestamps[0],
        last_ms: timestamps[timestamps.len() - 1],
        samples: timestamps.len() as i32,
    }
}

/// Returns what kinds of samples there are.
pub(crate) fn kinds(samples: &Samples) -> i32 {
    let mut kinds = 0;
    if samples.histograms.len() < samples.len() {
        let is_histogram = |at: usize| samples.histogram(at).is_some();
        let floats = samples.floats.iter().enumerate().filter(|(at, _)| !is_histogram(*at));
        for (_, value) in floats {
            kinds |= if model::is_stale(*value) { layout::KIND_STALE } else { layout::KIND_FLOAT };
        }
    }
    for (_, histogram) in &samples.histograms {
        kinds |= match histogram {
            histogram if histogram.is_stale() => layout::KIND_STALE,
            histogram if histogram.uses_custom_buckets() => layout::KIND_CUSTOM_BUCKETS,
            _ => layout::KIND_HISTOGRAM,
        };
    }
    let has_starts = samples.start_timestamps.iter().any(|start_ms| *start_ms != 0);
    kinds | if has_starts { layout::KIND_START } else { 0 }
}

/// Hashes the labels of all rows in row order, each after its length.
#[derive(Default)]
struct RowsHash(Xxh3);

impl RowsHash {
    fn push(&mut self, labels: &LabelSet) {
        let labels = labels.as_bytes();
        self.0.update(&(labels.len() as u64).to_le_bytes());
        self.0.update(labels);
    }

    fn finish(&self) -> u128 {
        self.0.digest128()
    }
}

/// Hashes the labels of all rows, given in row order.
pub(crate) fn rows_hash(rows: impl Iterator<Item = impl Borrow<LabelSet>>) -> u128 {
    let mut hash = RowsHash::default();
    rows.for_each(|labels| hash.push(labels.borrow()));
    hash.finish()
}
