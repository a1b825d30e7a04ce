//! Writes `chunks.parquet`.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Repetition, Type as PhysicalType, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use crate::error::BlockError;
use crate::layout::{self, ChunksFacts};
use crate::series::WrittenChunks;

/// How pages are made, by the block's level.
struct PageStyle {
    zstd_level: i32,
    bytes: usize,
}

/// As cut: small pages make selective reads cheap, and what zstd finds in dense payload it finds at its lowest level.
const CUT: PageStyle = PageStyle { zstd_level: 1, bytes: 64 << 10 };
/// Merged: values are longer, so fewer of them fill a page; written once and read for long.
const MERGED: PageStyle = PageStyle { zstd_level: 3, bytes: 128 << 10 };
/// The library checks a page's size after each batch of this many values, and is handed no more at once.
const BATCH_VALUES: usize = 16;
/// A row group ends at either of these.
const GROUP_ROWS: usize = 128 << 10;
const GROUP_BYTES: usize = 128 << 20;

/// Where the file goes: memory, or a file on disk.
pub(crate) trait Sink: Write + Send {
    /// Reads what was written before.
    fn read_back(&self, range: Range<u64>) -> io::Result<Bytes>;
}

impl Sink for Vec<u8> {
    fn read_back(&self, range: Range<u64>) -> io::Result<Bytes> {
        Ok(Bytes::copy_from_slice(&self[range.start as usize..range.end as usize]))
    }
}

impl Sink for File {
    fn read_back(&self, range: Range<u64>) -> io::Result<Bytes> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    }
}

/// Sums up what passes.
struct Summed<S> {
    sink: S,
    crc32c: u32,
}

impl<S: Write> Write for Summed<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.crc32c = crc32c::crc32c_append(self.crc32c, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Writes the values of all rows, in row order, one a column each, to an empty sink; returns the sink and what the other file must know.
///
/// Values of the first column are given up soon after they were taken, those of the others with their row group, of which one
/// is held. The metadata is asked for after the last value.
///
/// # Errors
/// [`BlockError::Encode`] when the library or the sink refuses.
pub(crate) fn write<S: Sink>(
    sink: S,
    level: u8,
    columns: &[String],
    values: impl Iterator<Item = Vec<Bytes>>,
    key_values: impl FnOnce() -> Vec<KeyValue>,
) -> std::result::Result<(S, WrittenChunks), BlockError> {
    write_file(sink, level, columns, values, key_values)
        .map_err(|e| BlockError::Encode { file: layout::CHUNKS_FILE, reason: e.to_string() })
}

fn write_file<S: Sink>(
    sink: S,
    level: u8,
    columns: &[String],
    values: impl Iterator<Item = Vec<Bytes>>,
    key_values: impl FnOnce() -> Vec<KeyValue>,
) -> Result<(S, WrittenChunks)> {
    let column = |name: &String| {
        Type::primitive_type_builder(name, PhysicalType::BYTE_ARRAY)
            .with_repetition(Repetition::REQUIRED)
            .build()
            .map(Arc::new)
    };
    let fields = columns.iter().map(column).collect::<Result<Vec<_>>>()?;
    let schema = Type::group_type_builder("chunks").with_fields(fields).build()?;
    let properties = Arc::new(properties(if level == 0 { CUT } else { MERGED })?);
    let mut summed = Summed { sink, crc32c: 0 };
    let mut writer = SerializedFileWriter::new(&mut summed, Arc::new(schema), properties)?;
    let mut values = values.peekable();
    while values.peek().is_some() {
        write_group(&mut writer, columns.len(), &mut values)?;
    }
    key_values().into_iter().for_each(|entry| writer.append_key_value_metadata(entry));
    let tail_start = writer.bytes_written() as u64;
    let metadata = writer.finish()?;
    let size_bytes = writer.bytes_written() as u64;
    drop(writer);
    let Summed { sink, crc32c } = summed;
    let tail = sink.read_back(tail_start..size_bytes)?;
    let facts =
        ChunksFacts { size_bytes, tail_bytes: tail.len() as u64, crc32c, tail_crc32c: crc32c::crc32c(&tail) };
    let page_crcs = page_crcs(&sink, &metadata)?;
    Ok((sink, WrittenChunks { facts, page_crcs }))
}

fn properties(pages: PageStyle) -> Result<WriterProperties> {
    let properties = WriterProperties::builder()
        .set_created_by(layout::CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(pages.zstd_level)?))
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::DELTA_LENGTH_BYTE_ARRAY)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_data_page_size_limit(pages.bytes)
        .set_write_batch_size(BATCH_VALUES)
        .set_max_row_group_row_count(None)
        .set_max_row_group_bytes(None)
        .build();
    Ok(properties)
}

/// Writes rows until the row group is full or none is left.
fn write_group<W: Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    columns: usize,
    rows: &mut impl Iterator<Item = Vec<Bytes>>,
) -> Result<()> {
    let mut group = writer.next_row_group()?;
    // The file has one column after the other, so all but the first wait.
    let mut waiting: Vec<Vec<ByteArray>> = vec![Vec::new(); columns.saturating_sub(1)];
    let (mut count, mut bytes) = (0, 0);
    let first = std::iter::from_fn(|| {
        let row = (count < GROUP_ROWS && bytes < GROUP_BYTES).then(|| rows.next()).flatten()?;
        count += 1;
        bytes += row.iter().map(Bytes::len).sum::<usize>();
        let mut values = row.into_iter().map(ByteArray::from);
        let first = values.next()?;
        waiting.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
        Some(first)
    });
    write_column(&mut group, first)?;
    for column in waiting {
        write_column(&mut group, column.into_iter())?;
    }
    group.close()?;
    Ok(())
}

fn write_column<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: impl Iterator<Item = ByteArray>,
) -> Result<()> {
    let column = group.next_column()?;
    let mut column =
        column.ok_or_else(|| ParquetError::General("the schema has no such column".to_owned()))?;
    let mut batch = Vec::with_capacity(BATCH_VALUES);
    for value in values {
        batch.push(value);
        if batch.len() == BATCH_VALUES {
            column.typed::<ByteArrayType>().write_batch(&batch, None, None)?;
            batch.clear();
        }
    }
    column.typed::<ByteArrayType>().write_batch(&batch, None, None)?;
    column.close()
}

fn page_crcs(sink: &impl Sink, metadata: &ParquetMetaData) -> Result<Vec<u32>> {
    let mut crcs = Vec::new();
    for group in 0..metadata.num_row_groups() {
        let index = metadata.page_index_for_row_group(group);
        for column in 0..metadata.row_group(group).num_columns() {
            for page in index.page_locations(column).expect("the offset index is always written") {
                let start = page.offset as u64;
                let bytes = sink.read_back(start..start + page.compressed_page_size as u64)?;
                crcs.push(crc32c::crc32c(&bytes));
            }
        }
    }
    Ok(crcs)
}
