//! Why a target cannot be made or scraped; the messages are Prometheus's where it has one.

use std::path::PathBuf;

use scrape::ParseError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum ScraperError {
    /// The target's address, path or credentials make no request.
    #[error("{0}")]
    BadTarget(String),
    /// A file with credentials cannot be read.
    #[error("unable to read credentials file {}: {source}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// No connection, or it broke.
    #[error("Get {url:?}: {reason}")]
    Request {
        /// What was asked.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// The target did not answer within the scrape's timeout.
    #[error("Get {url:?}: context deadline exceeded")]
    Timeout {
        /// What was asked.
        url: String,
    },
    /// The answer is not 200.
    #[error("server returned HTTP status {0}")]
    Status(http::StatusCode),
    /// The answer is larger than the job allows.
    #[error("body size limit exceeded")]
    BodyTooLarge,
    /// The answer's compression is none that was asked for, or is broken.
    #[error("{0}")]
    Encoding(String),
    /// The answer is in no format that can be read.
    #[error("{0}")]
    ContentType(String),
    /// A malformed line.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// More samples than the job allows.
    #[error("sample limit exceeded")]
    SampleLimit,
    /// More targets than the job allows.
    #[error("target_limit exceeded (number of targets: {found}, limit: {limit})")]
    TargetLimit {
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: u64,
    },
    /// A series' labels break a rule.
    #[error("{0}")]
    Labels(String),
    /// A series' labels are more or longer than the job allows.
    #[error("{0}")]
    LabelLimit(String),
    /// A part of the process failed.
    #[error("{0}")]
    Internal(String),
}
