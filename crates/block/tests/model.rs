//! A block answers like a scan over its input, for random series, matchers and ranges.

mod support;

use std::collections::BTreeSet;

use block::EraseNothing;
use model::{BlockRange, LabelSet, MatchOp, Matcher, TimeRange};
use proptest::prelude::*;
use support::{PlainSeries, build_plain, open, scan, select_plain, spec};

const RANGE: (i64, i64) = (-2_000, 30_000);

fn label_sets() -> impl Strategy<Value = BTreeSet<LabelSet>> {
    let name = prop::sample::select(vec!["__name__", "a", "b", "c", "le", "é.ü"]);
    let value = prop::sample::select(vec!["x", "y", "xy", "x y", "1", "0.5", "+Inf", "日本"]);
    prop::collection::btree_set(
        prop::collection::vec((name, value), 0..5).prop_map(LabelSet::from_pairs),
        0..30,
    )
}

fn samples() -> impl Strategy<Value = Vec<(i64, u64)>> {
    let value = prop_oneof![
        any::<u64>(),
        (0..1000u32).prop_map(|v| f64::from(v).to_bits()),
        Just(model::STALE_NAN_BITS),
        Just((-0.0f64).to_bits())
    ];
    prop::collection::btree_map(RANGE.0..RANGE.1, value, 1..60).prop_map(|map| map.into_iter().collect())
}

fn series() -> impl Strategy<Value = Vec<PlainSeries>> {
    label_sets().prop_flat_map(|sets| {
        let count = sets.len();
        let columns = prop::collection::vec(samples(), count);
        let sets: Vec<LabelSet> = sets.into_iter().collect();
        (Just(sets).prop_shuffle(), columns).prop_map(|(sets, columns)| {
            sets.into_iter().zip(columns).map(|(labels, samples)| PlainSeries { labels, samples }).collect()
        })
    })
}

fn matchers() -> impl Strategy<Value = Vec<Matcher>> {
    let op = prop::sample::select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]);
    let name = prop::sample::select(vec!["__name__", "a", "b", "c", "le", "é.ü", "none"]);
    let value =
        prop::sample::select(vec!["", "x", "y", "x|y", "x.*", ".+", ".*", "x?", "[0-9].*|", "日.", "z"]);
    let one = (op, name, value).prop_map(|(op, name, value)| Matcher::new(op, name, value).expect("valid"));
    prop::collection::vec(one, 0..4)
}

fn ranges() -> impl Strategy<Value = TimeRange> {
    prop_oneof![
        Just(TimeRange::ALL),
        (RANGE.0 - 500..RANGE.1 + 500, -10i64..20_000)
            .prop_map(|(start, length)| TimeRange::new(start, start + length)),
    ]
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("threads can be started")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn select_answers_like_a_scan(series in series(), matchers in matchers(), range in ranges()) {
        let built = build_plain(&spec(BlockRange::new(RANGE.0, RANGE.1)), &series).expect("valid input");
        let answer = runtime().block_on(async {
            select_plain(&open(&built).await, &matchers, range).await.expect("undamaged")
        });
        prop_assert_eq!(answer, scan(&series, &matchers, range));
    }

    #[test]
    fn label_queries_answer_like_a_scan(
        series in series(),
        selectors in prop::collection::vec(matchers(), 0..3),
        range in prop_oneof![Just(TimeRange::ALL), ranges()],
    ) {
        let built = build_plain(&spec(BlockRange::new(RANGE.0, RANGE.1)), &series).expect("valid input");
        let reader = runtime().block_on(open(&built));
        let matches = |s: &&PlainSeries| selectors.is_empty()
            || selectors.iter().any(|matchers| matchers.iter().all(|m| m.matches(s.labels.get(&m.name))));
        let reaches = |s: &&PlainSeries| s.samples.first().zip(s.samples.last())
            .is_some_and(|(first, last)| first.0 <= range.end.0 && range.start.0 <= last.0);
        let matching: Vec<&PlainSeries> = series.iter().filter(matches).filter(reaches).collect();
        let names: BTreeSet<&str> = matching.iter().flat_map(|s| s.labels.iter().map(|(name, _)| name)).collect();
        let values: BTreeSet<&str> = matching.iter().map(|s| s.labels.get("a")).filter(|v| !v.is_empty()).collect();
        let sets: BTreeSet<&LabelSet> = matching.iter().map(|s| &s.labels).collect();
        let found = reader.label_names(&selectors, &range).expect("undamaged");
        prop_assert_eq!(found.iter().collect::<Vec<_>>(), names.into_iter().collect::<Vec<_>>());
        let found = reader.label_values("a", &selectors, &range).expect("undamaged");
        prop_assert_eq!(found.iter().collect::<Vec<_>>(), values.into_iter().collect::<Vec<_>>());
        let found = reader.series(&selectors, &range, None, &EraseNothing).expect("undamaged");
        prop_assert_eq!(found.iter().collect::<Vec<_>>(), sets.iter().copied().collect::<Vec<_>>());
        let first = reader.series(&selectors, &range, Some(3), &EraseNothing).expect("undamaged");
        prop_assert_eq!(first.iter().collect::<Vec<_>>(), sets.into_iter().take(3).collect::<Vec<_>>());
    }

    #[test]
    fn the_order_of_the_input_does_not_show(series in series()) {
        let spec = spec(BlockRange::new(RANGE.0, RANGE.1));
        let mut reversed = series.clone();
        reversed.reverse();
        prop_assert_eq!(build_plain(&spec, &series).expect("valid"), build_plain(&spec, &reversed).expect("valid"));
    }
}
