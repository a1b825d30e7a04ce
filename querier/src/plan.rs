//! Whom to ask for what: a pure function of the control state and the time range.
//!
//! A shard's blocks hold everything before the end of its newest published window, its head the rest; the split comes from
//! the catalogue, never from a clock. Imported blocks may lie beyond: then both are asked, and equal samples merged.

use std::collections::{BTreeMap, BTreeSet};

use cluster::ControlState;
use model::{BlockId, BlockMeta, ErrorKind, NodeId, ShardId, TimeRange};
use selection::reach;
use storage::StorageError;

/// One shard's head, from where the shard's blocks end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadScope {
    pub(crate) shard: ShardId,
    /// First ms that the head answers for.
    pub(crate) from_ms: i64,
}

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardBlock {
    pub(crate) shard: ShardId,
    pub(crate) id: BlockId,
}

/// Everything that may hold samples of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// In the order of shards.
    pub(crate) heads: Vec<HeadScope>,
    /// In the order of ids.
    pub(crate) blocks: Vec<ShardBlock>,
}

impl Plan {
    /// Leaves only some shards.
    pub(crate) fn retain(&mut self, shards: &BTreeSet<ShardId>) {
        self.heads.retain(|head| shards.contains(&head.shard));
        self.blocks.retain(|block| shards.contains(&block.shard));
    }
}

/// Makes the plan for a closed range.
///
/// # Errors
/// Kind `Unavailable` before the cluster was founded and its shards were placed.
pub(crate) fn plan(state: &ControlState, range: TimeRange) -> Result<Plan, StorageError> {
    if state.shard_map.shards.is_empty() {
        let text =
            "the cluster is not ready yet: its shards are not placed, or this querier does not know them";
        return Err(StorageError::new(ErrorKind::Unavailable, text));
    }
    let head = |shard| HeadScope { shard, from_ms: state.catalogue.published_until_ms(shard) };
    let heads = state.shard_ids().map(head).filter(|head| head.from_ms <= range.end.0 && !range.is_empty());
    let block = |meta: &BlockMeta| ShardBlock { shard: meta.shard, id: meta.id };
    let is_within = |meta: &&BlockMeta| meta.range.overlaps(&reach(meta, range));
    let blocks = state.catalogue.active().filter(is_within).map(block);
    Ok(Plan { heads: heads.collect(), blocks: blocks.collect() })
}

/// Gives each block to the gateway that is asked for its shard's; empty when there is no gateway.
pub(crate) fn assign(
    blocks: &[ShardBlock],
    gateway_of: impl Fn(ShardId) -> Option<NodeId>,
) -> BTreeMap<NodeId, Vec<ShardBlock>> {
    let mut gateways: BTreeMap<ShardId, Option<NodeId>> = BTreeMap::new();
    let mut shares: BTreeMap<NodeId, Vec<ShardBlock>> = BTreeMap::new();
    for block in blocks {
        let gateway = *gateways.entry(block.shard).or_insert_with(|| gateway_of(block.shard));
        if let Some(gateway) = gateway {
            shares.entry(gateway).or_default().push(*block);
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use cluster::{Command, ShardMap, rendezvous};
    use model::{BlockRange, ObjectMeta};

    use super::*;

    fn state_with(blocks: &[(u128, u32, i64, i64)]) -> ControlState {
        let map = ShardMap::even(vec![vec![NodeId(1)]; 2]);
        let mut state = ControlState::default();
        state.apply(Command::PlaceShards { map });
        for (id, shard, start_ms, end_ms) in blocks {
            let object = ObjectMeta { key: String::new(), size_bytes: 0, tail_bytes: 0, crc32c: 0 };
            let meta = BlockMeta {
                id: BlockId(*id),
                shard: ShardId(*shard),
                range: BlockRange::new(*start_ms, *end_ms),
                level: 0,
                cut_index: 1,
                series: 1,
                samples: 1,
                external_labels: BTreeMap::new(),
                parents: Vec::new(),
                resolution_ms: 0,
                sort_range: model::SortRange::ALL,
                series_object: object.clone(),
                chunks_object: object,
            };
            state.apply(Command::PublishBlock { meta: Box::new(meta) });
        }
        state
    }

    fn check(state: &ControlState, range: (i64, i64), heads: &[(u32, i64)], blocks: &[u128]) {
        let plan = plan(state, TimeRange::new(range.0, range.1)).unwrap();
        let actual: Vec<_> = plan.heads.iter().map(|head| (head.shard.0, head.from_ms)).collect();
        let ids: Vec<_> = plan.blocks.iter().map(|block| block.id.0).collect();
        assert_eq!((actual.as_slice(), ids.as_slice()), (heads, blocks), "{range:?}");
    }

    #[test]
    fn blocks_end_where_the_head_begins() {
        let state = state_with(&[(10, 1, 0, 100), (11, 1, 100, 200), (20, 2, 0, 100)]);
        check(&state, (0, 99), &[], &[10, 20]);
        check(&state, (99, 100), &[(2, 100)], &[10, 11, 20]);
        check(&state, (100, 199), &[(2, 100)], &[11]);
        check(&state, (200, 900), &[(1, 200), (2, 100)], &[]);
        check(&state, (150, 140), &[], &[]);
        check(&state_with(&[]), (0, 0), &[(1, i64::MIN), (2, i64::MIN)], &[]);
        assert_eq!(plan(&ControlState::default(), TimeRange::ALL).unwrap_err().kind, ErrorKind::Unavailable);
    }

    #[test]
    fn a_gateway_that_leaves_moves_only_its_own_blocks() {
        let block = |id: u32| ShardBlock { shard: ShardId(id % 50), id: BlockId(u128::from(id)) };
        let blocks: Vec<_> = (0..100).map(block).collect();
        let assign = |blocks: &[ShardBlock], gateways: &[u64]| {
            let gateways = || gateways.iter().copied().map(NodeId);
            assign(blocks, |shard| rendezvous::of_shard(shard, gateways()).first().copied())
        };
        let before = assign(&blocks, &[1, 2, 3]);
        let after = assign(&blocks, &[1, 3]);
        assert_eq!(before.values().map(Vec::len).sum::<usize>(), 100);
        for node in [1, 3].map(NodeId) {
            assert!(before[&node].iter().all(|block| after[&node].contains(block)));
        }
        assert!(assign(&blocks, &[]).is_empty());
    }
}
