//! A cluster of one fake ingester and any number of real scrapers, in one process; and targets that say what a test wants.
//!
//! The control state is the real one; only Raft and heads are missing. What is appended comes out of [`Cluster::next`].

pub(crate) mod control;
pub(crate) mod ingest;
pub(crate) mod target;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cluster::command::FirstIngester;
use cluster::{ClusterSettings, Command, ControlState, Role, ShardMap};
use model::NodeId;
use proto::connect::Connector;
use proto::control::control_server::ControlServer;
use proto::ingest::ingest_server::IngestServer;
use proto::scrape::scrape_client::ScrapeClient;
use proto::scrape::{TargetsRequest, TargetsResponse};
use scraper::{Scraper, ScraperConfig};
use service::Context;
use session::{Session, SessionConfig, Writer, WriterConfig, WriterMetrics};
use tokio::sync::{Mutex, mpsc, watch};

/// Where the fake ingester answers.
const INGESTER: &str = "ingester-0:1";

/// One appended sample.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) series: String,
    pub(crate) time_ms: i64,
    pub(crate) value: f64,
    /// Which member wrote it.
    pub(crate) node: u64,
}

impl Record {
    pub(crate) fn is_stale(&self) -> bool {
        model::is_stale(self.value)
    }
}

pub(crate) struct Cluster {
    connector: Connector,
    state: Arc<watch::Sender<ControlState>>,
    records: Mutex<mpsc::UnboundedReceiver<Record>>,
    metadata: Mutex<mpsc::UnboundedReceiver<model::MetricMetadata>>,
    appends_fail: Arc<AtomicBool>,
    heartbeats_fail: Arc<AtomicBool>,
}

/// A scraper that runs.
pub(crate) struct Running {
    pub(crate) scraper: Scraper,
    pub(crate) context: Context,
    pub(crate) node: u64,
    address: String,
}

fn founded() -> ControlState {
    let settings = ClusterSettings {
        name: "test".to_owned(),
        uuid: String::new(),
        external_labels: Default::default(),
        block_duration_ms: 7_200_000,
        out_of_order_window_ms: 0,
        shards: 2,
        replicas: 1,
        exemplars_max: 0,
    };
    let (node, name) = (NodeId(1), "ingester-0".to_owned());
    let first = FirstIngester { node, name: name.clone(), grpc_address: INGESTER.to_owned() };
    let mut state = ControlState::default();
    state.apply(Command::Establish { settings, ingesters: vec![first] });
    state.apply(Command::Join {
        name,
        role: Role::Ingester,
        zone: String::new(),
        grpc_address: INGESTER.to_owned(),
        http_address: String::new(),
        disk_id: String::new(),
    });
    state.apply(Command::PlaceShards { map: ShardMap::even(vec![vec![node]; 2]) });
    state
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let connector = Connector::default();
        let state = Arc::new(watch::Sender::new(founded()));
        let (records, recorded) = mpsc::unbounded_channel();
        let (metadata, noted) = mpsc::unbounded_channel();
        let (appends_fail, heartbeats_fail) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let control = control::FakeControl { state: state.clone(), heartbeats_fail: heartbeats_fail.clone() };
        let ingest = ingest::FakeIngest::new(records, metadata, appends_fail.clone());
        let routes =
            tonic::service::Routes::new(ControlServer::new(control)).add_service(IngestServer::new(ingest));
        connector.serve_in_process(INGESTER, routes);
        Self {
            connector,
            state,
            records: Mutex::new(recorded),
            metadata: Mutex::new(noted),
            appends_fail,
            heartbeats_fail,
        }
    }

    /// Starts a scraper and waits until it is a member.
    pub(crate) async fn scraper(&self, name: &str, config: &str) -> Running {
        self.scraper_with(name, ScraperConfig::new(jobs(config)), WriterConfig::default()).await
    }

    /// Starts a scraper with limits of its own.
    pub(crate) async fn scraper_with(
        &self,
        name: &str,
        config: ScraperConfig,
        writer_config: WriterConfig,
    ) -> Running {
        let context = Context::new("scraper");
        let address = format!("{name}:1");
        let session = Session::new(
            SessionConfig {
                cluster: "test".to_owned(),
                seeds: vec![INGESTER.to_owned()],
                role: Role::Scraper,
                name: name.to_owned(),
                zone: String::new(),
                grpc_address: address.clone(),
                http_address: String::new(),
                disk_id: None,
            },
            self.connector.clone(),
        );
        let writer = Writer::new(session.clone(), writer_config, WriterMetrics::default());
        context.spawn("session", session.clone().run(context.shutdown()));
        let run = writer.clone().run(context.shutdown());
        context.spawn("writer", async move {
            run.await;
            Ok::<(), Infallible>(())
        });
        // The lease may have lapsed by now in tests that let it: the state still knows the member.
        let own = |state: &Arc<ControlState>| {
            let member = state.live(Role::Scraper).find(|member| member.name == name);
            member.map(|member| member.node.0)
        };
        let mut states = session.watch();
        let state = states.wait_for(|state| own(state).is_some()).await.expect("the session lives");
        let node = own(&state).expect("waited for");
        drop(state);
        let scraper = Scraper::build(config, &context, session, writer).await.expect("built");
        self.connector.serve_in_process(&address, scraper.grpc_routes().expect("has a service"));
        scraper.start();
        Running { scraper, context, node, address }
    }

    /// Returns the next appended sample.
    pub(crate) async fn next(&self) -> Record {
        self.records.lock().await.recv().await.expect("the ingester lives as long as the cluster")
    }

    /// Returns the next appended sample that satisfies a condition.
    pub(crate) async fn find(&self, condition: impl Fn(&Record) -> bool) -> Record {
        loop {
            let record = self.next().await;
            if condition(&record) {
                return record;
            }
        }
    }

    /// Returns the next appended metadata.
    pub(crate) async fn next_metadata(&self) -> model::MetricMetadata {
        self.metadata.lock().await.recv().await.expect("the ingester lives as long as the cluster")
    }

    /// Lets appends fail as during an election, or succeed again.
    pub(crate) fn set_appends_fail(&self, fail: bool) {
        self.appends_fail.store(fail, Ordering::SeqCst);
    }

    /// Lets heartbeats fail, so that memberships lapse.
    pub(crate) fn fail_heartbeats(&self) {
        self.heartbeats_fail.store(true, Ordering::SeqCst);
    }

    /// Ends a membership as the control group does when its lease lapsed.
    pub(crate) fn expire(&self, node: u64) {
        self.state.send_modify(|state| {
            let epoch = state.members[&NodeId(node)].epoch;
            state.apply(Command::Expire { node: NodeId(node), epoch });
        });
    }

    /// Asks a scraper for its targets.
    pub(crate) async fn targets(&self, running: &Running) -> TargetsResponse {
        let channel = self.connector.channel(&running.address).expect("served");
        let answer = ScrapeClient::new(channel).targets(TargetsRequest {}).await.expect("answers");
        answer.into_inner()
    }
}

/// Reads jobs from a configuration.
pub(crate) fn jobs(text: &str) -> Vec<config::ScrapeConfig> {
    let sources = config::Sources { base_dir: std::path::Path::new(""), variable: &|_| None };
    config::parse(text, sources).unwrap_or_else(|error| panic!("{text}: {error}")).scrape_configs
}
