//! What a querier counts: queries with Prometheus's names, and what it asked of others.

use std::fmt;
use std::sync::Arc;

use api::{QueryObserver, QueryReport};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use promql::Engine;

/// Seconds, from cached panels to what the timeout allows.
const DURATION_BUCKETS: [f64; 12] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 120.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SliceLabels {
    slice: &'static str,
}

/// Handles, resolved once.
#[derive(Clone)]
pub(crate) struct QuerierMetrics {
    running: Gauge,
    failed: Counter,
    samples: Counter,
    queued_seconds: Histogram,
    evaluated_seconds: Histogram,
    /// Attempts that were made again elsewhere or later.
    pub(crate) retries: Counter,
    /// Answers that lacked something.
    pub(crate) partial: Counter,
    /// Views that became too old while a query ran.
    pub(crate) conflicts: Counter,
    /// Bytes of labels and chunks received.
    pub(crate) select_bytes: Counter,
    /// Series received, merged.
    pub(crate) select_series: Counter,
}

impl QuerierMetrics {
    pub(crate) fn register(registry: &mut Registry, concurrency_max: usize, engine: &Arc<Engine>) -> Self {
        let new_histogram: fn() -> Histogram = || Histogram::new(DURATION_BUCKETS);
        let durations: Family<SliceLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(new_histogram);
        let slice = |slice| durations.get_or_create(&SliceLabels { slice }).clone();
        let metrics = Self {
            running: Gauge::default(),
            failed: Counter::default(),
            samples: Counter::default(),
            queued_seconds: slice("queue_time"),
            evaluated_seconds: slice("inner_eval"),
            retries: Counter::default(),
            partial: Counter::default(),
            conflicts: Counter::default(),
            select_bytes: Counter::default(),
            select_series: Counter::default(),
        };
        registry.register_collector(Box::new(Memory(Arc::clone(engine))));
        let limit: Gauge = Gauge::default();
        limit.set(i64::try_from(concurrency_max).unwrap_or(i64::MAX));
        registry.register("prometheus_engine_query_duration_seconds", "Query timings", durations);
        for (name, help, gauge) in [
            (
                "prometheus_engine_queries",
                "The current number of queries being executed or waiting",
                &metrics.running,
            ),
            ("prometheus_engine_queries_concurrent_max", "The max number of concurrent queries", &limit),
        ] {
            registry.register(name, help, gauge.clone());
        }
        for (name, help, counter) in [
            (
                "prometheus_engine_query_samples",
                "The total number of samples loaded by all queries",
                &metrics.samples,
            ),
            (
                "norn_querier_queries_failed",
                "Queries without a result, those whose caller went away included",
                &metrics.failed,
            ),
            (
                "norn_querier_retries",
                "Requests to shards and gateways that were made again",
                &metrics.retries,
            ),
            (
                "norn_querier_partial_answers",
                "Selects whose answer lacked a shard or gateway",
                &metrics.partial,
            ),
            (
                "norn_querier_stale_views",
                "Reads whose catalogue version had become too old",
                &metrics.conflicts,
            ),
            (
                "norn_querier_select_bytes",
                "Bytes of labels and encoded samples received",
                &metrics.select_bytes,
            ),
            ("norn_querier_select_series", "Series received, after merging", &metrics.select_series),
        ] {
            registry.register(name, help, counter.clone());
        }
        metrics
    }
}

/// Reads the memory of queries at each scrape.
#[derive(Debug)]
struct Memory(Arc<Engine>);

impl Collector for Memory {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for (name, help, bytes) in [
            ("norn_query_memory_bytes", "Bytes that all queries hold", self.0.memory().used()),
            (
                "norn_query_memory_max_bytes",
                "Bytes that all queries may hold",
                self.0.config().memory_bytes_total_max,
            ),
        ] {
            let gauge = ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

impl QueryObserver for QuerierMetrics {
    fn started(&self) {
        self.running.inc();
    }

    fn finished(&self, report: &QueryReport) {
        self.running.dec();
        self.samples.inc_by(report.samples_read);
        self.queued_seconds.observe(report.queued.as_secs_f64());
        self.evaluated_seconds.observe(report.evaluated.as_secs_f64());
        if !report.succeeded {
            self.failed.inc();
        }
    }
}
