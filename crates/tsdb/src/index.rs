//! `index`: symbols, series with their chunks, postings; versions 1 and 2 exist, this reads 2.
//!
//! Read are the table of contents, the symbols, and the series one after the other: memory is that of the symbols and one
//! window. Postings are neither read nor checked: whoever reads every series needs none.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use model::LabelSet;
use model::varint::{Cursor, ReadError};

use crate::error::TsdbError;

/// The file's name in a block's directory.
pub(crate) const INDEX_FILE: &str = "index";
pub(crate) const MAGIC: [u8; 4] = 0xBAAA_D700_u32.to_be_bytes();
pub(crate) const VERSION: u8 = 2;
pub(crate) const HEADER_BYTES: usize = 5;
pub(crate) const TOC_BYTES: usize = 6 * 8 + 4;
pub(crate) const CRC_BYTES: usize = 4;
/// Entries of series begin at multiples of this; a reference to a series is its offset divided by it.
pub(crate) const SERIES_ALIGN: u64 = 16;
/// Larger symbols are refused; all series' names and values once.
const SYMBOLS_BYTES_MAX: u64 = 2 << 30;
/// A larger entry of one series is refused.
const SERIES_BYTES_MAX: usize = 64 << 20;
/// How much is read at a time.
const WINDOW_BYTES: usize = 1 << 20;
/// How long the number is that an entry begins with, at the most.
const LENGTH_BYTES_MAX: usize = 10;

/// A chunk as the index describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRef {
    /// First sample, ms.
    pub start_ms: i64,
    /// Last sample, ms.
    pub end_ms: i64,
    /// Segment in the upper half, offset in the lower.
    pub reference: u64,
}

/// A series as the index describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesEntry {
    /// What tombstones and postings call it.
    pub reference: u64,
    /// Its labels, as stored.
    pub labels: LabelSet,
    /// Its chunks, by their start.
    pub chunks: Vec<ChunkRef>,
}

/// An index, opened for reading.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    file: File,
    size: u64,
    symbols: Vec<u8>,
    /// Where each symbol begins in `symbols`, and where the last one ends.
    symbol_starts: Vec<u32>,
    /// Where the entries of series begin, and what lies behind them begins.
    series: (u64, u64),
}

impl Index {
    /// Opens the index of a block's directory; reads its table of contents and symbols.
    pub(crate) fn open(dir: &Path) -> Result<Self, TsdbError> {
        let path = dir.join(INDEX_FILE);
        let file = File::open(&path).map_err(TsdbError::io("cannot open", &path))?;
        let size = file.metadata().map_err(TsdbError::io("cannot read", &path))?.len();
        let mut index =
            Self { path, file, size, symbols: Vec::new(), symbol_starts: Vec::new(), series: (0, 0) };
        if size < (HEADER_BYTES + TOC_BYTES) as u64 {
            return Err(index.corrupt(0, "the file is too short for an index"));
        }
        let header = index.read(0, HEADER_BYTES)?;
        if header[..4] != MAGIC {
            return Err(index.corrupt(0, "not an index"));
        }
        if header[4] != VERSION {
            let what = format!("index version {} is not supported, only {VERSION}", header[4]);
            return Err(TsdbError::Unsupported { path: index.path, what });
        }
        let toc_at = size - TOC_BYTES as u64;
        let toc = index.read(toc_at, TOC_BYTES)?;
        let (body, crc) = toc.split_at(TOC_BYTES - CRC_BYTES);
        if crc32c::crc32c(body).to_be_bytes() != crc {
            return Err(index.corrupt(toc_at, "the checksum of the table of contents is another"));
        }
        let words: Vec<u64> = body
            .chunks_exact(8)
            .map(|word| u64::from_be_bytes(word.try_into().expect("chunks of eight bytes")))
            .collect();
        if let Some(beyond) = words.iter().find(|offset| **offset > toc_at) {
            return Err(
                index.corrupt(toc_at, format!("the table of contents points to {beyond}, beyond the file"))
            );
        }
        let (symbols, series) = (words[0], words[1]);
        // What is not there is 0; series end where the next section begins, whichever that is.
        let next = words.iter().copied().filter(|offset| *offset > series).min().unwrap_or(toc_at);
        index.series = if series == 0 { (0, 0) } else { (series, next) };
        if symbols != 0 {
            index.read_symbols(symbols)?;
        }
        Ok(index)
    }

    fn read_symbols(&mut self, at: u64) -> Result<(), TsdbError> {
        let length =
            u64::from(u32::from_be_bytes(self.read(at, 4)?.try_into().expect("four bytes were read")));
        if length > SYMBOLS_BYTES_MAX || at + 4 + length + CRC_BYTES as u64 > self.size {
            return Err(self.corrupt(at, format!("symbols of {length} bytes")));
        }
        let mut bytes = self.read(at + 4, length as usize + CRC_BYTES)?;
        let crc = bytes.split_off(length as usize);
        if crc32c::crc32c(&bytes).to_be_bytes()[..] != crc {
            return Err(self.corrupt(at, "the checksum of the symbols is another"));
        }
        let Some((count, body)) = bytes.split_first_chunk::<4>() else {
            return Err(self.corrupt(at, "symbols without a count"));
        };
        let count = u32::from_be_bytes(*count) as usize;
        let mut cursor = Cursor::new(body);
        // Each takes a byte at least.
        if count > body.len() {
            return Err(self.corrupt(at, format!("{count} symbols in {} bytes", body.len())));
        }
        let mut starts = Vec::with_capacity(count + 1);
        let mut symbols = Vec::with_capacity(body.len());
        for _ in 0..count {
            starts.push(symbols.len() as u32);
            let symbol = cursor.text().map_err(|error| self.corrupt(at + 8, error.to_string()))?;
            symbols.extend_from_slice(symbol.as_bytes());
        }
        starts.push(symbols.len() as u32);
        (self.symbols, self.symbol_starts) = (symbols, starts);
        Ok(())
    }

    fn symbol(&self, number: u32) -> Option<&str> {
        let at = number as usize;
        let (start, end) = (*self.symbol_starts.get(at)?, *self.symbol_starts.get(at + 1)?);
        let bytes = &self.symbols[start as usize..end as usize];
        Some(std::str::from_utf8(bytes).expect("each symbol was read as text"))
    }

    fn read(&self, at: u64, count: usize) -> Result<Vec<u8>, TsdbError> {
        let mut bytes = vec![0; count];
        self.file.read_exact_at(&mut bytes, at).map_err(TsdbError::io("cannot read", &self.path))?;
        Ok(bytes)
    }

    pub(crate) fn corrupt(&self, offset: u64, what: impl Into<String>) -> TsdbError {
        TsdbError::corrupt(&self.path, offset, what)
    }

    /// Returns the size of the file.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size
    }

    fn parse(&self, at: u64, bytes: &[u8]) -> Result<SeriesEntry, TsdbError> {
        let fault = |error: ReadError| self.corrupt(at, format!("a series is malformed: {error}"));
        let mut cursor = Cursor::new(bytes);
        let count = cursor.count(2).map_err(fault)?;
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            let (name, value) = (cursor.u32().map_err(fault)?, cursor.u32().map_err(fault)?);
            let symbol = |number| {
                self.symbol(number)
                    .ok_or_else(|| self.corrupt(at, format!("a label refers to symbol {number}")))
            };
            pairs.push((symbol(name)?, symbol(value)?));
        }
        let labels = LabelSet::from_sorted(pairs).map_err(|error| self.corrupt(at, error.to_string()))?;
        let chunks = parse_chunks(&mut cursor).map_err(fault)?;
        cursor.finish().map_err(fault)?;
        Ok(SeriesEntry { reference: at / SERIES_ALIGN, labels, chunks })
    }
}

fn parse_chunks(cursor: &mut Cursor<'_>) -> Result<Vec<ChunkRef>, ReadError> {
    let count = cursor.count(3)?;
    let mut chunks: Vec<ChunkRef> = Vec::with_capacity(count);
    for _ in 0..count {
        let start_ms = match chunks.last() {
            None => Some(cursor.signed()?),
            // Where chunks overlap, the difference is negative, and written as the number of 64 bits that it wraps to.
            Some(last) => last.end_ms.checked_add(cursor.unsigned()? as i64),
        };
        let length = i64::try_from(cursor.unsigned()?).ok();
        let end_ms = start_ms.zip(length).and_then(|(start, length)| start.checked_add(length));
        let reference = match chunks.last() {
            None => Some(cursor.unsigned()?),
            Some(last) => last.reference.checked_add_signed(cursor.signed()?),
        };
        let (Some(start_ms), Some(end_ms), Some(reference)) = (start_ms, end_ms, reference) else {
            return Err(cursor.malformed("a chunk's time or place overflows"));
        };
        chunks.push(ChunkRef { start_ms, end_ms, reference });
    }
    Ok(chunks)
}

/// Reads the series of an index one after the other, or one by its reference.
#[derive(Debug)]
pub(crate) struct IndexReader<'a> {
    index: &'a Index,
    next: u64,
    start: u64,
    window: Vec<u8>,
}

impl<'a> IndexReader<'a> {
    pub(crate) fn new(index: &'a Index) -> Self {
        let start = index.series.0.next_multiple_of(SERIES_ALIGN);
        Self { index, next: start, start: 0, window: Vec::new() }
    }

    /// Returns the next series; `None` behind the last.
    pub(crate) fn next(&mut self) -> Result<Option<SeriesEntry>, TsdbError> {
        // Less than an aligned entry is padding.
        if self.next + 1 + CRC_BYTES as u64 > self.index.series.1 {
            return Ok(None);
        }
        let (entry, end) = self.entry(self.next)?;
        self.next = end.next_multiple_of(SERIES_ALIGN);
        if entry.is_none() {
            let is_padding = self.index.series.1 - end < SERIES_ALIGN;
            return if is_padding { Ok(None) } else { Err(self.index.corrupt(self.next, "an empty series")) };
        }
        Ok(entry)
    }

    /// Returns the series of a reference that [`IndexReader::next`] gave.
    pub(crate) fn at(&mut self, reference: u64) -> Result<SeriesEntry, TsdbError> {
        let at = reference.saturating_mul(SERIES_ALIGN);
        let corrupt = || self.index.corrupt(at, "no series begins here");
        if at < self.index.series.0 || at >= self.index.series.1 {
            return Err(corrupt());
        }
        let entry = self.entry(at)?.0;
        entry.ok_or_else(|| self.index.corrupt(at, "no series begins here"))
    }

    /// Reads the entry at an offset; returns it, `None` when it is zeros, and where it ends.
    fn entry(&mut self, at: u64) -> Result<(Option<SeriesEntry>, u64), TsdbError> {
        let index = self.index;
        let limit = index.series.1;
        let head = self.bytes(at, LENGTH_BYTES_MAX.min((limit - at) as usize))?;
        let mut cursor = Cursor::new(head);
        let length = cursor.unsigned().map_err(|error| index.corrupt(at, error.to_string()))?;
        let begin = at + cursor.offset() as u64;
        if length == 0 {
            return Ok((None, begin));
        }
        if length > SERIES_BYTES_MAX as u64 || begin + length + CRC_BYTES as u64 > limit {
            return Err(index.corrupt(at, format!("a series of {length} bytes reaches beyond its section")));
        }
        let (body, crc) = self.bytes(begin, length as usize + CRC_BYTES)?.split_at(length as usize);
        if crc32c::crc32c(body).to_be_bytes() != crc {
            return Err(index.corrupt(at, "the checksum of a series is another"));
        }
        Ok((Some(index.parse(at, body)?), begin + length + CRC_BYTES as u64))
    }

    /// Returns bytes of the section of series, all of which exist.
    fn bytes(&mut self, at: u64, count: usize) -> Result<&[u8], TsdbError> {
        let end = at + count as u64;
        if at < self.start || end > self.start + self.window.len() as u64 {
            let length = (count.max(WINDOW_BYTES) as u64).min(self.index.series.1 - at) as usize;
            self.window = self.index.read(at, length)?;
            self.start = at;
        }
        let from = (at - self.start) as usize;
        Ok(&self.window[from..from + count])
    }
}
