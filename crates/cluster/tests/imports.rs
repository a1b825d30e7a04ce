//! Imports of the catalogue: a unit is done once, whatever importers do and wherever they die.

use std::collections::BTreeMap;

use cluster::{
    ClusterSettings, Command, ControlState, ImportState, ImportUnit, Response, Role, ShardMap, StateError,
};
use model::{BlockId, BlockMeta, BlockRange, Epoch, NodeId, ObjectMeta, ShardId};

fn founded() -> ControlState {
    let settings = ClusterSettings {
        name: "test".to_owned(),
        uuid: "00".to_owned(),
        external_labels: BTreeMap::from([("cluster".to_owned(), "eu".to_owned())]),
        block_duration_ms: 1000,
        out_of_order_window_ms: 0,
        shards: 2,
        replicas: 1,
        exemplars_max: 0,
    };
    let mut state = ControlState::default();
    assert_eq!(state.apply(Command::Establish { settings, ingesters: Vec::new() }), Response::Done);
    let map = ShardMap::even(vec![vec![NodeId(1)]; 2]);
    assert_eq!(state.apply(Command::PlaceShards { map }), Response::Done);
    state
}

fn join(state: &mut ControlState) -> (NodeId, Epoch) {
    let command = Command::Join {
        name: "import".to_owned(),
        role: Role::Compactor,
        zone: String::new(),
        grpc_address: String::new(),
        http_address: String::new(),
        disk_id: String::new(),
    };
    match state.apply(command) {
        Response::Joined { node, epoch } => (node, epoch),
        other => panic!("expected a membership, got {other:?}"),
    }
}

fn unit() -> ImportUnit {
    ImportUnit { source: "01ABC".to_owned(), range: BlockRange::new(1000, 2000) }
}

fn block(id: BlockId, shard: u32) -> BlockMeta {
    let object = ObjectMeta { key: id.to_string(), size_bytes: 1, tail_bytes: 1, crc32c: 7 };
    BlockMeta {
        id,
        shard: ShardId(shard),
        range: BlockRange::new(1000, 1999),
        level: 0,
        cut_index: 0,
        series: 1,
        samples: 1,
        external_labels: BTreeMap::from([("cluster".to_owned(), "eu".to_owned())]),
        parents: Vec::new(),
        resolution_ms: 0,
        sort_range: model::SortRange::ALL,
        series_object: object.clone(),
        chunks_object: object,
    }
}

fn claim(state: &mut ControlState, (node, member_epoch): (NodeId, Epoch)) -> Response {
    state.apply(Command::ClaimImport { unit: unit(), outputs: 2, node, member_epoch })
}

fn claimed(response: Response) -> (Epoch, Vec<BlockId>) {
    match response {
        Response::ImportClaimed { epoch, outputs } => (epoch, outputs),
        other => panic!("expected an import, got {other:?}"),
    }
}

fn commit(epoch: Epoch, blocks: &[BlockMeta]) -> Command {
    Command::CommitImport { unit: unit(), epoch, blocks: blocks.to_vec() }
}

#[test]
fn a_unit_is_published_at_once_and_once() {
    let mut state = founded();
    let member = join(&mut state);
    let (epoch, outputs) = claimed(claim(&mut state, member));
    assert_eq!(claimed(claim(&mut state, member)), (epoch, outputs.clone()), "a claim may be repeated");
    assert_eq!(state.catalogue.active().count(), 0);
    let made = block(outputs[0], 2);
    for _ in 0..2 {
        assert_eq!(state.apply(commit(epoch, std::slice::from_ref(&made))), Response::Done);
        assert_eq!(state.catalogue.active().collect::<Vec<_>>(), [&made]);
    }
    assert_eq!(state.catalogue.orphans().collect::<Vec<_>>(), [(outputs[1], None)]);
    assert_eq!(state.catalogue.published_until_ms(ShardId(2)), i64::MIN, "the seam stays");
    assert_eq!(claim(&mut state, member), Response::ImportDone);
    let again = join(&mut state);
    assert_eq!(claim(&mut state, again), Response::ImportDone, "for ever");
    let copy = ControlState::decode(&state.encode()).expect("its own encoding");
    assert_eq!(copy, state);
    assert_eq!(copy.catalogue.import(&unit()), Some(&ImportState::Done));
}

#[test]
fn an_importer_that_died_leaves_orphans_and_no_right() {
    let mut state = founded();
    let dead = join(&mut state);
    let (old_epoch, old) = claimed(claim(&mut state, dead));
    state.apply(Command::Expire { node: dead.0, epoch: dead.1 });
    assert_eq!(state.catalogue.import(&unit()), None);
    assert_eq!(state.catalogue.orphans().count(), 2);
    let fenced = |response| matches!(response, Response::Refused(StateError::Fenced(_)));
    assert!(fenced(claim(&mut state, dead)));
    assert!(fenced(state.apply(commit(old_epoch, &[block(old[0], 1)]))));
    let next = join(&mut state);
    let (epoch, outputs) = claimed(claim(&mut state, next));
    assert!(outputs.iter().all(|id| !old.contains(id)), "no two attempts write the same object");
    assert!(fenced(state.apply(commit(old_epoch, &[block(old[0], 1)]))));
    assert_eq!(state.apply(commit(epoch, &[block(outputs[0], 1), block(outputs[1], 2)])), Response::Done);
    assert_eq!(state.catalogue.active().count(), 2);
}

#[test]
fn blocks_that_are_not_the_unit_s_are_refused() {
    let mut state = founded();
    let member = join(&mut state);
    let (epoch, outputs) = claimed(claim(&mut state, member));
    let good = block(outputs[0], 1);
    let labels = BTreeMap::new();
    for bad in [
        block(BlockId(1), 1),
        block(outputs[0], 9),
        BlockMeta { range: BlockRange::new(999, 1999), ..good.clone() },
        BlockMeta { range: BlockRange::new(1000, 2001), ..good.clone() },
        BlockMeta { external_labels: labels, ..good.clone() },
        BlockMeta { cut_index: 1, ..good.clone() },
    ] {
        let response = state.apply(commit(epoch, &[bad]));
        assert!(matches!(response, Response::Refused(StateError::Conflict(_))), "{response:?}");
    }
    let twice = [good.clone(), good.clone()];
    assert!(matches!(state.apply(commit(epoch, &twice)), Response::Refused(StateError::Conflict(_))));
    assert_eq!(state.catalogue.active().count(), 0);
    for (outputs, source, end) in [(0, "x", 2000), (5000, "x", 2000), (1, "", 2000), (1, "x", 1000)] {
        let unit = ImportUnit { source: source.to_owned(), range: BlockRange::new(1000, end) };
        let claim = Command::ClaimImport { unit, outputs, node: member.0, member_epoch: member.1 };
        assert!(matches!(state.apply(claim), Response::Refused(StateError::Conflict(_))));
    }
    assert_eq!(state.apply(commit(epoch, &[good])), Response::Done);
}
