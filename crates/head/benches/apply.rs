//! Nanoseconds a sample for decoding a batch and applying it: floats of known series, scrape after scrape, and histograms.
//!
//!     cargo bench -p head

use std::hint::black_box;
use std::time::Instant;

use batch::{Batch, BatchBuilder, BatchOutcome};
use head::{Head, HeadConfig};
use model::histogram::Span;
use model::{FloatHistogram, LabelSet, SeriesRef};

const SERIES: usize = 20_000;
const SCRAPES: i64 = 250;
const HISTOGRAM_SERIES: usize = 200;
const CONFIG: HeadConfig =
    HeadConfig { out_of_order_window_ms: 0, future_ms_max: i64::MAX, series_max: u64::MAX, exemplars_max: 0 };

fn declared(head: &Head, series: usize) -> Vec<SeriesRef> {
    let mut builder = BatchBuilder::new();
    for number in 0..series {
        builder.declare(&LabelSet::from_pairs([("__name__", "m"), ("number", &number.to_string())]));
    }
    let outcome = apply(head, 0, &builder.finish());
    outcome.declared_refs.into_iter().map(|declared| declared.expect("there is no limit")).collect()
}

fn apply(head: &Head, stamp_ms: i64, bytes: &[u8]) -> BatchOutcome {
    head.apply(stamp_ms, &Batch::decode(bytes).expect("a builder writes batches"))
}

/// Applies scrapes of some series and says what a sample costs; building the batches does not count.
fn measure(what: &str, series: usize, scrapes: i64, push: impl Fn(&mut BatchBuilder, SeriesRef, i64, usize)) {
    let head = Head::new(CONFIG);
    let refs = declared(&head, series);
    let mut nanos = 0;
    for scrape in 0..scrapes {
        let (time_ms, mut builder) = (scrape * 15_000, BatchBuilder::new());
        refs.iter().enumerate().for_each(|(number, series)| push(&mut builder, *series, time_ms, number));
        let bytes = builder.finish();
        let begin = Instant::now();
        let outcome = black_box(apply(&head, time_ms, &bytes));
        nanos += begin.elapsed().as_nanos();
        assert_eq!(outcome.accepted, series as u64);
    }
    let samples = series as u128 * scrapes as u128;
    let bytes = head.stats().bytes / series as u64;
    println!("{what:<12} {:>8.1} ns a sample, {bytes} bytes a series", nanos as f64 / samples as f64);
}

fn main() {
    for _ in 0..3 {
        measure("floats", SERIES, SCRAPES, |builder, series, time_ms, number| {
            builder.push_ref(series, time_ms, (time_ms / 1000 * (1 + number as i64 % 7)) as f64);
        });
    }
    measure("histograms", HISTOGRAM_SERIES, SCRAPES, |builder, series, time_ms, number| {
        let count = (time_ms / 1000 + number as i64) as f64;
        builder.push_ref(series, time_ms, 0.0);
        let histogram = FloatHistogram {
            count: count * 20.0,
            sum: count * 0.3,
            positive_spans: vec![Span { offset: 0, length: 20 }],
            positive_buckets: vec![count; 20],
            ..FloatHistogram::default()
        };
        builder.widen_last(0, Some(&histogram));
    });
}
