//! What bounds a query, what it refuses, and what it reports beside its value.

use std::future::{pending, ready};
use std::sync::Arc;
use std::time::Duration;

use model::ErrorKind;
use promql::{Engine, EngineConfig, ParserOptions, QueryError, QueryOptions, QueryResult, Value};
use storage::{Queryable, StorageError};

use crate::data::answers;
use crate::promqltest::script::LoadedSeries;
use crate::promqltest::storage::Memory;
use crate::promqltest::values::parse_series;

fn memory(lines: &[String]) -> Arc<dyn Queryable> {
    let mut memory = Memory::default();
    let load = |line: &String| {
        let line = parse_series(line).expect("a series line").expect("values");
        LoadedSeries { line, interval_ms: 60_000, starts: Vec::new() }
    };
    memory.load(lines.iter().map(load).collect());
    memory.snapshot()
}

/// Returns series `m{i="0"}` to `m{i="<count-1>"}` with values `i, i+1, ...`.
fn many(count: usize) -> Arc<dyn Queryable> {
    memory(&(0..count).map(|i| format!("m{{i=\"{i}\",parity=\"{}\"}} {i}+1x9", i % 2)).collect::<Vec<_>>())
}

async fn instant(
    config: EngineConfig,
    data: Arc<dyn Queryable>,
    query: &str,
) -> Result<QueryResult, QueryError> {
    Engine::new(config).instant(data, query, 60_000, &QueryOptions::default()).await
}

fn single_value(result: Result<QueryResult, QueryError>) -> f64 {
    match result.expect("the query succeeds").value {
        Value::Vector(samples) if samples.len() == 1 => samples[0].value,
        other => panic!("expected one sample, got {other:?}"),
    }
}

#[tokio::test]
async fn work_in_blocks_adds_up() {
    let data = many(1000);
    let config = EngineConfig::default;
    assert_eq!(single_value(instant(config(), data.clone(), "sum(m)").await), 500_500.0);
    assert_eq!(single_value(instant(config(), data.clone(), "count(m > 500)").await), 500.0);
    assert_eq!(single_value(instant(config(), data.clone(), "sum(m * on(i) m) - sum(m ^ 2)").await), 0.0);
    assert_eq!(single_value(instant(config(), data.clone(), "max(topk(3, m))").await), 1000.0);
    let result = instant(config(), data.clone(), "sum by (parity) (m)").await.expect("succeeds");
    let Value::Vector(samples) = result.value else { panic!("a vector") };
    let sums: Vec<(&str, f64)> = samples.iter().map(|s| (s.labels.get("parity"), s.value)).collect();
    assert_eq!(sums, [("0", 250_000.0), ("1", 250_500.0)]);
    assert_eq!((result.stats.series, result.stats.samples_read), (1000, 2000));
}

#[tokio::test]
async fn range_queries_over_blocks_have_every_point() {
    let engine = Engine::new(EngineConfig::default());
    let options = QueryOptions::default();
    let result = engine.range(many(600), "m + 1", 0, 540_000, 60_000, &options).await.expect("succeeds");
    let Value::Matrix(series) = result.value else { panic!("a matrix") };
    assert_eq!(series.len(), 600);
    assert!(series.is_sorted_by(|a, b| a.labels < b.labels));
    let expected: Vec<(i64, f64)> = (0..10).map(|step| (step * 60_000, (599 + step + 1) as f64)).collect();
    let last = series.iter().find(|s| s.labels.get("i") == "599").expect("there");
    assert_eq!(last.points, expected);
    assert_eq!(last.labels.metric_name(), "");
}

#[tokio::test]
async fn equal_selectors_are_read_once_for_their_labels() {
    let result = instant(EngineConfig::default(), many(10), "m + m - sum(m) * 0").await;
    assert_eq!(result.map(|r| r.stats.series).unwrap_or(0), 10);
}

#[tokio::test]
async fn too_many_samples_are_refused() {
    let config = EngineConfig { samples_max: 99, ..EngineConfig::default() };
    let error = instant(config.clone(), many(100), "m").await.expect_err("too many");
    assert!(matches!(error, QueryError::TooManySamples { samples_max: 99 }));
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    let text = "query processing would load too many samples into memory in query execution: more than the 99 that \
                --query.max-samples allows";
    assert_eq!(error.to_string(), text);
    assert_eq!(single_value(instant(config, many(50), "count(m)").await), 50.0);
}

/// One query for each way in which the engine makes tables.
const EVERY_WAY: [&str; 16] = [
    "m",
    "m[5m]",
    "m[5m:1m]",
    "rate(m[5m])",
    "sum by (parity) (rate(m[5m]))",
    "sum(m * 1)",
    "topk(3, m)",
    "quantile(0.5, m)",
    "count_values(\"v\", m)",
    "m + on (i) m",
    "m and on (i) (m > 3)",
    "label_replace(m, \"x\", \"$1\", \"i\", \"(.*)\")",
    "sort_desc(-m)",
    "absent(m) or vector(scalar(sum(m)))",
    "sum_over_time((m @ 60)[5m:10s])",
    "m @ 60 + time()",
];

#[tokio::test]
async fn memory_is_counted_and_given_back() {
    let engine = Engine::new(EngineConfig::default());
    let options = QueryOptions::default();
    let data = many(600);
    for query in EVERY_WAY {
        let result = engine.instant(data.clone(), query, 300_000, &options).await.expect(query);
        let peak = result.stats.memory_bytes_peak;
        assert_eq!(engine.memory().used(), result.value.size_bytes(), "{query}");
        assert!(peak >= 600 * 8 && peak >= result.value.size_bytes(), "{query}: {peak}");
        assert!(peak < 2_000_000, "{query}: {peak}");
        drop(result);
        assert_eq!(engine.memory().used(), 0, "{query}");
    }
}

#[tokio::test]
async fn too_much_memory_is_refused_and_nobody_else_notices() {
    let options = QueryOptions::default();
    let engine = Engine::new(EngineConfig { memory_bytes_max: 4000, ..EngineConfig::default() });
    for query in EVERY_WAY {
        let error = engine.instant(many(600), query, 300_000, &options).await.expect_err(query);
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{query}: {error}");
        assert!(
            error.to_string().contains("than the 4000 bytes of memory that --query.max-memory-bytes"),
            "{error}"
        );
        assert_eq!(engine.memory().used(), 0, "{query}");
        assert!(engine.instant(many(2), query, 300_000, &options).await.is_ok(), "{query}");
    }
    let config = EngineConfig { memory_bytes_total_max: 100_000, ..EngineConfig::default() };
    let error = instant(config, many(6000), "m + 1").await.expect_err("too much for the process");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("--query.max-total-memory-bytes"), "{error}");
}

#[tokio::test]
async fn a_query_is_stopped_from_outside() {
    let engine = Engine::new(EngineConfig::default());
    let control = engine.control(None);
    let options = QueryOptions { control: Some(control.clone()), ..QueryOptions::default() };
    let data = answers(|_| pending());
    let mut query = Box::pin(engine.instant(data, "up", 0, &options));
    assert!(futures::poll!(&mut query).is_pending());
    control.cancel();
    let error = query.await.expect_err("stopped");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(error.to_string(), "query was canceled in query execution");
}

#[tokio::test]
async fn senseless_requests_are_invalid() {
    let engine = Engine::new(EngineConfig::default());
    let options = QueryOptions::default();
    for (query, start, end, step) in [
        ("m", 0, 60_000, 0),
        ("m", 60_000, 0, 1000),
        ("m", 0, 11_001_000, 1000),
        ("m[5m]", 0, 60_000, 1000),
        ("\"text\"", 0, 60_000, 1000),
    ] {
        let error = engine.range(many(1), query, start, end, step, &options).await.expect_err(query);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{query}");
    }
    let result = engine.range(many(1), "m", 0, 11_000_000, 1000, &options).await;
    assert!(result.is_ok(), "11,000 steps are allowed");
}

#[tokio::test]
async fn annotations_are_counted_beyond_the_limit() {
    let lines: Vec<String> = (0..13).map(|i| format!("gauge{i} 0+1x5")).collect();
    let query = "count by (x) (last_over_time(rate({__name__=~\"gauge.*\"}[5m])[1m:1m]))";
    let config = EngineConfig { delayed_name_removal: true, ..EngineConfig::default() };
    let infos = instant(config, memory(&lines), query).await.expect("succeeds").infos;
    assert_eq!(infos.len(), 11);
    assert!(infos[0].starts_with("PromQL info: metric might not be a counter"), "{}", infos[0]);
    assert_eq!(infos[10], "3 more info annotations omitted");
}

#[tokio::test]
async fn start_timestamps_are_heeded_only_when_asked_for() {
    let line = parse_series("m_total _ 7").expect("a series line").expect("values");
    let mut memory = Memory::default();
    memory.load(vec![LoadedSeries { line, interval_ms: 60_000, starts: vec![None, Some(-30_000)] }]);
    let data = memory.snapshot();
    let config = |use_start_timestamps| EngineConfig {
        use_start_timestamps,
        parser: ParserOptions::everything(),
        ..EngineConfig::default()
    };
    for (query, expected) in [("increase(m_total[1m])", 7.0), ("start_timestamp(m_total)", 30.0)] {
        assert_eq!(single_value(instant(config(true), data.clone(), query).await), expected, "{query}");
        let result = instant(config(false), data.clone(), query).await.expect(query);
        assert_eq!(result.value, Value::Vector(Vec::new()), "{query}");
    }
}

#[tokio::test]
async fn long_chains_are_evaluated_without_recursion() {
    let query = format!("m{}", " + 1".repeat(5000));
    assert_eq!(single_value(instant(EngineConfig::default(), many(1), &query).await), 5001.0);
    let query = format!("vector(0{})", " + 1".repeat(5000));
    assert_eq!(single_value(instant(EngineConfig::default(), many(1), &query).await), 5000.0);
}

#[tokio::test]
async fn a_subquery_of_one_step_in_parentheses_is_not_repeated() {
    let engine = Engine::new(EngineConfig::default());
    let options = QueryOptions::default();
    let query = "sum_over_time((m[1m:10m]))";
    let result = engine.range(many(1), query, 0, 120_000, 60_000, &options).await.expect("succeeds");
    let Value::Matrix(series) = result.value else { panic!("a matrix") };
    assert_eq!(series[0].points, [(0, 0.0)]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_covers_the_selection() {
    let engine = Engine::new(EngineConfig::default());
    let options = QueryOptions { timeout: Some(Duration::from_secs(7)), ..QueryOptions::default() };
    let start = tokio::time::Instant::now();
    let error = engine.instant(answers(|_| pending()), "up", 0, &options).await.expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let text = "query timed out in query execution: it took longer than the 7s that --query.timeout or the parameter \
                timeout allows";
    assert_eq!(error.to_string(), text);
    assert_eq!(start.elapsed(), Duration::from_secs(7));
}

#[tokio::test]
async fn storage_faults_keep_their_kind() {
    let broken = answers(|_| ready(Err(StorageError::new(ErrorKind::Unavailable, "shard 3 did not answer"))));
    let error = instant(EngineConfig::default(), broken, "up").await.expect_err("broken");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.to_string(), "shard 3 did not answer");
}

#[tokio::test]
async fn streamed_aggregations_equal_those_of_a_table_to_the_last_bit() {
    let parser = ParserOptions::everything();
    let engine = Engine::new(EngineConfig { parser, ..EngineConfig::default() });
    let options = QueryOptions::default();
    let lines: Vec<String> = (0..700)
        .map(|i| {
            let scale = f64::from(i) * 0.1 + 1e-3;
            format!("m_total{{i=\"{i}\",g=\"{}\"}} {scale}+{}x4 _ {}+0.7x4", i % 7, scale / 3.0, scale * 1e9)
        })
        .collect();
    let data = memory(&lines);
    for op in ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"] {
        for grouping in ["", " by (g)", " without (i)"] {
            let plain = ["m_total", "(rate(m_total[3m]))", "last_over_time(m_total[90s])"];
            let extended =
                ["m_total smoothed", "increase(m_total[90s] smoothed)", "resets(m_total[3m] anchored)"];
            for operand in plain.into_iter().chain(extended) {
                // Times one changes nothing, except that a table is built.
                let streamed = format!("{op}{grouping} ({operand})");
                let table = format!("{op}{grouping} ({operand} * 1)");
                let mut values = Vec::new();
                for query in [&streamed, &table] {
                    let result = engine.range(data.clone(), query, 0, 600_000, 30_000, &options).await;
                    let Value::Matrix(series) = result.expect(query).value else { panic!("a matrix") };
                    let bits = |points: &[(i64, f64)]| -> Vec<(i64, u64)> {
                        points.iter().map(|(time, value)| (*time, value.to_bits())).collect()
                    };
                    let series: Vec<_> = series.iter().map(|s| (s.labels.clone(), bits(&s.points))).collect();
                    assert_eq!(series.len(), if grouping.is_empty() { 1 } else { 7 }, "{query}");
                    values.push(series);
                }
                assert_eq!(values[0], values[1], "{streamed}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_few_small_inputs_grow_to_is_reserved_first() {
    let engine = Engine::new(EngineConfig {
        memory_bytes_max: 4 << 20,
        parser: ParserOptions::everything(),
        ..EngineConfig::default()
    });
    let at = |step: usize| format!("n{{j=\"{step}\"}} _x{step} {step}");
    let mut lines: Vec<String> = (0..200).map(|i| format!("m{{i=\"{i}\"}} 1x200")).collect();
    lines.extend((1..=200).map(at));
    let data = memory(&lines);
    let long = "x".repeat(100_000);
    let grow = [
        // Each row of `m` meets each row of `n`, at another step.
        "m + on() group_left(j) n".to_owned(),
        // A series for each step.
        "histogram_quantiles(label_replace(m, \"le\", \"+Inf\", \"\", \"\"), \"q\", time() / 1e6)".to_owned(),
        format!("label_replace(m, \"long\", \"{long}\", \"\", \"\")"),
        format!("label_join(m, \"long\", \"{long}\", \"i\", \"i\")"),
    ];
    for query in grow {
        let options = QueryOptions { lookback_ms: Some(30_000), ..QueryOptions::default() };
        let result = engine.range(Arc::clone(&data), &query, 0, 12_000_000, 60_000, &options).await;
        let error = result.map(|result| result.value).expect_err(&query[..20]);
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
        assert_eq!(engine.memory().used(), 0, "{}", &query[..20]);
    }
}

#[tokio::test]
async fn what_info_reads_is_explained() {
    let config = EngineConfig { parser: ParserOptions::everything(), ..EngineConfig::default() };
    let data = memory(&["m{instance=\"a\"} 1", "target_info{instance=\"a\",v=\"1\"} 1"].map(str::to_owned));
    let options = QueryOptions { explain: true, ..QueryOptions::default() };
    let result = Engine::new(config).instant(data, "info(m, {v=~\".+\"})", 0, &options).await;
    let explained = result.expect("succeeds").explanation.expect("it was asked for");
    let selects: Vec<_> = explained.selects.iter().map(|select| (&select.nodes, select.series)).collect();
    let call = explained.nodes.len() - 1;
    assert_eq!(selects, [(&vec![0], Some(1)), (&vec![call], Some(1))]);
}
