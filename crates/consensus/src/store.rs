//! The log of a group as openraft wants it, over the log engine of the node.
//!
//! Appends return as soon as the entries can be read and answer through their callback when they are durable. What
//! is not in memory is read on a thread that may block. When the engine has no room, the append waits; when the disk
//! is full it waits too, and the group stands still here until there is space.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use futures::stream::{self, Stream};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use wal::{GroupLog, Wal, WalError};

use crate::types::{
    LogId, RaftEntry, TypeConfig, Vote, from_wal_entry, from_wal_id, from_wal_vote, to_wal_entry, to_wal_id,
    to_wal_vote,
};

/// How many bytes of entries go into one message. More helps little and fills the buffers of the connection.
const APPEND_MESSAGE_BYTES: u64 = 512 << 10;

/// How many bytes of entries are read at once to be applied.
const APPLY_READ_BYTES: u64 = 4 << 20;

/// How many bytes go to the log engine as one append, so that no append outgrows its queue.
const APPEND_BYTES: u64 = 1 << 20;

/// The log of one group.
#[derive(Clone)]
pub(crate) struct Store {
    log: GroupLog,
    wal: Arc<Wal>,
}

fn to_io(error: WalError) -> io::Error {
    io::Error::other(error)
}

fn bounds(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end.max(start)
}

impl Store {
    pub(crate) fn new(wal: Arc<Wal>, log: GroupLog) -> Self {
        Self { log, wal }
    }

    async fn read(&self, range: Range<u64>, bytes_max: u64) -> io::Result<Vec<RaftEntry>> {
        let plan = self.log.read(range, bytes_max);
        let entries = if plan.in_memory() {
            plan.load()
        } else {
            tokio::task::spawn_blocking(move || plan.load()).await.map_err(io::Error::other)?
        };
        entries.map_err(to_io)?.into_iter().map(from_wal_entry).collect()
    }

    /// Appends one piece, waiting for room as often as needed.
    async fn append_piece(
        &self,
        entries: Vec<wal::Entry>,
        callback: IOFlushed<TypeConfig>,
    ) -> io::Result<()> {
        let bytes = entries.iter().map(|entry| entry.payload.len() as u64 + 128).sum();
        // The engine drops what it refuses, so the callback is lent out and comes back.
        let callback = Arc::new(Mutex::new(Some(callback)));
        loop {
            let lent = Arc::clone(&callback);
            let done = move |outcome: Result<(), WalError>| {
                if let Some(callback) = lent.lock().take() {
                    callback.io_completed(outcome.map_err(to_io));
                }
            };
            match self.log.append(entries.clone(), Box::new(done)) {
                Ok(()) => return Ok(()),
                Err(WalError::QueueFull | WalError::DiskFull) => {
                    let wal = Arc::clone(&self.wal);
                    let wait = move || wal.wait_for_room(bytes);
                    tokio::task::spawn_blocking(wait).await.map_err(io::Error::other)?;
                }
                Err(error) => return Err(to_io(error)),
            }
        }
    }
}

impl RaftLogReader<TypeConfig> for Store {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<RaftEntry>, io::Error> {
        self.read(bounds(&range), u64::MAX).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.log.state().vote.map(from_wal_vote))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<RaftEntry>, io::Error> {
        self.read(start..end, APPEND_MESSAGE_BYTES).await
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<RaftEntry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let store = self.clone();
        let range = bounds(&range);
        let state = (store, range, Vec::new().into_iter());
        stream::unfold(
            state,
            |(store, mut range, mut read): (Self, _, std::vec::IntoIter<RaftEntry>)| async {
                if read.len() == 0 && !range.is_empty() {
                    match store.read(range.clone(), APPLY_READ_BYTES).await {
                        Ok(entries) => read = entries.into_iter(),
                        Err(error) => return Some((Err(error), (store, 0..0, Vec::new().into_iter()))),
                    }
                }
                let entry = read.next()?;
                range.start = entry.log_id.index + 1;
                Some((Ok(entry), (store, range, read)))
            },
        )
    }
}

impl RaftLogStorage<TypeConfig> for Store {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let state = self.log.state();
        Ok(LogState {
            last_purged_log_id: state.purged.map(from_wal_id),
            last_log_id: state.last.map(from_wal_id),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (sender, durable) = oneshot::channel();
        let done = Box::new(move |outcome| {
            // Whoever asked may be gone by now; the vote stands all the same.
            let _ = sender.send(outcome);
        });
        self.log.save_vote(to_wal_vote(vote), done).map_err(to_io)?;
        durable.await.map_err(io::Error::other)?.map_err(to_io)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.log.save_committed(committed.as_ref().map(to_wal_id)).map_err(to_io)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.log.state().committed.map(from_wal_id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<wal::Entry> = entries.into_iter().map(|entry| to_wal_entry(&entry)).collect();
        let mut piece = Vec::new();
        let mut bytes = 0;
        for entry in entries {
            bytes += entry.payload.len() as u64;
            if bytes > APPEND_BYTES && !piece.is_empty() {
                self.append_piece(std::mem::take(&mut piece), IOFlushed::noop()).await?;
                bytes = entry.payload.len() as u64;
            }
            piece.push(entry);
        }
        // The engine keeps the order, so the last piece speaks for all.
        self.append_piece(piece, callback).await
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        self.log.truncate_after(last_log_id.map(|id| id.index)).map_err(to_io)
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        self.log.purge(to_wal_id(&log_id)).map_err(to_io)
    }
}
