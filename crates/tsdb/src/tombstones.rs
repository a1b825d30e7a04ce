//! `tombstones`: stretches of time in which series are deleted though their samples are still there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use model::varint::Cursor;
use model::{Samples, TimeRange};

use crate::error::TsdbError;

/// The file's name in a block's directory.
pub const TOMBSTONES_FILE: &str = "tombstones";
const MAGIC: [u8; 4] = 0x0130_BA30_u32.to_be_bytes();
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;
const CRC_BYTES: usize = 4;

/// What is deleted of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones {
    /// By the reference of the series in the index; ranges in the order of the file.
    by_series: BTreeMap<u64, Vec<TimeRange>>,
}

impl Tombstones {
    /// Reads the file of a block's directory; without one nothing is deleted.
    ///
    /// # Errors
    /// [`TsdbError`] when the file cannot be read or is damaged.
    pub fn read(dir: &Path) -> Result<Self, TsdbError> {
        let path = dir.join(TOMBSTONES_FILE);
        match fs::read(&path) {
            Ok(bytes) => Self::parse(&path, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(TsdbError::io("cannot read", &path)(error)),
        }
    }

    /// Reads the bytes of a file; `path` is for errors.
    ///
    /// # Errors
    /// [`TsdbError::Corrupt`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, TsdbError> {
        let corrupt = |offset: usize, what: &str| TsdbError::corrupt(path, offset as u64, what);
        if bytes.len() < HEADER_BYTES + CRC_BYTES || bytes[..4] != MAGIC || bytes[4] != VERSION {
            return Err(corrupt(0, "not a file of tombstones of version 1"));
        }
        let (body, crc) = bytes[HEADER_BYTES..].split_at(bytes.len() - HEADER_BYTES - CRC_BYTES);
        if crc32c::crc32c(body).to_be_bytes() != crc {
            return Err(corrupt(bytes.len() - CRC_BYTES, "the checksum is another"));
        }
        let mut by_series: BTreeMap<u64, Vec<TimeRange>> = BTreeMap::new();
        let mut cursor = Cursor::new(body);
        while !cursor.is_at_end() {
            let at = HEADER_BYTES + cursor.offset();
            let mut read = || Ok((cursor.unsigned()?, cursor.signed()?, cursor.signed()?));
            let read: Result<_, model::varint::ReadError> = read();
            let (series, start_ms, end_ms) = read.map_err(|error| corrupt(at, &error.to_string()))?;
            by_series.entry(series).or_default().push(TimeRange::new(start_ms, end_ms));
        }
        Ok(Self { by_series })
    }

    /// Returns what a file without tombstones holds.
    pub(crate) fn empty_file() -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        bytes.extend_from_slice(&crc32c::crc32c(&[]).to_be_bytes());
        bytes
    }

    /// Tells whether nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.by_series.is_empty()
    }

    /// Takes the samples of a series away that are deleted.
    pub fn apply(&self, series: u64, samples: &mut Samples) {
        for range in self.by_series.get(&series).into_iter().flatten() {
            let start = samples.timestamps.partition_point(|time_ms| *time_ms < range.start.0);
            let end = samples.timestamps.partition_point(|time_ms| *time_ms <= range.end.0);
            samples.remove(start..end.max(start));
        }
    }
}

#[cfg(test)]
mod tests {
    use model::varint::{push_signed, push_unsigned};

    use super::*;

    fn file(entries: &[(u64, i64, i64)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (series, start, end) in entries {
            push_unsigned(&mut body, *series);
            push_signed(&mut body, *start);
            push_signed(&mut body, *end);
        }
        [&MAGIC[..], &[VERSION], &body, &crc32c::crc32c(&body).to_be_bytes()].concat()
    }

    #[test]
    fn deleted_samples_go() {
        let bytes = file(&[(7, 10, 20), (9, 0, 5), (7, 30, 99), (7, 50, 40)]);
        let tombstones = Tombstones::parse(Path::new("t"), &bytes).expect("valid");
        let mut samples = Samples::default();
        (0..50).step_by(5).for_each(|time| samples.push(time, 1.0));
        let mut other = samples.clone();
        tombstones.apply(7, &mut samples);
        assert_eq!(samples.timestamps, [0, 5, 25]);
        tombstones.apply(8, &mut other);
        assert_eq!(other.len(), 10);
        assert_eq!(
            Tombstones::parse(Path::new("t"), &Tombstones::empty_file()).expect("valid"),
            Tombstones::default()
        );
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let bytes = file(&[(7, 10, 20), (9, 0, 5)]);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x41;
            assert!(Tombstones::parse(Path::new("t"), &bad).is_err(), "byte {at}");
            assert!(Tombstones::parse(Path::new("t"), &bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
