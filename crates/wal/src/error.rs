//! The one error of the log engine.

use std::io;
use std::sync::Arc;

/// What went wrong in the log engine, and where.
///
/// It can be cloned, since one failure of the disk answers many waiting commands.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WalError {
    /// The disk did not do what was asked.
    #[error("cannot {action} {name}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file it was tried on.
        name: String,
        /// What the disk answered.
        #[source]
        source: Arc<io::Error>,
    },
    /// Stored bytes that were acknowledged as durable are damaged or missing. The replica must be replaced.
    #[error("segment {segment} is damaged at offset {offset}: {reason}")]
    Corrupt {
        /// The file name of the segment.
        segment: String,
        /// The byte in it.
        offset: u64,
        /// What was expected and what was found.
        reason: String,
    },
    /// Another process has the directory.
    #[error("{directory} is used by another process")]
    Locked {
        /// The directory.
        directory: String,
    },
    /// The disk is full: appends are refused until space is found; votes still work.
    #[error("the disk of the log is full: no new segment can be created")]
    DiskFull,
    /// Too much is waiting to be written: wait for room ([`crate::Wal::wait_for_room`]), then try again.
    #[error("the queue of the log is full")]
    QueueFull,
    /// An entry or append is larger than the log takes.
    #[error("{bytes} bytes are more than the log takes at once, which is {bytes_max}")]
    TooLarge {
        /// The size asked for.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// The entries do not continue the log.
    #[error("group {group}: entry {index} does not continue the log, whose next index is {expected}")]
    NotConsecutive {
        /// The group.
        group: u32,
        /// The index given.
        index: u64,
        /// The index that was due.
        expected: u64,
    },
    /// A write or sync failed earlier; the log takes nothing any more and the process should end.
    #[error("the log has failed and takes no more writes: {reason}")]
    Failed {
        /// The failure that came first.
        reason: String,
    },
    /// The log was closed, or the group destroyed.
    #[error("the log is closed")]
    Closed,
    /// The configuration contradicts itself.
    #[error("invalid log configuration: {reason}")]
    Config {
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl WalError {
    pub(crate) fn io(action: &'static str, name: &str) -> impl FnOnce(io::Error) -> Self {
        let name = name.to_owned();
        move |source| Self::Io { action, name, source: Arc::new(source) }
    }
}
