//! Any value of chunks.parquet is refused or decoded, and what is decoded is written and read to the same. The checksum is put
//! on here, so that the bytes reach the decoder.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| block::fuzzing::value(body));
