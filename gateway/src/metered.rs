//! Counts and times the reads that reach the object store.

use std::ops::Range;
use std::time::Instant;

use async_trait::async_trait;
use block::{BlockError, RangeReader};
use bytes::Bytes;

use crate::metrics::{ResultLabel, StoreMetrics};

/// A reader with counters in front.
pub(crate) struct Metered<R> {
    pub(crate) inner: R,
    pub(crate) metrics: StoreMetrics,
}

#[async_trait]
impl<R: RangeReader> RangeReader for Metered<R> {
    async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes, BlockError> {
        let started = Instant::now();
        let read = self.inner.read(key, range).await;
        self.metrics.seconds.observe(started.elapsed().as_secs_f64());
        let result = if read.is_ok() { "ok" } else { "failed" };
        self.metrics.reads.get_or_create(&ResultLabel { result }).inc();
        self.metrics.bytes.inc_by(read.as_ref().map_or(0, |bytes| bytes.len() as u64));
        read
    }
}
