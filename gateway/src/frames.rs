//! Cuts a select's answer into frames for the wire, as the reader takes them.

use std::vec::IntoIter;

use block::BlockSeries;
use proto::frame::FrameBuilder;
use proto::store::SelectFrame;

/// A frame is sent as soon as it holds so many bytes; a single series is never divided.
const FRAME_BYTES: usize = 1 << 20;
/// About what a chunk's numbers take on the wire.
const CHUNK_OVERHEAD_BYTES: usize = 24;

/// Yields frames; encodes nothing before it is asked for.
pub(crate) struct Frames {
    series: IntoIter<BlockSeries>,
}

impl Frames {
    pub(crate) fn new(series: Vec<BlockSeries>) -> Self {
        Self { series: series.into_iter() }
    }
}

impl Iterator for Frames {
    type Item = SelectFrame;

    fn next(&mut self) -> Option<SelectFrame> {
        let mut frame = FrameBuilder::default();
        while frame.size_bytes() < FRAME_BYTES {
            let Some(series) = self.series.next() else { break };
            frame.series(series.labels.as_bytes());
            for chunk in &series.chunks {
                frame.chunk(chunk.start_ms, chunk.end_ms, chunk.samples, &chunk.data);
            }
        }
        (!frame.is_empty()).then(|| frame.finish())
    }
}

/// Returns about how many bytes a series takes, in memory and on the wire.
pub(crate) fn size_bytes(series: &BlockSeries) -> usize {
    let chunks = series.chunks.iter().map(|chunk| chunk.data.len() + CHUNK_OVERHEAD_BYTES);
    series.labels.as_bytes().len() + chunks.sum::<usize>()
}
