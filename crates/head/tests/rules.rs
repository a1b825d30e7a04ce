//! The rules by which samples enter, one by one, and the shape of what readers get.

use batch::{Batch, BatchBuilder, RefusalKind};
use head::{Head, HeadConfig};
use model::histogram::CounterResetHint;
use model::{FloatHistogram, LabelSet, SampleValue, Samples, SeriesRef, TimeRange, stale_nan};

fn head(out_of_order_window_ms: i64) -> Head {
    Head::new(HeadConfig { out_of_order_window_ms, future_ms_max: 600_000, series_max: 2, exemplars_max: 4 })
}

fn labels(name: &str) -> LabelSet {
    LabelSet::from_pairs([("__name__", name)])
}

fn batch(samples: &[(&str, i64, f64)]) -> Batch {
    let mut builder = BatchBuilder::new();
    for (name, time_ms, value) in samples {
        let index = builder.declare(&labels(name));
        builder.push_declared(index, *time_ms, *value);
    }
    Batch::decode(&builder.finish()).expect("a builder writes batches")
}

/// Applies samples of series `a` one batch each and checks how each is refused, or `None`.
fn check(head: &Head, samples: &[(i64, f64, Option<RefusalKind>)]) {
    for (time_ms, value, refusal) in samples {
        let outcome = head.apply(1_000_000, &batch(&[("a", *time_ms, *value)]));
        assert_eq!(outcome.first_refusal.map(|(_, kind)| kind), *refusal, "{value} at {time_ms}");
    }
}

#[test]
fn without_a_window_samples_come_in_order() {
    use RefusalKind::{Conflicting, OutOfOrder, TooNew, TooOld};
    let head = head(0);
    check(
        &head,
        &[
            (1000, 1.0, None),
            (2000, 2.0, None),
            (2000, 2.0, None),
            (1000, 1.0, None),
            (2000, 3.0, Some(Conflicting)),
            (1000, 3.0, Some(OutOfOrder)),
            (1500, 1.0, Some(OutOfOrder)),
            (1_600_000, 1.0, None),
            (1_600_001, 1.0, Some(TooNew)),
        ],
    );
    head.cut(1_700_000);
    head.cut(5);
    check(
        &head,
        &[(1_600_000, 1.0, None), (1_600_000, 2.0, Some(Conflicting)), (1_500_000, 1.0, Some(TooOld))],
    );
    assert_eq!(head.sealed_until_ms(), 1_700_000, "a cut never goes back");
}

#[test]
fn with_a_window_late_samples_are_merged() {
    use RefusalKind::{Conflicting, TooOld};
    let head = head(1000);
    check(
        &head,
        &[
            (10_000, 1.0, None),
            (9_500, 2.0, None),
            (9_500, 2.0, None),
            (9_500, 3.0, Some(Conflicting)),
            (9_000, 1.0, None),
            (8_999, 1.0, Some(TooOld)),
        ],
    );
    let outcome = head.apply(1_000_000, &batch(&[("b", 100, 1.0), ("b", 50, 1.0)]));
    assert_eq!((outcome.accepted, outcome.too_old), (1, 1), "a new series may begin before the window");
    assert_eq!(head.stats().samples, 4);
}

#[test]
fn values_are_told_apart_by_their_bits() {
    let head = head(0);
    for (value, other) in [(0.0, -0.0), (f64::NAN, stale_nan())] {
        let time_ms = head.stats().max_ms.unwrap_or(0) + 1;
        check(
            &head,
            &[
                (time_ms, value, None),
                (time_ms, value, None),
                (time_ms, other, Some(RefusalKind::Conflicting)),
            ],
        );
    }
}

#[test]
fn series_beyond_the_limit_are_refused_and_known_ones_are_not() {
    let head = head(0);
    let outcome = head.apply(0, &batch(&[("a", 1, 1.0), ("b", 1, 1.0), ("c", 1, 1.0), ("a", 2, 1.0)]));
    let (a, b) = (Some(SeriesRef(0)), Some(SeriesRef(1)));
    assert_eq!(outcome.declared_refs, [a, b, None, a]);
    assert_eq!((outcome.accepted, outcome.over_limit), (3, 1));
    assert_eq!(outcome.first_refusal, Some((2, RefusalKind::OverLimit)));
    head.drop_before(2);
    let outcome = head.apply(0, &batch(&[("c", 3, 1.0), ("b", 3, 1.0)]));
    assert_eq!(outcome.declared_refs, [Some(SeriesRef(1 << 32 | 1)), None], "b is gone, c takes its slot");
}

#[test]
fn unknown_refs_ask_for_labels() {
    let head = head(0);
    head.apply(0, &batch(&[("a", 1, 1.0)]));
    let mut builder = BatchBuilder::new();
    for (series, time_ms) in [(7, 2), (0, 2), (1 << 32, 3)] {
        builder.push_ref(SeriesRef(series), time_ms, 1.0);
    }
    let outcome = head.apply(0, &Batch::decode(&builder.finish()).expect("a builder writes batches"));
    assert_eq!((outcome.unknown_samples, outcome.accepted), (vec![0, 2], 1));
    assert_eq!(outcome.first_refusal, None);
}

#[test]
fn a_series_may_be_declared_without_a_sample() {
    let head = head(0);
    let mut builder = BatchBuilder::new();
    builder.declare(&labels("a"));
    let outcome = head.apply(0, &Batch::decode(&builder.finish()).expect("a builder writes batches"));
    assert_eq!(outcome.declared_refs, [Some(SeriesRef(0))]);
    assert_eq!((head.stats().series, head.stats().max_ms), (1, None));
    assert_eq!(head.select(&[], TimeRange::ALL, 0, 10).expect("few"), []);
    assert!(head.series(&[], TimeRange::ALL, None).expect("few").is_empty());
    head.drop_before(0);
    assert_eq!(head.stats().series, 0);
}

#[test]
fn the_newest_sample_comes_alone_where_it_suffices() {
    let head = head(1000);
    for (series, time_ms) in [("a", 10), ("a", 20), ("a", 30), ("a", 15), ("b", 10), ("b", 50)] {
        head.apply(1_000_000, &batch(&[(series, time_ms, time_ms as f64)]));
    }
    let newest = |end_ms: i64| {
        let selection = head.selection(&[], TimeRange::new(0, end_ms), i64::MIN).expect("fresh");
        let slice = selection.newest_only().next_slice(&head).expect("fresh").expect("one slice");
        let read = |series: &head::HeadSeries| {
            let mut samples = model::Samples::default();
            chunk::read_merged(&series.chunks, 0, end_ms, &mut samples).expect("undamaged");
            samples.timestamps
        };
        slice.iter().map(read).collect::<Vec<_>>()
    };
    assert_eq!(newest(60), [[30], [50]]);
    assert_eq!(newest(40), [vec![30], vec![10]], "the newest of b comes later");
    assert_eq!(newest(29), [vec![10, 15, 20], vec![10]]);
}

#[test]
fn chunks_hold_at_most_120_samples() {
    let head = head(0);
    for i in 0..500 {
        head.apply(1_000_000, &batch(&[("a", i * 15, 1.0)]));
    }
    let series = head.select(&[], TimeRange::ALL, 16, 10).expect("few");
    let samples: Vec<u32> = series[0].chunks.iter().map(|chunk| chunk.samples).collect();
    assert_eq!(samples, [120, 120, 120, 120, 20], "the last is open");
    assert_eq!(series[0].chunks[0].start_ms, 16, "what lies before is hidden");
}

/// Applies one sample of series `a` and returns how it is refused, if it is.
fn apply_wide(
    head: &Head,
    time_ms: i64,
    start_ms: i64,
    histogram: Option<&FloatHistogram>,
) -> Option<RefusalKind> {
    let mut builder = BatchBuilder::new();
    let index = builder.declare(&labels("a"));
    builder.push_declared(index, time_ms, 1.0);
    builder.widen_last(start_ms, histogram);
    let batch = Batch::decode(&builder.finish()).expect("a builder writes batches");
    head.apply(1_000_000, &batch).first_refusal.map(|(_, kind)| kind)
}

#[test]
fn histograms_follow_the_rules_of_floats() {
    use RefusalKind::{Conflicting, OutOfOrder};
    let histogram = |count: f64| FloatHistogram { count, ..FloatHistogram::default() };
    let (one, two, stale) = (histogram(1.0), histogram(2.0), FloatHistogram::stale());
    let hinted = FloatHistogram { reset_hint: CounterResetHint::Gauge, ..one.clone() };
    let head = head(0);
    for (time_ms, start_ms, value, refusal) in [
        (1000, 0, Some(&one), None),
        (1000, 0, Some(&one), None),
        // Hints and start timestamps do not make another sample.
        (1000, 500, Some(&hinted), None),
        (1000, 0, Some(&two), Some(Conflicting)),
        (1000, 0, None, Some(Conflicting)),
        (2000, 500, None, None),
        (2000, 0, None, None),
        (2000, 0, Some(&one), Some(Conflicting)),
        (3000, 0, Some(&stale), None),
        (3000, 0, Some(&stale), None),
        (2500, 0, Some(&one), Some(OutOfOrder)),
        (4000, 0, Some(&one), None),
    ] {
        assert_eq!(apply_wide(&head, time_ms, start_ms, value), refusal, "{value:?} at {time_ms}");
    }
    // The marker of a float, twice.
    check(&head, &[(5000, stale_nan(), None), (5000, stale_nan(), None)]);
    let selected = head.select(&[], TimeRange::ALL, i64::MIN, 10).expect("it is fresh");
    let mut samples = Samples::default();
    chunk::read_merged(&selected[0].chunks, i64::MIN, i64::MAX, &mut samples).expect("undamaged");
    assert_eq!(
        (samples.timestamps.as_slice(), samples.start_timestamps.as_slice()),
        (&[1000, 2000, 3000, 4000, 5000][..], &[0, 500, 0, 0, 0][..])
    );
    assert_eq!(samples.histogram(0).map(|histogram| &**histogram), Some(&one), "the first one stays");
    assert!(samples.value(1).is_same(&SampleValue::Float(1.0)) && samples.value(2).is_stale());
    assert!(
        samples.histogram(4).is_some_and(|histogram| histogram.is_stale()),
        "behind a histogram it is one, too"
    );
}
