//! The limits of the log engine.

use crate::WalError;

/// The smallest segment that makes sense: some batches and the state of all groups must fit.
const SEGMENT_BYTES_MIN: u64 = 4 * 1024;

/// What headers and padding add to an entry, and more.
const ENTRY_OVERHEAD_BYTES: u64 = 256;

/// What the log engine may use.
#[derive(Clone, Copy, Debug)]
pub struct WalConfig {
    /// The size of a segment file in bytes. An entry may take a quarter of it.
    pub segment_bytes: u64,
    /// How many bytes of appends may wait to be written; more answer [`WalError::QueueFull`].
    pub queue_bytes_max: u64,
    /// How many bytes one sync may cover before the next begins.
    pub batch_bytes_max: u64,
    /// How many bytes of entries stay in memory after they are durable, so that apply and replication need no disk.
    pub cache_bytes_max: u64,
    /// With more segments than this, the few live entries of the oldest are written again at the head, to free it.
    pub segments_before_rewrite: usize,
}

impl Default for WalConfig {
    /// 64 MiB segments: long enough that creating one is rare, short enough that truncation frees space soon.
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            queue_bytes_max: 32 << 20,
            batch_bytes_max: 16 << 20,
            cache_bytes_max: 32 << 20,
            segments_before_rewrite: 4,
        }
    }
}

impl WalConfig {
    /// Returns how many empty segments stand ready, so that whatever the queue accepted fits without creating one.
    ///
    /// A segment wastes at most a quarter, since no record is larger; one more is the reserve for votes.
    pub(crate) fn spares_min(&self) -> usize {
        let usable = self.segment_bytes - self.segment_bytes / 4;
        usize::try_from(self.queue_bytes_max.div_ceil(usable)).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// Returns the largest payload of an entry: with its headers it takes a quarter of a segment.
    pub(crate) fn entry_bytes_max(&self) -> u64 {
        self.segment_bytes / 4 - ENTRY_OVERHEAD_BYTES
    }

    pub(crate) fn validate(&self) -> Result<(), WalError> {
        let fault = |reason| Err(WalError::Config { reason });
        if self.segment_bytes < SEGMENT_BYTES_MIN || self.segment_bytes > u64::from(u32::MAX) {
            return fault("segment_bytes must lie between 4 KiB and 4 GiB");
        }
        if !self.segment_bytes.is_multiple_of(SEGMENT_BYTES_MIN) {
            return fault("segment_bytes must be a multiple of 4 KiB");
        }
        if self.queue_bytes_max == 0 || self.batch_bytes_max == 0 {
            return fault("queue_bytes_max and batch_bytes_max must be above 0");
        }
        if self.segments_before_rewrite == 0 {
            return fault("segments_before_rewrite must be above 0");
        }
        Ok(())
    }
}
