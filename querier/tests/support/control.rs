//! The control group as a member sees it: joins, heartbeats, and the stream of states.

use std::pin::Pin;
use std::sync::Arc;

use cluster::{Command, ControlState, Response as Applied, Role};
use futures::{Stream, StreamExt};
use model::NodeId;
use proto::control::control_server::{Control as Service, ControlServer};
use proto::control::watch_event::Event;
use proto::control::{
    GroupStatus, HeartbeatRequest, HeartbeatResponse, JoinRequest, JoinResponse, ProposeRequest,
    ProposeResponse, StatusRequest, StatusResponse, WatchEvent, WatchRequest,
};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// One state, shared by the test and the service.
#[derive(Clone)]
pub(crate) struct Control(Arc<watch::Sender<ControlState>>);

impl Default for Control {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(ControlState::default())))
    }
}

impl Control {
    pub(crate) fn routes(&self) -> Routes {
        Routes::new(ControlServer::new(self.clone()))
    }

    pub(crate) fn version(&self) -> u64 {
        self.0.borrow().version
    }

    /// Applies a command that must not be refused.
    pub(crate) fn apply(&self, command: Command) -> Applied {
        let mut answer = Applied::Done;
        self.0.send_modify(|state| answer = state.apply(command));
        assert!(!matches!(answer, Applied::Refused(_)), "{answer:?}");
        answer
    }

    /// Makes a member whose addresses are its name.
    pub(crate) fn join(&self, role: Role, name: &str) -> NodeId {
        let (name, empty) = (name.to_owned(), String::new());
        let grpc_address = name.clone();
        let (zone, http_address, disk_id) = (empty.clone(), empty.clone(), empty);
        match self.apply(Command::Join { name, role, zone, grpc_address, http_address, disk_id }) {
            Applied::Joined { node, .. } => node,
            other => panic!("a join is answered with a membership, not {other:?}"),
        }
    }
}

#[tonic::async_trait]
impl Service for Control {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchEvent, Status>> + Send>>;

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let node = Control::join(self, Role::Querier, &request.into_inner().name);
        Ok(Response::new(JoinResponse { node: node.0, epoch: 1, lease_ms: 3_600_000 }))
    }

    async fn heartbeat(&self, _: Request<HeartbeatRequest>) -> Result<Response<HeartbeatResponse>, Status> {
        Ok(Response::new(HeartbeatResponse::default()))
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let states = WatchStream::new(self.0.subscribe()).map(|state| {
            Ok(WatchEvent { version: state.version, event: Some(Event::Snapshot(state.encode().into())) })
        });
        Ok(Response::new(Box::pin(states)))
    }

    async fn propose(&self, request: Request<ProposeRequest>) -> Result<Response<ProposeResponse>, Status> {
        let command = Command::decode(&request.into_inner().command).map_err(Status::invalid_argument)?;
        let mut answer = Applied::Done;
        self.0.send_modify(|state| answer = state.apply(command));
        Ok(Response::new(ProposeResponse { version: self.version(), response: answer.encode().into() }))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let group = |group| GroupStatus {
            group,
            term: 3,
            leader: 1,
            last_log_index: 10,
            applied_index: 9,
            state: "leader".into(),
            series: 5,
            samples: 50,
        };
        Ok(Response::new(StatusResponse { groups: vec![group(0), group(2)], ..StatusResponse::default() }))
    }
}
