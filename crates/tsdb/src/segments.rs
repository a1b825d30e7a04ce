//! `chunks/000001` and on: chunk after chunk, each with its length, encoding and checksum.
//!
//! Chunks are read through a window over one segment at a time: the index names them in about the order in which they lie.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use model::varint::{Cursor, push_unsigned};

use crate::chunk::{Encoded, Encoding};
use crate::error::TsdbError;

/// The directory of the segments.
pub(crate) const CHUNKS_DIR: &str = "chunks";
const MAGIC: [u8; 4] = 0x85BD_40DD_u32.to_be_bytes();
const VERSION: u8 = 1;
pub(crate) const HEADER_BYTES: u64 = 8;
const CRC_BYTES: usize = 4;
/// A length of 32 bits takes so many bytes at the most.
const LENGTH_BYTES_MAX: usize = 5;
/// Larger chunks are refused: Prometheus aims at a thousandth of this.
const CHUNK_BYTES_MAX: usize = 4 << 20;
/// A segment is not begun anew before it has this size; Prometheus's limit.
const SEGMENT_BYTES_MAX: u64 = 512 << 20;
/// How much is read at a time.
const WINDOW_BYTES: usize = 1 << 20;
/// How many segments a block has at the most: half a petabyte.
const SEGMENTS_MAX: usize = 1_000_000;

/// The segments of a block, opened for reading.
#[derive(Debug)]
pub(crate) struct Segments {
    files: Vec<(PathBuf, File, u64)>,
}

impl Segments {
    /// Opens all segments of a block's directory and checks their headers.
    pub(crate) fn open(dir: &Path) -> Result<Self, TsdbError> {
        let dir = dir.join(CHUNKS_DIR);
        let mut files = Vec::new();
        while files.len() < SEGMENTS_MAX {
            let path = dir.join(name(files.len()));
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
                Err(error) => return Err(TsdbError::io("cannot open", &path)(error)),
            };
            let size = file.metadata().map_err(TsdbError::io("cannot read", &path))?.len();
            let mut header = [0; HEADER_BYTES as usize];
            file.read_exact_at(&mut header, 0).map_err(TsdbError::io("cannot read", &path))?;
            if header[..4] != MAGIC || header[4] != VERSION {
                return Err(TsdbError::corrupt(&path, 0, "not a segment of chunks of version 1"));
            }
            files.push((path, file, size));
        }
        Ok(Self { files })
    }

    /// Returns how large all segments are together.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.files.iter().map(|(_, _, size)| size).sum()
    }
}

fn name(number: usize) -> String {
    format!("{:06}", number + 1)
}

/// Reads chunks; keeps a window of the segment it read last.
#[derive(Debug)]
pub(crate) struct ChunkReader<'a> {
    segments: &'a Segments,
    segment: usize,
    start: u64,
    window: Vec<u8>,
}

impl<'a> ChunkReader<'a> {
    pub(crate) fn new(segments: &'a Segments) -> Self {
        Self { segments, segment: usize::MAX, start: 0, window: Vec::new() }
    }

    /// Returns the encoding and the data of the chunk that a reference names, checked; with its place for errors.
    pub(crate) fn read(&mut self, reference: u64) -> Result<(Encoding, &[u8], Place<'a>), TsdbError> {
        let (segment, offset) = ((reference >> 32) as usize, reference & u64::from(u32::MAX));
        let segments = self.segments;
        let Some((path, _, size)) = segments.files.get(segment) else {
            let dir = segments.files.first().map_or(Path::new(CHUNKS_DIR), |(path, _, _)| path);
            let what = format!("the index names segment {}, there are {}", segment + 1, segments.files.len());
            return Err(TsdbError::corrupt(dir, 0, what));
        };
        let place = Place { path, offset };
        if offset < HEADER_BYTES || offset >= *size {
            return Err(place.corrupt("the index names a chunk that is not in the segment"));
        }
        let head = self.bytes(segment, offset, LENGTH_BYTES_MAX.min((size - offset) as usize))?;
        let mut cursor = Cursor::new(head);
        let length = cursor.u32().map_err(|error| place.corrupt(&error.to_string()))? as usize;
        let begin = offset + cursor.offset() as u64;
        let whole = 1 + length + CRC_BYTES;
        if length > CHUNK_BYTES_MAX {
            return Err(
                place.corrupt(&format!("a chunk of {length} bytes, at most {CHUNK_BYTES_MAX} are read"))
            );
        }
        if begin + whole as u64 > *size {
            return Err(place.corrupt("the chunk reaches beyond the segment"));
        }
        let (body, crc) = self.bytes(segment, begin, whole)?.split_at(1 + length);
        if crc32c::crc32c(body).to_be_bytes() != crc {
            return Err(place.corrupt("the checksum is another"));
        }
        let encoding = Encoding::of_code(body[0]).map_err(|error| place.corrupt_or_unsupported(&error))?;
        Ok((encoding, &body[1..], place))
    }

    /// Returns bytes of a segment, all of which exist.
    fn bytes(&mut self, segment: usize, offset: u64, count: usize) -> Result<&[u8], TsdbError> {
        let end = offset + count as u64;
        let within =
            self.segment == segment && self.start <= offset && end <= self.start + self.window.len() as u64;
        if !within {
            let (path, file, size) = &self.segments.files[segment];
            let length = (count.max(WINDOW_BYTES) as u64).min(size - offset) as usize;
            self.window.resize(length, 0);
            self.segment = usize::MAX;
            let read = file.read_exact_at(&mut self.window, offset);
            read.map_err(TsdbError::io("cannot read", path))?;
            (self.segment, self.start) = (segment, offset);
        }
        let from = (offset - self.start) as usize;
        Ok(&self.window[from..from + count])
    }
}

/// Where a chunk begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    path: &'a Path,
    offset: u64,
}

impl Place<'_> {
    pub(crate) fn corrupt(&self, what: &str) -> TsdbError {
        TsdbError::corrupt(self.path, self.offset, what)
    }

    pub(crate) fn corrupt_or_unsupported(&self, fault: &crate::ChunkFault) -> TsdbError {
        match fault {
            crate::ChunkFault::Encoding { .. } => TsdbError::Unsupported {
                path: self.path.to_owned(),
                what: format!("{fault} (offset {})", self.offset),
            },
            _ => self.corrupt(&fault.to_string()),
        }
    }
}

/// Writes segments.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    dir: PathBuf,
    number: usize,
    /// The open segment; `None` before the first chunk.
    file: Option<(PathBuf, std::io::BufWriter<File>, u64)>,
    scratch: Vec<u8>,
}

impl SegmentWriter {
    /// Makes the directory of segments in a block's directory.
    pub(crate) fn create(dir: &Path) -> Result<Self, TsdbError> {
        let dir = dir.join(CHUNKS_DIR);
        fs::create_dir_all(&dir).map_err(TsdbError::io("cannot make", &dir))?;
        Ok(Self { dir, number: 0, file: None, scratch: Vec::new() })
    }

    /// Appends a chunk; returns what the index calls it.
    pub(crate) fn write(&mut self, chunk: &Encoded) -> Result<u64, TsdbError> {
        if self.file.as_ref().is_some_and(|(_, _, size)| *size >= SEGMENT_BYTES_MAX) {
            self.finish()?;
            self.number += 1;
        }
        if self.file.is_none() {
            let path = self.dir.join(name(self.number));
            let file = File::create(&path).map_err(TsdbError::io("cannot write", &path))?;
            let mut file = std::io::BufWriter::new(file);
            let header = [&MAGIC[..], &[VERSION, 0, 0, 0]].concat();
            file.write_all(&header).map_err(TsdbError::io("cannot write", &path))?;
            self.file = Some((path, file, HEADER_BYTES));
        }
        let (path, file, size) = self.file.as_mut().expect("it was opened just before");
        self.scratch.clear();
        push_unsigned(&mut self.scratch, chunk.data.len() as u64);
        let body = self.scratch.len();
        self.scratch.push(chunk.encoding.code());
        self.scratch.extend_from_slice(&chunk.data);
        let crc = crc32c::crc32c(&self.scratch[body..]);
        self.scratch.extend_from_slice(&crc.to_be_bytes());
        file.write_all(&self.scratch).map_err(TsdbError::io("cannot write", path))?;
        let reference = (self.number as u64) << 32 | *size;
        *size += self.scratch.len() as u64;
        Ok(reference)
    }

    /// Brings what was written to the disk.
    pub(crate) fn finish(&mut self) -> Result<(), TsdbError> {
        let Some((path, file, _)) = self.file.take() else { return Ok(()) };
        let written = file.into_inner().map_err(std::io::IntoInnerError::into_error);
        written.and_then(|file| file.sync_all()).map_err(TsdbError::io("cannot write", &path))
    }
}
