//! Recycling, rewriting, the queue's bound, failures of the disk, the real directory.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod support;

use std::sync::Arc;
use std::sync::mpsc;

use support::{append, entries, entry, id, open, segments, small, vote};
use wal::memory::MemoryDisk;
use wal::{GroupId, Vote, Wal, WalConfig, WalError, WalHealth};

const BUSY: GroupId = GroupId(1);
const IDLE: GroupId = GroupId(2);
const PROMISE: Vote = Vote { term: 7, node: 3, committed: true };

#[test]
fn segments_are_used_again_and_an_idle_group_pins_none() {
    let disk = MemoryDisk::default();
    let wal = open(&disk).unwrap();
    let idle = wal.create_group(IDLE).unwrap();
    vote(&idle, PROMISE).unwrap();
    append(&wal, &idle, vec![entry(7, 0, "the only entry"), entry(7, 1, "but one")]).unwrap();
    let busy = wal.create_group(BUSY).unwrap();
    for index in 0..400 {
        append(&wal, &busy, vec![entry(1, index, vec![index as u8; 1000])]).unwrap();
        busy.purge(id(1, index)).unwrap();
    }
    append(&wal, &busy, vec![entry(1, 400, "last")]).unwrap();
    assert!(wal.stats().written_bytes > 25 * (16 << 10));
    drop((busy, idle, wal));
    assert!(segments(&disk).len() <= 5, "{:?}", segments(&disk));
    let wal = open(&disk).unwrap();
    let idle = wal.group(IDLE).unwrap();
    assert_eq!(idle.state().vote, Some(PROMISE));
    assert_eq!(entries(&idle), [entry(7, 0, "the only entry"), entry(7, 1, "but one")]);
    assert_eq!(entries(&wal.group(BUSY).unwrap()), [entry(1, 400, "last")]);
    assert_eq!(wal.group(BUSY).unwrap().state().purged, Some(id(1, 399)));
}

#[test]
fn a_plan_reads_what_it_saw_although_the_log_goes_on() {
    let disk = MemoryDisk::default();
    let wal = open(&disk).unwrap();
    let log = wal.create_group(BUSY).unwrap();
    for index in 0..8 {
        append(&wal, &log, vec![entry(1, index, vec![index as u8; 1000])]).unwrap();
    }
    let plan = log.read(0..4, u64::MAX);
    assert!(!plan.in_memory(), "the cache holds two of the eight");
    log.purge(id(1, 7)).unwrap();
    for index in 8..300 {
        append(&wal, &log, vec![entry(1, index, vec![1; 1000])]).unwrap();
        log.purge(id(1, index)).unwrap();
    }
    let read = plan.load().unwrap();
    assert_eq!(read.len(), 4);
    assert!((0..4).all(|i| read[i] == entry(1, i as u64, vec![i as u8; 1000])));
}

#[test]
fn reads_are_limited_in_bytes_but_never_empty() {
    let wal = open(&MemoryDisk::default()).unwrap();
    let log = wal.create_group(BUSY).unwrap();
    append(&wal, &log, (0..5).map(|index| entry(1, index, vec![0; 100])).collect()).unwrap();
    let count = |bytes| log.read(1..9, bytes).load().unwrap().len();
    assert_eq!((count(0), count(100), count(250), count(u64::MAX)), (1, 1, 2, 4));
    assert_eq!(log.bytes_after(Some(1)), 300);
}

#[test]
fn what_does_not_fit_is_refused_without_a_trace() {
    let wal = open(&MemoryDisk::default()).unwrap();
    let log = wal.create_group(BUSY).unwrap();
    let large = append(&wal, &log, vec![entry(1, 0, vec![0; 4 << 10])]);
    assert!(matches!(large, Err(WalError::TooLarge { bytes: 4096, .. })), "{large:?}");
    append(&wal, &log, vec![entry(1, 5, "a log may begin anywhere")]).unwrap();
    let gap = append(&wal, &log, vec![entry(1, 7, "but has no gaps")]);
    assert!(matches!(gap, Err(WalError::NotConsecutive { expected: 6, .. })), "{gap:?}");
    assert_eq!(log.state().last, Some(id(1, 5)));
}

#[test]
fn the_queue_is_bounded_and_its_syncs_are_shared() {
    let disk = MemoryDisk::default();
    let wal = open(&disk).unwrap();
    let log = wal.create_group(BUSY).unwrap();
    append(&wal, &log, vec![entry(1, 0, "first")]).unwrap();
    let before = wal.stats().syncs;
    disk.set_sync_delay(std::time::Duration::from_millis(20));
    let (sender, receiver) = mpsc::channel();
    let mut refused = 0;
    let mut index = 1;
    while index <= 60 {
        let sender = sender.clone();
        match log
            .append(vec![entry(1, index, vec![0; 500])], Box::new(move |done| sender.send(done).unwrap()))
        {
            Ok(()) => index += 1,
            Err(WalError::QueueFull) => {
                refused += 1;
                assert!(wal.stats().queued_bytes <= 8 << 10);
                wal.wait_for_room(600);
            }
            Err(error) => panic!("{error}"),
        }
    }
    drop(sender);
    let done: Vec<_> = receiver.iter().collect();
    assert!(done.len() == 60 && done.iter().all(Result::is_ok));
    assert!(refused > 0);
    assert!(wal.stats().syncs - before < 30, "{} syncs for 60 appends", wal.stats().syncs - before);
}

#[test]
fn a_failed_sync_is_final() {
    let disk = MemoryDisk::default();
    let wal = open(&disk).unwrap();
    let log = wal.create_group(BUSY).unwrap();
    append(&wal, &log, vec![entry(1, 0, "good")]).unwrap();
    disk.fail_syncs();
    let failed = append(&wal, &log, vec![entry(1, 1, "lost")]);
    assert!(matches!(failed, Err(WalError::Failed { .. })), "{failed:?}");
    assert!(matches!(wal.health(), WalHealth::Failed(_)));
    assert!(matches!(vote(&log, PROMISE), Err(WalError::Failed { .. })));
    let found = open(&disk.after_power_failure(|| false)).unwrap();
    assert_eq!(entries(&found.group(BUSY).unwrap()), [entry(1, 0, "good")]);
}

#[test]
fn a_full_disk_refuses_appends_and_takes_votes() {
    let disk = MemoryDisk::default();
    let wal = open(&disk).unwrap();
    let log = wal.create_group(BUSY).unwrap();
    append(&wal, &log, vec![entry(1, 0, "first")]).unwrap();
    disk.set_full(true);
    let mut index = 1;
    let refusal = loop {
        let outcome = log.append(vec![entry(1, index, vec![0; 1500])], Box::new(|done| done.unwrap()));
        match outcome {
            Ok(()) => index += 1,
            Err(WalError::QueueFull) => vote(&log, PROMISE).unwrap(),
            Err(error) => break error,
        }
    };
    assert!(matches!(refusal, WalError::DiskFull), "{refusal:?}");
    assert_eq!(wal.health(), WalHealth::DiskFull);
    vote(&log, Vote { term: 8, ..PROMISE }).unwrap();
    disk.set_full(false);
    wal.wait_for_room(1600);
    append(&wal, &log, vec![entry(1, index, "after")]).unwrap();
    assert_eq!(wal.health(), WalHealth::Ready);
}

#[test]
fn a_real_directory_is_locked_kept_and_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let wal = Wal::open(directory.path(), small()).unwrap();
    let second = Wal::open(directory.path(), small());
    assert!(matches!(second, Err(WalError::Locked { .. })));
    let log = wal.create_group(BUSY).unwrap();
    for index in 0..50 {
        append(&wal, &log, vec![entry(1, index, vec![index as u8; 1000])]).unwrap();
    }
    drop((log, wal));
    let wal = Wal::open(directory.path(), small()).unwrap();
    assert_eq!(entries(&wal.group(BUSY).unwrap()).len(), 50);
}

#[test]
fn a_log_survives_another_segment_size() {
    let disk = MemoryDisk::default();
    let wal = open(&disk).unwrap();
    let log = wal.create_group(BUSY).unwrap();
    append(&wal, &log, vec![entry(1, 0, "small")]).unwrap();
    drop((log, wal));
    let config = WalConfig { segment_bytes: 32 << 10, ..small() };
    let wal = Wal::open_on(Arc::new(disk.clone()), config).unwrap();
    let log = wal.group(BUSY).unwrap();
    for index in 1..60 {
        append(&wal, &log, vec![entry(1, index, vec![index as u8; 1000])]).unwrap();
    }
    assert_eq!(entries(&log).len(), 60);
    let stopped = wal.group(BUSY).unwrap();
    wal.close();
    assert!(matches!(stopped.save_committed(None), Err(WalError::Closed)));
}
