//! What can be wrong with rules: when they are read, and when they are evaluated.

use std::io;
use std::path::PathBuf;

use model::ErrorKind;
use storage::StorageError;

/// An error of reading or evaluating rules.
#[derive(Debug, thiserror::Error)]
pub enum RulerError {
    /// A pattern of `rule_files` is none.
    #[error("rule_files: {}: {reason}", pattern.display())]
    Pattern {
        /// As configured.
        pattern: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file or folder cannot be read.
    #[error("{}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Rule files are not valid: all their faults, each with its place.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
    /// Work for the CPU pool died.
    #[error("{0} ended unexpectedly")]
    Worker(&'static str),
    /// No querier answered the query, or one refused it.
    #[error("{message}")]
    Query {
        /// What the caller can do about it.
        kind: ErrorKind,
        /// The last querier's sentence.
        message: String,
    },
    /// Two series of a result are one after the rule's labels were set.
    #[error("vector contains metrics with the same labelset after applying rule labels")]
    SameLabelset,
    /// More series than the group's limit.
    #[error("exceeded limit of {limit} with {series} series")]
    Limit {
        /// The group's limit.
        limit: u64,
        /// How many series the result has.
        series: usize,
    },
    /// The results could not be stored.
    #[error("the result could not be stored")]
    Append(#[source] StorageError),
    /// The staleness markers could not be stored; they are written with the next result.
    #[error("staleness markers could not be stored")]
    AppendStale(#[source] StorageError),
}
