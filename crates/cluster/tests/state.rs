//! The control state as a table of commands and answers, and its properties under random commands.

use std::collections::BTreeMap;

use cluster::command::FirstIngester;
use cluster::{
    BlockState, ClusterSettings, Command, ControlState, Fence, Response, Role, ShardMap, StateError,
};
use model::{BlockId, BlockMeta, BlockRange, Epoch, NodeId, ObjectMeta, ShardId};
use proptest::prelude::*;

fn settings() -> ClusterSettings {
    ClusterSettings {
        name: "test".to_owned(),
        uuid: "00".to_owned(),
        external_labels: BTreeMap::new(),
        block_duration_ms: 1000,
        out_of_order_window_ms: 0,
        shards: 1,
        replicas: 1,
        exemplars_max: 0,
    }
}

fn founded() -> ControlState {
    let mut state = ControlState::default();
    let first = FirstIngester { node: NodeId(1), name: "i".to_owned(), grpc_address: "a:1".to_owned() };
    assert_eq!(
        state.apply(Command::Establish { settings: settings(), ingesters: vec![first] }),
        Response::Done
    );
    state
}

fn join(name: &str, role: Role, disk_id: &str) -> Command {
    let text = str::to_owned;
    Command::Join {
        name: text(name),
        role,
        zone: text(""),
        grpc_address: text("b:2"),
        http_address: text("b:3"),
        disk_id: text(disk_id),
    }
}

fn joined(response: Response) -> (NodeId, Epoch) {
    match response {
        Response::Joined { node, epoch } => (node, epoch),
        other => panic!("expected a membership, got {other:?}"),
    }
}

fn block(id: u128, shard: u32, start_ms: i64) -> BlockMeta {
    let object = ObjectMeta { key: format!("{id}"), size_bytes: 1, tail_bytes: 1, crc32c: 7 };
    BlockMeta {
        id: BlockId(id),
        shard: ShardId(shard),
        range: BlockRange::new(start_ms, start_ms + 1000),
        level: 0,
        cut_index: 5,
        series: 1,
        samples: 1,
        external_labels: BTreeMap::new(),
        parents: Vec::new(),
        resolution_ms: 0,
        sort_range: model::SortRange::ALL,
        series_object: object.clone(),
        chunks_object: object,
    }
}

fn publish(meta: BlockMeta) -> Command {
    Command::PublishBlock { meta: Box::new(meta) }
}

#[test]
fn nobody_joins_before_the_cluster_is_founded() {
    let refused = ControlState::default().apply(join("i", Role::Ingester, "d1"));
    assert_eq!(refused, Response::Refused(StateError::NotFounded), "this refusal alone is worth another try");
}

#[test]
fn a_node_keeps_its_id_and_its_disk() {
    let mut state = founded();
    let (node, first) = joined(state.apply(join("i", Role::Ingester, "d1")));
    assert_eq!(node, NodeId(1), "the configured name is the first voter");
    let (node, second) = joined(state.apply(join("i", Role::Ingester, "d1")));
    assert_eq!(node, NodeId(1));
    assert!(second > first, "a restart gets a new epoch");
    assert!(matches!(
        state.apply(join("i", Role::Ingester, "d2")),
        Response::Refused(StateError::Conflict(_))
    ));
    let (other, _) = joined(state.apply(join("i2", Role::Ingester, "d2")));
    assert_eq!(other, NodeId(2));
    assert!(state.is_current(node, second) && !state.is_current(node, first));
}

#[test]
fn leases_end_with_their_membership_and_fence_their_holder() {
    let mut state = founded();
    let (a, a_epoch) = joined(state.apply(join("c0", Role::Compactor, "")));
    let (b, b_epoch) = joined(state.apply(join("c1", Role::Compactor, "")));
    let take = |node, member_epoch| Command::AcquireLease { lease: "gc".to_owned(), node, member_epoch };
    let Response::Leased { epoch } = state.apply(take(a, a_epoch)) else { panic!("the lease is free") };
    assert_eq!(state.apply(take(a, a_epoch)), Response::Leased { epoch }, "confirming changes nothing");
    assert!(matches!(state.apply(take(b, b_epoch)), Response::Refused(StateError::Conflict(_))));
    state.apply(Command::Expire { node: a, epoch: a_epoch });
    let Response::Leased { epoch: later } = state.apply(take(b, b_epoch)) else {
        panic!("the holder expired")
    };
    assert!(later > epoch);
    let old = Fence { lease: "gc".to_owned(), epoch };
    let purge = Command::PurgeBlocks { ids: vec![], fence: old };
    assert!(matches!(state.apply(purge), Response::Refused(StateError::Fenced(_))));
    assert!(matches!(state.apply(take(a, a_epoch)), Response::Refused(StateError::Fenced(_))));
}

#[test]
fn a_window_is_published_once() {
    let mut state = founded();
    assert_eq!(state.apply(publish(block(1, 1, 0))), Response::Done);
    assert_eq!(
        state.apply(publish(block(1, 1, 0))),
        Response::Done,
        "the same block again is the retry of a success"
    );
    assert!(matches!(state.apply(publish(block(2, 1, 0))), Response::Refused(_)), "the window is taken");
    let mut changed = block(1, 1, 0);
    changed.samples = 2;
    assert!(matches!(state.apply(publish(changed)), Response::Refused(_)), "a block never changes");
    assert_eq!(state.apply(publish(block(3, 2, 0))), Response::Done, "another shard has its own windows");
    assert_eq!(state.catalogue.published_until_ms(ShardId(1)), 1000);
    assert_eq!(state.catalogue.published_until_ms(ShardId(3)), i64::MIN);
}

#[test]
fn a_block_leaves_by_tombstone_then_purge() {
    let mut state = founded();
    state.apply(publish(block(1, 1, 0)));
    let (node, member_epoch) = joined(state.apply(join("c0", Role::Compactor, "")));
    let acquired = state.apply(Command::AcquireLease { lease: "gc".to_owned(), node, member_epoch });
    let Response::Leased { epoch } = acquired else { panic!("the lease is free") };
    let fence = Fence { lease: "gc".to_owned(), epoch };
    let ids = vec![BlockId(1)];
    state.apply(Command::PurgeBlocks { ids: ids.clone(), fence: fence.clone() });
    assert_eq!(state.catalogue.active().count(), 1, "an active block is not purged");
    state.apply(Command::TombstoneBlocks {
        ids: ids.clone(),
        at_ms: 9,
        reason: "retention".to_owned(),
        fence: fence.clone(),
    });
    let entry = state.catalogue.get(BlockId(1)).expect("still known");
    let (reason, version) = ("retention".to_owned(), state.version);
    assert_eq!(entry.state, BlockState::Tombstoned { at_ms: 9, reason, version });
    state.apply(Command::PurgeBlocks { ids, fence });
    assert!(state.catalogue.get(BlockId(1)).is_none());
    assert!(
        matches!(state.apply(publish(block(4, 1, 0))), Response::Refused(_)),
        "a purged window stays published"
    );
}

#[test]
fn shards_are_placed_once() {
    let mut state = founded();
    let map = ShardMap::even(vec![vec![NodeId(1)]]);
    assert_eq!(state.apply(Command::PlaceShards { map: map.clone() }), Response::Done);
    assert_eq!(state.apply(Command::PlaceShards { map }), Response::Done);
    let other = ShardMap::even(vec![vec![NodeId(1)]; 2]);
    assert!(matches!(
        state.apply(Command::PlaceShards { map: other }),
        Response::Refused(StateError::Conflict(_))
    ));
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (0..3u8, 0..2u8).prop_map(|(n, d)| join(&format!("c{n}"), Role::Compactor, &format!("d{d}"))),
        (1..5u64, 0..8u64).prop_map(|(n, e)| Command::Expire { node: NodeId(n), epoch: Epoch(e) }),
        (1..5u64, 0..8u64).prop_map(|(n, e)| Command::AcquireLease {
            lease: "gc".to_owned(),
            node: NodeId(n),
            member_epoch: Epoch(e),
        }),
        (1..9u128, 1..3u32, 0..6i64).prop_map(|(id, shard, window)| publish(block(id, shard, window * 1000))),
        (1..9u128, 0..9u64).prop_map(|(id, e)| Command::TombstoneBlocks {
            ids: vec![BlockId(id)],
            at_ms: 1,
            reason: "x".to_owned(),
            fence: Fence { lease: "gc".to_owned(), epoch: Epoch(e) },
        }),
        (1..9u128, 0..9u64).prop_map(|(id, e)| Command::PurgeBlocks {
            ids: vec![BlockId(id)],
            fence: Fence { lease: "gc".to_owned(), epoch: Epoch(e) },
        }),
    ]
}

proptest! {
    #[test]
    fn replicas_agree_also_across_a_snapshot(commands in prop::collection::vec(any_command(), 0..60), cut in 0..60usize) {
        let (mut one, mut two) = (founded(), founded());
        for (i, command) in commands.iter().enumerate() {
            if i == cut {
                two = ControlState::decode(&two.encode()).expect("own encoding");
            }
            let wire = Command::decode(&command.encode()).expect("own encoding");
            let response = two.apply(wire);
            prop_assert_eq!(&one.apply(command.clone()), &response);
            prop_assert_eq!(Response::decode(&response.encode()), Ok(response));
        }
        prop_assert_eq!(one, two);
    }

    #[test]
    fn epochs_grow_and_windows_never_overlap(commands in prop::collection::vec(any_command(), 0..80)) {
        let (mut state, mut last_epoch, mut held) = (founded(), Epoch(0), Epoch(0));
        for command in commands {
            let version = state.version;
            match state.apply(command) {
                Response::Joined { epoch, .. } => {
                    prop_assert!(epoch > last_epoch);
                    last_epoch = epoch;
                }
                Response::Leased { epoch } => {
                    prop_assert!(epoch >= held, "a lease's epoch never goes back");
                    held = epoch;
                    last_epoch = last_epoch.max(epoch);
                }
                _ => {}
            }
            prop_assert_eq!(state.version, version + 1);
            for shard in [1, 2].map(ShardId) {
                let mut ranges: Vec<_> = state.catalogue.iter().filter(|e| e.meta.shard == shard).map(|e| e.meta.range).collect();
                ranges.sort();
                prop_assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "{:?}", ranges);
            }
        }
    }
}
