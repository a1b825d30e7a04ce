//! The cluster as a querier tells of it: from the control state, and from the ingesters that answer.

use cluster::Role;
use querier::QuerierConfig;
use serde_json::json;

use crate::support::{Cluster, block};

#[tokio::test]
async fn members_and_shards_are_told_with_what_their_replicas_say() {
    let cluster = Cluster::found(QuerierConfig::default(), &[]).await;
    // `ingester-1` answers for the control group and shard 2; nobody listens at `ingester-2`.
    cluster.connector.serve_in_process("ingester-1", cluster.control.routes());
    cluster.control.join(Role::Gateway, "gateway-1");
    cluster.control.apply(block(7, 2, 0, 100_000));
    cluster.settle().await;
    let (status, body) = cluster.fetch("status/cluster").await;
    assert_eq!(status, 200, "{body}");
    let warnings = body["warnings"].as_array().expect("one does not answer");
    assert!(matches!(&warnings[..], [one] if one.as_str().is_some_and(|text| text.contains("ingester-2"))));
    let data = &body["data"];
    let names: Vec<_> = data["members"].as_array().unwrap().iter().map(|member| &member["name"]).collect();
    assert_eq!(names, ["ingester-1", "ingester-2", "querier-0", "gateway-1"]);
    assert_eq!(data["control"][0]["term"], json!(3));
    let [first, second] = [&data["shards"][0], &data["shards"][1]];
    assert_eq!((&first["slots"], first.get("publishedUntil")), (&json!(2048), None));
    assert_eq!((&second["publishedUntil"], &second["blocks"]), (&json!(100_000), &json!(1)));
    assert_eq!(first["replicas"][0].get("state"), None, "it does not host shard 1");
    let replica = &second["replicas"][0];
    assert_eq!((&replica["state"], &replica["appliedIndex"]), (&json!("leader"), &json!(9)));
}

#[tokio::test]
async fn blocks_that_end_last_come_first() {
    let cluster = Cluster::found(QuerierConfig::default(), &[]).await;
    for (id, shard, start_ms) in [(1, 1, 0), (2, 2, 0), (3, 1, 100_000)] {
        cluster.control.apply(block(id, shard, start_ms, start_ms + 100_000));
    }
    cluster.settle().await;
    let data = cluster.data("status/blocks?limit=2").await;
    assert_eq!(data["total"], json!(3));
    let ends: Vec<_> = data["blocks"].as_array().unwrap().iter().map(|block| &block["maxTime"]).collect();
    assert_eq!(ends, [200_000, 100_000]);
    let last = cluster.data("status/blocks?offset=2").await;
    assert_eq!(last["blocks"][0]["shard"], json!(1));
    let (status, text) = cluster.post("status/blocks?limit=1").await;
    assert_eq!((status, text.matches("maxTime").count()), (200, 1), "a POST asks the same: {text}");
}
