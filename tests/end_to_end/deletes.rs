//! Deletes of series: what is deleted is gone at once, from heads and blocks, and never comes back: not by `kill -9`, not with a
//! block of a window of before, and not by a merge. What is written later is kept.
//!
//! Every answer is held against the samples that should be there; and, where `NORN_TEST_PROMETHEUS` names a Prometheus 3,
//! against its answers after the same writes and deletes.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::blocks::blocks_below;
use crate::differential::{BINARY, prometheus};
use crate::harness::{Api, Norn, Remote, Sample, free_ports, now_ms, series, until};

/// A window of the test's cluster; four of them, aligned, are merged into one block.
const WINDOW_MS: i64 = 20_000;
const STEP_MS: i64 = 500;
const PODS: usize = 4;
const FLAGS: [&str; 2] = ["--storage.block-duration=20s", "--web.enable-admin-api"];

/// What should be there, by pod.
struct Model {
    start: i64,
    pods: BTreeMap<String, BTreeMap<i64, f64>>,
}

/// Whoever is told the same.
struct Server {
    api: Api,
    remote: Remote,
}

impl Server {
    fn new(address: &str) -> Self {
        Self { api: Api::new(address), remote: Remote::new(address) }
    }

    async fn delete(&self, selector: &str, start_ms: i64, end_ms: i64) {
        let (start, end) = (seconds(start_ms), seconds(end_ms));
        let parameters = [("match[]", selector), ("start", &start), ("end", &end)];
        let answer = self.api.post("/api/v1/admin/tsdb/delete_series", &parameters).await;
        assert_eq!(answer.expect("it answers"), (204, String::new()));
    }
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

impl Model {
    fn new(start: i64) -> Self {
        Self { start, pods: (0..PODS).map(|pod| (pod.to_string(), BTreeMap::new())).collect() }
    }

    /// Writes one window of every pod to all.
    async fn write(&mut self, window: i64, servers: &[&Server]) {
        let first = self.start + window * WINDOW_MS;
        let mut request = Vec::new();
        for (pod, kept) in &mut self.pods {
            let samples: Vec<Sample> = (first..first + WINDOW_MS)
                .step_by(STEP_MS as usize)
                .map(|time| (time, (time - self.start) as f64 * 0.5 + pod.len() as f64))
                .collect();
            kept.extend(samples.iter().copied());
            request.push(series("gone", &[("pod", pod)], samples));
        }
        for server in servers {
            server.remote.write(&request).await.expect("acknowledged");
        }
    }

    /// Deletes everywhere. `pods` says what the selector means.
    async fn delete(&mut self, selector: &str, pods: &[usize], range: (i64, i64), servers: &[&Server]) {
        let (start, end) = (self.start + range.0, self.start + range.1);
        for server in servers {
            server.delete(selector, start, end).await;
        }
        for pod in pods {
            let samples = self.pods.get_mut(&pod.to_string()).expect("there is such a pod");
            samples.retain(|time, _| !(start..=end).contains(time));
        }
    }

    /// Checks everything that Norn shows.
    async fn check(&self, api: &Api, what: &str) -> Result<(), String> {
        let end = self.start + 20 * WINDOW_MS;
        let found = api.raw("gone[30m]", end).await?;
        let found: BTreeMap<String, BTreeMap<i64, f64>> = found
            .into_iter()
            .map(|(labels, samples)| (labels["pod"].clone(), samples.into_iter().collect()))
            .collect();
        let mut expected = self.pods.clone();
        expected.retain(|_, samples| !samples.is_empty());
        assert_eq!(found, expected, "{what}");
        let counts = api.instant("count_over_time(gone[30m])", Some(end)).await?;
        let counts: BTreeMap<String, usize> =
            counts.into_iter().map(|(labels, count)| (labels["pod"].clone(), count as usize)).collect();
        let expected_counts = expected.iter().map(|(pod, samples)| (pod.clone(), samples.len())).collect();
        assert_eq!(counts, expected_counts, "{what}, evaluated where the samples are");
        let range = [("match[]", "gone"), ("start", &*seconds(self.start)), ("end", &*seconds(end))];
        let listed = api.data("/api/v1/series", &range).await?;
        let listed = listed.as_array().ok_or("no list")?.iter();
        let listed: Vec<&str> = listed.filter_map(|labels| labels["pod"].as_str()).collect();
        assert_eq!(listed, expected.keys().collect::<Vec<_>>(), "{what}, listed");
        Ok(())
    }

    /// Returns answers that two servers must agree on.
    async fn answers(&self, api: &Api) -> Vec<Value> {
        let (start, end) = (seconds(self.start), seconds(self.start + 9 * WINDOW_MS));
        let mut answers = Vec::new();
        for query in [
            "gone",
            "sum by (pod) (rate(gone[7s]))",
            "sum(increase(gone[10s]))",
            "count(gone)",
            "avg_over_time(gone[11s])",
            "absent_over_time(gone{pod=\"1\"}[5s])",
        ] {
            let parameters = [("query", query), ("start", &start), ("end", &end), ("step", "1.3")];
            answers.push(api.data("/api/v1/query_range", &parameters).await.expect("it answers"));
        }
        let parameters = [("query", "gone[10m]"), ("time", &end)];
        answers.push(api.data("/api/v1/query", &parameters).await.expect("it answers"));
        for answer in &mut answers {
            sort(&mut answer["result"]);
        }
        let range = [("match[]", "gone"), ("start", start.as_str()), ("end", end.as_str())];
        answers.push(api.data("/api/v1/series", &range).await.expect("it answers"));
        answers
    }
}

/// Brings series into an order, which servers are free to choose.
fn sort(result: &mut Value) {
    let series = result.as_array_mut().expect("a list");
    series.sort_by_key(|series| series["metric"].to_string());
}

async fn is_merged(api: &Api, dir: &Path) -> Result<(), String> {
    let (_, metrics) = api.get("/metrics").await?;
    let done = metrics.lines().find_map(|line| line.strip_prefix("norn_compactor_merge_jobs_done_total "));
    let blocks = blocks_below(&dir.join("data/objects"));
    match done.and_then(|done| done.parse::<u64>().ok()) {
        Some(1..) if blocks >= 2 => Ok(()),
        done => Err(format!("{done:?} merges, {blocks} blocks")),
    }
}

/// Tells whether no block is subject to a delete any more.
async fn is_clean(api: &Api) -> Result<(), String> {
    let (_, metrics) = api.get("/metrics").await?;
    let line = metrics.lines().find(|line| line.starts_with("norn_compactor_merge_delete_notes "));
    match line {
        Some("norn_compactor_merge_delete_notes 0") => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[tokio::test]
async fn deleted_samples_are_gone_for_good() {
    let dir = tempfile::tempdir().expect("a directory");
    let port = free_ports(1);
    let mut norn = Norn::standalone(dir.path(), port, &FLAGS).await;
    let binary = std::env::var(BINARY).ok();
    let peer = match &binary {
        Some(binary) => prometheus(binary, "", dir.path()).await,
        None => None,
    };
    if peer.is_none() {
        println!("{BINARY} is not set: deletes are not held against those of a Prometheus");
    }
    let ours = Server::new(&norn.address);
    let theirs = peer.as_ref().map(|(_, address)| Server::new(address));
    let all: Vec<&Server> = [&ours].into_iter().chain(&theirs).collect();
    let compare = async |model: &Model, what: &str| {
        model.check(&ours.api, what).await.expect("it answers");
        if let Some(theirs) = &theirs {
            assert_eq!(model.answers(&ours.api).await, model.answers(&theirs.api).await, "{what}");
        }
    };
    let mut model = Model::new((now_ms() - 10 * WINDOW_MS) / (4 * WINDOW_MS) * 4 * WINDOW_MS);
    for window in 0..3 {
        model.write(window, &all).await;
    }
    // From the middle of one window into another, whatever of them is cut by now.
    model.delete("gone{pod=\"1\"}", &[1], (WINDOW_MS / 2, 2 * WINDOW_MS + 7000), &all).await;
    compare(&model, "after a delete").await;
    // Up to a time that is not yet: what comes is kept.
    model.delete("{__name__=~\"g.*\",pod=~\"2|x\"}", &[2], (WINDOW_MS + 250, 90 * WINDOW_MS), &all).await;
    model.write(3, &all).await;
    compare(&model, "after samples that came later").await;
    norn.kill();
    norn = Norn::standalone(dir.path(), port, &FLAGS).await;
    compare(&model, "after kill -9").await;
    model.delete("gone{pod=\"0\"}", &[0], (0, 90 * WINDOW_MS), &all).await;
    for window in 4..6 {
        model.write(window, &all).await;
    }
    compare(&model, "after all of a series was deleted").await;
    // Every look is a set of queries while windows are cut, published, merged and dropped, and blocks rewritten.
    until("a merged block", async || {
        model.check(&ours.api, "while blocks are made").await?;
        is_merged(&ours.api, dir.path()).await
    })
    .await;
    compare(&model, "after a merge").await;
    // Now that there are blocks.
    model.delete("gone{pod=\"3\"}", &[3], (0, WINDOW_MS - 1), &all).await;
    model.delete("gone", &[0, 1, 2, 3], (WINDOW_MS * 3 + 10_000, WINDOW_MS * 3 + 12_000), &all).await;
    compare(&model, "after a delete from blocks").await;
    norn.kill();
    norn = Norn::standalone(dir.path(), port, &FLAGS).await;
    compare(&model, "after kill -9 with blocks").await;
    let clean = ours.api.post("/api/v1/admin/tsdb/clean_tombstones", &[]).await;
    assert_eq!(clean.expect("it answers"), (204, String::new()));
    until("blocks without deletes", async || {
        model.check(&ours.api, "while blocks are rewritten").await?;
        is_clean(&ours.api).await
    })
    .await;
    compare(&model, "after blocks were rewritten").await;
    norn.kill();
    norn = Norn::standalone(dir.path(), port, &FLAGS).await;
    compare(&model, "at the end").await;
    drop(norn);
}
