//! Memory of queries, counted in bytes: a pool for the process, a budget for each query, and guards for what is taken.
//!
//! What a query is about to allocate it reserves first; a refused reservation fails that query and no other. A
//! [`Reservation`] gives back what it holds when it is dropped, whatever way the query took. Counted is what grows with
//! data: labels, encoded chunks, decoded samples, rows, histograms, states and results. Not counted: what a query takes
//! whatever it reads, and the few buffers of the transport.
//!
//! The last part of the pool (`SMALL_QUERY_SHARE`) is for queries that hold little, so that a few big ones cannot make
//! every small one fail.

use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::ErrorKind;

use crate::StorageError;

/// Queries that hold less than this may take the last part of the pool.
const SMALL_QUERY_BYTES: u64 = 16 << 20;
/// The last part of the pool: one in so many bytes.
const SMALL_QUERY_SHARE: u64 = 8;

/// Why bytes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// The query alone needs too much.
    #[error(
        "the query needs more than the {bytes_max} bytes of memory that --query.max-memory-bytes allows for one query: \
         select less, take a shorter range or a longer step, or raise the limit"
    )]
    Query {
        /// The limit.
        bytes_max: u64,
    },
    /// All queries of the process together need too much.
    #[error(
        "the queries of this process together need more than the {bytes_max} bytes of memory that \
         --query.max-total-memory-bytes allows: try again when fewer are running, or raise the limit"
    )]
    Process {
        /// The limit.
        bytes_max: u64,
    },
}

impl MemoryError {
    /// Returns what the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Query { .. } => ErrorKind::LimitExceeded,
            Self::Process { .. } => ErrorKind::Unavailable,
        }
    }

    /// Tells whether an error is, at its root, a refusal of memory here; then nobody else is to blame for it.
    pub fn caused(error: &StorageError) -> bool {
        error.source.as_ref().is_some_and(|source| source.is::<Self>())
    }
}

impl From<MemoryError> for StorageError {
    fn from(error: MemoryError) -> Self {
        Self::with_source(error.kind(), error.to_string(), error)
    }
}

/// The memory of all queries of a process.
#[derive(Debug)]
pub struct MemoryPool {
    bytes_max: u64,
    used: AtomicU64,
}

impl MemoryPool {
    /// Makes a pool of so many bytes.
    pub fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { bytes_max, used: AtomicU64::new(0) })
    }

    /// Returns how many bytes are reserved.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Begins a query that may hold so many bytes.
    pub fn query(self: &Arc<Self>, bytes_max: u64) -> QueryMemory {
        let counts = Counts { bytes_max, used: AtomicU64::new(0), peak: AtomicU64::new(0) };
        QueryMemory(Arc::new((Arc::clone(self), counts)))
    }
}

#[derive(Debug)]
struct Counts {
    bytes_max: u64,
    used: AtomicU64,
    peak: AtomicU64,
}

/// The memory of one query. Clones count together.
#[derive(Clone, Debug)]
pub struct QueryMemory(Arc<(Arc<MemoryPool>, Counts)>);

impl QueryMemory {
    /// Returns memory without limits, of a pool of its own.
    pub fn unlimited() -> Self {
        MemoryPool::new(u64::MAX).query(u64::MAX)
    }

    /// Returns how many bytes are reserved now.
    pub fn used(&self) -> u64 {
        self.0.1.used.load(Ordering::Relaxed)
    }

    /// Returns the most bytes that were reserved at a time.
    pub fn peak(&self) -> u64 {
        self.0.1.peak.load(Ordering::Relaxed)
    }

    /// Returns a guard that holds nothing yet.
    pub fn empty(&self) -> Reservation {
        Reservation { memory: self.clone(), bytes: 0, peak: 0 }
    }

    /// Reserves bytes.
    ///
    /// # Errors
    /// [`MemoryError`] when the query or the process has no more; nothing is reserved then.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation, MemoryError> {
        self.take(bytes)?;
        Ok(Reservation { memory: self.clone(), bytes, peak: bytes })
    }

    fn take(&self, bytes: u64) -> Result<(), MemoryError> {
        let (pool, counts) = &*self.0;
        let used = take(&counts.used, bytes, counts.bytes_max);
        let used = used.ok_or(MemoryError::Query { bytes_max: counts.bytes_max })?;
        let kept_for_small = if used <= SMALL_QUERY_BYTES { 0 } else { pool.bytes_max / SMALL_QUERY_SHARE };
        if take(&pool.used, bytes, pool.bytes_max - kept_for_small).is_none() {
            counts.used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(MemoryError::Process { bytes_max: pool.bytes_max });
        }
        counts.peak.fetch_max(used, Ordering::Relaxed);
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        let (pool, counts) = &*self.0;
        counts.used.fetch_sub(bytes, Ordering::Relaxed);
        pool.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Adds to a counter unless that exceeds a limit; returns the sum.
fn take(used: &AtomicU64, bytes: u64, max: u64) -> Option<u64> {
    let sum = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= max);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).ok().map(|before| before + bytes)
}

/// Bytes that a query holds; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    memory: QueryMemory,
    bytes: u64,
    peak: u64,
}

impl Reservation {
    /// Returns how many bytes are held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the most bytes that were held at a time.
    pub fn peak(&self) -> u64 {
        self.peak
    }

    /// Reserves bytes for the same query, held by a guard of their own.
    ///
    /// # Errors
    /// As [`QueryMemory::reserve`].
    pub fn beside(&self, bytes: u64) -> Result<Self, MemoryError> {
        self.memory.reserve(bytes)
    }

    /// Reserves more.
    ///
    /// # Errors
    /// As [`QueryMemory::reserve`]; what was held stays held.
    pub fn grow(&mut self, bytes: u64) -> Result<(), MemoryError> {
        self.memory.take(bytes)?;
        self.bytes += bytes;
        self.peak = self.peak.max(self.bytes);
        Ok(())
    }

    /// Gives back so many bytes, or all when fewer are held.
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.memory.give_back(bytes);
        self.bytes -= bytes;
    }

    /// Holds exactly so many bytes from now on.
    ///
    /// # Errors
    /// As [`QueryMemory::reserve`]; what was held stays held.
    pub fn resize(&mut self, bytes: u64) -> Result<(), MemoryError> {
        match bytes.checked_sub(self.bytes) {
            Some(more) if more > 0 => self.grow(more),
            _ => {
                self.shrink(self.bytes - bytes);
                Ok(())
            }
        }
    }

    /// Takes over what another guard of the same query holds.
    pub fn absorb(&mut self, mut other: Self) {
        debug_assert!(Arc::ptr_eq(&self.memory.0, &other.memory.0), "both guards are of one query");
        self.bytes += std::mem::take(&mut other.bytes);
        self.peak = self.peak.max(self.bytes);
    }

    /// Makes room for more elements in a vector: reserved first, then allocated, in amounts that double.
    ///
    /// # Errors
    /// As [`QueryMemory::reserve`]; the vector is as it was.
    pub fn make_room<T>(&mut self, vector: &mut Vec<T>, additional: usize) -> Result<(), MemoryError> {
        let (len, capacity) = (vector.len(), vector.capacity());
        if additional <= capacity - len {
            return Ok(());
        }
        let target = (len + additional).max(capacity * 2);
        self.grow(((target - capacity) * size_of::<T>()) as u64)?;
        vector.reserve_exact(target - len);
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_give_back_what_they_hold() {
        let pool = MemoryPool::new(1000);
        let query = pool.query(100);
        let mut first = query.reserve(60).unwrap();
        assert_eq!(query.reserve(41).unwrap_err(), MemoryError::Query { bytes_max: 100 });
        first.grow(40).unwrap();
        first.shrink(70);
        let second = query.reserve(20).unwrap();
        first.absorb(second);
        assert_eq!((first.bytes(), query.used(), pool.used()), (50, 50, 50));
        first.resize(10).unwrap();
        first.resize(90).unwrap();
        first.resize(101).unwrap_err();
        assert_eq!(first.bytes(), 90);
        drop(first);
        assert_eq!((query.used(), query.peak(), pool.used()), (0, 100, 0));
    }

    #[test]
    fn vectors_grow_after_their_bytes_are_reserved() {
        let query = MemoryPool::new(1000).query(100);
        let mut room = query.empty();
        let mut vector: Vec<u64> = Vec::new();
        for value in 0..8 {
            room.make_room(&mut vector, 1).unwrap();
            vector.push(value);
            assert_eq!(room.bytes(), vector.capacity() as u64 * 8);
        }
        let capacity = vector.capacity();
        assert_eq!(room.make_room(&mut vector, 9).unwrap_err(), MemoryError::Query { bytes_max: 100 });
        assert_eq!((vector.capacity(), room.bytes()), (capacity, capacity as u64 * 8));
    }

    #[test]
    fn big_queries_leave_the_last_part_to_small_ones() {
        let max = 10 * SMALL_QUERY_BYTES;
        let pool = MemoryPool::new(max);
        let big = pool.query(u64::MAX);
        let error = big.reserve(max - 1).unwrap_err();
        assert_eq!((error, error.kind()), (MemoryError::Process { bytes_max: max }, ErrorKind::Unavailable));
        assert_eq!((big.used(), pool.used()), (0, 0), "a refusal takes nothing");
        let held = big.reserve(max - max / SMALL_QUERY_SHARE).unwrap();
        assert!(big.reserve(1).is_err());
        let small = pool.query(u64::MAX);
        let _held_too = small.reserve(SMALL_QUERY_BYTES).unwrap();
        assert!(small.reserve(1).is_err(), "it is not small any more");
        drop(held);
        small.reserve(1).unwrap();
    }

    #[test]
    fn refusals_name_their_flag_and_are_told_apart() {
        let error = StorageError::from(MemoryError::Query { bytes_max: 7 });
        assert!(error.message.contains("7 bytes of memory that --query.max-memory-bytes allows"), "{error}");
        assert!(MemoryError::caused(&error));
        assert!(!MemoryError::caused(&StorageError::new(ErrorKind::LimitExceeded, "x")));
    }
}
