//! Random queries over random data: nothing panics, and a range query says at each step what an instant query says there.

use std::collections::BTreeMap;

use model::{FloatHistogram, LabelSet};
use promql::{Engine, EngineConfig, MatrixSeries, ParserOptions, QueryError, QueryOptions, Value};
use proptest::prelude::*;

use crate::promqltest::script::LoadedSeries;
use crate::promqltest::storage::Memory;
use crate::promqltest::values::{Point, SeriesLine, parse_values};

const STEP_MS: i64 = 20_000;

pub(crate) fn leaf() -> impl Strategy<Value = String> {
    let selector =
        prop::sample::select(vec!["m", "n", "{x=\"1\"}", "m{y!=\"1\"}", "{__name__=~\"m|n\",x=~\"1|2\"}"]);
    let at = prop::sample::select(vec!["", "", "", " offset 35s", " offset -1m", " @ 40"]);
    let range = prop::sample::select(vec!["[1m]", "[45s]", "[2m:30s]", "[1m:7s]", "[50s:]"]);
    let function = prop::sample::select(vec![
        "rate",
        "increase",
        "delta",
        "irate",
        "idelta",
        "resets",
        "changes",
        "deriv",
        "sum_over_time",
        "avg_over_time",
        "min_over_time",
        "max_over_time",
        "count_over_time",
        "last_over_time",
        "stddev_over_time",
        "present_over_time",
        "absent_over_time",
        "mad_over_time",
    ]);
    let extended = prop::sample::select(vec![
        ("rate", " anchored"),
        ("increase", " anchored"),
        ("delta", " anchored"),
        ("resets", " anchored"),
        ("changes", " anchored"),
        ("rate", " smoothed"),
        ("increase", " smoothed"),
        ("delta", " smoothed"),
    ]);
    let mode = prop::sample::select(vec!["", "", " smoothed"]);
    let instant =
        (selector.clone(), mode, at.clone()).prop_map(|(selector, mode, at)| format!("{selector}{mode}{at}"));
    let over_range = (function, selector.clone(), range, at.clone())
        .prop_map(|(function, selector, range, at)| format!("{function}({selector}{range}{at})"));
    let over_extended = (extended, selector, prop::sample::select(vec!["[1m]", "[15s]"]), at).prop_map(
        |((function, mode), selector, range, at)| format!("{function}({selector}{range}{mode}{at})"),
    );
    prop_oneof![2 => instant, 2 => over_range, 1 => over_extended]
}

pub(crate) fn query() -> impl Strategy<Value = String> {
    leaf().prop_recursive(4, 24, 2, |inner| {
        let operators = prop::sample::select(vec![
            "+",
            "-",
            "*",
            "/",
            "% on(x)",
            "^ ignoring(y)",
            "and",
            "or on(x)",
            "unless",
            "==",
            "> bool",
            "<= on(x, y)",
            "* on(x) group_left(y)",
            "/ ignoring(y) group_right()",
            "- fill(0)",
            "atan2 fill_left(1)",
            "</",
            ">/ on(x, y)",
            "!=",
        ]);
        let aggregations = prop::sample::select(vec![
            "sum",
            "avg by (x)",
            "max without (y)",
            "count by (y)",
            "max by (x) (topk by (x) (2, ",
            "min by (x) (bottomk by (x) (1, ",
            "quantile(0.3, ",
            "stddev by (x)",
            "count_values(\"v\", ",
        ]);
        let functions = prop::sample::select(vec![
            "-",
            "abs",
            "timestamp",
            "start_timestamp",
            "absent",
            "hour",
            "histogram_quantile(0.5, ",
            "histogram_fraction(0, 2, ",
            "histogram_count",
            "histogram_avg",
            "histogram_stddev",
            "clamp_min(1, ",
            "label_replace(\"z\", \"$1\", \"x\", \"(.*)\", ",
            "label_join(\"x\", \"-\", \"y\", ",
            "sum_over_time[1m:15s]",
            "vector(scalar(",
            "round",
        ]);
        let wrap = |head: &str, inner: &str| match head {
            "sum_over_time[1m:15s]" => format!("sum_over_time(({inner})[1m:15s] offset 10s)"),
            "vector(scalar(" => format!("vector(scalar({inner}))"),
            head if head.starts_with("clamp_min(") => format!("clamp_min({inner}, 1)"),
            head if head.starts_with("label_") => {
                let (name, rest) = head.split_once('(').expect("a call");
                format!("{name}({inner}, {})", rest.trim_end_matches(", "))
            }
            // The order of a ranking is not specified, and later ties follow it: so rankings are aggregated at once.
            head if head.contains("topk") || head.contains("bottomk") => format!("{head}{inner}))"),
            head if head.ends_with(", ") => format!("{head}{inner})"),
            head => format!("{head}({inner})"),
        };
        prop_oneof![
            (inner.clone(), operators, inner.clone()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            (aggregations, inner.clone()).prop_map(move |(head, inner)| wrap(head, &inner)),
            (functions, inner).prop_map(move |(head, inner)| wrap(head, &inner)),
        ]
    })
}

pub(crate) fn points() -> impl Strategy<Value = Vec<Point>> {
    let point = prop_oneof![
        4 => (0..20i32).prop_map(|v| Point::Float(f64::from(v))),
        1 => Just(Point::Absent),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, -0.0, -3.5, 1e300]).prop_map(Point::Float),
        1 => Just(Point::Float(model::stale_nan())),
        3 => histogram(),
    ];
    prop::collection::vec(point, 0..20)
}

/// A native histogram: of one of few layouts, so that most of a query's fit each other.
fn histogram() -> impl Strategy<Value = Point> {
    let layout = prop::sample::select(vec![
        "schema:0 buckets:[B]",
        "schema:0 offset:-1 buckets:[B] n_buckets:[B]",
        "schema:1 z_bucket:2 z_bucket_w:0.1 buckets:[B]",
        "schema:0 counter_reset_hint:gauge buckets:[B]",
        "schema:0 counter_reset_hint:reset buckets:[B]",
        "schema:0 counter_reset_hint:not_reset buckets:[B]",
        "schema:-53 custom_values:[1 2.5] buckets:[B]",
        "schema:-53 custom_values:[2.5] buckets:[B]",
    ]);
    let sum = prop::sample::select(vec!["0", "7.5", "-3", "NaN"]);
    (layout, sum, prop::collection::vec(0..9u8, 2)).prop_map(|(layout, sum, counts)| {
        let buckets = counts.iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
        let count: u32 = counts.iter().map(|count| u32::from(*count)).sum();
        let text = format!("{{{{count:{count} sum:{sum} {}}}}}", layout.replace('B', &buckets));
        parse_values(&text).expect("a histogram").remove(0)
    })
}

/// Start timestamps relative to their points.
pub(crate) fn starts() -> impl Strategy<Value = Vec<Option<i64>>> {
    prop::collection::vec(prop::option::of(-25_000..=1i64), 0..20)
}

pub(crate) fn load(series: Vec<(Vec<Point>, Vec<Option<i64>>)>) -> Memory {
    let names = [("m", "1", "1"), ("m", "1", "2"), ("m", "2", "1"), ("n", "1", "1"), ("n", "2", "2")];
    let mut memory = Memory::default();
    let lines = names.iter().zip(series).map(|((name, x, y), (points, starts))| {
        let labels = LabelSet::from_pairs([("__name__", *name), ("x", *x), ("y", *y)]);
        LoadedSeries { line: SeriesLine { labels, points }, interval_ms: 10_000, starts }
    });
    memory.load(lines.collect());
    memory
}

/// Returns the samples at one time as texts, NaNs alike.
fn at(value: Value, time_ms: i64) -> BTreeMap<LabelSet, String> {
    let float = |value: f64| format!("{value:?}");
    let text = |histogram: &FloatHistogram| format!("{histogram} {:?}", histogram.reset_hint);
    match value {
        Value::Vector(samples) => samples
            .into_iter()
            .map(|s| (s.labels, s.histogram.map_or_else(|| float(s.value), |histogram| text(&histogram))))
            .collect(),
        Value::Matrix(series) => {
            let mut found = BTreeMap::new();
            for MatrixSeries { labels, points, histograms } in series {
                let floats = points.into_iter().map(|(time, value)| (time, float(value)));
                let histograms = histograms.into_iter().map(|(time, histogram)| (time, text(&histogram)));
                let here: Vec<_> = floats.chain(histograms).filter(|(time, _)| *time == time_ms).collect();
                assert!(here.len() < 2, "{labels} is both at {time_ms}: {here:?}");
                found.extend(here.into_iter().map(|(_, text)| (labels.clone(), text)));
            }
            found
        }
        other => panic!("a vector has no other form: {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn each_step_of_a_range_query_is_an_instant_query(
        query in query(),
        series in prop::collection::vec((points(), starts()), 5),
        start in -3..10i64,
    ) {
        // With names removed late, series that differ in that only are one over a range and two at an instant.
        let parser = ParserOptions::everything();
        let config = EngineConfig { parser, use_start_timestamps: true, ..EngineConfig::default() };
        let (engine, options) = (Engine::new(config), QueryOptions::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let data = load(series).snapshot();
        let start_ms = start * 7_000;
        let range = engine.range(data.clone(), &query, start_ms, start_ms + 3 * STEP_MS, STEP_MS, &options);
        match runtime.block_on(range) {
            Err(QueryError::Execution(_)) => {}
            Err(error) => prop_assert!(false, "{query}: {error}"),
            Ok(range) => for step in 0..4 {
                let time_ms = start_ms + step * STEP_MS;
                let instant = runtime.block_on(engine.instant(data.clone(), &query, time_ms, &options));
                prop_assert!(instant.is_ok(), "{query} at {time_ms}: {:?}", instant.err());
                let instant = at(instant.expect("checked").value, time_ms);
                prop_assert_eq!(at(range.value.clone(), time_ms), instant, "{} at {}", query, time_ms);
            },
        }
    }
}
