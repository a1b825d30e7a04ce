//! Newtypes for every id, so that no two can be swapped and still compile.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many slots the hash space of series is cut into; the shard map gives each slot to one shard.
pub const SLOT_COUNT: u16 = 4096;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id! {
    /// A member of the cluster. Assigned once by the control group and never used again, also after disk loss.
    NodeId(u64)
}
number_id! {
    /// A shard: the partition of series that one Raft group owns. Group 0 is the control group, shards count from 1.
    ShardId(u32)
}
number_id! {
    /// A fencing number: grows with every new holder of a right, and is checked at each commit made under it.
    Epoch(u64)
}
number_id! {
    /// A series within its shard. Assigned by apply in log order, equal on all replicas, never used again.
    SeriesRef(u64)
}

/// One of the [`SLOT_COUNT`] parts of the hash space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(u16);

impl Slot {
    /// Returns the slot of a series from the hash of its label set.
    pub fn of_hash(hash: u64) -> Self {
        Self((hash % u64::from(SLOT_COUNT)) as u16)
    }

    /// Returns the slot as an index below [`SLOT_COUNT`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The name of a block, 128 bits, printed as 26 characters of Crockford base 32 like a ULID.
///
/// The upper 48 bits hold the end of the block's range in milliseconds, so names sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(pub u128);

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..26u32).try_for_each(|i| {
            let digit = (self.0 >> (5 * (25 - i))) & 31;
            write!(f, "{}", char::from(CROCKFORD[digit as usize]))
        })
    }
}

impl std::str::FromStr for BlockId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = text.as_bytes();
        if bytes.len() != 26 || bytes[0] > b'7' {
            return Err(format!("{text:?} is not a block id: expected 26 characters of base 32"));
        }
        bytes
            .iter()
            .try_fold(0u128, |id, byte| {
                let digit = CROCKFORD.iter().position(|c| c == byte);
                let digit =
                    digit.ok_or_else(|| format!("{text:?} is not a block id: {:?}", char::from(*byte)))?;
                Ok(id << 5 | digit as u128)
            })
            .map(Self)
    }
}

impl Serialize for BlockId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlockId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_id_round_trips_and_sorts_as_text() {
        for id in [0, 1, u128::MAX, 0x0190_0000_0000 << 80 | 12345] {
            let text = BlockId(id).to_string();
            assert_eq!(text.len(), 26);
            assert_eq!(text.parse(), Ok(BlockId(id)));
        }
        assert!(BlockId(1 << 100).to_string() > BlockId(u128::from(u64::MAX)).to_string());
        assert!("8ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse::<BlockId>().is_err());
    }
}
