//! Writes `series.parquet`.

use std::sync::Arc;

use bytes::Bytes;
use model::{LabelSet, MetricMetadata, varint};
use parquet::basic::{
    Compression, ConvertedType, Encoding, LogicalType, Repetition, Type as PhysicalType, ZstdLevel,
};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type};

use crate::build::RowOrder;
use crate::index;
use crate::layout::{self, Identity, key_value};
use crate::order::LabelTable;
use crate::section::{self, SectionKind};

/// zstd's level for the columns; they are small, so the best ratio that is still quick.
const ZSTD_LEVEL: i32 = 3;
/// Dictionaries never fall back to plain values below this size (the library's default is 1 MiB).
const DICTIONARY_BYTES_MAX: usize = 64 << 20;
const PAGE_BYTES: usize = 256 << 10;
/// How many rows' values are gathered before they are handed to the column writer.
const BATCH_ROWS: usize = 16 << 10;

/// What the `s_` columns hold of one series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeriesRow {
    /// Bits, see [`layout::KIND_FLOAT`].
    pub(crate) kinds: i32,
    /// First sample, ms.
    pub(crate) first_ms: i64,
    /// Last sample, ms.
    pub(crate) last_ms: i64,
    /// Number of samples.
    pub(crate) samples: i32,
}

/// What the other file turned out to be.
pub(crate) struct WrittenChunks {
    pub(crate) facts: layout::ChunksFacts,
    /// CRC-32C of each page of the chunks column, in file order.
    pub(crate) page_crcs: Vec<u32>,
}

/// The labels that have columns, and the others.
struct Columns {
    /// Positions in the table's names, `__name__` first, the rest ascending.
    own: Vec<u32>,
    /// By position in the table's names: whether the label has a column.
    has_column: Vec<bool>,
}

impl Columns {
    fn choose(table: &LabelTable) -> Self {
        let frequencies = table.frequencies();
        let is_metric_name = |name: u32| *table.names[name as usize] == *model::labels::METRIC_NAME;
        let mut own: Vec<u32> = (0..table.names.len() as u32).collect();
        own.sort_by_key(|name| (!is_metric_name(*name), usize::MAX - frequencies[*name as usize], *name));
        own.truncate(layout::LABEL_COLUMNS_MAX);
        own.sort_by_key(|name| (!is_metric_name(*name), *name));
        let mut has_column = vec![false; table.names.len()];
        own.iter().for_each(|name| has_column[*name as usize] = true);
        Self { own, has_column }
    }

    fn name(&self, table: &LabelTable, column: usize) -> String {
        format!("{}{}", layout::LABEL_COLUMN_PREFIX, table.names[self.own[column] as usize])
    }

    fn has_rest(&self) -> bool {
        self.has_column.contains(&false)
    }
}

/// Returns the file's bytes and how many of them at its end are page index and footer.
///
/// # Errors
/// A sentence when the library refuses.
pub(crate) fn write(
    identity: &Identity<'_>,
    table: &LabelTable,
    order: RowOrder<'_>,
    facts: &[SeriesRow],
    metadata: &[MetricMetadata],
    chunks: &WrittenChunks,
) -> Result<(Vec<u8>, u64), String> {
    let columns = Columns::choose(table);
    let RowOrder { rows, sort_labels } = order;
    let mut bytes = Vec::new();
    let fault = |e: parquet::errors::ParquetError| e.to_string();
    let schema = schema(table, &columns).map_err(fault)?;
    let properties = properties(&columns, sort_labels).map_err(fault)?;
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).map_err(fault)?;
    if !rows.is_empty() {
        let mut group = writer.next_row_group().map_err(fault)?;
        write_columns(&mut group, table, &columns, rows, facts).map_err(fault)?;
        group.close().map_err(fault)?;
    }
    for entry in identity.key_values() {
        writer.append_key_value_metadata(entry);
    }
    let sort_names: Vec<&str> = sort_labels.iter().map(|name| &*table.names[*name as usize]).collect();
    writer.append_key_value_metadata(key_value(layout::KV_SORT_LABELS, layout::json(&sort_names)));
    writer.append_key_value_metadata(key_value(layout::KV_CHUNKS, layout::json(&chunks.facts)));
    let sections = [
        (layout::KV_INDEX, SectionKind::Index, index::encode(table, rows)?),
        (layout::KV_METADATA, SectionKind::Metadata, layout::json(&metadata).into_bytes()),
        (layout::KV_PAGES, SectionKind::Pages, encode_page_crcs(&chunks.page_crcs)),
    ];
    for (key, kind, raw) in sections {
        let framed = section::encode(kind, &raw)?;
        let place = section::place(kind, writer.bytes_written(), &framed);
        writer.write_all(&framed).map_err(|e| e.to_string())?;
        writer.append_key_value_metadata(key_value(key, layout::json(&place)));
    }
    let tail_start = writer.bytes_written() as u64;
    writer.close().map_err(fault)?;
    let tail = bytes.len() as u64 - tail_start;
    Ok((bytes, tail))
}

fn encode_page_crcs(crcs: &[u32]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(4 * crcs.len() + 5);
    varint::push_unsigned(&mut raw, crcs.len() as u64);
    crcs.iter().for_each(|crc| raw.extend_from_slice(&crc.to_le_bytes()));
    raw
}

fn schema(table: &LabelTable, columns: &Columns) -> parquet::errors::Result<Arc<Type>> {
    let text = |name: &str| {
        Type::primitive_type_builder(name, PhysicalType::BYTE_ARRAY)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(Some(LogicalType::String))
            .with_converted_type(ConvertedType::UTF8)
            .build()
    };
    let required = |name: &str, kind| {
        Type::primitive_type_builder(name, kind).with_repetition(Repetition::REQUIRED).build()
    };
    let mut fields = Vec::new();
    for column in 0..columns.own.len() {
        fields.push(text(&columns.name(table, column))?);
    }
    if columns.has_rest() {
        let rest = Type::primitive_type_builder(layout::REST_COLUMN, PhysicalType::BYTE_ARRAY);
        fields.push(rest.with_repetition(Repetition::OPTIONAL).build()?);
    }
    fields.push(required(layout::KINDS_COLUMN, PhysicalType::INT32)?);
    fields.push(required(layout::MINT_COLUMN, PhysicalType::INT64)?);
    fields.push(required(layout::MAXT_COLUMN, PhysicalType::INT64)?);
    fields.push(required(layout::SAMPLES_COLUMN, PhysicalType::INT32)?);
    let fields = fields.into_iter().map(Arc::new).collect();
    Type::group_type_builder("series").with_fields(fields).build().map(Arc::new)
}

fn properties(columns: &Columns, sort_labels: &[u32]) -> parquet::errors::Result<WriterProperties> {
    // Rows are sorted by the columns of the sort labels up to the first that has no column.
    let sorting = sort_labels.iter().map_while(|name| columns.own.iter().position(|own| own == name));
    let sorting = sorting.map(|column| SortingColumn {
        column_idx: column as i32,
        descending: false,
        nulls_first: true,
    });
    let mut properties = WriterProperties::builder()
        .set_created_by(layout::CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_max_row_group_row_count(None)
        .set_max_row_group_bytes(None)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_column_index_truncate_length(Some(64))
        .set_sorting_columns(Some(sorting.collect()));
    let path = |name: &str| ColumnPath::new(vec![name.to_owned()]);
    for name in [layout::MINT_COLUMN, layout::MAXT_COLUMN, layout::SAMPLES_COLUMN] {
        properties = properties
            .set_column_dictionary_enabled(path(name), false)
            .set_column_encoding(path(name), Encoding::DELTA_BINARY_PACKED)
            .set_column_statistics_enabled(path(name), EnabledStatistics::None);
    }
    for name in [layout::KINDS_COLUMN, layout::REST_COLUMN] {
        properties = properties.set_column_statistics_enabled(path(name), EnabledStatistics::None);
    }
    Ok(properties.build())
}

fn write_columns<W: std::io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    table: &LabelTable,
    columns: &Columns,
    rows: &[u32],
    facts: &[SeriesRow],
) -> parquet::errors::Result<()> {
    for name in &columns.own {
        // Dictionary entries of one value share its bytes.
        let values: Vec<ByteArray> = table.values[*name as usize]
            .iter()
            .map(|value| ByteArray::from(Bytes::copy_from_slice(value.as_bytes())))
            .collect();
        write_optional(group, rows, |series| {
            let cells = table.cells(series as usize);
            let cell = cells.binary_search_by_key(name, |cell| cell.name).ok()?;
            Some(values[cells[cell].value as usize].clone())
        })?;
    }
    if columns.has_rest() {
        write_optional(group, rows, |series| {
            let rest =
                table.cells(series as usize).iter().filter(|cell| !columns.has_column[cell.name as usize]);
            let texts = rest.map(|cell| (&*table.names[cell.name as usize], table.value(*cell)));
            let rest = LabelSet::from_sorted(texts).expect("a subset of a label set");
            (!rest.is_empty()).then(|| ByteArray::from(Bytes::copy_from_slice(rest.as_bytes())))
        })?;
    }
    write_required::<Int32Type, _>(group, facts, |row| row.kinds)?;
    write_required::<Int64Type, _>(group, facts, |row| row.first_ms)?;
    write_required::<Int64Type, _>(group, facts, |row| row.last_ms)?;
    write_required::<Int32Type, _>(group, facts, |row| row.samples)
}

fn next_column_missing() -> parquet::errors::ParquetError {
    parquet::errors::ParquetError::General("the schema has fewer columns than are written".to_owned())
}

fn write_optional<W: std::io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: &[u32],
    value_of: impl Fn(u32) -> Option<ByteArray>,
) -> parquet::errors::Result<()> {
    let mut column = group.next_column()?.ok_or_else(next_column_missing)?;
    for batch in rows.chunks(BATCH_ROWS) {
        let values: Vec<Option<ByteArray>> = batch.iter().map(|series| value_of(*series)).collect();
        let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
        let present: Vec<ByteArray> = values.into_iter().flatten().collect();
        column.typed::<ByteArrayType>().write_batch(&present, Some(&levels), None)?;
    }
    column.close()
}

fn write_required<T: DataType, W: std::io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    facts: &[SeriesRow],
    value_of: impl Fn(&SeriesRow) -> T::T,
) -> parquet::errors::Result<()> {
    let mut column = group.next_column()?.ok_or_else(next_column_missing)?;
    for batch in facts.chunks(BATCH_ROWS) {
        let values: Vec<T::T> = batch.iter().map(&value_of).collect();
        column.typed::<T>().write_batch(&values, None, None)?;
    }
    column.close()
}
