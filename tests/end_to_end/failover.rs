//! Three ingesters: `kill -9` of a leader under load loses nothing that was acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::harness::{LocalCluster, Remote, Sample, Series, now_ms, series, until};

/// Writers, each with series of its own and one request under way.
const WRITERS: usize = 4;
/// Series of one writer; enough that each writer reaches every shard.
const SERIES: usize = 25;
/// Requests that must be acknowledged between two events of the test.
const REQUESTS_BETWEEN: u64 = 60;

/// The pause before a refused request is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// What all writers share.
struct Load {
    remotes: Vec<Remote>,
    stop: AtomicBool,
    acknowledged: AtomicU64,
    start_ms: i64,
}

/// Returns the samples of one request: one sample of each of the writer's series, whose value says who wrote it and when.
fn request(load: &Load, writer: usize, step: i64) -> Vec<Series> {
    let sample = |index: usize| {
        (load.start_ms + step * 100, (writer * 1_000_000 + index * 10_000) as f64 + step as f64)
    };
    let one = |index: usize| {
        let labels = [("index", index.to_string()), ("writer", writer.to_string())];
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        series("load", &labels, vec![sample(index)])
    };
    (0..SERIES).map(one).collect()
}

/// Writes step after step until told to stop; returns how many steps were acknowledged. A step that failed is sent again,
/// to another ingester, until it is acknowledged.
async fn write(load: Arc<Load>, writer: usize) -> i64 {
    let mut step = 0;
    let mut turn = writer;
    while !load.stop.load(Ordering::Relaxed) {
        let request = request(&load, writer, step);
        // How long this takes is bounded by whoever waits for acknowledgements.
        while let Err(refusal) = load.remotes[turn % load.remotes.len()].write(&request).await {
            assert!(!refusal.starts_with("400"), "nothing is wrong with this request: {refusal}");
            turn += 1;
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        load.acknowledged.fetch_add(1, Ordering::Relaxed);
        step += 1;
    }
    step
}

/// Waits until as many requests more were acknowledged.
async fn more(load: &Load) {
    let goal = load.acknowledged.load(Ordering::Relaxed) + REQUESTS_BETWEEN;
    until("acknowledged requests", async || {
        let now = load.acknowledged.load(Ordering::Relaxed);
        if now >= goal { Ok(()) } else { Err(format!("{now} of {goal}")) }
    })
    .await;
}

/// Checks that the cluster answers exactly what was acknowledged: every sample, each value, nothing else.
async fn check(cluster: &LocalCluster, load: &Load, steps: &[i64]) {
    let last = load.start_ms + steps.iter().max().copied().unwrap_or(0) * 100;
    let found = until("an answer", async || cluster.api().raw("load[1h]", last + 1).await).await;
    let mut by_series: BTreeMap<(usize, usize), Vec<Sample>> = BTreeMap::new();
    for (labels, samples) in found {
        let number = |name: &str| labels[name].parse::<usize>().expect("a number");
        by_series.insert((number("writer"), number("index")), samples);
    }
    assert_eq!(by_series.len(), WRITERS * SERIES);
    for (writer, steps) in steps.iter().enumerate() {
        let mut expected: BTreeMap<usize, Vec<Sample>> = BTreeMap::new();
        for step in 0..*steps {
            for (index, series) in request(load, writer, step).into_iter().enumerate() {
                expected.entry(index).or_default().extend(series.samples);
            }
        }
        for (index, samples) in expected {
            assert_eq!(by_series[&(writer, index)], samples, "writer {writer}, series {index}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_leaders_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("empty.yml"), "scrape_configs: []\n").expect("a file");
    let config = format!("--config.file={}", dir.path().join("empty.yml").display());
    let mut cluster = LocalCluster::start(dir.path(), &[config]).await;
    let names = ["ingester-0", "ingester-1", "ingester-2"];
    let load = Arc::new(Load {
        remotes: names.iter().map(|name| cluster.remote(name)).collect(),
        stop: AtomicBool::new(false),
        acknowledged: AtomicU64::new(0),
        start_ms: now_ms() - 1_200_000,
    });
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let load = load.clone();
        writers.spawn(async move { (writer, write(load, writer).await) });
    }
    for _round in 0..2 {
        more(&load).await;
        let leader = cluster.leader("ingester-0").await;
        cluster.kill(&leader).await;
        more(&load).await;
        cluster.start_again(&leader).await;
    }
    more(&load).await;
    load.stop.store(true, Ordering::Relaxed);
    let mut steps = vec![0; WRITERS];
    while let Some(ended) = writers.join_next().await {
        let (writer, count) = ended.expect("a writer does not fail");
        steps[writer] = count;
    }
    check(&cluster, &load, &steps).await;
    // All at once, and again from the disks.
    for name in names {
        cluster.kill(name).await;
    }
    for name in names {
        cluster.begin_again(name);
    }
    for name in names {
        cluster.wait_again(name).await;
    }
    check(&cluster, &load, &steps).await;
}
