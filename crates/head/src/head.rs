//! The head as its owner sees it: the calls that change it, in log order, from one thread.

use std::path::Path;

use batch::{Batch, BatchOutcome};
use model::{LabelSet, Matcher, TimeRange};
use parking_lot::{RwLock, RwLockWriteGuard};

use crate::HeadError;
use crate::exemplars::ExemplarStats;
use crate::spool::Spool;
use crate::state::State;

/// How many samples are applied before waiting readers are let in: about a millisecond.
const APPLY_SLICE_SAMPLES: usize = 4096;

/// The rules of a head; all replicas of a shard must have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadConfig {
    /// How much older than the head's newest sample an out-of-order sample may be, in ms; 0 refuses all of them.
    pub out_of_order_window_ms: i64,
    /// How far ahead of the leader's clock a sample may be, in ms.
    pub future_ms_max: i64,
    /// How many series it may hold; samples of further ones are refused.
    pub series_max: u64,
    /// How many exemplars it keeps, the newest ones; 0 for none.
    pub exemplars_max: u32,
}

/// What a head holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadStats {
    /// Series held, those without a sample included.
    pub series: u64,
    /// Samples held, those included that were dropped but share a chunk with later ones.
    pub samples: u64,
    /// No sample held is older; `None` when there is none.
    pub min_ms: Option<i64>,
    /// The newest sample; `None` when there is none.
    pub max_ms: Option<i64>,
    /// Roughly how much memory it takes, without files.
    pub bytes: u64,
    /// How many bytes of sealed chunks lie in local files.
    pub spooled_bytes: u64,
    /// How many files could not be written, so that their chunks stay in memory.
    pub spool_failures: u64,
    /// See [`Head::sealed_until_ms`].
    pub sealed_until_ms: i64,
    /// See [`Head::dropped_until_ms`].
    pub dropped_until_ms: i64,
}

/// What a head takes, by part, roughly and in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadMemory {
    /// One struct a series, free ones included.
    pub series: u64,
    /// Label pairs, names, postings, and the pairs of each series.
    pub index: u64,
    /// Open chunks, out-of-order samples, and where sealed chunks lie.
    pub chunks: u64,
    /// Sealed chunks that are in memory.
    pub spool: u64,
    /// Sealed chunks in local files: not memory until they are read.
    pub files: u64,
}

/// The head of one shard.
#[derive(Debug)]
pub struct Head {
    pub(crate) state: RwLock<State>,
}

impl Head {
    /// Returns an empty head that keeps everything in memory.
    pub fn new(config: HeadConfig) -> Self {
        Self { state: RwLock::new(State::new(config, Spool::new(None))) }
    }

    /// Returns an empty head that keeps sealed chunks in files of a directory. The files have no names and are gone with the
    /// process; should they not be written, their chunks stay in memory ([`HeadStats::spool_failures`]).
    pub fn in_directory(config: HeadConfig, directory: &Path) -> Self {
        Self { state: RwLock::new(State::new(config, Spool::new(Some(directory.to_owned())))) }
    }

    /// Applies a batch and returns what became of each of its samples. Deterministic: `stamp_ms` is the leader's clock
    /// as the log entry has it.
    ///
    /// A sample later than its series' newest is appended. Else one that is already there is a duplicate, one whose time
    /// is taken by other bits, or by the other kind of sample, is conflicting, and any other is accepted within the
    /// out-of-order window. The bounds are
    /// [`Head::sealed_until_ms`] below, and `stamp_ms` plus the configured future above.
    pub fn apply(&self, stamp_ms: i64, batch: &Batch) -> BatchOutcome {
        let mut state = self.state.write();
        let mut outcome = state.declare_all(batch);
        let (mut position, mut wide) = (0, batch.wide().iter().peekable());
        for slice in batch.samples().chunks(APPLY_SLICE_SAMPLES) {
            for sample in slice {
                let wide = wide.next_if(|wide| wide.position == position);
                state.apply(stamp_ms, position, sample, wide, &mut outcome);
                position += 1;
            }
            RwLockWriteGuard::bump(&mut state);
        }
        // Behind the samples: an exemplar's series may be new in this batch.
        state.take_exemplars(batch);
        outcome
    }

    /// Deletes the samples that it holds in a closed range, of the series that satisfy all matchers of one of the selectors and
    /// that `accepts` does not refuse, where it is given. Returns how many series are concerned. What comes later is kept,
    /// and so is what comes to a time after its series' newest sample. Deterministic.
    ///
    /// # Errors
    /// [`HeadError::TooManyDeletes`]; then nothing is deleted.
    pub fn delete(
        &self,
        selectors: &[Vec<Matcher>],
        accepts: Option<&dyn Fn(&LabelSet) -> bool>,
        range: TimeRange,
    ) -> Result<usize, HeadError> {
        self.state.write().delete(selectors, accepts, range)
    }

    /// Returns what became of exemplars since this head was made.
    pub fn exemplar_stats(&self) -> ExemplarStats {
        self.state.read().exemplars.stats()
    }

    /// Freezes the content before a time: from now on samples before it are too old. Idempotent; never goes back.
    pub fn cut(&self, window_end_ms: i64) {
        self.state.write().cut(window_end_ms);
    }

    /// Forgets samples before a time, which blocks now hold, and series that have no others; implies
    /// [`Head::cut`]. A removed series' ref is never used again. Idempotent; never goes back.
    ///
    /// Linear in the number of series.
    pub fn drop_before(&self, end_ms: i64) {
        self.state.write().drop_before(end_ms);
    }

    /// Returns the time before which samples are refused, `i64::MIN` at first.
    pub fn sealed_until_ms(&self) -> i64 {
        self.state.read().sealed_until_ms
    }

    /// Returns the time before which samples have been forgotten, `i64::MIN` at first.
    pub fn dropped_until_ms(&self) -> i64 {
        self.state.read().dropped_until_ms
    }

    /// Returns what it takes. Constant time.
    pub fn memory(&self) -> HeadMemory {
        let state = self.state.read();
        HeadMemory {
            series: state.slots.size_bytes() as u64,
            index: state.index.size_bytes() as u64,
            chunks: state.chunk_bytes as u64,
            spool: state.store.spool.memory_bytes() as u64,
            files: state.store.spool.mapped_bytes() as u64,
        }
    }

    /// Returns what it holds. Constant time.
    pub fn stats(&self) -> HeadStats {
        let state = self.state.read();
        let has_samples = state.samples > 0;
        let spool = &state.store.spool;
        let chunk_bytes = state.chunk_bytes + spool.memory_bytes() + state.tombstones.size_bytes();
        let bytes = chunk_bytes + state.slots.size_bytes() + state.index.size_bytes();
        HeadStats {
            series: state.index.all().len(),
            samples: state.samples,
            min_ms: has_samples.then_some(state.oldest_ms),
            max_ms: has_samples.then_some(state.newest_ms),
            bytes: bytes as u64,
            spooled_bytes: spool.mapped_bytes() as u64,
            spool_failures: spool.failures(),
            sealed_until_ms: state.sealed_until_ms,
            dropped_until_ms: state.dropped_until_ms,
        }
    }
}
