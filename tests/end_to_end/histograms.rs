//! Native histograms from remote write to an answer: from the head, after `kill -9`, and from published blocks.
//!
//! Every answer is held against the one from the head, which a few sums worked out by hand hold up; and, where
//! `NORN_TEST_PROMETHEUS` names a Prometheus 3, against its answers about the same samples.

use std::path::Path;

use proto::prometheus::histogram::{Count, ZeroCount};
use proto::prometheus::{BucketSpan, Histogram, Label, Sample, TimeSeries, WriteRequest};
use serde_json::Value;

use crate::blocks::blocks_below;
use crate::differential::{BINARY, prometheus};
use crate::harness::{Api, Norn, Remote, free_ports, now_ms, until};

const WINDOW_MS: i64 = 20_000;
pub(crate) const WINDOWS: i64 = 6;
const STEP_MS: i64 = 1000;
/// After so many samples the counters begin anew.
const RESET_AT: i64 = 70;

const QUERIES: [&str; 26] = [
    "{__name__=~\"h_.*\"}",
    "h_int[2m]",
    "h_float[2m]",
    "h_custom[2m]",
    "h_mixed[2m]",
    "h_gauge[30s]",
    "rate(h_int[30s])",
    "increase(h_float[1m])",
    "irate(h_int[30s])",
    "delta(h_gauge[30s])",
    "resets(h_int[2m])",
    "changes(h_custom[1m])",
    "histogram_quantile(0.9, rate(h_int[30s]))",
    "histogram_quantile(0.5, h_float)",
    "histogram_quantile(0.25, sum(rate(h_custom[1m])))",
    "histogram_count(rate(h_int[30s]))",
    "histogram_sum(increase(h_float[30s]))",
    "histogram_avg(h_int)",
    "histogram_fraction(0, 4, rate(h_int[1m]))",
    "histogram_stddev(h_float)",
    "sum by (job) (rate(h_int[30s]))",
    "avg(h_float)",
    "h_int * 2 - h_int",
    "sum_over_time(h_gauge[20s])",
    "count_over_time(h_mixed[2m])",
    "last_over_time(h_stale[2m])",
];

fn spans(spans: &[(i32, u32)]) -> Vec<BucketSpan> {
    spans.iter().map(|(offset, length)| BucketSpan { offset: *offset, length: *length }).collect()
}

/// An integer histogram whose buckets all count `i`, with one bucket more from time to time.
fn integer(timestamp: i64, i: i64, custom: bool) -> Histogram {
    let buckets = if custom { 3 } else { 4 + i / 25 };
    let mut deltas = vec![0; buckets as usize];
    deltas[0] = i;
    let negative = if custom { 0 } else { 1 };
    Histogram {
        timestamp,
        count: Some(Count::CountInt((i * (buckets + 2 * negative)) as u64)),
        zero_count: Some(ZeroCount::ZeroCountInt((i * negative) as u64)),
        zero_threshold: if custom { 0.0 } else { 0.001 },
        sum: i as f64 * 12.75,
        schema: if custom { -53 } else { 1 },
        positive_spans: if custom { spans(&[(0, 3)]) } else { spans(&[(-1, 2), (1, buckets as u32 - 2)]) },
        positive_deltas: deltas,
        negative_spans: if custom { vec![] } else { spans(&[(2, 1)]) },
        negative_deltas: vec![i; negative as usize],
        custom_values: if custom { vec![0.5, 2.5] } else { vec![] },
        ..Histogram::default()
    }
}

fn float(timestamp: i64, i: i64, hint: i32) -> Histogram {
    let count = i as f64 * 0.75;
    Histogram {
        timestamp,
        count: Some(Count::CountFloat(count * 3.0)),
        zero_count: Some(ZeroCount::ZeroCountFloat(0.0)),
        zero_threshold: 2f64.powi(-128),
        sum: i as f64 * 3.3,
        schema: 2,
        positive_spans: spans(&[(3, 3)]),
        positive_counts: vec![count; 3],
        reset_hint: hint,
        ..Histogram::default()
    }
}

fn stale(timestamp: i64) -> Histogram {
    Histogram { timestamp, sum: model::stale_nan(), ..Histogram::default() }
}

fn series(name: &str, job: &str, samples: Vec<Sample>, histograms: Vec<Histogram>) -> TimeSeries {
    let label = |(name, value): (&str, &str)| Label { name: name.to_owned(), value: value.to_owned() };
    let labels = [("__name__", name), ("job", job)].map(label).to_vec();
    TimeSeries { labels, samples, histograms, ..TimeSeries::default() }
}

/// The samples of one window.
pub(crate) fn window(start: i64, window: i64) -> WriteRequest {
    let samples = WINDOW_MS / STEP_MS;
    let all = window * samples..(window + 1) * samples;
    let time = |i: i64| start + i * STEP_MS;
    // Far enough from zero that releases which extrapolate to zero, and those that do not, agree.
    let counter = |i: i64| 5 + if i < RESET_AT { i } else { i - RESET_AT };
    let histograms = |make: &dyn Fn(i64) -> Histogram| all.clone().map(make).collect::<Vec<_>>();
    let floats = all.clone().filter(|i| i / 10 % 2 == 0);
    let floats = floats.map(|i| Sample { timestamp: time(i), value: i as f64 }).collect();
    let mixed = all.clone().filter(|i| i / 10 % 2 == 1).map(|i| float(time(i), i, 0)).collect();
    let ended = |i: i64| if i < 100 { integer(time(i), i, false) } else { stale(time(i)) };
    let timeseries = vec![
        series("h_int", "a", vec![], histograms(&|i| integer(time(i), counter(i), false))),
        series("h_int", "b", vec![], histograms(&|i| integer(time(i), 15 + i * 3, false))),
        series("h_float", "a", vec![], histograms(&|i| float(time(i), counter(i), 0))),
        series("h_custom", "a", vec![], histograms(&|i| integer(time(i), 5 + i, true))),
        series("h_gauge", "a", vec![], histograms(&|i| float(time(i), 200 - i, 3))),
        series("h_mixed", "a", floats, mixed),
        series("h_stale", "a", vec![], histograms(&ended)),
    ];
    WriteRequest { timeseries, ..WriteRequest::default() }
}

/// Asks everything, at two instants and over a range; returns the answers, each with its question.
pub(crate) async fn answers(api: &Api, start: i64) -> Vec<(String, Value)> {
    let text = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
    let end = start + WINDOWS * WINDOW_MS - STEP_MS;
    let mut answers = Vec::new();
    for query in QUERIES {
        for time in [start + 70_300, end] {
            let (time, parameters) = (text(time), [("query", query)]);
            let asked = api.ask("/api/v1/query", &[parameters[0], ("time", &time)]).await;
            answers.push((format!("{query} at {time}"), parse(asked)));
        }
        if !query.ends_with(']') {
            let (from, to) = (text(start + 5_000), text(end + 10_000));
            let parameters = [("query", query), ("start", &*from), ("end", &*to), ("step", "7.3")];
            answers.push((
                format!("{query} over a range"),
                parse(api.ask("/api/v1/query_range", &parameters).await),
            ));
        }
    }
    answers
}

/// Reads an answer; series come in the order of their labels.
fn parse(answer: Result<(u16, String), String>) -> Value {
    let (status, text) = answer.expect("it answers");
    let mut json: Value = serde_json::from_str(&text).expect("an answer is JSON");
    assert_eq!(status, 200, "{text}");
    if let Some(result) = json["data"]["result"].as_array_mut() {
        result.sort_by_key(|series| series["metric"].to_string());
    }
    json
}

/// Tells whether two answers are the same but for the last digits of numbers.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (Value::String(a), Value::String(b)) => match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(x), Ok(y)) => a == b || (x - y).abs() <= 1e-9 * x.abs().max(y.abs()),
            _ => a == b,
        },
        _ => a == b,
    }
}

pub(crate) fn check(found: &[(String, Value)], expected: &[(String, Value)], state: &str) {
    for ((query, found), (_, expected)) in found.iter().zip(expected) {
        assert!(same(found, expected), "{state}: {query}\n found    {found}\n expected {expected}");
    }
}

/// A few answers, worked out by hand.
async fn check_by_hand(api: &Api, start: i64) {
    let at = Some(start + 60_000);
    let one = async |query: &str| {
        let found = api.instant(query, at).await.expect("it answers");
        assert_eq!(found.len(), 1, "{query}: {found:?}");
        found[0].1
    };
    // Six buckets, two of them beside the positive ones, each grow by one a second.
    assert_eq!(one("histogram_count(h_int{job=\"a\"})").await, 65.0 * 8.0);
    assert!((one("histogram_sum(rate(h_int{job=\"a\"}[30s]))").await - 12.75).abs() < 1e-9);
    assert!((one("histogram_count(rate(h_custom[30s]))").await - 3.0).abs() < 1e-9);
    // The middle one of three equal buckets with custom bounds ends at 2.5 and begins at 0.5.
    assert!((one("histogram_quantile(0.5, h_custom)").await - 1.5).abs() < 1e-9);
    assert_eq!(one("h_mixed + 1").await, 61.0);
    let ended = api.instant("h_stale", Some(start + 110_000)).await.expect("it answers");
    assert_eq!(ended, [], "the staleness marker ends the series");
}

async fn beside_prometheus(dir: &Path, start: i64) -> Option<Vec<(String, Value)>> {
    let Ok(binary) = std::env::var(BINARY) else {
        eprintln!("\n==== SKIPPED in part: {BINARY} does not name a Prometheus 3 ====\n");
        return None;
    };
    let (_guard, address) = prometheus(&binary, ",native-histograms", dir).await.expect("it starts");
    let remote = Remote::new(&address);
    for number in 0..WINDOWS {
        remote.write_request(&window(start, number)).await.expect("acknowledged");
    }
    Some(answers(&Api::new(&address), start).await)
}

#[tokio::test]
async fn histograms_answer_alike_from_head_log_and_blocks() {
    let dir = tempfile::tempdir().expect("a directory");
    let port = free_ports(1);
    let flags = ["--storage.block-duration=20s"];
    let mut norn = Norn::standalone(dir.path(), port, &flags).await;
    let start = (now_ms() - WINDOWS * WINDOW_MS) / WINDOW_MS * WINDOW_MS;
    let remote = Remote::new(&norn.address);
    for number in 0..WINDOWS {
        remote.write_request(&window(start, number)).await.expect("acknowledged");
        // The same again changes nothing.
        remote.write_request(&window(start, number)).await.expect("duplicates are no fault");
    }
    check_by_hand(&norn.api(), start).await;
    let expected = answers(&norn.api(), start).await;
    norn.kill();
    norn = Norn::standalone(dir.path(), port, &flags).await;
    check(&answers(&norn.api(), start).await, &expected, "after kill -9");
    until("blocks in the object store", async || match blocks_below(&dir.path().join("data/objects")) {
        4.. => Ok(()),
        fewer => Err(format!("{fewer} blocks; {}", norn.log_text())),
    })
    .await;
    check(&answers(&norn.api(), start).await, &expected, "from blocks");
    norn.kill();
    norn = Norn::standalone(dir.path(), port, &flags).await;
    check(&answers(&norn.api(), start).await, &expected, "from blocks after kill -9");
    if let Some(theirs) = beside_prometheus(dir.path(), start).await {
        check(&expected, &theirs, "beside Prometheus");
    }
}

#[tokio::test]
async fn a_histogram_that_cannot_be_stored_is_refused_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let norn = Norn::standalone(dir.path(), free_ports(1), &[]).await;
    let (remote, now) = (Remote::new(&norn.address), now_ms());
    let bad = Histogram { count: Some(Count::CountInt(1)), ..integer(now, 5, false) };
    let timeseries = vec![
        series("bad", "a", vec![], vec![bad]),
        series("good", "a", vec![], vec![integer(now, 5, false)]),
    ];
    let error =
        remote.write_request(&WriteRequest { timeseries, ..WriteRequest::default() }).await.unwrap_err();
    let reason = "400 30 observations found in buckets, but the Count field is 1: histogram's observation count should equal the \
                  number of observations found in the buckets (in absence of NaN) (1 histograms refused)";
    assert_eq!(error.trim(), reason);
    let conflicting = WriteRequest {
        timeseries: vec![series("good", "a", vec![Sample { timestamp: now, value: 1.0 }], vec![])],
        ..WriteRequest::default()
    };
    let error = remote.write_request(&conflicting).await.unwrap_err();
    assert!(error.contains("duplicate sample for timestamp"), "{error}");
    let counts =
        norn.api().instant("histogram_count({__name__=~\"good|bad\"})", Some(now)).await.expect("it answers");
    assert_eq!(counts.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [30.0]);
}
