//! Counts and times the reads that reach the object store, and bounds how many run at the same time.

use std::ops::Range;
use std::time::Instant;

use async_trait::async_trait;
use block::{BlockError, RangeReader};
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::metrics::{ResultLabel, StoreMetrics};

/// How many reads run at the same time, all queries together; others wait. Each is 8 MiB at most but for one part.
const READS_IN_FLIGHT_MAX: usize = 128;

/// A reader with counters in front.
pub(crate) struct Metered<R> {
    inner: R,
    metrics: StoreMetrics,
    places: Semaphore,
}

impl<R> Metered<R> {
    pub(crate) fn new(inner: R, metrics: StoreMetrics) -> Self {
        Self { inner, metrics, places: Semaphore::new(READS_IN_FLIGHT_MAX) }
    }
}

#[async_trait]
impl<R: RangeReader> RangeReader for Metered<R> {
    async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes, BlockError> {
        let _place = self.places.acquire().await.expect("the semaphore is never closed");
        let started = Instant::now();
        let read = self.inner.read(key, range).await;
        self.metrics.seconds.observe(started.elapsed().as_secs_f64());
        let result = if read.is_ok() { "ok" } else { "failed" };
        self.metrics.reads.get_or_create(&ResultLabel { result }).inc();
        self.metrics.bytes.inc_by(read.as_ref().map_or(0, |bytes| bytes.len() as u64));
        read
    }
}
