//! What a query tells of itself: its plan, what each node took, and Prometheus's statistics.

use crate::support::{Memory, limited_routes, send};
use axum::body::Body;
use http::Request;
use promql::EngineConfig;
use serde_json::{Value, json};

async fn data(config: EngineConfig, path: &str) -> Value {
    let (routes, _) = limited_routes(Memory::new(), Default::default(), config, Default::default());
    let request = Request::get(format!("/api/v1/{path}")).body(Body::empty()).expect("a sound request");
    let (status, _, body) = send(&routes, request).await;
    let mut body: Value = serde_json::from_slice(&body).expect("the API speaks JSON");
    assert_eq!(status, 200, "{path}: {body}");
    body["data"].take()
}

/// Returns the nodes as `kind name text`, in order.
fn nodes(explained: &Value) -> Vec<String> {
    let shown = |node: &Value| {
        let word = |key: &str| node[key].as_str().expect("a text").to_owned();
        format!("{} {} [{}] by {}", word("kind"), word("name"), word("text"), word("evaluatedBy"))
    };
    explained["nodes"].as_array().expect("a list").iter().map(shown).collect()
}

const RANGE: &str = "start=0&end=100&step=10";

#[tokio::test]
async fn a_plan_names_nodes_grids_and_selects() {
    let path = format!(
        "query_explain?query=sum%20by(job)(rate(up%5B30s%5D))%2Fmax(up%20%40%2050)%2Bmax(up%20%40%2050)&{RANGE}&analyze=false"
    );
    let plan = data(EngineConfig::default(), &path).await;
    assert_eq!(
        nodes(&plan),
        [
            "selector  [up] by parent",
            "range selector  [up[30s]] by engine",
            "function rate [rate(up[30s])] by parent",
            "aggregation sum [sum by(job)(rate(up[30s]))] by engine",
            "selector  [up @ 50] by parent",
            "aggregation max [max(up @ 50)] by engine",
            "binary operator / [sum by(job)(rate(up[30s]))/max(up @ 50)] by engine",
            "selector  [up @ 50] by parent",
            "aggregation max [max(up @ 50)] by engine",
            "binary operator + [sum by(job)(rate(up[30s]))/max(up @ 50)+max(up @ 50)] by engine",
        ]
    );
    assert_eq!((&plan["root"], &plan["nodes"][9]["children"]), (&json!(9), &json!([6, 8])));
    let (rate, pinned) = (&plan["nodes"][2], &plan["nodes"][5]);
    assert_eq!(
        (&rate["steps"], &rate["step"], &rate["stepInvariant"]),
        (&json!(11), &json!(10), &json!(false))
    );
    assert_eq!((&pinned["steps"], &pinned["stepInvariant"]), (&json!(1), &json!(true)));
    assert_eq!(
        plan["selects"],
        json!([
            {"id": 0, "selector": "{__name__=\"up\"}", "start": -29.999, "end": 100, "nodes": [0]},
            {"id": 1, "selector": "{__name__=\"up\"}", "start": -249.999, "end": 50, "nodes": [4, 7]},
        ])
    );
    assert!(plan["nodes"].as_array().expect("a list").iter().all(|node| node.get("stats").is_none()));
}

#[tokio::test]
async fn a_query_that_was_run_tells_what_each_node_took() {
    for path in [
        format!("query_range?query=sum(up%2B1)&{RANGE}&explain=true"),
        format!("query_explain?query=sum(up%2B1)&{RANGE}"),
    ] {
        let mut data = data(EngineConfig::default(), &path).await;
        if path.starts_with("query_range") {
            assert_eq!(data["result"].as_array().map(Vec::len), Some(1));
            data = data["explain"].take();
        }
        let (selector, sum) = (&data["nodes"][0]["stats"], &data["nodes"][3]["stats"]);
        assert_eq!((&selector["series"], &selector["samples"]), (&json!(3), &json!(33)));
        assert_eq!(selector["samplesRead"], 33);
        assert!(selector["memoryBytes"].as_u64() >= Some(33 * 8), "{selector}");
        assert!(selector["wallSeconds"].as_f64() > Some(0.0), "{selector}");
        assert_eq!(
            (&sum["series"], &sum["samples"], &sum["samplesRead"]),
            (&json!(1), &json!(11), &json!(0))
        );
        assert_eq!(data["selects"][0]["series"], 3);
    }
}

#[tokio::test]
async fn statistics_are_prometheus_s() {
    let stock = EngineConfig::default;
    let per_step = || EngineConfig { per_step_stats: true, ..EngineConfig::default() };
    let path =
        |query: &str, stats: &str| format!("query_range?query={query}&start=0&end=20&step=10&stats={stats}");
    // Three series with samples at 0, 10 and 20 s; windows are open at their start.
    for (query, steps) in [
        ("up", [3, 3, 3]),
        ("sum_over_time(up%5B15s%5D)", [3, 6, 6]),
        ("up%20%40%2010", [3, 3, 3]),
        ("up%2Bup", [6, 6, 6]),
        ("1", [0, 0, 0]),
    ] {
        let data = data(per_step(), &path(query, "all")).await;
        let samples = &data["stats"]["samples"];
        let expected: Vec<_> =
            steps.iter().zip([0, 10, 20]).map(|(count, time)| json!([time, count])).collect();
        assert_eq!(samples["totalQueryableSamplesPerStep"], Value::from(expected), "{query}");
        assert_eq!(samples["totalQueryableSamples"], steps.iter().sum::<i64>(), "{query}");
    }
    for (config, stats) in [(stock(), "all"), (per_step(), "true")] {
        let data = data(config, &path("up", stats)).await;
        let samples = data["stats"]["samples"].as_object().expect("an object");
        assert_eq!(
            samples.keys().collect::<Vec<_>>(),
            ["peakSamples", "samplesRead", "totalQueryableSamples"]
        );
        assert_eq!((&samples["totalQueryableSamples"], &samples["peakSamples"]), (&json!(9), &json!(9)));
        let timings = data["stats"]["timings"].as_object().expect("an object");
        let keys = [
            "evalTotalTime",
            "execQueueTime",
            "execTotalTime",
            "innerEvalTime",
            "queryPreparationTime",
            "resultSortTime",
        ];
        assert_eq!(timings.keys().collect::<Vec<_>>(), keys);
    }
    assert!(data(stock(), &path("up", "")).await.get("stats").is_none());
}
