//! The rules by which samples enter, by remote write, beside a live Prometheus 3: hand-made sequences of requests, each to a
//! series of its own, with an out-of-order window and without.
//!
//! Both servers must answer with the same status, ours with a text that begins with theirs, and hold the same samples in the
//! end. Where Norn differs on purpose (decision 0012), the case says what it does instead, and that is checked.
//!
//! `NORN_TEST_PROMETHEUS` names the binary of a Prometheus 3.5 or newer. Without it only Norn's own part is checked, and the
//! test says so loudly.

use std::fs;

use proto::prometheus::histogram::{Count, ZeroCount};
use proto::prometheus::{BucketSpan, Histogram, Label, Sample, TimeSeries, WriteRequest};
use serde_json::{Value, json};

use crate::differential::{BINARY, prometheus_with};
use crate::harness::{Api, Norn, Remote, free_ports, now_ms};

const MINUTE_MS: i64 = 60_000;
const WINDOW_MS: i64 = 120 * MINUTE_MS;

/// A sample of a case: a value, or what stands for one, at so many minutes after the time of the case.
#[derive(Clone, Copy)]
enum Point {
    Float(f64, i64),
    Stale(i64),
    /// A native histogram of so many observations.
    Histogram(u64, i64),
}
use Point::{Float, Histogram as Hist, Stale};

/// What Norn does otherwise: its statuses, and the floats that it holds in the end, as minutes and values.
type Differs = Option<(&'static [u16], &'static [(i64, &'static str)])>;

struct Case {
    name: &'static str,
    requests: &'static [&'static [Point]],
    differs: Differs,
}

const fn case(name: &'static str, requests: &'static [&'static [Point]]) -> Case {
    Case { name, requests, differs: None }
}

const fn differs(
    name: &'static str,
    requests: &'static [&'static [Point]],
    statuses: &'static [u16],
    held: &'static [(i64, &'static str)],
) -> Case {
    Case { name, requests, differs: Some((statuses, held)) }
}

/// What does not depend on the window.
const ALWAYS: &[Case] = &[
    case("sent_again", &[&[Float(1.0, 0)], &[Float(1.0, 0)]]),
    case("conflict", &[&[Float(1.5, 0)], &[Float(2e6, 0)]]),
    case("too_old", &[&[Float(1.0, 0)], &[Float(2.0, -31)]]),
    case("lagging_series", &[&[Float(1.0, -59)], &[Float(1.0, -58)]]),
    case("twice_in_a_request", &[&[Float(1.0, 0), Float(1.0, 0)]]),
    case("stale_again", &[&[Float(1.0, -1)], &[Stale(0)], &[Stale(0)]]),
    case("behind_stale", &[&[Stale(0)], &[Float(1.0, 0)]]),
    case("histogram_over_float", &[&[Float(1.0, -1)], &[Hist(3, -1)]]),
    case("float_over_histogram", &[&[Hist(3, -1)], &[Float(1.0, -1)]]),
    case("histogram_conflict", &[&[Hist(3, -1)], &[Hist(4, -1)]]),
    case("histogram_again", &[&[Hist(3, -1)], &[Hist(3, -1)]]),
    case("stale_behind_histogram", &[&[Hist(3, -2)], &[Stale(-1)], &[Stale(-1)]]),
    case("far_future", &[&[Float(1.0, 180)]]),
    // Prometheus looks only at what was there before the request.
    differs("conflict_in_a_request", &[&[Float(1.0, 0), Float(2.0, 0)]], &[400], &[(0, "1")]),
    // Norn takes what no block has been cut beyond.
    differs("older_new_series", &[&[Float(1.0, -70)]], &[204], &[(-70, "1")]),
    // Norn keeps what it can of a request.
    differs(
        "good_beside_bad",
        &[&[Float(1.0, 0)], &[Float(9.0, -40), Float(3.0, 1)]],
        &[204, 400],
        &[(0, "1"), (1, "3")],
    ),
    // A retried request must not fail, whatever of it was stored.
    differs(
        "old_sample_again",
        &[&[Float(1.0, -40), Float(2.0, 0)], &[Float(1.0, -40)]],
        &[204, 204],
        &[(-40, "1"), (0, "2")],
    ),
];

/// With a window of 30 minutes.
const WINDOW: &[Case] = &[
    case("late", &[&[Float(1.0, 0)], &[Float(2.0, -10)], &[Float(3.0, -5)]]),
    case("at_the_edge", &[&[Float(1.0, 0)], &[Float(2.0, -29)]]),
    case("late_again", &[&[Float(2.0, 0)], &[Float(1.0, -1)], &[Float(1.0, -1)]]),
    case("late_of_a_known_time_again", &[&[Float(1.0, -1), Float(2.0, 0)], &[Float(1.0, -1)]]),
    case("backwards_in_a_request", &[&[Float(1.0, 0), Float(2.0, -1)]]),
    case("late_histogram", &[&[Hist(3, -1)], &[Hist(2, -2)]]),
    case("late_histogram_among_floats", &[&[Float(1.0, -1)], &[Hist(2, -2)]]),
    // Prometheus takes both and shows the later one of these, and the earlier one of those below.
    differs(
        "late_conflict",
        &[&[Float(1.0, -1), Float(2.0, 0)], &[Float(5.0, -1)]],
        &[204, 400],
        &[(-1, "1"), (0, "2")],
    ),
    differs(
        "conflict_of_late_ones",
        &[&[Float(2.0, 0)], &[Float(1.0, -1)], &[Float(3.0, -1)]],
        &[204, 204, 400],
        &[(-1, "1"), (0, "2")],
    ),
];

/// Without a window.
const IN_ORDER: &[Case] = &[
    case("late", &[&[Float(1.0, 0)], &[Float(2.0, -10)]]),
    case("late_conflict", &[&[Float(1.0, -1), Float(2.0, 0)], &[Float(5.0, -1)]]),
    case("late_histogram", &[&[Hist(3, -1)], &[Hist(2, -2)]]),
    differs(
        "late_again",
        &[&[Float(1.0, -1), Float(2.0, 0)], &[Float(1.0, -1)]],
        &[204, 204],
        &[(-1, "1"), (0, "2")],
    ),
    // Prometheus drops the second one without a word.
    differs("backwards_in_a_request", &[&[Float(1.0, 0), Float(2.0, -1)]], &[400], &[(0, "1")]),
];

/// Returns a request with samples of one series.
fn request(name: &str, points: &[Point], time_ms: i64) -> WriteRequest {
    let at = |minutes: i64| time_ms + minutes * MINUTE_MS;
    let sample = |point: &Point| match *point {
        Float(value, minutes) => Some(Sample { value, timestamp: at(minutes) }),
        Stale(minutes) => Some(Sample { value: model::stale_nan(), timestamp: at(minutes) }),
        Hist(..) => None,
    };
    let histogram = |point: &Point| match *point {
        Hist(count, minutes) => Some(Histogram {
            count: Some(Count::CountInt(count)),
            sum: 1.0,
            zero_threshold: 1e-128,
            zero_count: Some(ZeroCount::ZeroCountInt(0)),
            positive_spans: vec![BucketSpan { offset: 0, length: 1 }],
            positive_deltas: vec![count as i64],
            timestamp: at(minutes),
            ..Histogram::default()
        }),
        _ => None,
    };
    let label = Label { name: "__name__".to_owned(), value: name.to_owned() };
    let series = TimeSeries {
        labels: vec![label],
        samples: points.iter().filter_map(sample).collect(),
        histograms: points.iter().filter_map(histogram).collect(),
        ..TimeSeries::default()
    };
    WriteRequest { timeseries: vec![series], ..WriteRequest::default() }
}

/// What a server makes of a case: status and text of each request, and what it holds in the end.
async fn run(address: &str, case: &Case, time_ms: i64) -> (Vec<(u16, String)>, Value) {
    let (remote, name) = (Remote::new(address), format!("case_{}", case.name));
    let mut answers = Vec::new();
    for points in case.requests {
        let answer = match remote.write_request(&request(&name, points, time_ms)).await {
            Ok(()) => (204, String::new()),
            Err(text) => {
                let (status, text) = text.split_once(' ').expect("a status and a text");
                (status.parse().expect("a status"), text.trim().to_owned())
            }
        };
        answers.push(answer);
    }
    let parameters = [("query", &*format!("{name}[1d]")), ("time", &*(time_ms / 1000 + 3600).to_string())];
    let data = Api::new(address).data("/api/v1/query", &parameters).await.expect("it answers");
    (answers, data["result"].clone())
}

/// Writes the newest sample of all, which bounds how old others may be.
async fn anchor(address: &str, time_ms: i64) {
    let written = Remote::new(address).write_request(&request("anchor", &[Float(1.0, 0)], time_ms)).await;
    written.expect("the first sample is taken");
}

async fn check_all(window: &str, cases: &[Case]) {
    let dir = tempfile::tempdir().expect("a directory");
    let config = format!("storage: {{tsdb: {{out_of_order_time_window: {window}}}}}\n");
    fs::write(dir.path().join("norn.yml"), &config).expect("a file");
    let norn = Norn::standalone(dir.path(), free_ports(1), &["--config.file=norn.yml"]).await;
    // A minute before a window ends, so that none ends in what the cases reach back to.
    let time_ms = (now_ms() + MINUTE_MS) / WINDOW_MS * WINDOW_MS - MINUTE_MS;
    anchor(&norn.address, time_ms).await;
    let theirs = match std::env::var(BINARY) {
        Ok(binary) => prometheus_with(&binary, &config, ",native-histograms", dir.path()).await,
        Err(_) => None,
    };
    match &theirs {
        Some((_, address)) => anchor(address, time_ms).await,
        None => eprintln!("\n==== SKIPPED: {BINARY} names no Prometheus: only Norn is checked ====\n"),
    }
    for case in ALWAYS.iter().chain(cases) {
        let (answers, held) = run(&norn.address, case, time_ms).await;
        let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
        if let Some((expected, floats)) = case.differs {
            assert_eq!(statuses, expected, "{window} {}: {answers:?}", case.name);
            let seconds = |minutes: i64| time_ms / 1000 + minutes * 60;
            let floats: Vec<Value> = floats.iter().map(|(m, v)| json!([seconds(*m), v])).collect();
            assert_eq!(held[0]["values"], json!(floats), "{window} {}", case.name);
        }
        let Some((_, address)) = &theirs else { continue };
        let (their_answers, their_held) = run(address, case, time_ms).await;
        if case.differs.is_some() {
            let is_other = their_answers.iter().map(|(status, _)| *status).ne(statuses) || their_held != held;
            assert!(is_other, "{window} {} is a difference no more", case.name);
            continue;
        }
        for (ours, theirs) in answers.iter().zip(&their_answers) {
            let is_same = ours.0 == theirs.0 && ours.1.starts_with(&theirs.1);
            assert!(is_same, "{window} {}: {answers:?} instead of {their_answers:?}", case.name);
        }
        assert_eq!(held, their_held, "{window} {}", case.name);
    }
}

#[tokio::test]
async fn with_a_window() {
    check_all("30m", WINDOW).await;
}

#[tokio::test]
async fn without_a_window() {
    check_all("0s", IN_ORDER).await;
}
