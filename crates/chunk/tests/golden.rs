//! Golden bytes: what was once written can be read for ever, and is still written so. See `docs/formats/chunk.md`.

use chunk::{EncodedChunk, OpenChunk, decode, encode};

const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check(chunk: &EncodedChunk, golden: &str, timestamps: &[i64], values: &[f64]) {
    assert_eq!(hex(&chunk.data), golden);
    let (mut times, mut floats) = (Vec::new(), Vec::new());
    decode(&chunk.data, &mut times, &mut floats).expect("golden bytes are a chunk");
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!((times.as_slice(), bits(&floats)), (timestamps, bits(values)));
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
