//! Merging against the real control state and an S3 server: every step may be the last, and nothing is lost or doubled.

use std::collections::BTreeMap;
use std::time::Duration;

use ::tests::control::{CLUSTER, CONTROL_ADDRESS, MemControl};
use ::tests::s3::{ACCESS_KEY, BUCKET, MemS3, REGION, SECRET_KEY};
use block::{BlockInput, BlockSpec, Credentials, ObjectStoreConfig, S3Config};
use cluster::Role;
use model::{BlockRange, LabelSet, Samples, ShardId, TimeRange};
use object_store::ObjectStore;
use proto::connect::Connector;
use service::Context;
use session::SessionConfig;

use super::*;
use crate::deletes::Assessor;
use crate::metrics::CompactorMetrics;
use crate::plan::{DownsampleRules, RetentionRules};
use crate::repair::Repair;
use crate::retention::Retention;

/// The block duration of [`MemControl`].
const WINDOW_MS: i64 = 7_200_000;

/// Every sample that queries see: series and time, with the value's bits.
type Seen = BTreeMap<(String, i64), u64>;

struct Bench {
    s3: MemS3,
    objects: Arc<dyn ObjectStore>,
    connector: Connector,
    control: MemControl,
    dir: tempfile::TempDir,
    split: SplitLimits,
    published: Seen,
}

/// A compactor whose steps the test takes.
struct Worker {
    context: Context,
    merger: Merger,
    retention: Retention,
    repair: Repair,
}

impl Bench {
    fn new() -> Self {
        let s3 = MemS3::start().expect("a free port");
        let config = S3Config {
            bucket: BUCKET.to_owned(),
            endpoint: s3.address().to_string(),
            region: Some(REGION.to_owned()),
            insecure: true,
            virtual_hosted: false,
            prefix: String::new(),
            credentials: Credentials::Static {
                access_key: ACCESS_KEY.to_owned(),
                secret_key: SECRET_KEY.to_owned(),
                session_token: None,
            },
        };
        let objects = block::open_store(&ObjectStoreConfig::S3(config)).expect("a valid configuration");
        let connector = Connector::default();
        let control = MemControl::start(&connector);
        let dir = tempfile::tempdir().expect("a folder for the test");
        let split = SplitLimits::DEFAULT;
        Self { s3, objects, connector, control, dir, split, published: Seen::new() }
    }

    fn session(&self, role: Role, name: &str) -> SessionConfig {
        SessionConfig {
            cluster: CLUSTER.into(),
            seeds: vec![CONTROL_ADDRESS.into()],
            role,
            name: name.into(),
            zone: String::new(),
            grpc_address: String::new(),
            http_address: String::new(),
            disk_id: None,
        }
    }

    async fn worker(&self, name: &str) -> Worker {
        let context = Context::new("compactor");
        let session = self.session(Role::Compactor, name);
        let session = Session::new(session, self.connector.clone());
        context.spawn("session", Arc::clone(&session).run(context.shutdown()));
        session.wait_joined().await;
        let config = CompactorConfig {
            interval: Duration::from_millis(5),
            deletion_delay: Duration::ZERO,
            split: self.split,
            ..CompactorConfig::new(
                Arc::clone(&self.objects),
                RetentionRules::default(),
                self.dir.path().to_owned(),
            )
        };
        let metrics = MergeMetrics::default();
        let retention_metrics = CompactorMetrics::default();
        context.metrics().register(|registry| {
            metrics.register(registry);
            retention_metrics.register(registry);
        });
        let retention =
            Retention { config: config.clone(), session: Arc::clone(&session), metrics: retention_metrics };
        let repair =
            Repair { config: config.clone(), session: Arc::clone(&session), metrics: metrics.clone() };
        Worker { context, merger: Merger { config, session, metrics }, retention, repair }
    }

    /// Cuts and publishes one window of a shard, as its leader would.
    async fn publish(&mut self, shard: u32, window: i64) -> BlockMeta {
        let range = BlockRange::new(window * WINDOW_MS, (window + 1) * WINDOW_MS);
        let spec = BlockSpec {
            id: BlockId((range.end.0 as u128) << 80 | u128::from(shard)),
            shard: ShardId(shard),
            range,
            level: 0,
            cut_index: window as u64,
            parents: Vec::new(),
            resolution_ms: 0,
            sort_range: model::SortRange::ALL,
            external_labels: BTreeMap::new(),
            metadata: Vec::new(),
        };
        let series: Vec<(LabelSet, Samples)> = (0..3 + window % 2)
            .map(|pod| {
                let (shard, pod_name) = (shard.to_string(), pod.to_string());
                let labels = [("__name__", "up"), ("shard", shard.as_str()), ("pod", pod_name.as_str())];
                let mut samples = Samples::default();
                (0..40)
                    .for_each(|at| samples.push(range.start.0 + at * 15_000 + pod, (at * pod) as f64 * 0.1));
                (LabelSet::from_pairs(labels), samples)
            })
            .collect();
        let inputs = series.iter().map(|(labels, samples)| BlockInput { labels, samples });
        let built = block::build(&spec, inputs).expect("valid series");
        block::upload(&*self.objects, &built).await.expect("the store answers");
        let command = Command::PublishBlock { meta: Box::new(built.meta.clone()) };
        assert_eq!(self.control.apply(command), Response::Done);
        for (labels, samples) in series {
            let bits = samples.floats.iter().map(|value| value.to_bits());
            self.published
                .extend(samples.timestamps.iter().map(|time| (labels.to_string(), *time)).zip(bits));
        }
        built.meta
    }

    /// Reads all active blocks; a sample in two of them is a fault.
    async fn seen(&self) -> Seen {
        let mut seen = Seen::new();
        for meta in self.control.state().catalogue.active() {
            let reader: Arc<dyn RangeReader> = Arc::new(ObjectStoreReader::new(Arc::clone(&self.objects)));
            let reader = BlockReader::open(reader, meta.clone()).await.expect("an active block opens");
            for series in reader.select(&[], TimeRange::ALL, usize::MAX).await.expect("undamaged") {
                let mut samples = Samples::default();
                chunk::read_merged(&series.chunks, i64::MIN, i64::MAX, &mut samples).expect("undamaged");
                for (time, value) in samples.timestamps.into_iter().zip(samples.floats) {
                    let twin = seen.insert((series.labels.to_string(), time), value.to_bits());
                    assert_eq!(twin, None, "{} at {time} in {}", series.labels, meta.id);
                }
            }
        }
        seen
    }

    /// Returns `(shard, level, range in windows)` of the active blocks, in order.
    fn active(&self) -> Vec<(u32, u8, i64, i64)> {
        let state = self.control.state();
        let describe = |meta: &BlockMeta| {
            (meta.shard.0, meta.level, meta.range.start.0 / WINDOW_MS, meta.range.end.0 / WINDOW_MS)
        };
        let mut active: Vec<_> = state.catalogue.active().map(describe).collect();
        active.sort_unstable();
        active
    }

    async fn wait_active(&self, expected: &[(u32, u8, i64, i64)]) {
        let key = |meta: &BlockMeta| {
            (meta.shard.0, meta.level, meta.range.start.0 / WINDOW_MS, meta.range.end.0 / WINDOW_MS)
        };
        let is_so = |state: &ControlState| {
            let mut active: Vec<_> = state.catalogue.active().map(key).collect();
            active.sort_unstable();
            active == expected && state.catalogue.jobs().count() == 0
        };
        self.control.wait(is_so).await;
        assert_eq!(self.active(), expected);
    }

    /// Waits until garbage collection came to its end, and checks that the store holds the active blocks and nothing else.
    async fn wait_clean(&self) {
        let is_active = |entry: &Arc<cluster::BlockEntry>| entry.state == BlockState::Active;
        let is_clean = |state: &ControlState| {
            state.catalogue.orphans().next().is_none() && state.catalogue.iter().all(is_active)
        };
        let state = self.control.wait(is_clean).await;
        let metas = state.catalogue.active();
        let keys = metas.flat_map(|meta| [meta.series_object.key.clone(), meta.chunks_object.key.clone()]);
        let mut keys: Vec<String> = keys.collect();
        keys.sort();
        assert_eq!(self.s3.keys(), keys);
    }
}

impl Worker {
    fn membership(&self) -> Membership {
        self.merger.session.membership().expect("it has joined")
    }

    /// Lets it work by itself.
    fn start(self) -> Context {
        let context = self.context;
        context.spawn("merge", self.merger.run(context.shutdown()));
        context.spawn("retention", self.retention.run(context.shutdown()));
        context.spawn("repair", self.repair.run(context.shutdown()));
        context
    }

    async fn claim_first(&self, bench: &Bench) -> Claim {
        let rules = MergeRules {
            block_duration_ms: WINDOW_MS,
            retention: crate::plan::RetentionRules::of_time(None),
            split: self.merger.config.split,
        };
        let order = merges(&bench.control.state().catalogue, rules).remove(0);
        let claim = self.merger.claim(self.membership(), order).await.expect("the control group answers");
        claim.expect("nobody else has it")
    }
}

async fn stop(context: Context) {
    assert_eq!(context.ready(), Ok(()));
    assert_eq!(context.stop(Duration::from_secs(60)).await, Vec::<String>::new());
}

/// How far the first compactor comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reached {
    Claim,
    /// So many parts are merged and uploaded, and the next one merged.
    Parts(usize),
    Commit,
}

impl Worker {
    /// Does a job until it has come so far; returns what it would have committed.
    async fn run_until(&self, claim: &Claim, reached: Reached) -> Vec<MergedBlock> {
        let mut merged = Vec::new();
        if reached == Reached::Claim {
            return merged;
        }
        for (output, inputs) in self.merger.parts(claim).await.expect("undamaged inputs") {
            merged.push(self.merger.merge(claim, &output, inputs).await.expect("undamaged inputs"));
            if reached == Reached::Parts(merged.len() - 1) {
                break;
            }
            self.merger.upload(claim, &merged[merged.len() - 1]).await.expect("the store answers");
        }
        if reached == Reached::Commit {
            let metas = merged.iter().map(|block| block.meta.clone()).collect();
            self.merger.commit(claim, metas).await.expect("it is held");
        }
        merged
    }
}

/// One block a window, or, split, two.
async fn stopped_after(reached: Reached, split: SplitLimits) {
    let mut bench = Bench::new();
    bench.split = split;
    for window in 0..5 {
        bench.publish(1, window).await;
    }
    let parts = if split == SplitLimits::DEFAULT { 1 } else { 2 };
    let mut merged = vec![(1, 0, 4, 5)];
    merged.extend(vec![(1, 1, 0, 4); parts]);
    let zombie = bench.worker("c-0").await;
    let claim = zombie.claim_first(&bench).await;
    let blocks = zombie.run_until(&claim, reached).await;
    assert_eq!(bench.seen().await, bench.published, "after {reached:?}");
    bench.control.expire(zombie.membership().node);
    let next = bench.worker("c-1").await;
    let node = next.membership().node;
    // The next one merges and does not collect, so that the zombie's uploads come before.
    let retention = next.retention;
    next.context.spawn("merge", next.merger.run(next.context.shutdown()));
    bench.wait_active(&merged).await;
    assert_eq!(bench.seen().await, bench.published, "{node} went on after {reached:?}");
    // The first one was not dead. What it still does must not show.
    for block in &blocks {
        block::upload_merged(&*bench.objects, block).await.expect("the store answers");
    }
    if !blocks.is_empty() {
        let metas = blocks.iter().map(|block| block.meta.clone()).collect();
        let committed = zombie.merger.commit(&claim, metas).await;
        match reached {
            Reached::Commit => committed.expect("the commit of before"),
            _ => {
                let Err(CompactorError::Commit {
                    source: SessionError::Refused(StateError::Fenced(_)), ..
                }) = committed
                else {
                    panic!("a deposed worker committed after {reached:?}: {committed:?}")
                };
            }
        }
    }
    assert_eq!(bench.active(), merged);
    assert_eq!(bench.seen().await, bench.published);
    next.context.spawn("retention", retention.run(next.context.shutdown()));
    bench.wait_clean().await;
    assert_eq!(bench.seen().await, bench.published);
    stop(next.context).await;
    stop(zombie.context).await;
}

/// Few enough that the four series of a window become two blocks.
const HALVES: SplitLimits = SplitLimits { series: 3, bytes: u64::MAX, parts: usize::MAX };

#[tokio::test(flavor = "multi_thread")]
async fn a_compactor_killed_after_its_claim_loses_and_doubles_nothing() {
    stopped_after(Reached::Claim, SplitLimits::DEFAULT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compactor_killed_after_its_merge_loses_and_doubles_nothing() {
    stopped_after(Reached::Parts(0), SplitLimits::DEFAULT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compactor_killed_after_its_upload_loses_and_doubles_nothing() {
    stopped_after(Reached::Parts(1), SplitLimits::DEFAULT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compactor_killed_after_its_commit_loses_and_doubles_nothing() {
    stopped_after(Reached::Commit, SplitLimits::DEFAULT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compactor_killed_after_one_of_two_parts_loses_and_doubles_nothing() {
    stopped_after(Reached::Parts(1), HALVES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compactor_killed_after_the_last_of_two_parts_loses_and_doubles_nothing() {
    stopped_after(Reached::Parts(2), HALVES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compactor_killed_after_it_committed_two_parts_loses_and_doubles_nothing() {
    stopped_after(Reached::Commit, HALVES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn days_are_made_of_parts_part_by_part() {
    let mut bench = Bench::new();
    bench.split = HALVES;
    let context = bench.worker("c-0").await.start();
    for window in 0..13 {
        bench.publish(1, window).await;
        if window % 4 == 3 {
            bench.control.wait(|state| state.catalogue.active().all(|meta| meta.level > 0)).await;
        }
    }
    bench.wait_active(&[(1, 0, 12, 13), (1, 2, 0, 12), (1, 2, 0, 12)]).await;
    assert_eq!(bench.seen().await, bench.published);
    bench.wait_clean().await;
    stop(context).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_compactors_share_the_work() {
    let mut bench = Bench::new();
    let mut contexts = Vec::new();
    for name in ["c-0", "c-1", "c-2"] {
        contexts.push(bench.worker(name).await.start());
    }
    for window in 0..13 {
        for shard in 1..4 {
            bench.publish(shard, window).await;
        }
    }
    bench
        .wait_active(&[
            (1, 0, 12, 13),
            (1, 2, 0, 12),
            (2, 0, 12, 13),
            (2, 2, 0, 12),
            (3, 0, 12, 13),
            (3, 2, 0, 12),
        ])
        .await;
    assert_eq!(bench.seen().await, bench.published);
    bench.wait_clean().await;
    for context in contexts {
        stop(context).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_block_is_set_aside_by_name_and_the_others_go_on() {
    let mut bench = Bench::new();
    let mut blocks = Vec::new();
    for window in 0..4 {
        blocks.push(bench.publish(1, window).await);
    }
    let bad = &blocks[2];
    let good = bench.s3.object(&bad.chunks_object.key).expect("it was uploaded");
    let mut damaged = good.to_vec();
    damaged[good.len() / 3] ^= 0x10;
    bench.s3.tamper(&bad.chunks_object.key, Some(damaged.into()));
    let context = bench.worker("c-0").await.start();
    bench.wait_active(&[(1, 0, 2, 3), (1, 1, 0, 4)]).await;
    let state = bench.control.state();
    let aside: Vec<(BlockId, &str)> = state
        .catalogue
        .active_set_aside()
        .map(|entry| (entry.meta.id, entry.set_aside.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].0, bad.id);
    assert!(aside[0].1.contains(&bad.chunks_object.key) && aside[0].1.contains("rows"), "{}", aside[0].1);
    let metrics = context.metrics().encode();
    assert!(metrics.contains("norn_compactor_merge_bad_inputs_total 1\n"), "{metrics}");
    // Once somebody repaired it, all is there, and it is merged without anybody saying so.
    bench.s3.tamper(&bad.chunks_object.key, Some(good));
    bench.wait_active(&[(1, 1, 0, 4)]).await;
    assert_eq!(bench.control.state().catalogue.active_set_aside().count(), 0);
    assert_eq!(bench.seen().await, bench.published);
    let metrics = context.metrics().encode();
    assert!(metrics.contains("norn_compactor_merge_blocks_taken_back_total 1\n"), "{metrics}");
    bench.wait_clean().await;
    stop(context).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_of_a_block_is_damaged_only_that_block_is_set_aside() {
    let mut bench = Bench::new();
    let mut bad = Vec::new();
    for shard in 1..=3 {
        for window in 0..4 {
            let block = bench.publish(shard, window).await;
            if window == 2 {
                bad.push(block);
            }
        }
    }
    let flip = |key: &str, from_end: usize| {
        let mut bytes = bench.s3.object(key).expect("it was uploaded").to_vec();
        let position = bytes.len() - from_end;
        bytes[position] ^= 1;
        bench.s3.tamper(key, Some(bytes.into()));
    };
    flip(&bad[0].series_object.key, bad[0].series_object.size_bytes as usize / 2);
    flip(&bad[1].chunks_object.key, 10);
    bench.s3.tamper(&bad[2].chunks_object.key, None);
    let context = bench.worker("c-0").await.start();
    let active: Vec<_> = (1..=3).flat_map(|shard| [(shard, 0, 2, 3), (shard, 1, 0, 4)]).collect();
    bench.wait_active(&active).await;
    let state = bench.control.state();
    let aside: BTreeMap<BlockId, String> = state
        .catalogue
        .active_set_aside()
        .map(|entry| (entry.meta.id, entry.set_aside.clone().unwrap_or_default()))
        .collect();
    assert_eq!(aside.len(), 3, "{aside:?}");
    for (block, word) in bad.iter().zip(["series.parquet is corrupt", "footer", "does not exist"]) {
        assert!(aside[&block.id].contains(word), "{} should say {word}", aside[&block.id]);
    }
    stop(context).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_delays_a_merge_and_nothing_else() {
    let mut bench = Bench::new();
    for window in 0..4 {
        bench.publish(1, window).await;
    }
    bench.s3.faults().slow_down();
    let context = bench.worker("c-0").await.start();
    // Given up at least once: what it was to write is an orphan, which cannot be deleted now either.
    bench.control.wait(|state| state.catalogue.orphans().next().is_some()).await;
    assert_eq!(bench.active(), [(1, 0, 0, 1), (1, 0, 1, 2), (1, 0, 2, 3), (1, 0, 3, 4)]);
    assert_eq!(
        bench.control.state().catalogue.active_set_aside().count(),
        0,
        "nothing is wrong with the blocks"
    );
    bench.s3.faults().clear();
    bench.wait_active(&[(1, 1, 0, 4)]).await;
    assert_eq!(bench.seen().await, bench.published);
    bench.wait_clean().await;
    stop(context).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_after_the_upload_doubles_nothing() {
    let mut bench = Bench::new();
    for window in 0..4 {
        bench.publish(1, window).await;
    }
    bench.s3.faults().drop_after_put_next(2);
    let context = bench.worker("c-0").await.start();
    bench.wait_active(&[(1, 1, 0, 4)]).await;
    assert_eq!(bench.seen().await, bench.published);
    bench.wait_clean().await;
    stop(context).await;
}

fn delete(bench: &Bench, id: u128, pod: &str, start_ms: i64, end_ms: i64) {
    let matcher = cluster::MatcherText { name: "pod".into(), op: "=~".into(), value: pod.into() };
    let selectors = vec![vec![matcher]];
    let order = cluster::DeleteOrder { id: cluster::DeleteId(id), selectors, start_ms, end_ms };
    let shards: Vec<cluster::ShardDelete> = (0..9)
        .map(|shard| cluster::ShardDelete { shard: ShardId(shard), index: 1000, frozen_until_ms: None })
        .collect();
    let command = Command::RequestDelete { order, shards, at_ms: 1 };
    assert_eq!(bench.control.apply(command), Response::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_leaves_the_blocks() {
    let mut bench = Bench::new();
    for window in 0..5 {
        bench.publish(1, window).await;
    }
    // Before any merge, and of some windows only; then again while a compactor works.
    delete(&bench, 1, "1", WINDOW_MS, 3 * WINDOW_MS + 60_000);
    let worker = bench.worker("c-0").await;
    let assessor =
        Assessor { config: worker.merger.config.clone(), session: Arc::clone(&worker.merger.session) };
    worker.context.spawn("deletes", assessor.run(worker.context.shutdown()));
    let context = worker.start();
    bench.wait_active(&[(1, 0, 4, 5), (1, 1, 0, 4)]).await;
    let no_notes = |state: &ControlState| {
        let mut active = state.catalogue.iter().filter(|entry| entry.state == BlockState::Active);
        state.catalogue.jobs().count() == 0 && active.all(|entry| entry.deletes.is_empty())
    };
    bench.control.wait(no_notes).await;
    let mut expected = bench.published.clone();
    let deleted = WINDOW_MS..=3 * WINDOW_MS + 60_000;
    expected.retain(|(labels, time), _| !(labels.contains("pod=\"1\"") && deleted.contains(time)));
    assert!(expected.len() < bench.published.len());
    assert_eq!(bench.seen().await, expected);
    delete(&bench, 2, "0", 0, i64::MAX);
    bench.control.wait(no_notes).await;
    expected.retain(|(labels, _), _| !labels.contains("pod=\"0\""));
    assert_eq!(bench.seen().await, expected);
    assert_eq!(bench.active(), [(1, 0, 4, 5), (1, 1, 0, 4)], "rewritten each by itself");
    delete(&bench, 3, ".*", 0, 4 * WINDOW_MS - 1);
    bench.wait_active(&[(1, 0, 4, 5)]).await;
    bench.wait_clean().await;
    assert_eq!(bench.control.state().catalogue.deletes().count(), 0, "no block is subject to any");
    stop(context).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_are_not_made_again_and_again_of_what_is_deleted() {
    let mut bench = Bench::new();
    for window in [0, 20] {
        bench.publish(1, window).await;
    }
    // Nobody assesses it, so nothing is rewritten for it.
    delete(&bench, 1, ".*", 0, WINDOW_MS - 1);
    let mut worker = bench.worker("c-0").await;
    worker.merger.config.downsampling =
        DownsampleRules { five_minutes_after_ms: Some(1), hour_after_ms: None };
    let merger = worker.merger.metrics.clone();
    let context = worker.start();
    let of_first = |state: &ControlState| {
        state.catalogue.iter().next().map(|entry| entry.without_samples.clone()).unwrap_or_default()
    };
    let state = bench.control.wait(|state| !of_first(state).is_empty()).await;
    assert_eq!(of_first(&state), [BlockRange::new(0, WINDOW_MS)]);
    bench.control.wait(|state| state.catalogue.orphans().next().is_none()).await;
    assert_eq!(bench.active(), [(1, 0, 0, 1), (1, 0, 20, 21)]);
    assert_eq!(of_first(&bench.control.state()), [BlockRange::new(0, WINDOW_MS)], "once");
    assert_eq!(merger.failures.get(), 0);
    stop(context).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_after_a_put_was_done_doubles_nothing() {
    let mut bench = Bench::new();
    bench.split = HALVES;
    for window in 0..4 {
        bench.publish(1, window).await;
    }
    // Each of the four objects is stored, and whoever stored it does not hear of it.
    bench.s3.faults().drop_after_put_next(4);
    let context = bench.worker("c-0").await.start();
    bench.wait_active(&[(1, 1, 0, 4), (1, 1, 0, 4)]).await;
    assert_eq!(bench.seen().await, bench.published);
    bench.wait_clean().await;
    let metrics = context.metrics().encode();
    assert!(metrics.contains("norn_compactor_merge_jobs_done_total 1\n"), "{metrics}");
    stop(context).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_store_that_says_slow_down_now_and_then_costs_time_only() {
    let mut bench = Bench::new();
    bench.s3.faults().delay(Duration::from_millis(20));
    let context = bench.worker("c-0").await.start();
    for window in 0..12 {
        bench.publish(1, window).await;
        bench.s3.faults().slow_down_next(2);
    }
    bench.wait_active(&[(1, 2, 0, 12)]).await;
    bench.s3.faults().clear();
    assert_eq!(bench.seen().await, bench.published);
    bench.wait_clean().await;
    stop(context).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_a_query_reads_stay_until_it_ends() {
    let mut bench = Bench::new();
    let mut inputs = Vec::new();
    for window in 0..4 {
        inputs.push(bench.publish(1, window).await);
    }
    let querying = Context::new("querier");
    let querier = Session::new(bench.session(Role::Querier, "q-0"), bench.connector.clone());
    querying.spawn("session", Arc::clone(&querier).run(querying.shutdown()));
    querier.wait_joined().await;
    let is_known = |state: &Arc<ControlState>| state.catalogue.active().count() == inputs.len();
    querier.watch().wait_for(is_known).await.expect("the session lives");
    let (before, pin) = querier.pin();
    let context = bench.worker("c-0").await.start();
    bench.wait_active(&[(1, 1, 0, 4)]).await;
    let waits = "norn_compactor_blocks_awaiting_queries 4\n";
    // The deletion delay is zero: only the query holds the blocks.
    let mut states = bench.control.watch();
    while !context.metrics().encode().contains(waits) {
        states.changed().await.expect("the control group runs");
    }
    for meta in &inputs {
        assert!(bench.s3.object(&meta.series_object.key).is_some(), "{}", meta.id);
    }
    let reader: Arc<dyn RangeReader> = Arc::new(ObjectStoreReader::new(Arc::clone(&bench.objects)));
    for meta in before.catalogue.active() {
        BlockReader::open(Arc::clone(&reader), meta.clone()).await.expect("a long query still reads it");
    }
    drop(pin);
    bench.wait_clean().await;
    assert_eq!(bench.seen().await, bench.published);
    stop(context).await;
    stop(querying).await;
}
