//! Where the pages of `chunks.parquet` lie, and how one page becomes values.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use model::{BlockMeta, BlockRange, TimeRange};
use parquet::column::reader::{get_column_reader, get_typed_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::metadata::{
    ColumnChunkMetaData, KeyValue, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader,
};
use parquet::file::serialized_reader::SerializedPageReader;

use crate::error::BlockError;
use crate::layout::{self, ChunksFacts, Content};
use crate::place::Place;
use crate::series::SeriesFile;

/// One page of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// Which column, in the order of the file.
    pub(crate) column: usize,
    /// Rows of the block whose values it holds.
    pub(crate) rows: Range<u32>,
    /// Its bytes within the object, header included.
    pub(crate) bytes: Range<u64>,
    /// What its bytes must check to.
    crc32c: u32,
}

/// All pages of one `chunks.parquet`.
pub(crate) struct PageTable {
    key: String,
    columns: Vec<Column>,
}

/// One content in one window.
struct Column {
    content: Content,
    window: usize,
    range: BlockRange,
    /// In row order without gaps.
    pages: Vec<Page>,
    /// What the library needs to know of a column to decode a page; absent in a block without series.
    descriptor: Option<ColumnChunkMetaData>,
}

impl PageTable {
    /// Checks and decodes the end of the file, with the facts that `series.parquet` holds of it.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`] with the place when the bytes or the two files do not belong together.
    pub(crate) fn decode(meta: &BlockMeta, series: &SeriesFile, tail: &Bytes) -> Result<Self, BlockError> {
        let object = &meta.chunks_object;
        let corrupt = |reason: String| BlockError::corrupt(&object.key, Place::Footer, reason);
        let tail_crc32c = crc32c::crc32c(tail);
        let actual = ChunksFacts {
            size_bytes: object.size_bytes,
            tail_bytes: tail.len() as u64,
            crc32c: object.crc32c,
            tail_crc32c,
        };
        if actual != series.chunks {
            return Err(corrupt(format!("{actual:?}, expected {:?}", series.chunks)));
        }
        let mut reader = ParquetMetaDataReader::new()
            .with_column_index_policy(PageIndexPolicy::Skip)
            .with_offset_index_policy(PageIndexPolicy::Optional);
        reader.try_parse_sized(tail, object.size_bytes).map_err(|e| corrupt(e.to_string()))?;
        let metadata = reader.finish().map_err(|e| corrupt(e.to_string()))?;
        let entries = crate::series::key_values(&metadata);
        crate::series::check_identity(meta, entries).map_err(corrupt)?;
        if layout::lookup(entries, layout::KV_ROWS_XXH3).map_err(corrupt)? != series.rows_xxh3 {
            return Err(corrupt("holds other rows than the series object".to_owned()));
        }
        let columns = columns(meta, entries, &metadata).map_err(corrupt)?;
        let columns =
            with_pages(columns, &metadata, &series.page_crcs, series.index.rows()).map_err(corrupt)?;
        Ok(Self { key: object.key.clone(), columns })
    }

    /// Returns the pages of some contents that hold the rows, which ascend, in the windows that share a millisecond with
    /// `range`; each page with those of the rows that it holds. In file order.
    pub(crate) fn pages_of(
        &self,
        rows: impl IntoIterator<Item = u32> + Clone,
        contents: &[Content],
        range: &TimeRange,
    ) -> Vec<(&Page, Vec<u32>)> {
        let mut needed: Vec<(&Page, Vec<u32>)> = Vec::new();
        let is_wanted = |column: &&Column| contents.contains(&column.content) && column.range.overlaps(range);
        for column in self.columns.iter().filter(is_wanted) {
            let before = needed.len();
            for row in rows.clone() {
                match needed[before..].last_mut() {
                    Some((page, rows)) if page.rows.contains(&row) => rows.push(row),
                    _ => {
                        let position = column.pages.partition_point(|page| page.rows.end <= row);
                        needed.push((&column.pages[position], vec![row]));
                    }
                }
            }
        }
        needed.sort_by_key(|(page, _)| page.bytes.start);
        needed
    }

    /// Returns the page that holds a row's value of a column, if there is one.
    pub(crate) fn page_of(&self, column: &str, row: u32) -> Option<&Page> {
        let is_it = |known: &&Column| known.content.column(known.window) == column;
        let pages = &self.columns.iter().find(is_it)?.pages;
        pages.get(pages.partition_point(|page| page.rows.end <= row))
    }

    /// Returns all pages, column by column.
    pub(crate) fn pages(&self) -> impl Iterator<Item = &Page> {
        self.columns.iter().flat_map(|column| &column.pages)
    }

    /// Returns what a page's column holds.
    pub(crate) fn content(&self, page: &Page) -> Content {
        self.columns[page.column].content
    }

    /// Returns the window of a page's column.
    pub(crate) fn window(&self, page: &Page) -> BlockRange {
        self.columns[page.column].range
    }

    /// Returns the name of a page's column.
    pub(crate) fn column_name(&self, page: &Page) -> String {
        let Column { content, window, .. } = &self.columns[page.column];
        content.column(*window)
    }

    /// Checks and decodes one page into the values of its rows.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`] with column and rows.
    pub(crate) fn decode_page(&self, page: &Page, bytes: Bytes) -> Result<Vec<ByteArray>, BlockError> {
        let corrupt = |reason: String| {
            let rows = &page.rows;
            let column = self.column_name(page);
            let place = Place::Page { column, first_row: rows.start, last_row: rows.end - 1 };
            BlockError::corrupt(&self.key, place, reason)
        };
        let crc = crc32c::crc32c(&bytes);
        if crc != page.crc32c {
            return Err(corrupt(format!("page checksum {crc:08x}, expected {:08x}", page.crc32c)));
        }
        let column = self.columns[page.column]
            .descriptor
            .as_ref()
            .ok_or_else(|| corrupt("the file has no row group".to_owned()))?;
        let rows = page.rows.len();
        let fault = |e: parquet::errors::ParquetError| corrupt(e.to_string());
        // The page is read as if it were a column chunk of its own that starts at byte 0.
        let alone = column
            .clone()
            .into_builder()
            .set_num_values(rows as i64)
            .set_data_page_offset(0)
            .set_total_compressed_size(bytes.len() as i64)
            .build()
            .map_err(fault)?;
        let reader = SerializedPageReader::new(Arc::new(bytes), &alone, rows, None).map_err(fault)?;
        let reader = get_column_reader(alone.column_descr_ptr(), Box::new(reader));
        let mut values = Vec::with_capacity(rows);
        let mut reader = get_typed_column_reader::<ByteArrayType>(reader);
        reader.read_records(rows, None, None, &mut values).map_err(fault)?;
        if values.len() != rows {
            return Err(corrupt(format!("{} values, expected {rows}", values.len())));
        }
        Ok(values)
    }

    /// Returns about how many bytes the table takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let pages: usize = self.columns.iter().map(|column| column.pages.len()).sum();
        size_of::<Self>() + self.columns.len() * size_of::<Column>() + pages * size_of::<Page>()
    }
}

/// Reads the list of windows and holds it against the block's range and the file's columns.
fn columns(
    meta: &BlockMeta,
    entries: &[KeyValue],
    metadata: &ParquetMetaData,
) -> Result<Vec<Column>, String> {
    let bounds: Vec<i64> = layout::lookup_json(entries, layout::KV_WINDOWS)?;
    let is_whole = bounds.first() == Some(&meta.range.start.0) && bounds.last() == Some(&meta.range.end.0);
    if !is_whole || !bounds.is_sorted_by(|a, b| a < b) || bounds.len() > layout::WINDOWS_MAX {
        return Err(format!("{} does not cover the block's range", layout::KV_WINDOWS));
    }
    let windows: Vec<BlockRange> =
        bounds.windows(2).map(|bounds| BlockRange::new(bounds[0], bounds[1])).collect();
    let contents = Content::of(meta.resolution_ms);
    let groups = metadata.row_groups();
    if groups.iter().any(|group| group.num_columns() != windows.len() * contents.len()) {
        return Err(format!("{} and the columns do not agree", layout::KV_WINDOWS));
    }
    let column = |number: usize| Column {
        content: contents[number / windows.len()],
        window: number % windows.len(),
        range: windows[number % windows.len()],
        pages: Vec::new(),
        descriptor: groups.first().map(|group| group.column(number).clone()),
    };
    Ok((0..contents.len() * windows.len()).map(column).collect())
}

/// Reads the offset index and holds it against the checksums and the number of rows.
fn with_pages(
    mut columns: Vec<Column>,
    metadata: &ParquetMetaData,
    crcs: &[u32],
    rows: u32,
) -> Result<Vec<Column>, String> {
    let mut crcs = crcs.iter();
    let mut group_start = 0i64;
    for (group_number, group) in metadata.row_groups().iter().enumerate() {
        let index = metadata.page_index_for_row_group(group_number);
        for (number, column) in columns.iter_mut().enumerate() {
            let locations = index
                .page_locations(number)
                .ok_or_else(|| format!("row group {group_number} has no offset index"))?;
            let ends = locations.iter().skip(1).map(|next| next.first_row_index).chain([group.num_rows()]);
            for (location, end) in locations.iter().zip(ends) {
                let crc32c = *crcs.next().ok_or("more pages than checksums")?;
                let row = |row: i64| u32::try_from(group_start + row).map_err(|e| e.to_string());
                let start = u64::try_from(location.offset).map_err(|e| e.to_string())?;
                let length = u64::try_from(location.compressed_page_size).map_err(|e| e.to_string())?;
                let rows = row(location.first_row_index)?..row(end)?;
                if rows.is_empty() {
                    return Err(format!("page {} has no rows", column.pages.len()));
                }
                column.pages.push(Page { column: number, rows, bytes: start..start + length, crc32c });
            }
        }
        group_start += group.num_rows();
    }
    let is_covered = |column: &Column| {
        let starts = column.pages.iter().map(|page| page.rows.start);
        let ends = column.pages.iter().map(|page| page.rows.end);
        starts.chain([rows]).eq([0].into_iter().chain(ends))
    };
    if crcs.next().is_some() || !columns.iter().all(is_covered) {
        return Err("pages do not cover the rows".to_owned());
    }
    Ok(columns)
}
