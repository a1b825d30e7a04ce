//! A group on this node, as its users see it.
//!
//! 1. [`crate::RaftHost::start_group`] makes it.
//! 2. Clones propose, read and watch, from any task.
//! 3. [`Group::stop`], or stopping the host, ends it; clones then answer [`ConsensusError::Stopped`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::NodeId;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{
    ClientWriteError, ForwardToLeader, InitializeError, LinearizableReadError, RaftError,
};
use openraft::raft::ClientWriteResponse;
use openraft::{EmptyNode, LinearizerOption, Raft, ServerState};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use wal::{GroupId, Wal, WalHealth};

use crate::api::{Applied, GroupState, GroupStatus, Leadership};
use crate::error::ConsensusError;
use crate::machine::{Machine, MachineHandle};
use crate::mute::Mute;
use crate::types::{Command, TypeConfig};

/// What is counted for a proposal beside its bytes, so that empty ones are bounded too.
const PROPOSAL_OVERHEAD_BYTES: u32 = 128;

type WriteResult =
    Result<ClientWriteResponse<TypeConfig>, RaftError<TypeConfig, ClientWriteError<TypeConfig>>>;

/// The parts of a running group that its task needs.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) id: GroupId,
    pub(crate) me: NodeId,
    pub(crate) raft: Raft<TypeConfig, Machine>,
    pub(crate) machine: MachineHandle,
    pub(crate) mute: Arc<Mute>,
    /// One snapshot at a time.
    pub(crate) snapshots: Arc<tokio::sync::Mutex<()>>,
}

pub(crate) struct Inner {
    pub(crate) running: Running,
    pub(crate) wal: Arc<Wal>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) in_flight_bytes_max: u32,
    pub(crate) propose_timeout: Duration,
    pub(crate) election_max: Duration,
    pub(crate) task: Mutex<Option<JoinHandle<()>>>,
}

/// A handle to a group. Clones are cheap and share it.
#[derive(Clone)]
pub struct Group {
    pub(crate) inner: Arc<Inner>,
}

impl Running {
    /// Turns "go to the leader" into our words; a leader without a lease is no leader.
    fn not_leader(&self, forward: &ForwardToLeader<TypeConfig>) -> ConsensusError {
        let leader = forward.leader_id.map(NodeId).filter(|leader| *leader != self.me);
        ConsensusError::NotLeader { group: self.id, leader }
    }

    pub(crate) fn stopped(&self, reason: impl ToString) -> ConsensusError {
        ConsensusError::Stopped { group: self.id, reason: reason.to_string() }
    }

    fn write_error(&self, error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> ConsensusError {
        match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => self.not_leader(&forward),
            RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => {
                ConsensusError::OutcomeUnknown { group: self.id }
            }
            RaftError::APIError(refusal) => {
                ConsensusError::Membership { group: self.id, reason: refusal.to_string() }
            }
            RaftError::Fatal(fatal) => self.stopped(fatal),
        }
    }

    /// Gives a fresh group its first members; an old one keeps those it has.
    ///
    /// Every founder writes the same first entry, so it does no harm when there are several.
    pub(crate) async fn initialize(&self, initial: &BTreeSet<NodeId>) -> Result<(), ConsensusError> {
        let members: BTreeSet<u64> = initial.iter().map(|node| node.0).collect();
        match self.raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(self.stopped(error)),
        }
    }

    /// Writes a snapshot and has the log purged up to it.
    pub(crate) async fn snapshot(&self) -> Result<(), ConsensusError> {
        let _one = self.snapshots.lock().await;
        let failed = |source| ConsensusError::Snapshot { group: self.id, action: "write", source };
        let Some(covered) = self.machine.write_snapshot().await.map_err(failed)? else {
            return Ok(());
        };
        let knows = |snapshot: Option<crate::types::LogId>| snapshot >= Some(covered);
        if knows(self.raft.metrics().borrow_watched().snapshot) {
            return Ok(());
        }
        self.raft.trigger().snapshot().await.map_err(|fatal| self.stopped(fatal))?;
        let wait = self.raft.wait(None);
        let known = wait.metrics(|metrics| knows(metrics.snapshot), "snapshot").await;
        known.map(|_| ()).map_err(|error| self.stopped(error))
    }
}

impl Group {
    /// Returns the group's id.
    pub fn id(&self) -> GroupId {
        self.inner.running.id
    }

    /// Replicates a command and returns what the state machine answered, once it is committed and applied here.
    ///
    /// After [`ConsensusError::Timeout`] and [`ConsensusError::OutcomeUnknown`] the command may still be applied;
    /// after every other error it will not be. Dropping the future does not take the command back.
    ///
    /// # Errors
    /// [`ConsensusError::NotLeader`], [`ConsensusError::Overloaded`], [`ConsensusError::DiskFull`],
    /// [`ConsensusError::TooLarge`], [`ConsensusError::Timeout`], [`ConsensusError::OutcomeUnknown`],
    /// [`ConsensusError::Stopped`].
    pub async fn propose(&self, command: Bytes) -> Result<Applied, ConsensusError> {
        let Inner { running, wal, in_flight, propose_timeout, .. } = &*self.inner;
        let (group, bytes) = (running.id, command.len());
        let entry_bytes_max = usize::try_from(wal.entry_bytes_max()).unwrap_or(usize::MAX) - 1;
        let bytes_max =
            entry_bytes_max.min((self.inner.in_flight_bytes_max - PROPOSAL_OVERHEAD_BYTES) as usize);
        if bytes > bytes_max {
            return Err(ConsensusError::TooLarge { group, bytes, bytes_max });
        }
        if wal.health() == WalHealth::DiskFull {
            return Err(ConsensusError::DiskFull);
        }
        let deadline = tokio::time::Instant::now() + *propose_timeout;
        let permits = u32::try_from(bytes).expect("checked against a u32") + PROPOSAL_OVERHEAD_BYTES;
        let waiting = Arc::clone(in_flight).acquire_many_owned(permits);
        let permit = match tokio::time::timeout_at(deadline, waiting).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(running.stopped("it was stopped")),
            Err(_) => return Err(ConsensusError::Overloaded { group }),
        };
        let raft = running.raft.clone();
        // Its own task, so that the bytes count as long as the command is under way, whoever still waits for it.
        let write = tokio::spawn(async move {
            let outcome: WriteResult = raft.client_write(Command::new(&command)).await;
            drop(permit);
            outcome
        });
        match tokio::time::timeout_at(deadline, write).await {
            Ok(Ok(Ok(written))) => Ok(Applied { index: written.log_id.index, response: written.data.0 }),
            Ok(Ok(Err(error))) => Err(running.write_error(error)),
            Ok(Err(join)) => Err(running.stopped(join)),
            Err(_) => Err(ConsensusError::Timeout { group, timeout: *propose_timeout }),
        }
    }

    /// Returns the leader, if known; it may have changed already.
    pub fn leader(&self) -> Option<NodeId> {
        self.inner.leadership.borrow().leader
    }

    /// Returns whether this node believes to lead. [`Self::read_barrier`] makes sure.
    pub fn is_leader(&self) -> bool {
        self.inner.running.raft.is_leader()
    }

    /// Returns a receiver that sees each change of leader or term from now on; the present value counts as seen.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        let mut receiver = self.inner.leadership.clone();
        receiver.mark_unchanged();
        receiver
    }

    /// Returns once this node's state holds everything that was acknowledged before the call.
    ///
    /// Relies on a lease: a majority answered within half of it. Clocks may be wrong, their rates must not be.
    ///
    /// # Errors
    /// [`ConsensusError::NotLeader`], [`ConsensusError::NoQuorum`], [`ConsensusError::Timeout`],
    /// [`ConsensusError::Stopped`].
    pub async fn read_barrier(&self) -> Result<(), ConsensusError> {
        let Inner { running, election_max, propose_timeout, .. } = &*self.inner;
        let group = running.id;
        let option = LinearizerOption::new(Some(*election_max / 2), true).with_wait_timeout(*election_max);
        let linearizer = running.raft.get_read_linearizer(option).await.map_err(|error| match error {
            RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
                running.not_leader(&forward)
            }
            RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => {
                ConsensusError::NoQuorum { group }
            }
            RaftError::Fatal(fatal) => running.stopped(fatal),
        })?;
        match linearizer.try_await_ready(&running.raft, Some(*propose_timeout)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ConsensusError::Timeout { group, timeout: *propose_timeout }),
            Err(fatal) => Err(running.stopped(fatal)),
        }
    }

    /// Returns how the group stands on this node.
    pub fn status(&self) -> GroupStatus {
        let metrics = self.inner.running.raft.metrics().borrow_watched().clone();
        let state = match (&metrics.running_state, metrics.state) {
            (Err(fatal), _) => GroupState::Stopped(fatal.to_string()),
            (Ok(()), ServerState::Leader) => GroupState::Leader,
            (Ok(()), ServerState::Candidate) => GroupState::Candidate,
            (Ok(()), ServerState::Follower) => GroupState::Follower,
            (Ok(()), ServerState::Learner) => GroupState::Learner,
            (Ok(()), ServerState::Shutdown) => GroupState::Stopped("it was stopped".to_owned()),
        };
        GroupStatus {
            term: metrics.current_term,
            leader: metrics.current_leader.map(NodeId),
            last_log_index: metrics.last_log_index,
            applied_index: metrics.last_applied.map(|id| id.index),
            snapshot_index: metrics.snapshot.map(|id| id.index),
            purged_index: metrics.purged.map(|id| id.index),
            voters: metrics.membership_config.membership().voter_ids().map(NodeId).collect(),
            state,
        }
    }

    /// Takes a snapshot now and has the log purged up to it, but for the entries configured to be kept.
    ///
    /// Nothing is applied while the state is written. The purge may follow a little later.
    ///
    /// # Errors
    /// [`ConsensusError::Snapshot`]: the log is kept; [`ConsensusError::Stopped`].
    pub async fn snapshot(&self) -> Result<(), ConsensusError> {
        self.inner.running.snapshot().await
    }

    /// Asks this leader to hand its leadership to another voter. Returns before that has happened.
    ///
    /// # Errors
    /// [`ConsensusError::NotLeader`], [`ConsensusError::Stopped`].
    pub async fn transfer_leader(&self, to: NodeId) -> Result<(), ConsensusError> {
        let running = &self.inner.running;
        if !self.is_leader() {
            let leader = self.leader().filter(|leader| *leader != running.me);
            return Err(ConsensusError::NotLeader { group: running.id, leader });
        }
        running.raft.trigger().transfer_leader(to.0).await.map_err(|fatal| running.stopped(fatal))
    }

    /// Makes a node receive the log without voting, and waits until it has most of it.
    ///
    /// # Errors
    /// [`ConsensusError::NotLeader`], [`ConsensusError::Membership`], [`ConsensusError::OutcomeUnknown`],
    /// [`ConsensusError::Stopped`].
    pub async fn add_learner(&self, node: NodeId) -> Result<(), ConsensusError> {
        let running = &self.inner.running;
        let added = running.raft.add_learner(node.0, EmptyNode {}, true).await;
        added.map(|_| ()).map_err(|error| running.write_error(error))
    }

    /// Makes these learners and voters the voters; voters that are not named leave the group.
    ///
    /// One change at a time: two at once may leave the group between two memberships.
    ///
    /// # Errors
    /// As for [`Self::add_learner`].
    pub async fn change_members(&self, voters: &BTreeSet<NodeId>) -> Result<(), ConsensusError> {
        let running = &self.inner.running;
        let voters: BTreeSet<u64> = voters.iter().map(|node| node.0).collect();
        let changed = running.raft.change_membership(voters, false).await;
        changed.map(|_| ()).map_err(|error| running.write_error(error))
    }

    /// Stops the group on this node. What it has stays on disk.
    pub async fn stop(&self) {
        self.inner.in_flight.close();
        if let Err(error) = self.inner.running.raft.shutdown().await {
            tracing::warn!(group = %self.id(), %error, "the core of the group had panicked");
        }
        let task = self.inner.task.lock().take();
        if let Some(task) = task {
            task.abort();
            // Only ended by the abort, or by itself.
            let _ = task.await;
        }
    }
}
