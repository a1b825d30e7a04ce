//! Reading several chunks of one series as one run of samples.

use model::Samples;

use crate::{ChunkError, EncodedChunk, decode};

/// Appends the samples within the closed range `[start_ms, end_ms]` in time order, each timestamp once. What `out`
/// holds already is not looked at.
///
/// Chunks may overlap in time and come in any order; on equal timestamps the chunk listed first wins. Chunks outside
/// the range are not decoded. On an error `out` is as before.
///
/// # Errors
/// [`ChunkError`] when a chunk is damaged or does not hold what its description says.
pub fn read_merged(
    chunks: &[EncodedChunk],
    start_ms: i64,
    end_ms: i64,
    out: &mut Samples,
) -> Result<(), ChunkError> {
    let wanted = || chunks.iter().filter(|chunk| chunk.start_ms <= end_ms && chunk.end_ms >= start_ms);
    let is_ordered = wanted().zip(wanted().skip(1)).all(|(chunk, next)| chunk.end_ms < next.start_ms);
    let before = out.len();
    let result = if is_ordered {
        wanted().try_for_each(|chunk| read_checked(chunk, out))
    } else {
        read_unordered(&wanted().collect::<Vec<_>>(), out)
    };
    if result.is_err() {
        out.truncate(before);
        return result;
    }
    let read = &out.timestamps[before..];
    let end = read.partition_point(|time_ms| *time_ms <= end_ms);
    // An empty range may lie within a chunk; then the start is behind the end.
    let first = read.partition_point(|time_ms| *time_ms < start_ms).min(end);
    out.truncate(before + end);
    out.remove(before..before + first);
    Ok(())
}

/// Decodes a chunk without its hidden samples and holds it against its description, on which the order of the result rests.
fn read_checked(chunk: &EncodedChunk, out: &mut Samples) -> Result<(), ChunkError> {
    let start = out.len();
    decode(&chunk.data, out)?;
    let read = &out.timestamps[start..];
    let (first, last) = (read[0], read[read.len() - 1]);
    if first > chunk.start_ms || last != chunk.end_ms || read.len() != chunk.samples as usize {
        return Err(ChunkError::Mismatch { samples: read.len(), start_ms: first, end_ms: last });
    }
    if first < chunk.start_ms {
        let hidden = read.partition_point(|time_ms| *time_ms < chunk.start_ms);
        out.remove(start..start + hidden);
    }
    Ok(())
}

/// Reads chunks that overlap or come in any order.
fn read_unordered(chunks: &[&EncodedChunk], out: &mut Samples) -> Result<(), ChunkError> {
    let mut all = Samples::default();
    let mut places: Vec<(i64, usize, usize)> = Vec::new();
    for (index, chunk) in chunks.iter().enumerate() {
        let before = all.len();
        read_checked(chunk, &mut all)?;
        places.extend((before..all.len()).map(|at| (all.timestamps[at], index, at)));
    }
    places.sort_unstable();
    places.dedup_by_key(|(time_ms, _, _)| *time_ms);
    out.extend_from(&all, places.iter().map(|(_, _, at)| *at));
    Ok(())
}
