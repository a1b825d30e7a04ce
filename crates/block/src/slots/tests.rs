//! Slots against the samples that they are made of.

use std::sync::Arc;

use model::histogram::Span;
use model::{Aggregate, FloatHistogram, SampleValue, is_stale};
use proptest::prelude::*;

use super::*;
use chunk::EncodedChunk;

use crate::chunks::decode_value;

const FINE_MS: i64 = 10;
const COARSE_MS: i64 = 60;

fn histogram(count: u32) -> SampleValue {
    let count = f64::from(count);
    SampleValue::Histogram(Arc::new(FloatHistogram {
        count,
        sum: count * 2.0,
        positive_spans: vec![Span { offset: 1, length: 1 }],
        positive_buckets: vec![count],
        ..FloatHistogram::default()
    }))
}

/// Makes a series of steps: how much later each sample is, and what it is.
fn series(steps: &[(i64, u32)], value: impl Fn(u32) -> SampleValue, stale: SampleValue) -> Samples {
    let mut samples = Samples::default();
    let mut time_ms = -200;
    for (gap, number) in steps {
        time_ms += gap;
        // A few numbers stand for a marker.
        let value = if *number % 17 == 3 { stale.clone() } else { value(*number) };
        samples.push_value(time_ms, 0, value);
    }
    samples
}

fn floats(steps: &[(i64, u32)]) -> Samples {
    series(steps, |n| SampleValue::Float(f64::from(n)), SampleValue::Float(model::stale_nan()))
}

fn histograms(steps: &[(i64, u32)]) -> Samples {
    series(steps, histogram, SampleValue::Histogram(FloatHistogram::stale().into()))
}

fn steps() -> impl Strategy<Value = Vec<(i64, u32)>> {
    // Rising by little, as counters do, with resets here and there; gaps of several slots.
    let step = (prop_oneof![8 => 1..6i64, 1 => 20..150i64], prop_oneof![6 => 0..9u32, 1 => Just(100u32)]);
    proptest::collection::vec(step, 0..120).prop_map(|steps| {
        let mut counter = 5;
        let next = |(gap, number): (i64, u32)| {
            counter = if number == 100 { counter % 5 } else { counter + number };
            (gap, counter)
        };
        steps.into_iter().map(next).collect()
    })
}

/// A sample as a counter sees it: time, value, resets that do not show.
fn points(samples: &Samples) -> Vec<(i64, f64, u32)> {
    let value = |at| match samples.value(at) {
        SampleValue::Float(value) => value,
        SampleValue::Histogram(histogram) => histogram.count,
    };
    let all = (0..samples.len()).filter(|at| !samples.value(*at).is_stale());
    all.map(|at| (samples.timestamps[at], value(at), samples.hidden(at))).collect()
}

/// What a counter rises by over some points, and how often it is reset.
fn rise(points: &[(i64, f64, u32)]) -> (f64, u32) {
    let pairs = points.windows(2);
    pairs.fold((0.0, 0), |(rise, resets), pair| {
        let [(_, before, _), (_, after, hidden)] = [pair[0], pair[1]];
        if after < before {
            (rise + after, resets + 1 + hidden)
        } else {
            (rise + after - before, resets + hidden)
        }
    })
}

fn check_counter(raw: &Samples, slots: &Slots, resolution_ms: i64) {
    let (raw, thin) = (points(raw), points(&view::thinned(slots)));
    assert_eq!(rise(&thin), rise(&raw), "of all: {thin:?} of {raw:?}");
    let ends: std::collections::BTreeSet<i64> =
        raw.iter().map(|(time_ms, _, _)| slot_end(*time_ms, resolution_ms)).collect();
    for start in &ends {
        for end in ends.iter().filter(|end| *end >= start) {
            // From the last sample of one slot to the last of another.
            let between = |points: &[(i64, f64, u32)]| {
                let first = points.iter().rposition(|(time_ms, _, _)| time_ms <= start).expect("in a slot");
                let last = points.iter().rposition(|(time_ms, _, _)| time_ms <= end).expect("in a slot");
                rise(&points[first..=last])
            };
            assert_eq!(between(&thin), between(&raw), "{start} to {end}: {thin:?} of {raw:?}");
        }
    }
}

/// What each slot's samples add up to, in the plainest way.
fn naive(raw: &Samples, resolution_ms: i64) -> Vec<(i64, [f64; 4])> {
    let mut slots = std::collections::BTreeMap::<i64, Vec<f64>>::new();
    for (time_ms, value) in raw.timestamps.iter().zip(&raw.floats).filter(|(_, value)| !is_stale(**value)) {
        slots.entry(slot_end(*time_ms, resolution_ms)).or_default().push(*value);
    }
    let total = |(end_ms, values): (i64, Vec<f64>)| {
        let (min, max) = (
            values.iter().copied().fold(f64::NAN, f64::min),
            values.iter().copied().fold(f64::NAN, f64::max),
        );
        (end_ms, [values.len() as f64, values.iter().sum(), min, max])
    };
    slots.into_iter().map(total).collect()
}

fn totals(slots: &Slots) -> Vec<(i64, [f64; 4])> {
    let columns = [&slots.count, &slots.sum, &slots.min, &slots.max];
    assert!(columns.iter().all(|column| column.timestamps == slots.count.timestamps));
    let total = |at: usize| (slots.count.timestamps[at], columns.map(|column| column.floats[at]));
    (0..slots.count.len()).map(total).collect()
}

fn last_of_slots(raw: &Samples, resolution_ms: i64) -> Vec<(i64, SampleValue)> {
    let ends = (0..raw.len()).map(|at| (slot_end(raw.timestamps[at], resolution_ms), raw.value(at)));
    ends.collect::<std::collections::BTreeMap<_, _>>().into_iter().collect()
}

/// Checks that all is the same, but for when a counter's points were: of those that end a finer slot only that end is known.
fn same(slots: &Slots, other: &Slots) {
    let ends = |column: &Samples| -> Vec<i64> {
        column.timestamps.iter().map(|time_ms| slot_end(*time_ms, COARSE_MS)).collect()
    };
    for (column, other) in slots.columns().into_iter().zip(other.columns()) {
        assert_eq!(ends(column), ends(other));
        assert!((0..column.len()).all(|at| column.value(at).is_same(&other.value(at))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn slots_of_floats_are_what_their_samples_are(steps in steps()) {
        let raw = floats(&steps);
        let fine = of_samples(&raw, FINE_MS);
        for (slots, resolution_ms) in [(&fine, FINE_MS), (&of_samples(&raw, COARSE_MS), COARSE_MS)] {
            prop_assert_eq!(totals(slots), naive(&raw, resolution_ms));
            let last: Vec<_> = (0..slots.last.len()).map(|at| (slots.last.timestamps[at], slots.last.value(at))).collect();
            let expected = last_of_slots(&raw, resolution_ms);
            prop_assert_eq!(last.len(), expected.len());
            prop_assert!(last.iter().zip(&expected).all(|(a, b)| a.0 == b.0 && a.1.is_same(&b.1)));
            check_counter(&raw, slots, resolution_ms);
        }
        same(&of_slots(&fine, COARSE_MS), &of_samples(&raw, COARSE_MS));
    }

    #[test]
    fn slots_of_histograms_are_what_their_samples_are(steps in steps()) {
        let raw = histograms(&steps);
        let fine = of_samples(&raw, FINE_MS);
        for (slots, resolution_ms) in [(&fine, FINE_MS), (&of_samples(&raw, COARSE_MS), COARSE_MS)] {
            let counted = naive(&floats(&steps), resolution_ms);
            let sums: Vec<(i64, [f64; 2])> = (0..slots.sum.len())
                .map(|at| {
                    let sum = slots.sum.histogram(at).expect("a histogram");
                    assert_eq!(sum.positive_buckets, [sum.count]);
                    (slots.sum.timestamps[at], [slots.count.floats[at], sum.count])
                })
                .collect();
            let expected: Vec<_> = counted.into_iter().map(|(end, [count, sum, ..])| (end, [count, sum])).collect();
            prop_assert_eq!(sums, expected);
            prop_assert!(slots.min.is_empty() && slots.max.is_empty());
            check_counter(&raw, slots, resolution_ms);
        }
        same(&of_slots(&fine, COARSE_MS), &of_samples(&raw, COARSE_MS));
    }

    #[test]
    fn gauges_of_any_sign_lose_no_reset(values in proptest::collection::vec(-5..5i32, 0..80)) {
        let mut raw = Samples::default();
        values.iter().enumerate().for_each(|(at, value)| raw.push(at as i64 * 3, f64::from(*value)));
        let fine = of_samples(&raw, FINE_MS);
        for slots in [of_slots(&fine, COARSE_MS), fine] {
            let (_, resets) = rise(&points(&view::thinned(&slots)));
            prop_assert_eq!(resets, rise(&points(&raw)).1);
        }
    }
}

#[test]
fn the_end_of_a_slot_is_that_of_thanos() {
    for (time_ms, end_ms) in [(0, 299_999), (299_999, 299_999), (300_000, 599_999), (-1, -1), (-300_000, -1)]
    {
        assert_eq!(slot_end(time_ms, 300_000), end_ms, "{time_ms}");
    }
}

#[test]
fn a_slot_of_both_kinds_is_about_the_later_one() {
    let mut raw = Samples::default();
    raw.push(1, 50.0);
    raw.push_value(2, 0, histogram(3));
    raw.push_value(3, 0, histogram(4));
    raw.push(11, 1.0);
    let slots = of_samples(&raw, FINE_MS);
    assert_eq!((&slots.count.timestamps[..], &slots.count.floats[..]), (&[9, 19][..], &[2.0, 1.0][..]));
    assert_eq!(slots.sum.histogram(0).map(|sum| sum.count), Some(7.0));
    assert_eq!((&slots.min.timestamps[..], &slots.min.floats[..]), (&[19][..], &[1.0][..]));
    assert_eq!(slots.counter.timestamps, [2]);
    assert_eq!(slots.last.timestamps, [9, 19]);
}

#[test]
fn numbers_that_are_none_count_and_hide_no_other() {
    let mut raw = Samples::default();
    [f64::NAN, 2.0, -1.0, f64::NAN].iter().enumerate().for_each(|(at, value)| raw.push(at as i64, *value));
    raw.push(10, f64::INFINITY);
    raw.push(11, 1.0);
    raw.push(20, 1e100);
    raw.push(21, 1.0);
    raw.push(22, -1e100);
    let slots = of_samples(&raw, FINE_MS);
    assert_eq!((slots.count.floats[0], slots.min.floats[0], slots.max.floats[0]), (4.0, -1.0, 2.0));
    assert!(slots.sum.floats[0].is_nan());
    assert_eq!(slots.sum.floats[1..], [f64::INFINITY, 1.0]);
}

#[test]
fn a_query_gets_what_it_asked_for() {
    let raw = floats(&[(200, 5), (1, 6), (1, 1), (1, 4), (1, 2), (11, 2), (1, 9)]);
    let slots = of_samples(&raw, FINE_MS);
    let bounds = [0, 10, 30];
    let values = slots.values(&bounds);
    let columns = |aggregate: Aggregate| -> Vec<(Content, Vec<EncodedChunk>)> {
        let column = |content: &Content| {
            let at = Content::of(FINE_MS).iter().position(|other| other == content).expect("a column");
            let decoded = (0..2).flat_map(|window| {
                decode_value(bounds[window], &values[at * 2 + window], &model::TimeRange::ALL)
                    .expect("undamaged")
            });
            (*content, decoded.collect())
        };
        contents_of(aggregate).iter().map(column).collect()
    };
    let check = |aggregate, expected: &[(i64, f64)], hidden: &[u32]| {
        let mut samples = Samples::default();
        let chunks = view(aggregate, columns(aggregate)).expect("undamaged");
        chunk::read_merged(&chunks, i64::MIN, i64::MAX, &mut samples).expect("undamaged");
        let read: Vec<(i64, f64)> = samples.timestamps.into_iter().zip(samples.floats).collect();
        assert_eq!((read.as_slice(), samples.hidden.as_slice()), (expected, hidden), "{aggregate:?}");
    };
    check(Aggregate::Last, &[(9, 2.0), (19, 9.0)], &[]);
    let thinned = [(0, 5.0), (3, 10.0), (9, 2.0), (19, 9.0)];
    check(Aggregate::Counter, &thinned, &[]);
    check(Aggregate::Resets, &thinned, &[0, 0, 1, 0]);
    check(Aggregate::Count, &[(9, 5.0), (19, 2.0)], &[4, 1]);
    check(Aggregate::Sum, &[(9, 18.0), (19, 11.0)], &[]);
    check(Aggregate::Average, &[(9, 18.0), (19, 11.0)], &[4, 1]);
    check(Aggregate::Min, &[(9, 1.0), (19, 2.0)], &[]);
    check(Aggregate::Max, &[(9, 6.0), (19, 9.0)], &[]);
}
