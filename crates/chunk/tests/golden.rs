//! Golden bytes: what was once written can be read for ever, and is still written so. See `docs/formats/chunk.md`.

mod support;

use std::sync::Arc;

use chunk::{EncodedChunk, OpenChunk, OpenRun, decode, encode, encode_run, runs};
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Span};
use model::{FloatHistogram, SampleValue, Samples};

use support::facts;

const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check(chunk: &EncodedChunk, golden: &str, timestamps: &[i64], values: &[f64]) {
    assert_eq!(hex(&chunk.data), golden);
    let mut samples = Samples::default();
    decode(&chunk.data, &mut samples).expect("golden bytes are a chunk");
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!((samples.timestamps.as_slice(), bits(&samples.floats)), (timestamps, bits(values)));
}

#[test]
fn sealed() {
    let aligned: Vec<i64> = (0..8).map(|i| 1_700_000_000_000 + i * 15_000).collect();
    let jittered = [1000, 2003, 2999, 4000, 5001, 6000, 7002, 9000];
    let cases: [(&[i64], Vec<f64>, &str); 6] = [
        (&aligned, vec![3.0; 8], "02080580a0abfef962b0ea0101040600202fa756"),
        (&aligned, vec![STALE; 8], "02080580a0abfef962b0ea0100020000000000f07f31f69988"),
        (
            &aligned,
            (0..8).map(|i| 100.0 + f64::from(i * i % 5)).collect(),
            "02080580a0abfef962b0ea01010ac8010204050106006915c533",
        ),
        (
            &jittered,
            vec![0.5, 0.25, 0.75, 0.5, -0.5, 1.25, 2.5, STALE],
            "020801d00fd20f0b0448000000300001281f210a64316319052a040d0a0107020000000000f07f35c2a88b",
        ),
        (
            &jittered,
            (1..9).map(|i| f64::from(i).sqrt()).collect(),
            "020801d00fd20f0b0448000000300001281f02413ff0000000000000db96a09e667f3bcdd99e8b724713bbb3e1f7ffddb3d742c2655df6f8dde6e5fd2bbb09efe63e7b561edc35978deedece3bb1e2b873eb70c9c0ea9bfc56",
        ),
        (
            &jittered,
            (0..8).map(|i| f64::from(i * i % 5) * 4096.0).collect(),
            "020801d00fd20f0b0448000000300001281f010a00804080800180a0010106007dd2ba36",
        ),
    ];
    for (timestamps, values, golden) in cases {
        check(&encode(timestamps, &values), golden, timestamps, &values);
    }
}

#[test]
fn open() {
    let samples = [
        (1_700_000_000_000, 1.0),
        (1_700_000_015_000, 1.0),
        (1_700_000_030_000, 1.0),
        (1_700_000_045_001, 2.0),
        (1_700_000_060_000, 2.5),
        (1_700_000_360_000, STALE),
        (1_800_000_000_000, -0.0),
    ];
    let mut chunk = OpenChunk::new();
    samples.iter().for_each(|(time_ms, value)| chunk.append(*time_ms, *value));
    let (timestamps, values): (Vec<i64>, Vec<f64>) = samples.into_iter().unzip();
    check(
        &chunk.to_encoded(),
        "01070000018bcfe568003ff0000000000000f00ea5e607095fff05b40f88b291c5e7fe8000000000007e0000005d21b3577f83efff0000000000002063a3351b",
        &timestamps,
        &values,
    );
}

/// Seals and opens samples that are one run, holds both against golden bytes, and reads both back.
fn check_wide(samples: &Samples, sealed: &str, open: &str) {
    assert!(runs(samples).eq(std::iter::once(0..samples.len())), "the samples are one run");
    let chunk = encode_run(samples, 0..samples.len());
    let mut run = OpenRun::default();
    for (at, time_ms) in samples.timestamps.iter().enumerate() {
        assert!(run.takes(samples.start(at), &samples.value(at)));
        run.append(*time_ms, samples.start(at), samples.value(at));
    }
    let chunks = [chunk, run.to_encoded()];
    assert_eq!(chunks.each_ref().map(|chunk| hex(&chunk.data)), [sealed, open]);
    for chunk in chunks {
        let mut back = Samples::default();
        decode(&chunk.data, &mut back).expect("golden bytes are a chunk");
        assert_eq!(facts(&back), facts(samples));
    }
}

#[test]
fn floats_with_start_timestamps() {
    let (mut cumulative, mut delta) = (Samples::default(), Samples::default());
    for at in 0..6 {
        let time_ms = 1_700_000_000_000 + at * 15_000 + at % 3;
        cumulative.push_value(time_ms, 1_699_999_000_000, SampleValue::Float(at as f64 * 2.0));
        let before_ms = delta.timestamps.last().copied().unwrap_or(time_ms - 15_000);
        delta.push_value(time_ms, before_ms, SampleValue::Float(0.5));
    }
    check_wide(
        &cumulative,
        "0406020a80a0abfef962b2ea0100030224048097b1fdf962010500040019b1052c",
        "0306000000018bcfe56800c0000062f3f589701c03a98a0640e11038540c81801ee2c882",
    );
    check_wide(
        &delta,
        "0406040a80a0abfef962b2ea010003022408009875010111040a00ff15b7d4",
        "0306000000018bcfe56800c0000062f3f94b5a3888fff00ea63121242c40fc0731ab",
    );
}

#[test]
fn integer_histograms() {
    let span = |offset, length| Span { offset, length };
    let mut samples = Samples::default();
    for at in 0..5 {
        let count = |from: u32, step: u32| f64::from(from + step * at);
        let histogram = FloatHistogram {
            reset_hint: if at == 0 { CounterResetHint::Reset } else { CounterResetHint::Unknown },
            schema: 3,
            zero_threshold: 2f64.powi(-128),
            zero_count: count(1, 0),
            count: count(20, 6),
            sum: f64::from(at) * 0.1,
            positive_spans: vec![span(-4, 2), span(3, 1)],
            negative_spans: vec![span(1, 1)],
            positive_buckets: vec![count(10, 3), count(2, 1), count(0, 0)],
            negative_buckets: vec![count(7, 2)],
            custom_bounds: vec![],
        };
        samples.push_histogram(1_700_000_000_000 + i64::from(at) * 15_000, Arc::new(histogram));
    }
    let stale = FloatHistogram { reset_hint: CounterResetHint::Gauge, ..FloatHistogram::stale() };
    samples.push_histogram(1_700_000_075_000, Arc::new(stale));
    check_wide(
        &samples,
        "0406010580a0abfef962b0ea010102000401000e06000000000000f0370207020601010201000309280c060110030402110100020290010103343333333333d33f0309140603011003010402011003040003090e04020110e2adebe3",
        "03060106000000000000f0370207020601010201000000018bcfe568004c9e0289c0d0de01d4bd10b7179fdccccccccccccd82c050310b7485e0b0140c42dd79eaaaaaaaaaaabc160281885b2aaaaaaaaaaabc1602819e02bbe2e1",
    );
}

#[test]
fn float_histograms_with_custom_bounds_and_start_timestamps() {
    let mut samples = Samples::default();
    for at in 0..4 {
        let histogram = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: 2.5 * f64::from(at),
            sum: -0.0,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![f64::from(at).sqrt(), f64::from_bits(0x7ff8_0000_0000_0007)],
            custom_bounds: vec![0.25, 1e9],
            ..FloatHistogram::default()
        };
        samples.push_histogram(1000 + i64::from(at) * 7, Arc::new(histogram));
        samples.start_last(i64::from(at / 2) * 500);
    }
    check_wide(
        &samples,
        "04040305d00f0e0a0000e807e807010204006900000000000000000100020002000000000000d03f0000000065cdcd411105003200030400000000000000000080021b0000000000000000c44fffb72d413cccfe779bb33d16e48e27776700070000000000f87fdee6db2c",
        "0304016900000000000000000100020002000000000000d03f0000000065cdcd4100000000000003e80e002e1fbffc000000000003c69c26400480980000000000000fa3ac09db96a09e667f3bcd0ec0a9d99e8b724713bbb380b44de32f",
    );
}
