//! What can go wrong with a query.

use std::time::Duration;

use model::ErrorKind;
use storage::{MemoryError, StorageError};

/// A text that is not a query, with the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: parse error: {message}", place(*.line, *.column))]
pub struct ParseError {
    /// What was found and what was expected.
    pub message: String,
    /// Line of the place, counted from 1; 0 in an empty text, which has no places.
    pub line: usize,
    /// Byte in the line, counted from 1.
    pub column: usize,
}

impl ParseError {
    /// Makes an error for a byte offset of a query's text.
    pub(crate) fn at(query: &str, offset: u32, message: impl Into<String>) -> Self {
        let (line, column) = if query.is_empty() { (0, 0) } else { position(query, offset) };
        Self { message: message.into(), line, column }
    }
}

fn place(line: usize, column: usize) -> String {
    if line == 0 { "unknown position".to_owned() } else { format!("{line}:{column}") }
}

/// Returns line and column of a byte offset, both counted from 1.
pub(crate) fn position(query: &str, offset: u32) -> (usize, usize) {
    let before = &query.as_bytes()[..(offset as usize).min(query.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    (line, column)
}

/// Why a query has no result.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is not a query.
    #[error("{0}")]
    Parse(#[from] ParseError),
    /// The request does not make sense: times, steps or the type of the result.
    #[error("{0}")]
    Invalid(String),
    /// The data does not fit the query.
    #[error("{0}")]
    Execution(String),
    /// More samples at a time than allowed.
    #[error(
        "query processing would load too many samples into memory in query execution: more than the {samples_max} that \
         --query.max-samples allows"
    )]
    TooManySamples {
        /// The limit.
        samples_max: u64,
    },
    /// More bytes at a time than allowed.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The deadline passed.
    #[error(
        "query timed out in query execution: it took longer than the {} that --query.timeout or the parameter timeout allows",
        model::time::format_duration_ms(limit.as_millis() as u64)
    )]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// The caller went away.
    #[error("query was canceled in query execution")]
    Cancelled,
    /// The data could not be read.
    #[error("{0}")]
    Storage(StorageError),
    /// A fault of ours: the evaluation broke off.
    #[error("query evaluation failed unexpectedly: {0}")]
    Internal(String),
}

impl QueryError {
    /// Returns what the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse(_) | Self::Invalid(_) => ErrorKind::Invalid,
            Self::Execution(_) | Self::TooManySamples { .. } => ErrorKind::LimitExceeded,
            Self::Memory(error) => error.kind(),
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Storage(error) => error.kind,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    pub(crate) fn same_labelset() -> Self {
        Self::Execution("vector cannot contain metrics with the same labelset".to_owned())
    }
}

impl From<StorageError> for QueryError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}
