//! Turns of queries: who runs, who waits, who is refused, and how one is watched and stopped.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::support::{Counts, Memory, NOW_MS, limited_routes, routes, send};
use api::QueryLimits;
use axum::Router;
use axum::body::Body;
use futures::FutureExt;
use http::Request;
use promql::EngineConfig;
use serde_json::Value;

async fn ask(routes: &Router, request: Request<Body>) -> (u16, Value) {
    let (status, _, body) = send(routes, request).await;
    (status, serde_json::from_slice(&body).expect("the API speaks JSON"))
}

async fn get(routes: &Router, path: &str) -> (u16, Value) {
    ask(routes, Request::get(format!("/api/v1/{path}")).body(Body::empty()).expect("a sound request")).await
}

async fn post(routes: &Router, path: &str) -> (u16, Value) {
    ask(routes, Request::post(format!("/api/v1/{path}")).body(Body::empty()).expect("a sound request")).await
}

/// Returns routes over data that never answers, with so many places to run and to wait.
fn hanging(concurrency_max: usize, queued_max: usize) -> (Router, Arc<Counts>) {
    let mut memory = Memory::new();
    memory.hangs = true;
    let counts = Arc::<Counts>::default();
    let limits = QueryLimits { concurrency_max, queued_max, ..QueryLimits::default() };
    let (routes, _) = limited_routes(memory, Arc::clone(&counts), EngineConfig::default(), limits);
    (routes, counts)
}

#[tokio::test(start_paused = true)]
async fn beyond_the_places_queries_wait_and_beyond_the_queue_they_are_refused() {
    let (routes, counts) = hanging(1, 1);
    let mut running = get(&routes, "query?query=up").boxed_local();
    assert!(futures::poll!(&mut running).is_pending());
    let mut waiting = get(&routes, "query?query=up%2B1&timeout=7s").boxed_local();
    assert!(futures::poll!(&mut waiting).is_pending());
    let (status, body) = get(&routes, "query?query=1").await;
    assert_eq!((status, body["errorType"].as_str()), (503, Some("unavailable")));
    let text = "too many queries: --query.max-concurrency=1 run and --query.max-queued=1 wait for their turn: try again later";
    assert_eq!(body["error"], text);
    assert_eq!(get(&routes, "status/buildinfo").await.0, 200);
    let (_, list) = get(&routes, "status/active_queries").await;
    let states: Vec<_> = list["data"].as_array().expect("a list").iter().map(|q| &q["state"]).collect();
    assert_eq!(states, ["running", "waiting"]);
    let began = tokio::time::Instant::now();
    let (status, body) = waiting.await;
    assert_eq!(began.elapsed().as_secs(), 7);
    assert_eq!((status, body["errorType"].as_str()), (503, Some("timeout")));
    let text = body["error"].as_str().expect("a text");
    assert!(
        text.starts_with("query timed out in query queue: it waited for the 7s that --query.timeout"),
        "{text}"
    );
    let (status, body) = running.await;
    assert_eq!((status, body["errorType"].as_str()), (503, Some("timeout")));
    let text = body["error"].as_str().expect("a text");
    assert!(text.starts_with("query timed out in query execution: it took longer than the 2m"), "{text}");
    assert_eq!(counts.running.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_place_is_free_when_its_caller_goes_away() {
    let (routes, counts) = hanging(1, 9);
    let mut gone = get(&routes, "query?query=up").boxed_local();
    assert!(futures::poll!(&mut gone).is_pending());
    let mut next = get(&routes, "query?query=1").boxed_local();
    assert!(futures::poll!(&mut next).is_pending());
    drop(gone);
    assert_eq!(next.await.0, 200);
    assert_eq!(counts.running.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_query_is_listed_and_cancelled_by_its_id() {
    let (routes, counts) = hanging(1, 9);
    let mut running = get(&routes, "query_range?query=sum(up)&start=0&end=10&step=1").boxed_local();
    let mut waiting = get(&routes, "query?query=up").boxed_local();
    assert!(futures::poll!(&mut running).is_pending());
    assert!(futures::poll!(&mut waiting).is_pending());
    let (_, list) = get(&routes, "status/active_queries").await;
    let first = &list["data"][0];
    assert_eq!((first["query"].as_str(), first["samplesRead"].as_i64()), (Some("sum(up)"), Some(0)));
    assert_eq!(first["startTime"], "1970-01-01T00:16:40Z", "{NOW_MS}");
    for query in [1, 0] {
        let path = format!("status/active_queries/{}/cancel", list["data"][query]["id"]);
        assert_eq!(post(&routes, &path).await.0, 200);
        let (status, body) = if query == 1 { (&mut waiting).await } else { (&mut running).await };
        assert_eq!((status, body["errorType"].as_str()), (503, Some("canceled")));
        assert_eq!(body["error"], "query was canceled in query execution");
        assert_eq!(post(&routes, &path).await.0, 404);
    }
    assert_eq!(get(&routes, "status/active_queries").await.1["data"], serde_json::json!([]));
    assert_eq!(post(&routes, "status/active_queries/x/cancel").await.0, 400);
    assert_eq!(counts.running.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn only_a_post_cancels() {
    let (status, ..) = send(
        &routes(Memory::new()),
        Request::get("/api/v1/status/active_queries/1/cancel").body(Body::empty()).expect("a sound request"),
    )
    .await;
    assert_eq!(status, 405);
}

#[tokio::test]
async fn memory_is_held_until_the_answer_is_written() {
    let config = EngineConfig { memory_bytes_max: 6000, ..EngineConfig::default() };
    let (routes, queries) = limited_routes(Memory::new(), Arc::default(), config, QueryLimits::default());
    let (status, _) = get(&routes, "query_range?query=up&start=0&end=100&step=10").await;
    assert_eq!((status, queries.engine().memory().used()), (200, 0));
    let (status, body) = get(&routes, "query_range?query=up&start=0&end=1000&step=10").await;
    assert_eq!((status, body["errorType"].as_str()), (422, Some("execution")), "{body}");
    assert!(body["error"].as_str().expect("a text").contains("--query.max-memory-bytes"), "{body}");
    assert_eq!(queries.engine().memory().used(), 0);
}
