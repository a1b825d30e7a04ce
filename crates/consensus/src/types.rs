//! The types that openraft is instantiated with, and how entries become bytes and back.
//!
//! An entry's bytes are the same in the log, on the wire and in memory: `[tag: u8][content]`, where tag 0 is blank,
//! 1 a command, 2 a membership (postcard). A command therefore carries its tag from the moment it is proposed, and
//! is never copied again.

use std::fmt;
use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use openraft::impls::leader_id_adv::LeaderId;
use openraft::{EmptyNode, Entry, EntryPayload};
use serde::{Deserialize, Serialize};

const TAG_BLANK: u8 = 0;
const TAG_COMMAND: u8 = 1;
const TAG_MEMBERSHIP: u8 = 2;

/// A proposed command, with its tag before it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Command(Bytes);

/// What the state machine answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Response(pub(crate) Bytes);

#[allow(deprecated, reason = "the macro's default names the runtime by its old path")]
mod declared {
    use super::{Command, EmptyNode, Response};

    openraft::declare_raft_types!(
        /// The types of all groups.
        pub(crate) TypeConfig:
            D = Command,
            R = Response,
            NodeId = u64,
            Node = EmptyNode,
    );
}

pub(crate) use declared::TypeConfig;

pub(crate) type RaftEntry = Entry<LeaderId<u64, u64>, EntryPayload<Command, u64, EmptyNode>>;
pub(crate) type LogId = openraft::LogId<LeaderId<u64, u64>>;
pub(crate) type Vote = openraft::Vote<LeaderId<u64, u64>>;
pub(crate) type StoredMembership = openraft::StoredMembership<LeaderId<u64, u64>, u64, EmptyNode>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<LeaderId<u64, u64>, u64, EmptyNode>;

impl Command {
    /// Puts the tag before a command.
    pub(crate) fn new(command: &[u8]) -> Self {
        let mut bytes = BytesMut::with_capacity(1 + command.len());
        bytes.put_u8(TAG_COMMAND);
        bytes.put_slice(command);
        Self(bytes.freeze())
    }

    /// Returns the command without its tag.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0[1..]
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Returns the bytes of an entry's payload.
pub(crate) fn encode_payload(payload: &EntryPayload<Command, u64, EmptyNode>) -> Bytes {
    match payload {
        EntryPayload::Blank => Bytes::from_static(&[TAG_BLANK]),
        EntryPayload::Normal(command) => command.0.clone(),
        EntryPayload::Membership(membership) => {
            let bytes = postcard::to_extend(membership, vec![TAG_MEMBERSHIP]);
            Bytes::from(bytes.expect("a membership always encodes into a vector"))
        }
    }
}

/// Reads the payload of an entry.
pub(crate) fn decode_payload(bytes: Bytes) -> io::Result<EntryPayload<Command, u64, EmptyNode>> {
    let malformed = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    match bytes.first() {
        Some(&TAG_BLANK) if bytes.len() == 1 => Ok(EntryPayload::Blank),
        Some(&TAG_COMMAND) => Ok(EntryPayload::Normal(Command(bytes))),
        Some(&TAG_MEMBERSHIP) => postcard::from_bytes(&bytes[1..])
            .map(EntryPayload::Membership)
            .map_err(|error| malformed(format!("malformed membership entry: {error}"))),
        tag => Err(malformed(format!("malformed entry of tag {tag:?}"))),
    }
}

pub(crate) fn to_wal_id(id: &LogId) -> wal::LogId {
    wal::LogId { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
}

pub(crate) fn from_wal_id(id: wal::LogId) -> LogId {
    LogId { leader_id: LeaderId { term: id.term, node_id: id.node }, index: id.index }
}

pub(crate) fn to_wal_vote(vote: &Vote) -> wal::Vote {
    wal::Vote { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
}

pub(crate) fn from_wal_vote(vote: wal::Vote) -> Vote {
    Vote { leader_id: LeaderId { term: vote.term, node_id: vote.node }, committed: vote.committed }
}

pub(crate) fn to_wal_entry(entry: &RaftEntry) -> wal::Entry {
    wal::Entry { id: to_wal_id(&entry.log_id), payload: encode_payload(&entry.payload) }
}

pub(crate) fn from_wal_entry(entry: wal::Entry) -> io::Result<RaftEntry> {
    Ok(Entry { log_id: from_wal_id(entry.id), payload: decode_payload(entry.payload)? })
}
