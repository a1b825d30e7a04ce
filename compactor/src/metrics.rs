//! What a compactor counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Default)]
pub(crate) struct CompactorMetrics {
    pub(crate) lease_held: Gauge,
    pub(crate) rounds: Counter,
    pub(crate) round_failures: Counter,
    pub(crate) last_success: Gauge<i64>,
    pub(crate) tombstoned: Counter,
    pub(crate) deleted: Counter,
    pub(crate) deleted_bytes: Counter,
    pub(crate) delete_failures: Counter,
    pub(crate) blocks_active: Gauge,
    pub(crate) blocks_tombstoned: Gauge,
}

impl CompactorMetrics {
    /// Registers everything under `norn_compactor_`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let own = registry.sub_registry_with_prefix("norn_compactor");
        own.register("lease_held", "1 while this compactor is the one that works", self.lease_held.clone());
        own.register("rounds", "Rounds begun under the lease", self.rounds.clone());
        own.register("round_failures", "Rounds that ended early", self.round_failures.clone());
        own.register(
            "last_success_timestamp_seconds",
            "When the last whole round ended",
            self.last_success.clone(),
        );
        own.register("blocks_tombstoned_by_retention", "Blocks tombstoned", self.tombstoned.clone());
        own.register("blocks_deleted", "Blocks whose objects were deleted", self.deleted.clone());
        own.register("block_bytes_deleted", "Bytes of deleted objects", self.deleted_bytes.clone());
        own.register(
            "block_delete_failures",
            "Blocks whose objects could not be deleted; each is tried again",
            self.delete_failures.clone(),
        );
        own.register("catalogue_blocks_active", "Blocks that queries read", self.blocks_active.clone());
        own.register(
            "catalogue_blocks_tombstoned",
            "Blocks whose objects are yet to be deleted",
            self.blocks_tombstoned.clone(),
        );
    }
}
