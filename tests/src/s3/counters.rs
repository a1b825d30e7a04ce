//! Counts of what the server was asked for.

use std::sync::atomic::{AtomicU64, Ordering};

/// What was asked for since the server started.
///
/// Operations count when they reached the bucket, whether it said yes or no; a request that a fault or a wrong signature
/// turned away counts only as such.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reads of objects, whole or by range.
    pub get: u64,
    /// Looks at an object's size.
    pub head: u64,
    /// Writes of whole objects.
    pub put: u64,
    /// Pages of lists.
    pub list: u64,
    /// Keys that were to be deleted.
    pub delete: u64,
    /// Copies.
    pub copy: u64,
    /// Parts of multipart uploads.
    pub part: u64,
    /// Multipart uploads that were completed.
    pub complete: u64,
    /// Requests turned away with 503.
    pub slowed: u64,
    /// Writes that were done and whose connection was dropped instead of an answer.
    pub dropped: u64,
    /// Bytes of objects and parts that came in.
    pub bytes_in: u64,
    /// Bytes of objects that were read.
    pub bytes_out: u64,
}

/// One thing that is counted.
#[derive(Clone, Copy)]
pub(super) enum Count {
    Get,
    Head,
    Put,
    List,
    Delete,
    Copy,
    Part,
    Complete,
    Slowed,
    Dropped,
    BytesIn,
    BytesOut,
}

/// How many kinds of [`Count`] there are.
const COUNTS: usize = Count::BytesOut as usize + 1;

#[derive(Default)]
pub(super) struct Counting([AtomicU64; COUNTS]);

impl Counting {
    pub(super) fn add(&self, count: Count, amount: usize) {
        self.0[count as usize].fetch_add(amount as u64, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> Counters {
        let read = |count: Count| self.0[count as usize].load(Ordering::Relaxed);
        Counters {
            get: read(Count::Get),
            head: read(Count::Head),
            put: read(Count::Put),
            list: read(Count::List),
            delete: read(Count::Delete),
            copy: read(Count::Copy),
            part: read(Count::Part),
            complete: read(Count::Complete),
            slowed: read(Count::Slowed),
            dropped: read(Count::Dropped),
            bytes_in: read(Count::BytesIn),
            bytes_out: read(Count::BytesOut),
        }
    }
}
