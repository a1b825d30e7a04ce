//! Matchers and label queries against the naive evaluation of every series.

use batch::{Batch, BatchBuilder};
use head::{Head, HeadConfig, HeadError};
use model::{LabelSet, MatchOp, Matcher, TimeRange};
use proptest::prelude::*;

const PATTERNS: [&str; 14] = [
    "",
    "a",
    "b",
    "v1",
    "v1.*",
    "a|b",
    "a|",
    ".*",
    ".+",
    "v[0-9]",
    "[ab]",
    "v(1|2)3?",
    "nothing|never",
    "(?i)A",
];

fn head_of(series: &[LabelSet]) -> Head {
    let head = Head::new(HeadConfig {
        out_of_order_window_ms: 0,
        future_ms_max: 0,
        series_max: 10_000,
        exemplars_max: 0,
    });
    let mut builder = BatchBuilder::new();
    for (position, labels) in series.iter().enumerate() {
        let index = builder.declare(labels);
        builder.push_declared(index, position as i64, 1.0);
    }
    head.apply(1_000_000, &Batch::decode(&builder.finish()).expect("a builder writes batches"));
    head
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let ops = vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
    let names = prop::sample::select(vec!["a", "b", "c", "absent"]);
    (prop::sample::select(ops), names, prop::sample::select(&PATTERNS[..]))
        .prop_map(|(op, name, pattern)| Matcher::new(op, name, pattern).expect("a valid pattern"))
}

/// Few values and many, so that postings are lists and bitmaps, and names have more values than series are left.
fn series() -> impl Strategy<Value = Vec<LabelSet>> {
    let few = prop::sample::select(vec!["", "a", "b", "A"]);
    let many = (0..200u32).prop_map(|value| format!("v{value}"));
    let labels = (few.clone(), prop_oneof![few.prop_map(str::to_owned), many.clone()], many)
        .prop_map(|(a, b, c)| LabelSet::from_pairs([("a", a.to_owned()), ("b", b), ("c", c)]));
    prop::collection::btree_set(labels, 0..400).prop_map(|set| set.into_iter().collect())
}

fn matching<'a>(series: &'a [LabelSet], matchers: &'a [Matcher]) -> impl Iterator<Item = &'a LabelSet> {
    series.iter().filter(|labels| matchers.iter().all(|m| m.matches(labels.get(&m.name))))
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

proptest! {
    #[test]
    fn selections_equal_the_naive_ones(
        series in series(),
        matchers in prop::collection::vec(matcher(), 0..4),
        more in prop::collection::vec(matcher(), 1..3),
        limit in 0usize..50,
    ) {
        let head = head_of(&series);
        let found = head.select(&matchers, TimeRange::ALL, i64::MIN, 10_000).expect("below the limit");
        let found: Vec<LabelSet> = found.into_iter().map(|series| series.labels).collect();
        let expected: Vec<LabelSet> = matching(&series, &matchers).cloned().collect();
        prop_assert_eq!(&found, &expected);
        if expected.len() > limit {
            let refused = head.select(&matchers, TimeRange::ALL, i64::MIN, limit);
            let is_refused = matches!(refused, Err(HeadError::LimitExceeded { .. }));
            prop_assert!(is_refused);
        }

        let selectors = [matchers.clone(), more.clone()];
        let union = sorted(matching(&series, &matchers).chain(matching(&series, &more)).cloned());
        let found = head.series(&selectors, TimeRange::ALL, Some(limit)).expect("few");
        prop_assert_eq!(&found[..], &union[..limit.min(union.len())]);
        let names = sorted(union.iter().flat_map(LabelSet::iter).map(|(name, _)| name.to_owned()));
        prop_assert_eq!(head.label_names(&selectors, TimeRange::ALL, None).expect("few"), names);
        for name in ["a", "c", "absent"] {
            let values = sorted(union.iter().map(|labels| labels.get(name).to_owned()).filter(|v| !v.is_empty()));
            prop_assert_eq!(head.label_values(name, &selectors, TimeRange::ALL, None).expect("few"), values);
        }
    }

    #[test]
    fn ranges_leave_out_series_without_samples(series in series(), start_ms in 0i64..400, length_ms in 0i64..100) {
        let head = head_of(&series);
        let range = TimeRange::new(start_ms, start_ms + length_ms);
        let in_range = sorted(series.iter().enumerate().filter(|(t, _)| range.contains(*t as i64)).map(|(_, l)| l.clone()));
        prop_assert_eq!(head.series(&[], range, None).expect("few"), in_range.clone());
        let found = head.select(&[], range, i64::MIN, 10_000).expect("few");
        prop_assert_eq!(found.into_iter().map(|series| series.labels).collect::<Vec<_>>(), in_range);
        let all_names = sorted(series.iter().flat_map(LabelSet::iter).map(|(name, _)| name.to_owned()));
        let expected = if start_ms < series.len() as i64 { all_names } else { Vec::new() };
        prop_assert_eq!(head.label_names(&[], range, None).expect("few"), expected);
    }

    #[test]
    fn the_index_forgets_dropped_series(series in series(), drop_ms in 0i64..400) {
        let head = head_of(&series);
        head.drop_before(drop_ms);
        let kept: Vec<LabelSet> = sorted(series.iter().skip(drop_ms as usize).cloned());
        prop_assert_eq!(head.series(&[], TimeRange::ALL, None).expect("few"), kept.clone());
        for name in ["a", "b", "c"] {
            let values = sorted(kept.iter().map(|labels| labels.get(name).to_owned()).filter(|v| !v.is_empty()));
            prop_assert_eq!(head.label_values(name, &[], TimeRange::ALL, None).expect("few"), values);
            let matcher = Matcher::new(MatchOp::NotEqual, name, "").expect("no pattern");
            let found = head.select(std::slice::from_ref(&matcher), TimeRange::ALL, drop_ms, 10_000).expect("few");
            let expected: Vec<LabelSet> = matching(&kept, &[matcher]).cloned().collect();
            prop_assert_eq!(found.into_iter().map(|series| series.labels).collect::<Vec<_>>(), expected);
        }
    }
}
