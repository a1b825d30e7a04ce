//! The one error of this crate.

use std::io;

use chunk::ChunkError;
use model::{ErrorKind, LabelSet};

/// Why a head cannot answer, or cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// The caller expects samples here that have since been published in a block and dropped.
    #[error(
        "samples before {dropped_until_ms} ms have left the head, but were asked for from {from_ms} ms on"
    )]
    Stale {
        /// From when on the caller wants samples from the head.
        from_ms: i64,
        /// From when on the head has them.
        dropped_until_ms: i64,
    },
    /// More results than allowed.
    #[error("more than {limit} results in one head")]
    LimitExceeded {
        /// As allowed.
        limit: usize,
    },
    /// More deleted ranges than allowed.
    #[error(
        "more than {limit} ranges of series are deleted in one head: try again when its window is published"
    )]
    TooManyDeletes {
        /// As allowed.
        limit: usize,
    },
    /// A chunk that must be decoded is damaged.
    #[error("a chunk of series {labels} is damaged in the head")]
    DamagedChunk {
        /// Whose.
        labels: LabelSet,
        /// What is wrong.
        #[source]
        source: ChunkError,
    },
    /// The snapshot's bytes could not be read.
    #[error("reading a snapshot of the head at offset {offset}")]
    ReadSnapshot {
        /// Bytes read before.
        offset: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The snapshot is not one, or is damaged.
    #[error("snapshot of the head is damaged in the frame at offset {offset}: {what}")]
    DamagedSnapshot {
        /// Where the frame begins.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The snapshot was written by a later program.
    #[error("snapshot of the head has version {version}, this program reads version {known}")]
    UnknownSnapshotVersion {
        /// As found.
        version: u32,
        /// As known.
        known: u32,
    },
}

impl HeadError {
    /// Returns what the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Stale { .. } => ErrorKind::Conflict,
            Self::LimitExceeded { .. } => ErrorKind::LimitExceeded,
            Self::ReadSnapshot { .. } | Self::TooManyDeletes { .. } => ErrorKind::Unavailable,
            Self::DamagedSnapshot { .. }
            | Self::UnknownSnapshotVersion { .. }
            | Self::DamagedChunk { .. } => ErrorKind::Corrupt,
        }
    }
}
