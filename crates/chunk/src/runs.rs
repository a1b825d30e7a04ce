//! Splitting samples of any kind into runs, each of which one chunk holds.

use std::ops::Range;

use bytes::Bytes;
use model::Samples;

use crate::container::{CHUNK_SAMPLES_MAX, EncodedChunk, Encoding, encode, finish};
use crate::{hidden, wide};

/// Iterates over the longest runs of samples that one chunk can hold but for their number, which callers choose: of one
/// kind and, for histograms, of one layout. Any part of a run is a run, too.
pub fn runs(samples: &Samples) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut from = 0;
    let mut histograms = samples.histograms.as_slice();
    std::iter::from_fn(move || {
        let first = histograms.first().map_or(samples.len(), |(at, _)| *at as usize);
        let end = if histograms.is_empty() || from < first {
            first
        } else {
            let length = wide::run_length(histograms);
            histograms = &histograms[length..];
            from + length
        };
        let run = from..end;
        from = end;
        (!run.is_empty()).then_some(run)
    })
}

/// Encodes a run as a sealed chunk: the smallest form, for samples that do not change any more. Deterministic.
///
/// # Panics
/// When the range is empty, longer than [`CHUNK_SAMPLES_MAX`] or no part of a run, when timestamps are not strictly ascending, or
/// when a histogram is not [`model::FloatHistogram::is_storable`].
pub fn encode_run(samples: &Samples, run: Range<usize>) -> EncodedChunk {
    match samples.hidden.get(run.clone()) {
        Some(all) if all.iter().any(|hidden| *hidden != 0) => hidden::wrap(encode_shown(samples, run), all),
        _ => encode_shown(samples, run),
    }
}

/// Encodes a run without what its samples hide.
fn encode_shown(samples: &Samples, run: Range<usize>) -> EncodedChunk {
    let timestamps = &samples.timestamps[run.clone()];
    let has_starts =
        samples.start_timestamps.get(run.clone()).is_some_and(|all| all.iter().any(|ms| *ms != 0));
    if !has_starts && samples.histogram(run.start).is_none() {
        return encode(timestamps, &samples.floats[run]);
    }
    assert!((1..=CHUNK_SAMPLES_MAX).contains(&timestamps.len()), "a chunk holds 1 to 65536 samples");
    assert!(timestamps.is_sorted_by(|a, b| a < b), "samples of a chunk are strictly ascending in time");
    let (start_ms, end_ms) = (timestamps[0], timestamps[timestamps.len() - 1]);
    let (count, mut data) = (timestamps.len() as u32, vec![Encoding::SealedWide as u8]);
    wide::write_samples(samples, run, &mut data);
    finish(&mut data, 0);
    EncodedChunk { start_ms, end_ms, samples: count, data: Bytes::from(data) }
}
