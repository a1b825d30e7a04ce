//! From small blocks to large ones: the same query gives the same answer, to the last bit.

use serde_json::Value;

use crate::harness::{Api, Norn, Remote, Sample, free_ports, now_ms, series, until};

/// A window of the test's cluster; four of them, aligned, are merged into one block.
const WINDOW_MS: i64 = 20_000;
const MERGED_MS: i64 = 4 * WINDOW_MS;
/// How many windows are written: two merged blocks, and one window for the head.
const WINDOWS: i64 = 9;

/// Returns how many merges were committed.
async fn merges(api: &Api) -> Result<u64, String> {
    let (_, metrics) = api.get("/metrics").await?;
    let line = metrics.lines().find_map(|line| line.strip_prefix("norn_compactor_merge_jobs_done_total "));
    line.and_then(|count| count.parse().ok()).ok_or_else(|| "no such metric".to_owned())
}

/// Asks everything, and returns the answers as they were sent.
async fn answers(api: &Api, start_ms: i64, end_ms: i64) -> Result<Vec<Value>, String> {
    let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
    let (start, end) = (seconds(start_ms), seconds(end_ms));
    let mut answers = Vec::new();
    for query in [
        "small",
        "small{pod=\"2\"} * 3",
        "rate(small[7s])",
        "sum by (pod) (increase(small[10s]))",
        "quantile_over_time(0.9, small[30s])",
        "count(small)",
        "resets(small[1m])",
    ] {
        let parameters = [("query", query), ("start", &start), ("end", &end), ("step", "3")];
        answers.push(api.data("/api/v1/query_range", &parameters).await?);
    }
    for query in ["small[10m]", "last_over_time(small[10m])"] {
        answers.push(api.data("/api/v1/query", &[("query", query), ("time", &end)]).await?);
    }
    let range = [("match[]", "small"), ("start", start.as_str()), ("end", end.as_str())];
    answers.push(api.data("/api/v1/series", &range).await?);
    answers.push(api.data("/api/v1/label/pod/values", &range[1..]).await?);
    Ok(answers)
}

/// Values of all sorts: decimals, counters with resets, signed zeros, infinities, a NaN with a payload.
fn value(pod: usize, at: i64) -> f64 {
    match (pod, at % 97) {
        (0, _) => at as f64 * 0.1,
        (1, _) => (at % 50) as f64,
        (_, 0) => -0.0,
        (_, 1) => f64::NEG_INFINITY,
        (_, 2) => f64::from_bits(0x7ff8_0000_0000_beef),
        (_, _) => (at as f64).sin(),
    }
}

#[tokio::test]
async fn a_merge_of_blocks_never_shows() {
    let dir = tempfile::tempdir().expect("a directory");
    let port = free_ports(1);
    let flags = ["--storage.block-duration=20s"];
    let mut norn = Norn::standalone(dir.path(), port, &flags).await;
    let start = (now_ms() - WINDOWS * WINDOW_MS) / MERGED_MS * MERGED_MS;
    let end = start + WINDOWS * WINDOW_MS;
    let remote = Remote::new(&norn.address);
    for window in 0..WINDOWS {
        let first = window * WINDOW_MS / 500;
        let samples = |pod: usize| -> Vec<Sample> {
            (first..first + WINDOW_MS / 500).map(|at| (start + at * 500, value(pod, at))).collect()
        };
        // A pod that comes and goes.
        let pods = (0..3).filter(|pod| *pod != 2 || window % 3 != 1);
        let request: Vec<_> =
            pods.map(|pod| series("small", &[("pod", &pod.to_string())], samples(pod))).collect();
        remote.write(&request).await.expect("acknowledged");
    }
    let api = norn.api();
    let expected = answers(&api, start, end).await.expect("it answers");
    // Every look is a set of queries while windows are cut, published, merged and dropped.
    until("two merged blocks", async || {
        assert_eq!(answers(&api, start, end).await?, expected, "after {:?} merges", merges(&api).await);
        match merges(&api).await? {
            2.. => Ok(()),
            fewer => Err(format!("{fewer} merges; {}", norn.log_text())),
        }
    })
    .await;
    assert_eq!(answers(&api, start, end).await.expect("it answers"), expected, "after all merges");
    norn.kill();
    norn = Norn::standalone(dir.path(), port, &flags).await;
    assert_eq!(answers(&norn.api(), start, end).await.expect("it answers"), expected, "after a restart");
}
