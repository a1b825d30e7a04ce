//! Why an exposition cannot be read.

/// A malformed line. The message is Prometheus's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (line {line})")]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: u64,
    /// What was expected and what was found.
    pub message: String,
}
