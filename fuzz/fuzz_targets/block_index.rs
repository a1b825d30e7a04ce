//! Any content of the index section is refused, or answers matchers within its rows. The checksum is put
//! on here, so that the bytes reach the decoder.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| block::fuzzing::index(body));
