//! Rendezvous hashing: each key belongs to the node with the highest hash of (key, node).
//!
//! A node that leaves gives its keys to all others evenly; one that joins takes its share; nothing else moves.

use model::{NodeId, ShardId};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Returns the nodes in the order of preference for a key, best first.
pub fn preference(key: &[u8], nodes: impl IntoIterator<Item = NodeId>) -> Vec<NodeId> {
    let mut ranked: Vec<_> = nodes.into_iter().map(|node| (weight(key, node), node)).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    ranked.into_iter().map(|(_, node)| node).collect()
}

/// How many gateways serve the blocks of a shard when nobody says, where there are as many.
pub const GATEWAY_REPLICAS: usize = 2;

/// Returns who serves the blocks of a shard, best first; the first few own them. All blocks of a shard lie with the same
/// gateways, each of which can then evaluate over them alone.
pub fn of_shard(shard: ShardId, gateways: impl IntoIterator<Item = NodeId>) -> Vec<NodeId> {
    preference(&shard.0.to_be_bytes(), gateways)
}

/// Returns the owner of a key; `None` when there is no node.
pub fn owner(key: &[u8], nodes: impl IntoIterator<Item = NodeId>) -> Option<NodeId> {
    nodes.into_iter().map(|node| (weight(key, node), node)).max().map(|(_, node)| node)
}

fn weight(key: &[u8], node: NodeId) -> u64 {
    xxh3_64_with_seed(key, node.0.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_leaves_moves_only_its_own_keys() {
        let nodes = [1, 2, 3].map(NodeId);
        let keys: Vec<_> = (0..3000u32).map(u32::to_le_bytes).collect();
        let mut counts = [0; 4];
        for key in &keys {
            let before = owner(key, nodes).expect("nodes");
            counts[before.0 as usize] += 1;
            let after = owner(key, nodes.into_iter().filter(|n| n.0 != 2)).expect("nodes");
            assert!(before == after || before == NodeId(2));
            assert_eq!(preference(key, nodes)[0], before);
        }
        assert!(counts[1..].iter().all(|count| (850..1150).contains(count)), "{counts:?}");
        assert_eq!(owner(b"x", []), None);
    }
}
