//! Reading several chunks of one series as one run of samples.

use crate::{ChunkError, EncodedChunk, decode};

/// Appends the samples within the closed range `[start_ms, end_ms]` in time order, each timestamp once.
///
/// Chunks may overlap in time and come in any order; on equal timestamps the chunk listed first wins. Chunks outside
/// the range are not decoded. On an error both columns are as before.
///
/// # Errors
/// [`ChunkError`] when a chunk is damaged or does not hold what its description says.
pub fn read_merged(
    chunks: &[EncodedChunk],
    start_ms: i64,
    end_ms: i64,
    timestamps: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let wanted = || chunks.iter().filter(|chunk| chunk.start_ms <= end_ms && chunk.end_ms >= start_ms);
    let is_ordered = wanted().zip(wanted().skip(1)).all(|(chunk, next)| chunk.end_ms < next.start_ms);
    let before = (timestamps.len(), values.len());
    let result = if is_ordered {
        wanted().try_for_each(|chunk| read_checked(chunk, timestamps, values))
    } else {
        read_unordered(&wanted().collect::<Vec<_>>(), timestamps, values)
    };
    if result.is_err() {
        timestamps.truncate(before.0);
        values.truncate(before.1);
        return result;
    }
    let read = &timestamps[before.0..];
    let end = read.partition_point(|time_ms| *time_ms <= end_ms);
    // An empty range may lie within a chunk; then the start is behind the end.
    let first = read.partition_point(|time_ms| *time_ms < start_ms).min(end);
    timestamps.truncate(before.0 + end);
    values.truncate(before.1 + end);
    timestamps.drain(before.0..before.0 + first);
    values.drain(before.1..before.1 + first);
    Ok(())
}

/// Decodes a chunk without its hidden samples and holds it against its description, on which the order of the result rests.
fn read_checked(
    chunk: &EncodedChunk,
    timestamps: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let start = timestamps.len();
    decode(&chunk.data, timestamps, values)?;
    let read = &timestamps[start..];
    let (first, last) = (read[0], read[read.len() - 1]);
    if first > chunk.start_ms || last != chunk.end_ms || read.len() != chunk.samples as usize {
        return Err(ChunkError::Mismatch { samples: read.len(), start_ms: first, end_ms: last });
    }
    if first < chunk.start_ms {
        let hidden = read.partition_point(|time_ms| *time_ms < chunk.start_ms);
        timestamps.drain(start..start + hidden);
        values.drain(values.len() - chunk.samples as usize..values.len() - chunk.samples as usize + hidden);
    }
    Ok(())
}

/// Reads chunks that overlap or come in any order.
fn read_unordered(
    chunks: &[&EncodedChunk],
    timestamps: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let mut samples: Vec<(i64, usize, f64)> = Vec::new();
    let (mut times, mut floats) = (Vec::new(), Vec::new());
    for (index, chunk) in chunks.iter().enumerate() {
        times.clear();
        floats.clear();
        read_checked(chunk, &mut times, &mut floats)?;
        samples.extend(times.iter().zip(&floats).map(|(time_ms, value)| (*time_ms, index, *value)));
    }
    samples.sort_unstable_by_key(|(time_ms, index, _)| (*time_ms, *index));
    samples.dedup_by_key(|(time_ms, _, _)| *time_ms);
    timestamps.extend(samples.iter().map(|(time_ms, _, _)| *time_ms));
    values.extend(samples.iter().map(|(_, _, value)| *value));
    Ok(())
}
