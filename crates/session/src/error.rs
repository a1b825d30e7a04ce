//! What can go wrong between a role and its cluster.

use cluster::StateError;
use model::ErrorKind;
use storage::StorageError;

/// An error of joining, proposing or watching.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No ingester that leads the control group answered in time.
    #[error("no leader of the control group answered within {waited_ms} ms (last: {last})")]
    NoLeader {
        /// How long was tried.
        waited_ms: u128,
        /// What the last attempt said.
        last: String,
    },
    /// The leader answered with an error that trying again does not mend.
    #[error("{message}")]
    Answered {
        /// Its kind.
        kind: ErrorKind,
        /// The leader's sentence.
        message: String,
    },
    /// The command was committed and refused by the state.
    #[error("refused: {0}")]
    Refused(#[source] StateError),
    /// This process has no live membership.
    #[error("the membership's lease lapsed")]
    NoMembership,
    /// The bytes of an answer are not what this version expects.
    #[error("{0}")]
    Malformed(String),
}

impl SessionError {
    /// Returns what the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoLeader { .. } | Self::NoMembership | Self::Refused(StateError::NotFounded) => {
                ErrorKind::Unavailable
            }
            Self::Answered { kind, .. } => *kind,
            Self::Refused(StateError::Limit(_)) => ErrorKind::LimitExceeded,
            Self::Refused(_) => ErrorKind::Conflict,
            Self::Malformed(_) => ErrorKind::Internal,
        }
    }
}

impl From<SessionError> for StorageError {
    fn from(error: SessionError) -> Self {
        Self::with_source(error.kind(), error.to_string(), error)
    }
}
