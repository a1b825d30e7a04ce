//! A series' samples as received: encoded chunks, decoded by whoever evaluates.

use chunk::EncodedChunk;
use model::{ErrorKind, LabelSet, TimeRange};
use storage::{SampleSource, Samples, StorageError};

/// All chunks of one series, from blocks and from its head.
pub(crate) struct ChunkSource {
    /// For errors.
    pub(crate) labels: LabelSet,
    pub(crate) chunks: Vec<EncodedChunk>,
}

impl SampleSource for ChunkSource {
    fn read(&self, range: TimeRange, out: &mut Samples) -> Result<(), StorageError> {
        let (start_ms, end_ms) = (range.start.0, range.end.0);
        let read = chunk::read_merged(&self.chunks, start_ms, end_ms, out);
        read.map_err(|error| {
            let text = format!("a chunk of series {} is damaged: {error}", self.labels);
            StorageError::with_source(ErrorKind::Corrupt, text, error)
        })
    }

    fn sample_count_max(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.samples as usize).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_across_chunks_and_names_the_series_of_a_damaged_one() {
        let chunks = vec![chunk::encode(&[30, 40], &[3.0, 4.0]), chunk::encode(&[10, 20], &[1.0, 2.0])];
        let mut source = ChunkSource { labels: LabelSet::from_pairs([("__name__", "up")]), chunks };
        assert_eq!(source.sample_count_max(), 4);
        let mut samples = Samples::default();
        source.read(TimeRange::new(20, 30), &mut samples).unwrap();
        assert_eq!((samples.timestamps, samples.floats), (vec![20, 30], vec![2.0, 3.0]));
        source.chunks[0].data = source.chunks[0].data.slice(..3);
        let error = source.read(TimeRange::ALL, &mut Samples::default()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt);
        assert!(error.message.starts_with("a chunk of series up is damaged: "), "{}", error.message);
    }
}
