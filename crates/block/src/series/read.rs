//! Reads `series.parquet`, which is always fetched whole.

use bytes::Bytes;
use model::varint::Cursor;
use model::{BlockMeta, MetricMetadata};
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{DataType, Int32Type, Int64Type};
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::error::BlockError;
use crate::index::LabelIndex;
use crate::layout::{self, ChunksFacts, Stats};
use crate::place::Place;
use crate::section::{self, SectionKind, SectionPlace};

/// A decoded `series.parquet`.
pub(crate) struct SeriesFile {
    /// Labels of all rows.
    pub(crate) index: LabelIndex,
    /// What each row holds, bits of [`layout::KIND_FLOAT`] and those beside it.
    pub(crate) kinds: Vec<u8>,
    /// First sample of each row, ms.
    pub(crate) first_ms: Vec<i64>,
    /// Last sample of each row, ms, inclusive.
    pub(crate) last_ms: Vec<i64>,
    /// Metadata of metric families.
    pub(crate) metadata: Vec<MetricMetadata>,
    /// What the other file must be.
    pub(crate) chunks: ChunksFacts,
    /// CRC-32C of each page of the other file.
    pub(crate) page_crcs: Vec<u32>,
    /// The hash that stands in both files.
    pub(crate) rows_xxh3: String,
}

impl SeriesFile {
    /// Checks and decodes the whole file. CPU-bound: linear in the number of labels of all rows.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`] with the place when the bytes are not those that the catalogue names.
    pub(crate) fn decode(meta: &BlockMeta, bytes: &Bytes) -> Result<Self, BlockError> {
        let object = &meta.series_object;
        let corrupt = |place: Place, reason: String| BlockError::corrupt(&object.key, place, reason);
        if bytes.len() as u64 != object.size_bytes {
            let reason = format!("{} bytes, expected {}", bytes.len(), object.size_bytes);
            return Err(corrupt(Place::Object, reason));
        }
        // Nothing below parses a byte that this checksum has not covered.
        let crc = crc32c::crc32c(bytes);
        if crc != object.crc32c {
            let reason = format!("checksum {crc:08x}, expected {:08x}", object.crc32c);
            return Err(corrupt(Place::Object, reason));
        }
        let file =
            SerializedFileReader::new(bytes.clone()).map_err(|e| corrupt(Place::Footer, e.to_string()))?;
        let entries = key_values(file.metadata());
        let stats = check_identity(meta, entries).map_err(|e| corrupt(Place::Metadata, e))?;
        let rows = u32::try_from(stats.series).map_err(|e| corrupt(Place::Metadata, e.to_string()))?;
        let section = |key: &str, kind: SectionKind| {
            read_section(bytes, entries, key, kind).map_err(|e| corrupt(Place::Section(kind.name()), e))
        };
        let index = LabelIndex::decode(&section(layout::KV_INDEX, SectionKind::Index)?, rows);
        let metadata = serde_json::from_slice(&section(layout::KV_METADATA, SectionKind::Metadata)?);
        let page_crcs = decode_page_crcs(&section(layout::KV_PAGES, SectionKind::Pages)?);
        let column = |name: &str| Place::Column(name.to_owned());
        let column64 =
            |name: &str| read_column::<Int64Type>(&file, name, rows).map_err(|e| corrupt(column(name), e));
        let column32 =
            |name: &str| read_column::<Int32Type>(&file, name, rows).map_err(|e| corrupt(column(name), e));
        let samples = column32(layout::SAMPLES_COLUMN)?;
        if samples.iter().map(|samples| i64::from(*samples)).sum::<i64>() != meta.samples as i64 {
            let reason = "does not add up to the block's samples".to_owned();
            return Err(corrupt(column(layout::SAMPLES_COLUMN), reason));
        }
        Ok(Self {
            index: index.map_err(|e| corrupt(Place::Section("index"), e))?,
            kinds: column32(layout::KINDS_COLUMN)?.into_iter().map(|kinds| kinds as u8).collect(),
            first_ms: column64(layout::MINT_COLUMN)?,
            last_ms: column64(layout::MAXT_COLUMN)?,
            metadata: metadata.map_err(|e| corrupt(Place::Section("metadata"), e.to_string()))?,
            chunks: layout::lookup_json(entries, layout::KV_CHUNKS)
                .map_err(|e| corrupt(Place::Metadata, e))?,
            page_crcs: page_crcs.map_err(|e| corrupt(Place::Section("pages"), e))?,
            rows_xxh3: layout::lookup(entries, layout::KV_ROWS_XXH3)
                .map_err(|e| corrupt(Place::Metadata, e))?
                .to_owned(),
        })
    }
}

impl SeriesFile {
    /// Returns how many rows there are.
    pub(crate) fn rows(&self) -> u32 {
        self.index.rows()
    }
}

/// Returns the key-value metadata of a file.
pub(crate) fn key_values(metadata: &ParquetMetaData) -> &[KeyValue] {
    metadata.file_metadata().key_value_metadata().map_or(&[], Vec::as_slice)
}

/// Compares what a file says of itself with the catalogue.
pub(crate) fn check_identity(meta: &BlockMeta, entries: &[KeyValue]) -> Result<Stats, String> {
    let format = layout::lookup(entries, layout::KV_FORMAT)?;
    if format != layout::FORMAT_VERSION {
        return Err(format!("format {format}, this program reads format {}", layout::FORMAT_VERSION));
    }
    let id = layout::lookup(entries, layout::KV_BLOCK)?;
    if id != meta.id.to_string() {
        return Err(format!("is of block {id}, expected {}", meta.id));
    }
    let resolution_ms = match entries.iter().any(|entry| entry.key == layout::KV_RESOLUTION) {
        true => layout::lookup_json(entries, layout::KV_RESOLUTION)?,
        false => 0,
    };
    if resolution_ms != meta.resolution_ms {
        return Err(format!("has a resolution of {resolution_ms} ms, expected {} ms", meta.resolution_ms));
    }
    let stats: Stats = layout::lookup_json(entries, layout::KV_STATS)?;
    let expected = Stats { series: meta.series, samples: meta.samples };
    if stats != expected {
        return Err(format!("has {stats:?}, expected {expected:?}"));
    }
    Ok(stats)
}

fn read_section(
    bytes: &Bytes,
    entries: &[KeyValue],
    key: &str,
    kind: SectionKind,
) -> Result<Vec<u8>, String> {
    let place: SectionPlace = layout::lookup_json(entries, key)?;
    let framed = place.bytes_of(bytes).ok_or_else(|| format!("{place:?} lies outside of the file"))?;
    section::decode(kind, framed)
}

pub(crate) fn decode_page_crcs(raw: &[u8]) -> Result<Vec<u32>, String> {
    let mut cursor = Cursor::new(raw);
    let count = cursor.count(4).map_err(|e| e.to_string())?;
    let (crcs, rest) = cursor.take(count * 4).map_err(|e| e.to_string())?.as_chunks::<4>();
    if !rest.is_empty() || !cursor.is_at_end() {
        return Err("trailing bytes".to_owned());
    }
    Ok(crcs.iter().map(|crc| u32::from_le_bytes(*crc)).collect())
}

/// Reads a required column of numbers.
pub(crate) fn read_column<T: DataType>(
    file: &SerializedFileReader<Bytes>,
    name: &str,
    rows: u32,
) -> Result<Vec<T::T>, String> {
    let mut values = Vec::new();
    let schema = file.metadata().file_metadata().schema_descr();
    let column = schema.columns().iter().position(|column| column.name() == name).ok_or("no such column")?;
    for group in 0..file.num_row_groups() {
        let group = file.get_row_group(group).map_err(|e| e.to_string())?;
        let reader = group.get_column_reader(column).map_err(|e| e.to_string())?;
        let mut reader = get_typed_column_reader::<T>(reader);
        let wanted = (rows as usize).saturating_sub(values.len());
        reader.read_records(wanted, None, None, &mut values).map_err(|e| e.to_string())?;
    }
    if values.len() != rows as usize {
        return Err(format!("{} values, expected {rows}", values.len()));
    }
    Ok(values)
}
