//! The log engine: opening it, its groups, its health, closing it.
//!
//! 1. [`Wal::open`] recovers what is on the disk and starts the writer thread.
//! 2. [`Wal::create_group`] and [`Wal::group`] hand out the logs of groups.
//! 3. [`Wal::close`], or dropping it, writes what was accepted and ends the thread. Handles then answer
//!    [`WalError::Closed`], and still read.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::Mutex;

use crate::config::WalConfig;
use crate::disk::{Directory, Disk};
use crate::error::WalError;
use crate::format::SEGMENT_HEADER_BYTES;
use crate::group::{Group, GroupLog};
use crate::index::Index;
use crate::mark::{MARK_NAME, Mark};
use crate::queue::{Admission, Op, Queue};
use crate::recovery::{Recovered, recover};
use crate::spares::Spares;
use crate::types::GroupId;
use crate::writer::{Meta, Writer, first_header, start_segment};

/// All groups of the log.
pub(crate) struct Groups {
    map: Mutex<BTreeMap<GroupId, Arc<Group>>>,
    pub(crate) cached_bytes: Arc<AtomicU64>,
}

impl Groups {
    pub(crate) fn all(&self) -> Vec<Arc<Group>> {
        self.map.lock().values().cloned().collect()
    }
}

/// Counters that the writer keeps.
#[derive(Default)]
pub(crate) struct StatCounters {
    pub(crate) batches: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) written_bytes: AtomicU64,
    pub(crate) durable_lsn: AtomicU64,
    pub(crate) segments: AtomicU64,
    pub(crate) spares: AtomicU64,
}

/// Figures of the log since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalStats {
    /// Batches written.
    pub batches: u64,
    /// Syncs of segments.
    pub syncs: u64,
    /// Bytes written to segments.
    pub written_bytes: u64,
    /// Every batch up to this number is durable.
    pub durable_lsn: u64,
    /// Segments in use.
    pub segments: u64,
    /// Empty segments that stand ready.
    pub spares: u64,
    /// Bytes of appends that wait to be written.
    pub queued_bytes: u64,
    /// Bytes of entries in memory.
    pub cached_bytes: u64,
}

/// What the log can do at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalHealth {
    /// Everything.
    Ready,
    /// Everything but appends, until the disk has space.
    DiskFull,
    /// Nothing but reads: the process should end, with the reason given.
    Failed(String),
    /// Nothing but reads.
    Closed,
}

/// The log of a node.
pub struct Wal {
    config: WalConfig,
    queue: Arc<Queue>,
    groups: Arc<Groups>,
    stats: Arc<StatCounters>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Wal {
    /// Opens the log in a directory, which is created and locked.
    ///
    /// Reads the whole log: seconds for gigabytes.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] when something acknowledged is damaged, [`WalError::Locked`], [`WalError::Io`],
    /// [`WalError::Config`].
    pub fn open(directory: impl Into<PathBuf>, config: WalConfig) -> Result<Self, WalError> {
        Self::open_on(Arc::new(Directory::open(directory)?), config)
    }

    /// Opens the log on a disk.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_on(disk: Arc<dyn Disk>, config: WalConfig) -> Result<Self, WalError> {
        config.validate()?;
        let names = disk.list().map_err(WalError::io("list", "the directory of the log"))?;
        let mut mark = Mark::open(&*disk).map_err(WalError::io("open", MARK_NAME))?;
        let recovered = recover(&*disk, &names, mark.durable_upto, mark.oldest_epoch)?;
        let mut spares = Spares::open(Arc::clone(&disk), &names, config.segment_bytes, config.spares_min())
            .map_err(WalError::io("open", "the spare segments"))?;
        let mut segments = VecDeque::from(recovered.segments.clone());
        if segments.is_empty() {
            let first = start_segment(&*disk, &mut spares, first_header())
                .map_err(WalError::io("create", "the first segment"))?;
            segments.push_back(first);
        }
        mark.durable_upto = recovered.next_lsn - 1;
        mark.oldest_epoch = segments[0].epoch;
        mark.write().and_then(|()| mark.sync()).map_err(WalError::io("write", MARK_NAME))?;
        Self::start(config, disk, spares, mark, segments, recovered)
    }

    fn start(
        config: WalConfig,
        disk: Arc<dyn Disk>,
        spares: Spares,
        mark: Mark,
        segments: VecDeque<Arc<crate::segment::Segment>>,
        recovered: Recovered,
    ) -> Result<Self, WalError> {
        let cached_bytes = Arc::new(AtomicU64::new(0));
        let metas = recovered.groups.iter().map(|(id, index)| (*id, meta_of(index))).collect();
        let groups = recovered.groups.into_iter().map(|(id, index)| {
            let id = GroupId(id);
            let cached_bytes = Arc::clone(&cached_bytes);
            (id, Arc::new(Group { id, index: Mutex::new(index), cached_bytes }))
        });
        let groups =
            Arc::new(Groups { map: Mutex::new(groups.collect()), cached_bytes: cached_bytes.clone() });
        let queue = Arc::new(Queue::new(config.queue_bytes_max));
        let stats = Arc::new(StatCounters::default());
        let writer = Writer {
            config,
            disk,
            queue: Arc::clone(&queue),
            groups: Arc::clone(&groups),
            stats: Arc::clone(&stats),
            spares,
            mark,
            segments,
            head_first_lsn: recovered.head_first_lsn,
            offset: recovered.end.max(SEGMENT_HEADER_BYTES as u64),
            next_lsn: recovered.next_lsn,
            metas,
            batch: Vec::new(),
            batch_records: 0,
            batch_headers_crc: 0,
            durable_lsn: recovered.next_lsn - 1,
            written_command: 0,
            durable_command: 0,
            free_after: None,
            cached: VecDeque::new(),
            mark_is_dirty: false,
            mark_synced: Instant::now(),
            full_since: None,
        };
        let guard = PanicGuard(Arc::clone(&queue));
        let run = move || {
            let _guard = guard;
            writer.run();
        };
        let thread = std::thread::Builder::new()
            .name("wal-writer".to_owned())
            .spawn(run)
            .map_err(WalError::io("start", "the writer thread"))?;
        Ok(Self { config, queue, groups, stats, writer: Mutex::new(Some(thread)) })
    }

    /// Returns the log of a group that exists.
    pub fn group(&self, id: GroupId) -> Option<GroupLog> {
        self.groups.map.lock().get(&id).map(|group| self.handle(group))
    }

    /// Returns the groups that exist, in order.
    pub fn group_ids(&self) -> Vec<GroupId> {
        self.groups.map.lock().keys().copied().collect()
    }

    fn handle(&self, group: &Arc<Group>) -> GroupLog {
        GroupLog {
            group: Arc::clone(group),
            queue: Arc::clone(&self.queue),
            entry_bytes_max: self.config.entry_bytes_max(),
        }
    }

    /// Returns the log of a group, which comes into being if it does not exist.
    ///
    /// # Errors
    /// [`WalError::Failed`], [`WalError::Closed`].
    pub fn create_group(&self, id: GroupId) -> Result<GroupLog, WalError> {
        let mut map = self.groups.map.lock();
        if let Some(group) = map.get(&id) {
            return Ok(self.handle(group));
        }
        let cached_bytes = Arc::clone(&self.groups.cached_bytes);
        let group = Arc::new(Group { id, index: Mutex::new(Index::default()), cached_bytes });
        self.queue.push(&group, Op::Create, None)?;
        map.insert(id, Arc::clone(&group));
        Ok(self.handle(&group))
    }

    /// Forgets a group and all it had. Handles to it answer [`WalError::Closed`] from now on.
    ///
    /// # Errors
    /// [`WalError::Failed`], [`WalError::Closed`].
    pub fn destroy_group(&self, id: GroupId) -> Result<(), WalError> {
        let mut map = self.groups.map.lock();
        let Some(group) = map.get(&id).cloned() else {
            return Ok(());
        };
        let mut index = group.index.lock();
        self.queue.push(&group, Op::Destroy, None)?;
        let released = index.destroy();
        group.release(released);
        map.remove(&id);
        Ok(())
    }

    /// Blocks until an append of that many bytes finds room, or the log takes none any more.
    ///
    /// For use after [`WalError::QueueFull`] or [`WalError::DiskFull`]. Not for async threads.
    pub fn wait_for_room(&self, bytes: u64) {
        self.queue.wait_for_room(bytes);
    }

    /// Returns what the log can do at the moment.
    pub fn health(&self) -> WalHealth {
        self.queue.admission().into()
    }

    /// Returns the largest payload that an entry may have.
    pub fn entry_bytes_max(&self) -> u64 {
        self.config.entry_bytes_max()
    }

    /// Returns figures for metrics.
    pub fn stats(&self) -> WalStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WalStats {
            batches: read(&self.stats.batches),
            syncs: read(&self.stats.syncs),
            written_bytes: read(&self.stats.written_bytes),
            durable_lsn: read(&self.stats.durable_lsn),
            segments: read(&self.stats.segments),
            spares: read(&self.stats.spares),
            queued_bytes: self.queue.bytes(),
            cached_bytes: read(&self.groups.cached_bytes),
        }
    }

    /// Writes what was accepted and ends the writer thread. Blocks until that is done.
    pub fn close(&self) {
        self.queue.set_admission(Admission::Closed);
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            tracing::error!("the writer thread of the log panicked");
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.close();
    }
}

/// Turns a panic of the writer thread into a failure that everybody hears of.
struct PanicGuard(Arc<Queue>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let reason = "the writer thread panicked".to_owned();
        self.0.set_admission(Admission::Failed(reason.clone()));
        for done in self.0.take_all().into_iter().filter_map(|command| command.done) {
            done(Err(WalError::Failed { reason: reason.clone() }));
        }
    }
}

fn meta_of(index: &Index) -> Meta {
    Meta { vote: index.vote, committed: index.committed, purged: index.purged }
}
