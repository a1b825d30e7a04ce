//! What an ingester counts. Names of Prometheus where dashboards know one.

use std::sync::Arc;
use std::time::Duration;

use head::ExemplarStats;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::shard::Shards;

/// How often the gauges are brought up to date.
const REFRESH: Duration = Duration::from_secs(2);

/// The shard a value belongs to; bounded by the shards on this node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ShardLabel {
    shard: u32,
}

/// What became of a sample.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ResultLabel {
    result: &'static str,
}

/// Counters of block cutting.
#[derive(Clone, Debug, Default)]
pub(crate) struct CutterMetrics {
    pub(crate) published: Counter,
    pub(crate) failures: Counter,
}

/// Everything an ingester counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct IngesterMetrics {
    pub(crate) cutter: CutterMetrics,
    samples: Family<ResultLabel, Counter>,
    head_series: Gauge,
    shard_series: Family<ShardLabel, Gauge>,
    shard_samples: Family<ShardLabel, Gauge>,
    shard_bytes: Family<ShardLabel, Gauge>,
    shard_file_bytes: Family<ShardLabel, Gauge>,
    shard_file_failures: Family<ShardLabel, Gauge>,
    is_leader: Family<ShardLabel, Gauge>,
    applied: Family<ShardLabel, Gauge>,
    term: Family<ShardLabel, Gauge>,
    exemplars: ExemplarMetrics,
    appended: AppendMetrics,
}

/// What became of samples, with Prometheus's names, without its label `type`.
#[derive(Clone, Debug, Default)]
struct AppendMetrics {
    appended: Counter,
    out_of_order: Counter,
    too_old: Counter,
    out_of_bound: Counter,
}

impl AppendMetrics {
    fn register(&self, registry: &mut Registry) {
        let own = registry.sub_registry_with_prefix("prometheus_tsdb");
        own.register("head_samples_appended", "Samples appended by shards led here", self.appended.clone());
        own.register(
            "out_of_order_samples",
            "Samples refused because they were out of order and no out-of-order window is set",
            self.out_of_order.clone(),
        );
        own.register("too_old_samples", "Samples refused because they were too old", self.too_old.clone());
        own.register(
            "out_of_bound_samples",
            "Samples refused because they were too far in the future",
            self.out_of_bound.clone(),
        );
    }
}

/// What the heads of this node did with exemplars, with Prometheus's names.
#[derive(Clone, Debug, Default)]
struct ExemplarMetrics {
    appended: Counter,
    out_of_order: Counter,
    held: Gauge,
    series: Gauge,
    max: Gauge,
}

impl ExemplarMetrics {
    fn register(&self, registry: &mut Registry) {
        let own = registry.sub_registry_with_prefix("prometheus_tsdb_exemplar");
        own.register("exemplars_appended", "Exemplars appended", self.appended.clone());
        own.register(
            "out_of_order_exemplars",
            "Exemplars refused because their series has a later one",
            self.out_of_order.clone(),
        );
        own.register("exemplars_in_storage", "Exemplars held", self.held.clone());
        own.register("series_with_exemplars_in_storage", "Series with exemplars", self.series.clone());
        own.register("max_exemplars", "How many exemplars are held at most", self.max.clone());
    }

    /// Brings everything up to what the heads count; a head that was replaced by a snapshot counts anew.
    fn set(&self, stats: &[ExemplarStats]) {
        let sum = |of: fn(&ExemplarStats) -> u64| stats.iter().map(of).sum::<u64>();
        for (counter, counted) in
            [(&self.appended, sum(|s| s.appended)), (&self.out_of_order, sum(|s| s.out_of_order))]
        {
            counter.inc_by(counted.saturating_sub(counter.get()));
        }
        self.held.set(sum(|s| s.held) as i64);
        self.series.set(sum(|s| s.series) as i64);
        self.max.set(sum(|s| s.max) as i64);
    }
}

impl IngesterMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "prometheus_tsdb_head_series",
            "Series in the heads of this node",
            self.head_series.clone(),
        );
        self.exemplars.register(registry);
        self.appended.register(registry);
        let own = registry.sub_registry_with_prefix("norn_ingester");
        own.register("samples", "Samples that shards led here answered, by result", self.samples.clone());
        own.register(
            "blocks_published",
            "Blocks this node built, uploaded and published",
            self.cutter.published.clone(),
        );
        own.register(
            "block_cut_failures",
            "Failed steps of cutting a block; each is tried again",
            self.cutter.failures.clone(),
        );
        own.register("shard_series", "Series in a shard's head", self.shard_series.clone());
        own.register("shard_samples", "Samples in a shard's head", self.shard_samples.clone());
        own.register("shard_bytes", "Approximate memory of a shard's head", self.shard_bytes.clone());
        own.register(
            "shard_chunk_file_bytes",
            "Sealed chunks of a shard's head in local files",
            self.shard_file_bytes.clone(),
        );
        own.register(
            "shard_chunk_file_failures",
            "Local files that could not be written since the head was made: their chunks stay in memory",
            self.shard_file_failures.clone(),
        );
        own.register("shard_is_leader", "1 where this replica leads", self.is_leader.clone());
        own.register("shard_applied_index", "Last applied log index", self.applied.clone());
        own.register("shard_term", "Raft term", self.term.clone());
    }

    /// Counts one batch's outcome.
    pub(crate) fn count(&self, outcome: &batch::BatchOutcome) {
        let counts = [
            ("accepted", outcome.accepted),
            ("duplicate", outcome.duplicate),
            ("conflicting", outcome.conflicting),
            ("out_of_order", outcome.out_of_order),
            ("too_old", outcome.too_old),
            ("too_new", outcome.too_new),
            ("over_limit", outcome.over_limit),
        ];
        self.appended.appended.inc_by(outcome.accepted);
        self.appended.out_of_order.inc_by(outcome.out_of_order);
        self.appended.too_old.inc_by(outcome.too_old);
        self.appended.out_of_bound.inc_by(outcome.too_new);
        for (result, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            self.samples.get_or_create(&ResultLabel { result }).inc_by(count);
        }
    }

    /// Keeps the gauges up to date until shutdown.
    pub(crate) async fn refresh(
        self,
        shards: Arc<Shards>,
        shutdown: CancellationToken,
    ) -> Result<(), crate::IngesterError> {
        loop {
            let (mut series, mut exemplars) = (0, Vec::new());
            for replica in shards.list() {
                let (label, head, raft) =
                    (ShardLabel { shard: replica.shard.0 }, replica.head().stats(), replica.group.status());
                series += head.series;
                exemplars.push(replica.head().exemplar_stats());
                self.shard_series.get_or_create(&label).set(head.series as i64);
                self.shard_samples.get_or_create(&label).set(head.samples as i64);
                self.shard_bytes.get_or_create(&label).set(head.bytes as i64);
                self.shard_file_bytes.get_or_create(&label).set(head.spooled_bytes as i64);
                self.shard_file_failures.get_or_create(&label).set(head.spool_failures as i64);
                self.is_leader.get_or_create(&label).set(i64::from(replica.group.is_leader()));
                self.applied.get_or_create(&label).set(raft.applied_index.unwrap_or_default() as i64);
                self.term.get_or_create(&label).set(raft.term as i64);
            }
            self.head_series.set(series as i64);
            self.exemplars.set(&exemplars);
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(REFRESH) => {}
            }
        }
    }
}
