//! The one error of the ports.

use model::ErrorKind;

/// What went wrong behind a port: a kind that says what the caller can do, and a sentence that names the place.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StorageError {
    /// What the caller can do about it.
    pub kind: ErrorKind,
    /// What happened, where, and what was expected.
    pub message: String,
    /// The error beneath, if there is one.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StorageError {
    /// Makes an error without a source.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Makes the error of a selector that matches more series than allowed, wherever that was noticed.
    pub fn too_many_series(series_max: usize) -> Self {
        let message =
            format!("a selector matches more series than the {series_max} that --query.max-series allows");
        Self::new(ErrorKind::LimitExceeded, message)
    }

    /// Makes an error that keeps what caused it.
    pub fn with_source(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, message: message.into(), source: Some(source.into()) }
    }
}
