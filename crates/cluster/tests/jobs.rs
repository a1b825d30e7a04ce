//! Jobs of the catalogue: a table of claims, commits and aborts, and every interleaving of two compactors that crash.

use std::collections::BTreeMap;

use cluster::{
    BadBlock, BlockState, ClusterSettings, Command, ControlState, Downsampling, Fence, JobId, JobOrder,
    Response, Role, StateError, job,
};
use model::{
    BlockId, BlockMeta, BlockRange, Epoch, NodeId, ObjectMeta, ShardId, SortKey, SortRange, TimeRange,
};
use proptest::prelude::*;

const WINDOW_MS: i64 = 1000;

fn founded() -> ControlState {
    let settings = ClusterSettings {
        name: "test".to_owned(),
        uuid: "00".to_owned(),
        external_labels: BTreeMap::new(),
        block_duration_ms: WINDOW_MS,
        out_of_order_window_ms: 0,
        shards: 1,
        replicas: 1,
        exemplars_max: 0,
    };
    let mut state = ControlState::default();
    assert_eq!(state.apply(Command::Establish { settings, ingesters: Vec::new() }), Response::Done);
    state
}

fn join(state: &mut ControlState, name: &str) -> (NodeId, Epoch) {
    let command = Command::Join {
        name: name.to_owned(),
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

fn block(id: u128, shard: u32, windows: std::ops::Range<i64>, level: u8) -> BlockMeta {
    let object = ObjectMeta { key: format!("{id}"), size_bytes: 1, tail_bytes: 1, crc32c: 7 };
    BlockMeta {
        id: BlockId(id),
        shard: ShardId(shard),
        range: BlockRange::new(windows.start * WINDOW_MS, windows.end * WINDOW_MS),
        level,
        cut_index: 5,
        series: 1,
        samples: (windows.end - windows.start) as u64,
        external_labels: BTreeMap::new(),
        parents: Vec::new(),
        resolution_ms: 0,
        sort_range: model::SortRange::ALL,
        series_object: object.clone(),
        chunks_object: object,
    }
}

fn publish(state: &mut ControlState, id: u128, shard: u32, window: i64) {
    let meta = Box::new(block(id, shard, window..window + 1, 0));
    assert_eq!(state.apply(Command::PublishBlock { meta }), Response::Done);
}

fn order(inputs: &[u128], outputs: u32) -> JobOrder {
    JobOrder { inputs: inputs.iter().copied().map(BlockId).collect(), level: 1, outputs, downsample: None }
}

fn claim(state: &mut ControlState, who: (NodeId, Epoch), order: &JobOrder) -> Response {
    state.apply(Command::ClaimJob { order: order.clone(), node: who.0, member_epoch: who.1 })
}

fn claimed(response: Response) -> (JobId, Epoch, Vec<BlockId>) {
    match response {
        Response::Claimed { job, epoch, outputs, .. } => (job, epoch, outputs),
        other => panic!("expected a job, got {other:?}"),
    }
}

fn active(state: &ControlState) -> Vec<u128> {
    state.catalogue.active().map(|meta| meta.id.0).collect()
}

fn orphans(state: &ControlState) -> Vec<(BlockId, Option<i64>)> {
    state.catalogue.orphans().collect()
}

fn is_conflict(response: &Response) -> bool {
    matches!(response, Response::Refused(StateError::Conflict(_)))
}

fn is_fenced(response: &Response) -> bool {
    matches!(response, Response::Refused(StateError::Fenced(_)))
}

/// Two blocks of shard 1, one of shard 2, and two compactors.
fn bench() -> (ControlState, (NodeId, Epoch), (NodeId, Epoch)) {
    let mut state = founded();
    publish(&mut state, 1, 1, 0);
    publish(&mut state, 2, 1, 1);
    publish(&mut state, 3, 2, 0);
    let (a, b) = (join(&mut state, "a"), join(&mut state, "b"));
    (state, a, b)
}

#[test]
fn a_job_replaces_its_inputs_at_once() {
    let (mut state, a, _) = bench();
    let (job, epoch, outputs) = claimed(claim(&mut state, a, &order(&[1, 2], 2)));
    assert_eq!(outputs.len(), 2);
    assert!(
        outputs.iter().all(|id| (id.0 >> 80) as i64 == 2 * WINDOW_MS),
        "names sort by the end of the range"
    );
    assert_eq!(active(&state), [1, 2, 3], "nothing shows before the commit");
    let merged = block(outputs[0].0, 1, 0..2, 1);
    let commit = Command::CommitJob { job, epoch, outputs: vec![merged], at_ms: 77 };
    assert_eq!(state.apply(commit.clone()), Response::Done);
    assert_eq!(active(&state), [3, outputs[0].0]);
    for id in [1, 2] {
        let entry = state.catalogue.get(BlockId(id)).expect("still served to queries that began earlier");
        let BlockState::Tombstoned { at_ms, reason, .. } = &entry.state else { panic!("{id} is tombstoned") };
        assert_eq!((*at_ms, reason.as_str()), (77, format!("merged by job {job}").as_str()));
    }
    assert_eq!(orphans(&state), [(outputs[1], None)], "a name that was not used");
    assert_eq!(state.catalogue.jobs().count(), 0);
    let (catalogue, version) = (state.catalogue.clone(), state.version);
    assert_eq!(state.apply(commit), Response::Done, "a replay is the retry of a success");
    assert_eq!((state.catalogue, state.version), (catalogue, version + 1));
}

#[test]
fn a_claim_is_confirmed_and_refused_to_others() {
    let (mut state, a, b) = bench();
    let first = claim(&mut state, a, &order(&[1, 2], 1));
    assert_eq!(claim(&mut state, a, &order(&[1, 2], 1)), first);
    assert!(is_conflict(&claim(&mut state, b, &order(&[1, 2], 1))), "it is taken");
    assert!(is_conflict(&claim(&mut state, b, &order(&[2], 1))), "a block is in one job");
    assert!(is_conflict(&claim(&mut state, b, &order(&[3, 9], 1))), "no such block");
    assert!(is_fenced(&claim(&mut state, (b.0, Epoch(0)), &order(&[3], 1))), "no such membership");
    claimed(claim(&mut state, b, &order(&[3], 1)));
}

#[test]
fn orders_beyond_the_limits_are_refused() {
    let (mut state, a, _) = bench();
    let many: Vec<u128> = (0..=job::JOB_INPUTS_MAX as u128).collect();
    let outputs = job::JOB_OUTPUTS_MAX as u32 + 1;
    for bad in [order(&[], 1), order(&many, 1), order(&[2, 1], 1), order(&[1, 1], 1), order(&[1], 0)] {
        assert!(is_conflict(&claim(&mut state, a, &bad)), "{bad:?}");
    }
    assert!(is_conflict(&claim(&mut state, a, &order(&[1], outputs))));
    assert!(is_conflict(&claim(&mut state, a, &order(&[1, 3], 1))), "two shards");
    for id in 10..10 + job::JOBS_MAX as u128 {
        publish(&mut state, id, id as u32, 0);
        claimed(claim(&mut state, a, &order(&[id], 1)));
    }
    let refused = claim(&mut state, a, &order(&[1], 1));
    assert!(matches!(refused, Response::Refused(StateError::Limit(_))), "{refused:?}");
}

#[test]
fn outputs_are_held_against_the_claim() {
    let (mut state, a, _) = bench();
    let (job, epoch, outputs) = claimed(claim(&mut state, a, &order(&[1, 2], 2)));
    let id = outputs[0].0;
    let mut more = block(id, 1, 0..2, 1);
    more.samples = 3;
    let twice = vec![block(id, 1, 0..1, 1), block(id, 1, 1..2, 1)];
    for outputs in [
        vec![block(99, 1, 0..2, 1)],
        vec![block(id, 2, 0..2, 1)],
        vec![block(id, 1, 0..3, 1)],
        vec![block(id, 1, -1..2, 1)],
        vec![block(id, 1, 0..2, 2)],
        vec![more],
        twice,
    ] {
        let refused = state.apply(Command::CommitJob { job, epoch, outputs, at_ms: 0 });
        assert!(is_conflict(&refused), "{refused:?}");
    }
    assert_eq!(active(&state), [1, 2, 3]);
    let nothing_left = Command::CommitJob { job, epoch, outputs: Vec::new(), at_ms: 0 };
    assert_eq!(state.apply(nothing_left), Response::Done);
    assert_eq!(active(&state), [3]);
}

#[test]
fn the_end_of_a_membership_ends_its_jobs_and_fences_them() {
    let (mut state, a, b) = bench();
    let (job, epoch, outputs) = claimed(claim(&mut state, a, &order(&[1, 2], 1)));
    state.apply(Command::Expire { node: a.0, epoch: a.1 });
    assert_eq!(orphans(&state), [(outputs[0], None)]);
    let zombie = Command::CommitJob { job, epoch, outputs: vec![block(outputs[0].0, 1, 0..2, 1)], at_ms: 0 };
    assert!(is_fenced(&state.apply(zombie.clone())));
    let (again, later, fresh) = claimed(claim(&mut state, b, &order(&[1, 2], 1)));
    assert_eq!(again, job, "the same work has the same name");
    assert!(later > epoch && fresh != outputs, "no two attempts write the same object");
    assert!(is_fenced(&state.apply(zombie)));
    assert!(is_fenced(&state.apply(Command::AbortJob { job, epoch, bad: Vec::new() })));
    let merged = vec![block(fresh[0].0, 1, 0..2, 1)];
    assert_eq!(
        state.apply(Command::CommitJob { job, epoch: later, outputs: merged, at_ms: 0 }),
        Response::Done
    );
    assert_eq!(active(&state), [3, fresh[0].0]);
}

#[test]
fn a_restart_ends_the_jobs_of_the_process_before() {
    let (mut state, a, _) = bench();
    claimed(claim(&mut state, a, &order(&[1, 2], 1)));
    join(&mut state, "a");
    assert_eq!(state.catalogue.jobs().count(), 0);
}

#[test]
fn an_abort_frees_the_inputs_and_sets_bad_ones_aside() {
    let (mut state, a, b) = bench();
    let (job, epoch, outputs) = claimed(claim(&mut state, a, &order(&[1, 2], 1)));
    let bad = [2, 3].map(|id| BadBlock { id: BlockId(id), reason: "damaged".to_owned() }).to_vec();
    assert_eq!(state.apply(Command::AbortJob { job, epoch, bad }), Response::Done);
    assert_eq!(active(&state), [1, 2, 3]);
    let aside = state.catalogue.iter().filter_map(|entry| Some((entry.meta.id.0, entry.set_aside.clone()?)));
    assert_eq!(aside.collect::<Vec<_>>(), [(2, "damaged".to_owned())], "only inputs of the job");
    assert_eq!(orphans(&state), [(outputs[0], None)]);
    assert!(is_conflict(&claim(&mut state, b, &order(&[1, 2], 1))), "what is set aside is not merged");
    claimed(claim(&mut state, b, &order(&[1], 1)));
}

#[test]
fn a_job_whose_input_was_tombstoned_does_not_bring_it_back() {
    let (mut state, a, b) = bench();
    let (job, epoch, outputs) = claimed(claim(&mut state, a, &order(&[1, 2], 1)));
    let acquire = Command::AcquireLease { lease: "gc".to_owned(), node: b.0, member_epoch: b.1 };
    let Response::Leased { epoch: lease } = state.apply(acquire) else { panic!("the lease is free") };
    let fence = Fence { lease: "gc".to_owned(), epoch: lease };
    let tombstone = |ids, at_ms| Command::TombstoneBlocks {
        ids,
        at_ms,
        reason: "retention".to_owned(),
        fence: fence.clone(),
    };
    state.apply(tombstone(vec![BlockId(1)], 5));
    let merged = vec![block(outputs[0].0, 1, 0..2, 1)];
    assert!(is_conflict(&state.apply(Command::CommitJob { job, epoch, outputs: merged, at_ms: 0 })));
    assert_eq!(state.apply(Command::AbortJob { job, epoch, bad: Vec::new() }), Response::Done);
    assert_eq!(active(&state), [2, 3]);
    let purge = Command::PurgeBlocks { ids: outputs.clone(), fence: fence.clone() };
    state.apply(purge.clone());
    assert_eq!(orphans(&state), [(outputs[0], None)], "not before its time was noted");
    state.apply(tombstone(outputs.clone(), 8));
    state.apply(tombstone(outputs.clone(), 9));
    assert_eq!(orphans(&state), [(outputs[0], Some(8))]);
    state.apply(purge);
    assert_eq!(orphans(&state), []);
}

/// One step of one of two compactors, or of the world.
#[derive(Clone, Debug)]
enum Step {
    /// Compactor, first of its inputs among the active blocks, how many.
    Claim(usize, usize, usize),
    /// Compactor, how many outputs.
    Commit(usize, usize),
    Abort(usize),
    /// The process dies and forgets; the cluster notices.
    Crash(usize),
    /// The membership ends, the process goes on as if nothing were.
    Lapse(usize),
    Publish,
    Retain,
    Snapshot,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..2usize;
    let step = prop_oneof![
        4 => (who.clone(), 0..6usize, 1..5usize).prop_map(|(who, from, count)| Step::Claim(who, from, count)),
        4 => (who.clone(), 0..3usize).prop_map(|(who, outputs)| Step::Commit(who, outputs)),
        1 => who.clone().prop_map(Step::Abort),
        1 => who.clone().prop_map(Step::Crash),
        1 => who.prop_map(Step::Lapse),
        4 => Just(Step::Publish),
        1 => Just(Step::Retain),
        1 => Just(Step::Snapshot),
    ];
    prop::collection::vec(step, 0..80)
}

/// A compactor as it sees itself.
#[derive(Default)]
struct Worker {
    member: Option<(NodeId, Epoch)>,
    /// The claim, kept after its end, so that commits are proposed again and late.
    held: Option<(JobId, Epoch, Vec<BlockId>, Vec<BlockMeta>)>,
}

/// The state, what each block really holds, and what must be there.
struct World {
    state: ControlState,
    workers: [Worker; 2],
    /// Windows in each block, by what was put into it.
    content: BTreeMap<BlockId, Vec<i64>>,
    expected: Vec<i64>,
    windows: i64,
}

impl World {
    fn member(&mut self, who: usize) -> (NodeId, Epoch) {
        if self.workers[who].member.is_none() {
            self.workers[who].member = Some(join(&mut self.state, ["a", "b"][who]));
        }
        self.workers[who].member.expect("it has just joined")
    }

    fn claim(&mut self, who: usize, from: usize, count: usize) {
        let member = self.member(who);
        let mut inputs: Vec<BlockMeta> = self.state.catalogue.active().cloned().collect();
        inputs.sort_by_key(|meta| meta.range);
        let mut inputs: Vec<BlockMeta> = inputs.into_iter().skip(from).take(count).collect();
        inputs.sort_by_key(|meta| meta.id);
        let order = JobOrder {
            inputs: inputs.iter().map(|meta| meta.id).collect(),
            level: 1,
            outputs: 2,
            downsample: None,
        };
        if let Response::Claimed { job, epoch, outputs, .. } = claim(&mut self.state, member, &order) {
            self.workers[who].held = Some((job, epoch, outputs, inputs));
        }
    }

    fn commit(&mut self, who: usize, count: usize) {
        let Some((job, epoch, ids, inputs)) = &self.workers[who].held else { return };
        let mut windows: Vec<i64> = inputs.iter().flat_map(|meta| self.content[&meta.id].clone()).collect();
        windows.sort_unstable();
        let (mut outputs, mut content) = (Vec::new(), Vec::new());
        let parts = windows.chunks(windows.len().div_ceil(count.max(1)).max(1));
        for (id, part) in ids.iter().zip(parts) {
            let mut meta = block(id.0, 1, part[0]..part[part.len() - 1] + 1, 1);
            meta.samples = part.len() as u64;
            outputs.push(meta);
            content.push((*id, part.to_vec()));
        }
        let command = Command::CommitJob { job: *job, epoch: *epoch, outputs, at_ms: 1 };
        if self.state.apply(command) == Response::Done {
            self.content.extend(content);
        }
    }

    fn retain(&mut self) {
        let member = self.member(0);
        let Some(oldest) = self.state.catalogue.active().min_by_key(|meta| meta.range).cloned() else {
            return;
        };
        let acquire =
            Command::AcquireLease { lease: "gc".to_owned(), node: member.0, member_epoch: member.1 };
        let Response::Leased { epoch } = self.state.apply(acquire) else { return };
        let fence = Fence { lease: "gc".to_owned(), epoch };
        let ids = vec![oldest.id];
        self.state.apply(Command::TombstoneBlocks { ids, at_ms: 1, reason: String::new(), fence });
        self.expected.retain(|window| !self.content[&oldest.id].contains(window));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Claim(who, from, count) => self.claim(who, from, count),
            Step::Commit(who, outputs) => self.commit(who, outputs),
            Step::Abort(who) => {
                if let Some((job, epoch, ..)) = self.workers[who].held.take() {
                    self.state.apply(Command::AbortJob { job, epoch, bad: Vec::new() });
                }
            }
            Step::Crash(who) | Step::Lapse(who) => {
                if let Some((node, epoch)) = self.workers[who].member.take() {
                    self.state.apply(Command::Expire { node, epoch });
                }
                if matches!(step, Step::Crash(_)) {
                    self.workers[who].held = None;
                }
            }
            Step::Publish => {
                let id = 1000 + self.windows as u128;
                publish(&mut self.state, id, 1, self.windows);
                self.content.insert(BlockId(id), vec![self.windows]);
                self.expected.push(self.windows);
                self.windows += 1;
            }
            Step::Retain => self.retain(),
            Step::Snapshot => {
                let decoded = ControlState::decode(&self.state.encode()).expect("own encoding");
                assert_eq!(decoded, self.state);
                self.state = decoded;
            }
        }
    }

    fn shown(&self, range: TimeRange) -> Vec<i64> {
        let blocks = self.state.catalogue.active_in(range);
        let windows = blocks.flat_map(|meta| self.content[&meta.id].iter().copied());
        let start = |window: &i64| window * WINDOW_MS;
        let mut shown: Vec<i64> =
            windows.filter(|w| range.start.0 <= start(w) && start(w) <= range.end.0).collect();
        shown.sort_unstable();
        shown
    }
}

/// An order that makes slots of windows of the shard's first two blocks.
fn slots(inputs: &[u128], windows: std::ops::Range<i64>) -> JobOrder {
    let window = BlockRange::new(windows.start * WINDOW_MS, windows.end * WINDOW_MS);
    JobOrder { downsample: Some(Downsampling { resolution_ms: WINDOW_MS, window }), ..order(inputs, 1) }
}

#[test]
fn a_downsampling_leaves_its_inputs_and_is_done_once() {
    let (mut state, a, b) = bench();
    let both = slots(&[1, 2], 0..2);
    let (job, epoch, outputs) = claimed(claim(&mut state, a, &both));
    assert_ne!(job, claimed(claim(&mut bench().0, a, &order(&[1, 2], 1))).0);
    let output = BlockMeta { resolution_ms: WINDOW_MS, ..block(outputs[0].0, 1, 0..2, 1) };
    let commit = |meta: &BlockMeta| Command::CommitJob { job, epoch, outputs: vec![meta.clone()], at_ms: 9 };
    let raw = BlockMeta { resolution_ms: 0, ..output.clone() };
    let wide = BlockMeta { range: BlockRange::new(0, 3 * WINDOW_MS), ..output.clone() };
    for wrong in [raw, wide] {
        assert!(is_conflict(&state.apply(commit(&wrong))));
    }
    assert_eq!(state.apply(commit(&output)), Response::Done);
    assert_eq!(state.apply(commit(&output)), Response::Done);
    assert_eq!(active(&state), [1, 2, 3, output.id.0]);
    // Whoever planned before that is told.
    assert!(is_conflict(&claim(&mut state, b, &both)));
    assert!(is_conflict(&claim(&mut state, b, &slots(&[2], 1..2))));
    assert!(is_conflict(&claim(&mut state, b, &order(&[1, output.id.0], 1))));
    let decoded = ControlState::decode(&state.encode()).expect("own encoding");
    assert_eq!(decoded, state);
}

#[test]
fn a_downsampling_that_finds_nothing_is_noted() {
    let (mut state, a, b) = bench();
    let (job, epoch, _) = claimed(claim(&mut state, a, &slots(&[1, 2], 0..2)));
    let entry = |state: &ControlState| state.catalogue.get(BlockId(1)).expect("it is there").clone();
    assert!(!state.catalogue.unreduced(&entry(&state)).is_empty());
    assert_eq!(state.apply(Command::CommitJob { job, epoch, outputs: Vec::new(), at_ms: 9 }), Response::Done);
    assert_eq!(entry(&state).without_samples, [BlockRange::new(0, 2 * WINDOW_MS)]);
    assert!(state.catalogue.unreduced(&entry(&state)).is_empty());
    let decoded = ControlState::decode(&state.encode()).expect("own encoding");
    assert_eq!(decoded, state);
    assert!(is_conflict(&claim(&mut state, b, &slots(&[1, 2], 0..2))), "whoever planned before that is told");
    claimed(claim(&mut state, b, &order(&[1, 2], 1)));
}

#[test]
fn damaged_slots_hold_nothing_for_retention() {
    let (mut state, a, _) = bench();
    let (job, epoch, outputs) = claimed(claim(&mut state, a, &slots(&[1, 2], 0..2)));
    let output = BlockMeta { resolution_ms: WINDOW_MS, ..block(outputs[0].0, 1, 0..2, 1) };
    state.apply(Command::CommitJob { job, epoch, outputs: vec![output], at_ms: 9 });
    let is_held = |state: &ControlState| {
        let entry = state.catalogue.get(BlockId(1)).expect("it is there");
        state.catalogue.unreduced(entry).is_empty()
    };
    assert!(is_held(&state));
    let (job, epoch, _) = claimed(claim(&mut state, a, &order(&[outputs[0].0], 1)));
    let bad = vec![BadBlock { id: outputs[0], reason: "damaged".to_owned() }];
    state.apply(Command::AbortJob { job, epoch, bad });
    assert!(!is_held(&state));
}

#[test]
fn slots_are_not_merged_across_what_is_not_reduced() {
    let (mut state, a, _) = bench();
    publish(&mut state, 11, 1, 2);
    let mut made = Vec::new();
    for (input, window) in [(1, 0), (11, 2)] {
        let (job, epoch, outputs) = claimed(claim(&mut state, a, &slots(&[input], window..window + 1)));
        let output = BlockMeta { resolution_ms: WINDOW_MS, ..block(outputs[0].0, 1, window..window + 1, 1) };
        let commit = Command::CommitJob { job, epoch, outputs: vec![output], at_ms: 9 };
        assert_eq!(state.apply(commit), Response::Done);
        made.push(outputs[0].0);
    }
    made.sort_unstable();
    let merge = order(&made, 1);
    assert!(is_conflict(&claim(&mut state, a, &merge)), "block 2 lies between them");
    let (job, epoch, _) = claimed(claim(&mut state, a, &slots(&[2], 1..2)));
    state.apply(Command::CommitJob { job, epoch, outputs: Vec::new(), at_ms: 9 });
    claimed(claim(&mut state, a, &merge));
}

#[test]
fn slots_are_aligned_and_coarser_than_what_they_are_made_of() {
    let (mut state, a, _) = bench();
    let of = |resolution_ms, start_ms, end_ms| {
        let window = BlockRange::new(start_ms, end_ms);
        JobOrder { downsample: Some(Downsampling { resolution_ms, window }), ..order(&[1], 1) }
    };
    for (resolution_ms, start_ms, end_ms) in [(0, 0, WINDOW_MS), (-1, 0, 1), (7, 0, WINDOW_MS), (10, 5, 20)] {
        let wrong = of(resolution_ms, start_ms, end_ms);
        assert!(is_conflict(&claim(&mut state, a, &wrong)), "{wrong:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_sample_shows_once_whatever_two_compactors_do(steps in steps(), from in 0..20i64, length in 0..20i64) {
        let mut world = World {
            state: founded(),
            workers: Default::default(),
            content: BTreeMap::new(),
            expected: Vec::new(),
            windows: 0,
        };
        for step in steps {
            world.step(step);
            prop_assert_eq!(&world.shown(TimeRange::ALL), &world.expected);
            let range = TimeRange::new(from * WINDOW_MS, (from + length) * WINDOW_MS);
            let within = world.expected.iter().copied().filter(|w| (from..=from + length).contains(w));
            prop_assert_eq!(world.shown(range), within.collect::<Vec<_>>());
            prop_assert!(world.state.catalogue.published_until_ms(ShardId(1)) >= world.windows * WINDOW_MS || world.windows == 0);
        }
    }
}

#[test]
fn a_merge_may_be_split_by_series_within_what_its_inputs_hold() {
    let (mut state, a, _) = bench();
    let (job, epoch, outputs) = claimed(claim(&mut state, a, &order(&[1, 2], 2)));
    let cut = Some(SortKey { metric: "m".to_owned(), hash: 7 });
    let part = |id: BlockId, start: &Option<SortKey>, end: &Option<SortKey>| {
        let sort_range = SortRange { start: start.clone(), end: end.clone() };
        BlockMeta { sort_range, ..block(id.0, 1, 0..2, 1) }
    };
    let low = BlockMeta { samples: 1, ..part(outputs[0], &None, &cut) };
    let high = BlockMeta { samples: 1, ..part(outputs[1], &cut, &None) };
    let commit = Command::CommitJob { job, epoch, outputs: vec![low.clone(), high.clone()], at_ms: 1 };
    assert_eq!(state.apply(commit), Response::Done);
    let again = ControlState::decode(&state.encode()).expect("its own encoding");
    assert_eq!(again, state);
    // Of the lower half alone, nothing comes that reaches above it.
    let only_low = JobOrder { inputs: vec![low.id], level: 2, ..order(&[1], 1) };
    let (job, epoch, outputs) = claimed(claim(&mut state, a, &only_low));
    for (sort_range, is_fine) in [(SortRange::ALL, false), (high.sort_range, false), (low.sort_range, true)] {
        let output = BlockMeta { samples: 1, level: 2, sort_range, ..part(outputs[0], &None, &None) };
        let answer = state.apply(Command::CommitJob { job, epoch, outputs: vec![output], at_ms: 2 });
        assert_eq!(answer == Response::Done, is_fine, "{answer:?}");
    }
}

#[test]
fn a_block_that_was_set_aside_is_taken_back_under_the_lease() {
    let (mut state, a, _) = bench();
    let order = order(&[1, 2], 1);
    let (job, epoch, _) = claimed(claim(&mut state, a, &order));
    let bad = vec![BadBlock { id: BlockId(1), reason: "damaged".to_owned() }];
    assert_eq!(state.apply(Command::AbortJob { job, epoch, bad }), Response::Done);
    assert!(is_conflict(&claim(&mut state, a, &order)));
    let leased = state.apply(Command::AcquireLease { lease: "gc".to_owned(), node: a.0, member_epoch: a.1 });
    let Response::Leased { epoch } = leased else { panic!("{leased:?}") };
    let take_back = |epoch| {
        let fence = Fence { lease: "gc".to_owned(), epoch };
        Command::TakeBackBlocks { ids: vec![BlockId(1), BlockId(2), BlockId(99)], fence }
    };
    assert!(is_fenced(&state.apply(take_back(Epoch(0)))));
    assert_eq!(state.catalogue.active_set_aside().count(), 1);
    assert_eq!(state.apply(take_back(epoch)), Response::Done);
    assert_eq!(state.catalogue.active_set_aside().count(), 0);
    claimed(claim(&mut state, a, &order));
}
