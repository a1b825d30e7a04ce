//! What a compactor counts.

use std::time::Duration;

use model::BlockMeta;
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
    pub(crate) blocks_awaiting: Gauge,
    pub(crate) blocks_read: Gauge,
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
        own.register(
            "blocks_awaiting_downsampling",
            "Blocks past their retention that are kept until a coarser resolution holds their range",
            self.blocks_awaiting.clone(),
        );
        own.register(
            "blocks_awaiting_queries",
            "Tombstoned blocks past the deletion delay that a running query may still read",
            self.blocks_read.clone(),
        );
    }
}

/// What the worker that merges counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct MergeMetrics {
    pub(crate) running: Gauge,
    pub(crate) jobs_open: Gauge,
    pub(crate) jobs_planned: Gauge,
    pub(crate) failures: Counter,
    pub(crate) bad_inputs: Counter,
    pub(crate) set_aside: Gauge,
    pub(crate) taken_back: Counter,
    pub(crate) delete_notes: Gauge,
    jobs: Counter,
    inputs: Counter,
    samples: Counter,
    bytes: Counter,
    seconds: Counter<f64, std::sync::atomic::AtomicU64>,
}

impl MergeMetrics {
    /// Registers everything under `norn_compactor_merge_`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let own = registry.sub_registry_with_prefix("norn_compactor_merge");
        own.register("running", "1 while this compactor merges blocks", self.running.clone());
        own.register("jobs_open", "Merges under way in the cluster", self.jobs_open.clone());
        own.register(
            "jobs_planned",
            "Merges that could begin, as last planned here",
            self.jobs_planned.clone(),
        );
        own.register("jobs_done", "Merges committed", self.jobs.clone());
        own.register("failures", "Merges that failed; each is tried again", self.failures.clone());
        own.register(
            "bad_inputs",
            "Blocks set aside here since they cannot be read",
            self.bad_inputs.clone(),
        );
        own.register(
            "blocks_set_aside",
            "Blocks of the catalogue that are not merged since they are damaged",
            self.set_aside.clone(),
        );
        own.register(
            "blocks_taken_back",
            "Blocks that were set aside and found whole again",
            self.taken_back.clone(),
        );
        own.register(
            "delete_notes",
            "Deletes of series that are not folded into a block yet, over all active blocks",
            self.delete_notes.clone(),
        );
        own.register("inputs", "Blocks that merges replaced", self.inputs.clone());
        own.register("samples", "Samples of merged blocks", self.samples.clone());
        own.register("bytes", "Bytes of merged blocks", self.bytes.clone());
        own.register("seconds", "Time that merges took", self.seconds.clone());
    }

    /// Counts a merge that was committed.
    pub(crate) fn merged(&self, inputs: usize, outputs: &[BlockMeta], took: Duration) {
        self.jobs.inc();
        self.inputs.inc_by(inputs as u64);
        for meta in outputs {
            self.samples.inc_by(meta.samples);
            self.bytes.inc_by(meta.series_object.size_bytes + meta.chunks_object.size_bytes);
        }
        self.seconds.inc_by(took.as_secs_f64());
    }
}
