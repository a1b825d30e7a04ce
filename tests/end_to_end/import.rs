//! Blocks that a real Prometheus wrote, imported, and exported again for a real Prometheus.
//!
//! 1. Prometheus takes floats and native histograms by remote write, and snapshots its head, which makes a block.
//! 2. `norn import tsdb` is killed while it works, run again, and run once more, which finds nothing to do.
//! 3. Both answer alike: every stored sample to the last digit; also when the same samples have come in by remote write, so
//!    that the head holds what the imported block holds; and when the head's block was merged with the imported one.
//! 4. `norn export tsdb` makes blocks that another Prometheus opens and answers alike from; `norn export openmetrics` writes a
//!    line for every float.
//!
//! `NORN_TEST_PROMETHEUS` names a Prometheus 3. Without it the test says loudly that it checks nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::differential::data::{LENGTH_MS, START_MS};
use crate::differential::{BINARY, data, prometheus};
use crate::harness::{Api, Norn, Remote, free_ports, until};
use crate::histograms;

/// Where the histograms begin: behind the floats, as one clock would have it.
const HISTOGRAMS_MS: i64 = START_MS + LENGTH_MS + 60_000;
/// Behind all samples.
const END_MS: i64 = HISTOGRAMS_MS + 300_000;

const QUERIES: [&str; 6] = [
    "count by (__name__) ({__name__=~\".+\"})",
    "sum by (job) (rate({__name__=~\".*_total\"}[5m]))",
    "sum by (__name__) ({__name__!~\"h_.*\",__name__=~\".+\"})",
    "quantile by (job) (0.9, {__name__!~\"h_.*\",job=~\".+\"})",
    "count(max_over_time({__name__=~\".*_total\"}[20m:1m]))",
    "absent(up{job=\"nobody\"})",
];

fn norn(arguments: &[&str], dir: &Path) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_norn")).args(arguments).current_dir(dir).output();
    output.expect("the binary starts")
}

/// Runs the binary to its end, which must be a good one; returns what it printed.
fn succeeds(arguments: &[&str], dir: &Path) -> String {
    let output = norn(arguments, dir);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "norn {arguments:?}: {out}{err}");
    format!("{out}{err}")
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// Returns everything that is stored, sample by sample, and the answers to some queries.
async fn answers(api: &Api) -> Vec<(String, Value)> {
    let mut answers = Vec::new();
    let (raw, end) = (format!("{{__name__=~\".+\"}}[{}s]", (END_MS - START_MS) / 1000 + 10), seconds(END_MS));
    let (from, to) = (seconds(START_MS), end.clone());
    let mut ask = async |path: &str, parameters: &[(&str, &str)]| {
        let mut data =
            api.data(path, parameters).await.unwrap_or_else(|error| panic!("{parameters:?}: {error}"));
        if let Some(result) = data.get_mut("result").and_then(Value::as_array_mut) {
            result.sort_by_key(|series| series["metric"].to_string());
        }
        answers.push((format!("{path} {parameters:?}"), data));
    };
    ask("/api/v1/query", &[("query", &raw), ("time", &end)]).await;
    for query in QUERIES {
        let range = [("query", query), ("start", from.as_str()), ("end", to.as_str()), ("step", "173")];
        ask("/api/v1/query_range", &range).await;
    }
    ask("/api/v1/label/__name__/values", &[("start", &from), ("end", &to)]).await;
    answers
}

async fn check(api: &Api, theirs: &[(String, Value)], histograms: &[(String, Value)], state: &str) {
    let ours = answers(api).await;
    let (raw, expected) = (&ours[0].1["result"], &theirs[0].1["result"]);
    let (raw, expected) = (raw.as_array().expect("a matrix"), expected.as_array().expect("a matrix"));
    assert_eq!(raw.len(), expected.len(), "{state}: how many series there are");
    for (ours, theirs) in raw.iter().zip(expected) {
        assert_eq!(ours, theirs, "{state}: every sample, to the last digit");
    }
    histograms::check(&ours[1..], &theirs[1..], state);
    histograms::check(&histograms::answers(api, HISTOGRAMS_MS).await, histograms, state);
}

/// Has a Prometheus write its head as blocks; returns the directory of them.
async fn snapshot(address: &str, dir: &Path) -> PathBuf {
    let url = format!("http://{address}/api/v1/admin/tsdb/snapshot");
    let answer = reqwest::Client::new().post(url).send().await.expect("it answers");
    let answer: Value = serde_json::from_str(&answer.text().await.expect("text")).expect("JSON");
    let name = answer["data"]["name"].as_str().unwrap_or_else(|| panic!("{answer}"));
    dir.join("prometheus-data/snapshots").join(name)
}

#[tokio::test]
async fn blocks_of_prometheus_come_in_and_go_out() {
    let Ok(binary) = std::env::var(BINARY) else {
        eprintln!("\n==== SKIPPED: {BINARY} does not name a Prometheus 3 ====\n");
        return;
    };
    let theirs_dir = tempfile::tempdir().expect("a directory");
    let started = prometheus(&binary, ",native-histograms", theirs_dir.path()).await;
    let (_guard, address) = started.expect("it starts");
    send(&address).await;
    let theirs = answers(&Api::new(&address)).await;
    let histograms = histograms::answers(&Api::new(&address), HISTOGRAMS_MS).await;
    let source = snapshot(&address, theirs_dir.path()).await;

    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("norn.yml"), "global: {}\n").expect("a file");
    let port = free_ports(2);
    let grpc = format!("127.0.0.1:{}", port + 1);
    let flag = format!("--grpc.listen-address={grpc}");
    let flags = ["--config.file=norn.yml", "--storage.tsdb.retention.time=50y", flag.as_str()];
    let server = Norn::standalone(dir.path(), port, &flags).await;
    let target = [source.to_str().expect("text"), "--cluster.address", &grpc, "--data.dir=data"];
    let import = [&["import", "tsdb"], &target[..]].concat();

    let planned = succeeds(&[&import[..], &["--dry-run"]].concat(), dir.path());
    assert!(planned.contains("2 of 2 windows to import"), "{planned}");
    die_at_work(&import, dir.path()).await;
    let done = succeeds(&import, dir.path());
    assert!(done.contains("imported 1 blocks"), "{done}");
    let again = succeeds(&import, dir.path());
    assert!(again.contains("everything is imported already"), "{again}");
    check(&server.api(), &theirs, &histograms, "imported").await;

    // What comes in now lies in the head, beyond the seam, as does the imported block.
    send(&server.address).await;
    check(&server.api(), &theirs, &histograms, "imported, and in the head too").await;
    until("the head's own block to be merged with the imported one", async || match server.log_text() {
        text if text.contains("merged blocks") => Ok(()),
        text => Err(text),
    })
    .await;
    check(&server.api(), &theirs, &histograms, "merged with the head's own block").await;

    let out_dir = tempfile::tempdir().expect("a directory");
    let url = format!("http://{}", server.address);
    let (start, end) = (format!("--start={}", seconds(START_MS)), format!("--end={}", seconds(END_MS)));
    let export = |more: &[&str]| {
        let all = [&["export"], &more[..1], &["--url", &url, &start, &end], &more[1..]].concat();
        succeeds(&all, out_dir.path())
    };
    export(&["tsdb", "--output=prometheus-data"]);
    let (_guard, exported) =
        prometheus(&binary, ",native-histograms", out_dir.path()).await.expect("it opens the blocks");
    check(&Api::new(&exported), &theirs, &histograms, "exported").await;

    let told = export(&["openmetrics", "--match={__name__=~\".+\",__name__!~\"h_.*\"}", "--output=text"]);
    let text = fs::read_to_string(out_dir.path().join("text")).expect("written");
    assert!(text.ends_with("\n# EOF\n"));
    assert_eq!(text.lines().count() - 1, floats(&theirs[0].1), "{told}");
}

/// Sends the floats of `differential` and the histograms of `histograms`.
async fn send(address: &str) {
    data::send(address).await;
    let remote = Remote::new(address);
    for number in 0..histograms::WINDOWS {
        remote.write_request(&histograms::window(HISTOGRAMS_MS, number)).await.expect("acknowledged");
    }
}

/// Starts an import and kills it once it has told what it is about to do.
async fn die_at_work(arguments: &[&str], dir: &Path) {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let mut running = Norn::start(dir, "import", "", &arguments);
    until("the import to begin", async || match running.log_text() {
        text if text.contains("windows to import") => Ok(()),
        text => Err(text),
    })
    .await;
    running.kill();
}

/// Returns how many samples of a matrix are floats.
fn floats(matrix: &Value) -> usize {
    let series = matrix["result"].as_array().expect("a matrix").iter();
    series
        .filter(|series| !series["metric"]["__name__"].as_str().unwrap_or_default().starts_with("h_"))
        .map(|series| series["values"].as_array().map_or(0, Vec::len))
        .sum()
}
