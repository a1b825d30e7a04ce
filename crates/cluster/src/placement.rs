//! The planner of replicas: a pure function from members to a shard map.

use model::NodeId;

use crate::Member;

/// Plans the replicas of `shard_count` new shards over ingesters: `replica_count` each (fewer when there are fewer
/// nodes), in different zones where possible, evenly spread. Deterministic in the members' order of ids.
pub fn place(shard_count: usize, replica_count: usize, ingesters: &[&Member]) -> Vec<Vec<NodeId>> {
    let mut load: Vec<(usize, &Member)> = ingesters.iter().map(|member| (0, *member)).collect();
    let place_one = |_| {
        let mut replicas: Vec<&Member> = Vec::new();
        while replicas.len() < replica_count.min(load.len()) {
            let zone_taken = |m: &Member| !m.zone.is_empty() && replicas.iter().any(|r| r.zone == m.zone);
            let free =
                load.iter().enumerate().filter(|(_, (_, m))| !replicas.iter().any(|r| r.node == m.node));
            let best = free.min_by_key(|(_, (count, m))| (zone_taken(m), *count, m.node));
            let (index, _) = best.expect("fewer replicas than nodes were chosen");
            load[index].0 += 1;
            replicas.push(load[index].1);
        }
        replicas.into_iter().map(|member| member.node).collect()
    };
    (0..shard_count).map(place_one).collect()
}

#[cfg(test)]
mod tests {
    use model::Epoch;

    use super::*;
    use crate::Role;

    fn member(node: u64, zone: &str) -> Member {
        Member {
            node: NodeId(node),
            epoch: Epoch(1),
            name: format!("ingester-{node}"),
            role: Role::Ingester,
            zone: zone.to_owned(),
            grpc_address: String::new(),
            http_address: String::new(),
            disk_id: String::new(),
            live: true,
        }
    }

    #[test]
    fn one_replica_a_zone_and_even_load() {
        let members: Vec<_> = (1..=6).map(|n| member(n, ["a", "b", "c"][n as usize % 3])).collect();
        let refs: Vec<_> = members.iter().collect();
        let plan = place(8, 3, &refs);
        let zone = |node: &NodeId| &members[node.0 as usize - 1].zone;
        for replicas in &plan {
            let zones: std::collections::BTreeSet<_> = replicas.iter().map(zone).collect();
            assert_eq!(zones.len(), 3, "{replicas:?}");
        }
        let on = |n: u64| plan.iter().flatten().filter(|node| node.0 == n).count();
        assert_eq!((1..=6).map(on).collect::<Vec<_>>(), [4; 6]);
    }

    #[test]
    fn fewer_nodes_than_replicas_give_fewer_replicas() {
        let only = member(7, "");
        assert_eq!(place(2, 3, &[&only]), [[NodeId(7)], [NodeId(7)]]);
    }
}
