//! What a compactor must be told.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use block::SplitLimits;
use object_store::ObjectStore;

use crate::CompactorError;
use crate::plan::{DownsampleRules, RetentionRules};

/// Typed configuration.
#[derive(Clone)]
pub struct CompactorConfig {
    /// Where the blocks are.
    pub objects: Arc<dyn ObjectStore>,
    /// How long samples are kept.
    pub retention: RetentionRules,
    /// How long after its tombstone a block's objects are deleted at the earliest; blocks that running queries may read are kept
    /// longer. Protects the queries of a querier that lost its membership and, longer, an operator who wants blocks back.
    pub deletion_delay: Duration,
    /// The pause between rounds of retention, and before a merge that failed is tried again.
    pub interval: Duration,
    /// Where the block that is being merged lies until it is uploaded, in a file without a name; it is made when it does not
    /// exist. It takes as much room as the largest block.
    pub spool_dir: PathBuf,
    /// How large a block may become; a merge of more is split.
    pub split: SplitLimits,
    /// When samples are reduced to slots.
    pub downsampling: DownsampleRules,
}

impl CompactorConfig {
    /// One hour: thirty times the default limit of a query's time.
    pub const DELETION_DELAY: Duration = Duration::from_secs(3600);
    /// One minute, as Prometheus's own loop has it.
    pub const INTERVAL: Duration = Duration::from_secs(60);

    /// Makes a configuration with the default delay and interval.
    pub fn new(objects: Arc<dyn ObjectStore>, retention: RetentionRules, spool_dir: PathBuf) -> Self {
        let (deletion_delay, interval) = (Self::DELETION_DELAY, Self::INTERVAL);
        let (split, downsampling) = (SplitLimits::DEFAULT, DownsampleRules::DEFAULT);
        Self { objects, retention, deletion_delay, interval, spool_dir, split, downsampling }
    }

    pub(crate) fn check(&self) -> Result<(), CompactorError> {
        let RetentionRules { raw_ms, five_minutes_ms, hour_ms, .. } = self.retention;
        if [raw_ms, five_minutes_ms, hour_ms].into_iter().flatten().any(|retention_ms| retention_ms <= 0) {
            return Err(CompactorError::Retention);
        }
        if self.interval.is_zero() {
            return Err(CompactorError::Interval);
        }
        std::fs::create_dir_all(&self.spool_dir)
            .map_err(|source| CompactorError::SpoolDir { dir: self.spool_dir.clone(), source })
    }
}
