//! Three ingesters: `kill -9` of a leader under load loses nothing that was acknowledged, while blocks are cut.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tests::s3::MemS3;
use tokio::task::JoinSet;

use crate::harness::{Api, LocalCluster, Remote, Sample, Series, now_ms, series, until};

/// Writers, each with series of its own. All send a step at once, and the next one when the last of them is acknowledged:
/// so none falls behind by more than the cluster allows for late samples.
const WRITERS: usize = 4;
/// Series of one writer; enough that each writer reaches every shard.
const SERIES: usize = 25;
/// Steps that must be acknowledged between two events of the test.
const STEPS_BETWEEN: i64 = 25;
/// Time between two steps' samples.
const STEP_MS: i64 = 1000;
/// The pause before a request that was not acknowledged is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// What is written, and how far it is.
struct Load {
    remotes: Vec<Remote>,
    stop: AtomicBool,
    /// How many steps were acknowledged as a whole.
    steps: AtomicI64,
    start_ms: i64,
}

impl Load {
    /// Returns the sample of a step: its value says whose it is.
    fn sample(&self, writer: usize, index: usize, step: i64) -> Sample {
        (self.start_ms + step * STEP_MS, (writer * 1_000_000 + index * 10_000) as f64 + step as f64)
    }

    fn request(&self, writer: usize, step: i64) -> Vec<Series> {
        let one = |index: usize| {
            let labels = [("index", index.to_string()), ("writer", writer.to_string())];
            let labels: Vec<(&str, &str)> =
                labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
            series("load", &labels, vec![self.sample(writer, index, step)])
        };
        (0..SERIES).map(one).collect()
    }

    /// Sends one writer's part of a step until it is acknowledged, each time to another ingester.
    async fn send(&self, writer: usize, step: i64) {
        let request = self.request(writer, step);
        let mut turn = writer;
        // How long this takes is bounded by whoever waits for steps.
        while let Err(refusal) = self.remotes[turn % self.remotes.len()].write(&request).await {
            assert!(!refusal.starts_with("400"), "nothing is wrong with this request: {refusal}");
            turn += 1;
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Waits until some more steps were acknowledged.
    async fn more(&self) {
        let goal = self.steps.load(Ordering::Relaxed) + STEPS_BETWEEN;
        until("acknowledged steps", async || {
            let now = self.steps.load(Ordering::Relaxed);
            if now >= goal { Ok(()) } else { Err(format!("{now} of {goal}")) }
        })
        .await;
    }

    /// Checks that exactly what was acknowledged is answered: every sample, each value, nothing else.
    async fn check(&self, api: &Api) {
        let steps = self.steps.load(Ordering::Relaxed);
        let found =
            until("an answer", async || api.raw("load[1h]", self.start_ms + steps * STEP_MS).await).await;
        let mut by_series: BTreeMap<(usize, usize), Vec<Sample>> = BTreeMap::new();
        for (labels, samples) in found {
            let number = |name: &str| labels[name].parse::<usize>().expect("a number");
            by_series.insert((number("writer"), number("index")), samples);
        }
        assert_eq!(by_series.len(), WRITERS * SERIES);
        for ((writer, index), samples) in by_series {
            let expected: Vec<Sample> = (0..steps).map(|step| self.sample(writer, index, step)).collect();
            assert_eq!(samples, expected, "writer {writer}, series {index}");
        }
    }
}

/// Writes step after step until told to stop.
async fn write(load: Arc<Load>) {
    while !load.stop.load(Ordering::Relaxed) {
        let step = load.steps.load(Ordering::Relaxed);
        let mut parts = JoinSet::new();
        for writer in 0..WRITERS {
            let load = load.clone();
            parts.spawn(async move { load.send(writer, step).await });
        }
        parts.join_all().await;
        load.steps.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_leaders_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    let s3 = MemS3::start().expect("a free port");
    std::fs::write(dir.path().join("s3.yml"), s3.thanos_yaml("")).expect("a file");
    std::fs::write(dir.path().join("empty.yml"), "scrape_configs: []\n").expect("a file");
    let flags = ["--config.file=empty.yml", "--objstore.config-file=s3.yml", "--storage.block-duration=20s"];
    let mut cluster = LocalCluster::start(dir.path(), &flags.map(str::to_owned)).await;
    let names = ["ingester-0", "ingester-1", "ingester-2"];
    let load = Arc::new(Load {
        remotes: names.iter().map(|name| cluster.remote(name)).collect(),
        stop: AtomicBool::new(false),
        steps: AtomicI64::new(0),
        start_ms: now_ms() - 1_200_000,
    });
    let writing = tokio::spawn(write(load.clone()));
    for _round in 0..2 {
        load.more().await;
        let leader = cluster.leader("ingester-0").await;
        cluster.kill(&leader).await;
        load.more().await;
        cluster.start_again(&leader).await;
    }
    load.more().await;
    load.stop.store(true, Ordering::Relaxed);
    writing.await.expect("the writers do not fail");
    load.check(&cluster.api()).await;
    let blocks = || s3.keys().into_iter().filter(|key| key.ends_with("series.parquet")).count();
    until("blocks", async || if blocks() >= 6 { Ok(()) } else { Err(format!("{:?}", s3.keys())) }).await;
    // All at once, and again from disks and blocks.
    for name in names {
        cluster.kill(name).await;
    }
    for name in names {
        cluster.begin_again(name);
    }
    for name in names {
        cluster.wait_again(name).await;
    }
    load.check(&cluster.api()).await;
    assert_eq!(s3.counters().list, 0, "nothing needs to list the bucket");
}
