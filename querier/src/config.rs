//! What a querier is told.

use std::time::Duration;

use api::{ProcessStatus, QueryLimits};
use promql::{Engine, EngineConfig};

/// What a querier is told.
#[derive(Clone, Debug)]
pub struct QuerierConfig {
    /// Evaluates all queries.
    pub engine: Engine,
    /// How many queries run at once, and how long others wait.
    pub queries: QueryLimits,
    /// The most series of one select.
    pub series_max: usize,
    /// How long a shard may be without a leader that answers before a query gives it up.
    pub leader_patience: Duration,
    /// How many gateways serve the blocks of a shard, where there are as many; queries take turns among them.
    pub gateway_replicas: usize,
    /// Whether series may be deleted over HTTP.
    pub admin_api: AdminApi,
    /// What the process says of itself over HTTP.
    pub status: ProcessStatus,
}

/// Whether what changes stored data is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdminApi {
    /// It is refused, as in Prometheus by default.
    #[default]
    Off,
    /// It is served.
    On,
}

impl Default for QuerierConfig {
    /// The defaults of its parts, 1,000,000 series, and patience for an election and a half.
    fn default() -> Self {
        Self {
            engine: Engine::new(EngineConfig::default()),
            queries: QueryLimits::default(),
            series_max: 1_000_000,
            leader_patience: Duration::from_secs(5),
            gateway_replicas: cluster::rendezvous::GATEWAY_REPLICAS,
            admin_api: AdminApi::Off,
            status: ProcessStatus::default(),
        }
    }
}
