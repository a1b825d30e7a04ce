//! Imports of the catalogue: a unit is done once, whatever importers do and wherever they die.

use std::collections::BTreeMap;

use cluster::{
    ClusterSettings, Command, ControlState, Downsampling, Fence, ImportState, ImportUnit, JobOrder, Response,
    Role, ShardMap, StateError,
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
    Command::CommitImport { unit: unit(), epoch, blocks: blocks.to_vec(), at_ms: 7 }
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

/// Publishes windows 0, 1 and 2 of shard 1; returns the order that makes slots of the first two.
fn with_slots(state: &mut ControlState) -> JobOrder {
    for window in 0..3 {
        let meta = BlockMeta {
            range: BlockRange::new(window * 1000, window * 1000 + 1000),
            cut_index: 1,
            ..block(BlockId(window as u128 + 1), 1)
        };
        assert_eq!(state.apply(Command::PublishBlock { meta: Box::new(meta) }), Response::Done);
    }
    let downsample = Some(Downsampling { resolution_ms: 500, window: BlockRange::new(0, 2000) });
    JobOrder { inputs: vec![BlockId(1), BlockId(2)], level: 1, outputs: 1, downsample }
}

/// Makes slots; returns what the catalogue says of it, and their name.
fn reduce(
    state: &mut ControlState,
    order: &JobOrder,
    member: (NodeId, Epoch),
    meanwhile: Option<Command>,
) -> (Response, BlockId) {
    let claim = Command::ClaimJob { order: order.clone(), node: member.0, member_epoch: member.1 };
    let Response::Claimed { job, epoch, outputs, .. } = state.apply(claim) else { panic!("not to be had") };
    meanwhile.into_iter().for_each(|command| assert_eq!(state.apply(command), Response::Done));
    let slots =
        BlockMeta { resolution_ms: 500, level: 1, range: BlockRange::new(0, 2000), ..block(outputs[0], 1) };
    (state.apply(Command::CommitJob { job, epoch, outputs: vec![slots], at_ms: 3 }), outputs[0])
}

fn is_active(state: &ControlState, id: BlockId) -> bool {
    state.catalogue.active().any(|meta| meta.id == id)
}

#[test]
fn slots_that_lack_imported_samples_are_made_anew() {
    let mut state = founded();
    let member = join(&mut state);
    let order = with_slots(&mut state);
    let (done, slots) = reduce(&mut state, &order, member, None);
    assert_eq!(done, Response::Done);
    let (epoch, outputs) = claimed(claim(&mut state, member));
    let imported = block(outputs[0], 1);
    assert_eq!(state.apply(commit(epoch, std::slice::from_ref(&imported))), Response::Done);
    assert!(!is_active(&state, slots));
    // Without the imported block they are not made, and with it they are.
    let claim = Command::ClaimJob { order: order.clone(), node: member.0, member_epoch: member.1 };
    assert!(matches!(state.apply(claim), Response::Refused(StateError::Conflict(_))));
    let mut inputs = vec![BlockId(1), BlockId(2), imported.id];
    inputs.sort_unstable();
    assert_eq!(reduce(&mut state, &JobOrder { inputs, ..order }, member, None).0, Response::Done);
}

#[test]
fn slots_stay_where_what_they_were_made_of_is_gone() {
    let mut state = founded();
    let member = join(&mut state);
    let order = with_slots(&mut state);
    let (_, slots) = reduce(&mut state, &order, member, None);
    let leased = state.apply(Command::AcquireLease {
        lease: "retention".to_owned(),
        node: member.0,
        member_epoch: member.1,
    });
    let Response::Leased { epoch } = leased else { panic!("{leased:?}") };
    let fence = Fence { lease: "retention".to_owned(), epoch };
    state.apply(Command::TombstoneBlocks { ids: vec![BlockId(1)], at_ms: 5, reason: String::new(), fence });
    let (epoch, outputs) = claimed(claim(&mut state, member));
    assert_eq!(state.apply(commit(epoch, &[block(outputs[0], 1)])), Response::Done);
    assert!(is_active(&state, slots));
    let copy = ControlState::decode(&state.encode()).expect("its own encoding");
    assert_eq!(copy, state);
}

#[test]
fn an_import_during_a_downsampling_of_its_time_refuses_the_commit() {
    let mut state = founded();
    let member = join(&mut state);
    let order = with_slots(&mut state);
    let (epoch, outputs) = claimed(claim(&mut state, member));
    let import = commit(epoch, &[block(outputs[0], 1)]);
    let (refused, slots) = reduce(&mut state, &order, member, Some(import));
    assert!(matches!(refused, Response::Refused(StateError::Conflict(_))), "{refused:?}");
    assert!(!is_active(&state, slots));
}
