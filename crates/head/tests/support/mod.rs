//! What the head's tests share: operations as a log would hold them, and batches made of them.

#![allow(dead_code, unreachable_pub, reason = "every test uses its part of this module")]

use std::collections::BTreeMap;

use batch::{Batch, BatchBuilder, BatchOutcome};
use head::{Head, HeadConfig};
use model::histogram::Span;
use model::{
    Exemplar, FloatHistogram, LabelSet, Matcher, MetricMetadata, MetricType, Samples, SeriesRef, TimeRange,
};
use proptest::prelude::*;

pub const SERIES: usize = 6;
pub const TIME_MAX: i64 = 3000;

pub fn config(out_of_order_window_ms: i64) -> HeadConfig {
    HeadConfig { out_of_order_window_ms, future_ms_max: 100, series_max: 5, exemplars_max: 4 }
}

pub fn labels(index: usize) -> LabelSet {
    let parity = if index.is_multiple_of(2) { "even" } else { "" };
    LabelSet::from_pairs([("__name__", "m"), ("i", &index.to_string()), ("parity", parity)])
}

/// A run of samples of one series: `count` of them, `step_ms` apart, also backwards or all at one time.
#[derive(Clone, Debug)]
pub struct Run {
    pub series: usize,
    /// By the ref last heard of, if there is one; else declared.
    pub by_ref: bool,
    pub start_ms: i64,
    pub step_ms: i64,
    pub count: i64,
    /// Runs of different seeds disagree at equal times.
    pub seed: i64,
    /// Native histograms instead of floats, standing for the numbers that [`code_of`] returns.
    pub histograms: bool,
}

/// Numbers below stand for histograms, in the tests' models.
const HISTOGRAM_CODES: f64 = -1000.0;

/// Returns the histogram that a number stands for, if it does: what decides is its count, and its layout.
pub fn histogram_of(code: f64) -> Option<FloatHistogram> {
    let count = HISTOGRAM_CODES - code;
    let length = 1 + (count * 4.0) as u32 / 3;
    (code <= HISTOGRAM_CODES).then(|| FloatHistogram {
        count,
        sum: 0.1 * count,
        positive_spans: vec![Span { offset: 1, length }],
        positive_buckets: vec![count; length as usize],
        ..FloatHistogram::default()
    })
}

/// Returns the number that stands for a sample; panics when the sample is none that runs have.
pub fn code_of(samples: &Samples, at: usize) -> f64 {
    let code = samples.histogram(at).map_or(samples.floats[at], |histogram| {
        let code = HISTOGRAM_CODES - histogram.count;
        assert_eq!(Some(&**histogram), histogram_of(code).as_ref());
        code
    });
    assert_eq!(samples.start(at), start_of(samples.timestamps[at], code));
    code
}

/// Returns the start timestamp of a run's sample.
fn start_of(time_ms: i64, code: f64) -> i64 {
    if code.fract().abs() == 0.25 { time_ms - 10 } else { 0 }
}

impl Run {
    pub fn samples(&self) -> impl Iterator<Item = (i64, f64)> {
        (0..self.count).map(|i| {
            let time_ms = self.start_ms + i * self.step_ms;
            let value = (time_ms.rem_euclid(7) + self.seed) as f64 / 4.0;
            (time_ms, if self.histograms { HISTOGRAM_CODES - value } else { value })
        })
    }
}

/// What a log entry asks of a head.
#[derive(Clone, Debug)]
pub enum Op {
    Append {
        stamp_ms: i64,
        runs: Vec<Run>,
    },
    Cut(i64),
    Drop(i64),
    /// Of these series, at these times; told by a matcher, or by their labels.
    Delete {
        series: Vec<usize>,
        start_ms: i64,
        end_ms: i64,
        by_matcher: bool,
    },
}

pub fn op() -> impl Strategy<Value = Op> {
    let histograms = prop::bool::weighted(0.2);
    let run = (0..SERIES, any::<bool>(), 0..TIME_MAX, -3i64..8, 1i64..200, 0i64..2, histograms).prop_map(
        |(series, by_ref, start_ms, step_ms, count, seed, histograms)| Run {
            series,
            by_ref,
            start_ms,
            step_ms,
            count,
            seed,
            histograms,
        },
    );
    let stamp = prop_oneof![3 => Just(TIME_MAX * 2), 1 => 0..TIME_MAX];
    let series = prop::collection::vec(0..SERIES, 0..4);
    let delete = (series, -10..TIME_MAX, -1i64..1500, any::<bool>()).prop_map(
        |(series, start_ms, length_ms, by_matcher)| Op::Delete {
            series,
            start_ms,
            end_ms: start_ms + length_ms,
            by_matcher,
        },
    );
    let append = (stamp, prop::collection::vec(run, 0..4));
    prop_oneof![
        6 => append.prop_map(|(stamp_ms, runs)| Op::Append { stamp_ms, runs }),
        1 => delete,
        1 => (0..TIME_MAX).prop_map(Op::Cut),
        1 => (0..TIME_MAX).prop_map(Op::Drop),
    ]
}

/// Refs by series, as a writer remembers them; they may be out of date.
pub type KnownRefs = BTreeMap<usize, SeriesRef>;

/// Makes the batch of an append. Returns it with the series that it declares, in order.
pub fn batch_of(runs: &[Run], known: &KnownRefs) -> (Batch, Vec<usize>) {
    let (mut builder, mut declared) = (BatchBuilder::new(), Vec::new());
    for run in runs {
        match known.get(&run.series).filter(|_| run.by_ref) {
            Some(series) => run.samples().for_each(|(t, v)| {
                builder.push_ref(*series, t, v);
                builder.widen_last(start_of(t, v), histogram_of(v).as_ref());
            }),
            None => {
                let index = builder.declare(&labels(run.series));
                declared.push(run.series);
                run.samples().for_each(|(t, v)| {
                    builder.push_declared(index, t, v);
                    builder.widen_last(start_of(t, v), histogram_of(v).as_ref());
                });
            }
        }
        let trace = LabelSet::from_pairs([("trace", run.seed.to_string())]);
        let exemplar = Exemplar { labels: trace, value: run.seed as f64, time_ms: run.start_ms };
        builder.push_exemplar(&labels(run.series), &exemplar);
        builder.push_metadata(&MetricMetadata {
            family: format!("m{}", run.series),
            metric_type: MetricType::Gauge,
            help: run.seed.to_string(),
            unit: String::new(),
        });
    }
    (Batch::decode(&builder.finish()).expect("a builder writes batches"), declared)
}

/// Does what an operation asks; remembers the refs that a batch is answered with.
pub fn perform(head: &Head, op: &Op, known: &mut KnownRefs) -> Option<BatchOutcome> {
    match op {
        Op::Append { stamp_ms, runs } => {
            let (batch, declared) = batch_of(runs, known);
            let outcome = head.apply(*stamp_ms, &batch);
            for (series, declared) in declared.into_iter().zip(&outcome.declared_refs) {
                declared.and_then(|declared| known.insert(series, declared));
            }
            return Some(outcome);
        }
        Op::Cut(end_ms) => head.cut(*end_ms),
        Op::Drop(end_ms) => head.drop_before(*end_ms),
        Op::Delete { series, start_ms, end_ms, by_matcher } => {
            let range = TimeRange::new(*start_ms, *end_ms);
            let deleted = if *by_matcher {
                let selector = |i: &usize| vec![Matcher::equal("i", i.to_string())];
                head.delete(&series.iter().map(selector).collect::<Vec<_>>(), None, range)
            } else {
                let is_named = |set: &LabelSet| series.iter().any(|i| *set == labels(*i));
                head.delete(&[Vec::new()], Some(&is_named), range)
            };
            assert!(deleted.expect("few ranges") <= SERIES);
        }
    }
    None
}

/// Writes a snapshot and reads it back.
pub fn restored(head: &Head, config: HeadConfig) -> Head {
    Head::read_snapshot(config, &mut snapshot(head).as_slice()).expect("what was written can be read")
}

pub fn snapshot(head: &Head) -> Vec<u8> {
    let mut bytes = Vec::new();
    head.write_snapshot(&mut bytes).expect("memory takes all bytes");
    bytes
}
