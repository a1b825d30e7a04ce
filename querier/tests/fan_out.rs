//! The querier against a cluster in this process: who is asked for what, what becomes of the answers, and what is said
//! when somebody does not answer.

#[allow(dead_code, reason = "this test uses a part of the cluster")]
#[path = "fan_out/overview.rs"]
mod overview;
mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{ErrorKind, MetricMetadata, MetricType};
use promql::{Engine, EngineConfig};
use proto::convert::target_matchers_from_wire;
use proto::error::{not_leader, status};
use proto::query::InstantRequest;
use proto::query::query_client::QueryClient;
use proto::scrape::scrape_server::Scrape;
use proto::scrape::{
    Target, TargetMetadata, TargetMetadataRequest, TargetMetadataResponse, TargetsRequest, TargetsResponse,
};
use querier::QuerierConfig;
use serde_json::json;
use support::peer::{Part, Peer};
use support::{Cluster, block};
use tonic::{Request, Response, Status};

const UP_A: &[(&str, &str)] = &[("__name__", "up"), ("job", "a")];
const UP_B: &[(&str, &str)] = &[("__name__", "up"), ("job", "b")];

/// Two shards: the first has a block until 100 s and a head from there, the second a head only.
async fn two_shards(
    external_labels: &[(&str, &str)],
    config: QuerierConfig,
) -> (Cluster, Arc<Peer>, Arc<Peer>) {
    let cluster = Cluster::found(config, external_labels).await;
    // The head still holds what the block holds: nothing of it may be seen twice.
    let first = Part::of(&[(UP_A, &[(80_000, 1.0), (90_000, 2.0), (100_000, 3.0), (110_000, 4.0)])]);
    let second = Part::of(&[(UP_B, &[(90_000, 5.0), (110_000, 6.0)])]);
    let ingester = Arc::new(Peer::default().with_shard(1, first).with_shard(2, second));
    cluster.serve("ingester-1", &ingester);
    cluster.serve("ingester-2", &ingester);
    let gateway =
        Arc::new(Peer::default().with_block(7, Part::of(&[(UP_A, &[(80_000, 1.0), (90_000, 2.0)])])));
    cluster.add_gateway("gateway-0", &gateway);
    cluster.control.apply(block(7, 1, 0, 100_000));
    cluster.settle().await;
    (cluster, ingester, gateway)
}

fn impatient() -> QuerierConfig {
    QuerierConfig { leader_patience: Duration::ZERO, ..QuerierConfig::default() }
}

#[tokio::test]
async fn the_seam_between_head_and_block_does_not_show() {
    let (cluster, ingester, gateway) = two_shards(&[], QuerierConfig::default()).await;
    let data = cluster
        .data("query_range?query=count_over_time(up[30s])&start=90&end=110&step=10&pushdown=false")
        .await;
    let expected = json!([
        {"metric": {"job": "a"}, "values": [[90, "2"], [100, "3"], [110, "3"]]},
        {"metric": {"job": "b"}, "values": [[90, "1"], [100, "1"], [110, "2"]]},
    ]);
    assert_eq!(data, json!({"resultType": "matrix", "result": expected}));
    let mut asked = ingester.take_asked();
    asked.sort();
    assert_eq!(asked, [format!("shard 1 from {}", 100_000), format!("shard 2 from {}", i64::MIN)]);
    assert_eq!(gateway.take_asked(), ["blocks 1"]);
    // Nothing of this range lies in the first shard's head.
    cluster.data("query?query=up[5s]&time=90").await;
    assert_eq!(ingester.take_asked(), [format!("shard 2 from {}", i64::MIN)]);
}

#[tokio::test]
async fn label_queries_are_the_union_of_all_parts() {
    let (cluster, ingester, gateway) = two_shards(&[], QuerierConfig::default()).await;
    gateway.blocks.lock().values_mut().for_each(|part| {
        part.series
            .push((model::LabelSet::from_pairs([("__name__", "old"), ("zone", "z")]), vec![(1000, 1.0)]));
    });
    ingester.shards.lock().values_mut().for_each(|part| {
        let metric_type = MetricType::Gauge;
        part.metadata.push(MetricMetadata { family: "up".into(), metric_type, ..MetricMetadata::default() });
    });
    assert_eq!(cluster.data("labels").await, json!(["__name__", "job", "zone"]));
    assert_eq!(cluster.data("label/__name__/values?start=90").await, json!(["up"]));
    assert_eq!(cluster.data("label/job/values?match[]=up").await, json!(["a", "b"]));
    let (_, body) = cluster.fetch("label/job/values?limit=1").await;
    assert_eq!(
        (&body["data"], &body["warnings"]),
        (&json!(["a"]), &json!(["results truncated due to limit"]))
    );
    let series = json!([{"__name__": "up", "job": "a"}, {"__name__": "up", "job": "b"}]);
    assert_eq!(cluster.data("series?match[]=up").await, series);
    let metadata = json!({
        "up": [{"type": "gauge", "help": "", "unit": ""}],
    });
    assert_eq!(cluster.data("metadata").await, metadata);
    let status = cluster.data("status/tsdb").await;
    assert_eq!(status["headStats"]["numSeries"], json!(2), "heads only: {status}");
}

#[tokio::test]
async fn leaders_are_followed_and_remembered() {
    let cluster = Cluster::found(QuerierConfig::default(), &[]).await;
    let part = Part::of(&[(UP_A, &[(1000, 1.0)])]);
    let leader = Arc::new(Peer::default().with_shard(1, part).with_shard(2, Part::default()));
    let follower = Arc::new(Peer::default());
    cluster.serve("ingester-1", &follower);
    cluster.serve("ingester-2", &leader);
    cluster.settle().await;
    follower.fail_once(not_leader(Some("ingester-2")));
    // One that knows no leader: the next replica is asked.
    follower.fail_once(not_leader(None));
    assert_eq!(
        cluster.data("query?query=sum(up)&time=1&pushdown=false").await["result"][0]["value"],
        json!([1, "1"])
    );
    assert_eq!(follower.take_asked().len(), 2);
    cluster.data("query?query=sum(up)&time=1&pushdown=false").await;
    assert_eq!(follower.take_asked(), Vec::<String>::new());
    // The leader goes, comes back after an election, and the query waits for it.
    leader.fail_once(Status::unavailable("electing"));
    leader.fail_once(Status::unavailable("electing"));
    assert_eq!(
        cluster.data("query?query=sum(up)&time=1&pushdown=false").await["result"][0]["value"],
        json!([1, "1"])
    );
}

#[tokio::test]
async fn a_missing_shard_is_named() {
    let (cluster, ingester, _) = two_shards(&[], impatient()).await;
    let fault = || Status::unavailable("electing");
    *ingester.down.lock() = Some(fault());
    let (status, body) = cluster.fetch("query?query=up&time=110").await;
    assert_eq!((status, body["errorType"].as_str()), (503, Some("unavailable")));
    let text = body["error"].as_str().unwrap();
    assert!(text.starts_with("shard ") && text.contains("has no leader that answers"), "{text}");
    assert!(text.ends_with("ingester-1: electing)") || text.ends_with("ingester-2: electing)"), "{text}");
    let (status, body) = cluster.fetch("query?query=up&time=90&partial_response=true").await;
    assert_eq!(status, 200);
    assert_eq!(
        body["data"]["result"],
        json!([{"metric": {"__name__": "up", "job": "a"}, "value": [90, "2"]}])
    );
    let warning = body["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("partial result: shard 2 has no leader that answers"), "{warning}");
    assert_eq!(cluster.fetch("labels").await.0, 503);
}

#[tokio::test]
async fn blocks_fall_to_the_next_gateway() {
    let (cluster, _, first) = two_shards(&[], QuerierConfig::default()).await;
    let second = Arc::new(Peer::default());
    *second.blocks.lock() = first.blocks.lock().clone();
    cluster.add_gateway("gateway-1", &second);
    cluster.settle().await;
    let query = "query?query=sum(count_over_time(up[100s]))&time=100";
    for (down, up) in [(&first, &second), (&second, &first)] {
        *down.down.lock() = Some(Status::unavailable("killed"));
        *up.down.lock() = None;
        assert_eq!(cluster.data(query).await["result"][0]["value"], json!([100, "4"]));
    }
    *first.down.lock() = Some(Status::unavailable("killed"));
    let (status, body) = cluster.fetch(query).await;
    assert_eq!(status, 503);
    let text = body["error"].as_str().unwrap();
    assert!(text.starts_with("1 of 1 blocks cannot be read (last: gateway gateway-"), "{text}");
    let (status, body) = cluster.fetch(&format!("{query}&partial_response=true")).await;
    assert_eq!((status, body["warnings"].as_array().map(Vec::len)), (200, Some(1)), "{body}");
}

#[tokio::test]
async fn a_block_that_one_gateway_finds_damaged_is_read_by_another() {
    let (cluster, _, first) = two_shards(&[], QuerierConfig::default()).await;
    let damaged = || status(ErrorKind::Corrupt, "object x is corrupt: footer");
    let alone = "query?query=sum(count_over_time(up[100s]))&time=100&pushdown=false";
    *first.down.lock() = Some(damaged());
    let (code, body) = cluster.fetch(alone).await;
    assert_eq!(code, 500, "{body}");
    assert!(body["error"].as_str().unwrap().contains("object x is corrupt: footer"), "{body}");
    assert_eq!(first.take_asked().len(), 1, "it is not asked twice");

    let second = Arc::new(Peer::default());
    *second.blocks.lock() = first.blocks.lock().clone();
    cluster.add_gateway("gateway-1", &second);
    cluster.settle().await;
    // Each gateway has its turn.
    for query in [alone, alone, "query?query=sum(count_over_time(up[100s]))&time=100"] {
        assert_eq!(cluster.data(query).await["result"][0]["value"], json!([100, "4"]), "{query}");
    }
    *second.down.lock() = Some(damaged());
    let (code, body) = cluster.fetch(&format!("{alone}&partial_response=true")).await;
    assert_eq!(code, 500, "damage is nothing that may be missing: {body}");
}

#[tokio::test]
async fn a_query_whose_catalogue_is_too_old_starts_again_with_a_newer_one() {
    let (cluster, ingester, gateway) = two_shards(&[], QuerierConfig::default()).await;
    // Shard 2 publishes its window and drops it from the head between the query's plan and its read.
    gateway.blocks.lock().insert(model::BlockId(8).to_string(), Part::of(&[(UP_B, &[(90_000, 5.0)])]));
    let control = cluster.control.clone();
    ingester.shards.lock().get_mut(&2).unwrap().dropped_until_ms = Some(100_000);
    ingester.faults.lock().push_back(Box::new(move || {
        control.apply(block(8, 2, 0, 100_000));
        None
    }));
    let data = cluster.data("query?query=sum(count_over_time(up[1m]))&time=110").await;
    assert_eq!(data["result"][0]["value"], json!([110, "6"]));
    let asked = ingester.take_asked();
    assert!(asked.contains(&format!("shard 2 from {}", i64::MIN)), "{asked:?}");
    assert!(asked.contains(&"shard 2 from 100000".to_owned()), "{asked:?}");
}

#[tokio::test]
async fn limits_are_named() {
    let with = |change: fn(&mut EngineConfig)| {
        let mut config = EngineConfig::default();
        change(&mut config);
        QuerierConfig { engine: Engine::new(config), ..QuerierConfig::default() }
    };
    let few_series = QuerierConfig { series_max: 1, ..QuerierConfig::default() };
    for (config, status, error_type, text) in [
        (few_series, 422, "execution", "--query.max-series"),
        (with(|c| c.samples_max = 1), 422, "execution", "--query.max-samples"),
        (with(|c| c.memory_bytes_max = 50), 422, "execution", "--query.max-memory-bytes"),
        (with(|c| c.memory_bytes_total_max = 50), 503, "unavailable", "--query.max-total-memory-bytes"),
    ] {
        let (cluster, ..) = two_shards(&[], config).await;
        let steps = "start=110&end=112&step=1&partial_response=true";
        for query in ["up", "sum(last_over_time(up[5s]))", "avg by (job) (up)"] {
            let path = format!("query_range?query={query}&{steps}").replace(' ', "%20");
            let (actual, pushed) = cluster.fetch(&path).await;
            // What this process lacks is not a part that others failed to answer.
            assert_eq!(
                (actual, pushed["errorType"].as_str()),
                (status, Some(error_type)),
                "{query}: {pushed}"
            );
            assert!(pushed["error"].as_str().unwrap().contains(text), "{query}: {pushed}");
            let (_, central) = cluster.fetch(&format!("{path}&pushdown=false")).await;
            assert_eq!(pushed, central, "{query}");
        }
    }
}

#[tokio::test]
async fn series_are_counted_over_all_who_evaluate() {
    for series_max in 1..=4 {
        let config = QuerierConfig { series_max, ..QuerierConfig::default() };
        let (cluster, ingester, _) = two_shards(&[], config).await;
        let (b, c): (&[_], &[_]) = (&[("__name__", "two"), ("i", "1")], &[("__name__", "two"), ("i", "2")]);
        let samples: &[(i64, f64)] = &[(110_000, 1.0)];
        for (shard, series) in [(1, b), (2, b), (2, c)] {
            let shard_label: &[_] = &[series[0], series[1], ("shard", if shard == 1 { "1" } else { "2" })];
            let part = Part::of(&[(shard_label, samples)]);
            ingester.shards.lock().get_mut(&shard).unwrap().series.extend(part.series);
        }
        // Two series of `up`, one of which lies on both sides of a seam; three of `two`, two of them in one place.
        for (query, series, times) in [
            ("sum(last_over_time(up[5s]))", 2, "start=110&end=112&step=1"),
            ("sum(up)", 2, "start=80&end=120&step=4"),
            ("count(last_over_time(two[5s]))", 3, "start=110&end=112&step=1"),
            ("sum(last_over_time(up[5s]))+count(last_over_time(two[5s]))", 3, "start=110&end=112&step=1"),
        ] {
            let path = format!("query_range?query={}&{times}", query.replace('+', "%2B"));
            let (status, pushed) = cluster.fetch(&path).await;
            let (_, central) = cluster.fetch(&format!("{path}&pushdown=false")).await;
            assert_eq!(pushed, central, "{query} with {series_max}");
            assert_eq!(
                status,
                if series > series_max { 422 } else { 200 },
                "{query} with {series_max}: {pushed}"
            );
            if series > series_max {
                let text = format!(
                    "a selector matches more series than the {series_max} that --query.max-series allows"
                );
                assert_eq!(pushed["error"].as_str(), Some(&*text), "{query}");
            }
        }
    }
}

#[tokio::test]
async fn peers_stop_when_the_caller_goes_away() {
    let (cluster, ingester, _) = two_shards(&[], QuerierConfig::default()).await;
    cluster.connector.serve_in_process("querier-0", cluster.querier.grpc_routes().unwrap());
    let client = QueryClient::new(cluster.connector.channel("querier-0").unwrap());
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    *ingester.endless.lock() = Some(sender);
    let cluster = Arc::new(cluster);
    // One is read here, as it lies across a seam, one is evaluated over there; one is of a rule.
    for (query, of_a_rule) in [("up", false), ("sum(last_over_time(up[5s]))", false), ("up", true)] {
        let (asking, mut client) = (Arc::clone(&cluster), client.clone());
        let query = tokio::spawn(async move {
            if of_a_rule {
                let request = InstantRequest { query: query.to_owned(), time_ms: 110_000 };
                drop(client.instant(request).await);
            } else {
                asking.fetch(&format!("query?query={query}&time=110")).await;
            }
        });
        // Both shards are asked.
        for _ in 0..2 {
            assert_eq!(events.recv().await, Some("begun"));
        }
        assert_eq!(cluster.data("status/active_queries").await.as_array().map(Vec::len), Some(1));
        query.abort();
        for _ in 0..2 {
            assert_eq!(events.recv().await, Some("dropped"));
        }
        while cluster.data("status/active_queries").await != json!([]) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn external_labels_behave_as_if_stored() {
    let (cluster, ingester, _) =
        two_shards(&[("cluster", "eu"), ("job", "outer")], QuerierConfig::default()).await;
    let bare: &[(&str, &str)] = &[("__name__", "bare"), ("cluster", "own")];
    ingester.shards.lock().get_mut(&2).unwrap().series.extend(Part::of(&[(bare, &[(110_000, 1.0)])]).series);
    let metric = async |query: &str| {
        let data = cluster.data(&format!("query?query={query}&time=110")).await;
        let result = data["result"].as_array().unwrap().clone();
        result.into_iter().map(|sample| sample["metric"].clone()).collect::<Vec<_>>()
    };
    let a = json!({"__name__": "up", "cluster": "eu", "job": "a"});
    let b = json!({"__name__": "up", "cluster": "eu", "job": "b"});
    let own = json!({"__name__": "bare", "cluster": "own", "job": "outer"});
    assert_eq!(metric("up").await, [a.clone(), b.clone()]);
    assert_eq!(metric("%7Bcluster%3D%22eu%22%7D").await, [a.clone(), b.clone()]);
    assert_eq!(metric("%7Bcluster%3D%22own%22%7D").await, std::slice::from_ref(&own));
    assert_eq!(metric("%7Bjob%3D%22outer%22%7D").await, std::slice::from_ref(&own));
    assert_eq!(
        metric("%7Bcluster%21~%22eu%7Cus%22%2Cjob%3D~%22.%2B%22%7D").await,
        std::slice::from_ref(&own)
    );
    assert_eq!(metric("up%7Bcluster%3D%22us%22%7D").await, Vec::<serde_json::Value>::new());
    assert_eq!(cluster.data("label/cluster/values").await, json!(["eu", "own"]));
    assert_eq!(cluster.data("label/cluster/values?match[]=bare").await, json!(["own"]));
    assert_eq!(cluster.data("label/job/values?match[]=%7Bcluster%3D%22eu%22%7D").await, json!(["a", "b"]));
    assert_eq!(cluster.data("labels?match[]=up").await, json!(["__name__", "cluster", "job"]));
    assert_eq!(cluster.data("labels?match[]=nothing").await, json!([]));
    assert_eq!(cluster.data("series?match[]=%7Bjob%3D%22outer%22%7D").await, json!([own]));
}

#[tokio::test]
async fn other_roles_query_over_grpc() {
    let (cluster, ..) = two_shards(&[("cluster", "eu")], QuerierConfig::default()).await;
    cluster.connector.serve_in_process("querier-0", cluster.querier.grpc_routes().unwrap());
    let mut client = QueryClient::new(cluster.connector.channel("querier-0").unwrap());
    let mut ask = async |query: &str| {
        let request = InstantRequest { query: query.to_owned(), time_ms: 110_000 };
        client.instant(request).await.map(|answer| answer.into_inner().samples)
    };
    let samples = ask("up").await.unwrap();
    let shown: Vec<_> = samples
        .iter()
        .map(|s| (model::LabelSet::from_bytes(&s.labels).unwrap().to_string(), s.time_ms, s.value))
        .collect();
    assert_eq!(
        shown,
        [("up{job=\"a\"}".to_owned(), 110_000, 4.0), ("up{job=\"b\"}".to_owned(), 110_000, 6.0)]
    );
    assert_eq!(
        ask("sum by (cluster) (up)").await.unwrap()[0].labels.len(),
        0,
        "external labels are kept once"
    );
    assert_eq!(ask("1 + 1").await.unwrap()[0].value, 2.0);
    assert_eq!(ask("up[5m]").await.unwrap_err().code(), tonic::Code::InvalidArgument);
    assert_eq!(ask("up{").await.unwrap_err().code(), tonic::Code::InvalidArgument);
}

struct OneTarget(&'static str);

#[tonic::async_trait]
impl Scrape for OneTarget {
    async fn targets(&self, _: Request<TargetsRequest>) -> Result<Response<TargetsResponse>, Status> {
        if self.0.is_empty() {
            return Err(Status::unavailable("killed"));
        }
        let target = Target {
            scrape_pool: "node".into(),
            scraper: self.0.into(),
            health: "up".into(),
            ..Target::default()
        };
        Ok(Response::new(TargetsResponse { active: vec![target], dropped: Vec::new() }))
    }

    async fn metadata(
        &self,
        request: Request<TargetMetadataRequest>,
    ) -> Result<Response<TargetMetadataResponse>, Status> {
        if self.0.is_empty() {
            return Err(Status::unavailable("killed"));
        }
        let matchers = target_matchers_from_wire(&request.into_inner().matchers)?;
        let is_meant = matchers.iter().all(|m| m.matches(if *m.name == *"scraper" { self.0 } else { "" }));
        let labels = [("scraper".to_owned(), self.0.to_owned())].into();
        let entry = TargetMetadata { labels, family: "up".into(), ..TargetMetadata::default() };
        Ok(Response::new(TargetMetadataResponse { entries: vec![entry; usize::from(is_meant)] }))
    }
}

#[tokio::test]
async fn targets_come_from_every_scraper() {
    let (cluster, ..) = two_shards(&[], QuerierConfig::default()).await;
    cluster.add_scraper("scraper-0", OneTarget("scraper-0"));
    cluster.add_scraper("scraper-1", OneTarget("scraper-1"));
    cluster.add_scraper("scraper-2", OneTarget(""));
    cluster.settle().await;
    let (status, body) = cluster.fetch("targets").await;
    assert_eq!(status, 200);
    let scrapers: Vec<_> = body["data"]["activeTargets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["scraper"].as_str().unwrap())
        .collect();
    assert_eq!(scrapers, ["scraper-0", "scraper-1"]);
    let warning = body["warnings"][0].as_str().unwrap();
    assert_eq!(warning, "partial result: scraper scraper-2 at scraper-2 does not answer: killed");
    let (_, body) = cluster.fetch("targets/metadata?match_target=%7Bscraper%3D%22scraper-1%22%7D").await;
    let entry = json!({"target": {"scraper": "scraper-1"}, "metric": "up", "type": "unknown", "help": "", "unit": ""});
    assert_eq!((&body["data"], &body["warnings"][0]), (&json!([entry]), &json!(warning)));
}

#[tokio::test]
async fn is_ready_with_the_shard_map_and_counts_what_it_does() {
    let (cluster, ..) = two_shards(&[], QuerierConfig::default()).await;
    cluster.data("query?query=up&time=110&pushdown=false").await;
    while cluster.context.ready().is_err() {
        tokio::task::yield_now().await;
    }
    let metrics = cluster.context.metrics().encode();
    for line in [
        "prometheus_engine_queries 0\n",
        "prometheus_engine_queries_concurrent_max 20\n",
        "prometheus_engine_query_duration_seconds_count{slice=\"inner_eval\"} 1\n",
        "norn_querier_select_series_total 2\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert_eq!(cluster.context.stop(Duration::from_secs(60)).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_peers_evaluate_is_what_their_samples_say() {
    let external = [("cluster", "eu")];
    let (cluster, ingester, gateway) = two_shards(&external, QuerierConfig::default()).await;
    let evaluations = || {
        let count = |peer: &Peer| peer.evaluations.swap(0, Ordering::Relaxed);
        (count(&ingester), count(&gateway))
    };
    for query in [
        "sum(up)",
        "sum by (cluster, job) (count_over_time(up[15s]))",
        "avg(rate(up[20s]))",
        "topk(1, up) by (cluster)",
        "absent(up{job=\"b\"})",
        "scalar(up{job=\"a\"}) + sum(up{cluster=\"eu\"})",
        "max_over_time(sum(up)[30s:5s])",
        "quantile(0.5, last_over_time(up[10s] offset 5s))",
        "sum(up @ 95)",
    ] {
        let escapes = [('+', "%2B"), (' ', "%20"), ('"', "%22"), ('{', "%7B"), ('}', "%7D")];
        let query = escapes.iter().fold(query.to_owned(), |query, (c, escaped)| query.replace(*c, escaped));
        // Steps before the first shard's seam, across it and after it; the second has none.
        for times in ["query_range?start=80&end=120&step=4", "query?time=110", "query?time=90"] {
            let path = format!("{times}&query={query}");
            let pushed = cluster.data(&path).await;
            let (by_ingester, by_gateway) = evaluations();
            assert!(by_ingester > 0, "{path}");
            assert!(by_gateway > 0 || times.ends_with("110") || query.contains("95"), "{path}");
            let central = cluster.data(&format!("{path}&pushdown=false")).await;
            assert_eq!((pushed, evaluations()), (central, (0, 0)), "{path}");
        }
    }
}

#[tokio::test]
async fn shards_of_one_leader_are_asked_together() {
    let cluster = Cluster::found(QuerierConfig::default(), &[]).await;
    let part = |of| Part::of(&[(of, &[(1000, 1.0)])]);
    let leader = Arc::new(Peer::default().with_shard(1, part(UP_A)).with_shard(2, part(UP_B)));
    let follower = Arc::new(Peer::default());
    cluster.serve("ingester-1", &follower);
    cluster.serve("ingester-2", &leader);
    cluster.settle().await;
    // Both are thought to be led by the first; then each is looked for by itself, and found.
    let path = "query?query=count(up)&time=1";
    assert_eq!(cluster.data(path).await["result"][0]["value"], json!([1, "2"]));
    assert_eq!(leader.evaluations.swap(0, Ordering::Relaxed), 2);
    assert_eq!(cluster.data(path).await["result"][0]["value"], json!([1, "2"]));
    assert_eq!(leader.evaluations.swap(0, Ordering::Relaxed), 1);
}

#[tokio::test]
async fn who_does_not_evaluate_is_read_instead() {
    let (cluster, ingester, gateway) = two_shards(&[], QuerierConfig::default()).await;
    gateway.fail_once(Status::unimplemented("an old version"));
    let path = "query_range?query=sum(up)&start=80&end=120&step=4";
    let data = cluster.data(path).await;
    assert_eq!(
        gateway.take_asked(),
        ["blocks 1"; 3],
        "asked in vain, then read, as is what lies across the seam"
    );
    assert_eq!(data, cluster.data(&format!("{path}&pushdown=false")).await);
    // A limit is the query's own fault, wherever it shows.
    ingester.fail_once(Status::resource_exhausted("too many"));
    let (status, body) = cluster.fetch("query?query=sum(last_over_time(up[5s]))&time=110").await;
    assert_eq!((status, body["error"].as_str()), (422, Some("too many")), "{body}");
}
