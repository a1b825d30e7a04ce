//! What is told of the cluster and of its blocks.

use axum::body::Body;
use http::Request;
use serde_json::Value;

use crate::support::{Memory, routes, send};

async fn get(path: &str) -> (u16, Value) {
    let request = Request::get(format!("/api/v1/{path}")).body(Body::empty()).expect("a sound request");
    let (status, _, body) = send(&routes(Memory::new()), request).await;
    (status, serde_json::from_slice(&body).expect("the API speaks JSON"))
}

#[tokio::test]
async fn the_cluster_names_who_does_not_answer() {
    let (status, body) = get("status/cluster").await;
    assert_eq!((status, &body["warnings"]), (200, &serde_json::json!(["n2 does not answer"])));
    let data = &body["data"];
    assert_eq!((&data["name"], &data["members"][0]["name"]), (&"test".into(), &"ingester-0".into()));
    let replicas = &data["shards"][0]["replicas"];
    assert_eq!((&replicas[0]["state"], &replicas[0]["series"]), (&"leader".into(), &7.into()));
    assert_eq!(replicas[1], serde_json::json!({"node": 2, "name": "n2", "live": true}));
    assert_eq!(data["shards"][0].get("publishedUntil"), None);
}

#[tokio::test]
async fn blocks_come_by_the_page() {
    let data = get("status/blocks?limit=1&offset=2").await.1["data"].clone();
    assert_eq!((&data["total"], &data["offset"]), (&3.into(), &2.into()));
    let block = &data["blocks"][0];
    assert_eq!((&block["level"], &block["maxTime"]), (&2.into(), &100.into()));
    assert_eq!((&block["setAside"], block.get("tombstoned")), (&"damaged".into(), None));
    for bad in ["limit=0", "limit=10001", "limit=x", "offset=-1"] {
        assert_eq!(get(&format!("status/blocks?{bad}")).await.0, 400, "{bad}");
    }
}
