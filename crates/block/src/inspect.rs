//! What a block is made of, for people: metadata, columns, pages, sections and labels with their sizes.
//!
//! Nothing is verified beyond what parsing needs; see [`crate::verify()`].

use bytes::Bytes;
use model::BlockMeta;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use serde::Serialize;

use crate::error::BlockError;
use crate::index::{self, LabelLayout};
use crate::layout;
use crate::place::Place;
use crate::range::{RangeReader, read_exact};
use crate::reader::tail_of;
use crate::section::{self, SectionKind, SectionPlace};
use crate::series::key_values;

/// What a block is made of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// `series.parquet`.
    pub series: FileLayout,
    /// `chunks.parquet`.
    pub chunks: FileLayout,
    /// What is embedded in `series.parquet`, in the order of the file.
    pub sections: Vec<SectionLayout>,
    /// What each label takes in the index, before compression; by name.
    pub labels: Vec<LabelLayout>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileLayout {
    /// The object's key.
    pub key: String,
    /// Its size.
    pub size_bytes: u64,
    /// How many bytes at its end are page index and footer.
    pub tail_bytes: u64,
    /// Number of row groups.
    pub row_groups: usize,
    /// Number of rows.
    pub rows: i64,
    /// Key-value metadata, in the order of the file.
    pub key_values: Vec<(String, String)>,
    /// Columns, in the order of the file.
    pub columns: Vec<ColumnLayout>,
}

/// One column over all row groups.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnLayout {
    /// Its name.
    pub name: String,
    /// How values are encoded, levels and dictionaries included.
    pub encodings: Vec<String>,
    /// Data pages; 0 when the file has no index of them.
    pub pages: usize,
    /// Bytes in the file, headers included.
    pub bytes: i64,
    /// Bytes before compression.
    pub raw_bytes: i64,
}

/// One embedded section.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SectionLayout {
    /// Its name.
    pub name: &'static str,
    /// Where it begins.
    pub offset: u64,
    /// Bytes in the file, its frame included.
    pub bytes: u64,
    /// Bytes before compression.
    pub raw_bytes: u64,
}

/// Reads `series.parquet` and the end of `chunks.parquet`. Cancel-safe.
///
/// # Errors
/// `Corrupt` when they cannot be parsed; those of [`RangeReader::read`].
pub async fn inspect(reader: &dyn RangeReader, meta: &BlockMeta) -> Result<Inspection, BlockError> {
    let (series, chunks) = (&meta.series_object, &meta.chunks_object);
    let (series_bytes, chunks_tail) = futures::try_join!(
        read_exact(reader, &series.key, 0..series.size_bytes),
        read_exact(reader, &chunks.key, tail_of(meta)?),
    )?;
    let series_layout = file(&series.key, &series_bytes, series.size_bytes, series.tail_bytes)?;
    let mut sections = Vec::new();
    let mut labels = Vec::new();
    for (key, kind) in [
        (layout::KV_INDEX, SectionKind::Index),
        (layout::KV_METADATA, SectionKind::Metadata),
        (layout::KV_PAGES, SectionKind::Pages),
    ] {
        let corrupt = |e: String| BlockError::corrupt(&series.key, Place::Section(kind.name()), e);
        let (place, raw) = embedded(&series_layout, &series_bytes, key, kind).map_err(corrupt)?;
        if kind == SectionKind::Index {
            labels = index::sizes(&raw).map_err(corrupt)?;
        }
        sections.push(SectionLayout {
            name: kind.name(),
            offset: place.offset,
            bytes: place.length,
            raw_bytes: raw.len() as u64,
        });
    }
    let chunks = file(&chunks.key, &chunks_tail, chunks.size_bytes, chunks.tail_bytes)?;
    Ok(Inspection { series: series_layout, chunks, sections, labels })
}

fn embedded(
    file: &FileLayout,
    bytes: &Bytes,
    key: &str,
    kind: SectionKind,
) -> Result<(SectionPlace, Vec<u8>), String> {
    let value = file.key_values.iter().find(|(name, _)| name == key).map(|(_, value)| value);
    let value = value.ok_or_else(|| format!("no {key} in the metadata"))?;
    let place: SectionPlace = serde_json::from_str(value).map_err(|e| format!("{key}: {e}"))?;
    let framed = place.bytes_of(bytes).ok_or_else(|| format!("{place:?} lies outside of the file"))?;
    Ok((place, section::decode(kind, framed)?))
}

/// Describes a file from its last bytes.
fn file(key: &str, tail: &Bytes, size_bytes: u64, tail_bytes: u64) -> Result<FileLayout, BlockError> {
    let metadata = parse(tail, size_bytes).map_err(|error| BlockError::corrupt(key, Place::Footer, error))?;
    let groups = metadata.row_groups();
    let entry = |entry: &parquet::file::metadata::KeyValue| {
        (entry.key.clone(), entry.value.clone().unwrap_or_default())
    };
    let schema = metadata.file_metadata().schema_descr();
    let column = |number: usize| {
        let parts = || groups.iter().map(|group| group.column(number));
        let mut encodings: Vec<String> =
            parts().flat_map(|part| part.encodings()).map(|encoding| encoding.to_string()).collect();
        encodings.sort_unstable();
        encodings.dedup();
        let pages = (0..groups.len()).filter_map(|group| {
            metadata.page_index_for_row_group(group).page_locations(number).map(|pages| pages.len())
        });
        ColumnLayout {
            name: schema.column(number).name().to_owned(),
            encodings,
            pages: pages.sum(),
            bytes: parts().map(|part| part.compressed_size()).sum(),
            raw_bytes: parts().map(|part| part.uncompressed_size()).sum(),
        }
    };
    Ok(FileLayout {
        key: key.to_owned(),
        size_bytes,
        tail_bytes,
        row_groups: groups.len(),
        rows: metadata.file_metadata().num_rows(),
        key_values: key_values(&metadata).iter().map(entry).collect(),
        columns: (0..schema.num_columns()).map(column).collect(),
    })
}

fn parse(tail: &Bytes, size_bytes: u64) -> Result<ParquetMetaData, ParquetError> {
    let mut reader = ParquetMetaDataReader::new()
        .with_column_index_policy(PageIndexPolicy::Skip)
        .with_offset_index_policy(PageIndexPolicy::Optional);
    reader.try_parse_sized(tail, size_bytes)?;
    reader.finish()
}
