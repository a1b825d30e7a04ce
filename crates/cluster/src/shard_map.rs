//! Which shard owns a slot, and which nodes hold a shard's replicas.

use std::collections::BTreeMap;

use model::ids::SLOT_COUNT;
use model::{LabelSet, NodeId, ShardId, Slot};
use serde::{Deserialize, Serialize};

/// One shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// The voters of its Raft group.
    pub replicas: Vec<NodeId>,
}

/// The map from the hash space to shards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardMap {
    /// The shards.
    pub shards: BTreeMap<ShardId, Shard>,
    /// First slot of each run of slots and the shard that owns the run; sorted, the first run starts at slot 0.
    pub runs: Vec<(u16, ShardId)>,
}

impl ShardMap {
    /// Returns a map that spreads all slots evenly, in runs, over shards 1 to n with the given replicas.
    ///
    /// # Panics
    /// When there is no shard, or more shards than slots.
    pub fn even(replicas: Vec<Vec<NodeId>>) -> Self {
        let count = replicas.len();
        assert!((1..=usize::from(SLOT_COUNT)).contains(&count), "1 to {SLOT_COUNT} shards, got {count}");
        let first_slot = |i: usize| (i * usize::from(SLOT_COUNT)).div_ceil(count) as u16;
        let id = |i: usize| ShardId(i as u32 + 1);
        Self {
            runs: (0..count).map(|i| (first_slot(i), id(i))).collect(),
            shards: replicas
                .into_iter()
                .enumerate()
                .map(|(i, replicas)| (id(i), Shard { replicas }))
                .collect(),
        }
    }

    /// Returns the shard that owns a slot; `None` before the shards were placed.
    pub fn shard_of_slot(&self, slot: Slot) -> Option<ShardId> {
        let after = self.runs.partition_point(|(first, _)| usize::from(*first) <= slot.index());
        after.checked_sub(1).map(|run| self.runs[run].1)
    }

    /// Returns the shard that owns a series; `None` before the shards were placed.
    pub fn shard_of(&self, labels: &LabelSet) -> Option<ShardId> {
        self.shard_of_slot(Slot::of_hash(labels.stable_hash()))
    }

    /// Returns the shards of which a node holds a replica.
    pub fn replicas_on(&self, node: NodeId) -> impl Iterator<Item = (ShardId, &Shard)> {
        self.shards
            .iter()
            .filter(move |(_, shard)| shard.replicas.contains(&node))
            .map(|(id, shard)| (*id, shard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_one_shard_and_shares_are_even() {
        for count in [1, 3, 4, 7, 4096] {
            let map = ShardMap::even(vec![vec![NodeId(1)]; count]);
            let mut owned = BTreeMap::<ShardId, usize>::new();
            for hash in 0..u64::from(SLOT_COUNT) {
                let shard = map.shard_of_slot(Slot::of_hash(hash)).expect("placed");
                *owned.entry(shard).or_default() += 1;
            }
            assert_eq!(owned.len(), count);
            let (least, most) = (owned.values().min(), owned.values().max());
            assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{owned:?}");
        }
    }

    #[test]
    fn an_empty_map_owns_nothing() {
        assert_eq!(ShardMap::default().shard_of(&LabelSet::empty()), None);
    }
}
