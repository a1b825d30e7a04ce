//! What a block says of itself: the catalogue's entry, rebuilt from the metadata of `series.parquet`. For tools that have no
//! catalogue at hand; the cluster itself believes the catalogue alone.

use bytes::Bytes;
use model::{BlockMeta, BlockRange, ObjectMeta, ShardId};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use crate::error::BlockError;
use crate::layout::{self, ChunksFacts, Stats};
use crate::place::Place;
use crate::range::{RangeReader, read_exact};
use crate::section::SectionPlace;
use crate::series::key_values;

/// How much of a file's end is read at first: the footers of most blocks are shorter.
const TAIL_BYTES: u64 = 64 << 10;

/// Reads the end of a `series.parquet` of `size_bytes` and returns what the catalogue would say of its block. What only the
/// whole object tells, its checksum, is 0. `chunks_key` is where the other file lies. Cancel-safe.
///
/// # Errors
/// `Corrupt` when this is no such file; those of [`RangeReader::read`].
pub async fn describe(
    reader: &dyn RangeReader,
    series_key: &str,
    chunks_key: &str,
    size_bytes: u64,
) -> Result<BlockMeta, BlockError> {
    let mut length = TAIL_BYTES.min(size_bytes);
    loop {
        let tail = read_exact(reader, series_key, size_bytes - length..size_bytes).await?;
        match footer(&tail, size_bytes) {
            Err(ParquetError::NeedMoreData(more)) if (length..size_bytes).contains(&(more as u64)) => {
                length = (more as u64).max(length + 1);
            }
            Err(error) => return Err(BlockError::corrupt(series_key, Place::Footer, error)),
            Ok(metadata) => {
                let entry = entry(key_values(&metadata), series_key, chunks_key, size_bytes);
                return entry.map_err(|reason| BlockError::corrupt(series_key, Place::Metadata, reason));
            }
        }
    }
}

/// Completes what [`describe()`] returned with the checksum of `series.parquet`, which it reads whole. Cancel-safe.
///
/// # Errors
/// Those of [`RangeReader::read`].
pub async fn sum_up(reader: &dyn RangeReader, meta: &mut BlockMeta) -> Result<(), BlockError> {
    let object = &mut meta.series_object;
    let bytes = read_exact(reader, &object.key, 0..object.size_bytes).await?;
    object.crc32c = crc32c::crc32c(&bytes);
    Ok(())
}

/// Parses the footer at the end of some bytes.
pub(crate) fn footer(tail: &Bytes, size_bytes: u64) -> Result<ParquetMetaData, ParquetError> {
    let mut reader = ParquetMetaDataReader::new()
        .with_column_index_policy(PageIndexPolicy::Skip)
        .with_offset_index_policy(PageIndexPolicy::Skip);
    reader.try_parse_sized(tail, size_bytes)?;
    reader.finish()
}

/// Rebuilds the catalogue's entry from the metadata of `series.parquet`.
///
/// # Errors
/// A sentence that names the key.
pub(crate) fn entry(
    entries: &[KeyValue],
    series_key: &str,
    chunks_key: &str,
    size_bytes: u64,
) -> Result<BlockMeta, String> {
    let format = layout::lookup(entries, layout::KV_FORMAT)?;
    if format != layout::FORMAT_VERSION {
        return Err(format!("format {format}, this program reads format {}", layout::FORMAT_VERSION));
    }
    let stats: Stats = layout::lookup_json(entries, layout::KV_STATS)?;
    let chunks: ChunksFacts = layout::lookup_json(entries, layout::KV_CHUNKS)?;
    let last: SectionPlace = layout::lookup_json(entries, layout::KV_PAGES)?;
    let tail_start = last.offset.checked_add(last.length).filter(|start| *start <= size_bytes);
    let tail_start = tail_start.ok_or_else(|| format!("{last:?} lies outside of the file"))?;
    let is_there = |key: &str| entries.iter().any(|entry| entry.key == key);
    Ok(BlockMeta {
        id: layout::lookup(entries, layout::KV_BLOCK)?.parse()?,
        shard: ShardId(number(entries, layout::KV_SHARD)?),
        range: BlockRange::new(number(entries, layout::KV_MINT)?, number(entries, layout::KV_MAXT)?),
        level: number(entries, layout::KV_LEVEL)?,
        cut_index: number(entries, layout::KV_CUT_INDEX)?,
        series: stats.series,
        samples: stats.samples,
        external_labels: layout::lookup_json(entries, layout::KV_EXTERNAL_LABELS)?,
        parents: match is_there(layout::KV_PARENTS) {
            true => layout::lookup_json(entries, layout::KV_PARENTS)?,
            false => Vec::new(),
        },
        resolution_ms: match is_there(layout::KV_RESOLUTION) {
            true => number(entries, layout::KV_RESOLUTION)?,
            false => 0,
        },
        sort_range: match is_there(layout::KV_SORT_RANGE) {
            true => layout::lookup_json(entries, layout::KV_SORT_RANGE)?,
            false => model::SortRange::ALL,
        },
        series_object: ObjectMeta {
            key: series_key.to_owned(),
            size_bytes,
            tail_bytes: size_bytes - tail_start,
            crc32c: 0,
        },
        chunks_object: ObjectMeta {
            key: chunks_key.to_owned(),
            size_bytes: chunks.size_bytes,
            tail_bytes: chunks.tail_bytes,
            crc32c: chunks.crc32c,
        },
    })
}

fn number<T: std::str::FromStr<Err: std::fmt::Display>>(
    entries: &[KeyValue],
    key: &str,
) -> Result<T, String> {
    let text = layout::lookup(entries, key)?;
    text.parse().map_err(|e| format!("{key} is {text:?}: {e}"))
}
