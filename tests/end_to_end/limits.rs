//! Limits of queries: what is over one gets the right status and a text that names the limit and its flag, the process
//! lives on, and other queries do not notice.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Api, Norn, Remote, free_ports, now_ms, series, until};

/// Busy for many seconds and small: a long sort at each of 11,000 steps. Nothing of it is stored.
const ENDLESS: &str = "quantile_over_time(0.5,vector(1)[10h:1s])";

/// Starts a process with limits, and 200 series `m` with 10 samples each.
async fn limited(dir: &std::path::Path, flags: &[&str]) -> (Norn, i64) {
    let norn = Norn::standalone(dir, free_ports(1), flags).await;
    let now = now_ms();
    let samples: Vec<(i64, f64)> = (0..10).map(|i| (now - 10_000 + i * 1000, i as f64)).collect();
    let all: Vec<_> = (0..200).map(|i| series("m", &[("i", &format!("{i:03}"))], samples.clone())).collect();
    Remote::new(&norn.address).write(&all).await.expect("acknowledged");
    (norn, now)
}

async fn refusal(api: &Api, path: &str, parameters: &[(&str, &str)]) -> (u16, String, String) {
    let (status, text) = api.ask(path, parameters).await.expect("it answers");
    let body: Value = serde_json::from_str(&text).expect("the API speaks JSON");
    let word = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    (status, word("errorType"), word("error"))
}

/// Asks for [`ENDLESS`] until the future is dropped.
async fn ask_endless(api: Api) {
    let parameters = [("query", ENDLESS), ("start", "0"), ("end", "11000"), ("step", "1")];
    // Whether it was stopped or not, the answer does not matter.
    drop(api.ask("/api/v1/query_range", &parameters).await);
}

/// Waits until as many queries are active.
async fn active(api: &Api, count: usize) -> Vec<Value> {
    until("active queries", async || {
        let data = api.data("/api/v1/status/active_queries", &[]).await?;
        let list = data.as_array().cloned().unwrap_or_default();
        if list.len() == count { Ok(list) } else { Err(data.to_string()) }
    })
    .await
}

/// Waits until no query holds memory: its workers have stopped, not only its caller.
async fn at_rest(api: &Api) {
    until("memory given back", async || {
        let (_, text) = api.get("/metrics").await?;
        let is_free = text.lines().any(|line| line == "norn_query_memory_bytes 0");
        if is_free { Ok(()) } else { Err("queries hold memory".to_owned()) }
    })
    .await;
}

#[tokio::test]
async fn what_is_over_a_limit_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let flags = ["--query.max-samples=900", "--query.max-series=150", "--query.max-memory-bytes=200KB"];
    let (norn, now) = limited(dir.path(), &flags).await;
    let api = norn.api();
    let time = (now / 1000).to_string();
    let start = (now / 1000 - 10_000).to_string();
    let range = [("start", start.as_str()), ("end", time.as_str()), ("step", "1")];
    for (query, pushdown, limit) in [
        ("m", "false", "--query.max-series"),
        ("sum(m)", "true", "--query.max-series"),
        ("m{i=~\"0.*\"}[1h:1s]", "false", "--query.max-samples"),
        ("sum(last_over_time(m{i=~\"0.*\"}[1h:1s]))", "true", "--query.max-samples"),
    ] {
        let parameters = [("query", query), ("time", &time), ("pushdown", pushdown)];
        let (status, kind, text) = refusal(&api, "/api/v1/query", &parameters).await;
        assert_eq!((status, kind.as_str()), (422, "execution"), "{query}: {text}");
        assert!(text.contains(limit), "{query}: {text}");
    }
    let mut parameters = vec![("query", "time() + time()")];
    parameters.extend(range);
    let (status, kind, text) = refusal(&api, "/api/v1/query_range", &parameters).await;
    assert_eq!((status, kind.as_str()), (422, "execution"), "{text}");
    assert!(text.contains("204800 bytes of memory that --query.max-memory-bytes allows"), "{text}");
    assert_eq!(api.instant("count(m{i=~\"00.\"})", Some(now)).await.expect("it answers")[0].1, 10.0);
    at_rest(&api).await;
    api.ready().await.expect("it lives on");
}

#[tokio::test]
async fn queries_wait_are_refused_and_are_cancelled() {
    let dir = tempfile::tempdir().expect("a directory");
    let flags = ["--query.max-concurrency=1", "--query.max-queued=1"];
    let (norn, now) = limited(dir.path(), &flags).await;
    let api = norn.api();
    let first = tokio::spawn(ask_endless(api.clone()));
    active(&api, 1).await;
    let second = tokio::spawn(ask_endless(api.clone()));
    active(&api, 2).await;
    let (status, kind, text) = refusal(&api, "/api/v1/query", &[("query", "1")]).await;
    assert_eq!((status, kind.as_str()), (503, "unavailable"), "{text}");
    assert!(text.contains("--query.max-concurrency=1 run and --query.max-queued=1 wait"), "{text}");
    api.ready().await.expect("it lives on");
    // The caller of the second goes away while it waits; the first is stopped by its id while it runs.
    second.abort();
    let left = active(&api, 1).await;
    let path = format!("http://{}/api/v1/status/active_queries/{}/cancel", norn.address, left[0]["id"]);
    let answer = reqwest::Client::new().post(path).send().await.expect("it answers");
    assert_eq!(answer.status().as_u16(), 200);
    first.await.expect("it got an answer");
    active(&api, 0).await;
    at_rest(&api).await;
    assert_eq!(api.instant("count(m)", Some(now)).await.expect("it answers")[0].1, 200.0);
}

#[tokio::test]
async fn work_stops_with_its_caller_and_at_its_deadline() {
    let dir = tempfile::tempdir().expect("a directory");
    let (norn, now) = limited(dir.path(), &[]).await;
    let api = norn.api();
    let running = tokio::spawn(ask_endless(api.clone()));
    active(&api, 1).await;
    // Another query does not notice.
    assert_eq!(api.instant("sum(count_over_time(m[1m]))", Some(now)).await.expect("it answers")[0].1, 2000.0);
    running.abort();
    active(&api, 0).await;
    at_rest(&api).await;
    let parameters =
        [("query", ENDLESS), ("start", "0"), ("end", "11000"), ("step", "1"), ("timeout", "300ms")];
    let began = std::time::Instant::now();
    let (status, kind, text) = refusal(&api, "/api/v1/query_range", &parameters).await;
    assert_eq!((status, kind.as_str()), (503, "timeout"), "{text}");
    assert!(text.starts_with("query timed out in query execution: it took longer than the 300ms"), "{text}");
    assert!(began.elapsed() >= Duration::from_millis(300));
    at_rest(&api).await;
    api.ready().await.expect("it lives on");
}

#[tokio::test]
async fn features_are_off_until_they_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let query = [("query", "sort_by_label(m, \"i\")")];
    let (stock, now) = limited(dir.path(), &[]).await;
    let (status, kind, text) = refusal(&stock.api(), "/api/v1/query", &query).await;
    assert_eq!((status, kind.as_str()), (400, "bad_data"), "{text}");
    let features = stock.api().data("/api/v1/features", &[]).await.expect("it answers");
    assert_eq!(features["promql_functions"]["sort_by_label"], false, "{features}");
    drop(stock);
    let flags = [
        "--enable-feature=promql-experimental-functions,promql-delayed-name-removal",
        "--enable-feature=native-histograms,nonsense",
    ];
    let norn = Norn::standalone(dir.path(), free_ports(1), &flags).await;
    let api = norn.api();
    assert_eq!(api.instant(query[0].1, Some(now)).await.expect("it answers").len(), 200);
    let named = api.instant("count by (__name__) (rate(m[1m]))", Some(now)).await.expect("it answers");
    assert_eq!(named.len(), 1);
    let features = api.data("/api/v1/features", &[]).await.expect("it answers");
    assert_eq!(features["promql_functions"]["sort_by_label"], true);
    assert_eq!(features["promql"]["delayed_name_removal"], true);
    let log = norn.log_text();
    assert!(log.contains("Unknown option for --enable-feature") && log.contains("nonsense"), "{log}");
}
