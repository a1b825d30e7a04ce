//! What a querier is told.

use std::time::Duration;

use api::{ProcessStatus, QueryLimits};
use promql::EngineConfig;

/// What one select of a query may take.
#[derive(Clone, Debug)]
pub struct SelectLimits {
    /// `query.max-series`: the most series.
    pub series_max: usize,
    /// `query.max-select-bytes`: the most bytes of labels and encoded samples received for it.
    pub bytes_max: u64,
}

impl Default for SelectLimits {
    /// 1,000,000 series and 1 GiB.
    fn default() -> Self {
        Self { series_max: 1_000_000, bytes_max: 1 << 30 }
    }
}

/// What a querier is told.
#[derive(Clone, Debug)]
pub struct QuerierConfig {
    /// What holds for all queries.
    pub engine: EngineConfig,
    /// How many queries run at once, and how long others wait.
    pub queries: QueryLimits,
    /// What one select may take.
    pub select: SelectLimits,
    /// How long a shard may be without a leader that answers before a query gives it up.
    pub leader_patience: Duration,
    /// What the process says of itself over HTTP.
    pub status: ProcessStatus,
}

impl Default for QuerierConfig {
    /// The defaults of its parts, and patience for an election and a half.
    fn default() -> Self {
        Self {
            engine: EngineConfig::default(),
            queries: QueryLimits::default(),
            select: SelectLimits::default(),
            leader_patience: Duration::from_secs(5),
            status: ProcessStatus::default(),
        }
    }
}
