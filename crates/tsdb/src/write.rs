//! Writes a block's directory.
//!
//! 1. [`BlockWriter::add`] encodes a series' samples and appends its chunks to the segments; in memory stay its labels and
//!    where its chunks are.
//! 2. [`BlockWriter::finish`] sorts the series, writes symbols, series, postings, their table and the table of contents, and
//!    at last `meta.json`, without which a directory is no block.
//!
//! Equal series added in equal order give equal bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use model::varint::{push_bytes, push_signed, push_unsigned};
use model::{BlockId, BlockRange, LabelSet, Samples};

use crate::chunk;
use crate::error::TsdbError;
use crate::index::{self, ChunkRef, INDEX_FILE, SERIES_ALIGN};
use crate::meta::{Compaction, Meta, Stats};
use crate::segments::SegmentWriter;
use crate::tombstones::{TOMBSTONES_FILE, Tombstones};

/// How many samples a chunk of Prometheus holds; histograms too, though they end earlier where their layout changes.
const CHUNK_SAMPLES: usize = 120;
/// Postings begin at multiples of this.
const POSTINGS_ALIGN: u64 = 4;

/// A block under way.
#[derive(Debug)]
pub struct BlockWriter {
    dir: PathBuf,
    id: BlockId,
    range: BlockRange,
    segments: SegmentWriter,
    series: Vec<(LabelSet, Vec<ChunkRef>)>,
    stats: Stats,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenBlock {
    /// Its directory.
    pub dir: PathBuf,
    /// What it says of itself.
    pub meta: Meta,
}

impl BlockWriter {
    /// Begins a block in a directory of its name below `parent`. All samples must lie within `range`.
    ///
    /// # Errors
    /// [`TsdbError::Io`].
    pub fn create(parent: &Path, id: BlockId, range: BlockRange) -> Result<Self, TsdbError> {
        let dir = parent.join(id.to_string());
        let segments = SegmentWriter::create(&dir)?;
        Ok(Self { dir, id, range, segments, series: Vec::new(), stats: Stats::default() })
    }

    /// Adds a series, each once, in any order; one without samples is left out.
    ///
    /// # Errors
    /// [`TsdbError::Io`]; [`TsdbError::TooLarge`] when a histogram does not fit into a chunk.
    ///
    /// # Panics
    /// When a sample lies outside of the block's range or timestamps do not ascend.
    pub fn add(&mut self, labels: &LabelSet, samples: &Samples) -> Result<(), TsdbError> {
        let times = &samples.timestamps;
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return Ok(()) };
        assert!(self.range.contains(*first) && self.range.contains(*last), "samples lie within the block");
        assert!(times.is_sorted_by(|a, b| a < b), "timestamps ascend");
        let mut chunks = Vec::new();
        for run in chunk::runs(samples, CHUNK_SAMPLES) {
            let encoded = chunk::encode(samples, run);
            let reference = self.segments.write(&encoded)?;
            let (start_ms, end_ms) = encoded.range_ms;
            chunks.push(ChunkRef { start_ms, end_ms, reference });
        }
        self.stats.num_samples += samples.len() as u64;
        self.stats.num_chunks += chunks.len() as u64;
        self.stats.num_series += 1;
        self.series.push((labels.clone(), chunks));
        Ok(())
    }

    /// Returns how many samples were added.
    pub fn samples(&self) -> u64 {
        self.stats.num_samples
    }

    /// Writes everything else; from here on the directory is a block.
    ///
    /// # Errors
    /// [`TsdbError::Io`]; [`TsdbError::TooLarge`] when a section of the index has more than 4 GiB.
    ///
    /// # Panics
    /// When two series with the same labels were added.
    pub fn finish(mut self) -> Result<WrittenBlock, TsdbError> {
        self.segments.finish()?;
        self.series.sort_by(|a, b| a.0.cmp(&b.0));
        assert!(self.series.is_sorted_by(|a, b| a.0 < b.0), "each series is added once");
        write_index(&self.dir, &self.series)?;
        let path = self.dir.join(TOMBSTONES_FILE);
        std::fs::write(&path, Tombstones::empty_file()).map_err(TsdbError::io("cannot write", &path))?;
        let name = self.id.to_string();
        let meta = Meta {
            ulid: name.clone(),
            min_time: self.range.start.0,
            max_time: self.range.end.0,
            version: 1,
            stats: self.stats,
            compaction: Compaction { level: 1, sources: vec![name], failed: false },
            thanos: None,
        };
        meta.write(&self.dir)?;
        Ok(WrittenBlock { dir: self.dir, meta })
    }
}

/// The file of an index, with the place where the next byte goes.
struct IndexFile {
    path: PathBuf,
    file: BufWriter<File>,
    at: u64,
}

impl IndexFile {
    fn create(dir: &Path) -> Result<Self, TsdbError> {
        let path = dir.join(INDEX_FILE);
        let file = File::create(&path).map_err(TsdbError::io("cannot write", &path))?;
        Ok(Self { path, file: BufWriter::new(file), at: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), TsdbError> {
        self.file.write_all(bytes).map_err(TsdbError::io("cannot write", &self.path))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn align(&mut self, to: u64) -> Result<(), TsdbError> {
        let zeros = [0; SERIES_ALIGN as usize];
        let padding = self.at.next_multiple_of(to) - self.at;
        self.write(&zeros[..padding as usize])
    }

    /// Writes a section with its length in four bytes before and its checksum behind; returns where it begins.
    fn section(&mut self, body: &[u8]) -> Result<u64, TsdbError> {
        let at = self.at;
        let length = u32::try_from(body.len()).map_err(|_| self.too_large("a section of more than 4 GiB"))?;
        self.write(&length.to_be_bytes())?;
        self.write(body)?;
        self.write(&crc32c::crc32c(body).to_be_bytes())?;
        Ok(at)
    }

    fn too_large(&self, what: &'static str) -> TsdbError {
        TsdbError::TooLarge { path: self.path.clone(), what }
    }

    fn finish(mut self) -> Result<(), TsdbError> {
        let done = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        done.map_err(TsdbError::io("cannot write", &self.path))
    }
}

/// Which series have a label: references in the order of the series.
type Postings<'a> = BTreeMap<(&'a str, &'a str), Vec<u32>>;

fn write_index(dir: &Path, series: &[(LabelSet, Vec<ChunkRef>)]) -> Result<(), TsdbError> {
    let mut out = IndexFile::create(dir)?;
    out.write(&[&index::MAGIC[..], &[index::VERSION]].concat())?;
    let texts: BTreeSet<&str> =
        series.iter().flat_map(|(labels, _)| labels.iter()).flat_map(|(name, value)| [name, value]).collect();
    let symbols_at = write_symbols(&mut out, &texts)?;
    let numbers: BTreeMap<&str, u32> = texts.into_iter().zip(0..).collect();
    out.align(SERIES_ALIGN)?;
    let series_at = out.at;
    let postings = write_series(&mut out, series, &numbers)?;
    out.align(POSTINGS_ALIGN)?;
    // Nobody reads label indices any more; an empty table stands where one would be looked for.
    let label_table_at = out.section(&0u32.to_be_bytes())?;
    out.align(POSTINGS_ALIGN)?;
    let postings_at = out.at;
    let table = write_postings(&mut out, &postings)?;
    let table_at = out.section(&table)?;
    let words = [symbols_at, series_at, postings_at, label_table_at, postings_at, table_at];
    let toc: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    out.write(&toc)?;
    out.write(&crc32c::crc32c(&toc).to_be_bytes())?;
    out.finish()
}

fn write_symbols(out: &mut IndexFile, texts: &BTreeSet<&str>) -> Result<u64, TsdbError> {
    let mut body = (texts.len() as u32).to_be_bytes().to_vec();
    texts.iter().for_each(|text| push_bytes(&mut body, text.as_bytes()));
    out.section(&body)
}

fn write_series<'a>(
    out: &mut IndexFile,
    series: &'a [(LabelSet, Vec<ChunkRef>)],
    numbers: &BTreeMap<&str, u32>,
) -> Result<Postings<'a>, TsdbError> {
    let mut postings = Postings::new();
    // The list of all series has an empty name.
    postings.insert(("", ""), Vec::with_capacity(series.len()));
    let mut body = Vec::new();
    let mut entry = Vec::new();
    for (labels, chunks) in series {
        out.align(SERIES_ALIGN)?;
        let reference = u32::try_from(out.at / SERIES_ALIGN);
        let reference = reference.map_err(|_| out.too_large("series of more than 64 GiB"))?;
        body.clear();
        push_unsigned(&mut body, labels.len() as u64);
        for (name, value) in labels.iter() {
            [name, value].iter().for_each(|text| push_unsigned(&mut body, u64::from(numbers[text])));
            postings.entry((name, value)).or_default().push(reference);
        }
        postings.entry(("", "")).or_default().push(reference);
        push_chunks(&mut body, chunks);
        entry.clear();
        push_unsigned(&mut entry, body.len() as u64);
        entry.extend_from_slice(&body);
        entry.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
        out.write(&entry)?;
    }
    Ok(postings)
}

fn push_chunks(body: &mut Vec<u8>, chunks: &[ChunkRef]) {
    push_unsigned(body, chunks.len() as u64);
    let mut before: Option<&ChunkRef> = None;
    for chunk in chunks {
        match before {
            None => push_signed(body, chunk.start_ms),
            Some(before) => push_unsigned(body, (chunk.start_ms - before.end_ms) as u64),
        }
        push_unsigned(body, (chunk.end_ms - chunk.start_ms) as u64);
        match before {
            None => push_unsigned(body, chunk.reference),
            Some(before) => push_signed(body, chunk.reference as i64 - before.reference as i64),
        }
        before = Some(chunk);
    }
}

/// Writes all lists; returns the table of where they are.
fn write_postings(out: &mut IndexFile, postings: &Postings<'_>) -> Result<Vec<u8>, TsdbError> {
    let mut table = (postings.len() as u32).to_be_bytes().to_vec();
    let mut body = Vec::new();
    for ((name, value), references) in postings {
        body.clear();
        body.extend_from_slice(&(references.len() as u32).to_be_bytes());
        references.iter().for_each(|reference| body.extend_from_slice(&reference.to_be_bytes()));
        out.align(POSTINGS_ALIGN)?;
        let at = out.section(&body)?;
        // How many texts follow: a name and a value.
        table.push(2);
        push_bytes(&mut table, name.as_bytes());
        push_bytes(&mut table, value.as_bytes());
        push_unsigned(&mut table, at);
    }
    Ok(table)
}
