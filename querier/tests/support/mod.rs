//! A cluster around one querier, in this process: a control group, ingesters and gateways that serve what they are given
//! over the real protocols, and a session that joined.

pub(crate) mod control;
pub(crate) mod peer;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use cluster::{ClusterSettings, Command, Role, ShardMap};
use http::Request;
use model::{BlockId, BlockMeta, BlockRange, NodeId, ObjectMeta, ShardId};
use proto::connect::Connector;
use proto::scrape::scrape_server::ScrapeServer;
use proto::store::store_server::StoreServer;
use querier::{Querier, QuerierConfig};
use service::Context;
use session::{Session, SessionConfig};
use tonic::service::Routes;
use tower::ServiceExt;

use control::Control;
use peer::Peer;

/// The cluster and the querier under test.
pub(crate) struct Cluster {
    pub(crate) control: Control,
    pub(crate) connector: Connector,
    pub(crate) context: Context,
    pub(crate) session: Arc<Session>,
    pub(crate) querier: Querier,
    routes: Router,
}

impl Cluster {
    /// Founds a cluster with two shards, both replicated on `ingester-1` and `ingester-2`.
    pub(crate) async fn found(config: QuerierConfig, external_labels: &[(&str, &str)]) -> Self {
        let connector = Connector::default();
        let control = Control::default();
        connector.serve_in_process("control", control.routes());
        control.apply(Command::Establish {
            settings: ClusterSettings {
                name: "test".into(),
                uuid: "00".into(),
                external_labels: external_labels.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
                block_duration_ms: 100_000,
                out_of_order_window_ms: 0,
                shards: 2,
                replicas: 2,
                exemplars_max: 0,
            },
            ingesters: Vec::new(),
        });
        let replicas = ["ingester-1", "ingester-2"].map(|name| control.join(Role::Ingester, name));
        control.apply(Command::PlaceShards { map: ShardMap::even(vec![replicas.to_vec(); 2]) });
        let context = Context::new("test");
        let session = Session::new(
            SessionConfig {
                cluster: "test".into(),
                seeds: vec!["control".into()],
                role: Role::Querier,
                name: "querier-0".into(),
                zone: String::new(),
                grpc_address: "querier-0".into(),
                http_address: String::new(),
                disk_id: None,
            },
            connector.clone(),
        );
        let querier =
            Querier::build(config, &context, Arc::clone(&session)).await.expect("the limits are sound");
        querier.start();
        context.spawn("session", Arc::clone(&session).run(context.shutdown()));
        session.wait_joined().await;
        let routes = querier.http_routes();
        Self { control, connector, context, session, querier, routes }
    }

    /// Puts a peer behind the address of that name.
    pub(crate) fn serve(&self, name: &str, peer: &Arc<Peer>) {
        self.connector.serve_in_process(name, Routes::new(StoreServer::from_arc(Arc::clone(peer))));
    }

    /// Adds a gateway.
    pub(crate) fn add_gateway(&self, name: &str, peer: &Arc<Peer>) -> NodeId {
        self.serve(name, peer);
        self.control.join(Role::Gateway, name)
    }

    /// Adds a scraper that tells the given targets.
    pub(crate) fn add_scraper(&self, name: &str, scraper: impl proto::scrape::scrape_server::Scrape) {
        self.connector.serve_in_process(name, Routes::new(ScrapeServer::new(scraper)));
        self.control.join(Role::Scraper, name);
    }

    /// Waits until the querier knows everything that was applied.
    pub(crate) async fn settle(&self) {
        let version = self.control.version();
        self.session.watch().wait_for(|state| state.version >= version).await.expect("the session lives");
    }

    /// Fetches a path below `/api/v1/`; returns the status and the body.
    pub(crate) async fn fetch(&self, path: &str) -> (u16, serde_json::Value) {
        let request = Request::get(format!("/api/v1/{path}")).body(Body::empty()).expect("a sound request");
        let response = self.routes.clone().oneshot(request).await.expect("routers do not fail");
        let status = response.status().as_u16();
        let body =
            axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("the body is in memory");
        (status, serde_json::from_slice(&body).expect("the API speaks JSON"))
    }

    /// Posts to a path below `/api/v1/`; returns the status and the body.
    pub(crate) async fn post(&self, path: &str) -> (u16, String) {
        let request = Request::post(format!("/api/v1/{path}")).body(Body::empty()).expect("a sound request");
        let response = self.routes.clone().oneshot(request).await.expect("routers do not fail");
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("in memory");
        (status, String::from_utf8(body.to_vec()).expect("the API speaks UTF-8"))
    }

    /// Fetches a path that must succeed without warnings; returns its data.
    pub(crate) async fn data(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.fetch(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        assert!(body.get("warnings").is_none(), "{path}: {body}");
        body["data"].clone()
    }
}

/// A block of a shard, as the catalogue has it.
pub(crate) fn block(id: u128, shard: u32, start_ms: i64, end_ms: i64) -> Command {
    let object = ObjectMeta { key: String::new(), size_bytes: 0, tail_bytes: 0, crc32c: 0 };
    Command::PublishBlock {
        meta: Box::new(BlockMeta {
            id: BlockId(id),
            shard: ShardId(shard),
            range: BlockRange::new(start_ms, end_ms),
            level: 0,
            cut_index: 1,
            series: 1,
            samples: 1,
            external_labels: BTreeMap::new(),
            parents: Vec::new(),
            resolution_ms: 0,
            sort_range: model::SortRange::ALL,
            series_object: object.clone(),
            chunks_object: object,
        }),
    }
}
