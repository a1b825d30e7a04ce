//! Native histograms and what bounds a query: they count by their size, and take the ways that floats take.

use std::sync::Arc;

use promql::{Engine, EngineConfig, MatrixSeries, QueryError, QueryOptions, QueryResult, Value};
use storage::Queryable;

use crate::promqltest::script::LoadedSeries;
use crate::promqltest::storage::Memory;
use crate::promqltest::values::parse_series;

fn memory(lines: &[String]) -> Arc<dyn Queryable> {
    let mut memory = Memory::default();
    let load = |line: &String| LoadedSeries {
        line: parse_series(line).expect("a series line").expect("values"),
        interval_ms: 60_000,
        starts: Vec::new(),
    };
    memory.load(lines.iter().map(load).collect());
    memory.snapshot()
}

/// Returns series of histograms, some of which turn into floats and back.
fn many(count: usize) -> Arc<dyn Queryable> {
    let line = |i: usize| {
        let scale = 0.1 * i as f64 + 1e-3;
        let histogram = |buckets: &str| format!("{{{{schema:0 count:9 sum:{scale} buckets:[{buckets}]}}}}");
        let (first, step) = (histogram("4 5"), histogram("3 2 4"));
        let floats = if i.is_multiple_of(5) { "1 2 _" } else { "" };
        format!("h_total{{i=\"{i}\",g=\"{}\"}} {first}+{step}x4 {floats} {step}+{first}x3", i % 7)
    };
    memory(&(0..count).map(line).collect::<Vec<_>>())
}

async fn range(
    config: EngineConfig,
    data: Arc<dyn Queryable>,
    query: &str,
) -> Result<QueryResult, QueryError> {
    Engine::new(config).range(data, query, 0, 600_000, 30_000, &QueryOptions::default()).await
}

fn texts(value: Value) -> Vec<String> {
    let Value::Matrix(series) = value else { panic!("a matrix") };
    let text = |MatrixSeries { labels, points, histograms }| {
        let bits: Vec<_> = points.iter().map(|(time, value)| (time, value.to_bits())).collect();
        format!("{labels} {bits:?} {histograms:?}")
    };
    series.into_iter().map(text).collect()
}

#[tokio::test]
async fn streamed_aggregations_of_histograms_equal_those_of_a_table() {
    let data = many(700);
    for op in ["sum", "avg", "min", "count", "group", "stddev"] {
        for grouping in ["", " by (g)", " without (i)"] {
            for operand in ["h_total", "(rate(h_total[3m]))", "last_over_time(h_total[90s])"] {
                // A union with nothing changes nothing, except that a table is built.
                let streamed = format!("{op}{grouping} ({operand})");
                let table = format!("{op}{grouping} ({operand} or nothing)");
                let mut found = Vec::new();
                for query in [&streamed, &table] {
                    let result = range(EngineConfig::default(), data.clone(), query).await.expect(query);
                    found.push((texts(result.value), result.warnings.len(), result.infos.len()));
                }
                assert_eq!(found[0], found[1], "{streamed}");
            }
        }
    }
}

#[tokio::test]
async fn histograms_count_as_many_samples_as_they_are_large() {
    let buckets = vec!["1"; 160].join(" ");
    let lines: Vec<String> =
        (0..10).map(|i| format!("h{{i=\"{i}\"}} {{{{schema:0 buckets:[{buckets}]}}}}x3")).collect();
    let data = memory(&lines);
    let limited = |samples_max| EngineConfig { samples_max, ..EngineConfig::default() };
    let options = QueryOptions::default();
    // Each takes more than 80 samples for its buckets.
    let engine = Engine::new(limited(500));
    for query in ["h", "h[1m]", "sum(h)", "last_over_time(h[1m])"] {
        let result = engine.instant(data.clone(), query, 60_000, &options).await;
        assert!(matches!(result, Err(QueryError::TooManySamples { .. })), "{query}: {result:?}");
    }
    assert!(engine.instant(data.clone(), "h{i=\"1\"}", 60_000, &options).await.is_ok());
    // Those that only counts are asked for are read without buckets.
    assert!(engine.instant(data.clone(), "histogram_count(h)", 60_000, &options).await.is_ok());
    let engine = Engine::new(limited(10_000));
    let result = engine.instant(data, "count(h)", 60_000, &options).await.expect("within the limit");
    let Value::Vector(samples) = result.value else { panic!("a vector") };
    assert_eq!(samples[0].value, 10.0);
}
