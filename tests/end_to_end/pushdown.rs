//! Queries whose parts ingesters and gateways evaluate, against the same queries evaluated from samples alone: equal, on both
//! sides of the seam between blocks and heads and across it.

use serde_json::Value;

use crate::harness::{Api, LocalCluster, Sample, now_ms, series, until};

/// A window of the test's cluster.
const WINDOW_MS: i64 = 20_000;
/// How many windows are written.
const WINDOWS: i64 = 6;
/// How much of a value a sum in another order may lose.
const RELATIVE: f64 = 1e-12;

const QUERIES: [&str; 12] = [
    "sum(rate(pushed_total[5s]))",
    "sum by (zone, cluster) (rate(pushed_total[7s]))",
    "avg by (zone) (pushed_total)",
    "stddev(rate(pushed_total[5s]))",
    "topk(3, pushed_total)",
    "quantile by (zone) (0.9, rate(pushed_total[5s]))",
    "count_values(\"value\", pushed_total % 7)",
    "max_over_time(sum(rate(pushed_total[5s]))[20s:2s])",
    "rate(pushed_total[5s]) / on () group_left () sum(rate(pushed_total[5s]))",
    "absent(pushed_total{pod=\"none\"}) + scalar(count(pushed_total))",
    "sum(pushed_total offset 30s) - sum(pushed_total @ end())",
    "rate(pushed_total{pod=~\"1.*\"}[5s]) > 2",
];

/// Returns how often gateways were asked to evaluate.
async fn evaluations(gateway: &Api) -> Result<f64, String> {
    let (_, text) = gateway.get("/metrics").await?;
    let line =
        |line: &&str| line.starts_with("norn_gateway_requests_total{") && line.contains("\"evaluate\"");
    Ok(text.lines().filter(line).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// Tells whether two results are the same, but for the last bits of floats.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((ka, a), (kb, b))| ka == kb && alike(a, b))
        }
        (Value::String(a), Value::String(b)) => match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(x), Ok(y)) => a == b || (x - y).abs() <= RELATIVE * x.abs().max(y.abs()),
            _ => a == b,
        },
        (a, b) => a == b,
    }
}

async fn check(api: &Api, query: &str, start_ms: i64, end_ms: i64) {
    let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
    let (start, end) = (seconds(start_ms), seconds(end_ms));
    let range = [("query", query), ("start", &start), ("end", &end), ("step", "0.7")];
    let instant = [("query", query), ("time", &end)];
    for (path, parameters) in
        [("/api/v1/query_range", range.as_slice()), ("/api/v1/query", instant.as_slice())]
    {
        let ask = async |pushdown| {
            let parameters = [parameters, &[("pushdown", pushdown)]].concat();
            api.data(path, &parameters).await.expect("it answers")["result"].take()
        };
        let (mut pushed, mut central) = (ask("true").await, ask("false").await);
        // The order of an instant vector says nothing here.
        for result in [&mut pushed, &mut central] {
            result.as_array_mut().expect("a vector").sort_by_key(|one| one["metric"].to_string());
        }
        assert!(!central.as_array().expect("a vector").is_empty(), "{query} finds something");
        assert!(alike(&pushed, &central), "{query}: {pushed} is not {central}");
    }
}

#[tokio::test]
async fn pushed_queries_say_what_samples_say() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(
        dir.path().join("prometheus.yml"),
        "global: {external_labels: {cluster: eu}}\nscrape_configs: []\n",
    )
    .expect("a file");
    let flags = ["--config.file=prometheus.yml", "--storage.block-duration=20s"].map(str::to_owned);
    let cluster = LocalCluster::start(dir.path(), &flags).await;
    let start = (now_ms() - WINDOWS * WINDOW_MS) / WINDOW_MS * WINDOW_MS;
    let end = start + WINDOWS * WINDOW_MS;
    for window in 0..WINDOWS {
        let samples = |pod: i64| -> Vec<Sample> {
            let steps = window * WINDOW_MS / 500..(window + 1) * WINDOW_MS / 500;
            steps.map(|i| (start + i * 500, ((i % 97) * (pod + 1)) as f64 + 0.1 * i as f64)).collect()
        };
        let one = |pod: i64| {
            let (name, zone) = (pod.to_string(), ["a", "b", "c"][pod as usize % 3]);
            series("pushed_total", &[("pod", &name), ("zone", zone)], samples(pod))
        };
        let request: Vec<_> = (0..24).map(one).collect();
        cluster.remote("ingester-0").write(&request).await.expect("acknowledged");
    }
    let (api, gateway) = (cluster.api(), Api::new(&cluster.node("gateway").http));
    let query = "sum(rate(pushed_total[5s]))";
    until("a gateway that evaluates", async || {
        // Also while windows are being cut, published and dropped.
        check(&api, query, start + 10_000, end - 1000).await;
        if evaluations(&gateway).await? > 0.0 { Ok(()) } else { Err("no gateway was asked".to_owned()) }
    })
    .await;
    for query in QUERIES {
        let before = evaluations(&gateway).await.expect("metrics");
        check(&api, query, start + 10_000, end - 1000).await;
        let after = evaluations(&gateway).await.expect("metrics");
        assert!(after > before, "{query} is not pushed");
    }
}
