//! Any frames are refused as a snapshot of a head or restored; what is restored writes a snapshot that restores to the same.
//! Magic, lengths and checksums are put on here: the input is a list of frames, each a kind, a length (u16) and a payload.

#![no_main]

use head::{Head, HeadConfig};
use libfuzzer_sys::fuzz_target;

const VERSION: u32 = 2;
const CONFIG: HeadConfig = HeadConfig { out_of_order_window_ms: 1000, future_ms_max: 1000, series_max: 1000, exemplars_max: 100 };

fn framed(mut input: &[u8]) -> Vec<u8> {
    let mut out = b"NORNHEAD".to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    while let Some(([kind, low, high], rest)) = input.split_first_chunk::<3>() {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (payload, rest) = rest.split_at(length);
        let mut frame = vec![*kind];
        frame.extend_from_slice(&(length as u32).to_le_bytes());
        frame.extend_from_slice(payload);
        out.extend_from_slice(&frame);
        out.extend_from_slice(&crc32c::crc32c(&frame).to_le_bytes());
        input = rest;
    }
    out
}

fn written(head: &Head) -> Vec<u8> {
    let mut bytes = Vec::new();
    head.write_snapshot(&mut bytes).expect("memory takes all bytes");
    bytes
}

fuzz_target!(|input: &[u8]| {
    let Ok(head) = Head::read_snapshot(CONFIG, &mut &*framed(input)) else { return };
    let bytes = written(&head);
    let again = Head::read_snapshot(CONFIG, &mut &*bytes).expect("what was written can be read");
    assert_eq!(written(&again), bytes);
});
