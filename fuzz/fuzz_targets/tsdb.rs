//! Any data of a chunk of Prometheus are refused or decoded, and what is decoded is encoded and decoded to the same; any
//! bytes as index or tombstones are refused or read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Samples;
use tsdb::{Encoding, Tombstones, decode, encode, runs};

fuzz_target!(|bytes: &[u8]| {
    let Some((code, data)) = bytes.split_first() else { return };
    if *code == 0 {
        let _ = Tombstones::parse("tombstones".as_ref(), data);
        let crc = crc32c::crc32c(data.get(5..).unwrap_or_default()).to_be_bytes();
        let _ = Tombstones::parse("tombstones".as_ref(), &[data, &crc].concat());
        return;
    }
    let Ok(encoding) = Encoding::of_code(*code) else { return };
    let mut samples = Samples::default();
    if decode(encoding, data, &mut samples).is_err() {
        assert!(samples.is_empty(), "a failed decode leaves nothing behind");
        return;
    }
    let mut back = Samples::default();
    for run in runs(&samples, 120) {
        let encoded = encode(&samples, run);
        decode(encoded.encoding, &encoded.data, &mut back).expect("what was encoded is decoded");
    }
    assert_eq!(back.timestamps, samples.timestamps);
    assert!(back.floats.iter().map(|float| float.to_bits()).eq(samples.floats.iter().map(|float| float.to_bits())));
    assert_eq!(back.histograms.len(), samples.histograms.len());
});
