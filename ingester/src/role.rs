//! Puts the ingester together.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use consensus::{Group, GroupId, HostConfig, RaftHost, WalHealth};
use model::{ErrorKind, NodeId};
use proto::connect::MESSAGE_BYTES_MAX;
use proto::control::control_client::ControlClient as GeneratedControlClient;
use proto::control::control_server::ControlServer;
use proto::control::{JoinRequest, StatusRequest};
use proto::ingest::ingest_server::IngestServer;
use proto::raft::raft_server::RaftServer;
use proto::store::store_server::StoreServer;
use service::Context;
use session::{ControlClient, Session, SessionError, Writer};
use tonic::service::Routes;
use tracing::{info, warn};

use crate::control::feed::Feed;
use crate::control::leader::ControlLeader;
use crate::control::leases::LeaseTable;
use crate::control::machine::ControlMachine;
use crate::control::manifest::ManifestWriter;
use crate::control::service::ControlService;
use crate::ingest_service::IngestService;
use crate::metrics::IngesterMetrics;
use crate::raft_service::RaftService;
use crate::shard::{ShardHost, Shards};
use crate::store_service::StoreService;
use crate::transport::{Addresses, GrpcTransport};
use crate::{DataDir, IngesterConfig, IngesterError};

/// The control group's number; shards count from 1.
const CONTROL_GROUP: GroupId = GroupId(0);
/// How long a stopping node waits for others to take over what it leads.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the log is asked whether it still works.
const HEALTH_ROUND: Duration = Duration::from_millis(500);
/// How long a peer may take to say whether the cluster exists.
const PEER_TIMEOUT: Duration = Duration::from_secs(1);

/// One ingester.
pub struct Ingester {
    config: IngesterConfig,
    context: Context,
    session: Arc<Session>,
    writer: Arc<Writer>,
    node: NodeId,
    host: Arc<RaftHost>,
    control: Group,
    feed: Arc<Feed>,
    leases: Arc<LeaseTable>,
    addresses: Arc<Addresses>,
    shards: Arc<Shards>,
    metrics: IngesterMetrics,
    cluster_hash: u64,
    chunks_dir: PathBuf,
    _data: DataDir,
}

impl Ingester {
    /// Opens the log and starts the control group's replica. The session need not have joined yet: it joins through what is
    /// built here.
    ///
    /// # Errors
    /// [`IngesterError`] when the name is unknown, the disk belongs to another node, or the log does not open.
    pub async fn build(
        config: IngesterConfig,
        mut data: DataDir,
        context: &Context,
        session: Arc<Session>,
        writer: Arc<Writer>,
    ) -> Result<Self, IngesterError> {
        let node = node_of(&config)?;
        if data.is_fresh() {
            admit(&config, &session).await?;
        }
        data.bind(&config.settings.name, &config.name)?;
        let first = config.first_ingesters.iter().map(|first| (first.node, first.grpc_address.clone()));
        let addresses = Arc::new(Addresses::new(first));
        let cluster_hash = xxhash_rust::xxh3::xxh3_64(config.settings.name.as_bytes());
        let connector = session.connector().clone();
        let transport = Arc::new(GrpcTransport { cluster_hash, connector, addresses: addresses.clone() });
        let host = RaftHost::open(HostConfig::new(node, data.path().join("raft")), transport).await?;
        let feed = Feed::new();
        let voters: BTreeSet<NodeId> = config.first_ingesters.iter().map(|first| first.node).collect();
        let machine = Box::new(ControlMachine::new(feed.clone()));
        let control = host.start_group(CONTROL_GROUP, machine, &voters).await?;
        let chunks_dir = data.chunks_dir()?;
        let metrics = IngesterMetrics::default();
        context.metrics().register(|registry| metrics.register(registry));
        Ok(Self {
            context: context.clone(),
            host: Arc::new(host),
            leases: Arc::default(),
            shards: Arc::default(),
            chunks_dir,
            _data: data,
            config,
            session,
            writer,
            node,
            control,
            feed,
            addresses,
            metrics,
            cluster_hash,
        })
    }

    /// Returns the gRPC services: Raft, control, appends, reads.
    pub fn grpc_routes(&self) -> Routes {
        let raft = RaftService { cluster_hash: self.cluster_hash, node: self.node, host: self.host.clone() };
        let control = ControlService {
            cluster: self.config.settings.name.clone(),
            node: self.node,
            lease: self.config.lease,
            group: self.control.clone(),
            feed: self.feed.clone(),
            leases: self.leases.clone(),
            addresses: self.addresses.clone(),
            shards: self.shards.clone(),
            shutdown: self.context.shutdown(),
        };
        let ingest = IngestService {
            shards: self.shards.clone(),
            feed: self.feed.clone(),
            addresses: self.addresses.clone(),
            metrics: self.metrics.clone(),
            shutdown: self.context.shutdown(),
        };
        let store = StoreService {
            shards: self.shards.clone(),
            addresses: self.addresses.clone(),
            engine: self.config.engine.clone(),
        };
        let limit = MESSAGE_BYTES_MAX;
        Routes::new(RaftServer::new(raft).max_decoding_message_size(limit).max_encoding_message_size(limit))
            .add_service(ControlServer::new(control).max_encoding_message_size(limit))
            .add_service(IngestServer::new(ingest).max_decoding_message_size(limit))
            .add_service(StoreServer::new(store).max_encoding_message_size(limit))
    }

    /// Returns the HTTP write APIs.
    pub fn http_routes(&self) -> Router {
        api::write_routes(self.writer.clone())
    }

    /// Spawns the workers.
    pub fn start(&self) {
        let shutdown = || self.context.shutdown();
        let leader = ControlLeader {
            group: self.control.clone(),
            feed: self.feed.clone(),
            leases: self.leases.clone(),
            lease: self.config.lease,
            settings: self.config.settings.clone(),
            first_ingesters: self.config.first_ingesters.clone(),
        };
        self.context.spawn("control leader", leader.run(shutdown()));
        let manifest = ManifestWriter {
            group: self.control.clone(),
            feed: self.feed.clone(),
            objects: self.config.objects.clone(),
        };
        self.context.spawn("manifest writer", manifest.run(shutdown()));
        let shards = ShardHost {
            node: self.node,
            context: self.context.clone(),
            host: self.host.clone(),
            feed: self.feed.clone(),
            session: self.session.clone(),
            addresses: self.addresses.clone(),
            shards: self.shards.clone(),
            objects: self.config.objects.clone(),
            chunks_dir: self.chunks_dir.clone(),
            metrics: self.metrics.clone(),
            series_max: self.config.series_max,
            future_ms_max: self.config.future_ms_max,
            publish_grace: self.config.publish_grace,
        };
        self.context.spawn("shard host", shards.run(shutdown()));
        self.context.spawn("metrics", self.metrics.clone().refresh(self.shards.clone(), shutdown()));
    }

    /// Gives the leadership of every group led here to another live voter, and waits a little for it: a planned stop then
    /// costs writers a redirect instead of an election.
    pub async fn hand_over(&self) {
        let replicas = self.shards.list();
        let groups = replicas.iter().map(|replica| &replica.group).chain([&self.control]);
        let led: Vec<&Group> = groups.filter(|group| group.is_leader()).collect();
        let gone = led.iter().map(|group| self.hand_over_one(group));
        if tokio::time::timeout(HAND_OVER_TIMEOUT, futures::future::join_all(gone)).await.is_err() {
            info!("leadership not handed over in time; the others will elect");
        }
    }

    async fn hand_over_one(&self, group: &Group) {
        let state = self.feed.state();
        let live = |node: &NodeId| state.members.get(node).is_some_and(|member| member.live);
        let status = group.status();
        let Some(next) = status.voters.into_iter().find(|node| *node != self.node && live(node)) else {
            return;
        };
        let mut leadership = group.leadership();
        if group.transfer_leader(next).await.is_ok() {
            // An error means that the group has stopped, which is as good.
            drop(leadership.wait_for(|seen| seen.leader.is_some_and(|leader| leader != self.node)).await);
        }
    }

    /// Returns once the log can no longer be written, with the reason: the process must then end, because what it promised
    /// to the disk may not be there. Cancel-safe.
    pub async fn log_failed(&self) -> String {
        loop {
            if let WalHealth::Failed(reason) = self.host.health() {
                return reason;
            }
            tokio::time::sleep(HEALTH_ROUND).await;
        }
    }

    /// Stops all groups and closes the log. Call it after the workers have stopped.
    pub async fn stop(&self) {
        self.host.stop().await;
    }
}

fn node_of(config: &IngesterConfig) -> Result<NodeId, IngesterError> {
    let own = config.first_ingesters.iter().find(|first| first.name == config.name);
    let known =
        || config.first_ingesters.iter().map(|first| first.name.as_str()).collect::<Vec<_>>().join(", ");
    own.map(|own| own.node)
        .ok_or_else(|| IngesterError::UnknownName { name: config.name.clone(), known: known() })
}

/// Makes sure that a fresh disk may act as this node.
///
/// A disk that was lost must not come back empty under its old node id: it would vote as if it had kept its promises. Where
/// the cluster exists already, the control state is asked; it knows the disk that each node first joined with.
async fn admit(config: &IngesterConfig, session: &Session) -> Result<(), IngesterError> {
    let peers: Vec<&str> = config
        .first_ingesters
        .iter()
        .filter(|first| first.name != config.name)
        .map(|f| f.grpc_address.as_str())
        .collect();
    let mut established = false;
    for peer in &peers {
        established |= is_established(session, peer).await;
    }
    if !established {
        return Ok(());
    }
    info!("the cluster exists; asking whether this empty disk may join it");
    let own = session.config();
    let client = ControlClient::new(
        session.connector().clone(),
        peers.iter().map(|peer| (*peer).to_owned()).collect(),
    );
    let request = JoinRequest {
        cluster: own.cluster.clone(),
        name: own.name.clone(),
        role: own.role.as_str().to_owned(),
        zone: own.zone.clone(),
        grpc_address: own.grpc_address.clone(),
        http_address: own.http_address.clone(),
        disk_id: own.disk_id.map(|id| id.to_vec()).unwrap_or_default().into(),
    };
    loop {
        match client.join(request.clone()).await {
            Ok(_) => return Ok(()),
            Err(error @ SessionError::Answered { kind: ErrorKind::Invalid, .. }) => {
                return Err(IngesterError::Refused(error));
            }
            Err(error) => warn!(%error, "waiting for the cluster to admit this disk"),
        }
    }
}

async fn is_established(session: &Session, address: &str) -> bool {
    let Ok(channel) = session.connector().channel(address) else { return false };
    let mut client = GeneratedControlClient::new(channel);
    let answer = tokio::time::timeout(PEER_TIMEOUT, client.status(StatusRequest {})).await;
    matches!(answer, Ok(Ok(answer)) if answer.get_ref().established)
}
