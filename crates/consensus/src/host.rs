//! The host of the groups of a node: it owns the log and routes messages.
//!
//! 1. [`RaftHost::open`] recovers the log; nothing runs yet.
//! 2. [`RaftHost::start_group`] brings up one group: snapshot, log, then elections.
//! 3. [`RaftHost::stop`] stops the groups and closes the log. Killing the process instead is as safe.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use model::NodeId;
use openraft::{Config, Raft, Snapshot};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, watch};
use wal::disk::{Directory, Disk};
use wal::{GroupId, Wal, WalHealth, WalStats};

use crate::api::{Leadership, StateMachine, Transport};
use crate::config::HostConfig;
use crate::error::ConsensusError;
use crate::group::{Group, Inner, Running};
use crate::machine;
use crate::mute::Mute;
use crate::network::Network;
use crate::receive::{Incoming, Received};
use crate::store::Store;
use crate::types::TypeConfig;
use crate::wire::{self, SnapshotAnswer, SnapshotPart};

/// Where the log lies in the host's directory.
const WAL_DIRECTORY: &str = "wal";
/// Where the snapshots of the groups lie.
const SNAPSHOT_DIRECTORY: &str = "snapshots";

/// The groups of this node.
pub struct RaftHost {
    config: HostConfig,
    raft_config: Arc<Config>,
    wal: Arc<Wal>,
    transport: Arc<dyn Transport>,
    groups: Mutex<BTreeMap<GroupId, Hosted>>,
}

#[derive(Clone)]
struct Hosted {
    group: Group,
    incoming: Arc<tokio::sync::Mutex<Incoming>>,
}

impl RaftHost {
    /// Opens the log of the node, which takes as long as reading it.
    ///
    /// # Errors
    /// [`ConsensusError::Log`]: when it is damaged, this node must be replaced by a new one;
    /// [`ConsensusError::Config`].
    pub async fn open(config: HostConfig, transport: Arc<dyn Transport>) -> Result<Self, ConsensusError> {
        let directory = config.dir.join(WAL_DIRECTORY);
        let disk = Directory::open(directory).map_err(ConsensusError::Log)?;
        Self::open_on(config, Arc::new(disk), transport).await
    }

    /// Opens the log on a disk given by the caller; snapshots lie in the configured directory.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub async fn open_on(
        config: HostConfig,
        disk: Arc<dyn Disk>,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, ConsensusError> {
        let raft_config = config.raft()?;
        let limits = config.wal;
        let opened = tokio::task::spawn_blocking(move || Wal::open_on(disk, limits)).await;
        let wal = opened.expect("opening the log does not panic").map_err(ConsensusError::Log)?;
        Ok(Self { config, raft_config, wal: Arc::new(wal), transport, groups: Mutex::default() })
    }

    /// Starts a group: a fresh one begins with these voters, the same on each of them; an old one goes on.
    ///
    /// The lowest of them founds the group; the others do so only when they hear nothing of it for three leases. A
    /// node that is not among them waits until the leader makes it a member.
    ///
    /// # Errors
    /// [`ConsensusError::AlreadyStarted`], [`ConsensusError::Snapshot`], [`ConsensusError::Stopped`] when log and
    /// snapshot do not fit together, [`ConsensusError::Log`].
    pub async fn start_group(
        &self,
        group: GroupId,
        machine: Box<dyn StateMachine>,
        initial: &BTreeSet<NodeId>,
    ) -> Result<Group, ConsensusError> {
        if self.groups.lock().contains_key(&group) {
            return Err(ConsensusError::AlreadyStarted { group });
        }
        let running = self.build(group, machine).await?;
        let founder = initial.first() == Some(&self.config.node);
        if founder {
            running.initialize(initial).await?;
        }
        let (sender, leadership) = watch::channel(Leadership::default());
        let task = tokio::spawn(crate::watch::run(
            running.clone(),
            sender,
            initial.clone(),
            self.config.election_max,
        ));
        let inner = Inner {
            running,
            wal: Arc::clone(&self.wal),
            leadership,
            in_flight: Arc::new(Semaphore::new(self.config.in_flight_bytes_max as usize)),
            in_flight_bytes_max: self.config.in_flight_bytes_max,
            propose_timeout: self.config.propose_timeout,
            election_max: self.config.election_max,
            task: Mutex::new(Some(task)),
        };
        let handle = Group { inner: Arc::new(inner) };
        let hosted = Hosted { group: handle.clone(), incoming: Arc::default() };
        self.groups.lock().insert(group, hosted);
        Ok(handle)
    }

    async fn build(&self, id: GroupId, machine: Box<dyn StateMachine>) -> Result<Running, ConsensusError> {
        let log = self.wal.create_group(id).map_err(ConsensusError::Log)?;
        let directory = self.config.dir.join(SNAPSHOT_DIRECTORY).join(id.to_string());
        let limit = self.config.log_bytes_before_snapshot;
        let start = move || machine::start(machine, format!("group-{id}"), &directory, limit);
        let started = tokio::task::spawn_blocking(start).await.map_err(std::io::Error::other).flatten();
        let failed = |source| ConsensusError::Snapshot { group: id, action: "load", source };
        let (adapter, machine) = started.map_err(failed)?;
        let mute = Arc::<Mute>::default();
        let network = Network {
            mute: Arc::clone(&mute),
            transport: Arc::clone(&self.transport),
            group: id,
            me: self.config.node,
            append_timeout: self.config.append_timeout,
            snapshot_timeout: self.config.snapshot_timeout,
            transfers: Arc::new(AtomicU64::new(0)),
        };
        let store = Store::new(Arc::clone(&self.wal), log);
        let config = Arc::clone(&self.raft_config);
        let raft = Raft::new(self.config.node.0, config, network, store, adapter).await;
        let raft = raft.map_err(|fatal| ConsensusError::Stopped { group: id, reason: fatal.to_string() })?;
        Ok(Running { id, me: self.config.node, raft, machine, mute, snapshots: Arc::default() })
    }

    /// Returns a group that runs here.
    pub fn group(&self, id: GroupId) -> Option<Group> {
        self.groups.lock().get(&id).map(|hosted| hosted.group.clone())
    }

    /// Handles a message from another node: the server side of [`Transport::call`].
    ///
    /// # Errors
    /// [`ConsensusError::UnknownGroup`], [`ConsensusError::Malformed`], [`ConsensusError::DiskFull`],
    /// [`ConsensusError::Stopped`], [`ConsensusError::Snapshot`].
    pub async fn handle(&self, group: GroupId, kind: u32, body: Bytes) -> Result<Bytes, ConsensusError> {
        let hosted = self.groups.lock().get(&group).cloned();
        let hosted = hosted.ok_or(ConsensusError::UnknownGroup { group })?;
        let running = &hosted.group.inner.running;
        let raft = running.raft.clone();
        let message = Message { running, kind, body: &body };
        match kind {
            wire::VOTE => message.answer(|request| async move { raft.vote(request).await }).await,
            wire::PRE_VOTE => message.answer(|request| async move { raft.pre_vote(request).await }).await,
            wire::TRANSFER_LEADER => {
                message.answer(|request| async move { raft.handle_transfer_leader(request).await }).await
            }
            wire::APPEND => {
                let request = wire::decode_append(&body).map_err(|reason| message.malformed(reason))?;
                if !request.entries.is_empty() && self.wal.health() == WalHealth::DiskFull {
                    return Err(ConsensusError::DiskFull);
                }
                let answer = raft.append_entries(request).await;
                answer.map(|answer| wire::encode(&answer)).map_err(|error| running.stopped(error))
            }
            wire::SNAPSHOT => {
                let (part, data) = wire::decode(&body).map_err(|reason| message.malformed(reason))?;
                hosted.receive(part, data).await
            }
            _ => Err(message.malformed("the kind is not known".to_owned())),
        }
    }

    /// Returns what the log can do at the moment; after a failure the process should end.
    pub fn health(&self) -> WalHealth {
        self.wal.health()
    }

    /// Returns figures of the log.
    pub fn wal_stats(&self) -> WalStats {
        self.wal.stats()
    }

    /// Stops a group and lets it be started again.
    pub async fn stop_group(&self, id: GroupId) {
        let hosted = self.groups.lock().remove(&id);
        if let Some(hosted) = hosted {
            hosted.group.stop().await;
        }
    }

    /// Stops all groups and closes the log.
    pub async fn stop(&self) {
        let hosted = std::mem::take(&mut *self.groups.lock());
        for hosted in hosted.into_values() {
            hosted.group.stop().await;
        }
        let wal = Arc::clone(&self.wal);
        let closed = tokio::task::spawn_blocking(move || wal.close()).await;
        closed.expect("closing the log does not panic");
    }
}

struct Message<'a> {
    running: &'a Running,
    kind: u32,
    body: &'a Bytes,
}

impl Message<'_> {
    fn malformed(&self, reason: String) -> ConsensusError {
        ConsensusError::Malformed { group: self.running.id, kind: self.kind, reason }
    }

    async fn answer<Q, A, E, F>(&self, ask: impl FnOnce(Q) -> F) -> Result<Bytes, ConsensusError>
    where
        Q: DeserializeOwned,
        A: Serialize,
        E: ToString,
        F: Future<Output = Result<A, E>>,
    {
        let (request, _) = wire::decode(self.body).map_err(|reason| self.malformed(reason))?;
        let answer = ask(request).await.map_err(|error| self.running.stopped(error.to_string()))?;
        Ok(wire::encode(&answer))
    }
}

impl Hosted {
    /// Takes a part of a snapshot; with the last one, the snapshot is installed before the answer goes out.
    async fn receive(&self, part: SnapshotPart, data: Bytes) -> Result<Bytes, ConsensusError> {
        let running = &self.group.inner.running;
        let failed = |source| ConsensusError::Snapshot { group: running.id, action: "receive", source };
        let vote = part.vote;
        let mut incoming = Arc::clone(&self.incoming).lock_owned().await;
        let directory = running.machine.shared.directory().to_owned();
        let write = move || incoming.receive(&directory, &part, &data);
        let received = tokio::task::spawn_blocking(write).await.map_err(std::io::Error::other).flatten();
        let file = match received.map_err(failed)? {
            Received::More => return Ok(wire::encode(&SnapshotAnswer::Continue)),
            Received::Misfit => return Ok(wire::encode(&SnapshotAnswer::Restart)),
            Received::Whole(file) => *file,
        };
        let path = file.path().to_owned();
        let snapshot = Snapshot { meta: file.meta.clone(), snapshot: file };
        let answer: openraft::raft::SnapshotResponse<TypeConfig> = running
            .raft
            .install_full_snapshot(vote, snapshot)
            .await
            .map_err(|fatal| running.stopped(fatal))?;
        match tokio::fs::remove_file(&path).await {
            // It was not needed; had it been installed, it would have another name now.
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(wire::encode(&SnapshotAnswer::Installed(answer.vote))),
        }
    }
}
