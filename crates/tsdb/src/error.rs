//! The one error of this crate: what is wrong with a block, and where.

use std::io;
use std::path::{Path, PathBuf};

/// Why a block cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TsdbError {
    /// The file system said no.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Bytes that no writer writes.
    #[error("{} is damaged at offset {offset}: {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// From its first byte.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// Something this program does not read.
    #[error("{}: {what}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// What was to be written is more than the format holds.
    #[error("{}: {what}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is too large.
        what: &'static str,
    },
}

impl TsdbError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }

    pub(crate) fn corrupt(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), offset, what: what.into() }
    }
}

/// Why the data of a chunk cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkFault {
    /// The data end in the middle of a sample.
    #[error("the chunk ends early")]
    Truncated,
    /// The data say what cannot be.
    #[error("{0}")]
    Malformed(&'static str),
    /// An encoding this program does not read.
    #[error("chunk encoding {code} ({name}) is not supported")]
    Encoding {
        /// The byte.
        code: u8,
        /// What Prometheus calls it, if that is known.
        name: &'static str,
    },
}
