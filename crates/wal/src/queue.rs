//! The queue between the groups and the writer thread: ordered, bounded in bytes, and the place where appends are
//! refused.
//!
//! Only appends count against the bound and need spare segments; votes, truncations and purges are small and always
//! taken, since elections and the freeing of space must work on a full disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::error::WalError;
use crate::format::{BATCH_HEADER_BYTES, record_bytes};
use crate::group::Group;
use crate::types::{Done, Entry, LogId, Vote};

/// What a group wants written.
pub(crate) enum Op {
    Append(Vec<Entry>),
    Vote(Vote),
    Committed(Option<LogId>),
    Truncate(Option<u64>),
    Purge(LogId),
    Create,
    Destroy,
}

/// An accepted wish; `number` counts from 1 over all groups.
pub(crate) struct Command {
    pub(crate) number: u64,
    pub(crate) group: Arc<Group>,
    pub(crate) op: Op,
    pub(crate) done: Option<Done>,
    pub(crate) bytes: u64,
}

/// Whether appends are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// They are.
    Open,
    /// Not before the writer has made another spare segment.
    Preparing,
    /// Not before the disk has space.
    DiskFull,
    /// Never again, and nothing else either.
    Failed(String),
    /// The log is being closed; what was accepted is still written.
    Closed,
}

/// Returns how many bytes an append takes on disk at most.
fn append_bytes(entries: &[Entry]) -> u64 {
    let records: usize = entries.iter().map(|entry| record_bytes(entry.payload.len())).sum();
    (records + BATCH_HEADER_BYTES) as u64
}

struct Inner {
    commands: VecDeque<Command>,
    /// Of the appends that are queued or being written.
    bytes: u64,
    last_number: u64,
    admission: Admission,
}

/// The queue.
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    filled: Condvar,
    room: Condvar,
    bytes_max: u64,
}

impl Queue {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let inner =
            Inner { commands: VecDeque::new(), bytes: 0, last_number: 0, admission: Admission::Preparing };
        Self { inner: Mutex::new(inner), filled: Condvar::new(), room: Condvar::new(), bytes_max }
    }

    /// Accepts a command and returns its number, or refuses it without a trace.
    pub(crate) fn push(&self, group: &Arc<Group>, op: Op, done: Option<Done>) -> Result<u64, WalError> {
        let bytes = match &op {
            Op::Append(entries) => append_bytes(entries),
            _ => 0,
        };
        let is_append = matches!(op, Op::Append(_));
        let mut inner = self.inner.lock();
        match &inner.admission {
            Admission::Failed(reason) => return Err(WalError::Failed { reason: reason.clone() }),
            Admission::Closed => return Err(WalError::Closed),
            Admission::DiskFull if is_append => return Err(WalError::DiskFull),
            Admission::Preparing if is_append => return Err(WalError::QueueFull),
            Admission::Open if is_append && bytes > self.bytes_max => {
                return Err(WalError::TooLarge { bytes, bytes_max: self.bytes_max });
            }
            Admission::Open if is_append && inner.bytes + bytes > self.bytes_max => {
                return Err(WalError::QueueFull);
            }
            _ => {}
        }
        inner.bytes += bytes;
        inner.last_number += 1;
        let number = inner.last_number;
        inner.commands.push_back(Command { number, group: Arc::clone(group), op, done, bytes });
        self.filled.notify_one();
        Ok(number)
    }

    /// Takes commands up to about that many bytes, waiting for the first one; for ever when no time is given.
    ///
    /// Returns no commands when the time is over, and nothing when the queue is closed and empty.
    pub(crate) fn take(&self, bytes_max: u64, wait: Option<Duration>) -> Option<Vec<Command>> {
        let mut inner = self.inner.lock();
        while inner.commands.is_empty() {
            if inner.admission == Admission::Closed {
                return None;
            }
            let Some(wait) = wait else {
                self.filled.wait(&mut inner);
                continue;
            };
            if self.filled.wait_for(&mut inner, wait).timed_out() && inner.commands.is_empty() {
                return Some(Vec::new());
            }
        }
        let mut taken = Vec::new();
        let mut bytes = 0;
        while bytes < bytes_max
            && let Some(command) = inner.commands.pop_front()
        {
            bytes += command.bytes;
            taken.push(command);
        }
        Some(taken)
    }

    /// Gives back the room of commands that are written.
    pub(crate) fn finished(&self, bytes: u64) {
        self.inner.lock().bytes -= bytes;
        self.room.notify_all();
    }

    /// Changes whether appends are taken; failure and closing are final.
    pub(crate) fn set_admission(&self, admission: Admission) {
        let mut inner = self.inner.lock();
        let is_failure = matches!(admission, Admission::Failed(_));
        match inner.admission {
            Admission::Failed(_) => {}
            Admission::Closed if !is_failure => {}
            _ => inner.admission = admission,
        }
        self.room.notify_all();
        self.filled.notify_all();
    }

    /// Takes everything that is left, after a failure.
    pub(crate) fn take_all(&self) -> Vec<Command> {
        self.inner.lock().commands.drain(..).collect()
    }

    pub(crate) fn admission(&self) -> Admission {
        self.inner.lock().admission.clone()
    }

    /// Returns the number of the last command accepted.
    pub(crate) fn last_number(&self) -> u64 {
        self.inner.lock().last_number
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.inner.lock().bytes
    }

    /// Blocks until an append of that many bytes may be taken, or no append ever will.
    pub(crate) fn wait_for_room(&self, bytes: u64) {
        let mut inner = self.inner.lock();
        loop {
            let waits = match inner.admission {
                Admission::Preparing | Admission::DiskFull => true,
                Admission::Open => inner.bytes > 0 && inner.bytes + bytes > self.bytes_max,
                _ => false,
            };
            if !waits {
                return;
            }
            self.room.wait(&mut inner);
        }
    }
}
