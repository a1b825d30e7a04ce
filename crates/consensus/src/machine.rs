//! The state machine of a group on its own thread, and what openraft sees of it.
//!
//! Orders reach the thread through one bounded channel, so a snapshot holds exactly what was applied before it was
//! ordered. openraft is only told of snapshots that are already durable: writing one can fail without harm, while an
//! error given to openraft would stop the group.
//!
//! 1. On start the newest snapshot that is whole is restored, then openraft applies the log up to the committed index.
//! 2. [`MachineHandle::write_snapshot`] writes a snapshot; openraft then asks for it and purges the log.
//! 3. When the adapter is dropped, the channel closes and the thread ends.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine, Snapshot};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::api::StateMachine;
use crate::snapshot::{self, SnapshotFile};
use crate::types::{LogId, RaftEntry, Response, SnapshotMeta, StoredMembership, TypeConfig};

/// How many orders may wait for the thread; entries in them are in the log's cache as well.
const ORDERS_MAX: usize = 64;
/// How many bytes of commands are applied for each byte of the snapshot before the next one, at least.
const LOG_BYTES_PER_SNAPSHOT_BYTE: u64 = 3;

type RaftSnapshot =
    Snapshot<openraft::impls::leader_id_adv::LeaderId<u64, u64>, u64, openraft::EmptyNode, SnapshotFile>;

enum Order {
    Apply(RaftEntry, Option<ApplyResponder<TypeConfig>>),
    Flush(oneshot::Sender<()>),
    WriteSnapshot(oneshot::Sender<io::Result<Option<LogId>>>),
    Restore(SnapshotFile, oneshot::Sender<io::Result<()>>),
}

/// What thread, adapter and group share.
pub(crate) struct Shared {
    directory: PathBuf,
    newest: Mutex<Option<SnapshotFile>>,
    /// Bytes of commands applied since the newest snapshot.
    bytes_since_snapshot: AtomicU64,
    /// After how many such bytes the next snapshot is due, at least; see [`Shared::due_after`].
    snapshot_after_bytes: u64,
    newest_bytes: AtomicU64,
    /// Told when the bytes above reach the limit.
    pub(crate) snapshot_is_due: Notify,
}

/// Orders for the thread, from outside openraft.
#[derive(Clone)]
pub(crate) struct MachineHandle {
    // Weak, so that the thread ends with the adapter.
    orders: mpsc::WeakSender<Order>,
    pub(crate) shared: Arc<Shared>,
}

/// The adapter that openraft owns.
pub(crate) struct Machine {
    orders: mpsc::Sender<Order>,
    shared: Arc<Shared>,
    applied: Option<LogId>,
    membership: StoredMembership,
    /// The newest snapshot that openraft was given.
    reported: Option<LogId>,
}

/// Gives openraft the newest snapshot, or has one written.
pub(crate) struct Builder {
    shared: Arc<Shared>,
    /// None when there is a snapshot that openraft has not seen.
    written: Option<oneshot::Receiver<io::Result<Option<LogId>>>>,
}

fn gone<E>(_: E) -> io::Error {
    io::Error::other("the thread of the state machine has ended")
}

/// Starts the thread of a state machine.
pub(crate) fn start(
    machine: Box<dyn StateMachine>,
    name: String,
    directory: &Path,
    snapshot_after_bytes: u64,
) -> io::Result<(Machine, MachineHandle)> {
    let newest = snapshot::newest(directory)?;
    let shared = Arc::new(Shared {
        directory: directory.to_owned(),
        newest_bytes: AtomicU64::new(newest.as_ref().map_or(0, SnapshotFile::body_bytes)),
        newest: Mutex::new(newest),
        bytes_since_snapshot: AtomicU64::new(0),
        snapshot_after_bytes,
        snapshot_is_due: Notify::new(),
    });
    let (orders, received) = mpsc::channel(ORDERS_MAX);
    let worker = Worker {
        machine,
        shared: Arc::clone(&shared),
        applied: None,
        membership: StoredMembership::default(),
    };
    std::thread::Builder::new().name(name).spawn(move || worker.run(received))?;
    let handle = MachineHandle { orders: orders.downgrade(), shared: Arc::clone(&shared) };
    let membership = StoredMembership::default();
    Ok((Machine { orders, shared, applied: None, membership, reported: None }, handle))
}

struct Worker {
    machine: Box<dyn StateMachine>,
    shared: Arc<Shared>,
    applied: Option<LogId>,
    membership: StoredMembership,
}

impl Worker {
    fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.blocking_recv() {
            // A receiver that is gone gave up waiting; the order was carried out all the same.
            match order {
                Order::Apply(entry, responder) => self.apply(entry, responder),
                Order::Flush(done) => drop(done.send(())),
                Order::WriteSnapshot(done) => drop(done.send(self.write_snapshot())),
                Order::Restore(file, done) => drop(done.send(self.restore(file))),
            }
        }
    }

    fn apply(&mut self, entry: RaftEntry, responder: Option<ApplyResponder<TypeConfig>>) {
        let response = match &entry.payload {
            EntryPayload::Blank => Bytes::new(),
            EntryPayload::Normal(command) => {
                let command = command.as_bytes();
                let response = self.machine.apply(entry.log_id.index, command);
                self.shared.count(command.len() as u64);
                response
            }
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                Bytes::new()
            }
        };
        self.applied = Some(entry.log_id);
        if let Some(responder) = responder {
            responder.send(Response(response));
        }
    }

    /// Writes a snapshot of what is applied, unless the newest one is of the same state.
    fn write_snapshot(&mut self) -> io::Result<Option<LogId>> {
        let newest = self.shared.newest.lock().as_ref().map(|file| file.meta.last_log_id);
        if newest.is_some_and(|newest| newest >= self.applied) {
            return Ok(self.applied);
        }
        self.shared.bytes_since_snapshot.store(0, Ordering::Relaxed);
        let meta = SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() };
        let file = snapshot::write(&self.shared.directory, meta, |out| self.machine.snapshot(out))?;
        self.shared.set_newest(file);
        Ok(self.applied)
    }

    fn restore(&mut self, file: SnapshotFile) -> io::Result<()> {
        let file = file.keep(&self.shared.directory)?;
        self.machine.restore(&mut file.body())?;
        self.applied = file.meta.last_log_id;
        self.membership = file.meta.last_membership.clone();
        self.shared.bytes_since_snapshot.store(0, Ordering::Relaxed);
        self.shared.set_newest(file);
        Ok(())
    }
}

impl Shared {
    fn newest(&self) -> Option<LogId> {
        self.newest.lock().as_ref().and_then(|file| file.meta.last_log_id)
    }

    fn set_newest(&self, file: SnapshotFile) {
        self.newest_bytes.store(file.body_bytes(), Ordering::Relaxed);
        *self.newest.lock() = Some(file);
    }

    /// Returns after how many bytes of commands a snapshot is due: what a restart has to apply again is bounded, and what
    /// snapshots write stays a fraction of what the log does, however large the state is.
    fn due_after(&self) -> u64 {
        self.snapshot_after_bytes.max(LOG_BYTES_PER_SNAPSHOT_BYTE * self.newest_bytes.load(Ordering::Relaxed))
    }

    fn count(&self, bytes: u64) {
        let before = self.bytes_since_snapshot.fetch_add(bytes, Ordering::Relaxed);
        let due_after = self.due_after();
        if before < due_after && before + bytes >= due_after {
            self.snapshot_is_due.notify_one();
        }
    }

    /// Makes a failed automatic snapshot be tried again after another half of the limit.
    pub(crate) fn postpone_snapshot(&self) {
        self.bytes_since_snapshot.store(self.due_after() / 2, Ordering::Relaxed);
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl MachineHandle {
    /// Writes a snapshot of what is applied; returns the last entry it covers, if anything was ever applied.
    pub(crate) async fn write_snapshot(&self) -> io::Result<Option<LogId>> {
        let orders = self.orders.upgrade().ok_or(()).map_err(gone)?;
        let (done, written) = oneshot::channel();
        orders.send(Order::WriteSnapshot(done)).await.map_err(gone)?;
        written.await.map_err(gone)?
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            assert!(Some(entry.log_id) > self.applied, "no entry is applied twice");
            self.applied = Some(entry.log_id);
            if let EntryPayload::Membership(membership) = &entry.payload {
                self.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
            }
            self.orders.send(Order::Apply(entry, responder)).await.map_err(gone)?;
        }
        let (done, flushed) = oneshot::channel();
        self.orders.send(Order::Flush(done)).await.map_err(gone)?;
        flushed.await.map_err(gone)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let shared = Arc::clone(&self.shared);
        let newest = shared.newest();
        if newest > self.reported {
            self.reported = newest;
            return Builder { shared, written: None };
        }
        // Ordered now, so that it holds what is applied now, whatever is applied before the builder runs.
        let (done, written) = oneshot::channel();
        self.reported = self.applied;
        // When the thread is gone, the builder says so.
        let _ = self.orders.send(Order::WriteSnapshot(done)).await;
        Builder { shared, written: Some(written) }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, file: SnapshotFile) -> Result<(), io::Error> {
        let (done, restored) = oneshot::channel();
        self.orders.send(Order::Restore(file, done)).await.map_err(gone)?;
        restored.await.map_err(gone)??;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.reported = meta.last_log_id;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<RaftSnapshot>, io::Error> {
        Ok(self.shared.newest.lock().clone().map(to_raft))
    }
}

fn to_raft(file: SnapshotFile) -> RaftSnapshot {
    Snapshot { meta: file.meta.clone(), snapshot: file }
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> Result<RaftSnapshot, io::Error> {
        if let Some(written) = self.written.take() {
            written.await.map_err(gone)??;
        }
        let newest = self.shared.newest.lock().clone();
        newest.map(to_raft).ok_or_else(|| io::Error::other("there is nothing to take a snapshot of"))
    }
}
