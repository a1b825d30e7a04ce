//! The nouns of the log: group, position, vote, entry. Plain data.

use bytes::Bytes;

use crate::WalError;

/// A Raft group of this node: 0 is the control group, shards count from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

impl std::fmt::Display for GroupId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The position of an entry: the term and node of the leader that made it, and its index in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The leader's term.
    pub term: u64,
    /// The leader's node.
    pub node: u64,
    /// The place in the log; the first entry has index 0.
    pub index: u64,
}

/// What a replica promised: whom it voted for in which term, and whether a majority agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The term voted in.
    pub term: u64,
    /// The node voted for.
    pub node: u64,
    /// Whether that node is known to be the leader of the term.
    pub committed: bool,
}

/// An entry of a group's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub id: LogId,
    /// What it says; opaque here.
    pub payload: Bytes,
}

/// Where a group's log begins and ends, and what it promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// The last vote saved.
    pub vote: Option<Vote>,
    /// The last committed position saved, never beyond `last`.
    pub committed: Option<LogId>,
    /// The last entry that was purged.
    pub purged: Option<LogId>,
    /// The last entry, or `purged` when there is none.
    pub last: Option<LogId>,
}

/// Called once, on the writer thread, when a command is durable or has failed. Must be quick and must not block.
pub type Done = Box<dyn FnOnce(Result<(), WalError>) + Send>;
