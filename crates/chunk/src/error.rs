//! The one error of this crate: bytes that are not a chunk.

use model::varint::ReadError;

/// Why bytes cannot be read as a chunk. Offsets count from the first byte of the chunk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The bytes end in the middle of something.
    #[error("chunk ends early at offset {offset}")]
    Truncated {
        /// Where more was expected.
        offset: usize,
    },
    /// The checksum does not fit the bytes.
    #[error("chunk checksum is {stored:#010x}, its bytes have {computed:#010x}")]
    Checksum {
        /// As stored.
        stored: u32,
        /// As computed over the bytes before it.
        computed: u32,
    },
    /// The first byte names no encoding that this version knows.
    #[error("chunk encoding {encoding} is unknown")]
    UnknownEncoding {
        /// The byte found.
        encoding: u8,
    },
    /// A field holds what no encoder writes.
    #[error("chunk is malformed at offset {offset}: {what}")]
    Malformed {
        /// Where.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The chunk does not hold what its description says.
    #[error("chunk holds {samples} samples from {start_ms} to {end_ms} ms, which its description denies")]
    Mismatch {
        /// Samples found.
        samples: usize,
        /// The first timestamp found.
        start_ms: i64,
        /// The last timestamp found.
        end_ms: i64,
    },
}

impl From<ReadError> for ChunkError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Truncated { offset } => Self::Truncated { offset },
            ReadError::Malformed { offset, what } => Self::Malformed { offset, what },
        }
    }
}
