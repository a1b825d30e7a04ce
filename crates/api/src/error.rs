//! Why a request has no result, and what HTTP makes of it.

use model::ErrorKind;
use promql::QueryError;
use storage::StorageError;

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request is wrong.
    #[error("{0}")]
    BadData(String),
    /// One parameter is wrong.
    #[error("invalid parameter {name:?}: {reason}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine could not answer.
    #[error(transparent)]
    Query(QueryError),
    /// The data could not be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Every place for a running query was taken for longer than a query may take.
    #[error(
        "query timed out in query queue: it waited for the {timeout} that --query.timeout or the parameter timeout allows, \
         while --query.max-concurrency={concurrency_max} queries ran"
    )]
    QueueTimeout {
        /// How long the query might take.
        timeout: String,
        /// How many queries run at once.
        concurrency_max: usize,
    },
    /// Every place for a running query and every place to wait for one is taken.
    #[error(
        "too many queries: --query.max-concurrency={concurrency_max} run and --query.max-queued={queued_max} wait for their \
         turn: try again later"
    )]
    QueueFull {
        /// How many queries run at once.
        concurrency_max: usize,
        /// How many may wait.
        queued_max: usize,
    },
    /// What was asked for changes stored data, which nobody switched on.
    #[error("admin APIs disabled")]
    AdminDisabled,
    /// What was asked for is not there.
    #[error("{0}")]
    NotFound(String),
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

impl From<QueryError> for ApiError {
    /// A query that does not parse, or has no result of the right type, is a wrong parameter, as in Prometheus.
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Parse(error) => Self::parameter("query", error.to_string()),
            QueryError::Invalid(reason) => Self::parameter("query", reason),
            error => Self::Query(error),
        }
    }
}

impl ApiError {
    /// Makes the error of one parameter.
    pub(crate) fn parameter(name: &'static str, reason: impl Into<String>) -> Self {
        Self::Parameter { name, reason: reason.into() }
    }

    /// Returns what the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::BadData(_) | Self::Parameter { .. } => ErrorKind::Invalid,
            Self::Query(error) => error.kind(),
            Self::Storage(error) => error.kind,
            Self::QueueTimeout { .. } => ErrorKind::Timeout,
            Self::QueueFull { .. } | Self::AdminDisabled => ErrorKind::Unavailable,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// Returns the HTTP status and Prometheus's `errorType`.
    pub(crate) fn status(&self) -> (u16, &'static str) {
        if let Self::AdminDisabled = self {
            // Prometheus has no status of its own for it.
            return (500, "unavailable");
        }
        let row = proto::error::row_of(self.kind());
        (row.http, row.prometheus)
    }

    /// Tells whether a fresh view may give an answer.
    pub(crate) fn is_conflict(&self) -> bool {
        self.kind() == ErrorKind::Conflict
    }
}
