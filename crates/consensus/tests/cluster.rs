//! Three hosts: election, proposals, crashes, snapshots, partitions, members.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use consensus::{ConsensusError, GroupId, GroupState, NodeId};
use support::{Cluster, GROUP, propose_on};

fn commands(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| format!("command {number}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hosts_elect_a_leader_and_apply_the_same() {
    let mut cluster = Cluster::start(3, |_| {}).await;
    let all = commands(0..50);
    let mut last = 0;
    for (position, command) in all.iter().enumerate() {
        let applied = cluster.propose(command).await;
        assert!(applied.index > last);
        assert_eq!(applied.response, (position as u64 + 1).to_le_bytes()[..]);
        last = applied.index;
    }
    let state = cluster.agree_on(&all).await;
    let order: Vec<&[u8]> = state.iter().map(|(_, command)| &command[..]).collect();
    assert_eq!(order, all.iter().map(String::as_bytes).collect::<Vec<_>>());

    let leader = cluster.leader().await;
    cluster.nodes[&leader].group.read_barrier().await.unwrap();
    for (_, follower) in cluster.nodes.iter().filter(|(node, _)| **node != leader) {
        let refused = follower.group.propose(Bytes::from_static(b"no")).await;
        let expected = Some(NodeId(leader));
        assert!(
            matches!(&refused, Err(ConsensusError::NotLeader { leader, .. }) if *leader == expected),
            "{refused:?}"
        );
        assert!(follower.group.read_barrier().await.is_err());
        assert_eq!(follower.group.status().state, GroupState::Follower);
    }
}

#[tokio::test]
async fn one_host_alone_is_a_group_that_survives_restarts() {
    let mut cluster = Cluster::start(1, |_| {}).await;
    let mut all = Vec::new();
    for round in 0..4 {
        for command in commands(round * 10..round * 10 + 10) {
            cluster.propose(&command).await;
            all.push(command);
        }
        cluster.nodes[&1].group.read_barrier().await.unwrap();
        let leadership = cluster.nodes[&1].group.leadership();
        assert!(!leadership.has_changed().unwrap(), "who subscribes has seen the present leader");
        if round == 1 {
            cluster.nodes[&1].group.snapshot().await.unwrap();
        }
        cluster.kill(1, || false).await;
        cluster.bring_up(1).await;
    }
    assert_eq!(cluster.agree_on(&all).await.len(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_leaders_loses_nothing_that_was_acknowledged() {
    let mut cluster = Cluster::start(3, |_| {}).await;
    let mut acknowledged = Vec::new();
    for round in 0..4u32 {
        let victim = cluster.leader().await;
        let groups = cluster.groups();
        let survivors: std::collections::BTreeMap<_, _> =
            groups.clone().into_iter().filter(|(node, _)| *node != victim).collect();
        let (sender, mut count) = tokio::sync::watch::channel(0);
        let writer = tokio::spawn(async move {
            let mut written = Vec::new();
            for number in 0..60 {
                let command = format!("round {round} number {number}");
                // Once the leader is dead, its handle only answers that it stopped.
                let targets = if number < 20 { &groups } else { &survivors };
                propose_on(targets, &command).await;
                written.push(command);
                sender.send_replace(number + 1);
            }
            written
        });
        count.wait_for(|count| *count >= 10).await.unwrap();
        let mut sector = round;
        cluster
            .kill(victim, || {
                sector = sector.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                sector >> 31 == 1
            })
            .await;
        acknowledged.extend(writer.await.unwrap());
        cluster.bring_up(victim).await;
    }
    cluster.agree_on(&acknowledged).await;
}

/// The case that loses acknowledged commands when a restarted leader resumes its term: its entries were committed by
/// the two followers, its own disk had not synced them, and it is back before anybody missed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_lost_its_unsynced_tail_does_not_lead_on() {
    let mut cluster = Cluster::start(3, |_| {}).await;
    let mut all = commands(0..5);
    for command in &all {
        cluster.propose(command).await;
    }
    for round in 0..3 {
        let leader = cluster.leader().await;
        cluster.disks[&leader].set_sync_delay(Duration::from_millis(300));
        for number in 0..5 {
            let command = format!("round {round}: only the followers have synced {number}");
            cluster.propose(&command).await;
            all.push(command);
        }
        cluster.kill(leader, || false).await;
        cluster.bring_up(leader).await;
        let command = format!("round {round}: after");
        cluster.propose(&command).await;
        all.push(command);
        cluster.agree_on(&all).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_cluster_loses_power_and_comes_back() {
    let mut cluster = Cluster::start(3, |_| {}).await;
    let mut all = Vec::new();
    for round in 0..3 {
        for command in commands(round * 20..round * 20 + 20) {
            cluster.propose(&command).await;
            all.push(command);
        }
        if round == 0 {
            cluster.nodes[&2].group.snapshot().await.unwrap();
        }
        for node in 1..=3 {
            cluster.kill(node, || false).await;
        }
        for node in 1..=3 {
            cluster.bring_up(node).await;
        }
    }
    cluster.propose("the end").await;
    all.push("the end".to_owned());
    assert_eq!(cluster.agree_on(&all).await.len(), 61);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_whose_entries_are_gone_gets_a_snapshot_in_parts() {
    let mut cluster = Cluster::start(3, |config| config.log_entries_kept = 0).await;
    let leader = cluster.leader().await;
    let lagging = (1..=3).find(|node| *node != leader).unwrap();
    cluster.propose("first").await;
    cluster.kill(lagging, || false).await;
    let large = "x".repeat(200 << 10);
    let mut all = vec!["first".to_owned()];
    for number in 0..20 {
        let command = format!("{number} {large}");
        cluster.propose(&command).await;
        all.push(command);
    }
    for node in cluster.nodes.values() {
        node.group.snapshot().await.unwrap();
        assert!(node.group.status().snapshot_index >= Some(21));
    }
    // Removing entries may wait for messages under way.
    while cluster.nodes.values().any(|node| node.group.status().purged_index < Some(21)) {
        cluster.propose("more").await;
    }
    cluster.bring_up(lagging).await;
    cluster.agree_on(&all).await;
    cluster.propose("last").await;
    all.push("last".to_owned());
    while cluster.nodes[&lagging].group.status().snapshot_index < Some(21) {
        cluster.propose("more").await;
    }
    cluster.agree_on(&all).await;
    // What it was given is now its own: it comes back without help from the others.
    cluster.kill(lagging, || false).await;
    cluster.bring_up(lagging).await;
    assert!(cluster.agree_on(&all).await.len() >= 22);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_are_taken_by_themselves_and_the_log_is_purged() {
    let adjust = |config: &mut consensus::HostConfig| {
        config.log_entries_kept = 3;
        config.log_bytes_before_snapshot = 100 << 10;
    };
    let mut cluster = Cluster::start(3, adjust).await;
    let filler = "y".repeat(10 << 10);
    let mut all = Vec::new();
    let mut number = 0;
    while !cluster.nodes.values().all(|node| node.group.status().purged_index.is_some()) {
        let command = format!("{number} {filler}");
        cluster.propose(&command).await;
        all.push(command);
        number += 1;
    }
    let before = cluster.agree_on(&all).await;
    for node in 1..=3 {
        cluster.kill(node, || false).await;
        cluster.bring_up(node).await;
    }
    assert_eq!(cluster.agree_on(&all).await[..before.len()], before);
    let names = std::fs::read_dir(cluster.directory.path().join("1/snapshots/1")).unwrap();
    assert_eq!(names.count(), 1, "older snapshots are removed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_isolated_leader_is_replaced_and_refuses() {
    let mut cluster = Cluster::start(3, |config| config.propose_timeout = Duration::from_secs(2)).await;
    cluster.propose("before").await;
    let old = cluster.leader().await;
    cluster.isolate(old);
    let new = cluster.leader_other_than(&[old]).await;
    let others: std::collections::BTreeMap<_, _> =
        cluster.groups().into_iter().filter(|(node, _)| *node != old).collect();
    propose_on(&others, "meanwhile").await;
    assert_ne!(new, old);
    assert!(cluster.nodes[&old].group.propose(Bytes::from_static(b"lost")).await.is_err());
    assert!(cluster.nodes[&old].group.read_barrier().await.is_err());
    cluster.heal();
    cluster.propose("after").await;
    let state = cluster.agree_on(&["before", "meanwhile", "after"].map(str::to_owned)).await;
    assert_eq!(state.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_hears_nobody_falls_silent() {
    let mut cluster = Cluster::start(3, |config| config.propose_timeout = Duration::from_secs(2)).await;
    cluster.propose("before").await;
    let deaf = cluster.leader().await;
    cluster.cut_inbound(deaf);
    let _ = cluster.leader_other_than(&[deaf]).await;
    let others: std::collections::BTreeMap<_, _> =
        cluster.groups().into_iter().filter(|(node, _)| *node != deaf).collect();
    propose_on(&others, "meanwhile").await;
    cluster.heal();
    cluster.agree_on(&["before", "meanwhile"].map(str::to_owned)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_over_and_members_change() {
    let mut cluster = Cluster::start(3, |_| {}).await;
    cluster.propose("first").await;
    let old = cluster.leader().await;
    let to = (1..=3).find(|node| *node != old).unwrap();
    cluster.nodes[&old].group.transfer_leader(NodeId(to)).await.unwrap();
    let mut leadership = cluster.nodes[&to].group.leadership();
    leadership.wait_for(|now| now.leader == Some(NodeId(to))).await.unwrap();

    cluster.bring_up(4).await;
    // The old leader may believe in itself a moment longer.
    let mut leader = to;
    while cluster.nodes[&leader].group.add_learner(NodeId(4)).await.is_err() {
        leader = cluster.leader_other_than(&[old, 4]).await;
    }
    let removed = (1..=3).find(|node| *node != leader).unwrap();
    let members: BTreeSet<NodeId> = (1..=4).filter(|node| *node != removed).map(NodeId).collect();
    cluster.nodes[&leader].group.change_members(&members).await.unwrap();
    cluster.kill(removed, || false).await;
    cluster.propose("second").await;
    cluster.agree_on(&["first", "second"].map(str::to_owned)).await;
    let voters: BTreeSet<NodeId> = cluster.nodes[&4].group.status().voters.into_iter().collect();
    assert_eq!(voters, members);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_disk_stops_its_replica_and_nothing_else() {
    let mut cluster = Cluster::start(3, |_| {}).await;
    cluster.propose("before").await;
    let broken = cluster.leader().await;
    cluster.disks[&broken].fail_syncs();
    let others: std::collections::BTreeMap<_, _> =
        cluster.groups().into_iter().filter(|(node, _)| *node != broken).collect();
    let failing = cluster.nodes[&broken].group.clone();
    // Either outcome is honest: the followers may have committed it before the disk failed.
    let _ = failing.propose(Bytes::from_static(b"perhaps")).await;
    cluster.leader_other_than(&[broken]).await;
    propose_on(&others, "after").await;
    assert!(matches!(failing.status().state, GroupState::Stopped(_)));
    assert!(matches!(cluster.nodes[&broken].host.health(), consensus::WalHealth::Failed(_)));
    cluster.kill(broken, || false).await;
    cluster.bring_up(broken).await;
    cluster.agree_on(&["before", "after"].map(str::to_owned)).await;
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_name() {
    let cluster = Cluster::start(1, |_| {}).await;
    let host = &cluster.nodes[&1].host;
    let unknown = host.handle(GroupId(9), 1, Bytes::new()).await;
    assert!(matches!(unknown, Err(ConsensusError::UnknownGroup { group: GroupId(9) })));
    for kind in 0..9 {
        let malformed = host.handle(GROUP, kind, Bytes::from_static(b"\xff\xff\xff\xffnonsense")).await;
        assert!(matches!(malformed, Err(ConsensusError::Malformed { .. })), "kind {kind}");
    }
    let large = cluster.nodes[&1].group.propose(Bytes::from(vec![0; 300 << 10])).await;
    assert!(matches!(large, Err(ConsensusError::TooLarge { .. })), "{large:?}");
    let group = cluster.nodes[&1].group.clone();
    host.stop_group(GROUP).await;
    let stopped = group.propose(Bytes::from_static(b"late")).await;
    assert!(matches!(stopped, Err(ConsensusError::Stopped { .. })), "{stopped:?}");
    assert!(host.group(GROUP).is_none());
}
