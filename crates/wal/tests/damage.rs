//! Torn tails are cut; damage to what was acknowledged is refused, with the place.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod support;

use support::{append, entries, entry, open, segments};
use wal::memory::MemoryDisk;
use wal::{Entry, GroupId, Vote, WalError};

const MARK: &str = "durable";
const GROUP: GroupId = GroupId(1);

/// A closed log of one segment with five acknowledged appends; returns its disk and where the last batch begins.
fn written() -> (MemoryDisk, usize, usize) {
    let disk = MemoryDisk::default();
    let wal = open(&disk).unwrap();
    let log = wal.create_group(GROUP).unwrap();
    support::vote(&log, Vote { term: 1, node: 1, committed: true }).unwrap();
    let mut begin = 0;
    for index in 0..5 {
        begin = wal.stats().written_bytes as usize + 64;
        append(&wal, &log, vec![entry(1, index, format!("payload of entry {index}"))]).unwrap();
    }
    let end = wal.stats().written_bytes as usize + 64;
    drop((log, wal));
    (disk, begin, end)
}

fn expected(count: u64) -> Vec<Entry> {
    (0..count).map(|index| entry(1, index, format!("payload of entry {index}"))).collect()
}

/// Changes the bytes of the only segment on a copy of the disk.
fn with_bytes(disk: &MemoryDisk, change: impl FnOnce(&mut Vec<u8>)) -> MemoryDisk {
    let copy = disk.after_power_failure(|| true);
    let name = segments(&copy).remove(0);
    let mut bytes = copy.bytes(&name).unwrap();
    change(&mut bytes);
    copy.insert(&name, bytes);
    copy
}

/// As if the machine had died before the mark was written.
fn without_mark(disk: &MemoryDisk) -> MemoryDisk {
    let copy = disk.after_power_failure(|| true);
    copy.insert(MARK, vec![0; 4096]);
    copy
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_the_log_goes_on() {
    let (disk, begin, end) = written();
    let disk = without_mark(&disk);
    for torn_at in begin..end {
        let torn = with_bytes(&disk, |bytes| bytes[torn_at..end].fill(0));
        let wal = open(&torn).unwrap();
        let log = wal.group(GROUP).unwrap();
        let found = entries(&log);
        let is_whole = found == expected(5);
        assert!(is_whole || found == expected(4), "torn at {torn_at}: {found:?}");
        assert!(!is_whole || torn_at > end - 8, "torn at {torn_at}: a half batch was taken");
        let next = found.len() as u64;
        append(&wal, &log, vec![entry(2, next, "after")]).unwrap();
        drop((log, wal));
        let wal = open(&torn).unwrap();
        assert_eq!(entries(&wal.group(GROUP).unwrap()).last(), Some(&entry(2, next, "after")));
    }
}

#[test]
fn a_file_that_ends_early_is_a_torn_tail_too() {
    let (disk, begin, end) = written();
    let disk = without_mark(&disk);
    for length in [begin, begin + 1, begin + 48, end - 9] {
        let short = with_bytes(&disk, |bytes| bytes.truncate(length));
        let wal = open(&short).unwrap();
        let log = wal.group(GROUP).unwrap();
        assert_eq!(entries(&log), expected(4));
        append(&wal, &log, vec![entry(2, 4, "after")]).unwrap();
    }
}

#[test]
fn with_the_mark_the_same_tears_are_damage() {
    let (disk, begin, end) = written();
    for torn_at in begin..end - 8 {
        let torn = with_bytes(&disk, |bytes| bytes[torn_at..end].fill(0));
        let Err(WalError::Corrupt { segment, offset, .. }) = open(&torn) else {
            panic!("torn at {torn_at}: opened");
        };
        assert_eq!((segment.as_str(), offset), ("0000000000000001.wal", begin as u64));
    }
}

#[test]
fn no_flipped_bit_of_what_was_acknowledged_goes_unnoticed() {
    let (disk, _, end) = written();
    for bit in 0..end * 8 {
        let damaged = with_bytes(&disk, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        let outcome = open(&damaged);
        assert!(matches!(outcome, Err(WalError::Corrupt { .. })), "bit {bit} of byte {}", bit / 8);
    }
}

#[test]
fn without_the_mark_damage_before_the_last_batch_is_still_told_from_a_tear() {
    let (disk, begin, _) = written();
    let disk = without_mark(&disk);
    for byte in 0..begin {
        let damaged = with_bytes(&disk, |bytes| bytes[byte] ^= 0x10);
        let outcome = open(&damaged);
        assert!(matches!(outcome, Err(WalError::Corrupt { .. })), "byte {byte}");
    }
}

#[test]
fn a_missing_segment_is_refused() {
    let disk = MemoryDisk::default();
    let wal = open(&disk).unwrap();
    let log = wal.create_group(GROUP).unwrap();
    for index in 0..40 {
        append(&wal, &log, vec![entry(1, index, vec![7; 1500])]).unwrap();
    }
    drop((log, wal));
    let names = segments(&disk);
    assert!(names.len() >= 3);
    for name in &names {
        let copy = disk.after_power_failure(|| true);
        wal::disk::Disk::remove(&copy, name).unwrap();
        assert!(matches!(open(&copy), Err(WalError::Corrupt { .. })), "without {name}");
    }
}
