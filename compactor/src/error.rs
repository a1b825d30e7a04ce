//! What can be wrong before a compactor runs, and what ends a round or a job.

use std::path::PathBuf;

use block::BlockError;
use cluster::{DeleteId, JobId};
use model::{BlockId, ErrorKind};
use session::SessionError;

/// Why a compactor cannot be built, or a round ended early.
#[derive(Debug, thiserror::Error)]
pub enum CompactorError {
    /// A retention of nothing would delete everything.
    #[error("the retention is zero: leave it out to keep samples for ever")]
    Retention,
    /// A round would follow on the other without a pause.
    #[error("the interval between rounds is zero")]
    Interval,
    /// A command was not committed.
    #[error("{step} failed")]
    Commit {
        /// What was to be committed.
        step: &'static str,
        /// Why it was not.
        #[source]
        source: SessionError,
    },
    /// The directory for blocks that are being merged cannot be made.
    #[error("the directory {} cannot be made", dir.display())]
    SpoolDir {
        /// Which.
        dir: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The control group answered a claim with something else.
    #[error("a claim was answered with something else")]
    Claim,
    /// A block was tombstoned after its job was claimed.
    #[error("block {block} is no longer active")]
    InputGone {
        /// Which.
        block: BlockId,
    },
    /// A delete of the catalogue is none that this version knows.
    #[error("delete {id} cannot be understood: {reason}")]
    Delete {
        /// Which.
        id: DeleteId,
        /// What is wrong.
        reason: String,
    },
    /// It could not be looked up what is deleted of a block.
    #[error("block {block} cannot be read")]
    Assess {
        /// Which.
        block: BlockId,
        /// Why.
        #[source]
        source: Box<BlockError>,
    },
    /// Blocks could not be merged, or the result not be uploaded.
    #[error("job {job} failed")]
    Merge {
        /// Which.
        job: JobId,
        /// Why.
        #[source]
        source: BlockError,
    },
}

impl CompactorError {
    /// Tells whether something that every job needs did not answer.
    pub(crate) fn is_unavailable(&self) -> bool {
        match self {
            Self::Merge { source, .. } => source.kind() == ErrorKind::Unavailable,
            Self::Commit { source, .. } => source.kind() == ErrorKind::Unavailable,
            _ => false,
        }
    }

    /// Returns what lies beneath it, for the log.
    pub(crate) fn cause(&self) -> String {
        cause(self)
    }
}

/// Returns what lies beneath an error, for the log: all of it.
pub(crate) fn cause(error: &dyn std::error::Error) -> String {
    let beneath = std::iter::successors(error.source(), |error| error.source());
    beneath.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
