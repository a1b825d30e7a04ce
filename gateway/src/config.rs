//! What an operator may set.

use std::path::PathBuf;

/// The gateway's limits. Start from [`GatewayConfig::default`] and set what the operator said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Where bytes of blocks are cached; `None` for no cache on disk.
    pub cache_dir: Option<PathBuf>,
    /// How large the cache on disk may grow.
    pub cache_size_bytes: u64,
    /// How much memory pages of blocks may take; 0 for none.
    pub cache_memory_bytes: u64,
    /// How many gateways own the blocks of a shard, where there are as many.
    pub replicas: usize,
    /// How much memory opened blocks may take; the block in use stays open even if it alone is larger.
    pub open_blocks_bytes_max: u64,
    /// How many selects run, or stream their answer, at the same time; others wait.
    pub selects_in_flight_max: usize,
    /// How many bytes one select may gather; beyond that it fails with kind `LimitExceeded`.
    pub select_bytes_max: u64,
    /// How many series one select may return when the caller names no limit.
    pub select_series_max: usize,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            cache_dir: None,
            cache_size_bytes: 10 << 30,
            cache_memory_bytes: 256 << 20,
            replicas: cluster::rendezvous::GATEWAY_REPLICAS,
            open_blocks_bytes_max: 1 << 30,
            selects_in_flight_max: 16,
            select_bytes_max: 512 << 20,
            select_series_max: 5_000_000,
        }
    }
}
