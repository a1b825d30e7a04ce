//! Answers queries from one block.
//!
//! Opening fetches `series.parquet` whole and the end of `chunks.parquet` at the same time: two reads. A select costs no
//! read when nothing matches, else a few merged ranges of pages. Everything that needs more than some microseconds of CPU
//! runs on the runtime's blocking threads.
//!
//! Bytes that do not match their checksum are asked for once more, past any cache. What is damaged then is an error that
//! names the place; nothing but that place is lost.

use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;

use chunk::EncodedChunk;
use futures::{StreamExt, TryStreamExt, stream};
use model::{Aggregate, BlockMeta, ErrorKind, LabelSet, Matcher, MetricMetadata, TimeRange, TimeRanges};
use roaring::RoaringBitmap;
use storage::{QueryMemory, Reservation};

use crate::chunks::{Page, PageTable, decode_value};
use crate::erase::Erase;
use crate::error::BlockError;
use crate::layout::Content;
use crate::place::Place;
use crate::range::{RangeReader, coalesce, read_exact};
use crate::series::SeriesFile;
use crate::slots;

/// How many reads of one select run at the same time.
const READS_IN_FLIGHT_MAX: usize = 32;

/// One selected series.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockSeries {
    /// Its labels, without external labels.
    pub labels: LabelSet,
    /// Chunks that share a millisecond with the asked range, by their start; not clipped. Those of a counter's slots may overlap, and
    /// have no timestamp in common.
    pub chunks: Vec<EncodedChunk>,
}

/// What a select found, and the memory that it takes.
#[derive(Debug)]
pub struct SelectedSeries {
    /// Sorted by labels.
    pub series: Vec<BlockSeries>,
    /// Held as long as the series are.
    pub memory: Reservation,
}

/// How much one select may take; checked before anything is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectLimits {
    /// Series that match.
    pub series: usize,
    /// Bytes read from the object store; samples take one to about eight times of that once unpacked.
    pub bytes: u64,
}

/// An opened block: its series in memory, its samples in the store. Cheap to clone.
#[derive(Clone)]
pub struct BlockReader {
    reader: Arc<dyn RangeReader>,
    block: Arc<OpenBlock>,
}

pub(crate) struct OpenBlock {
    meta: BlockMeta,
    pub(crate) series: SeriesFile,
    pages: PageTable,
}

/// Runs CPU-bound work on a blocking thread.
pub(crate) async fn on_blocking_thread<T: Send + 'static>(
    object: &str,
    work: impl FnOnce() -> Result<T, BlockError> + Send + 'static,
) -> Result<T, BlockError> {
    let ended =
        |e: tokio::task::JoinError| BlockError::Task { object: object.to_owned(), reason: e.to_string() };
    tokio::task::spawn_blocking(work).await.map_err(ended)?
}

/// Returns which bytes of `chunks.parquet` are its page index and footer.
pub(crate) fn tail_of(meta: &BlockMeta) -> Result<Range<u64>, BlockError> {
    let chunks = &meta.chunks_object;
    let start = chunks.size_bytes.checked_sub(chunks.tail_bytes).ok_or_else(|| {
        let reason = format!("{} of {} bytes are the tail", chunks.tail_bytes, chunks.size_bytes);
        BlockError::corrupt(&chunks.key, Place::CatalogueEntry, reason)
    })?;
    Ok(start..chunks.size_bytes)
}

impl BlockReader {
    /// Opens a block: two reads in parallel, then every byte of the index is checked and decoded; both once more when
    /// that finds damage. Cancel-safe.
    ///
    /// # Errors
    /// Kind `NotFound` when an object is missing, `Corrupt` with the place when bytes are damaged or the objects are not
    /// those that `meta` names, `Unavailable` when the store does not answer.
    pub async fn open(reader: Arc<dyn RangeReader>, meta: BlockMeta) -> Result<Self, BlockError> {
        let block = match OpenBlock::read(&*reader, &meta).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let (series, chunks) = (&meta.series_object, &meta.chunks_object);
                reader.forget(&series.key, 0..series.size_bytes).await;
                reader.forget(&chunks.key, tail_of(&meta)?).await;
                OpenBlock::read(&*reader, &meta).await?
            }
            read => read?,
        };
        Ok(Self { reader, block: Arc::new(block) })
    }

    /// Returns what the catalogue says of the block.
    pub fn meta(&self) -> &BlockMeta {
        &self.block.meta
    }

    /// Returns about how many bytes of memory the opened block takes.
    pub fn memory_bytes(&self) -> usize {
        let series = &self.block.series;
        series.index.memory_bytes()
            + size_of_val(&*series.kinds)
            + size_of_val(&*series.first_ms)
            + size_of_val(&*series.last_ms)
            + series.metadata.iter().map(|m| size_of_val(m) + m.family.len() + m.help.len()).sum::<usize>()
            + self.block.pages.memory_bytes()
    }

    /// Returns the series that satisfy all matchers and have a chunk that shares a millisecond with `range`, sorted by
    /// labels. Cancel-safe.
    ///
    /// # Errors
    /// As [`BlockReader::select_within`], without limits on bytes and memory.
    pub async fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_limit: usize,
    ) -> Result<Vec<BlockSeries>, BlockError> {
        let limits = SelectLimits { series: series_limit, bytes: u64::MAX };
        let (aggregate, memory) = (Aggregate::default(), QueryMemory::unlimited());
        Ok(self.select_within(matchers, range, aggregate, limits, &memory).await?.series)
    }

    /// Returns what [`BlockReader::select`] does, within limits; of a downsampled block that aggregate, of a raw one its samples.
    /// What it takes is reserved before it is read, and counted anew once it is unpacked. Cancel-safe.
    ///
    /// # Errors
    /// Kind `LimitExceeded` beyond a limit, and [`BlockError::Memory`] when there is no more, before anything is read;
    /// `Corrupt` with column and rows; those of [`RangeReader::read`].
    pub async fn select_within(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        aggregate: Aggregate,
        limits: SelectLimits,
        memory: &QueryMemory,
    ) -> Result<SelectedSeries, BlockError> {
        let (block, matchers, of_query) = (Arc::clone(&self.block), matchers.to_vec(), memory.clone());
        let key = &self.block.meta.chunks_object.key;
        let plan = move || block.plan(&matchers, range, aggregate, limits, &of_query);
        let Plan { labels, fetches, mut held } = on_blocking_thread(key, plan).await?;
        let fetches = stream::iter(fetches).map(|(fetch, mut held)| async move {
            let rows = self.fetch(fetch, range).await?;
            held.resize(rows.iter().map(|(.., chunks)| chunks_bytes(chunks)).sum())?;
            Ok::<_, BlockError>((rows, held))
        });
        let read: Vec<_> = fetches.buffer_unordered(READS_IN_FLIGHT_MAX).try_collect().await?;
        let (parts, of_parts): (Vec<_>, Vec<Reservation>) = read.into_iter().unzip();
        of_parts.into_iter().for_each(|of_part| held.absorb(of_part));
        let block = Arc::clone(&self.block);
        let sort = move || {
            // Windows cover the block's range, so every row that was selected was read in one of them at least.
            let rows = labels.into_iter().zip(by_row(parts));
            let series = rows.map(|(labels, (row, columns))| {
                Ok(BlockSeries { labels, chunks: block.chunks_of(row, columns, aggregate)? })
            });
            let mut series = series.collect::<Result<Vec<BlockSeries>, BlockError>>()?;
            series.retain(|series| !series.chunks.is_empty());
            series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
            Ok(SelectedSeries { series, memory: held })
        };
        on_blocking_thread(key, sort).await
    }

    /// Returns the chunks of some rows, which ascend, that share a millisecond with a range, in the order of rows: those of each
    /// content by themselves. Cancel-safe.
    pub(crate) async fn read_rows(
        &self,
        rows: Vec<u32>,
        range: TimeRange,
    ) -> Result<Vec<(u32, RowColumns)>, BlockError> {
        let contents = Content::of(self.block.meta.resolution_ms);
        let fetches = fetches(self.block.pages.pages_of(rows, contents, &range));
        let fetches = stream::iter(fetches).map(|fetch| self.fetch(fetch, range));
        Ok(by_row(fetches.buffer_unordered(READS_IN_FLIGHT_MAX).try_collect().await?))
    }

    pub(crate) fn opened(&self) -> &Arc<OpenBlock> {
        &self.block
    }

    pub(crate) fn series_file(&self) -> &SeriesFile {
        &self.block.series
    }

    pub(crate) fn labels(&self, row: u32) -> Result<LabelSet, BlockError> {
        self.block.labels(row)
    }

    /// Reads what a place names and checks it; what opening checked is whole in any opened block. Cancel-safe.
    ///
    /// # Errors
    /// Kind `Corrupt` when it is still damaged; those of [`RangeReader::read`].
    pub async fn check(&self, place: &Place) -> Result<(), BlockError> {
        let page = match place {
            Place::Page { column, first_row: row, .. } | Place::Value { column, row } => {
                self.block.pages.page_of(column, *row)
            }
            _ => None,
        };
        let Some(page) = page.cloned() else { return Ok(()) };
        let rows = page.rows.clone().collect();
        self.fetch(vec![(page, rows)], TimeRange::ALL).await.map(drop)
    }

    /// Reads some pages; once more when one of them is damaged.
    async fn fetch(&self, fetch: Fetch, range: TimeRange) -> Result<Vec<RowPart>, BlockError> {
        let fetch = Arc::new(fetch);
        match self.fetch_once(Arc::clone(&fetch), range).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                for (page, _) in &*fetch {
                    self.reader.forget(&self.block.meta.chunks_object.key, page.bytes.clone()).await;
                }
                self.fetch_once(fetch, range).await
            }
            read => read,
        }
    }

    async fn fetch_once(&self, fetch: Arc<Fetch>, range: TimeRange) -> Result<Vec<RowPart>, BlockError> {
        let block = Arc::clone(&self.block);
        let key = &self.block.meta.chunks_object.key;
        let ranges: Vec<Range<u64>> = fetch.iter().map(|(page, _)| page.bytes.clone()).collect();
        let parts = self.reader.read_parts(key, &ranges).await?;
        on_blocking_thread(key, move || {
            let mut rows = Vec::new();
            for ((page, wanted), bytes) in fetch.iter().zip(parts) {
                block.read_page(page, wanted, bytes, &range, &mut rows)?;
            }
            Ok(rows)
        })
        .await
    }

    /// Returns the label sets of the selected series, ascending; with a limit the first so many. Those of which everything in
    /// the range is erased are left out, as far as their first and last sample tell.
    ///
    /// # Errors
    /// Kind `Corrupt` when the index is damaged.
    pub fn series(
        &self,
        selectors: &[Vec<Matcher>],
        range: &TimeRange,
        limit: Option<usize>,
        erase: &dyn Erase,
    ) -> Result<Vec<LabelSet>, BlockError> {
        let limit = limit.unwrap_or(usize::MAX);
        let SeriesFile { first_ms, last_ms, .. } = &self.block.series;
        let mut first = BinaryHeap::new();
        for row in self.block.rows_of_any(selectors, range)? {
            let labels = self.block.labels(row)?;
            let held = TimeRange::new(first_ms[row as usize], last_ms[row as usize]);
            if !erase.is_nothing() && erase.erased(self.block.meta.id, &labels).covers(&held.intersect(range))
            {
                continue;
            }
            first.push(labels);
            if first.len() > limit {
                first.pop();
            }
        }
        Ok(first.into_sorted_vec())
    }

    /// Returns about how many samples are erased, as if each series had equally many of them and they lay evenly in its time;
    /// 0 only if none is. CPU-bound: linear in the number of labels of all rows.
    ///
    /// # Errors
    /// Kind `Corrupt` when the index is damaged.
    pub fn erased_samples(&self, erase: &dyn Erase) -> Result<u64, BlockError> {
        let SeriesFile { first_ms, last_ms, index, .. } = &self.block.series;
        let mut series = 0.0;
        for row in 0..index.rows() {
            let erased = erase.erased(self.block.meta.id, &self.block.labels(row)?);
            series += share(&erased, &TimeRange::new(first_ms[row as usize], last_ms[row as usize]));
        }
        let samples = series * self.block.meta.samples as f64 / f64::from(index.rows().max(1));
        Ok((samples.ceil() as u64).min(self.block.meta.samples))
    }

    /// Returns what metric families said of themselves when the block was cut.
    pub fn metadata(&self) -> &[MetricMetadata] {
        &self.block.series.metadata
    }
}

/// Returns which part of a time is erased: 0 to 1.
fn share(erased: &TimeRanges, held: &TimeRange) -> f64 {
    let within =
        erased.as_slice().iter().map(|range| range.intersect(held)).filter(|range| !range.is_empty());
    let length = |range: TimeRange| range.end.0 as f64 - range.start.0 as f64 + 1.0;
    within.map(length).sum::<f64>() / length(*held)
}

/// What was read of a row in one column.
type RowPart = (u32, Content, Vec<EncodedChunk>);
/// The chunks of a row in time order, by content in the order of the file.
pub(crate) type RowColumns = Vec<(Content, Vec<EncodedChunk>)>;

/// Brings what was read of columns, in any order, into the order of rows, contents and time.
fn by_row(parts: Vec<Vec<RowPart>>) -> Vec<(u32, RowColumns)> {
    let mut read: Vec<RowPart> = parts.into_iter().flatten().collect();
    read.sort_by_key(|(row, content, chunks)| (*row, *content, chunks.first().map(|chunk| chunk.start_ms)));
    let mut rows: Vec<(u32, RowColumns)> = Vec::with_capacity(read.len());
    for (row, content, chunks) in read {
        if rows.last().is_none_or(|(last, _)| *last != row) {
            rows.push((row, Vec::new()));
        }
        let (_, columns) = rows.last_mut().expect("there is one at least");
        match columns.last_mut() {
            Some((last, all)) if *last == content => all.extend(chunks),
            _ => columns.push((content, chunks)),
        }
    }
    rows
}

/// Pages that are read together, each with those of its rows that are wanted.
type Fetch = Vec<(Page, Vec<u32>)>;

/// Divides pages, which come in file order, into reads.
fn fetches(pages: Vec<(&Page, Vec<u32>)>) -> Vec<Fetch> {
    let groups = coalesce(pages.iter().map(|(page, _)| page.bytes.clone()));
    let mut pages = pages.into_iter().map(|(page, rows)| (page.clone(), rows));
    groups.into_iter().map(|group| pages.by_ref().take(group.len()).collect()).collect()
}

/// What a select will read, and the memory that it takes.
struct Plan {
    /// Labels of the selected rows, in row order.
    labels: Vec<LabelSet>,
    /// Each with memory for the bytes as they are stored.
    fetches: Vec<(Fetch, Reservation)>,
    /// For the labels.
    held: Reservation,
}

/// Returns how much memory the chunks of one row take.
fn chunks_bytes(chunks: &[EncodedChunk]) -> u64 {
    let data: usize = chunks.iter().map(|chunk| chunk.data.len()).sum();
    (data + size_of_val(chunks)) as u64
}

/// Returns how many bytes one read takes, gaps included.
fn read_bytes(fetch: &[(Page, Vec<u32>)]) -> u64 {
    let ends = fetch.first().zip(fetch.last());
    ends.map_or(0, |((first, _), (last, _))| last.bytes.end - first.bytes.start)
}

impl OpenBlock {
    async fn read(reader: &dyn RangeReader, meta: &BlockMeta) -> Result<Self, BlockError> {
        let (series, chunks) = (&meta.series_object, &meta.chunks_object);
        let (series_bytes, tail) = futures::try_join!(
            read_exact(reader, &series.key, 0..series.size_bytes),
            read_exact(reader, &chunks.key, tail_of(meta)?),
        )?;
        let meta = meta.clone();
        on_blocking_thread(&series.key, move || {
            let series = SeriesFile::decode(&meta, &series_bytes)?;
            let pages = PageTable::decode(&meta, &series, &tail)?;
            Ok(Self { meta, series, pages })
        })
        .await
    }

    fn plan(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        aggregate: Aggregate,
        limits: SelectLimits,
        memory: &QueryMemory,
    ) -> Result<Plan, BlockError> {
        let rows = self.rows(matchers, &range)?;
        let block = self.meta.id;
        if rows.len() > limits.series as u64 {
            return Err(BlockError::SeriesLimit { block, limit: limits.series });
        }
        let contents = match self.meta.resolution_ms {
            0 => Content::of(0),
            _ => slots::contents_of(aggregate),
        };
        let fetches = fetches(self.pages.pages_of(&rows, contents, &range));
        let bytes = fetches.iter().map(|fetch| read_bytes(fetch)).sum();
        if bytes > limits.bytes {
            return Err(BlockError::BytesLimit { block, bytes, limit: limits.bytes });
        }
        let reserve = |fetch: Fetch| Ok(memory.reserve(read_bytes(&fetch)).map(|held| (fetch, held))?);
        let fetches = fetches.into_iter().map(reserve).collect::<Result<_, BlockError>>()?;
        let mut held = memory.empty();
        let mut labels = Vec::new();
        held.make_room(&mut labels, rows.len() as usize)?;
        for row in &rows {
            let set = self.labels(row)?;
            held.grow((size_of::<BlockSeries>() + set.as_bytes().len()) as u64)?;
            labels.push(set);
        }
        Ok(Plan { labels, fetches, held })
    }

    pub(crate) fn rows_of_any(
        &self,
        selectors: &[Vec<Matcher>],
        range: &TimeRange,
    ) -> Result<RoaringBitmap, BlockError> {
        if selectors.is_empty() {
            return self.rows(&[], range);
        }
        let mut rows = RoaringBitmap::new();
        for matchers in selectors {
            rows |= self.rows(matchers, range)?;
        }
        Ok(rows)
    }

    /// Returns the rows that satisfy all matchers and whose samples reach into the range.
    fn rows(&self, matchers: &[Matcher], range: &TimeRange) -> Result<RoaringBitmap, BlockError> {
        if !self.meta.range.overlaps(range) {
            return Ok(RoaringBitmap::new());
        }
        let mut rows = self.series.index.select(matchers).map_err(|e| self.corrupt_index(e))?;
        let window = self.meta.range.closed();
        if window.start < range.start || range.end < window.end {
            let SeriesFile { first_ms, last_ms, .. } = &self.series;
            let reaches =
                |row: u32| first_ms[row as usize] <= range.end.0 && range.start.0 <= last_ms[row as usize];
            let reaching = RoaringBitmap::from_sorted_iter(rows.into_iter().filter(|row| reaches(*row)));
            rows = reaching.expect("a bitmap yields its rows in order");
        }
        Ok(rows)
    }

    /// Makes one list of what was read of a row.
    fn chunks_of(
        &self,
        row: u32,
        mut columns: RowColumns,
        aggregate: Aggregate,
    ) -> Result<Vec<EncodedChunk>, BlockError> {
        if self.meta.resolution_ms == 0 {
            return Ok(columns.pop().map_or(Vec::new(), |(_, chunks)| chunks));
        }
        slots::view(aggregate, columns).map_err(|e| {
            let labels =
                self.labels(row).map_or_else(|_| format!("of row {row}"), |labels| labels.to_string());
            BlockError::corrupt(&self.meta.chunks_object.key, Place::Series(labels), e.to_string())
        })
    }

    fn labels(&self, row: u32) -> Result<LabelSet, BlockError> {
        self.series.index.labels(row).map_err(|e| self.corrupt_index(e))
    }

    fn corrupt_index(&self, reason: String) -> BlockError {
        BlockError::corrupt(&self.meta.series_object.key, Place::Section("index"), reason)
    }

    /// Decodes one page and appends the wanted rows of it, each with its chunks of the range.
    fn read_page(
        &self,
        page: &Page,
        wanted: &[u32],
        bytes: bytes::Bytes,
        range: &TimeRange,
        rows: &mut Vec<RowPart>,
    ) -> Result<(), BlockError> {
        let values = self.pages.decode_page(page, bytes)?;
        for row in wanted {
            let value = &values[(row - page.rows.start) as usize];
            let start_ms = self.pages.window(page).start.0;
            let chunks = decode_value(start_ms, value.data(), range).map_err(|e| {
                let place = Place::Value { column: self.pages.column_name(page), row: *row };
                BlockError::corrupt(&self.meta.chunks_object.key, place, e)
            })?;
            rows.push((*row, self.pages.content(page), chunks));
        }
        Ok(())
    }
}
