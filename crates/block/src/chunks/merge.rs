//! The chunks of one series from several blocks as the chunks of one.
//!
//! A chunk that overlaps no other and is full enough is copied, byte for byte. What lies between such chunks is decoded,
//! merged by time and encoded anew, whatever it holds: floats, histograms and start timestamps alike.

use chunk::{ChunkError, EncodedChunk};
use model::{BlockRange, Samples};

use super::value::{CHUNK_SAMPLES_MAX, seal_chunks};

/// From so many samples on, a chunk is not worth encoding anew: two that are not full enough fit into one.
const FULL_SAMPLES_MIN: usize = CHUNK_SAMPLES_MAX / 2;

/// Merges chunks; of samples with equal timestamps the one whose chunk is listed first stays. The result is in time order
/// without overlap, and depends on nothing but the list.
///
/// # Errors
/// [`ChunkError`] when a chunk that must be decoded is damaged.
pub(crate) fn merge_chunks(chunks: &[EncodedChunk]) -> Result<Vec<EncodedChunk>, ChunkError> {
    let mut order: Vec<usize> = (0..chunks.len()).collect();
    order.sort_by_key(|at| chunks[*at].start_ms);
    let mut merged = Vec::with_capacity(chunks.len());
    let mut loose: Vec<usize> = Vec::new();
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        let (cluster, after) = rest.split_at(cluster_length(chunks, rest));
        rest = after;
        let first = &chunks[cluster[0]];
        if cluster.len() == 1 && first.samples as usize >= FULL_SAMPLES_MIN {
            encode_loose(chunks, &mut loose, &mut merged)?;
            merged.push(first.clone());
        } else {
            loose.extend_from_slice(cluster);
        }
    }
    encode_loose(chunks, &mut loose, &mut merged)?;
    Ok(merged)
}

/// Returns what chunks hold of a window, in their order; one that reaches beyond it is cut, which encodes it anew.
///
/// # Errors
/// [`ChunkError`] when a chunk that must be decoded is damaged.
pub(crate) fn clip_chunks(
    chunks: &[EncodedChunk],
    window: BlockRange,
) -> Result<Vec<EncodedChunk>, ChunkError> {
    let range = window.closed();
    let mut clipped = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        if window.contains(chunk.start_ms) && window.contains(chunk.end_ms) {
            clipped.push(chunk.clone());
        } else if chunk.start_ms <= range.end.0 && range.start.0 <= chunk.end_ms {
            let mut samples = Samples::default();
            chunk::read_merged(std::slice::from_ref(chunk), range.start.0, range.end.0, &mut samples)?;
            clipped.extend(seal_chunks(&samples));
        }
    }
    Ok(clipped)
}

/// Returns how many chunks from the front overlap, one the next.
fn cluster_length(chunks: &[EncodedChunk], order: &[usize]) -> usize {
    let mut end_ms = chunks[order[0]].end_ms;
    let apart = order.iter().position(|at| {
        let chunk = &chunks[*at];
        let is_apart = chunk.start_ms > end_ms;
        end_ms = end_ms.max(chunk.end_ms);
        is_apart
    });
    // The first chunk is never apart from itself.
    apart.unwrap_or(order.len()).max(1)
}

/// Moves what was gathered to the result.
fn encode_loose(
    chunks: &[EncodedChunk],
    loose: &mut Vec<usize>,
    merged: &mut Vec<EncodedChunk>,
) -> Result<(), ChunkError> {
    if let [only] = loose[..] {
        merged.push(chunks[only].clone());
    } else if !loose.is_empty() {
        // Back in the order of the list, which decides between equal timestamps.
        loose.sort_unstable();
        let listed: Vec<EncodedChunk> = loose.iter().map(|at| chunks[*at].clone()).collect();
        let mut samples = Samples::default();
        chunk::read_merged(&listed, i64::MIN, i64::MAX, &mut samples)?;
        merged.extend(seal_chunks(&samples));
    }
    loose.clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chunks of `(first time, samples)`, one sample a second, with a value that tells the chunk.
    fn chunks(list: &[(i64, usize)]) -> Vec<EncodedChunk> {
        let chunk = |(number, (first, samples)): (usize, &(i64, usize))| {
            let times: Vec<i64> = (0..*samples as i64).map(|i| (first + i) * 1000).collect();
            chunk::encode(&times, &vec![number as f64; *samples])
        };
        list.iter().enumerate().map(chunk).collect()
    }

    /// Checks the shape of the result and which of the chunks were copied.
    fn check(list: &[(i64, usize)], expected: &[(i64, u32)], copied: &[usize]) {
        let input = chunks(list);
        let merged = merge_chunks(&input).expect("undamaged");
        let shape: Vec<(i64, u32)> =
            merged.iter().map(|chunk| (chunk.start_ms / 1000, chunk.samples)).collect();
        assert_eq!(shape, expected, "{list:?}");
        let is_copied = |at: &usize| merged.contains(&input[*at]);
        assert_eq!((0..input.len()).filter(is_copied).collect::<Vec<_>>(), copied, "{list:?}");
        let mut naive = std::collections::BTreeMap::new();
        for chunk in input.iter().rev() {
            let mut samples = Samples::default();
            chunk::decode(&chunk.data, &mut samples).expect("undamaged");
            naive.extend(samples.timestamps.into_iter().zip(samples.floats));
        }
        let mut samples = Samples::default();
        chunk::read_merged(&merged, i64::MIN, i64::MAX, &mut samples).expect("undamaged");
        assert_eq!(samples.timestamps, naive.keys().copied().collect::<Vec<_>>());
        assert_eq!(samples.floats, naive.values().copied().collect::<Vec<_>>());
    }

    #[test]
    fn full_chunks_are_copied_and_small_ones_gathered() {
        check(&[], &[], &[]);
        check(&[(0, 1)], &[(0, 1)], &[0]);
        check(&[(0, 480), (480, 480)], &[(0, 480), (480, 480)], &[0, 1]);
        check(&[(0, 240), (240, 240)], &[(0, 480)], &[]);
        check(&[(0, 256), (256, 255), (511, 1), (600, 256)], &[(0, 256), (256, 256), (600, 256)], &[0, 3]);
        check(&[(0, 255), (255, 300), (555, 10)], &[(0, 255), (255, 300), (555, 10)], &[0, 1, 2]);
        check(&[(0, 200), (200, 200), (400, 200)], &[(0, 300), (300, 300)], &[]);
    }

    #[test]
    fn overlapping_chunks_are_merged_and_the_first_listed_wins() {
        check(&[(0, 301), (299, 300)], &[(0, 300), (300, 299)], &[]);
        check(&[(299, 300), (0, 301)], &[(0, 300), (300, 299)], &[]);
        check(&[(0, 400), (390, 20), (50, 10), (500, 300)], &[(0, 410), (500, 300)], &[3]);
        check(&[(300, 300), (0, 300)], &[(0, 300), (300, 300)], &[0, 1]);
    }

    #[test]
    fn a_chunk_is_cut_at_the_end_of_a_window() {
        let input = chunks(&[(0, 100), (100, 10), (110, 50), (400, 1)]);
        let shape = |start: i64, end: i64| -> Vec<(i64, u32)> {
            let window = BlockRange::new(start * 1000, end * 1000);
            let clipped = clip_chunks(&input, window).expect("undamaged");
            clipped.iter().map(|chunk| (chunk.start_ms / 1000, chunk.samples)).collect()
        };
        assert_eq!(shape(0, 110), [(0, 100), (100, 10)]);
        assert_eq!(shape(0, 120), [(0, 100), (100, 10), (110, 10)]);
        assert_eq!(shape(120, 130), [(120, 10)]);
        assert_eq!(shape(160, 400), []);
        let gap = chunk::encode(&[0, 9000], &[1.0, 2.0]);
        assert_eq!(clip_chunks(&[gap], BlockRange::new(1, 9000)).expect("undamaged"), []);
    }

    #[test]
    fn a_damaged_chunk_that_must_be_decoded_is_an_error() {
        let mut input = chunks(&[(0, 10), (10, 10)]);
        let mut data = input[1].data.to_vec();
        data[3] ^= 1;
        input[1].data = data.into();
        assert!(merge_chunks(&input).is_err());
    }
}
