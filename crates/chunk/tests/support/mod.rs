//! What the tests of this crate share: samples of any kind, and their comparison bit for bit.
#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::Arc;

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Span};
use model::{FloatHistogram, Samples};
use proptest::prelude::*;

/// The values that break encoders: NaN payloads, the staleness marker, infinities, zeros, subnormals and extremes.
pub(crate) const SPECIAL_BITS: [u64; 14] = [
    0,
    0x8000_0000_0000_0000,
    1,
    0x800f_ffff_ffff_ffff,
    0x7ff0_0000_0000_0000,
    0xfff0_0000_0000_0000,
    0x7ff8_0000_0000_0001,
    0x7ff0_0000_0000_0002,
    0xffff_ffff_ffff_ffff,
    0x7fef_ffff_ffff_ffff,
    0x0010_0000_0000_0000,
    0x4340_0000_0000_0001,
    0x43e0_0000_0000_0000,
    0xc3e0_0000_0000_0000,
];

/// One sample, every float as its bits: what two runs of samples are compared by.
pub(crate) type Fact = (i64, i64, u64, Option<HistogramFact>);

/// A histogram, every float as its bits: integers, then floats, with the lengths of its lists between them.
pub(crate) type HistogramFact = (CounterResetHint, i32, Vec<Span>, Vec<Span>, [usize; 3], Vec<u64>);

/// Returns what can be observed of samples.
pub(crate) fn facts(samples: &Samples) -> Vec<Fact> {
    let fact = |at: usize| {
        let histogram = samples.histogram(at).map(|histogram| histogram_fact(histogram));
        let float = if histogram.is_some() { 0 } else { samples.floats[at].to_bits() };
        (samples.timestamps[at], samples.start(at), float, histogram)
    };
    assert_eq!(samples.floats.len(), samples.len());
    assert!(samples.start_timestamps.is_empty() || samples.start_timestamps.len() == samples.len());
    (0..samples.len()).map(fact).collect()
}

fn histogram_fact(histogram: &FloatHistogram) -> HistogramFact {
    let lists = [&histogram.positive_buckets, &histogram.negative_buckets, &histogram.custom_bounds];
    let numbers = [histogram.zero_threshold, histogram.zero_count, histogram.count, histogram.sum];
    let bits = numbers.iter().chain(lists.into_iter().flatten()).map(|float| float.to_bits()).collect();
    let (positive, negative) = (histogram.positive_spans.clone(), histogram.negative_spans.clone());
    (histogram.reset_hint, histogram.schema, positive, negative, lists.map(Vec::len), bits)
}

pub(crate) fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        prop::sample::select(&SPECIAL_BITS[..]).prop_map(f64::from_bits),
        (-1_000_000i64..1_000_000, 0i32..16).prop_map(|(mantissa, e)| mantissa as f64 / 10f64.powi(e)),
        any::<i64>().prop_map(|integer| integer as f64),
    ]
}

/// Histograms without counts that mean anything, of a layout that may be stored.
pub(crate) fn layout() -> impl Strategy<Value = FloatHistogram> {
    let spans = || {
        let span = (prop_oneof![0i32..4, any::<i32>()], 0u32..6);
        let span = span.prop_map(|(offset, length)| Span { offset, length });
        prop::collection::vec(span, 0..4)
    };
    let exponential = (-4i32..=8, spans(), spans(), float());
    let exponential = exponential.prop_map(|(schema, positive_spans, negative_spans, zero_threshold)| {
        FloatHistogram { schema, positive_spans, negative_spans, zero_threshold, ..FloatHistogram::default() }
    });
    let custom = (spans(), prop::collection::vec(float(), 0..6));
    let custom = custom.prop_map(|(positive_spans, custom_bounds)| FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        positive_spans,
        custom_bounds,
        ..FloatHistogram::default()
    });
    prop_oneof![exponential, custom]
}

/// One histogram of a layout, with counts taken from a list in turn.
pub(crate) fn filled(layout: &FloatHistogram, hint: u8, counts: &[f64]) -> FloatHistogram {
    let buckets = |spans: &[Span]| spans.iter().map(|span| span.length as usize).sum::<usize>();
    let (positive, negative) = (buckets(&layout.positive_spans), buckets(&layout.negative_spans));
    let taken = counts.iter().copied().cycle();
    let histogram = layout.clone().with_counts(taken.take(2 + positive + negative).collect(), positive);
    FloatHistogram { reset_hint: CounterResetHint::of_code(hint), sum: counts[counts.len() - 1], ..histogram }
}

/// A stretch of samples of one kind without their times: values or histograms, and starts.
#[derive(Clone, Debug)]
pub(crate) enum Stretch {
    Floats(Vec<f64>),
    Histograms(Vec<FloatHistogram>),
}

fn stretch() -> impl Strategy<Value = Stretch> {
    let floats = prop::collection::vec(float(), 1..40).prop_map(Stretch::Floats);
    // Counters that grow by small steps, then anything.
    let steps = prop::collection::vec(prop::collection::vec(0u32..50, 8), 1..30);
    let counters = (layout(), steps).prop_map(|(layout, steps)| {
        let mut counts = vec![0.0; 8];
        let histograms = steps.into_iter().map(|steps| {
            counts.iter_mut().zip(steps).for_each(|(count, step)| *count += f64::from(step));
            filled(&layout, 0, &counts)
        });
        Stretch::Histograms(histograms.collect())
    });
    let one = (0u8..4, prop::bool::weighted(0.1), prop::collection::vec(float(), 5));
    let wild = (layout(), prop::collection::vec(one, 1..20)).prop_map(|(layout, all)| {
        let histograms = all.into_iter().map(|(hint, is_stale, counts)| match is_stale {
            true => FloatHistogram { reset_hint: CounterResetHint::of_code(hint), ..FloatHistogram::stale() },
            false => filled(&layout, hint, &counts),
        });
        Stretch::Histograms(histograms.collect())
    });
    prop_oneof![floats, counters, wild]
}

/// Samples of a series that changes its kind, with or without start timestamps.
pub(crate) fn samples() -> impl Strategy<Value = Samples> {
    let start = prop_oneof![3 => Just(0i64), 2 => Just(-1), 2 => Just(1_000), 1 => any::<i64>()];
    let starts = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec(start, 120),
    ];
    let steps = prop_oneof![Just(vec![15_000i64; 120]), prop::collection::vec(1i64..40_000, 120)];
    (prop::collection::vec(stretch(), 1..5), starts, steps, any::<i32>()).prop_map(
        |(stretches, starts, steps, first_ms)| {
            let mut samples = Samples::default();
            let mut time_ms = i64::from(first_ms);
            for stretch in stretches {
                let len = match &stretch {
                    Stretch::Floats(floats) => floats.len(),
                    Stretch::Histograms(histograms) => histograms.len(),
                };
                for at in 0..len {
                    let before_ms = time_ms;
                    time_ms += steps[samples.len() % steps.len()];
                    match &stretch {
                        Stretch::Floats(floats) => samples.push(time_ms, floats[at]),
                        Stretch::Histograms(all) => {
                            samples.push_histogram(time_ms, Arc::new(all[at].clone()))
                        }
                    }
                    let start_ms = starts.get(samples.len() % 120).copied().unwrap_or(0);
                    samples.start_last(if start_ms == -1 { before_ms } else { start_ms });
                }
            }
            samples
        },
    )
}
