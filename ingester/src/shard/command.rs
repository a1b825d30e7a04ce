//! What a shard's log holds. Little endian; documented in `docs/formats/shard-log.md`.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The version of the encoding; the first byte of each entry.
const FORMAT: u8 = 1;
/// The most batches one entry may hold.
pub(crate) const BATCHES_MAX: usize = 4096;

const KIND_APPEND: u8 = 1;
const KIND_CUT: u8 = 2;
const KIND_DROP: u8 = 3;
const KIND_DELETE: u8 = 4;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShardCommand {
    /// Batches of several writers, in this order.
    Append {
        /// The leader's clock, ms: the only "now" that apply knows.
        stamp_ms: i64,
        /// Encoded batches.
        batches: Vec<Bytes>,
    },
    /// Freezes everything before `end_ms`, so that it can become a block.
    Cut {
        /// A window's end, exclusive.
        end_ms: i64,
    },
    /// Forgets everything before `end_ms`: it is published.
    Drop {
        /// The published range's end, exclusive.
        end_ms: i64,
    },
    /// Deletes samples that the head holds.
    Delete {
        /// The leader's clock, ms.
        stamp_ms: i64,
        /// What is deleted: a [`cluster::DeleteOrder`], encoded as in the control commands.
        order: Bytes,
    },
}

impl ShardCommand {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(FORMAT);
        match self {
            Self::Append { stamp_ms, batches } => {
                out.reserve(batches.iter().map(|batch| batch.len() + 4).sum::<usize>() + 16);
                out.put_u8(KIND_APPEND);
                out.put_i64_le(*stamp_ms);
                put_list(&mut out, batches);
            }
            Self::Cut { end_ms } => {
                out.put_u8(KIND_CUT);
                out.put_i64_le(*end_ms);
            }
            Self::Drop { end_ms } => {
                out.put_u8(KIND_DROP);
                out.put_i64_le(*end_ms);
            }
            Self::Delete { stamp_ms, order } => {
                out.put_u8(KIND_DELETE);
                out.put_i64_le(*stamp_ms);
                out.extend_from_slice(order);
            }
        }
        out.freeze()
    }

    /// Reads an entry; `None` when the bytes are none of this version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Bytes::copy_from_slice(bytes);
        if input.len() < 10 || input.get_u8() != FORMAT {
            return None;
        }
        let kind = input.get_u8();
        let time_ms = input.get_i64_le();
        match kind {
            KIND_APPEND => Some(Self::Append { stamp_ms: time_ms, batches: take_list(input)? }),
            KIND_CUT if input.is_empty() => Some(Self::Cut { end_ms: time_ms }),
            KIND_DROP if input.is_empty() => Some(Self::Drop { end_ms: time_ms }),
            KIND_DELETE => Some(Self::Delete { stamp_ms: time_ms, order: input }),
            _ => None,
        }
    }
}

/// Encodes the answers to an append, in the order of its batches.
pub(crate) fn encode_outcomes(outcomes: &[Bytes]) -> Bytes {
    let mut out = BytesMut::new();
    put_list(&mut out, outcomes);
    out.freeze()
}

/// Reads the answers to an append; `None` when the bytes are none.
pub(crate) fn decode_outcomes(bytes: Bytes) -> Option<Vec<Bytes>> {
    take_list(bytes)
}

fn put_list(out: &mut BytesMut, items: &[Bytes]) {
    out.put_u32_le(items.len() as u32);
    for item in items {
        out.put_u32_le(item.len() as u32);
        out.extend_from_slice(item);
    }
}

fn take_list(mut input: Bytes) -> Option<Vec<Bytes>> {
    let count =
        (input.len() >= 4).then(|| input.get_u32_le() as usize).filter(|count| *count <= BATCHES_MAX)?;
    let take = |_| {
        let length = (input.len() >= 4).then(|| input.get_u32_le() as usize)?;
        (input.len() >= length).then(|| input.split_to(length))
    };
    let items: Option<Vec<Bytes>> = (0..count).map(take).collect();
    items.filter(|_| input.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip_and_have_golden_bytes() {
        let batches = vec![Bytes::from_static(b"ab"), Bytes::new()];
        let append = ShardCommand::Append { stamp_ms: -2, batches };
        let golden =
            [1, 1, 254, 255, 255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 2, 0, 0, 0, 97, 98, 0, 0, 0, 0];
        assert_eq!(append.encode().as_ref(), golden);
        let delete = ShardCommand::Delete { stamp_ms: 3, order: Bytes::from_static(b"{}") };
        assert_eq!(delete.encode().as_ref(), [1, 4, 3, 0, 0, 0, 0, 0, 0, 0, b'{', b'}']);
        for command in
            [append, ShardCommand::Cut { end_ms: 7_200_000 }, ShardCommand::Drop { end_ms: i64::MAX }, delete]
        {
            assert_eq!(ShardCommand::decode(&command.encode()), Some(command));
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let whole = ShardCommand::Append { stamp_ms: 1, batches: vec![Bytes::from_static(b"abc")] }.encode();
        for length in 0..whole.len() {
            assert_eq!(ShardCommand::decode(&whole[..length]), None, "{length} bytes");
        }
        let mut longer = whole.to_vec();
        longer.push(0);
        assert_eq!(ShardCommand::decode(&longer), None);
    }
}
