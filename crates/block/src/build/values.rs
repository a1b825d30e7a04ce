//! The encoded values of a block's series between the two passes over them: encoded as series come, read as rows stand.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;

use bytes::Bytes;

/// How much is gathered before it is written.
const BUFFER_BYTES: usize = 1 << 20;

/// Takes values one after the other, and gives each back once.
pub(super) trait Values {
    /// Appends the next series' value.
    fn push(&mut self, value: Bytes) -> io::Result<()>;

    /// Ends the first pass.
    fn finish(&mut self) -> io::Result<()>;

    /// Returns the value of a series, by its place in the first pass.
    fn take(&mut self, series: u32) -> io::Result<Bytes>;
}

/// Values in memory.
impl Values for Vec<Bytes> {
    fn push(&mut self, value: Bytes) -> io::Result<()> {
        self.push(value);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn take(&mut self, series: u32) -> io::Result<Bytes> {
        Ok(std::mem::take(&mut self[series as usize]))
    }
}

/// Values in a file, eight bytes each in memory.
pub(super) struct SpooledValues {
    file: BufWriter<File>,
    /// Where each ends.
    ends: Vec<u64>,
}

impl SpooledValues {
    /// Takes an empty file.
    pub(super) fn new(file: File) -> Self {
        Self { file: BufWriter::with_capacity(BUFFER_BYTES, file), ends: Vec::new() }
    }
}

impl Values for SpooledValues {
    fn push(&mut self, value: Bytes) -> io::Result<()> {
        self.ends.push(self.ends.last().copied().unwrap_or(0) + value.len() as u64);
        self.file.write_all(&value)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    fn take(&mut self, series: u32) -> io::Result<Bytes> {
        let series = series as usize;
        let start = series.checked_sub(1).map_or(0, |before| self.ends[before]);
        let mut value = vec![0; (self.ends[series] - start) as usize];
        self.file.get_ref().read_exact_at(&mut value, start)?;
        Ok(value.into())
    }
}
