//! The errors of this crate: what a person gets wrong on the command line; and how any error is shown.

use std::error::Error;

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

/// Joins an error and what caused it into one line, outermost first, as logs and messages to people show it.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
