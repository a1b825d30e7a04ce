//! How much a query may hold, and whether it should go on.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::error::QueryError;

/// Why a query stops before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    Timeout = 1,
    Cancelled = 2,
}

/// The samples that a query holds at the moment, and a flag that stops it. Shared by all of its workers.
#[derive(Debug)]
pub(crate) struct Budget {
    samples_max: u64,
    held: AtomicU64,
    read: AtomicU64,
    stopped: AtomicU8,
}

impl Budget {
    pub(crate) fn new(samples_max: u64) -> Self {
        Self { samples_max, held: AtomicU64::new(0), read: AtomicU64::new(0), stopped: AtomicU8::new(0) }
    }

    /// Stops the query; the first reason counts.
    pub(crate) fn stop(&self, reason: StopReason) {
        let _ = self.stopped.compare_exchange(0, reason as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Fails when the query was stopped.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        match self.stopped.load(Ordering::Relaxed) {
            0 => Ok(()),
            1 => Err(QueryError::Timeout),
            _ => Err(QueryError::Cancelled),
        }
    }

    /// Counts samples that are kept from now on.
    pub(crate) fn hold(&self, samples: usize) -> Result<(), QueryError> {
        let before = self.held.fetch_add(samples as u64, Ordering::Relaxed);
        if before + samples as u64 > self.samples_max { Err(QueryError::TooManySamples) } else { Ok(()) }
    }

    /// Gives samples back.
    pub(crate) fn release(&self, samples: usize) {
        self.held.fetch_sub(samples as u64, Ordering::Relaxed);
    }

    /// Counts decoded samples, and fails when they alone are too many at a time.
    pub(crate) fn read(&self, samples: usize) -> Result<(), QueryError> {
        self.read.fetch_add(samples as u64, Ordering::Relaxed);
        let held = self.held.load(Ordering::Relaxed);
        if held + samples as u64 > self.samples_max { Err(QueryError::TooManySamples) } else { Ok(()) }
    }

    pub(crate) fn samples_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Fails when a dense table of so many cells cannot be worth its memory.
    pub(crate) fn cells(&self, series: usize, steps: usize) -> Result<(), QueryError> {
        /// Rows are kept when one step has a sample, so a table may be this much larger than its samples.
        const CELLS_PER_SAMPLE_MAX: u64 = 8;
        let cells = (series as u64).saturating_mul(steps as u64);
        let max = self.samples_max.saturating_mul(CELLS_PER_SAMPLE_MAX);
        if cells > max { Err(QueryError::TooManySamples) } else { Ok(()) }
    }
}
