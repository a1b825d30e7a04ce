//! What a select costs at the object store: a real S3 protocol server counts requests and bytes.

use std::time::Duration;

use ::tests::s3::{Counters, MemS3};
use block::{BlockReader, EraseNothing, MergeOutput, ObjectStoreConfig, ObjectStoreReader, open_store};

use super::*;

const WINDOW_MS: i64 = 2 * HOUR_MS;
/// A day of blocks as they are cut.
const WINDOWS: i64 = 12;
/// Few, long samples: the bytes of a series and window are about those of real ones at 15 s.
const SAMPLE_STEP_MS: i64 = 300_000;
/// Series of the metric that is asked for.
const SERIES: usize = 2000;

fn store_of(s3: &MemS3) -> Arc<dyn ObjectStore> {
    let config = ObjectStoreConfig::from_thanos_yaml(&s3.thanos_yaml("norn")).expect("the server's own");
    open_store(&config).expect("a client")
}

/// Cuts a window of three metrics; the one in the middle has [`SERIES`], the others half as many.
fn cut(window: i64) -> BuiltBlock {
    let range = BlockRange::new(window * WINDOW_MS, (window + 1) * WINDOW_MS);
    let mut series = Vec::new();
    for (metric, count) in [("a", SERIES / 2), ("b", SERIES), ("c", SERIES / 2)] {
        for pod in 0..count {
            let mut all = Samples::default();
            let times = (range.start.0..range.end.0).step_by(SAMPLE_STEP_MS as usize);
            times.for_each(|time| all.push(time, value(pod, time)));
            series.push((labels(metric, pod), all));
        }
    }
    let spec = BlockSpec {
        id: BlockId((range.end.0 as u128) << 80 | 7),
        shard: ShardId(1),
        range,
        level: 0,
        cut_index: window as u64,
        parents: Vec::new(),
        external_labels: BTreeMap::new(),
        metadata: Vec::new(),
        resolution_ms: 0,
        sort_range: model::SortRange::ALL,
    };
    block::build(&spec, series.iter().map(|(labels, samples)| BlockInput { labels, samples })).expect("valid")
}

/// Merges a day of cut blocks and puts the result into the bucket.
async fn day(objects: &Arc<dyn ObjectStore>) -> BlockMeta {
    let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let mut readers = Vec::new();
    for window in 0..WINDOWS {
        let built = cut(window);
        block::upload(&*memory, &built).await.expect("memory");
        let reader = Arc::new(ObjectStoreReader::new(Arc::clone(&memory)));
        readers.push(BlockReader::open(reader, built.meta).await.expect("undamaged"));
    }
    let id = BlockId(((WINDOWS * WINDOW_MS) as u128) << 80 | 8);
    let output = MergeOutput { id, level: 2, sort_range: model::SortRange::ALL };
    let merged = block::merge(&output, readers, Arc::new(EraseNothing), &std::env::temp_dir()).await;
    let merged = merged.expect("undamaged");
    block::upload_merged(&**objects, &merged).await.expect("the bucket takes it");
    merged.meta
}

fn select_metric(meta: &BlockMeta, metric: &str) -> SelectRequest {
    let is_metric = Matcher { name: "__name__".into(), value: metric.into(), ..Default::default() };
    SelectRequest { matchers: vec![is_metric], ..select_all(&[meta]) }
}

impl Bench {
    /// Selects; returns how many series and how many bytes of encoded values came.
    async fn select_bytes(&self, request: SelectRequest) -> (usize, u64) {
        let mut frames = self.client.clone().select(request).await.expect("healthy").into_inner();
        let (mut series, mut bytes) = (0, 0);
        while let Some(frame) = frames.message().await.expect("healthy") {
            let read =
                proto::frame::read_frame(frame, |chunk| chunk.data.len() as u64).expect("columns that fit");
            series += read.len();
            bytes += read.iter().flat_map(|(_, chunks)| chunks).sum::<u64>();
        }
        (series, bytes)
    }
}

/// Returns the reads and their bytes between two looks at the counters; nothing else may have been asked for.
fn reads_between(before: Counters, after: Counters) -> (u64, u64) {
    let (get, bytes) = (after.get - before.get, after.bytes_out - before.bytes_out);
    assert_eq!(after, Counters { get: after.get, bytes_out: after.bytes_out, ..before }, "no HEAD, no LIST");
    (get, bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_metric_over_a_day_costs_six_requests_cold_and_four_warm() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let s3 = MemS3::start().expect("a free port");
    let objects = store_of(&s3);
    let meta = day(&objects).await;
    let bench = Bench::over(with_cache(dir.path()), objects, Arc::default()).await;
    bench.add_to_catalogue(&meta);
    // What values take in the object, their pages compressed, for each byte of them as they are sent.
    let (_, sent) = bench.restarted(GatewayConfig::default()).await.select_bytes(select_all(&[&meta])).await;
    let stored = meta.chunks_object.size_bytes - meta.chunks_object.tail_bytes;

    let check = async |what: &str, request: SelectRequest, gets_max: u64| {
        let before = s3.counters();
        let (series, bytes) = bench.select_bytes(request).await;
        let needed = bytes * stored / sent;
        let (gets, bytes) = reads_between(before, s3.counters());
        println!("{what}: {series} series, {gets} GETs, {bytes} bytes read, {needed} needed");
        assert!(gets <= gets_max && bytes <= 3 * needed, "{what}: {gets} GETs, {bytes} of {needed} bytes");
        series
    };
    let metric = |metric: &str| select_metric(&meta, metric);
    assert_eq!(check("cold", metric("b"), 6).await, SERIES);
    assert_eq!(check("opened, another metric", metric("a"), 4).await, SERIES / 2);
    assert_eq!(check("on trial in memory", metric("b"), 0).await, SERIES);
    assert_eq!(check("in memory", metric("b"), 0).await, SERIES);
    let hour = SelectRequest { start_ms: HOUR_MS, end_ms: 2 * HOUR_MS, ..metric("c") };
    assert_eq!(check("one hour", hour, 1).await, SERIES / 2);

    let restarted = bench.restarted(with_cache(dir.path())).await;
    let before = s3.counters();
    assert_eq!(restarted.select_bytes(metric("b")).await.0, SERIES);
    assert_eq!(reads_between(before, s3.counters()), (0, 0), "all of it is on the disk");
    println!("block: {} series, {} bytes", meta.series, meta.chunks_object.size_bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn equal_queries_at_the_same_time_ask_once() {
    let s3 = MemS3::start().expect("a free port");
    let built = cut(3);
    let objects = store_of(&s3);
    block::upload(&*objects, &built).await.expect("the bucket takes it");
    let bench = Bench::over(GatewayConfig::default(), objects, Arc::default()).await;
    bench.add_to_catalogue(&built.meta);
    s3.faults().delay(Duration::from_millis(100));
    let before = s3.counters();
    let queries = (0..8).map(|_| bench.select_bytes(select_metric(&built.meta, "b")));
    let answers = futures::future::join_all(queries).await;
    assert!(answers.iter().all(|answer| answer.0 == SERIES));
    assert_eq!(reads_between(before, s3.counters()).0, 3, "two to open, one of pages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_bucket_that_is_slow_and_says_so_is_asked_again() {
    let s3 = MemS3::start().expect("a free port");
    let built = cut(3);
    let objects = store_of(&s3);
    block::upload(&*objects, &built).await.expect("the bucket takes it");
    let bench = Bench::over(GatewayConfig::default(), objects, Arc::default()).await;
    bench.add_to_catalogue(&built.meta);
    s3.faults().delay(Duration::from_millis(20));
    s3.faults().slow_down_next(5);
    let before = s3.counters();
    assert_eq!(bench.select_bytes(select_metric(&built.meta, "b")).await.0, SERIES);
    let after = s3.counters();
    assert_eq!((after.slowed - before.slowed, after.get - before.get), (5, 3));

    // A bucket that is away for longer than reads are repeated: an error that says so, and the next query works.
    s3.faults().slow_down();
    let error = bench.select(select_metric(&built.meta, "c")).await.expect_err("the bucket is away");
    assert_eq!(error.code(), Code::Unavailable, "{error:?}");
    assert!(error.message().contains(&built.meta.chunks_object.key), "{}", error.message());
    s3.faults().clear();
    assert_eq!(bench.select_bytes(select_metric(&built.meta, "c")).await.0, SERIES / 2);
}
