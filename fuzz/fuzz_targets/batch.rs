//! Any bytes are refused as a batch and as an outcome, or decoded; an outcome encodes to what decodes to the same.

#![no_main]

use batch::{Batch, BatchOutcome, SeriesSlot};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(batch) = Batch::decode(bytes) {
        for sample in batch.samples() {
            if let SeriesSlot::Declared(index) = sample.series {
                assert!((index as usize) < batch.declared().len());
            }
        }
        for wide in batch.wide() {
            assert!((wide.position as usize) < batch.samples().len());
            assert!(wide.histogram.as_ref().is_none_or(|histogram| histogram.is_storable()));
        }
    }
    if let Ok(outcome) = BatchOutcome::decode(bytes) {
        assert_eq!(BatchOutcome::decode(&outcome.encode()), Ok(outcome));
    }
});
