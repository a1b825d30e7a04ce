//! Reads every byte of a block and holds it against all that is said of it: every checksum, every row decoded, labels in
//! columns and index, order, times and counts.
//!
//! Not here: what to do about a fault. A fault does not end the verification unless nothing behind it can be found.
//!
//! Held at once: `series.parquet` with its index, 21 bytes a row, and a few pieces of 8 MiB.

mod chunks;
mod series;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use model::{BlockMeta, ErrorKind};

use crate::chunks::{Page, PageTable};
use crate::error::BlockError;
use crate::place::Place;
use crate::range::{RangeReader, coalesce, read_exact};
use crate::reader::{on_blocking_thread, tail_of};
use crate::series::SeriesFile;

/// How many pieces are read ahead.
const PIECES_AHEAD: usize = 4;
/// More faults of one block are not listed: it is beyond repair by then.
const FAULTS_MAX: usize = 1000;

/// What a verification found.
#[derive(Debug, Default)]
pub struct Verification {
    /// What is wrong, by place; at most 1,000 faults.
    pub faults: Vec<BlockError>,
    /// Series whose samples were read.
    pub series: u64,
    /// Samples that were decoded.
    pub samples: u64,
    /// Bytes that were read.
    pub bytes: u64,
}

/// `series.parquet`, decoded.
struct Whole {
    /// The catalogue's entry, with the object's checksum in any case.
    meta: BlockMeta,
    series: Arc<SeriesFile>,
    /// How many samples each row is said to have.
    samples: Vec<i32>,
}

/// A piece of an object, with the pages that lie in it.
type Piece = (Range<u64>, Vec<Page>);

/// Verifies a block against its catalogue entry; with a checksum of 0 for `series.parquet`, as [`crate::describe()`] leaves
/// it, against what that object says. `on_bytes` is told of each piece how many bytes it had. Cancel-safe.
///
/// # Errors
/// Those of the store that say nothing of the block: kind `Unavailable` and the like.
pub async fn verify(
    reader: &dyn RangeReader,
    meta: &BlockMeta,
    on_bytes: &(dyn Fn(u64) + Sync),
) -> Result<Verification, BlockError> {
    let mut found = Verification::default();
    let Some(Whole { meta, series, samples }) = found.series_object(reader, meta, on_bytes).await? else {
        return Ok(found);
    };
    let tail = match tail_of(&meta) {
        Ok(range) => read_exact(reader, &meta.chunks_object.key, range).await,
        Err(error) => Err(error),
    };
    let Some(tail) = found.keep(tail)? else { return Ok(found) };
    let (asked, decoded) = (meta.clone(), Arc::clone(&series));
    let table =
        on_blocking_thread(&meta.chunks_object.key, move || PageTable::decode(&asked, &decoded, &tail));
    let table = found.keep(table.await)?;
    let table = table.map(Arc::new);
    let rows = found.chunks_object(reader, &meta, &series, table.as_ref(), on_bytes).await?;
    if let Some(rows) = rows.filter(|_| table.is_some()) {
        (found.series, found.samples) = (rows.series(), rows.samples());
        found.add(rows.finish(&series, &samples));
    }
    Ok(found)
}

impl Verification {
    /// Takes a fault down; passes on what is no fault of the block.
    fn keep<T>(&mut self, result: Result<T, BlockError>) -> Result<Option<T>, BlockError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                self.add([error]);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn add(&mut self, faults: impl IntoIterator<Item = BlockError>) {
        let room = FAULTS_MAX.saturating_sub(self.faults.len());
        self.faults.extend(faults.into_iter().take(room));
    }

    /// Verifies `series.parquet` by itself; returns it unless nothing can be made of it.
    async fn series_object(
        &mut self,
        reader: &dyn RangeReader,
        meta: &BlockMeta,
        on_bytes: &(dyn Fn(u64) + Sync),
    ) -> Result<Option<Whole>, BlockError> {
        let object = &meta.series_object;
        let bytes = read_exact(reader, &object.key, 0..object.size_bytes).await;
        let Some(bytes) = self.keep(bytes)? else { return Ok(None) };
        self.bytes += object.size_bytes;
        on_bytes(object.size_bytes);
        let mut meta = meta.clone();
        if meta.series_object.crc32c == 0 {
            meta.series_object.crc32c = crc32c::crc32c(&bytes);
        }
        let checked = meta.clone();
        let decoded = on_blocking_thread(&object.key, move || {
            let series = SeriesFile::decode(&checked, &bytes)?;
            let (samples, faults) = series::check(&checked, &series, &bytes);
            Ok((series, samples, faults))
        });
        let Some((series, samples, faults)) = self.keep(decoded.await)? else { return Ok(None) };
        self.add(faults);
        Ok(Some(Whole { meta, series: Arc::new(series), samples }))
    }

    /// Reads `chunks.parquet` from its first byte to its last; with a table of pages decodes all of them. Returns what it
    /// says of the rows, unless it could not be read to its end.
    async fn chunks_object(
        &mut self,
        reader: &dyn RangeReader,
        meta: &BlockMeta,
        series: &SeriesFile,
        table: Option<&Arc<PageTable>>,
        on_bytes: &(dyn Fn(u64) + Sync),
    ) -> Result<Option<chunks::RowCheck>, BlockError> {
        let object = &meta.chunks_object;
        let pages = table.iter().flat_map(|table| table.pages());
        let pieces = stream::iter(pieces(pages, object.size_bytes)).map(|(range, pages)| async move {
            Ok::<_, BlockError>((read_exact(reader, &object.key, range.clone()).await?, range, pages))
        });
        let mut pieces = pieces.buffered(PIECES_AHEAD);
        let mut rows = chunks::RowCheck::new(meta, series.rows());
        let mut crc32c = 0;
        while let Some(piece) = pieces.next().await {
            let Some((bytes, range, pages)) = self.keep(piece)? else { return Ok(None) };
            self.bytes += bytes.len() as u64;
            on_bytes(bytes.len() as u64);
            let table = table.cloned();
            let checked = on_blocking_thread(&object.key, move || {
                let crc32c = crc32c::crc32c_append(crc32c, &bytes);
                let faults = table.map(|table| rows.pages(&table, &pages, &range, &bytes));
                Ok((crc32c, rows, faults.unwrap_or_default()))
            });
            let faults;
            (crc32c, rows, faults) = checked.await?;
            self.add(faults);
        }
        if crc32c != object.crc32c {
            let reason = format!("checksum {crc32c:08x}, expected {:08x}", object.crc32c);
            self.add([BlockError::corrupt(&object.key, Place::Object, reason)]);
        }
        Ok(Some(rows))
    }
}

/// Divides an object into pieces that follow one another, pages whole.
fn pieces<'a>(pages: impl Iterator<Item = &'a Page>, size_bytes: u64) -> Vec<Piece> {
    let mut pages: Vec<&Page> = pages.collect();
    pages.sort_by_key(|page| page.bytes.start);
    let groups = coalesce(pages.iter().map(|page| page.bytes.clone()));
    let (mut pieces, mut next): (Vec<Piece>, u64) = (Vec::new(), 0);
    for group in groups {
        let group = &pages[group];
        let end = group[group.len() - 1].bytes.end;
        pieces.push((next..end, group.iter().map(|page| (*page).clone()).collect()));
        next = end;
    }
    if next < size_bytes {
        pieces.push((next..size_bytes, Vec::new()));
    }
    pieces
}

/// Returns the bytes of a page within a piece.
fn page_bytes(page: &Page, piece: &Range<u64>, bytes: &Bytes) -> Bytes {
    crate::range::slice(bytes, piece, &page.bytes)
}
