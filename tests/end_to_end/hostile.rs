//! Queries that nobody should send: each gets an answer of the right kind, and the server lives on.

use std::fs;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::{Api, Norn, Remote, Series, free_ports, now_ms, series, until};

/// More than any query here should need, with what else the process holds, in kB.
const PEAK_KB_MAX: u64 = 1_500_000;

/// Starts a server with some series that end now; returns the time of the last sample in seconds.
async fn server(dir: &std::path::Path) -> (Norn, String) {
    fs::write(dir.join("norn.yml"), "global: {}\n").expect("a file");
    let norn = Norn::standalone(dir, free_ports(1), &["--config.file=norn.yml"]).await;
    let now = now_ms();
    let one = |index: i64| {
        let id = index.to_string();
        let samples = (0..60).map(|at| (now - 600_000 + at * 10_000, (index * at) as f64)).collect();
        series("load", &[("id", &id)], samples)
    };
    let all: Vec<Series> = (0..30).map(one).collect();
    Remote::new(&norn.address).write(&all).await.expect("it is written");
    (norn, (now / 1000).to_string())
}

/// Asks, and checks that the server is ready afterwards; returns status, type of error and answer.
async fn ask(api: &Api, path: &str, parameters: &[(&str, &str)]) -> (u16, String, String) {
    let (status, text) = api.post(path, parameters).await.expect("an answer");
    api.ready().await.expect("it is ready whatever was asked");
    let json: serde_json::Value = serde_json::from_str(&text).expect("the answer is JSON");
    (status, json["errorType"].as_str().unwrap_or_default().to_owned(), text)
}

fn peak_kb(norn: &Norn) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", norn.pid())).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test]
async fn long_deep_and_wide_queries() {
    let dir = tempfile::tempdir().expect("a directory");
    let (norn, now) = server(dir.path()).await;
    let api = norn.api();
    let nested =
        |open: &str, middle: &str, close: &str, times| open.repeat(times) + middle + &close.repeat(times);
    for (query, status, error_type) in [
        (vec!["1"; 50_000].join("+"), 200, ""),
        (vec!["load"; 12_500].join(" or "), 200, ""),
        (format!("load{{id=\"{}\"}}", "x".repeat(100_000)), 200, ""),
        (nested("(", "1", ")", 20_000), 400, "bad_data"),
        (nested("sum(", "load", ")", 20_000), 400, "bad_data"),
        (nested("-", "load", "", 20_000), 400, "bad_data"),
        (nested("", "load", "[1m:]", 20_000), 400, "bad_data"),
        ("(".repeat(20_000), 400, "bad_data"),
        ("{__name__=~\".+\"}".to_owned(), 200, ""),
        ("{__name__=~\"(a+)+$\"}".to_owned(), 200, ""),
        ("{__name__=~\"(((a{1,100}){1,100}){1,100})\"}".to_owned(), 400, "bad_data"),
        (format!("{{__name__=~\"{}\"}}", nested("(x|", "y", ")", 5_000)), 400, "bad_data"),
        (format!("{{__name__=~\"{}b\"}}", ".*a".repeat(50)), 200, ""),
        ("max_over_time(load[1000d:1ms])".to_owned(), 422, "execution"),
        ("max_over_time(max_over_time(load[1000d:1ms])[1000d:1ms])".to_owned(), 422, "execution"),
        ("topk(1e300, load)".to_owned(), 422, "execution"),
        ("load offset 292y".to_owned(), 200, ""),
        ("load offset 300y".to_owned(), 400, "bad_data"),
        ("rate(load[292y])".to_owned(), 200, ""),
        ("load @ 9223372036854775807".to_owned(), 400, "bad_data"),
        ("load @ NaN".to_owned(), 400, "bad_data"),
    ] {
        let shown: String = query.chars().take(60).collect();
        let found = ask(&api, "/api/v1/query", &[("query", &query), ("time", &now)]).await;
        let head: String = found.2.chars().take(300).collect();
        assert_eq!((found.0, &*found.1), (status, error_type), "{shown}: {head}");
    }
    let peak = peak_kb(&norn);
    assert!(peak < PEAK_KB_MAX, "{peak} kB");
}

#[tokio::test]
async fn absurd_times_and_steps() {
    let dir = tempfile::tempdir().expect("a directory");
    let (norn, _) = server(dir.path()).await;
    let api = norn.api();
    for (start, end, step, status) in [
        ("0", "11000", "1", 200),
        ("0", "11001", "1", 400),
        ("0", "10", "0", 400),
        ("0", "10", "-1", 400),
        ("0", "10", "NaN", 400),
        ("0", "10", "1e-9", 400),
        ("0", "10", "1e300", 400),
        ("0", "9223372036854775807", "1", 400),
        ("-9223372036854775808", "9223372036854775807", "9223372036", 400),
        ("9223372036854775807", "9223372036854775807", "1", 200),
        ("-9223372036854775808", "-9223372036854775808", "9e9", 200),
        ("-5", "5", "1", 200),
        ("10", "0", "1", 400),
        ("NaN", "0", "1", 400),
    ] {
        for query in ["load", "rate(load[5m] offset -292y)", "max_over_time(load[5m:1m])", "time()"] {
            let parameters = [("query", query), ("start", start), ("end", end), ("step", step)];
            let found = ask(&api, "/api/v1/query_range", &parameters).await;
            assert_eq!(found.0, status, "{parameters:?}: {}", found.2);
        }
    }
    for (time, status) in
        [("NaN", 400), ("Inf", 400), ("1e300", 200), ("-1e300", 200), ("-1", 200), ("x", 400)]
    {
        let found = ask(&api, "/api/v1/query", &[("query", "load offset -292y"), ("time", time)]).await;
        assert_eq!(found.0, status, "{time}: {}", found.2);
    }
}

#[tokio::test]
async fn fifty_at_once_and_clients_that_leave() {
    let dir = tempfile::tempdir().expect("a directory");
    let (norn, now) = server(dir.path()).await;
    let api = norn.api();
    let heavy = "sum(max_over_time(rate(load[5m])[1h:1s]))";
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (api, now) = (api.clone(), now.clone());
        let query = "sum by (id) (max_over_time(load[5m:10s]))";
        asked.spawn(async move { api.post("/api/v1/query", &[("query", query), ("time", &now)]).await });
    }
    while let Some(answer) = asked.join_next().await {
        let (status, text) = answer.expect("no panic").expect("an answer");
        assert_eq!(status, 200, "{text}");
    }
    // A thousand steps of an hour each, asked for and not waited for.
    let start: i64 = now.parse::<i64>().expect("a number") - 10_000;
    let query = format!("/api/v1/query_range?query={heavy}&start={start}&end={now}&step=1").replace(' ', "+");
    for _ in 0..20 {
        let mut stream = TcpStream::connect(&norn.address).await.expect("it listens");
        let request = format!("GET {query} HTTP/1.1\r\nHost: norn\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is sent");
        drop(stream);
    }
    // They hold no place that others would wait for.
    until("the queries of those who left to end", async || {
        api.ready().await?;
        api.instant("count(load)", Some(now.parse::<i64>().expect("a number") * 1000)).await.map(drop)
    })
    .await;
    let peak = peak_kb(&norn);
    assert!(peak < PEAK_KB_MAX, "{peak} kB");
}
