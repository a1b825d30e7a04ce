//! The one error of this crate: bytes that are not a batch, or not an outcome.

use model::labels::LabelError;
use model::varint::ReadError;

/// Why bytes cannot be read. Offsets count from the first byte.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end in the middle of something.
    #[error("batch ends early at offset {offset}")]
    Truncated {
        /// Where more was expected.
        offset: usize,
    },
    /// The first byte names no version that this program knows.
    #[error("batch version {version} is unknown")]
    UnknownVersion {
        /// The byte found.
        version: u8,
    },
    /// The bytes are more than any writer may send.
    #[error("batch has {size_bytes} bytes, more than {max_bytes}")]
    TooLarge {
        /// As found.
        size_bytes: usize,
        /// As allowed.
        max_bytes: usize,
    },
    /// A field holds what no writer writes.
    #[error("batch is malformed at offset {offset}: {what}")]
    Malformed {
        /// Where.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A declared series is not a label set.
    #[error("labels of declared series {index} are invalid")]
    Labels {
        /// Which, counted from 0.
        index: usize,
        /// Why.
        #[source]
        source: LabelError,
    },
}

impl From<ReadError> for BatchError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Truncated { offset } => Self::Truncated { offset },
            ReadError::Malformed { offset, what } => Self::Malformed { offset, what },
        }
    }
}
