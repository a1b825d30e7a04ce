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
/// The library checks a page's size after each batch of this many values.
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

/// Takes the values of rows in order and writes a row group whenever one is full.
pub(crate) struct ChunksWriter {
    writer: SerializedFileWriter<Vec<u8>>,
    group: Vec<ByteArray>,
    group_bytes: usize,
}

impl ChunksWriter {
    /// Starts a file.
    pub(crate) fn new() -> Result<Self> {
        let column = Type::primitive_type_builder(layout::CHUNKS_COLUMN, PhysicalType::BYTE_ARRAY)
            .with_repetition(Repetition::REQUIRED)
            .build()?;
        let schema = Type::group_type_builder("chunks").with_fields(vec![Arc::new(column)]).build()?;
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
        let writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
        Ok(Self { writer, group: Vec::new(), group_bytes: 0 })
    }

    /// Appends the value of the next row.
    pub(crate) fn push(&mut self, value: Vec<u8>) -> Result<()> {
        self.group_bytes += value.len();
        self.group.push(ByteArray::from(Bytes::from(value)));
        if self.group.len() >= GROUP_ROWS || self.group_bytes >= GROUP_BYTES {
            self.flush_group()?;
        }
        Ok(())
    }

    fn flush_group(&mut self) -> Result<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        let column = group.next_column()?;
        let mut column =
            column.ok_or_else(|| ParquetError::General("the schema has no column".to_owned()))?;
        column.typed::<ByteArrayType>().write_batch(&self.group, None, None)?;
        column.close()?;
        group.close()?;
        self.group.clear();
        self.group_bytes = 0;
        Ok(())
    }

    /// Writes the footer and measures what the other file must know of this one.
    pub(crate) fn finish(mut self, key_values: Vec<KeyValue>) -> Result<WrittenFile> {
        self.flush_group()?;
        key_values.into_iter().for_each(|entry| self.writer.append_key_value_metadata(entry));
        let tail_start = self.writer.bytes_written();
        let metadata = self.writer.finish()?;
        let bytes = std::mem::take(self.writer.inner_mut());
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
