//! The control group without Raft: one state, changed and watched in memory.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cluster::{Command, ControlState, Response as Applied, Role};
use futures::{Stream, StreamExt};
use proto::control::control_server::Control;
use proto::control::watch_event::Event;
use proto::control::{
    HeartbeatRequest, HeartbeatResponse, JoinRequest, JoinResponse, ProposeRequest, ProposeResponse,
    StatusRequest, StatusResponse, WatchEvent, WatchRequest,
};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};

/// Long enough that no test outlives it, except those that let heartbeats fail.
const LEASE_MS: u64 = 600_000;
/// Short enough to lapse within a test.
const SHORT_LEASE_MS: u64 = 1_000;

pub(crate) struct FakeControl {
    pub(crate) state: Arc<watch::Sender<ControlState>>,
    pub(crate) heartbeats_fail: Arc<AtomicBool>,
}

impl FakeControl {
    fn apply(&self, command: Command) -> (u64, Applied) {
        let mut applied = None;
        self.state.send_modify(|state| {
            let response = state.apply(command);
            applied = Some((state.version, response));
        });
        applied.expect("the closure runs once")
    }
}

#[tonic::async_trait]
impl Control for FakeControl {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchEvent, Status>> + Send>>;

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let request = request.into_inner();
        let (_, applied) = self.apply(Command::Join {
            role: request.role.parse::<Role>().map_err(Status::invalid_argument)?,
            name: request.name,
            zone: request.zone,
            grpc_address: request.grpc_address,
            http_address: request.http_address,
            disk_id: String::new(),
        });
        let Applied::Joined { node, epoch } = applied else { return Err(Status::aborted("not joined")) };
        let lease_ms = if self.heartbeats_fail.load(Ordering::SeqCst) { SHORT_LEASE_MS } else { LEASE_MS };
        Ok(Response::new(JoinResponse { node: node.0, epoch: epoch.0, lease_ms }))
    }

    async fn heartbeat(&self, _: Request<HeartbeatRequest>) -> Result<Response<HeartbeatResponse>, Status> {
        match self.heartbeats_fail.load(Ordering::SeqCst) {
            true => Err(Status::unavailable("no leader")),
            false => Ok(Response::new(HeartbeatResponse::default())),
        }
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let states = WatchStream::new(self.state.subscribe());
        let events = states.map(|state| {
            let event = Some(Event::Snapshot(state.encode().into()));
            Ok(WatchEvent { version: state.version, event })
        });
        Ok(Response::new(Box::pin(events)))
    }

    async fn propose(&self, request: Request<ProposeRequest>) -> Result<Response<ProposeResponse>, Status> {
        let command = Command::decode(&request.into_inner().command).map_err(Status::invalid_argument)?;
        let (version, applied) = self.apply(command);
        Ok(Response::new(ProposeResponse { version, response: applied.encode().into() }))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(StatusResponse::default()))
    }
}
