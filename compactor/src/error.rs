//! What can be wrong before a compactor runs, and what ends a round.

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
}
