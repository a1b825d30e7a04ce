//! The gRPC service that members talk to.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::{Command, Response as Answer, Role, StateError};
use consensus::{ConsensusError, Group, GroupState};
use futures::Stream;
use model::{Epoch, ErrorKind, NodeId};
use proto::control::control_server::Control;
use proto::control::{
    GroupStatus, HeartbeatRequest, HeartbeatResponse, JoinRequest, JoinResponse, ProposeRequest,
    ProposeResponse, StatusRequest, StatusResponse, WatchEvent, WatchRequest,
};
use proto::error::{not_leader, status};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::feed::Feed;
use super::leases::{LeaseTable, Reads};
use crate::data_dir::hex;
use crate::shard::Shards;
use crate::transport::Addresses;

/// How many events may wait for a slow watcher before its stream waits.
const WATCH_QUEUE_MAX: usize = 64;
/// How often a quiet watch stream says that it lives.
const WATCH_KEEPALIVE: Duration = Duration::from_secs(5);

/// Answers members. The leader alone changes anything.
pub(crate) struct ControlService {
    pub(crate) cluster: String,
    pub(crate) node: NodeId,
    pub(crate) lease: Duration,
    pub(crate) group: Group,
    pub(crate) feed: Arc<Feed>,
    pub(crate) leases: Arc<LeaseTable>,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) shards: Arc<Shards>,
    pub(crate) shutdown: CancellationToken,
}

impl ControlService {
    fn refuse(&self, error: &ConsensusError) -> Status {
        consensus_status(error, |node| self.addresses.get(node))
    }

    async fn propose_command(&self, command: &Command) -> Result<(u64, Answer), Status> {
        let applied = self.group.propose(command.encode().into()).await.map_err(|e| self.refuse(&e))?;
        let answer = Answer::decode(&applied.response).map_err(|e| status(ErrorKind::Internal, e))?;
        Ok((applied.index, answer))
    }
}

/// Turns a consensus error into a status that names the leader when it is known.
pub(crate) fn consensus_status(error: &ConsensusError, address: impl Fn(NodeId) -> Option<String>) -> Status {
    match error {
        ConsensusError::NotLeader { leader, .. } => not_leader(leader.and_then(address).as_deref()),
        other => status(other.kind(), other.to_string()),
    }
}

#[tonic::async_trait]
impl Control for ControlService {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let request = request.into_inner();
        if request.cluster != self.cluster {
            let message = format!("this is cluster {:?}, not {:?}", self.cluster, request.cluster);
            return Err(status(ErrorKind::Invalid, message));
        }
        let role: Role = request.role.parse().map_err(|e: String| status(ErrorKind::Invalid, e))?;
        let command = Command::Join {
            name: request.name,
            role,
            zone: request.zone,
            grpc_address: request.grpc_address,
            http_address: request.http_address,
            disk_id: hex(&request.disk_id),
        };
        match self.propose_command(&command).await?.1 {
            Answer::Joined { node, epoch } => {
                self.leases.renew(node, epoch, Reads::Unknown, Instant::now());
                let lease_ms = self.lease.as_millis() as u64;
                Ok(Response::new(JoinResponse { node: node.0, epoch: epoch.0, lease_ms }))
            }
            Answer::Refused(fault @ StateError::NotFounded) => {
                Err(status(ErrorKind::Unavailable, fault.to_string()))
            }
            // What the founded cluster refuses, it refuses again.
            Answer::Refused(fault) => Err(status(ErrorKind::Invalid, fault.to_string())),
            other => Err(status(ErrorKind::Internal, format!("a join was answered with {other:?}"))),
        }
    }

    async fn heartbeat(
        &self,
        request: Request<HeartbeatRequest>,
    ) -> Result<Response<HeartbeatResponse>, Status> {
        let HeartbeatRequest { node, epoch, oldest_version } = request.into_inner();
        let (node, epoch) = (NodeId(node), Epoch(epoch));
        // A leader that was deposed must not keep a membership alive that its successor ends.
        self.group.read_barrier().await.map_err(|e| self.refuse(&e))?;
        let state = self.feed.state();
        if !state.is_current(node, epoch) {
            return Err(status(
                ErrorKind::NotFound,
                format!("membership of node {node} with epoch {epoch} has ended"),
            ));
        }
        self.leases.renew(node, epoch, oldest_version.map_or(Reads::Unsaid, Reads::From), Instant::now());
        let oldest_version = self.leases.oldest_version(&state).unwrap_or_default();
        Ok(Response::new(HeartbeatResponse { oldest_version }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchEvent, Status>> + Send>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (events, stream) = mpsc::channel(WATCH_QUEUE_MAX);
        let follow =
            follow(self.feed.clone(), request.into_inner().from_version, events, self.shutdown.clone());
        // The task ends with its stream, or with the process.
        tokio::spawn(follow);
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn propose(&self, request: Request<ProposeRequest>) -> Result<Response<ProposeResponse>, Status> {
        let command =
            Command::decode(&request.into_inner().command).map_err(|e| status(ErrorKind::Invalid, e))?;
        if matches!(command, Command::Establish { .. } | Command::PlaceShards { .. } | Command::Join { .. }) {
            return Err(status(ErrorKind::Invalid, "only the control leader proposes this command"));
        }
        let (version, answer) = self.propose_command(&command).await?;
        Ok(Response::new(ProposeResponse { version, response: answer.encode().into() }))
    }

    async fn status(&self, _request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let leader = self.group.leader();
        let mut groups = vec![group_status(0, &self.group, 0, 0)];
        groups.extend(self.shards.list().iter().map(|replica| {
            let head = replica.head().stats();
            group_status(replica.shard.0, &replica.group, head.series, head.samples)
        }));
        Ok(Response::new(StatusResponse {
            established: self.feed.state().settings.is_some(),
            node: self.node.0,
            leader: leader.map_or(0, |node| node.0),
            leader_address: leader.and_then(|node| self.addresses.get(node)).unwrap_or_default(),
            groups,
        }))
    }
}

fn group_status(group: u32, raft: &Group, series: u64, samples: u64) -> GroupStatus {
    let status = raft.status();
    GroupStatus {
        group,
        term: status.term,
        leader: status.leader.map_or(0, |node| node.0),
        last_log_index: status.last_log_index.unwrap_or_default(),
        applied_index: status.applied_index.unwrap_or_default(),
        state: state_name(&status.state).to_owned(),
        series,
        samples,
    }
}

fn state_name(state: &GroupState) -> &'static str {
    match state {
        GroupState::Leader => "leader",
        GroupState::Follower => "follower",
        GroupState::Candidate => "candidate",
        GroupState::Learner => "learner",
        GroupState::Stopped(_) => "failed",
    }
}

/// Sends a watcher everything after `version`, for as long as it listens.
async fn follow(
    feed: Arc<Feed>,
    mut version: u64,
    events: mpsc::Sender<Result<WatchEvent, Status>>,
    shutdown: CancellationToken,
) {
    let mut states = feed.subscribe();
    loop {
        states.borrow_and_update();
        for event in feed.events_after(version) {
            version = event.version;
            if events.send(Ok(event)).await.is_err() {
                return;
            }
        }
        tokio::select! {
            changed = states.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(WATCH_KEEPALIVE) => {
                if events.send(Ok(WatchEvent { version, event: None })).await.is_err() {
                    return;
                }
            }
            () = events.closed() => return,
            () = shutdown.cancelled() => return,
        }
    }
}
