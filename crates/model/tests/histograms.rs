//! Properties of native histogram arithmetic, on random valid histograms.

use model::FloatHistogram;
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Span};
use proptest::prelude::*;

fn hint() -> impl Strategy<Value = CounterResetHint> {
    prop_oneof![
        Just(CounterResetHint::Unknown),
        Just(CounterResetHint::Reset),
        Just(CounterResetHint::NotReset),
        Just(CounterResetHint::Gauge),
    ]
}

/// Counts are whole, so that sums of few are exact whatever their order; some buckets are empty.
fn count() -> impl Strategy<Value = f64> {
    prop_oneof![1 => Just(0.0), 3 => (1..1_000u32).prop_map(f64::from)]
}

/// Runs, some of them empty or touching, and their counts. All gaps but the first are positive or zero.
fn side(first: std::ops::Range<i32>) -> impl Strategy<Value = (Vec<Span>, Vec<f64>)> {
    let runs = prop::collection::vec((0..6i32, prop::collection::vec(count(), 0..5)), 0..4);
    (first, runs).prop_map(|(first, runs)| {
        let (mut spans, mut counts) = (Vec::new(), Vec::new());
        for (position, (gap, run)) in runs.into_iter().enumerate() {
            let offset = if position == 0 { first } else { gap };
            spans.push(Span { offset, length: run.len() as u32 });
            counts.extend(run);
        }
        (spans, counts)
    })
}

/// The zero bucket ends at or before the first bucket of either side, as instrumentation has it.
fn exponential() -> impl Strategy<Value = FloatHistogram> {
    let zero = (prop_oneof![Just(0.0), Just(1.0), 0.0..1.0], count());
    (-4..=8i32, zero, side(-12..12), side(-12..12), hint(), -1000..1000i32).prop_map(
        |(schema, (zero_share, zero_count), positive, negative, reset_hint, sum)| {
            let all = positive.1.iter().chain(&negative.1).sum::<f64>() + zero_count;
            let mut histogram = FloatHistogram {
                reset_hint,
                schema,
                zero_count,
                count: all,
                sum: f64::from(sum),
                positive_spans: positive.0,
                positive_buckets: positive.1,
                negative_spans: negative.0,
                negative_buckets: negative.1,
                ..FloatHistogram::default()
            };
            let distances = histogram.buckets().filter(|bucket| bucket.lower != bucket.upper);
            let nearest = distances.map(|b| b.lower.abs().min(b.upper.abs())).fold(f64::INFINITY, f64::min);
            if nearest.is_finite() {
                histogram.zero_threshold = nearest * zero_share;
            }
            histogram
        },
    )
}

fn custom() -> impl Strategy<Value = FloatHistogram> {
    (prop::collection::btree_set(-8..8i32, 0..8), prop::collection::vec(count(), 9), hint()).prop_map(
        |(bounds, mut counts, reset_hint)| {
            counts.truncate(bounds.len() + 1);
            FloatHistogram {
                reset_hint,
                schema: CUSTOM_BUCKETS_SCHEMA,
                count: counts.iter().sum(),
                positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
                positive_buckets: counts,
                custom_bounds: bounds.into_iter().map(f64::from).collect(),
                ..FloatHistogram::default()
            }
        },
    )
}

fn pair() -> impl Strategy<Value = (FloatHistogram, FloatHistogram)> {
    prop_oneof![2 => (exponential(), exponential()), 1 => (custom(), custom())]
}

fn any() -> impl Strategy<Value = FloatHistogram> {
    prop_oneof![2 => exponential(), 1 => custom()]
}

fn added(a: &FloatHistogram, b: &FloatHistogram) -> FloatHistogram {
    let mut sum = a.clone();
    sum.add(b).expect("both have buckets of one kind");
    sum.compact();
    sum
}

fn total(histogram: &FloatHistogram) -> f64 {
    histogram.buckets().map(|bucket| bucket.count).sum()
}

proptest! {
    #[test]
    fn generated_histograms_are_valid(histogram in any()) {
        prop_assert_eq!(histogram.validate(), Ok(()));
    }

    #[test]
    fn buckets_ascend_and_are_the_same_from_both_ends(histogram in any()) {
        let forward: Vec<_> = histogram.buckets().collect();
        let mut backward: Vec<_> = histogram.buckets().rev().collect();
        backward.reverse();
        prop_assert_eq!(&forward, &backward);
        for pair in forward.windows(2) {
            prop_assert!(pair[0].lower <= pair[1].lower, "{:?}", pair);
        }
        prop_assert_eq!(total(&histogram), histogram.count);
    }

    #[test]
    fn addition_commutes((a, b) in pair()) {
        let sum = added(&a, &b);
        prop_assert!(sum.equals(&added(&b, &a)), "{} + {}: {} or {}", a, b, sum, added(&b, &a));
        prop_assert_eq!(sum.reset_hint, added(&b, &a).reset_hint);
        prop_assert_eq!(sum.count, a.count + b.count);
        prop_assert_eq!(total(&sum), sum.count);
        prop_assert_eq!(sum.validate(), Ok(()));
    }

    #[test]
    fn compensated_addition_is_addition((a, b) in pair()) {
        let (mut sum, mut lost) = (a.clone(), None);
        sum.add_compensated(&b, &mut lost).expect("both have buckets of one kind");
        sum.settle(lost);
        sum.compact();
        prop_assert!(sum.equals(&added(&a, &b)), "{} + {}: {}", a, b, sum);
    }

    #[test]
    fn compensation_has_the_layout_of_the_sum(first in exponential(), rest in prop::collection::vec(exponential(), 1..6)) {
        let (mut sum, mut lost) = (first, None);
        for term in &rest {
            sum.add_compensated(term, &mut lost).expect("all are exponential");
            let lost = lost.as_deref().expect("it is kept from the first addition on");
            prop_assert_eq!(&lost.positive_spans, &sum.positive_spans);
            prop_assert_eq!(&lost.negative_spans, &sum.negative_spans);
            prop_assert_eq!(lost.positive_buckets.len(), sum.positive_buckets.len());
            prop_assert_eq!(lost.negative_buckets.len(), sum.negative_buckets.len());
            prop_assert_eq!((lost.schema, lost.zero_threshold), (sum.schema, sum.zero_threshold));
        }
    }

    #[test]
    fn a_histogram_less_itself_is_empty(a in any()) {
        let mut difference = a.clone();
        difference.sub(&a).expect("it has buckets of one kind");
        difference.compact();
        prop_assert_eq!((difference.count, difference.sum, difference.zero_count), (0.0, 0.0, 0.0));
        prop_assert!(difference.positive_buckets.is_empty() && difference.negative_buckets.is_empty());
    }

    #[test]
    fn compaction_keeps_all_and_has_nothing_to_do_twice(histogram in any()) {
        let mut compact = histogram.clone();
        compact.compact();
        let populated = |h: &FloatHistogram| h.buckets().filter(|b| b.count != 0.0).collect::<Vec<_>>();
        prop_assert_eq!(populated(&histogram), populated(&compact));
        prop_assert_eq!(compact.validate(), Ok(()));
        let once = compact.clone();
        compact.compact();
        prop_assert_eq!(once, compact);
    }

    #[test]
    fn reduction_and_addition_commute(mut a in exponential(), mut b in exponential(), lower in 0..4i32) {
        // Buckets within the zero bucket are counted there before the schemas are brought together, so it must not cut any.
        (a.zero_threshold, b.zero_threshold) = (0.0, 0.0);
        b.schema = a.schema;
        let schema = a.schema - lower;
        let mut sum_first = added(&a, &b);
        sum_first.reduce_resolution(schema);
        sum_first.compact();
        a.reduce_resolution(schema);
        b.reduce_resolution(schema);
        prop_assert!(sum_first.equals(&added(&a, &b)));
        prop_assert_eq!(sum_first.schema, schema);
    }

    #[test]
    fn what_has_only_grown_has_no_reset((a, b) in pair()) {
        let mut grown = added(&a, &b);
        grown.reset_hint = CounterResetHint::Unknown;
        let same_bounds = a.custom_bounds == b.custom_bounds;
        // Buckets that were cut by the wider zero bucket of the other one are taken for a reset.
        if same_bounds && a.zero_threshold == b.zero_threshold {
            prop_assert!(!grown.detect_reset(&a), "{} then {}", a, grown);
        }
        grown.count = a.count - 1.0;
        prop_assert!(grown.detect_reset(&a));
    }

    #[test]
    fn resets_do_not_depend_on_empty_buckets(mut before in any(), changes in prop::collection::vec(-2..3i32, 40)) {
        before.reset_hint = CounterResetHint::Unknown;
        let mut now = before.clone();
        for (count, change) in now.positive_buckets.iter_mut().chain(&mut now.negative_buckets).zip(changes) {
            *count = (*count + f64::from(change)).max(0.0);
        }
        let same_layout = now.detect_reset(&before);
        let (mut compact_now, mut compact_before) = (now, before);
        compact_now.compact();
        prop_assert_eq!(compact_now.detect_reset(&compact_before), same_layout);
        compact_before.compact();
        prop_assert_eq!(compact_now.detect_reset(&compact_before), same_layout);
    }

    #[test]
    fn both_sides_of_a_cut_are_the_whole(histogram in exponential(), value in -50.0..50.0) {
        let (below, above) = (histogram.trim_upper(value), histogram.trim_lower(value));
        prop_assert!((below.count + above.count - histogram.count).abs() <= 1e-9 * histogram.count);
        let end = below.buckets().filter(|b| b.count != 0.0).map(|b| b.lower).fold(f64::NEG_INFINITY, f64::max);
        prop_assert!(end <= value, "{} below {}", below, value);
        prop_assert_eq!(below.validate(), Ok(()));
        prop_assert_eq!(above.validate(), Ok(()));
    }

    #[test]
    fn scaling_is_undone_by_division(mut histogram in any()) {
        let before = histogram.clone();
        histogram.scale(4.0);
        histogram.divide(4.0);
        prop_assert!(histogram.equals(&before));
        prop_assert_eq!(histogram.reset_hint, before.reset_hint);
        histogram.scale(-1.0);
        prop_assert_eq!(histogram.reset_hint, CounterResetHint::Gauge);
    }

    /// Whatever bytes from elsewhere decode to: nothing panics, and the validation has its say.
    #[test]
    fn nothing_panics_whatever_the_layout(
        schemas in (any_schema(), any_schema()),
        spans in (any_spans(), any_spans(), any_spans(), any_spans()),
        counts in (any_counts(), any_counts(), any_counts(), any_counts()),
        bounds in (any_counts(), any_counts()),
        zero in (any_float(), any_float()),
    ) {
        let build = |schema, positive: (Vec<Span>, Vec<f64>), negative: (Vec<Span>, Vec<f64>), bounds, zero| FloatHistogram {
            schema,
            zero_threshold: zero,
            zero_count: 1.0,
            count: 10.0,
            positive_spans: positive.0,
            positive_buckets: positive.1,
            negative_spans: negative.0,
            negative_buckets: negative.1,
            custom_bounds: bounds,
            ..FloatHistogram::default()
        };
        let a = build(schemas.0, (spans.0, counts.0), (spans.1, counts.1), bounds.0, zero.0);
        let b = build(schemas.1, (spans.2, counts.2), (spans.3, counts.3), bounds.1, zero.1);
        let _ = (a.validate(), a.to_string(), a.detect_reset(&b), a.equals(&b), a.size_bytes());
        prop_assert_eq!(a.buckets().count(), a.buckets().rev().count());
        let (mut sum, mut lost) = (a.clone(), None);
        let _ = (sum.add(&b), sum.sub(&a), sum.add_compensated(&b, &mut lost));
        sum.settle(lost);
        sum.reduce_resolution(-4);
        sum.compact();
        let _ = (a.trim_upper(zero.1), a.trim_lower(zero.1));
    }
}

fn any_schema() -> impl Strategy<Value = i32> {
    prop_oneof![-4..=8i32, Just(CUSTOM_BUCKETS_SCHEMA), proptest::arbitrary::any::<i32>()]
}

fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![-10.0..10.0, proptest::arbitrary::any::<f64>(), Just(f64::NAN), Just(f64::INFINITY)]
}

fn any_counts() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(any_float(), 0..6)
}

fn any_spans() -> impl Strategy<Value = Vec<Span>> {
    let offset = prop_oneof![-4..4i32, proptest::arbitrary::any::<i32>()];
    let length = prop_oneof![0..4u32, proptest::arbitrary::any::<u32>()];
    prop::collection::vec((offset, length).prop_map(|(offset, length)| Span { offset, length }), 0..4)
}
