//! Deletes of the catalogue: which blocks a request is noted at, what jobs do with it, and when it leaves.

use std::collections::BTreeMap;

use cluster::{
    Assessment, ClusterSettings, Command, ControlState, DeleteId, DeleteOrder, Fence, JobDelete, JobId,
    JobOrder, MatcherText, Response, Role, ShardDelete, ShardMap, StateError, delete,
};
use model::{BlockId, BlockMeta, BlockRange, Epoch, NodeId, ObjectMeta, ShardId};

/// Two shards, each with the published windows 0 and 1, cut at the log indexes 10 and 20.
struct Bench {
    state: ControlState,
    worker: (NodeId, Epoch),
}

fn meta(id: u128, shard: u32, windows: std::ops::Range<i64>, cut_index: u64) -> BlockMeta {
    let object = ObjectMeta { key: format!("{id}"), size_bytes: 1, tail_bytes: 1, crc32c: 7 };
    BlockMeta {
        id: BlockId(id),
        shard: ShardId(shard),
        range: BlockRange::new(windows.start * 1000, windows.end * 1000),
        level: 0,
        cut_index,
        series: 1,
        samples: 100,
        external_labels: BTreeMap::new(),
        parents: Vec::new(),
        sort_range: model::SortRange::ALL,
        resolution_ms: 0,
        series_object: object.clone(),
        chunks_object: object,
    }
}

fn order(id: u128, start_ms: i64, end_ms: i64) -> DeleteOrder {
    let matcher = MatcherText { name: "a".to_owned(), op: "=~".to_owned(), value: "b|c".to_owned() };
    DeleteOrder { id: DeleteId(id), selectors: vec![vec![matcher]], start_ms, end_ms }
}

fn at(shard: u32, index: u64, frozen_until_ms: Option<i64>) -> ShardDelete {
    ShardDelete { shard: ShardId(shard), index, frozen_until_ms }
}

impl Bench {
    fn new() -> Self {
        let mut state = ControlState::default();
        let settings = ClusterSettings {
            name: "test".to_owned(),
            uuid: "00".to_owned(),
            external_labels: BTreeMap::new(),
            block_duration_ms: 1000,
            out_of_order_window_ms: 0,
            shards: 2,
            replicas: 1,
            exemplars_max: 0,
        };
        state.apply(Command::Establish { settings, ingesters: Vec::new() });
        state.apply(Command::PlaceShards { map: ShardMap::even(vec![vec![NodeId(1)]; 2]) });
        let joined = state.apply(Command::Join {
            name: "c".to_owned(),
            role: Role::Compactor,
            zone: String::new(),
            grpc_address: String::new(),
            http_address: String::new(),
            disk_id: String::new(),
        });
        let Response::Joined { node, epoch } = joined else { panic!("{joined:?}") };
        let mut bench = Self { state, worker: (node, epoch) };
        for shard in [1, 2] {
            for window in [0, 1] {
                bench.publish(
                    u128::from(shard) * 10 + window as u128,
                    shard,
                    window,
                    10 + 10 * window as u64,
                );
            }
        }
        bench
    }

    fn publish(&mut self, id: u128, shard: u32, window: i64, cut_index: u64) {
        let meta = Box::new(meta(id, shard, window..window + 1, cut_index));
        assert_eq!(self.state.apply(Command::PublishBlock { meta }), Response::Done);
    }

    fn delete(&mut self, order: DeleteOrder, shards: [ShardDelete; 2]) -> Response {
        self.state.apply(Command::RequestDelete { order, shards: shards.to_vec(), at_ms: 5 })
    }

    /// Deletes with both shards at an index, and nothing frozen.
    fn delete_at(&mut self, order: DeleteOrder, index: u64) {
        assert_eq!(self.delete(order, [at(1, index, None), at(2, index, None)]), Response::Done);
    }

    fn noted(&self) -> Vec<(u128, Vec<u128>)> {
        let notes = |entry: &std::sync::Arc<cluster::BlockEntry>| {
            (entry.meta.id.0, entry.deletes.keys().map(|id| id.0).collect::<Vec<_>>())
        };
        self.state.catalogue.iter().map(notes).filter(|(_, deletes)| !deletes.is_empty()).collect()
    }

    fn pending(&self) -> Vec<u128> {
        self.state.catalogue.deletes().map(|request| request.order.id.0).collect()
    }

    fn claim(&mut self, inputs: &[u128]) -> (JobId, Epoch, BlockId, Vec<JobDelete>) {
        let inputs = inputs.iter().copied().map(BlockId).collect();
        let order = JobOrder { inputs, level: 1, outputs: 1, downsample: None };
        let claim = Command::ClaimJob { order, node: self.worker.0, member_epoch: self.worker.1 };
        match self.state.apply(claim) {
            Response::Claimed { job, epoch, outputs, deletes } => (job, epoch, outputs[0], deletes),
            other => panic!("expected a job, got {other:?}"),
        }
    }

    fn commit(&mut self, job: JobId, epoch: Epoch, outputs: Vec<BlockMeta>) -> Response {
        self.state.apply(Command::CommitJob { job, epoch, outputs, at_ms: 9 })
    }

    fn purge(&mut self, ids: &[u128]) {
        let (node, member_epoch) = self.worker;
        let lease = "l".to_owned();
        let leased = self.state.apply(Command::AcquireLease { lease: lease.clone(), node, member_epoch });
        let Response::Leased { epoch } = leased else { panic!("{leased:?}") };
        let ids = ids.iter().copied().map(BlockId).collect();
        self.state.apply(Command::PurgeBlocks { ids, fence: Fence { lease, epoch } });
    }
}

#[test]
fn blocks_cut_before_the_delete_are_subject_to_it() {
    for (range, index, expected) in [
        ((0, 5000), 100, &[10u128, 11, 20, 21][..]),
        ((0, 999), 100, &[10, 20]),
        ((1000, 1000), 100, &[11, 21]),
        ((0, 5000), 20, &[10, 20]),
        ((0, 5000), 10, &[]),
        ((2000, 5000), 100, &[]),
        ((5, 4), 100, &[]),
    ] {
        let mut bench = Bench::new();
        bench.delete_at(order(1, range.0, range.1), index);
        let noted: Vec<u128> = bench.noted().into_iter().map(|(block, _)| block).collect();
        assert_eq!(noted, expected, "{range:?} at {index}");
        assert_eq!(
            bench.pending().is_empty(),
            expected.is_empty(),
            "it leaves when no block is subject to it"
        );
        assert!(bench.state.catalogue.knows_delete(DeleteId(1)));
        let decoded = ControlState::decode(&bench.state.encode()).expect("its own encoding");
        assert_eq!(decoded, bench.state);
    }
}

#[test]
fn a_frozen_window_is_waited_for() {
    let mut bench = Bench::new();
    // Shard 1 froze window 2 at index 30; the delete is entry 33 of it. Shard 2 had published all it froze.
    let shards = [at(1, 33, Some(3000)), at(2, 7, Some(2000))];
    assert_eq!(bench.delete(order(1, 2000, 9000), shards), Response::Done);
    assert_eq!((bench.pending(), bench.noted()), (vec![1], vec![]));
    bench.publish(22, 2, 2, 40);
    assert_eq!(bench.noted(), [], "another shard's, frozen later");
    bench.publish(12, 1, 2, 30);
    assert_eq!(bench.noted(), [(12, vec![1])]);
    bench.publish(13, 1, 3, 50);
    assert_eq!(bench.noted(), [(12, vec![1])], "cut after the delete");
    let mut bench = Bench::new();
    assert_eq!(bench.delete(order(1, 9000, 9000), shards), Response::Done);
    bench.publish(12, 1, 2, 30);
    assert_eq!(bench.pending(), [0u128; 0], "the window has come, and no block is subject to it");
}

#[test]
fn a_repetition_changes_nothing_even_late() {
    let mut bench = Bench::new();
    bench.delete_at(order(1, 0, 999), 100);
    let before = bench.state.catalogue.clone();
    bench.delete_at(order(1, 0, 999), 200);
    assert_eq!(bench.state.catalogue, before);
    let none = |block| Assessment { block: BlockId(block), delete: DeleteId(1), samples: 0 };
    bench.state.apply(Command::AssessDeletes { found: vec![none(10), none(20), none(21), none(99)] });
    assert_eq!((bench.pending(), bench.noted()), (vec![], vec![]), "nothing of it is in any block");
    bench.publish(12, 1, 2, 30);
    bench.delete_at(order(1, 0, 9000), 300);
    assert_eq!((bench.pending(), bench.noted()), (vec![], vec![]), "it was done before");
}

#[test]
fn a_job_folds_in_what_came_before_its_claim() {
    let mut bench = Bench::new();
    bench.delete_at(order(1, 0, 5000), 15);
    bench.delete_at(order(2, 1500, 5000), 100);
    let (job, epoch, output, deletes) = bench.claim(&[10, 11]);
    let folded: Vec<_> = deletes.iter().map(|d| (d.order.id.0, d.inputs.clone())).collect();
    assert_eq!(folded, [(1, vec![BlockId(10)]), (2, vec![BlockId(11)])]);
    assert_eq!(bench.claim(&[10, 11]).3, deletes, "a confirmed claim says the same");
    let merged = meta(output.0, 1, 0..2, 20);
    let merged = BlockMeta { level: 1, ..merged };
    assert_eq!(bench.commit(job, epoch, vec![merged]), Response::Done);
    let noted = [(10, vec![1]), (11, vec![2]), (20, vec![1]), (21, vec![2])];
    assert_eq!(bench.noted(), noted, "tombstoned blocks keep their notes, the output has none");
    bench.purge(&[10, 11]);
    let (job, epoch, _, _) = bench.claim(&[20, 21]);
    assert_eq!(bench.commit(job, epoch, Vec::new()), Response::Done, "nothing may be left");
    assert_eq!(bench.pending(), [1, 2]);
    bench.purge(&[20, 21]);
    assert_eq!(bench.pending(), [0u128; 0]);
}

#[test]
fn what_comes_during_a_job_goes_over_to_its_output() {
    let mut bench = Bench::new();
    let (job, epoch, output, _) = bench.claim(&[10, 11]);
    bench.delete_at(order(1, 500, 5000), 100);
    let merged = BlockMeta { level: 1, ..meta(output.0, 1, 0..2, 20) };
    assert_eq!(bench.commit(job, epoch, vec![merged]), Response::Done);
    assert_eq!(bench.noted().last(), Some(&(output.0, vec![1])));
}

#[test]
fn a_delete_of_one_input_only_that_comes_during_a_job_refuses_its_commit() {
    let mut bench = Bench::new();
    let (job, epoch, output, _) = bench.claim(&[10, 11]);
    // Block 11 was cut at index 20, after the delete.
    bench.delete_at(order(1, 500, 5000), 15);
    let merged = BlockMeta { level: 1, ..meta(output.0, 1, 0..2, 20) };
    let refused = bench.commit(job, epoch, vec![merged.clone()]);
    assert!(matches!(refused, Response::Refused(StateError::Conflict(_))), "{refused:?}");
    bench.state.apply(Command::AbortJob { job, epoch, bad: Vec::new() });
    let (job, epoch, output, deletes) = bench.claim(&[10, 11]);
    assert_eq!(deletes.len(), 1);
    let merged = BlockMeta { id: output, ..merged };
    assert_eq!(bench.commit(job, epoch, vec![merged]), Response::Done);
    let mut bench = Bench::new();
    let (job, epoch, output, _) = bench.claim(&[10, 11]);
    bench.delete_at(order(1, 500, 900), 15);
    let merged = BlockMeta { level: 1, ..meta(output.0, 1, 0..2, 20) };
    assert_eq!(
        bench.commit(job, epoch, vec![merged]),
        Response::Done,
        "the other holds nothing of its range"
    );
}

#[test]
fn orders_that_cannot_be_are_refused() {
    let mut bench = Bench::new();
    let refused = bench.state.apply(Command::RequestDelete {
        order: order(1, 0, 1),
        shards: vec![at(1, 100, None)],
        at_ms: 0,
    });
    assert!(matches!(refused, Response::Refused(StateError::Conflict(_))), "a shard did not take it");
    let text = |op: &str, value: &str| MatcherText {
        name: "a".to_owned(),
        op: op.to_owned(),
        value: value.to_owned(),
    };
    let long = "x".repeat(delete::DELETE_SELECTORS_BYTES_MAX);
    for bad in [text("~", "b"), text("=~", "("), text("=", &long)] {
        let order = DeleteOrder { selectors: vec![vec![bad.clone()]], ..order(1, 0, 1) };
        let refused = bench.delete(order, [at(1, 100, None), at(2, 100, None)]);
        assert!(matches!(refused, Response::Refused(StateError::Conflict(_))), "{:?}", bad.op);
    }
    for id in 0..delete::DELETES_MAX as u128 {
        bench.delete_at(order(id, 0, 999), 100);
    }
    let refused = bench.delete(order(5000, 0, 999), [at(1, 100, None), at(2, 100, None)]);
    assert!(matches!(refused, Response::Refused(StateError::Limit(_))), "{refused:?}");
    assert_eq!(bench.state.catalogue.deletes_of(BlockId(10)).count(), delete::DELETES_MAX);
    assert!(bench.state.catalogue.deletes().all(|request| !request.clean));
    bench.state.apply(Command::CleanDeletes { at_ms: 1 });
    assert!(bench.state.catalogue.deletes().all(|request| request.clean));
}
