//! Any payload of any encoding is refused or decoded; what is decoded is sealed and decoded to the same, bit for bit.
//! The checksum is put on here, so that the bytes reach the decoders.

#![no_main]

use chunk::{CHUNK_SAMPLES_MAX, OpenRun, decode, encode_run, runs};
use libfuzzer_sys::fuzz_target;
use model::Samples;

fuzz_target!(|body: &[u8]| {
    let mut data = body.to_vec();
    data.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
    let mut samples = Samples::default();
    if decode(&data, &mut samples).is_err() {
        assert!(samples.is_empty(), "a failed decode leaves nothing behind");
        return;
    }
    assert!(samples.timestamps.is_sorted_by(|a, b| a < b) && samples.len() <= CHUNK_SAMPLES_MAX);
    let mut back = Samples::default();
    for run in runs(&samples) {
        decode(&encode_run(&samples, run).data, &mut back).expect("what was encoded is decoded");
    }
    // As text, which tells all floats apart but for the payloads of NaNs; these are compared below.
    assert_eq!(format!("{back:?}"), format!("{samples:?}"));
    assert!(back.floats.iter().map(|value| value.to_bits()).eq(samples.floats.iter().map(|value| value.to_bits())));
    if let Ok(open) = OpenRun::from_encoded(&data) {
        let mut again = Samples::default();
        decode(&open.to_encoded().data, &mut again).expect("what was encoded is decoded");
        assert_eq!(format!("{again:?}"), format!("{samples:?}"));
    }
});
