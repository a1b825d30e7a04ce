//! Blocks that are written and read again; and every damage of one is noticed or harmless.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Span};
use model::{BlockId, BlockRange, FloatHistogram, LabelSet, Samples, TimeRange};
use proptest::prelude::*;
use tsdb::{Block, BlockWriter, decode, encode, runs};

/// What a series is made of, to be compared bit for bit.
fn shown(samples: &Samples) -> String {
    let bits: Vec<u64> = samples.floats.iter().map(|float| float.to_bits()).collect();
    let sums: Vec<u64> = samples.histograms.iter().map(|(_, histogram)| histogram.sum.to_bits()).collect();
    format!("{:?} {bits:?} {:?} {sums:?}", samples.timestamps, samples.histograms)
}

fn counter(time: i64, custom: bool, whole: bool) -> FloatHistogram {
    let scale = if whole { 1.0 } else { 1.1 };
    let counts = vec![time as f64 * scale, (time / 2) as f64 * scale, (time / 7) as f64 * scale];
    let plain = FloatHistogram {
        schema: 3,
        zero_threshold: 2f64.powi(-128),
        zero_count: (time % 5) as f64,
        count: counts.iter().sum::<f64>() + (time % 5) as f64,
        sum: time as f64 * 0.3,
        positive_spans: vec![Span { offset: -3, length: 2 }, Span { offset: 4, length: 1 }],
        positive_buckets: counts.clone(),
        ..FloatHistogram::default()
    };
    match custom {
        false => FloatHistogram {
            negative_spans: vec![Span { offset: 1, length: 3 }],
            negative_buckets: counts,
            ..plain
        },
        true => FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            zero_threshold: 0.0,
            zero_count: 0.0,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            custom_bounds: vec![0.005, 0.1, 1.0 / 3.0, 1e9],
            ..plain
        },
    }
}

fn series() -> Vec<(LabelSet, Samples)> {
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let mut all = Vec::new();
    for number in 0..40i64 {
        let labels = LabelSet::from_pairs([
            ("__name__", format!("m{}", number % 4)),
            ("Zone", format!("z{number}")),
            ("job", "j".to_owned()),
        ]);
        let mut samples = Samples::default();
        for step in 0..(number * 9 + 1) {
            let time = 1000 + step * 15_000 + (step * number) % 7;
            match number % 4 {
                0 => samples.push(time, (step * number) as f64),
                1 => samples.push(time, if step % 50 == 49 { stale } else { (step as f64).sqrt() }),
                2 => {
                    let mut histogram = counter(step % 200, number % 8 == 2, number % 3 == 0);
                    if step % 60 == 59 {
                        histogram = FloatHistogram { sum: stale, ..FloatHistogram::default() };
                    }
                    samples.push_histogram(time, Arc::new(histogram));
                }
                _ if step % 5 == 0 => {
                    let mut histogram = counter(300 - step, false, true);
                    histogram.reset_hint = CounterResetHint::Gauge;
                    samples.push_histogram(time, Arc::new(histogram));
                }
                _ => samples.push(time, f64::from_bits(0x7ff8_0000_dead_0000 | step as u64)),
            }
        }
        all.push((labels, samples));
    }
    all
}

fn write(parent: &Path, series: &[(LabelSet, Samples)]) -> std::path::PathBuf {
    let id = BlockId(0x0190_0000_0000 << 80 | 7);
    let mut writer = BlockWriter::create(parent, id, BlockRange::new(0, 7_200_000)).expect("writable");
    for (labels, samples) in series.iter().rev() {
        writer.add(labels, samples).expect("writable");
    }
    let written = writer.finish().expect("writable");
    assert_eq!(written.meta.stats.num_series, series.len() as u64);
    written.dir
}

fn read(dir: &Path, range: TimeRange) -> Result<Vec<(LabelSet, Samples)>, tsdb::TsdbError> {
    let block = Block::open(dir)?;
    let mut cursor = block.series();
    let mut found = Vec::new();
    while let Some(entry) = cursor.next_series()? {
        let mut samples = Samples::default();
        cursor.read(&entry, range, &mut samples)?;
        assert_eq!(cursor.series_at(entry.reference)?.labels, entry.labels);
        found.push((entry.labels, samples));
    }
    Ok(found)
}

/// What a reader gives of samples: of a counter, whether the first after a reset is one is said by the chunk.
fn without_hints(samples: &Samples) -> Samples {
    let mut samples = samples.clone();
    for (_, histogram) in &mut samples.histograms {
        let histogram = Arc::make_mut(histogram);
        if histogram.reset_hint != CounterResetHint::Gauge {
            histogram.reset_hint = CounterResetHint::Unknown;
        }
    }
    samples
}

#[test]
fn what_was_written_is_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut series = series();
    let block = write(dir.path(), &series);
    series.sort_by(|a, b| a.0.cmp(&b.0));
    let check = |range: TimeRange| {
        let found = read(&block, range).expect("undamaged");
        assert_eq!(found.len(), series.len());
        for ((labels, samples), (expected_labels, all)) in found.iter().zip(&series) {
            assert_eq!(labels, expected_labels);
            let mut expected = Samples::default();
            let within = (0..all.len()).filter(|at| range.contains(all.timestamps[*at])).collect::<Vec<_>>();
            expected.extend_from(all, within.into_iter());
            assert_eq!(shown(&without_hints(samples)), shown(&without_hints(&expected)), "{labels}");
        }
    };
    check(TimeRange::ALL);
    check(TimeRange::new(400_000, 1_000_000));
    check(TimeRange::new(500, 900));
}

#[test]
fn a_chunk_has_no_reset_but_at_its_start() {
    for (_, samples) in series() {
        for run in runs(&samples, 120) {
            let encoded = encode(&samples, run.clone());
            let mut back = Samples::default();
            decode(encoded.encoding, &encoded.data, &mut back).expect("just encoded");
            for pair in back.histograms.windows(2) {
                let [(_, last), (_, next)] = pair else { unreachable!("windows of two") };
                let is_gauge = next.reset_hint == CounterResetHint::Gauge;
                assert!(is_gauge || next.is_stale() || !next.detect_reset(last), "{run:?}");
            }
        }
    }
}

/// Equal input gives the bytes of the first version, which Prometheus reads (see the end-to-end test `import`).
#[test]
fn golden() {
    let dir = tempfile::tempdir().expect("a directory");
    let block = write(dir.path(), &series());
    let crc = |name: &str| crc32c::crc32c(&fs::read(block.join(name)).expect("written"));
    let found = ["meta.json", "index", "chunks/000001", "tombstones"].map(crc);
    assert_eq!(found.map(|crc| format!("{crc:08x}")), GOLDEN);
}

const GOLDEN: [&str; 4] = ["3042d4db", "1a46dc6d", "9797d14d", "710148f5"];

#[test]
fn damage_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let few: Vec<_> = series().into_iter().take(5).collect();
    let block = write(dir.path(), &few);
    let expected: Vec<String> =
        read(&block, TimeRange::ALL).expect("undamaged").iter().map(|(_, samples)| shown(samples)).collect();
    for name in ["index", "chunks/000001", "tombstones"] {
        let path = block.join(name);
        let good = fs::read(&path).expect("written");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            fs::write(&path, &bad).expect("writable");
            check_damaged(&block, name, at, &expected);
            if at % 16 == 0 {
                fs::write(&path, &good[..at]).expect("writable");
                check_damaged(&block, name, at, &expected);
            }
        }
        fs::write(&path, &good).expect("writable");
    }
}

/// Either the damage is told, or it is in what nobody reads (padding, postings) and the answer is the same.
fn check_damaged(block: &Path, name: &str, at: usize, expected: &[String]) {
    match read(block, TimeRange::ALL) {
        Err(error) => assert!(error.to_string().contains(name), "{name} at {at}: {error}"),
        Ok(found) => {
            let found: Vec<String> = found.iter().map(|(_, samples)| shown(samples)).collect();
            assert_eq!(found, expected, "{name} at {at}");
        }
    }
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), any::<u64>().prop_map(f64::from_bits), (0..1000i64).prop_map(|n| n as f64)]
}

fn histogram() -> impl Strategy<Value = FloatHistogram> {
    let whole = prop::collection::vec(0..1_000_000_000u64, 5);
    let some = prop::collection::vec(0.0..1e12f64, 5);
    let counts = prop_oneof![whole.prop_map(|counts| counts.iter().map(|n| *n as f64).collect()), some];
    let spans = prop_oneof![
        Just(vec![Span { offset: 0, length: 5 }]),
        (-9..9i32, 0..70_000i32)
            .prop_map(|(offset, gap)| vec![Span { offset, length: 2 }, Span { offset: gap, length: 3 }])
    ];
    (counts, spans, -4..=8i32, float(), prop_oneof![Just(0.0), Just(1e-128), Just(0.5), 0.0..1e9f64])
        .prop_map(|(counts, spans, schema, sum, zero_threshold)| FloatHistogram {
            schema,
            zero_threshold,
            zero_count: counts[0],
            count: counts[1],
            sum,
            positive_spans: spans,
            positive_buckets: counts,
            ..FloatHistogram::default()
        })
}

proptest! {
    #[test]
    fn chunks_come_back(
        times in prop::collection::btree_set(
            prop_oneof![-1_000_000_000_000..9_000_000_000_000i64, 0..100_000i64], 1..60
        ),
        values in prop::collection::vec((float(), prop::option::weighted(0.4, histogram())), 60),
    ) {
        let mut samples = Samples::default();
        for (time, (float, histogram)) in times.into_iter().zip(values) {
            match histogram {
                None => samples.push(time, float),
                Some(histogram) => samples.push_histogram(time, Arc::new(histogram)),
            }
        }
        let mut back = Samples::default();
        for run in runs(&samples, 50) {
            let encoded = encode(&samples, run);
            decode(encoded.encoding, &encoded.data, &mut back).expect("just encoded");
        }
        // A marker's other fields are not kept.
        let mut expected = samples.clone();
        for (_, histogram) in expected.histograms.iter_mut().filter(|(_, histogram)| histogram.is_stale()) {
            *histogram = Arc::new(FloatHistogram { sum: histogram.sum, ..FloatHistogram::default() });
        }
        prop_assert_eq!(shown(&without_hints(&back)), shown(&without_hints(&expected)));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(code in 0..8u8, data in prop::collection::vec(any::<u8>(), 0..300)) {
        let Ok(encoding) = tsdb::Encoding::of_code(code) else { return Ok(()) };
        let mut samples = Samples::default();
        match decode(encoding, &data, &mut samples) {
            Ok(()) => prop_assert!(samples.timestamps.is_sorted_by(|a, b| a < b)),
            Err(_) => prop_assert!(samples.is_empty()),
        }
    }
}
