//! Calls to the control group: finds its leader, follows redirects, tries again within a limit.

use std::future::Future;
use std::time::{Duration, Instant};

use cluster::{Command, ControlState, Response, Role};
use model::ErrorKind;
use parking_lot::Mutex;
use proto::connect::{Channel, Connector};
use proto::control::control_client::ControlClient as Generated;
use proto::control::{HeartbeatRequest, HeartbeatResponse, JoinRequest, JoinResponse, ProposeRequest};
use proto::error::{kind_of_status, leader_address};
use tonic::{Code, Status};

use crate::SessionError;

/// How long one attempt may take before the next ingester is asked.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long all attempts of one call may take together: an election and a half.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// The pause after a round in which nobody knew a leader.
const ROUND_PAUSE: Duration = Duration::from_millis(100);

/// Calls that only the leader of the control group answers.
pub struct ControlClient {
    connector: Connector,
    seeds: Vec<String>,
    leader: Mutex<Option<String>>,
}

/// Why an attempt at one address is not the end.
enum Attempt {
    Elsewhere(String),
    Failed(Status),
}

impl ControlClient {
    /// Makes a client that starts from the given addresses (`host:port`).
    pub fn new(connector: Connector, seeds: Vec<String>) -> Self {
        Self { connector, seeds, leader: Mutex::new(None) }
    }

    /// Asks the leader to make the caller a member.
    ///
    /// # Errors
    /// [`SessionError::Answered`] when the cluster refuses, [`SessionError::NoLeader`] after the call's time limit.
    pub async fn join(&self, request: JoinRequest) -> Result<JoinResponse, SessionError> {
        let call = |mut client: Generated<Channel>| {
            let request = request.clone();
            async move { client.join(request).await.map(tonic::Response::into_inner) }
        };
        self.on_leader(&ControlState::default(), call).await
    }

    /// Renews a membership.
    ///
    /// # Errors
    /// As [`ControlClient::join`]; kind `NotFound` when the membership ended.
    pub async fn heartbeat(
        &self,
        state: &ControlState,
        request: HeartbeatRequest,
    ) -> Result<HeartbeatResponse, SessionError> {
        let call = |mut client: Generated<Channel>| async move {
            client.heartbeat(request).await.map(tonic::Response::into_inner)
        };
        self.on_leader(state, call).await
    }

    /// Proposes a command and returns the answer of its apply.
    ///
    /// A command whose answer was lost may have been applied: commands are written so that proposing one again is safe.
    ///
    /// # Errors
    /// [`SessionError::Refused`] when the state refused it; otherwise as [`ControlClient::join`].
    pub async fn propose(&self, state: &ControlState, command: &Command) -> Result<Response, SessionError> {
        let request = ProposeRequest { command: command.encode().into() };
        let call = |mut client: Generated<Channel>| {
            let request = request.clone();
            async move { client.propose(request).await.map(tonic::Response::into_inner) }
        };
        let answer = self.on_leader(state, call).await?;
        match Response::decode(&answer.response).map_err(SessionError::Malformed)? {
            Response::Refused(fault) => Err(SessionError::Refused(fault)),
            response => Ok(response),
        }
    }

    /// Returns where ingesters may be found: the last known leader first, then live members, then the seeds.
    pub(crate) fn candidates(&self, state: &ControlState) -> Vec<String> {
        let mut addresses: Vec<String> = self.leader.lock().iter().cloned().collect();
        let members = state.live(Role::Ingester).map(|member| member.grpc_address.clone());
        for address in members.chain(self.seeds.iter().cloned()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }

    async fn on_leader<T, F, Fut>(&self, state: &ControlState, call: F) -> Result<T, SessionError>
    where
        F: Fn(Generated<Channel>) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let began = Instant::now();
        let mut last = "no ingester's address is known".to_owned();
        while began.elapsed() < CALL_TIMEOUT {
            let mut queue = self.candidates(state);
            let mut redirects_left = queue.len() + 2;
            while !queue.is_empty() {
                let address = queue.remove(0);
                match self.attempt(&address, &call).await? {
                    Ok(answer) => {
                        *self.leader.lock() = Some(address);
                        return Ok(answer);
                    }
                    Err(Attempt::Elsewhere(leader)) if redirects_left > 0 => {
                        redirects_left -= 1;
                        last = format!("{address} names {leader} as the leader");
                        queue.retain(|candidate| *candidate != leader);
                        queue.insert(0, leader);
                    }
                    Err(Attempt::Elsewhere(leader)) => {
                        last = format!("{address} names {leader} as the leader")
                    }
                    Err(Attempt::Failed(status)) => last = format!("{address}: {}", status.message()),
                }
            }
            *self.leader.lock() = None;
            tokio::time::sleep(ROUND_PAUSE).await;
        }
        Err(SessionError::NoLeader { waited_ms: began.elapsed().as_millis(), last })
    }

    async fn attempt<T, F, Fut>(&self, address: &str, call: &F) -> Result<Result<T, Attempt>, SessionError>
    where
        F: Fn(Generated<Channel>) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let channel = self.connector.channel(address).map_err(SessionError::Malformed)?;
        let client = Generated::new(channel);
        let status = match tokio::time::timeout(ATTEMPT_TIMEOUT, call(client)).await {
            Ok(Ok(answer)) => return Ok(Ok(answer)),
            Ok(Err(status)) => status,
            Err(_) => Status::new(Code::DeadlineExceeded, "no answer in time"),
        };
        match (kind_of_status(&status), leader_address(&status)) {
            (ErrorKind::NotLeader, Some(leader)) if leader != address => Ok(Err(Attempt::Elsewhere(leader))),
            (
                ErrorKind::NotLeader | ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Cancelled,
                _,
            ) => Ok(Err(Attempt::Failed(status))),
            (kind, _) => Err(SessionError::Answered { kind, message: status.message().to_owned() }),
        }
    }
}
