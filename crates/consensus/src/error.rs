//! The one error of consensus.

use std::io;
use std::time::Duration;

use model::{ErrorKind, NodeId};
use wal::{GroupId, WalError};

/// What went wrong with a group or the host.
#[derive(Debug, thiserror::Error)]
pub enum ConsensusError {
    /// Another node leads, or none does at the moment. Nothing was proposed.
    #[error("group {group}: this node is not the leader{}", match leader { Some(node) => format!(", node {node} is"), None => String::new() })]
    NotLeader {
        /// The group.
        group: GroupId,
        /// The leader, if known; never this node.
        leader: Option<NodeId>,
    },
    /// No outcome within the time given: the command may or may not be applied, now or later.
    #[error("group {group}: no outcome within {timeout:?}")]
    Timeout {
        /// The group.
        group: GroupId,
        /// The time given.
        timeout: Duration,
    },
    /// The leader changed while the command was in the log: it may or may not be applied.
    #[error("group {group}: the leader changed before the command was committed")]
    OutcomeUnknown {
        /// The group.
        group: GroupId,
    },
    /// Too many bytes of proposals wait already. Nothing was proposed.
    #[error("group {group}: too many proposals are waiting")]
    Overloaded {
        /// The group.
        group: GroupId,
    },
    /// The command is larger than the log takes.
    #[error("group {group}: a command of {bytes} bytes is larger than {bytes_max}")]
    TooLarge {
        /// The group.
        group: GroupId,
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The disk of the log is full. Nothing was proposed.
    #[error("the disk of the log is full")]
    DiskFull,
    /// A majority cannot be reached.
    #[error("group {group}: a majority of the voters cannot be reached")]
    NoQuorum {
        /// The group.
        group: GroupId,
    },
    /// The group does not run on this node.
    #[error("group {group} does not run on this node")]
    UnknownGroup {
        /// The group asked for.
        group: GroupId,
    },
    /// The group runs on this node already.
    #[error("group {group} runs on this node already")]
    AlreadyStarted {
        /// The group.
        group: GroupId,
    },
    /// The group stopped on this node.
    #[error("group {group} has stopped on this node: {reason}")]
    Stopped {
        /// The group.
        group: GroupId,
        /// Why.
        reason: String,
    },
    /// A message cannot be understood.
    #[error("group {group}: malformed message of kind {kind}: {reason}")]
    Malformed {
        /// The group it was for.
        group: GroupId,
        /// The kind given.
        kind: u32,
        /// What is wrong.
        reason: String,
    },
    /// A change of members was refused.
    #[error("group {group}: the members cannot be changed: {reason}")]
    Membership {
        /// The group.
        group: GroupId,
        /// Why.
        reason: String,
    },
    /// A snapshot could not be written or read.
    #[error("group {group}: cannot {action} a snapshot")]
    Snapshot {
        /// The group.
        group: GroupId,
        /// What was tried.
        action: &'static str,
        /// What the disk answered.
        #[source]
        source: io::Error,
    },
    /// The log engine failed.
    #[error("the log of the node failed")]
    Log(#[source] WalError),
    /// The configuration contradicts itself.
    #[error("invalid consensus configuration: {reason}")]
    Config {
        /// What is wrong with it.
        reason: String,
    },
}

impl ConsensusError {
    /// Returns what a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotLeader { .. } => ErrorKind::NotLeader,
            Self::Timeout { .. } | Self::OutcomeUnknown { .. } => ErrorKind::Timeout,
            Self::Overloaded { .. } => ErrorKind::LimitExceeded,
            Self::TooLarge { .. } | Self::Malformed { .. } | Self::Config { .. } => ErrorKind::Invalid,
            Self::UnknownGroup { .. } => ErrorKind::NotFound,
            Self::DiskFull | Self::NoQuorum { .. } | Self::Stopped { .. } | Self::Snapshot { .. } => {
                ErrorKind::Unavailable
            }
            Self::AlreadyStarted { .. } | Self::Membership { .. } => ErrorKind::Conflict,
            Self::Log(WalError::Corrupt { .. }) => ErrorKind::Corrupt,
            Self::Log(_) => ErrorKind::Unavailable,
        }
    }
}
