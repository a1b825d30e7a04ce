//! The membership: joining, the lease, and the copy of the control state.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cluster::{Command, ControlState, Response, Role};
use model::{Epoch, ErrorKind, NodeId};
use parking_lot::Mutex;
use proto::connect::Connector;
use proto::control::{HeartbeatRequest, JoinRequest};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::SessionError;
use crate::control_client::ControlClient;
use crate::follow::follow;
use crate::pins::{Pin, Pins};

/// Heartbeats a lease: three may be lost before the holder must stop.
const HEARTBEATS_A_LEASE: u32 = 5;
/// The share of a lease, from the sending of the last good heartbeat, in which its holder may act: 7 of 10.
const LEASE_USE: f64 = 0.7;
/// How long saying goodbye may hold up a shutdown.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause between attempts to join.
const JOIN_PAUSE: Duration = Duration::from_millis(300);

/// Who joins what.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The cluster's name.
    pub cluster: String,
    /// `host:port` of ingesters to begin with.
    pub seeds: Vec<String>,
    /// What this process does.
    pub role: Role,
    /// Unique within the role.
    pub name: String,
    /// Where it runs; may be empty.
    pub zone: String,
    /// `host:port` at which others reach its gRPC services; empty when it has none.
    pub grpc_address: String,
    /// `host:port` of its HTTP server.
    pub http_address: String,
    /// The 16 bytes written once to its data directory; `None` without a disk.
    pub disk_id: Option<[u8; 16]>,
}

/// A live membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// This member.
    pub node: NodeId,
    /// Its epoch; named in everything it writes.
    pub epoch: Epoch,
}

/// One process's part in its cluster. Shared by all that act in its name.
pub struct Session {
    config: SessionConfig,
    connector: Connector,
    client: ControlClient,
    state: watch::Sender<Arc<ControlState>>,
    held: Mutex<Option<(Membership, Instant)>>,
    joined: watch::Sender<bool>,
    pins: Arc<Pins>,
    /// What the control leader last said of all members; 0 when it did not.
    oldest_of_all: AtomicU64,
}

impl Session {
    /// Makes a session that knows nothing yet; [`Session::run`] does the rest.
    pub fn new(config: SessionConfig, connector: Connector) -> Arc<Self> {
        let client = ControlClient::new(connector.clone(), config.seeds.clone());
        let state = watch::Sender::new(Arc::new(ControlState::default()));
        Arc::new(Self {
            config,
            connector,
            client,
            state,
            held: Mutex::new(None),
            joined: watch::Sender::new(false),
            pins: Arc::default(),
            oldest_of_all: AtomicU64::new(0),
        })
    }

    /// Joins, renews and follows until shutdown, then leaves.
    ///
    /// # Errors
    /// When the cluster refuses this member for good: another cluster's name, or a disk that is not this node's.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) -> Result<(), SessionError> {
        let result = tokio::select! {
            result = self.keep_membership() => result,
            () = follow(&self.client, &self.connector, &self.state) => Ok(()),
            () = shutdown.cancelled() => Ok(()),
        };
        if result.is_ok() {
            self.leave().await;
        }
        result
    }

    /// Waits until the process is a member and has seen the control state. Cancel-safe.
    pub async fn wait_joined(&self) {
        let mut joined = self.joined.subscribe();
        joined.wait_for(|joined| *joined).await.expect("the sender lives as long as the session");
        let mut state = self.state.subscribe();
        state
            .wait_for(|state| state.settings.is_some())
            .await
            .expect("the sender lives as long as the session");
    }

    /// Returns the latest known control state; version 0 before the first contact.
    pub fn state(&self) -> Arc<ControlState> {
        self.state.borrow().clone()
    }

    /// Returns the latest known control state for a query to read from: until the pin is dropped, the cluster deletes no block
    /// that this version names, as long as this process's membership stands.
    pub fn pin(&self) -> (Arc<ControlState>, Pin) {
        self.pins.pin(|| {
            let state = self.state();
            (state.version, state)
        })
    }

    /// Returns the oldest version of the control state that any live member may still read from, as of the last heartbeat;
    /// `None` while that is not known.
    pub fn oldest_version_read(&self) -> Option<u64> {
        Some(self.oldest_of_all.load(Ordering::Relaxed)).filter(|version| *version > 0)
    }

    /// Returns a receiver that wakes at each new control state.
    pub fn watch(&self) -> watch::Receiver<Arc<ControlState>> {
        self.state.subscribe()
    }

    /// Returns the membership while its lease surely stands, else `None`.
    pub fn membership(&self) -> Option<Membership> {
        self.held.lock().filter(|(_, until)| Instant::now() < *until).map(|(membership, _)| membership)
    }

    /// Returns what this process said when it joined.
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// Returns the channels to other nodes.
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Proposes a command to the control group. See [`ControlClient::propose`].
    ///
    /// # Errors
    /// As [`ControlClient::propose`].
    pub async fn propose(&self, command: &Command) -> Result<Response, SessionError> {
        let state = self.state();
        self.client.propose(&state, command).await
    }

    /// Takes a lease for this member, or confirms its own; returns the lease's epoch.
    ///
    /// # Errors
    /// [`SessionError::Refused`] while another live member holds it; [`SessionError::NoMembership`].
    pub async fn acquire_lease(&self, lease: &str) -> Result<Epoch, SessionError> {
        let Membership { node, epoch } = self.membership().ok_or(SessionError::NoMembership)?;
        let command = Command::AcquireLease { lease: lease.to_owned(), node, member_epoch: epoch };
        match self.propose(&command).await? {
            Response::Leased { epoch } => Ok(epoch),
            other => Err(SessionError::Malformed(format!("a lease was answered with {other:?}"))),
        }
    }

    /// Gives the membership back at once. Best effort: without it the lease lapses by itself.
    async fn leave(&self) {
        let Some((membership, _)) = self.held.lock().take() else { return };
        let command = Command::Expire { node: membership.node, epoch: membership.epoch };
        match tokio::time::timeout(LEAVE_TIMEOUT, self.propose(&command)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => debug!(%error, "could not say goodbye; the lease will lapse"),
            Err(_) => debug!("nobody heard the goodbye in time; the lease will lapse"),
        }
    }

    async fn keep_membership(&self) -> Result<(), SessionError> {
        loop {
            let lease = self.join().await?;
            self.renew(lease).await;
            warn!(role = %self.config.role, name = self.config.name, "membership lost; joining again");
        }
    }

    /// Joins and returns the lease's length.
    async fn join(&self) -> Result<Duration, SessionError> {
        let config = &self.config;
        let request = JoinRequest {
            cluster: config.cluster.clone(),
            name: config.name.clone(),
            role: config.role.as_str().to_owned(),
            zone: config.zone.clone(),
            grpc_address: config.grpc_address.clone(),
            http_address: config.http_address.clone(),
            disk_id: config.disk_id.map(|id| id.to_vec()).unwrap_or_default().into(),
        };
        loop {
            let sent = Instant::now();
            match self.client.join(request.clone()).await {
                Ok(answer) => {
                    let lease = Duration::from_millis(answer.lease_ms);
                    let membership = Membership { node: NodeId(answer.node), epoch: Epoch(answer.epoch) };
                    *self.held.lock() = Some((membership, sent + lease.mul_f64(LEASE_USE)));
                    self.joined.send_replace(true);
                    info!(role = %config.role, name = config.name, node = answer.node, epoch = answer.epoch, "joined");
                    return Ok(lease);
                }
                Err(error) if matches!(error.kind(), ErrorKind::Invalid) => return Err(error),
                Err(error) => {
                    info!(%error, seeds = ?config.seeds, "waiting for the cluster");
                    tokio::time::sleep(JOIN_PAUSE).await;
                }
            }
        }
    }

    /// Renews until the membership is gone.
    async fn renew(&self, lease: Duration) {
        let mut ticks = tokio::time::interval(lease / HEARTBEATS_A_LEASE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some((membership, _)) = *self.held.lock() else { return };
            let sent = Instant::now();
            let oldest_version = Some(self.pins.oldest(|| self.state().version));
            let request =
                HeartbeatRequest { node: membership.node.0, epoch: membership.epoch.0, oldest_version };
            match self.client.heartbeat(&self.state(), request).await {
                Ok(answer) => {
                    self.oldest_of_all.store(answer.oldest_version, Ordering::Relaxed);
                    *self.held.lock() = Some((membership, sent + lease.mul_f64(LEASE_USE)));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    *self.held.lock() = None;
                    return;
                }
                Err(error) => warn!(%error, "heartbeat failed"),
            }
        }
    }
}
