//! What a query may hold, what it did, and whether it should go on.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use storage::QueryMemory;
use tokio::sync::Notify;

use crate::error::QueryError;

/// Why a query stops before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    Timeout = 1,
    Cancelled = 2,
}

/// What a query holds at the moment, and a flag that stops it. Shared by all of its workers.
#[derive(Debug)]
pub(crate) struct Budget {
    samples_max: u64,
    timeout: Duration,
    held: AtomicU64,
    held_peak: AtomicU64,
    read: AtomicU64,
    busy_nanos: AtomicU64,
    stopped: AtomicU8,
    woken: Notify,
    pub(crate) memory: QueryMemory,
}

impl Budget {
    pub(crate) fn new(samples_max: u64, timeout: Duration, memory: QueryMemory) -> Self {
        Self {
            samples_max,
            timeout,
            held: AtomicU64::new(0),
            held_peak: AtomicU64::new(0),
            read: AtomicU64::new(0),
            busy_nanos: AtomicU64::new(0),
            stopped: AtomicU8::new(0),
            woken: Notify::new(),
            memory,
        }
    }

    /// Stops the query; the first reason counts.
    pub(crate) fn stop(&self, reason: StopReason) {
        let _ = self.stopped.compare_exchange(0, reason as u8, Ordering::SeqCst, Ordering::SeqCst);
        self.woken.notify_waiters();
    }

    /// Waits until the query is stopped.
    pub(crate) async fn stopped(&self) -> QueryError {
        loop {
            let mut woken = std::pin::pin!(self.woken.notified());
            // From here on a wake-up is not missed, so the flag is looked at after.
            woken.as_mut().enable();
            if let Err(error) = self.check() {
                return error;
            }
            woken.await;
        }
    }

    /// Fails when the query was stopped.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        match self.stopped.load(Ordering::SeqCst) {
            0 => Ok(()),
            1 => Err(QueryError::Timeout { limit: self.timeout }),
            _ => Err(QueryError::Cancelled),
        }
    }

    /// Counts samples that are kept from now on.
    pub(crate) fn hold(&self, samples: usize) -> Result<(), QueryError> {
        let held = self.held.fetch_add(samples as u64, Ordering::Relaxed) + samples as u64;
        self.within_samples(held)
    }

    /// Gives samples back.
    pub(crate) fn release(&self, samples: usize) {
        self.held.fetch_sub(samples as u64, Ordering::Relaxed);
    }

    /// Counts decoded samples, and fails when they alone are too many at a time.
    pub(crate) fn read(&self, samples: usize) -> Result<(), QueryError> {
        self.read.fetch_add(samples as u64, Ordering::Relaxed);
        self.within_samples(self.held.load(Ordering::Relaxed) + samples as u64)
    }

    fn within_samples(&self, held: u64) -> Result<(), QueryError> {
        self.held_peak.fetch_max(held, Ordering::Relaxed);
        if held > self.samples_max {
            return Err(QueryError::TooManySamples { samples_max: self.samples_max });
        }
        Ok(())
    }

    /// Counts how long a worker was at a block.
    pub(crate) fn worked(&self, time: Duration) {
        self.busy_nanos.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Returns how long workers were at blocks, all together.
    pub(crate) fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy_nanos.load(Ordering::Relaxed))
    }

    /// Returns how many samples were decoded so far.
    pub(crate) fn samples_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Returns the most samples that were held at a time.
    pub(crate) fn samples_peak(&self) -> u64 {
        self.held_peak.load(Ordering::Relaxed)
    }

    /// Fails when a dense table of so many cells cannot be worth its memory.
    pub(crate) fn cells(&self, series: usize, steps: usize) -> Result<(), QueryError> {
        /// Rows are kept when one step has a sample, so a table may be this much larger than its samples.
        const CELLS_PER_SAMPLE_MAX: u64 = 8;
        let cells = (series as u64).saturating_mul(steps as u64);
        let max = self.samples_max.saturating_mul(CELLS_PER_SAMPLE_MAX);
        if cells > max { Err(QueryError::TooManySamples { samples_max: self.samples_max }) } else { Ok(()) }
    }
}
