//! Chunks without some of their samples: what readers and merges leave out of a series when samples of it were deleted.

use model::{Samples, TimeRange, TimeRanges};

use crate::{CHUNK_SAMPLES_MAX, ChunkError, EncodedChunk, encode_run, read_merged, runs};

/// Returns chunks without the samples at some times, in their order. A chunk without such a time stays as it is, one with
/// no other goes, and what is left of any other is encoded anew.
///
/// # Errors
/// [`ChunkError`] when a chunk that must be decoded is damaged.
pub fn without(chunks: Vec<EncodedChunk>, erased: &TimeRanges) -> Result<Vec<EncodedChunk>, ChunkError> {
    let held = |chunk: &EncodedChunk| TimeRange::new(chunk.start_ms, chunk.end_ms);
    if chunks.iter().all(|chunk| !erased.touches(&held(chunk))) {
        return Ok(chunks);
    }
    let mut left = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let held = held(&chunk);
        if !erased.touches(&held) {
            left.push(chunk);
        } else if !erased.covers(&held) {
            encode_rest(&chunk, erased, &mut left)?;
        }
    }
    Ok(left)
}

/// Encodes what is left of a chunk.
fn encode_rest(
    chunk: &EncodedChunk,
    erased: &TimeRanges,
    left: &mut Vec<EncodedChunk>,
) -> Result<(), ChunkError> {
    let mut samples = Samples::default();
    read_merged(std::slice::from_ref(chunk), chunk.start_ms, chunk.end_ms, &mut samples)?;
    for range in erased.as_slice().iter().rev() {
        let from = samples.timestamps.partition_point(|time_ms| *time_ms < range.start.0);
        let to = samples.timestamps.partition_point(|time_ms| *time_ms <= range.end.0);
        samples.remove(from..to);
    }
    for run in runs(&samples) {
        let starts = run.clone().step_by(CHUNK_SAMPLES_MAX);
        left.extend(
            starts
                .map(|from| encode_run(&samples, from..run.end.min(from.saturating_add(CHUNK_SAMPLES_MAX)))),
        );
    }
    Ok(())
}
