//! The one error of this crate.

use model::{BlockId, ErrorKind};
use storage::{MemoryError, StorageError};

use crate::place::Place;

/// What went wrong with a block or its store.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// A series given to [`crate::build()`] cannot be stored.
    #[error("block {block}: series {series}: {reason}")]
    InvalidInput {
        /// The block that was to be built.
        block: BlockId,
        /// The labels of the series.
        series: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be encoded.
    #[error("encoding {file} failed: {reason}")]
    Encode {
        /// Which of the two files.
        file: &'static str,
        /// What failed.
        reason: String,
    },
    /// Stored bytes are not what was written.
    #[error("{object} is corrupt: {place}: {reason}")]
    Corrupt {
        /// The object's key.
        object: String,
        /// Where in it: a section, or a column and a row.
        place: Place,
        /// What was found.
        reason: String,
    },
    /// An object is not there.
    #[error("object {object} does not exist")]
    NotFound {
        /// The object's key.
        object: String,
    },
    /// An object of the same name holds other bytes.
    #[error("object {object} exists with other content: {reason}")]
    Conflict {
        /// The object's key.
        object: String,
        /// How the contents differ.
        reason: String,
    },
    /// The object store did not do what it was asked.
    #[error("{operation} {object} failed")]
    Store {
        /// What was tried.
        operation: &'static str,
        /// The object's key.
        object: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// A file of a cache or another local resource failed.
    #[error("{operation} {object} failed")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The object's key.
        object: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// More series match than were allowed.
    #[error("block {block}: the query matches more than {limit} series")]
    SeriesLimit {
        /// The block.
        block: BlockId,
        /// The limit.
        limit: usize,
    },
    /// More bytes would have to be read than were allowed.
    #[error("block {block}: the query reads {bytes} bytes, more than {limit}")]
    BytesLimit {
        /// The block.
        block: BlockId,
        /// What the query would read.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The object store's configuration cannot be used.
    #[error("object store configuration: {reason}")]
    Config {
        /// What is wrong and what was expected.
        reason: String,
    },
    /// A worker that decodes died.
    #[error("{object}: the decoding task ended: {reason}")]
    Task {
        /// What was decoded.
        object: String,
        /// How it ended.
        reason: String,
    },
    /// A block that is to be merged could not be read.
    #[error("input block {block} cannot be merged")]
    Input {
        /// Which.
        block: BlockId,
        /// Why.
        #[source]
        source: Box<BlockError>,
    },
    /// Blocks that do not belong together.
    #[error("block {block} cannot be merged with block {other}: {reason}")]
    Unlike {
        /// One of them.
        block: BlockId,
        /// Another.
        other: BlockId,
        /// In what they differ.
        reason: &'static str,
    },
    /// A query has no more memory for what it reads.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// An error that several waiters of one read share.
    #[error(transparent)]
    Shared(std::sync::Arc<BlockError>),
}

impl BlockError {
    /// Returns what a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidInput { .. } | Self::Config { .. } | Self::Unlike { .. } => ErrorKind::Invalid,
            Self::Encode { .. } | Self::Task { .. } => ErrorKind::Internal,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::SeriesLimit { .. } | Self::BytesLimit { .. } => ErrorKind::LimitExceeded,
            Self::Io { .. } => ErrorKind::Unavailable,
            Self::Store { source, .. } => match source {
                object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. }
                | object_store::Error::NotSupported { .. }
                | object_store::Error::InvalidPath { .. } => ErrorKind::Internal,
                _ => ErrorKind::Unavailable,
            },
            Self::Input { source, .. } => source.kind(),
            Self::Memory(error) => error.kind(),
            Self::Shared(inner) => inner.kind(),
        }
    }

    pub(crate) fn corrupt(object: impl Into<String>, place: Place, reason: impl std::fmt::Display) -> Self {
        Self::Corrupt { object: object.into(), place, reason: reason.to_string() }
    }

    /// Returns which object is damaged and where, when that is what is wrong; an object that is not there is damaged as a
    /// whole.
    pub fn damage(&self) -> Option<(&str, &Place)> {
        match self {
            Self::Corrupt { object, place, .. } => Some((object, place)),
            Self::NotFound { object } => Some((object, &Place::Object)),
            Self::Input { source, .. } => source.damage(),
            Self::Shared(inner) => inner.damage(),
            _ => None,
        }
    }

    /// Wraps what the object store said of reading one object.
    pub(crate) fn store(operation: &'static str, object: &str, source: object_store::Error) -> Self {
        match source {
            object_store::Error::NotFound { .. } => Self::NotFound { object: object.to_owned() },
            source => Self::Store { operation, object: object.to_owned(), source },
        }
    }
}

impl From<BlockError> for StorageError {
    fn from(error: BlockError) -> Self {
        let (kind, message) = (error.kind(), error.to_string());
        Self::with_source(kind, message, error)
    }
}
