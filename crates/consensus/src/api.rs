//! What callers provide and get: state machine, transport, leadership, status. Plain types and two traits.

use std::io::{self, Read, Write};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use model::NodeId;
use wal::GroupId;

/// What a group replicates commands to. It runs on a thread of its own, so it may take its time.
pub trait StateMachine: Send + 'static {
    /// Applies the command at an index of the log and returns the answer for the proposer.
    ///
    /// Must be deterministic: no clock, no randomness, no order of a hash map. Indices grow but have gaps, where the
    /// log holds entries of its own. A panic stops the group on this node.
    fn apply(&mut self, index: u64, command: &[u8]) -> Bytes;

    /// Writes the whole state, so that [`Self::restore`] makes an equal one. Nothing is applied meanwhile.
    ///
    /// # Errors
    /// What the writer answers; the snapshot is then given up and the log kept.
    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Replaces the state by what [`Self::snapshot`] wrote. The bytes are the same: a checksum was compared.
    ///
    /// # Errors
    /// When the bytes cannot be understood; the group then stops on this node.
    fn restore(&mut self, input: &mut dyn Read) -> io::Result<()>;
}

/// How messages get to other nodes.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Delivers a message to [`crate::RaftHost::handle`] of another node and returns its answer.
    ///
    /// May be called many times at once; messages may overtake one another. Dropping the future gives up.
    ///
    /// # Errors
    /// See [`TransportError`]; the message may have been handled nevertheless.
    async fn call(
        &self,
        to: NodeId,
        group: GroupId,
        kind: u32,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, TransportError>;
}

/// Why a message was not answered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TransportError {
    /// The node cannot be reached, or its address is not known.
    #[error("node {node} cannot be reached: {reason}")]
    Unreachable {
        /// The node called.
        node: NodeId,
        /// What stands in the way.
        reason: String,
    },
    /// No answer came in time.
    #[error("node {node} did not answer in time")]
    Timeout {
        /// The node called.
        node: NodeId,
    },
    /// The node answered with an error.
    #[error("node {node} refused: {reason}")]
    Refused {
        /// The node called.
        node: NodeId,
        /// Its error.
        reason: String,
    },
}

/// A command that was committed and applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its index in the log.
    pub index: u64,
    /// What the state machine answered.
    pub response: Bytes,
}

/// Who leads a group, as far as this node knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader; none while there is none or it is not known.
    pub leader: Option<NodeId>,
    /// The term, which grows with each election.
    pub term: u64,
}

/// What this node is in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// It leads.
    Leader,
    /// It follows and votes.
    Follower,
    /// It asks for votes.
    Candidate,
    /// It follows without a vote.
    Learner,
    /// The group does not run here any more, for this reason.
    Stopped(String),
}

/// How a group stands on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// The term.
    pub term: u64,
    /// The leader, if known.
    pub leader: Option<NodeId>,
    /// The index of the last entry of the log; none when it never had one.
    pub last_log_index: Option<u64>,
    /// The index of the last entry applied.
    pub applied_index: Option<u64>,
    /// The index of the last entry that the newest snapshot covers.
    pub snapshot_index: Option<u64>,
    /// The index of the last entry that was removed from the log.
    pub purged_index: Option<u64>,
    /// The nodes that vote.
    pub voters: Vec<NodeId>,
    /// What this node is.
    pub state: GroupState,
}
