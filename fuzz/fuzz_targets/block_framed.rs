//! Any framed section of series.parquet is refused or unpacked and decoded. The checksum is put
//! on here, so that the bytes reach the decoder.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| block::fuzzing::framed(body));
