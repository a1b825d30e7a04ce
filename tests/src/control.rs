//! A control group of one, in memory and within the process, for tests of roles.
//!
//! The real control state behind the real gRPC service, without a log and without an election. Memberships do not lapse
//! by themselves: a test ends them with [`MemControl::apply`], so that nothing in it depends on time.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster::{ClusterSettings, Command, ControlState, Response as Answer, Role};
use futures::{Stream, StreamExt};
use model::{Epoch, ErrorKind, NodeId};
use proto::connect::Connector;
use proto::control::control_server::{Control, ControlServer};
use proto::control::watch_event::Event;
use proto::control::{
    HeartbeatRequest, HeartbeatResponse, JoinRequest, JoinResponse, ProposeRequest, ProposeResponse,
    StatusRequest, StatusResponse, WatchEvent, WatchRequest,
};
use proto::error::status;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// Where the control group answers within the process.
pub const CONTROL_ADDRESS: &str = "control.test:1";
/// The cluster's name.
pub const CLUSTER: &str = "test";

/// The lease that members are told. Heartbeats come five times a lease, so a lost membership is noticed soon.
const LEASE: Duration = Duration::from_millis(500);

/// A founded control group with no members.
#[derive(Clone)]
pub struct MemControl {
    state: Arc<watch::Sender<Arc<ControlState>>>,
    /// What each querier said last that it reads from.
    reads: Arc<Mutex<BTreeMap<NodeId, u64>>>,
}

impl MemControl {
    /// Founds a cluster and answers at [`CONTROL_ADDRESS`] through `connector`.
    pub fn start(connector: &Connector) -> Self {
        let state = Arc::new(watch::Sender::new(Arc::default()));
        let control = Self { state, reads: Arc::default() };
        let settings = ClusterSettings {
            name: CLUSTER.to_owned(),
            uuid: "00000000000000000000000000000001".to_owned(),
            external_labels: BTreeMap::new(),
            block_duration_ms: 7_200_000,
            out_of_order_window_ms: 0,
            shards: 1,
            replicas: 1,
            exemplars_max: 0,
        };
        control.apply(Command::Establish { settings, ingesters: Vec::new() });
        connector.serve_in_process(CONTROL_ADDRESS, Routes::new(ControlServer::new(control.clone())));
        control
    }

    /// Applies a command as if it were committed.
    pub fn apply(&self, command: Command) -> Answer {
        let mut answer = Answer::Done;
        self.state.send_modify(|state| answer = Arc::make_mut(state).apply(command));
        answer
    }

    /// Returns the present state.
    pub fn state(&self) -> Arc<ControlState> {
        self.state.borrow().clone()
    }

    /// Returns a receiver that wakes at each new state.
    pub fn watch(&self) -> watch::Receiver<Arc<ControlState>> {
        self.state.subscribe()
    }

    /// Waits until the state is as wished, and returns it.
    pub async fn wait(&self, is_so: impl Fn(&ControlState) -> bool) -> Arc<ControlState> {
        let mut states = self.state.subscribe();
        let state = states
            .wait_for(|state| is_so(state))
            .await
            .expect("the sender lives as long as this control group");
        state.clone()
    }

    /// Adds a member and returns its id; for roles that do not run in the test.
    pub fn add_member(&self, role: Role, name: &str, grpc_address: &str) -> NodeId {
        let command = Command::Join {
            name: name.to_owned(),
            role,
            zone: String::new(),
            grpc_address: grpc_address.to_owned(),
            http_address: String::new(),
            disk_id: String::new(),
        };
        match self.apply(command) {
            Answer::Joined { node, .. } => node,
            other => panic!("a join was answered with {other:?}"),
        }
    }

    /// Ends a member's membership and with it its leases, as if its heartbeats had stopped.
    pub fn expire(&self, node: NodeId) {
        let epoch = self.state().members.get(&node).map(|member| member.epoch).unwrap_or_default();
        self.apply(Command::Expire { node, epoch });
    }
}

#[tonic::async_trait]
impl Control for MemControl {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let request = request.into_inner();
        let command = Command::Join {
            name: request.name,
            role: request.role.parse().map_err(|e: String| status(ErrorKind::Invalid, e))?,
            zone: request.zone,
            grpc_address: request.grpc_address,
            http_address: request.http_address,
            disk_id: String::new(),
        };
        match self.apply(command) {
            Answer::Joined { node, epoch } => {
                let lease_ms = LEASE.as_millis() as u64;
                Ok(Response::new(JoinResponse { node: node.0, epoch: epoch.0, lease_ms }))
            }
            other => Err(status(ErrorKind::Invalid, format!("{other:?}"))),
        }
    }

    async fn heartbeat(
        &self,
        request: Request<HeartbeatRequest>,
    ) -> Result<Response<HeartbeatResponse>, Status> {
        let HeartbeatRequest { node, epoch, oldest_version } = request.into_inner();
        let (node, state) = (NodeId(node), self.state());
        if state.is_current(node, Epoch(epoch)) {
            let mut reads = self.reads.lock().expect("nobody panics with it");
            reads.insert(node, oldest_version.unwrap_or_default());
            let queriers = state.live(Role::Querier);
            let oldest = queriers.map(|member| reads.get(&member.node).copied().unwrap_or_default()).min();
            let oldest_version = oldest.unwrap_or(u64::MAX).min(state.version);
            Ok(Response::new(HeartbeatResponse { oldest_version }))
        } else {
            Err(status(ErrorKind::NotFound, "the membership has ended"))
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchEvent, Status>> + Send>>;

    async fn watch(&self, _request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let event = |state: Arc<ControlState>| {
            Ok(WatchEvent { version: state.version, event: Some(Event::Snapshot(state.encode().into())) })
        };
        Ok(Response::new(Box::pin(WatchStream::new(self.state.subscribe()).map(event))))
    }

    async fn propose(&self, request: Request<ProposeRequest>) -> Result<Response<ProposeResponse>, Status> {
        let command = Command::decode(&request.into_inner().command);
        let answer = self.apply(command.map_err(|e| status(ErrorKind::Invalid, e))?);
        Ok(Response::new(ProposeResponse { version: self.state().version, response: answer.encode().into() }))
    }

    async fn status(&self, _request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(StatusResponse { established: true, ..StatusResponse::default() }))
    }
}
