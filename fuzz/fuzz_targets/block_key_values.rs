//! Any key-value metadata is refused or describes a block.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| block::fuzzing::key_values(body));
