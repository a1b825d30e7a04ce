//! The messages between replicas of a group, as bytes.
//!
//! ```text
//! message = head_bytes u32 (little-endian), head (postcard), rest
//! ```
//! The rest of an append message are the payloads of its entries, one after the other, as they lie in the log; the
//! rest of a snapshot message is a part of the file. Neither is copied when it is read. Other messages have none.

use bytes::{BufMut, Bytes, BytesMut};
use openraft::raft::AppendEntriesRequest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::types::{LogId, RaftEntry, SnapshotMeta, TypeConfig, Vote, decode_payload, encode_payload};

pub(crate) const VOTE: u32 = 1;
pub(crate) const PRE_VOTE: u32 = 2;
pub(crate) const APPEND: u32 = 3;
pub(crate) const SNAPSHOT: u32 = 4;
pub(crate) const TRANSFER_LEADER: u32 = 5;

const LENGTH_BYTES: usize = 4;

/// Why a message cannot be understood, in a few words.
pub(crate) type Malformed = String;

/// The head of an append message.
#[derive(Serialize, Deserialize)]
struct AppendHead {
    vote: Vote,
    previous: Option<LogId>,
    leader_commit: Option<LogId>,
    entries: Vec<(LogId, u32)>,
}

/// The head of a message with a part of a snapshot file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotPart {
    /// The vote of the leader that sends it.
    pub(crate) vote: Vote,
    /// What the snapshot covers.
    pub(crate) meta: SnapshotMeta,
    /// Chosen by the sender for each attempt.
    pub(crate) transfer: u64,
    /// Where in the file this part stands.
    pub(crate) offset: u64,
    /// The length of the file.
    pub(crate) total_bytes: u64,
}

/// The answer to a part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SnapshotAnswer {
    /// The part was written: go on.
    Continue,
    /// The part does not continue what was received: begin again.
    Restart,
    /// This was the last part, and this is the receiver's vote now.
    Installed(Vote),
}

/// Encodes a message without a rest.
pub(crate) fn encode(head: &impl Serialize) -> Bytes {
    encode_with(head, 0, |_| {})
}

fn encode_with(head: &impl Serialize, rest_bytes: usize, rest: impl FnOnce(&mut BytesMut)) -> Bytes {
    let head = postcard::to_stdvec(head).expect("our messages always encode into a vector");
    let head_bytes = u32::try_from(head.len()).expect("a head is small");
    let mut out = BytesMut::with_capacity(LENGTH_BYTES + head.len() + rest_bytes);
    out.put_u32_le(head_bytes);
    out.put_slice(&head);
    rest(&mut out);
    out.freeze()
}

/// Decodes the head of a message and returns what follows it.
pub(crate) fn decode<T: DeserializeOwned>(body: &Bytes) -> Result<(T, Bytes), Malformed> {
    let length = body.get(..LENGTH_BYTES).ok_or("it is too short")?;
    let head_bytes = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
    let end = LENGTH_BYTES.checked_add(head_bytes).filter(|end| *end <= body.len());
    let end = end.ok_or("its head is longer than itself")?;
    let head = postcard::from_bytes(&body[LENGTH_BYTES..end]).map_err(|error| error.to_string())?;
    Ok((head, body.slice(end..)))
}

/// Encodes an append message.
pub(crate) fn encode_append(request: &AppendEntriesRequest<TypeConfig>) -> Bytes {
    let payloads: Vec<Bytes> = request.entries.iter().map(|entry| encode_payload(&entry.payload)).collect();
    let length = |payload: &Bytes| u32::try_from(payload.len()).expect("the log takes no larger entry");
    let head = AppendHead {
        vote: request.vote,
        previous: request.prev_log_id,
        leader_commit: request.leader_commit,
        entries: request.entries.iter().zip(&payloads).map(|(entry, p)| (entry.log_id, length(p))).collect(),
    };
    let rest_bytes = payloads.iter().map(Bytes::len).sum();
    encode_with(&head, rest_bytes, |out| payloads.iter().for_each(|payload| out.put_slice(payload)))
}

/// Decodes an append message; its entries share the message's memory.
pub(crate) fn decode_append(body: &Bytes) -> Result<AppendEntriesRequest<TypeConfig>, Malformed> {
    let (head, mut rest): (AppendHead, Bytes) = decode(body)?;
    let mut entries = Vec::with_capacity(head.entries.len());
    for (log_id, length) in head.entries {
        if length as usize > rest.len() {
            return Err("it ends within an entry".to_owned());
        }
        let payload = decode_payload(rest.split_to(length as usize)).map_err(|error| error.to_string())?;
        entries.push(RaftEntry { log_id, payload });
    }
    let follows = |pair: &[RaftEntry]| pair[1].log_id.index == pair[0].log_id.index + 1;
    if !rest.is_empty() || !entries.windows(2).all(follows) {
        return Err("its entries do not add up".to_owned());
    }
    let (vote, prev_log_id, leader_commit) = (head.vote, head.previous, head.leader_commit);
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

/// Encodes a message with a part of a snapshot file.
pub(crate) fn encode_part(part: &SnapshotPart, data: &[u8]) -> Bytes {
    encode_with(part, data.len(), |out| out.put_slice(data))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{Command, from_wal_id, from_wal_vote};
    use openraft::EntryPayload;

    fn id(index: u64) -> LogId {
        from_wal_id(wal::LogId { term: 3, node: 2, index })
    }

    fn request() -> AppendEntriesRequest<TypeConfig> {
        let entry = |index, payload| RaftEntry { log_id: id(index), payload };
        let membership = openraft::Membership::new_with_defaults(vec![[1, 2, 3].into()], []);
        AppendEntriesRequest {
            vote: from_wal_vote(wal::Vote { term: 3, node: 2, committed: true }),
            prev_log_id: Some(id(6)),
            entries: vec![
                entry(7, EntryPayload::Blank),
                entry(8, EntryPayload::Normal(Command::new(b"a command"))),
                entry(9, EntryPayload::Membership(membership)),
            ],
            leader_commit: None,
        }
    }

    #[test]
    fn an_append_message_is_read_back_as_it_was() {
        let read = decode_append(&encode_append(&request())).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", request()));
        assert_eq!(read.entries, request().entries);
    }

    #[test]
    fn an_append_message_with_a_gap_is_refused() {
        let mut broken = request();
        broken.entries.remove(1);
        assert!(decode_append(&encode_append(&broken)).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_append(&Bytes::from(bytes.clone()));
            let outcome = decode::<SnapshotPart>(&Bytes::from(bytes));
            prop_assert!(outcome.is_err() || outcome.is_ok());
        }

        #[test]
        fn a_damaged_message_never_panics(at in 0..60usize, bit in 0..8u32) {
            let mut bytes = encode_append(&request()).to_vec();
            let position = at % bytes.len();
            bytes[position] ^= 1 << bit;
            if let Ok(read) = decode_append(&Bytes::from(bytes)) {
                prop_assert!(read.entries.len() <= 3);
            }
        }
    }
}
