//! Writes `chunks.parquet`.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Repetition, Type as PhysicalType, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use crate::layout::{self, ChunksFacts};

/// zstd's level for pages: the payload is dense already, what remains is found at the lowest level.
const ZSTD_LEVEL: i32 = 1;
/// Small pages make selective reads cheap.
const PAGE_BYTES: usize = 64 << 10;
/// The library checks a page's size after each batch of this many values, and is handed no more at once.
const BATCH_VALUES: usize = 16;
/// A row group ends at either of these.
const GROUP_ROWS: usize = 128 << 10;
const GROUP_BYTES: usize = 128 << 20;

/// A finished file.
pub(crate) struct WrittenFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) facts: ChunksFacts,
    pub(crate) page_crcs: Vec<u32>,
}

/// Writes the values of all rows, in row order, `values_bytes` together. Each is given up soon after it was taken.
pub(crate) fn write(
    key_values: Vec<KeyValue>,
    values: impl Iterator<Item = Bytes>,
    values_bytes: usize,
) -> Result<WrittenFile> {
    let column = Type::primitive_type_builder(layout::CHUNKS_COLUMN, PhysicalType::BYTE_ARRAY)
        .with_repetition(Repetition::REQUIRED)
        .build()?;
    let schema = Type::group_type_builder("chunks").with_fields(vec![Arc::new(column)]).build()?;
    let properties = Arc::new(properties()?);
    // The file is hardly ever larger than its values; a buffer that grows would be copied whole. Room unused stays untouched.
    let file = Vec::with_capacity(values_bytes);
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), properties)?;
    let mut values = values.map(ByteArray::from).peekable();
    while values.peek().is_some() {
        write_group(&mut writer, &mut values)?;
    }
    key_values.into_iter().for_each(|entry| writer.append_key_value_metadata(entry));
    finish(writer)
}

fn properties() -> Result<WriterProperties> {
    let properties = WriterProperties::builder()
        .set_created_by(layout::CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::DELTA_LENGTH_BYTE_ARRAY)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_write_batch_size(BATCH_VALUES)
        .set_max_row_group_row_count(None)
        .set_max_row_group_bytes(None)
        .build();
    Ok(properties)
}

/// Writes values until the row group is full or none is left.
fn write_group(
    writer: &mut SerializedFileWriter<Vec<u8>>,
    values: &mut impl Iterator<Item = ByteArray>,
) -> Result<()> {
    let mut group = writer.next_row_group()?;
    let column = group.next_column()?;
    let mut column = column.ok_or_else(|| ParquetError::General("the schema has no column".to_owned()))?;
    let (mut rows, mut bytes) = (0, 0);
    let mut batch = Vec::with_capacity(BATCH_VALUES);
    while rows < GROUP_ROWS && bytes < GROUP_BYTES {
        let Some(value) = values.next() else { break };
        rows += 1;
        bytes += value.len();
        batch.push(value);
        if batch.len() == BATCH_VALUES {
            column.typed::<ByteArrayType>().write_batch(&batch, None, None)?;
            batch.clear();
        }
    }
    column.typed::<ByteArrayType>().write_batch(&batch, None, None)?;
    column.close()?;
    group.close()?;
    Ok(())
}

/// Writes the footer and measures what the other file must know of this one.
fn finish(mut writer: SerializedFileWriter<Vec<u8>>) -> Result<WrittenFile> {
    let tail_start = writer.bytes_written();
    let metadata = writer.finish()?;
    let bytes = std::mem::take(writer.inner_mut());
    let tail = &bytes[tail_start..];
    let facts = ChunksFacts {
        size_bytes: bytes.len() as u64,
        tail_bytes: tail.len() as u64,
        crc32c: crc32c::crc32c(&bytes),
        tail_crc32c: crc32c::crc32c(tail),
    };
    let page_crcs = page_crcs(&bytes, &metadata);
    Ok(WrittenFile { bytes, facts, page_crcs })
}

fn page_crcs(bytes: &[u8], metadata: &ParquetMetaData) -> Vec<u32> {
    let groups = 0..metadata.num_row_groups();
    let crcs = groups.flat_map(|group| {
        let index = metadata.page_index_for_row_group(group);
        let pages = index.page_locations(0).cloned().expect("the offset index is always written");
        pages.into_iter().map(|page| {
            let start = page.offset as usize;
            crc32c::crc32c(&bytes[start..start + page.compressed_page_size as usize])
        })
    });
    crcs.collect()
}
