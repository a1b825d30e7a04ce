//! What the tests of the log share: small logs in memory, and calls that wait until they are durable.

#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;
use std::sync::mpsc;

use bytes::Bytes;
use wal::memory::MemoryDisk;
use wal::{Entry, GroupLog, LogId, Vote, Wal, WalConfig, WalError};

/// Segments of 16 KiB, so that tests roll, recycle and rewrite often.
pub(crate) fn small() -> WalConfig {
    WalConfig {
        segment_bytes: 16 << 10,
        queue_bytes_max: 8 << 10,
        batch_bytes_max: 4 << 10,
        cache_bytes_max: 2 << 10,
        segments_before_rewrite: 3,
    }
}

pub(crate) fn open(disk: &MemoryDisk) -> Result<Wal, WalError> {
    Wal::open_on(Arc::new(disk.clone()), small())
}

pub(crate) fn id(term: u64, index: u64) -> LogId {
    LogId { term, node: 1, index }
}

pub(crate) fn entry(term: u64, index: u64, payload: impl Into<Bytes>) -> Entry {
    Entry { id: id(term, index), payload: payload.into() }
}

/// Appends, waiting for room and then for durability.
pub(crate) fn append(wal: &Wal, log: &GroupLog, entries: Vec<Entry>) -> Result<(), WalError> {
    let (sender, receiver) = mpsc::channel();
    loop {
        let sender = sender.clone();
        let done = Box::new(move |outcome| {
            let _ = sender.send(outcome);
        });
        match log.append(entries.clone(), done) {
            Ok(()) => return receiver.recv().unwrap(),
            Err(WalError::QueueFull) => {
                wal.wait_for_room(entries.iter().map(|entry| entry.payload.len() as u64 + 100).sum());
            }
            Err(error) => return Err(error),
        }
    }
}

pub(crate) fn vote(log: &GroupLog, vote: Vote) -> Result<(), WalError> {
    let (sender, receiver) = mpsc::channel();
    let done = Box::new(move |outcome| {
        let _ = sender.send(outcome);
    });
    log.save_vote(vote, done)?;
    receiver.recv().unwrap()
}

/// Returns all entries of a log.
pub(crate) fn entries(log: &GroupLog) -> Vec<Entry> {
    log.read(0..u64::MAX, u64::MAX).load().unwrap()
}

/// The segment files of a disk, oldest first.
pub(crate) fn segments(disk: &MemoryDisk) -> Vec<String> {
    let mut names = wal::disk::Disk::list(disk).unwrap();
    names.retain(|name| name.ends_with(".wal"));
    names.sort();
    names
}
