//! A gateway asked through its gRPC client, over objects in memory.

use std::collections::BTreeMap;
use std::path::Path;

use block::{BlockInput, BlockSpec, BuiltBlock};
use cluster::{ClusterSettings, Command, Fence, Response, Role};
use model::{
    BlockId, BlockMeta, BlockRange, Epoch, LabelSet, MetricMetadata, MetricType, NodeId, Samples, ShardId,
    SortKey,
};
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, path::Path as ObjectPath};
use prometheus_client::metrics::counter::Counter;
use proto::connect::{Channel, Connector};
use proto::store::scope::Of;
use proto::store::store_client::StoreClient;
use proto::store::{BlockScope, LabelsRequest, Matcher, Scope, SelectRequest, Selector, ShardScope};
use tonic::{Code, Status};

use super::*;

mod requests;

use crate::metrics::{DamageLabel, ResultLabel};

const HOUR_MS: i64 = 3_600_000;
const STEP_MS: i64 = 15_000;

/// One gateway with its catalogue, its objects and a client.
struct Bench {
    gateway: Gateway,
    catalogue: watch::Sender<Arc<ControlState>>,
    objects: Arc<dyn ObjectStore>,
    metrics: GatewayMetrics,
    client: StoreClient<Channel>,
}

/// The name of the gateway that is tested.
const OWN: &str = "own";

fn engine() -> Engine {
    Engine::new(promql::EngineConfig::default())
}

fn labels(metric: &str, pod: usize) -> LabelSet {
    LabelSet::from_pairs([("__name__", metric.to_owned()), ("pod", format!("pod-{pod:03}"))])
}

/// Values without a pattern, so that blocks have some size.
fn value(pod: usize, time: i64) -> f64 {
    let bits = (pod as u64 ^ (time as u64) << 16).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    f64::from_bits(bits >> 2 | 1 << 60)
}

fn samples(pod: usize, range: BlockRange) -> Vec<(i64, f64)> {
    let times = (range.start.0..range.end.0).step_by(STEP_MS as usize);
    times.map(|time| (time, value(pod, time))).collect()
}

/// A block of one hour with one metric and so many pods.
fn block_of(hour: i64, metric: &str, pods: usize) -> BuiltBlock {
    let range = BlockRange::new(hour * HOUR_MS, (hour + 1) * HOUR_MS);
    let spec = BlockSpec {
        id: BlockId((range.end.0 as u128) << 80 | 7),
        // Of several shards, so that several gateways own some.
        shard: ShardId(1 + hour as u32 % 8),
        range,
        level: 0,
        cut_index: 1,
        parents: Vec::new(),
        resolution_ms: 0,
        sort_range: model::SortRange::ALL,
        external_labels: BTreeMap::new(),
        metadata: vec![MetricMetadata {
            family: metric.to_owned(),
            metric_type: MetricType::Gauge,
            ..Default::default()
        }],
    };
    let series: Vec<(LabelSet, Samples)> = (0..pods)
        .map(|pod| {
            let mut all = Samples::default();
            samples(pod, range).into_iter().for_each(|(time_ms, value)| all.push(time_ms, value));
            (labels(metric, pod), all)
        })
        .collect();
    let inputs = series.iter().map(|(labels, samples)| BlockInput { labels, samples });
    block::build(&spec, inputs).expect("valid input")
}

impl Bench {
    async fn new(config: GatewayConfig) -> Self {
        Self::over(config, Arc::new(InMemory::new()), Arc::default()).await
    }

    /// Another gateway over the same objects and catalogue, as after a restart.
    async fn restarted(&self, config: GatewayConfig) -> Self {
        Self::over(config, Arc::clone(&self.objects), self.catalogue.borrow().clone()).await
    }

    async fn over(config: GatewayConfig, objects: Arc<dyn ObjectStore>, state: Arc<ControlState>) -> Self {
        Self::with_engine(config, objects, state, engine()).await
    }

    async fn with_engine(
        config: GatewayConfig,
        objects: Arc<dyn ObjectStore>,
        state: Arc<ControlState>,
        engine: Engine,
    ) -> Self {
        let (catalogue, receiver) = watch::channel(state);
        let store = Arc::clone(&objects);
        let gateway =
            Gateway::over(config, &Context::new("gateway"), receiver, OWN.to_owned(), store, engine)
                .await
                .expect("valid");
        gateway.service.blocks.cache_dir().iter().for_each(|cache| cache.take_over());
        let connector = Connector::default();
        connector.serve_in_process("gateway:1", gateway.grpc_routes());
        let client = StoreClient::new(connector.channel("gateway:1").expect("an address"));
        let client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        Self { catalogue, objects, metrics: gateway.service.metrics.clone(), client, gateway }
    }

    async fn publish(&self, built: &BuiltBlock) {
        block::upload(&*self.objects, built).await.expect("memory");
        self.add_to_catalogue(&built.meta);
    }

    fn apply(&self, command: Command) -> Response {
        let mut next = ControlState::clone(&self.catalogue.borrow());
        let response = next.apply(command);
        self.catalogue.send_replace(Arc::new(next));
        response
    }

    fn add_to_catalogue(&self, meta: &BlockMeta) {
        assert_eq!(self.apply(Command::PublishBlock { meta: Box::new(meta.clone()) }), Response::Done);
    }

    fn found(&self) {
        let settings = ClusterSettings {
            name: "test".into(),
            uuid: String::new(),
            external_labels: BTreeMap::new(),
            block_duration_ms: HOUR_MS,
            out_of_order_window_ms: 0,
            shards: 1,
            replicas: 1,
            exemplars_max: 0,
        };
        assert_eq!(self.apply(Command::Establish { settings, ingesters: vec![] }), Response::Done);
    }

    fn join(&self, role: Role, name: &str) -> (NodeId, Epoch) {
        let join = Command::Join {
            name: name.to_owned(),
            role,
            zone: String::new(),
            grpc_address: String::new(),
            http_address: String::new(),
            disk_id: String::new(),
        };
        let Response::Joined { node, epoch } = self.apply(join) else { panic!("the cluster is founded") };
        (node, epoch)
    }

    /// Tombstones a block as a compactor does: under a lease.
    fn tombstone(&self, meta: &BlockMeta) {
        self.found();
        let (node, epoch) = self.join(Role::Compactor, "c1");
        let lease = "retention".to_owned();
        let acquire = Command::AcquireLease { lease: lease.clone(), node, member_epoch: epoch };
        let Response::Leased { epoch } = self.apply(acquire) else { panic!("nobody else holds it") };
        let fence = Fence { lease, epoch };
        let ids = vec![meta.id];
        let tombstone = Command::TombstoneBlocks { ids, at_ms: 1, reason: "retention".into(), fence };
        assert_eq!(self.apply(tombstone), Response::Done);
    }

    /// Selects, decodes, and tells the sizes of the frames.
    async fn select(
        &self,
        request: SelectRequest,
    ) -> Result<(BTreeMap<LabelSet, Vec<(i64, f64)>>, Vec<usize>), Status> {
        let mut frames = self.client.clone().select(request).await?.into_inner();
        let (mut answer, mut sizes, mut last) = (BTreeMap::new(), Vec::new(), None);
        while let Some(frame) = frames.message().await? {
            sizes.push(frame.data.len());
            for (labels, chunks) in
                proto::frame::read_frame(frame, |chunk| chunk.data).expect("columns that fit")
            {
                let labels = LabelSet::from_bytes(&labels).expect("a label set");
                assert!(last < Some(labels.clone()), "series come in label order, each once");
                last = Some(labels.clone());
                let mut samples = Samples::default();
                for chunk in &chunks {
                    chunk::decode(chunk, &mut samples).expect("whole");
                }
                answer.insert(labels, samples.timestamps.into_iter().zip(samples.floats).collect());
            }
        }
        Ok((answer, sizes))
    }

    fn store_reads(&self) -> u64 {
        self.metrics.store.reads.get_or_create(&ResultLabel { result: "ok" }).get()
    }

    /// How many reads memory and disk answered, and how many neither did.
    fn cache_reads(&self) -> [u64; 3] {
        let CacheMetrics { memory_hits, disk_hits, misses, .. } = &self.metrics.cache;
        [memory_hits, disk_hits, misses].map(Counter::get)
    }
}

fn scope(metas: &[&BlockMeta], version: u64) -> Option<Scope> {
    let ids = metas.iter().map(|meta| meta.id.to_string()).collect();
    Some(Scope { catalogue_version: version, of: Some(Of::Blocks(BlockScope { ids })) })
}

fn select_all(metas: &[&BlockMeta]) -> SelectRequest {
    SelectRequest { scope: scope(metas, 0), start_ms: 0, end_ms: 100 * HOUR_MS, ..Default::default() }
}

fn with_cache(dir: &Path) -> GatewayConfig {
    GatewayConfig { cache_dir: Some(dir.to_owned()), ..Default::default() }
}

/// All files below the cache directory.
fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let folders = std::fs::read_dir(dir).expect("exists").map(|entry| entry.expect("readable").path());
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).expect("a folder"));
    files.map(|entry| entry.expect("readable").path()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn blocks_are_merged_in_label_order_and_sent_in_bounded_frames() {
    let bench = Bench::new(GatewayConfig::default()).await;
    let (first, second) = (block_of(4, "a", 1500), block_of(5, "b", 3));
    bench.publish(&first).await;
    bench.publish(&second).await;
    let (answer, sizes) = bench.select(select_all(&[&second.meta, &first.meta])).await.expect("healthy");
    let of = |metric: &str, pods: usize, range| {
        (0..pods).map(|pod| (labels(metric, pod), samples(pod, range))).collect::<BTreeMap<_, _>>()
    };
    let mut expected = of("a", 1500, first.meta.range);
    expected.extend(of("b", 3, second.meta.range));
    assert!(answer == expected);
    assert!(sizes.len() > 1, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size < 1 << 21), "{sizes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_series_of_two_blocks_has_the_chunks_of_both_in_time_order() {
    let bench = Bench::new(GatewayConfig::default()).await;
    let (early, late) = (block_of(4, "a", 3), block_of(5, "a", 2));
    bench.publish(&early).await;
    bench.publish(&late).await;
    let pod = Matcher { name: "pod".into(), value: "pod-001".into(), ..Default::default() };
    let request = SelectRequest { matchers: vec![pod], ..select_all(&[&late.meta, &early.meta]) };
    let (answer, _) = bench.select(request.clone()).await.expect("healthy");
    let range = BlockRange::new(4 * HOUR_MS, 6 * HOUR_MS);
    assert!(answer == BTreeMap::from([(labels("a", 1), samples(1, range))]));
    let (answer, _) =
        bench.select(SelectRequest { end_ms: 5 * HOUR_MS - 1, ..request }).await.expect("healthy");
    assert!(answer == BTreeMap::from([(labels("a", 1), samples(1, early.meta.range))]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_part_of_a_split_that_cannot_hold_the_metric_costs_no_request() {
    let bench = Bench::new(GatewayConfig::default()).await;
    let key = |metric: &str| Some(SortKey { metric: metric.to_owned(), hash: 0 });
    let (mut low, mut high) = (block_of(4, "a", 3), block_of(5, "x", 2));
    (low.meta.sort_range.end, high.meta.sort_range.start) = (key("m"), key("m"));
    bench.publish(&low).await;
    bench.publish(&high).await;
    let request = |metric: &str| {
        let name = Matcher { name: "__name__".into(), value: metric.into(), ..Default::default() };
        SelectRequest { matchers: vec![name], ..select_all(&[&low.meta, &high.meta]) }
    };
    let (answer, _) = bench.select(request("a")).await.expect("healthy");
    assert_eq!((answer.len(), bench.store_reads()), (3, 3), "both objects of one block, and a page");
    let selectors = vec![Selector { matchers: request("x").matchers }];
    let names = LabelsRequest {
        scope: scope(&[&low.meta, &high.meta], 0),
        selectors,
        name: "pod".into(),
        ..Default::default()
    };
    let names = LabelsRequest { start_ms: 0, end_ms: 100 * HOUR_MS, ..names };
    let names = bench.client.clone().label_values(names).await.expect("healthy").into_inner().values;
    assert_eq!((names.len(), bench.store_reads()), (2, 5), "the index of the other");
    bench.select(request("zz")).await.expect("healthy");
    assert_eq!(bench.store_reads(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn label_requests_answer_the_union_of_the_blocks() {
    let bench = Bench::new(GatewayConfig::default()).await;
    let (early, late) = (block_of(4, "a", 3), block_of(5, "b", 4));
    bench.publish(&early).await;
    bench.publish(&late).await;
    let all = LabelsRequest {
        scope: scope(&[&early.meta, &late.meta], 0),
        start_ms: 0,
        end_ms: 100 * HOUR_MS,
        name: "pod".into(),
        ..Default::default()
    };
    let mut client = bench.client.clone();
    let names = client.label_names(all.clone()).await.expect("healthy").into_inner().values;
    assert_eq!(names, ["__name__", "pod"]);
    let values = client.label_values(all.clone()).await.expect("healthy").into_inner().values;
    assert_eq!(values, ["pod-000", "pod-001", "pod-002", "pod-003"]);
    let first_two = LabelsRequest { limit: 2, ..all.clone() };
    let values = client.label_values(first_two.clone()).await.expect("healthy").into_inner().values;
    assert_eq!(values, ["pod-000", "pod-001"]);
    let is_b = Matcher { name: "__name__".into(), value: "b".into(), ..Default::default() };
    let of_b = LabelsRequest { selectors: vec![Selector { matchers: vec![is_b] }], ..first_two };
    let sets = client.series(of_b).await.expect("healthy").into_inner().labels;
    let sets: Vec<LabelSet> =
        sets.iter().map(|set| LabelSet::from_bytes(set).expect("a label set")).collect();
    assert_eq!(sets, [labels("b", 0), labels("b", 1)]);
    let only_early = LabelsRequest { end_ms: 5 * HOUR_MS - 1, ..all.clone() };
    let values = client.label_values(only_early).await.expect("healthy").into_inner().values;
    assert_eq!(values, ["pod-000", "pod-001", "pod-002"]);
}

#[tokio::test(start_paused = true)]
async fn requests_that_cannot_be_answered_say_why() {
    let bench = Bench::new(GatewayConfig::default()).await;
    let built = block_of(4, "a", 3);
    let check = async |request: SelectRequest, code: Code, word: &str| {
        let error = bench.select(request).await.expect_err(word);
        assert_eq!(error.code(), code, "{error:?}");
        assert!(error.message().contains(word), "{} should name {word}", error.message());
    };
    check(select_all(&[&built.meta]), Code::NotFound, &built.meta.id.to_string()).await;
    let ahead = SelectRequest { scope: scope(&[&built.meta], 9), ..Default::default() };
    check(ahead, Code::Unavailable, "version 0, the query's 9").await;
    check(SelectRequest::default(), Code::InvalidArgument, "names none").await;
    let shard = Scope { catalogue_version: 0, of: Some(Of::Shard(ShardScope { shard: 1, from_ms: 0 })) };
    check(SelectRequest { scope: Some(shard), ..Default::default() }, Code::InvalidArgument, "names none")
        .await;
    let id = Scope { catalogue_version: 0, of: Some(Of::Blocks(BlockScope { ids: vec!["x".into()] })) };
    check(SelectRequest { scope: Some(id), ..Default::default() }, Code::InvalidArgument, "\"x\"").await;
    let pattern = Matcher { op: 2, name: "pod".into(), value: "(".into() };
    let request = SelectRequest { matchers: vec![pattern], ..select_all(&[&built.meta]) };
    check(request, Code::InvalidArgument, "error parsing regexp").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn deleted_samples_are_left_out_at_once() {
    let bench = Bench::new(GatewayConfig::default()).await;
    let (early, late) = (block_of(4, "a", 3), block_of(5, "a", 3));
    bench.publish(&early).await;
    bench.publish(&late).await;
    let matcher = |value: &str| cluster::MatcherText {
        name: "pod".into(),
        op: "=~".into(),
        value: format!("pod-{value}"),
    };
    let delete = |id: u128, pod: &str, start_ms: i64, end_ms: i64| {
        let selectors = vec![vec![matcher(pod)]];
        let order = cluster::DeleteOrder { id: cluster::DeleteId(id), selectors, start_ms, end_ms };
        bench.apply(Command::RequestDelete { order, shards: Vec::new(), at_ms: 1 })
    };
    let half = 5 * HOUR_MS - HOUR_MS / 2;
    assert_eq!(delete(1, "001", half, 5 * HOUR_MS + 1), Response::Done);
    assert_eq!(delete(2, "00[02]", 0, 5 * HOUR_MS - 1), Response::Done);
    let version = bench.catalogue.borrow().version;
    let request = select_all(&[&late.meta, &early.meta]);
    let request = SelectRequest { scope: scope(&[&late.meta, &early.meta], version), ..request };
    let (answer, _) = bench.select(request.clone()).await.expect("healthy");
    let range = BlockRange::new(4 * HOUR_MS, 6 * HOUR_MS);
    let keep = |pod: usize, time_ms: i64| match pod {
        1 => !(half..=5 * HOUR_MS + 1).contains(&time_ms),
        _ => time_ms >= 5 * HOUR_MS,
    };
    let left = |pod: usize| samples(pod, range).into_iter().filter(|(time, _)| keep(pod, *time)).collect();
    let expected: BTreeMap<_, Vec<_>> = (0..3).map(|pod| (labels("a", pod), left(pod))).collect();
    assert!(answer == expected);
    let behind = SelectRequest { start_ms: 5 * HOUR_MS + 2, ..request.clone() };
    let (answer, _) = bench.select(behind).await.expect("healthy");
    let visible = answer[&labels("a", 1)].first().map(|(time_ms, _)| *time_ms);
    assert_eq!(visible, Some(5 * HOUR_MS + STEP_MS), "chunks reach beyond the range, deletes too");
    let listed = LabelsRequest { scope: request.scope, end_ms: 5 * HOUR_MS - 1, ..Default::default() };
    let sets = bench.client.clone().series(listed).await.expect("healthy").into_inner().labels;
    assert_eq!(sets, [labels("a", 1).as_bytes().to_vec()], "of the others nothing is left in this range");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_query_of_a_newer_catalogue_waits_for_it() {
    let bench = Bench::new(GatewayConfig::default()).await;
    let built = block_of(4, "a", 3);
    block::upload(&*bench.objects, &built).await.expect("memory");
    let request = SelectRequest { scope: scope(&[&built.meta], 1), ..select_all(&[]) };
    let (answer, ()) = tokio::join!(bench.select(request), async {
        tokio::task::yield_now().await;
        bench.add_to_catalogue(&built.meta);
    });
    assert_eq!(answer.expect("arrived").0.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn limits_are_named() {
    let config = GatewayConfig { select_bytes_max: 5_000, ..Default::default() };
    let bench = Bench::new(config).await;
    let (early, late) = (block_of(4, "a", 3), block_of(5, "b", 3));
    bench.publish(&early).await;
    bench.publish(&late).await;
    let both = select_all(&[&early.meta, &late.meta]);
    for (limit, word) in [(2, "more than 2"), (5, "more than 5"), (6, "more than 5000 bytes")] {
        let error =
            bench.select(SelectRequest { series_limit: limit, ..both.clone() }).await.expect_err(word);
        assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
        assert!(error.message().contains(word), "{}", error.message());
    }
    let config = GatewayConfig { selects_in_flight_max: 0, ..Default::default() };
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let receiver = watch::channel(Arc::default()).1;
    let built =
        Gateway::over(config, &Context::new("gateway"), receiver, OWN.to_owned(), store, engine()).await;
    assert!(matches!(built.err(), Some(GatewayError::ZeroLimit { key: "selects_in_flight_max" })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn selects_share_the_memory_of_the_process() {
    let bench = Bench::new(GatewayConfig::default()).await;
    let built = block_of(4, "a", 50);
    bench.publish(&built).await;
    let (answer, _) = bench.select(select_all(&[&built.meta])).await.expect("healthy");
    assert_eq!(bench.gateway.service.engine.memory().used(), 0, "given back with the last frame");

    let total = built.meta.chunks_object.size_bytes * 3 / 2;
    let config = promql::EngineConfig { memory_bytes_total_max: total, ..Default::default() };
    let (objects, state) = (Arc::clone(&bench.objects), bench.catalogue.borrow().clone());
    let small = Bench::with_engine(GatewayConfig::default(), objects, state, Engine::new(config)).await;
    let pool = Arc::clone(small.gateway.service.engine.memory());
    let other = pool.query(u64::MAX).reserve(total / 2).expect("there is room");
    let error = small.select(select_all(&[&built.meta])).await.expect_err("no room for both");
    assert_eq!(error.code(), Code::Unavailable, "{error:?}");
    assert!(error.message().contains("--query.max-total-memory-bytes"), "{}", error.message());
    assert_eq!(pool.used(), other.bytes());
    drop(other);
    assert!(small.select(select_all(&[&built.meta])).await.expect("alone").0 == answer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_cache_survives_a_restart_and_heals_when_damaged() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bench = Bench::new(with_cache(dir.path())).await;
    let built = block_of(4, "a", 50);
    bench.publish(&built).await;
    let (expected, _) = bench.select(select_all(&[&built.meta])).await.expect("healthy");
    assert_eq!(expected.len(), 50);
    let [0, 0, missed] = bench.cache_reads() else { panic!("{:?}", bench.cache_reads()) };
    let pages = missed - 2;
    assert!(pages > 1, "{pages} pages");
    assert_eq!(bench.store_reads(), 3, "the pages lie together");
    assert_eq!(files(dir.path()).len(), 2, "pages are not kept before their second use");
    for more in [1, 2] {
        let (again, _) = bench.select(select_all(&[&built.meta])).await.expect("healthy");
        assert!(again == expected);
        assert_eq!((bench.store_reads(), bench.cache_reads()), (3, [more * pages, 0, missed]));
        assert_eq!(files(dir.path()).len() as u64, missed);
    }

    let restarted = bench.restarted(with_cache(dir.path())).await;
    assert_eq!(restarted.metrics.cache.entries.get() as u64, missed);
    let (again, _) = restarted.select(select_all(&[&built.meta])).await.expect("healthy");
    assert!(again == expected);
    assert_eq!((restarted.store_reads(), restarted.cache_reads()), (0, [0, missed, 0]));

    for file in files(dir.path()) {
        let mut bytes = std::fs::read(&file).expect("readable");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).expect("writable");
    }
    let healed = bench.restarted(with_cache(dir.path())).await;
    let (again, _) = healed.select(select_all(&[&built.meta])).await.expect("fetched anew");
    assert!(again == expected);
    assert_eq!((healed.store_reads(), healed.cache_reads()), (3, [0, 0, missed]));
    assert_eq!(healed.metrics.cache.corrupt.get(), missed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn only_pages_that_are_missing_are_read() {
    let bench = Bench::new(GatewayConfig::default()).await;
    let built = block_of(4, "a", 200);
    bench.publish(&built).await;
    let request = |pods: &str| {
        let pod = Matcher { op: 2, name: "pod".into(), value: pods.into() };
        SelectRequest { matchers: vec![pod], ..select_all(&[&built.meta]) }
    };
    let (some, _) = bench.select(request("pod-0[89].")).await.expect("healthy");
    let read = || bench.metrics.store.bytes.get();
    let (opened_and_some, reads) = (read(), bench.store_reads());
    assert_eq!((some.len(), reads), (20, 3));
    let (all, _) = bench.select(request(".+")).await.expect("healthy");
    assert_eq!((all.len(), bench.store_reads()), (200, reads + 1), "what is missing lies together");
    let (again, _) = bench.select(request("pod-0[89].")).await.expect("healthy");
    assert!(
        again == some && all.len() == 200 && some.iter().all(|(labels, samples)| all[labels] == *samples)
    );
    assert_eq!(bench.store_reads(), reads + 1);
    let both = built.meta.series_object.size_bytes + built.meta.chunks_object.size_bytes;
    assert!(read() <= both + (256 << 10), "{} of {both}, at first {opened_and_some}", read());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_cache_stays_within_its_bytes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let built: Vec<BuiltBlock> = (4..9).map(|hour| block_of(hour, "a", 20)).collect();
    let size_of =
        |built: &BuiltBlock| built.meta.series_object.size_bytes + built.meta.chunks_object.size_bytes;
    let limit = size_of(&built[0]) * 2;
    let config =
        GatewayConfig { cache_size_bytes: limit, cache_memory_bytes: limit, ..with_cache(dir.path()) };
    let bench = Bench::new(config).await;
    for built in &built {
        bench.publish(built).await;
        for _ in 0..2 {
            assert_eq!(bench.select(select_all(&[&built.meta])).await.expect("healthy").0.len(), 20);
        }
    }
    let on_disk = || files(dir.path()).iter().map(|file| file.metadata().expect("there").len()).sum::<u64>();
    assert_eq!(on_disk(), bench.metrics.cache.bytes.get() as u64);
    assert!(on_disk() <= limit && on_disk() > limit / 4, "{} of {limit}", on_disk());
    assert!(bench.metrics.cache.evictions.get() > 0);
    let in_memory = bench.metrics.cache.memory_bytes.get() as u64;
    assert!(in_memory <= limit && in_memory > limit / 4, "{in_memory} of {limit}");

    let config = GatewayConfig { cache_size_bytes: limit / 4, ..with_cache(dir.path()) };
    let smaller = bench.restarted(config).await;
    assert_eq!(on_disk(), smaller.metrics.cache.bytes.get() as u64);
    assert!(on_disk() <= limit / 4, "{} of {limit}", on_disk());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_cache_that_cannot_be_used_costs_only_speed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("file");
    std::fs::write(&file, "in the way").expect("writable");
    let bench = Bench::new(with_cache(&file.join("cache"))).await;
    let built = block_of(4, "a", 5);
    bench.publish(&built).await;
    assert_eq!(bench.select(select_all(&[&built.meta])).await.expect("served without it").0.len(), 5);
    assert_eq!(bench.metrics.cache.write_failures.get(), 1);

    // Breaks while in use.
    let cache = dir.path().join("cache");
    let bench = bench.restarted(with_cache(&cache)).await;
    std::fs::remove_dir_all(&cache).expect("there");
    std::fs::write(&cache, "in the way").expect("writable");
    for _ in 0..2 {
        assert_eq!(bench.select(select_all(&[&built.meta])).await.expect("served without it").0.len(), 5);
    }
    assert_eq!(bench.metrics.cache.write_failures.get(), 3, "both reads of opening, and the page");
    assert_eq!(bench.metrics.cache.entries.get(), 0);
    assert!(bench.metrics.cache.memory_bytes.get() > 0, "memory goes on");
}

/// Returns bytes with one bit flipped.
fn flipped(bytes: &[u8], position: usize) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    damaged[position] ^= 1;
    damaged
}

impl Bench {
    async fn overwrite(&self, key: &str, bytes: Vec<u8>) {
        self.objects.put(&ObjectPath::from(key), bytes.into()).await.expect("memory");
    }

    fn damage_found(&self, file: &'static str, part: &'static str) -> u64 {
        self.metrics.damage.found.get_or_create(&DamageLabel { file, part }).get()
    }

    async fn recheck(&self) {
        crate::quarantine::recheck(&self.gateway.service.blocks).await;
    }
}

fn select_pod(meta: &BlockMeta, pod: &str) -> SelectRequest {
    let pod = Matcher { name: "pod".into(), value: pod.into(), ..Default::default() };
    SelectRequest { matchers: vec![pod], ..select_all(&[meta]) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_damaged_page_fails_only_the_queries_that_need_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bench = Bench::new(with_cache(dir.path())).await;
    let (good, bad) = (block_of(4, "a", 5), block_of(5, "a", 100));
    bench.publish(&good).await;
    bench.publish(&bad).await;
    let key = &bad.meta.chunks_object.key;
    bench.overwrite(key, flipped(&bad.chunks_bytes, 100)).await;
    for request in [select_all(&[&good.meta, &bad.meta]), select_pod(&bad.meta, "pod-000")] {
        let error = bench.select(request).await.expect_err("damaged");
        assert_eq!(error.code(), Code::DataLoss);
        assert!(error.message().contains(&format!("{key} is corrupt: column c0, rows 0 to ")), "{error:?}");
    }
    assert_eq!(bench.select(select_all(&[&good.meta])).await.expect("healthy").0.len(), 5);
    assert_eq!(bench.select(select_pod(&bad.meta, "pod-099")).await.expect("another page").0.len(), 1);
    assert_eq!((bench.damage_found("chunks", "page"), bench.metrics.damage.blocks.get()), (2, 1));
    bench.recheck().await;
    assert_eq!(bench.metrics.damage.blocks.get(), 1, "still damaged");
    bench.overwrite(key, bad.chunks_bytes.to_vec()).await;
    assert_eq!(bench.select(select_all(&[&bad.meta])).await.expect("repaired").0.len(), 100);
    bench.recheck().await;
    assert_eq!((bench.damage_found("chunks", "page"), bench.metrics.damage.blocks.get()), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_damaged_index_or_footer_fails_its_block_alone_and_is_not_read_again_by_each_query() {
    let bench = Bench::new(GatewayConfig::default()).await;
    let (good, index, footer) = (block_of(4, "a", 5), block_of(5, "a", 5), block_of(6, "a", 5));
    for built in [&good, &index, &footer] {
        bench.publish(built).await;
    }
    let footer_at = footer.chunks_bytes.len() - 20;
    bench.overwrite(&index.meta.series_object.key, flipped(&index.series_bytes, 200)).await;
    bench.overwrite(&footer.meta.chunks_object.key, flipped(&footer.chunks_bytes, footer_at)).await;
    for (meta, word) in [(&index.meta, "series.parquet is corrupt"), (&footer.meta, "is corrupt: footer")] {
        let error = bench.select(select_all(&[&good.meta, meta])).await.expect_err("damaged");
        assert_eq!(error.code(), Code::DataLoss);
        assert!(error.message().contains(word), "{error:?}");
        let reads = bench.store_reads();
        let again = bench.select(select_pod(meta, "pod-001")).await.expect_err("damaged");
        assert_eq!((again.message(), bench.store_reads()), (error.message(), reads));
    }
    assert_eq!(bench.select(select_all(&[&good.meta])).await.expect("healthy").0.len(), 5);
    assert_eq!((bench.damage_found("series", "object"), bench.damage_found("chunks", "footer")), (1, 1));
    assert_eq!(bench.metrics.damage.blocks.get(), 2);
    bench.overwrite(&index.meta.series_object.key, index.series_bytes.to_vec()).await;
    bench.recheck().await;
    assert_eq!(bench.metrics.damage.blocks.get(), 1);
    assert_eq!(bench.select(select_all(&[&index.meta])).await.expect("repaired").0.len(), 5);
    bench.tombstone(&footer.meta);
    bench.recheck().await;
    assert_eq!(bench.metrics.damage.blocks.get(), 0, "nobody is to read it any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_block_whose_objects_are_gone_is_damage_or_a_conflict() {
    let bench = Bench::new(GatewayConfig::default()).await;
    let built = block_of(4, "a", 5);
    bench.add_to_catalogue(&built.meta);
    let error = bench.select(select_all(&[&built.meta])).await.expect_err("never uploaded");
    assert_eq!(error.code(), Code::DataLoss, "{error:?}");
    assert_eq!((bench.damage_found("series", "object"), bench.metrics.damage.blocks.get()), (1, 1));
    bench.tombstone(&built.meta);
    let error = bench.select(select_all(&[&built.meta])).await.expect_err("deleted meanwhile");
    assert_eq!(error.code(), Code::Aborted, "{error:?}");
    assert!(error.message().contains(&built.meta.id.to_string()), "{}", error.message());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_object_that_went_while_its_block_was_open_is_damage_until_it_is_back() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bench = Bench::new(with_cache(dir.path())).await;
    let built = block_of(4, "a", 100);
    bench.publish(&built).await;
    assert_eq!(bench.select(select_pod(&built.meta, "pod-000")).await.expect("healthy").0.len(), 1);
    let key = &built.meta.chunks_object.key;
    bench.objects.delete(&ObjectPath::from(key.as_str())).await.expect("memory");
    let error = bench.select(select_pod(&built.meta, "pod-099")).await.expect_err("gone");
    assert_eq!(error.code(), Code::DataLoss, "{error:?}");
    bench.recheck().await;
    assert_eq!(bench.metrics.damage.blocks.get(), 1, "what is open and cached does not hide it");
    bench.overwrite(key, built.chunks_bytes.to_vec()).await;
    bench.recheck().await;
    assert_eq!(bench.metrics.damage.blocks.get(), 0);
    assert_eq!(bench.select(select_pod(&built.meta, "pod-099")).await.expect("repaired").0.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn equal_queries_at_the_same_time_read_once() {
    let bench = Bench::new(GatewayConfig::default()).await;
    let built = block_of(4, "a", 5);
    bench.publish(&built).await;
    let queries = (0..8).map(|_| bench.select(select_all(&[&built.meta])));
    for result in futures::future::join_all(queries).await {
        assert_eq!(result.expect("healthy").0.len(), 5);
    }
    let opens = bench.metrics.blocks.opens.get_or_create(&ResultLabel { result: "ok" }).get();
    assert_eq!(opens, 1);
    assert_eq!(bench.metrics.blocks.open.get(), 1);
    assert_eq!(bench.metrics.selects_in_flight.get(), 0);
}

#[tokio::test]
async fn blocks_published_while_it_runs_are_opened_ahead_by_their_owner() {
    let bench = Bench::new(GatewayConfig { replicas: 1, ..GatewayConfig::default() }).await;
    bench.found();
    assert_eq!(bench.join(Role::Gateway, OWN).0, NodeId(1));
    assert_eq!(bench.join(Role::Gateway, "other").0, NodeId(2));
    let built: Vec<BuiltBlock> = (4..24).map(|hour| block_of(hour, "a", 1)).collect();
    let (before, after) = built.split_at(4);
    for built in before {
        bench.publish(built).await;
    }
    bench.gateway.start();
    // There is one thread: the worker takes in the present state and waits for the next before this goes on.
    tokio::task::yield_now().await;
    let owned = |built: &&BuiltBlock| {
        cluster::rendezvous::of_shard(built.meta.shard, [1, 2].map(NodeId))[0] == NodeId(1)
    };
    for built in after {
        bench.publish(built).await;
    }
    let expected = after.iter().filter(owned).count();
    assert!((1..after.len()).contains(&expected), "both own some");
    let opened = || bench.metrics.blocks.open.get() as usize;
    while opened() < expected {
        tokio::task::yield_now().await;
    }
    assert_eq!(opened(), expected);
    assert_eq!(bench.gateway.context.stop(std::time::Duration::from_secs(60)).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_published_before_is_fetched_within_a_part_of_the_cache_newest_first() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let built: Vec<BuiltBlock> = (4..24).map(|hour| block_of(hour, "a", 1)).collect();
    let bytes_of =
        |built: &BuiltBlock| built.meta.series_object.size_bytes + built.meta.chunks_object.tail_bytes;
    // Half of the cache is for seven of them.
    let config = GatewayConfig {
        cache_size_bytes: built[13..].iter().map(bytes_of).sum::<u64>() * 2,
        ..with_cache(dir.path())
    };
    let bench = Bench::new(config).await;
    bench.found();
    bench.join(Role::Gateway, OWN);
    for built in &built {
        bench.publish(built).await;
    }
    bench.gateway.start();
    while bench.store_reads() < 14 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.gateway.context.stop(std::time::Duration::from_secs(60)).await, [""; 0]);
    assert_eq!((bench.store_reads(), bench.metrics.blocks.open.get()), (14, 0));
    assert_eq!(bench.select(select_all(&[&built[13].meta])).await.expect("healthy").0.len(), 1);
    assert_eq!((bench.store_reads(), bench.cache_reads()[1]), (15, 2), "only its page is read");
}
