//! Data in memory behind the ports, and requests against the routes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::{
    ActiveTarget, Admin, BlockStatus, BlocksPage, ClusterSource, ClusterStatus, Completeness, DroppedTarget,
    MemberStatus, NoRules, ProcessStatus, Queries, QueryApi, QueryLimits, QueryObserver, QueryPorts,
    QueryReport, RaftStatus, ReplicaStatus, ShardStatus, TRUNCATED, TargetMetadata, Targets, TargetsMetadata,
    TargetsSource, ViewSource,
};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use model::cardinality::{Distinct, LabelCount, NameCount};
use model::{
    BlockId, BlockMeta, BlockRange, Cardinality, ErrorKind, Exemplar, LabelSet, Matcher, MetricMetadata,
    MetricType, ObjectMeta, SeriesExemplars, ShardId, SortRange, TimeRange,
};
use storage::{
    LabelRequest, Labelled, QueryMemory, Queryable, SampleSource, Samples, SelectRequest, Series, SeriesSet,
    StorageError,
};
use tower::ServiceExt;

/// The time that the tests call now.
pub(crate) const NOW_MS: i64 = 1_000_000;

/// One series of the data.
struct Points(Vec<(i64, f64)>);

impl SampleSource for Points {
    fn read(&self, range: TimeRange, out: &mut Samples) -> Result<(), StorageError> {
        for (time_ms, value) in self.0.iter().filter(|(time_ms, _)| range.contains(*time_ms)) {
            out.push(*time_ms, *value);
        }
        Ok(())
    }

    fn sample_count_max(&self) -> usize {
        self.0.len()
    }
}

/// All data, and how it fails.
#[derive(Default)]
pub(crate) struct Memory {
    series: Vec<Series>,
    /// How many more reads answer that their view is too old.
    pub(crate) conflicts: AtomicUsize,
    /// Whether reads never end.
    pub(crate) hangs: bool,
    /// What every read fails with, if anything.
    pub(crate) fault: Option<ErrorKind>,
}

impl Memory {
    /// Makes three series of `up` and one of `http_requests_total`, a sample each 10 s until [`NOW_MS`].
    pub(crate) fn new() -> Self {
        let make = |pairs: &[(&str, &str)], scale: f64| Series {
            labels: LabelSet::from_pairs(pairs.iter().copied()),
            samples: Arc::new(Points((0..=100).map(|i| (i * 10_000, i as f64 * scale)).collect())),
        };
        let mut series = vec![
            make(&[("__name__", "up"), ("job", "a"), ("instance", "1")], 1.0),
            make(&[("__name__", "up"), ("job", "a"), ("instance", "2")], 0.5),
            make(&[("__name__", "up"), ("job", "b"), ("http.status", "200")], 1e-9),
            make(&[("__name__", "http_requests_total"), ("job", "b")], 1.0),
        ];
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Self { series, ..Self::default() }
    }

    fn check(&self) -> Result<(), StorageError> {
        let took =
            self.conflicts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let kind = if took.is_ok() { Some(ErrorKind::Conflict) } else { self.fault };
        kind.map_or(Ok(()), |kind| Err(StorageError::new(kind, "shard 3 does not answer")))
    }

    fn matching(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Vec<&Series> {
        let is_match = |series: &&Series| {
            let all =
                |matchers: &Vec<Matcher>| matchers.iter().all(|m| m.matches(series.labels.get(&m.name)));
            let mut samples = Samples::default();
            series.samples.read(range, &mut samples).expect("memory does not fail");
            !samples.is_empty() && (selectors.is_empty() || selectors.iter().any(all))
        };
        self.series.iter().filter(is_match).collect()
    }
}

fn limited<T: Ord>(values: impl IntoIterator<Item = T>, limit: Option<usize>) -> Labelled<T> {
    let mut values: Vec<T> = values.into_iter().collect::<BTreeSet<T>>().into_iter().collect();
    let is_cut = limit.is_some_and(|limit| values.len() > limit);
    values.truncate(limit.unwrap_or(usize::MAX));
    Labelled { values, warnings: is_cut.then(|| TRUNCATED.to_owned()).into_iter().collect() }
}

#[async_trait]
impl Queryable for Memory {
    async fn select(&self, request: &SelectRequest, _: &QueryMemory) -> Result<SeriesSet, StorageError> {
        if self.hangs {
            return std::future::pending().await;
        }
        self.check()?;
        let selectors = [request.matchers.clone()];
        let series = self.matching(&selectors, request.range).into_iter().cloned().collect();
        Ok(SeriesSet { series, ..SeriesSet::default() })
    }

    async fn label_names(&self, request: &LabelRequest) -> Result<Labelled<String>, StorageError> {
        self.check()?;
        let series = self.matching(&request.selectors, request.range);
        let names = series.iter().flat_map(|series| series.labels.iter()).map(|(name, _)| name.to_owned());
        Ok(limited(names, request.limit))
    }

    async fn label_values(
        &self,
        name: &str,
        request: &LabelRequest,
    ) -> Result<Labelled<String>, StorageError> {
        self.check()?;
        let series = self.matching(&request.selectors, request.range);
        let values = series.iter().map(|series| series.labels.get(name).to_owned());
        Ok(limited(values.filter(|value| !value.is_empty()), request.limit))
    }

    async fn series(&self, request: &LabelRequest) -> Result<Labelled<LabelSet>, StorageError> {
        self.check()?;
        let series = self.matching(&request.selectors, request.range);
        Ok(limited(series.iter().map(|series| series.labels.clone()), request.limit))
    }

    async fn metadata(&self, family: Option<&str>) -> Result<Vec<MetricMetadata>, StorageError> {
        self.check()?;
        let make = |family: &str, metric_type, help: &str| MetricMetadata {
            family: family.to_owned(),
            metric_type,
            help: help.to_owned(),
            unit: String::new(),
        };
        let all = vec![
            make("http_requests", MetricType::Counter, "Requests."),
            make("up", MetricType::Gauge, "Is \"up\"."),
            make("up", MetricType::Unknown, ""),
        ];
        Ok(all.into_iter().filter(|entry| family.is_none_or(|family| family == entry.family)).collect())
    }

    async fn exemplars(&self, request: &LabelRequest) -> Result<Vec<SeriesExemplars>, StorageError> {
        self.check()?;
        let labels = LabelSet::from_pairs([("__name__", "up"), ("job", "a")]);
        let exemplar = |labels: &[(&str, &str)], value, time_ms| Exemplar {
            labels: LabelSet::from_pairs(labels.iter().copied()),
            value,
            time_ms,
        };
        let exemplars = [exemplar(&[("trace_id", "x")], 0.5, 1500), exemplar(&[], f64::INFINITY, 2000)];
        let exemplars = exemplars.into_iter().filter(|e| request.range.contains(e.time_ms)).collect();
        let all = [SeriesExemplars { labels, exemplars }];
        let is_meant = |series: &SeriesExemplars| {
            let all = |m: &Vec<Matcher>| m.iter().all(|m| m.matches(series.labels.get(&m.name)));
            request.selectors.iter().any(all) && !series.exemplars.is_empty()
        };
        Ok(all.into_iter().filter(is_meant).collect())
    }

    async fn cardinality(&self, entries_max: usize) -> Result<Cardinality, StorageError> {
        self.check()?;
        let count = |name: &str, series| NameCount { name: name.to_owned(), series };
        let label = |name: &str, hashes: &[u64], value_bytes| LabelCount {
            name: name.to_owned(),
            values: Distinct::new(hashes.len() as u64, hashes.iter().copied()),
            value_bytes,
        };
        let metrics = vec![count("up", 3), count("http_requests_total", 1)];
        Ok(Cardinality {
            series: 4,
            chunks: 8,
            range: Some(TimeRange::new(0, NOW_MS)),
            metrics: metrics.into_iter().take(entries_max).collect(),
            labels: vec![label("job", &[1, 2, 3], 4), label("__name__", &[1, 2], 25)],
            pairs: vec![count("__name__=up", 3)],
        })
    }
}

/// Gives every query the same data.
struct OneView(Arc<Memory>);

impl ViewSource for OneView {
    fn view(&self, _: Completeness) -> Arc<dyn Queryable> {
        Arc::clone(&self.0) as Arc<dyn Queryable>
    }
}

struct TwoTargets;

impl TwoTargets {
    /// Makes what two targets say of one family and the first also of another.
    fn told() -> Vec<TargetMetadata> {
        let entry = |instance: &str, family: &str| TargetMetadata {
            labels: [("instance".to_owned(), instance.to_owned())].into(),
            metadata: MetricMetadata {
                family: family.to_owned(),
                metric_type: MetricType::Gauge,
                help: "Is up.".to_owned(),
                unit: String::new(),
            },
        };
        vec![entry("h:1", "load"), entry("h:1", "up"), entry("h:2", "up")]
    }
}

#[async_trait]
impl TargetsSource for TwoTargets {
    async fn metadata(
        &self,
        family: &str,
        matchers: &[Matcher],
        _: Option<usize>,
    ) -> Result<TargetsMetadata, StorageError> {
        let mut entries = Self::told();
        let value = |entry: &TargetMetadata, name: &str| entry.labels.get(name).cloned().unwrap_or_default();
        entries.retain(|entry| matchers.iter().all(|m| m.matches(&value(entry, &m.name))));
        entries.retain(|entry| family.is_empty() || family == entry.metadata.family);
        Ok(TargetsMetadata { entries, warnings: Vec::new() })
    }

    async fn targets(&self) -> Result<Targets, StorageError> {
        let label = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
        let active = ActiveTarget {
            scrape_pool: "node".into(),
            discovered_labels: label("__address__", "h:1"),
            labels: label("instance", "h:1"),
            scrape_url: "http://h:1/metrics".into(),
            global_url: "http://h:1/metrics".into(),
            last_scrape_ms: Some(1_500),
            last_scrape_duration_seconds: 0.25,
            health: "up".into(),
            scrape_interval: "15s".into(),
            scrape_timeout: "10s".into(),
            scraper: "scraper-0".into(),
            ..ActiveTarget::default()
        };
        let dropped =
            DroppedTarget { scrape_pool: "node".into(), discovered_labels: label("__address__", "h:2") };
        Ok(Targets { active: vec![active], dropped: vec![dropped], warnings: Vec::new() })
    }
}

/// One ingester with one shard that answers, beside one that does not; and three blocks.
struct SmallCluster;

#[async_trait]
impl ClusterSource for SmallCluster {
    async fn cluster(&self) -> Result<ClusterStatus, StorageError> {
        let member = MemberStatus {
            node: 1,
            name: "ingester-0".into(),
            role: "ingester".into(),
            live: true,
            ..MemberStatus::default()
        };
        let raft =
            RaftStatus { state: "leader".into(), term: 2, leader: 1, series: 7, ..RaftStatus::default() };
        let replica = |node, raft| ReplicaStatus { node, name: format!("n{node}"), live: true, raft };
        let replicas = vec![replica(1, Some(raft)), replica(2, None)];
        Ok(ClusterStatus {
            name: "test".into(),
            version: 9,
            members: vec![member],
            shards: vec![ShardStatus { shard: 1, slots: 4096, replicas, ..ShardStatus::default() }],
            warnings: vec!["n2 does not answer".into()],
            ..ClusterStatus::default()
        })
    }

    fn blocks(&self, offset: usize, limit: usize) -> BlocksPage {
        let object = ObjectMeta { key: "k".into(), size_bytes: 5, tail_bytes: 1, crc32c: 0 };
        let block = |number: u8| BlockStatus {
            meta: BlockMeta {
                id: BlockId(u128::from(number)),
                shard: ShardId(1),
                range: BlockRange::new(0, 100),
                level: number,
                cut_index: 1,
                series: 2,
                samples: 3,
                external_labels: BTreeMap::new(),
                parents: Vec::new(),
                resolution_ms: 0,
                sort_range: SortRange::ALL,
                series_object: object.clone(),
                chunks_object: object.clone(),
            },
            tombstoned: None,
            set_aside: (number == 2).then(|| "damaged".to_owned()),
            deletes: 0,
        };
        BlocksPage { total: 3, blocks: (0..3).skip(offset).take(limit).map(block).collect() }
    }
}

/// Counts queries.
#[derive(Default)]
pub(crate) struct Counts {
    /// Queries under way.
    pub(crate) running: AtomicUsize,
    /// Queries that had a result.
    pub(crate) succeeded: AtomicUsize,
}

impl QueryObserver for Counts {
    fn started(&self) {
        self.running.fetch_add(1, Ordering::SeqCst);
    }

    fn finished(&self, report: &QueryReport) {
        self.running.fetch_sub(1, Ordering::SeqCst);
        self.succeeded.fetch_add(usize::from(report.succeeded), Ordering::SeqCst);
    }
}

/// Returns the routes over some data.
pub(crate) fn routes(memory: Memory) -> Router {
    counted_routes(memory, Arc::default())
}

/// Returns the routes over some data, with the given counter of queries.
pub(crate) fn counted_routes(memory: Memory, counts: Arc<Counts>) -> Router {
    limited_routes(memory, counts, promql::EngineConfig::default(), QueryLimits::default()).0
}

/// Returns the routes over some data with limits, and the queries behind them.
pub(crate) fn limited_routes(
    memory: Memory,
    counts: Arc<Counts>,
    engine: promql::EngineConfig,
    limits: QueryLimits,
) -> (Router, Arc<Queries>) {
    let queries = Arc::new(Queries::new(QueryPorts {
        engine: Arc::new(promql::Engine::new(engine)),
        views: Arc::new(OneView(Arc::new(memory))),
        observer: counts,
        limits,
        now_ms: || NOW_MS,
    }));
    (routes_of(Arc::clone(&queries), None), queries)
}

/// Returns the routes over some data, with what changes it.
pub(crate) fn admin_routes(memory: Memory, admin: Option<Arc<dyn Admin>>) -> Router {
    let engine = promql::EngineConfig::default();
    let queries = limited_routes(memory, Arc::default(), engine, QueryLimits::default()).1;
    routes_of(queries, admin)
}

fn routes_of(queries: Arc<Queries>, admin: Option<Arc<dyn Admin>>) -> Router {
    api::query_routes(QueryApi {
        admin,
        queries,
        targets: Arc::new(TwoTargets),
        rules: Arc::new(NoRules),
        cluster: Arc::new(SmallCluster),
        status: ProcessStatus {
            version: "0.1.0".into(),
            config_yaml: "global: {}\n".into(),
            ..Default::default()
        },
    })
}

/// Sends a request; returns status, headers and body.
pub(crate) async fn send(router: &Router, request: http::Request<Body>) -> (u16, http::HeaderMap, Vec<u8>) {
    let response = router.clone().oneshot(request).await.expect("routers do not fail");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("the body is in memory");
    (parts.status.as_u16(), parts.headers, body.to_vec())
}
