//! What a gateway counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Seconds of one read from the object store: from a local disk to a slow bucket.
const READ_SECONDS_BUCKETS: [f64; 10] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ResultLabel {
    pub(crate) result: &'static str,
}

/// Which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct MethodLabel {
    pub(crate) method: &'static str,
    pub(crate) result: &'static str,
}

/// Counters of the cache.
#[derive(Clone, Debug)]
pub(crate) struct CacheMetrics {
    reads: Family<ResultLabel, Counter>,
    /// What became of reads, a page each or what opening a block takes.
    pub(crate) memory_hits: Counter,
    pub(crate) disk_hits: Counter,
    pub(crate) misses: Counter,
    /// Entries on disk that did not check; each is a miss too.
    pub(crate) corrupt: Counter,
    pub(crate) write_failures: Counter,
    pub(crate) evictions: Counter,
    pub(crate) entries: Gauge,
    pub(crate) bytes: Gauge,
    pub(crate) memory_bytes: Gauge,
}

impl Default for CacheMetrics {
    fn default() -> Self {
        let reads = Family::<ResultLabel, Counter>::default();
        let of = |result| reads.get_or_create(&ResultLabel { result }).clone();
        Self {
            memory_hits: of("memory"),
            disk_hits: of("disk"),
            misses: of("miss"),
            corrupt: of("corrupt"),
            reads,
            write_failures: Counter::default(),
            evictions: Counter::default(),
            entries: Gauge::default(),
            bytes: Gauge::default(),
            memory_bytes: Gauge::default(),
        }
    }
}

/// Counters of reads from the object store.
#[derive(Clone, Debug)]
pub(crate) struct StoreMetrics {
    pub(crate) reads: Family<ResultLabel, Counter>,
    pub(crate) bytes: Counter,
    pub(crate) seconds: Histogram,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        let seconds = Histogram::new(READ_SECONDS_BUCKETS);
        Self { reads: Family::default(), bytes: Counter::default(), seconds }
    }
}

/// Counters of opened blocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockMetrics {
    /// `ok` or `failed`.
    pub(crate) opens: Family<ResultLabel, Counter>,
    pub(crate) open: Gauge,
    pub(crate) open_bytes: Gauge,
}

/// Where damage was found: which file of the block, and what kind of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct DamageLabel {
    pub(crate) file: &'static str,
    pub(crate) part: &'static str,
}

/// What is known of damaged blocks. Their names have no prefix: alerts are written for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct DamageMetrics {
    pub(crate) found: Family<DamageLabel, Counter>,
    pub(crate) blocks: Gauge,
}

/// Everything a gateway counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct GatewayMetrics {
    pub(crate) cache: CacheMetrics,
    pub(crate) store: StoreMetrics,
    pub(crate) blocks: BlockMetrics,
    pub(crate) damage: DamageMetrics,
    pub(crate) requests: Family<MethodLabel, Counter>,
    pub(crate) series: Counter,
    pub(crate) chunk_bytes: Counter,
    pub(crate) selects_in_flight: Gauge,
}

impl GatewayMetrics {
    /// Registers all of it under `norn_gateway` but for what is damaged, with the limits beside what they bound.
    pub(crate) fn register(&self, registry: &mut Registry, config: &crate::GatewayConfig) {
        let damage = &self.damage;
        registry.register(
            "norn_block_damage",
            "Reads of blocks that found damage, by file and kind of place",
            damage.found.clone(),
        );
        registry.register(
            "norn_blocks_quarantined",
            "Blocks of which a part is known to be damaged",
            damage.blocks.clone(),
        );
        let own = registry.sub_registry_with_prefix("norn_gateway");
        let Self { cache, store, blocks, .. } = self;
        own.register(
            "cache_reads",
            "Reads that asked the cache, by where they were answered",
            cache.reads.clone(),
        );
        own.register(
            "cache_write_failures",
            "Entries that could not be written",
            cache.write_failures.clone(),
        );
        own.register("cache_evictions", "Entries removed to make room", cache.evictions.clone());
        own.register("cache_entries", "Entries of the cache on disk", cache.entries.clone());
        own.register("cache_bytes", "Bytes of the cache on disk", cache.bytes.clone());
        let limit = fixed(config.cache_size_bytes);
        own.register("cache_limit_bytes", "Bytes the cache on disk may grow to", limit);
        own.register("cache_memory_bytes", "Bytes of pages in memory", cache.memory_bytes.clone());
        let limit = fixed(config.cache_memory_bytes);
        own.register("cache_memory_limit_bytes", "Bytes that pages may take in memory", limit);
        own.register("store_reads", "Reads from the object store, by result", store.reads.clone());
        own.register("store_read_bytes", "Bytes read from the object store", store.bytes.clone());
        own.register("store_read_seconds", "Duration of reads from the object store", store.seconds.clone());
        own.register("block_opens", "Blocks opened, by result", blocks.opens.clone());
        own.register("open_blocks", "Blocks that are open", blocks.open.clone());
        own.register("open_blocks_bytes", "Memory of the blocks that are open", blocks.open_bytes.clone());
        let limit = fixed(config.open_blocks_bytes_max);
        own.register("open_blocks_limit_bytes", "Memory that open blocks may take", limit);
        own.register("requests", "gRPC requests, by method and result", self.requests.clone());
        own.register("selected_series", "Series returned by selects", self.series.clone());
        own.register("selected_chunk_bytes", "Bytes of chunks returned by selects", self.chunk_bytes.clone());
        own.register("selects_in_flight", "Selects that run or stream", self.selects_in_flight.clone());
        let limit = fixed(config.selects_in_flight_max as u64);
        own.register("selects_in_flight_limit", "Selects that may run or stream at a time", limit);
    }
}

fn fixed(value: u64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    gauge
}
