//! Queries pushed to whoever holds the data say what the same queries say when all samples come to one place.
//!
//! Data is divided by series and, within a division, by time; each side evaluates with an engine of its own and sees
//! nothing of the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use model::{ErrorKind, FloatHistogram, LabelSet, MetricMetadata, TimeRange};
use promql::{
    Engine, EngineConfig, MatrixSeries, ParserOptions, QueryError, QueryOptions, QueryResult, Value,
};
use proptest::prelude::*;
use storage::{
    Division, Evaluated, Evaluator, LabelRequest, Labelled, QueryMemory, Queryable, SampleSource, Samples,
    SelectRequest, Series, SeriesSet, StorageError,
};

use crate::promqltest::script::LoadedSeries;
use crate::promqltest::storage::Memory;
use crate::promqltest::values::parse_series;
use crate::random;

/// Of some data, some series and some time.
struct Cut {
    data: Arc<dyn Queryable>,
    parts: u64,
    part: u64,
    held: TimeRange,
}

struct CutSource {
    samples: Arc<dyn SampleSource>,
    held: TimeRange,
}

impl SampleSource for CutSource {
    fn read(&self, range: TimeRange, out: &mut Samples) -> Result<(), StorageError> {
        self.samples.read(range.intersect(&self.held), out)
    }
    fn sample_count_max(&self) -> usize {
        self.samples.sample_count_max()
    }
}

#[async_trait]
impl Queryable for Cut {
    async fn select(&self, request: &SelectRequest, memory: &QueryMemory) -> Result<SeriesSet, StorageError> {
        let mut set = self.data.select(request, memory).await?;
        set.series.retain(|series| series.labels.stable_hash() % self.parts == self.part);
        let cut = |Series { labels, samples }| Series {
            labels,
            samples: Arc::new(CutSource { samples, held: self.held }) as Arc<dyn SampleSource>,
        };
        set.series = set.series.into_iter().map(cut).collect();
        Ok(set)
    }

    async fn label_names(&self, _: &LabelRequest) -> Result<Labelled<String>, StorageError> {
        Ok(Labelled::default())
    }

    async fn label_values(&self, _: &str, _: &LabelRequest) -> Result<Labelled<String>, StorageError> {
        Ok(Labelled::default())
    }

    async fn series(&self, _: &LabelRequest) -> Result<Labelled<LabelSet>, StorageError> {
        Ok(Labelled::default())
    }

    async fn metadata(&self, _: Option<&str>) -> Result<Vec<MetricMetadata>, StorageError> {
        Ok(Vec::new())
    }
}

/// How an evaluator behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Answers,
    /// Does not know this version's fragments.
    Declines,
    IsAway,
    /// Sends something else.
    Babbles,
}

struct Peer {
    manner: Manner,
    engine: Engine,
    data: Arc<Cut>,
}

#[async_trait]
impl Evaluator for Peer {
    fn name(&self) -> String {
        format!("peer {}", self.data.part)
    }

    async fn evaluate(
        &self,
        fragment: Bytes,
        needed: TimeRange,
        _: &QueryMemory,
    ) -> Result<Option<Evaluated>, StorageError> {
        let held = self.data.held;
        assert!(held.start <= needed.start && needed.end <= held.end, "{needed:?} is not all in {held:?}");
        let frames = match self.manner {
            Manner::Answers => {
                let data = Arc::clone(&self.data) as Arc<dyn Queryable>;
                let frames = self.engine.evaluate_fragment(data, &fragment).await;
                frames.map_err(|error| StorageError::new(error.kind(), error.to_string()))?
            }
            Manner::Declines => None,
            Manner::IsAway => return Err(StorageError::new(ErrorKind::Unavailable, "gone")),
            Manner::Babbles => Some(vec![Bytes::from_static(b"\x01\x00\x07babble")]),
        };
        Ok(frames.map(|frames| Evaluated { frames, memory: None }))
    }
}

/// Data with divisions: for each the seam and the manners of those before and after it.
struct Divided {
    data: Arc<dyn Queryable>,
    engine: Engine,
    divisions: Vec<(i64, [Manner; 2])>,
}

impl Divided {
    fn cut(&self, part: usize, held: TimeRange) -> Arc<Cut> {
        let (data, parts) = (Arc::clone(&self.data), self.divisions.len() as u64);
        Arc::new(Cut { data, parts, part: part as u64, held })
    }
}

#[async_trait]
impl Queryable for Divided {
    async fn select(&self, request: &SelectRequest, memory: &QueryMemory) -> Result<SeriesSet, StorageError> {
        self.data.select(request, memory).await
    }

    async fn label_names(&self, request: &LabelRequest) -> Result<Labelled<String>, StorageError> {
        self.data.label_names(request).await
    }

    async fn label_values(&self, name: &str, of: &LabelRequest) -> Result<Labelled<String>, StorageError> {
        self.data.label_values(name, of).await
    }

    async fn series(&self, request: &LabelRequest) -> Result<Labelled<LabelSet>, StorageError> {
        self.data.series(request).await
    }

    async fn metadata(&self, family: Option<&str>) -> Result<Vec<MetricMetadata>, StorageError> {
        self.data.metadata(family).await
    }

    fn divisions(&self) -> Vec<Division> {
        let division = |(part, (seam_ms, manners)): (usize, &(i64, [Manner; 2]))| {
            let peer = |manner, start, end| -> Arc<dyn Evaluator> {
                let data = self.cut(part, TimeRange::new(start, end));
                Arc::new(Peer { manner, engine: self.engine.clone(), data })
            };
            Division {
                seam_ms: *seam_ms,
                before: peer(manners[0], i64::MIN, seam_ms.saturating_sub(1)),
                after: peer(manners[1], *seam_ms, i64::MAX),
                raw: self.cut(part, TimeRange::ALL),
            }
        };
        self.divisions.iter().enumerate().map(division).collect()
    }
}

/// Divides the data of a script, with seams among its usual times.
pub(crate) fn divided(data: Arc<dyn Queryable>, engine: &Engine) -> Arc<dyn Queryable> {
    let divisions = [i64::MIN, 330_000, 1_200_000].map(|seam_ms| (seam_ms, [Manner::Answers; 2]));
    Arc::new(Divided { data, engine: engine.clone(), divisions: divisions.into() })
}

/// Has all data evaluated by one peer.
pub(crate) fn elsewhere(data: Arc<dyn Queryable>, engine: &Engine) -> Arc<dyn Queryable> {
    let divisions = vec![(i64::MIN, [Manner::Answers; 2])];
    Arc::new(Divided { data, engine: engine.clone(), divisions })
}

/// A query's times.
#[derive(Clone, Copy, Debug)]
struct Times {
    start_ms: i64,
    step_ms: i64,
    steps: i64,
}

async fn evaluate(
    engine: &Engine,
    data: Arc<dyn Queryable>,
    query: &str,
    times: Times,
    pushdown: bool,
) -> Result<QueryResult, QueryError> {
    let options = QueryOptions { pushdown: Some(pushdown), ..QueryOptions::default() };
    let Times { start_ms, step_ms, steps } = times;
    if steps == 1 {
        return engine.instant(data, query, start_ms, &options).await;
    }
    engine.range(data, query, start_ms, start_ms + (steps - 1) * step_ms, step_ms, &options).await
}

/// All samples by labels and time.
fn samples(value: &Value) -> BTreeMap<(String, i64), f64> {
    match value {
        Value::Scalar { time_ms, value } => [((String::new(), *time_ms), *value)].into(),
        Value::String { .. } => BTreeMap::new(),
        Value::Vector(samples) => {
            samples.iter().map(|s| ((s.labels.to_string(), s.time_ms), s.value)).collect()
        }
        Value::Matrix(series) => {
            let points =
                series.iter().flat_map(|s| s.points.iter().map(|(t, v)| ((s.labels.to_string(), *t), *v)));
            points.collect()
        }
    }
}

/// All native histograms by labels and time.
fn histograms(value: &Value) -> BTreeMap<(String, i64), Arc<FloatHistogram>> {
    match value {
        Value::Vector(samples) => {
            let held = samples.iter().filter_map(|s| Some((s, s.histogram.as_ref()?)));
            held.map(|(s, held)| ((s.labels.to_string(), s.time_ms), Arc::clone(held))).collect()
        }
        Value::Matrix(series) => {
            let of = |s: &MatrixSeries| {
                let labels = s.labels.to_string();
                let held = s.histograms.iter();
                held.map(|(time, held)| ((labels.clone(), *time), Arc::clone(held))).collect::<Vec<_>>()
            };
            series.iter().flat_map(of).collect()
        }
        _ => BTreeMap::new(),
    }
}

/// How equal values must be.
#[derive(Clone, Copy, Debug)]
struct Precision {
    /// 0, or how much of a value sums in another order may lose.
    relative: f64,
    /// Of zeros, the first one stays the least or greatest.
    zeros_have_signs: bool,
}

impl Precision {
    fn of(query: &str) -> Self {
        let any = |words: &[&str]| words.iter().any(|word| query.contains(word));
        // These occur as names of functions as well, which only makes the test milder.
        let relative = if any(&["sum", "avg", "stddev", "stdvar"]) { 1e-12 } else { 0.0 };
        Self { relative, zeros_have_signs: relative == 0.0 && !any(&["min", "max"]) }
    }

    fn holds(self, a: f64, b: f64) -> bool {
        let is_near = (a - b).abs() <= self.relative * a.abs().max(b.abs());
        let signs_agree = !self.zeros_have_signs || a.is_sign_negative() == b.is_sign_negative();
        a.is_nan() && b.is_nan() || (a == b || is_near) && signs_agree
    }

    fn holds_for(self, a: &FloatHistogram, b: &FloatHistogram) -> bool {
        let layout = |h: &FloatHistogram| {
            let bounds: Vec<u64> = h.custom_bounds.iter().map(|bound| bound.to_bits()).collect();
            let spans = (h.positive_spans.clone(), h.negative_spans.clone());
            (h.reset_hint, h.schema, h.zero_threshold.to_bits(), spans, bounds)
        };
        let numbers = |h: &FloatHistogram| {
            let buckets = h.positive_buckets.iter().chain(&h.negative_buckets);
            [h.count, h.sum, h.zero_count].iter().chain(buckets).copied().collect::<Vec<f64>>()
        };
        layout(a) == layout(b) && numbers(a).iter().zip(&numbers(b)).all(|(a, b)| self.holds(*a, *b))
    }
}

/// Tells what is different, if anything.
fn difference(
    query: &str,
    central: &Result<QueryResult, QueryError>,
    pushed: &Result<QueryResult, QueryError>,
) -> Option<String> {
    let precision = Precision::of(query);
    let (central, pushed) = match (central, pushed) {
        (Ok(central), Ok(pushed)) => (central, pushed),
        (Err(central), Err(pushed)) if central.kind() == pushed.kind() => return None,
        _ => return Some(format!("{central:?}\nis pushed {pushed:?}")),
    };
    let (expected, got) = (samples(&central.value), samples(&pushed.value));
    let same = expected.len() == got.len()
        && expected.iter().zip(&got).all(|((ka, a), (kb, b))| ka == kb && precision.holds(*a, *b));
    if !same {
        return Some(format!("{expected:?}\nis pushed {got:?}"));
    }
    let (expected, got) = (histograms(&central.value), histograms(&pushed.value));
    let same = expected.len() == got.len()
        && expected.iter().zip(&got).all(|((ka, a), (kb, b))| ka == kb && precision.holds_for(a, b));
    if !same {
        return Some(format!("{expected:?}\nis pushed {got:?}"));
    }
    let notes = |result: &QueryResult| (result.warnings.clone(), result.infos.clone());
    (notes(central) != notes(pushed)).then(|| format!("{:?}\nis pushed {:?}", notes(central), notes(pushed)))
}

/// Queries of which a part distributes, more often than among all.
fn query() -> impl Strategy<Value = String> {
    let over = prop::sample::select(vec![
        "topk by (x) (2, #)",
        "bottomk(1, #)",
        "topk(scalar(count(n)), #)",
        "limitk(2, #)",
        "limit_ratio(-0.4, #)",
        "sum without (x) (#)",
        "avg(# * 3)",
        "stdvar by (y) (# > 2)",
        "group by (x) (#)",
        "count_values by (y) (\"v\", #)",
        "vector(scalar(#)) + 1",
        "absent(#) or absent(m)",
        "sum(#)",
        "avg by (x) (#)",
        "sum by (y) (-#)",
        "avg(# / 3)",
        "histogram_quantile(0.9, sum(#))",
        "histogram_quantile(0.5, #)",
        "sum by (x) (sum_over_time((-#)[40s:10s] offset 15s))",
        "max(# @ end()) - min(# @ start())",
        "(# @ 70)",
        "sum by (z) (label_join(#, \"z\", \"-\", \"x\", \"y\"))",
    ]);
    let wrapped = (over, random::leaf()).prop_map(|(over, leaf)| {
        let pinned = leaf.contains('@') || leaf.contains('(') || leaf.contains("offset");
        if over.contains('@') && pinned { format!("max({leaf})") } else { over.replace('#', &leaf) }
    });
    prop_oneof![random::query(), wrapped]
}

fn manner() -> impl Strategy<Value = Manner> {
    prop_oneof![
        6 => Just(Manner::Answers),
        1 => Just(Manner::Declines),
        1 => Just(Manner::IsAway),
        1 => Just(Manner::Babbles),
    ]
}

fn divisions() -> impl Strategy<Value = Vec<(i64, [Manner; 2])>> {
    let seam = prop_oneof![
        Just(i64::MIN),
        Just(i64::MAX),
        (-100_000..300_000i64),
        (0..20i64).prop_map(|i| i * 10_000)
    ];
    prop::collection::vec((seam, [manner(), manner()]), 1..4)
}

fn times() -> impl Strategy<Value = Times> {
    (-3..30i64, 1..4i64, prop::sample::select(vec![1, 2, 7, 12])).prop_map(|(start, step, steps)| Times {
        start_ms: start * 7_000,
        step_ms: step * 9_000,
        steps,
    })
}

fn config(delayed_name_removal: bool) -> EngineConfig {
    EngineConfig {
        parser: ParserOptions::everything(),
        delayed_name_removal,
        use_start_timestamps: true,
        ..EngineConfig::default()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn pushed_is_central(
        query in query(),
        series in prop::collection::vec((random::points(), random::starts()), 5),
        divisions in divisions(),
        times in times(),
        delayed in any::<bool>(),
    ) {
        let engine = Engine::new(config(delayed));
        let data = random::load(series).snapshot();
        let divided = Arc::new(Divided { data, engine: engine.clone(), divisions });
        let result = |pushdown| runtime().block_on(evaluate(&engine, divided.clone(), &query, times, pushdown));
        let pushed = result(true);
        let problem = difference(&query, &result(false), &pushed);
        prop_assert!(problem.is_none(), "{} at {:?}: {}", query, times, problem.unwrap_or_default());
    }
}

fn memory(lines: &[&str]) -> Arc<dyn Queryable> {
    let mut memory = Memory::default();
    let load = |line: &&str| {
        let line = parse_series(line).expect("a series line").expect("values");
        LoadedSeries { line, interval_ms: 10_000, starts: Vec::new() }
    };
    memory.load(lines.iter().map(load).collect());
    memory.snapshot()
}

const LINES: [&str; 16] = [
    "h{x=\"1\"} {{schema:0 sum:5 count:4 buckets:[1 2 1]}}+{{schema:0 sum:5 count:4 buckets:[1 2 1]}}x25",
    "h{x=\"2\"} {{schema:1 sum:1 count:1 buckets:[1]}}x12 _ 4 5 6 {{schema:1 sum:1 count:3 buckets:[1 2]}}x8",
    "m{x=\"1\", y=\"1\"} 1+1x30",
    "m{x=\"1\", y=\"2\"} 2+3x30",
    "m{x=\"2\", y=\"1\"} 0 0 5 5 5 9 _ _ 1 2 3 4 5 6 7 7 7 7 8 9 10",
    "m{x=\"2\", y=\"3\"} 1e300 -1e300 NaN 4 _ _ _ 5+0x20",
    "n{x=\"1\"} 5+5x30",
    "n{x=\"2\"} 1+1x30",
    "w{x=\"1\"} {{schema:1 z_bucket:1 z_bucket_w:0.1 sum:5 count:4 buckets:[1 2]}}x30",
    "w{x=\"2\"} {{schema:0 z_bucket:1 z_bucket_w:0.2 sum:5 count:4 buckets:[1 2]}}x30",
    "w{x=\"3\"} {{schema:1 z_bucket:1 z_bucket_w:0.3 sum:5 count:4 buckets:[1 2]}}x30",
    "w{x=\"4\"} {{schema:0 z_bucket:1 z_bucket_w:0.4 sum:5 count:4 buckets:[1 2]}}x30",
    "c{x=\"1\"} {{schema:-53 custom_values:[1 2] sum:5 count:3 buckets:[1 2]}}x30",
    "c{x=\"2\"} {{schema:0 sum:5 count:3 buckets:[1 2]}}x30",
    "c{x=\"3\"} {{schema:-53 custom_values:[1 2] sum:5 count:3 buckets:[1 2]}}x30",
    "c{x=\"4\"} {{schema:0 sum:5 count:3 buckets:[1 2]}}x30",
];

/// Evaluates over three divisions, the second of which has only samples after the seam.
async fn check(query: &str) -> QueryResult {
    let engine = Engine::new(config(false));
    let answers = [Manner::Answers; 2];
    let divisions = vec![(100_000, answers), (i64::MIN, answers), (145_000, answers)];
    let divided = Arc::new(Divided { data: memory(&LINES), engine: engine.clone(), divisions });
    let mut last = None;
    for steps in [13, 1] {
        let times = Times { start_ms: 60_000 + 120_000 / steps, step_ms: 10_000, steps };
        let central = evaluate(&engine, divided.clone(), query, times, false).await;
        let pushed = evaluate(&engine, divided.clone(), query, times, true).await;
        assert_eq!(difference(query, &central, &pushed), None, "{query} at {times:?}");
        last = pushed.ok();
    }
    last.unwrap_or_else(|| panic!("{query} has no result"))
}

/// Evaluates, and tells whether others took part.
async fn is_pushed(query: &str) -> bool {
    let runs = check(query).await.pushed.runs;
    // Two divisions have a seam that a step may lie across; all else must have been answered, and understood.
    let here = runs.iter().filter(|run| run.owner == promql::PushedRun::HERE).count();
    assert!(here <= 2, "{query}: {runs:?}");
    !runs.is_empty()
}

#[tokio::test]
async fn what_distributes_is_pushed() {
    for query in [
        "sum by (x) (rate(m[1m]))",
        "avg(m)",
        "avg without (y) (m * 2 > 4)",
        "stddev by (x) (m)",
        "count_values(\"v\", m)",
        "topk(2, m)",
        "bottomk by (x) (1, -m)",
        "limitk(1, m)",
        "limit_ratio(0.5, m)",
        "absent(m{x=\"7\"})",
        "absent_over_time(m[30s])",
        "scalar(n{x=\"1\"}) + scalar(m)",
        "quantile(0.5, rate(m[1m]))",
        "rate(m[1m]) / on (x) group_left () rate(n[1m])",
        "max_over_time(sum(rate(m[1m]))[1m:20s])",
        "max by (x) (max_over_time(rate(m[30s])[1m:20s] offset 30s))",
        "sum(m @ 120)",
        "sum(m @ end()) + sum(m offset -20s)",
        "(rate(m[30s] @ 120))",
        "clamp_max(timestamp(m), time() - 5)",
        "sum by (z) (label_replace(rate(m[1m]), \"z\", \"$1\", \"y\", \"(.*)\"))",
        "label_replace(rate(m[1m]), \"y\", \"no $1\", \"y\", \"(.*)\")",
        "sort_desc(sum by (x) (m))",
        "h",
        "rate(h[1m])",
        "count by (x) (h) + group(h) + max(h)",
        "histogram_count(h)",
        "limitk(2, h)",
        "histogram_count(sum(h))",
        "avg by (x) (h)",
        "sum({__name__=~\"h|m\"})",
        "avg(h @ 120) + sum(rate(h[1m]))",
        "sum(rate(m[40s] anchored)) + sum(increase(m[40s] smoothed))",
    ] {
        assert!(is_pushed(query).await, "{query}");
    }
}

#[tokio::test]
async fn what_does_not_distribute_stays() {
    for query in [
        "time()",
        "vector(1)",
        "m + on (x) group_left () n",
        "rate({__name__=~\"m|n\"}[1m])",
        "hour()",
        // Whether the zero bucket is widened before buckets are made coarser is up to the order of all series.
        "sum(w)",
        // Who is named as the one with custom buckets, as well.
        "sum(c)",
        // Labels that are overwritten may be those of a series elsewhere.
        "sum by (y) (label_replace(rate(m[1m]), \"y\", \"$1\", \"y\", \"(.*)\"))",
    ] {
        let result = check(query).await;
        let runs = result.pushed.runs;
        assert!(runs.is_empty() || query.starts_with("m +"), "{query}: {runs:?}");
    }
    // Too many nodes to find a seam for each.
    let chain = vec!["sum(m)"; 1000].join(" or ");
    assert!(!is_pushed(&chain).await, "a chain of 1,000 sums");
}

#[tokio::test]
async fn the_report_says_who_evaluated_what() {
    let report = check("sum(m)").await.pushed;
    let owners: Vec<&str> = report.runs.iter().map(|run| run.owner.as_str()).collect();
    assert_eq!(owners.len(), 3, "one instant, one run a division: {owners:?}");
    assert!(report.runs.iter().all(|run| run.nodes == [(1, 0, 1)]), "{report:?}");
    assert_eq!(report.runs.iter().map(|run| run.series).sum::<u64>(), 4);
    let stats = check("m").await.stats;
    assert_eq!(stats.series, 4, "a selector that is pushed is not read here as well");
    assert!(report.runs.iter().any(|run| run.owner.starts_with("peer") && run.bytes > 0), "{report:?}");
}
