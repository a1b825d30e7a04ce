//! The errors of this crate: what a person gets wrong on the command line.

/// Why a process cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The log level is none of ours.
    #[error("unknown log level {level:?}: one of debug, info, warn, error")]
    LogLevel {
        /// As given.
        level: String,
    },
    /// The log format is none of ours.
    #[error("unknown log format {format:?}: one of logfmt, json")]
    LogFormat {
        /// As given.
        format: String,
    },
    /// The process has a subscriber already.
    #[error("logs are set up twice in one process")]
    LogsTwice,
}
