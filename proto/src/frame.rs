//! Frames of selected series: columns over many series in one message, so that a series costs neither a message of its own
//! nor an allocation.
//!
//! The bytes of all series lie one after the other: for each its labels, then its chunks. Sizes, counts and times are
//! columns beside them. Received bytes are never copied: labels and chunks are slices of the frame.

use bytes::Bytes;

use crate::store::SelectFrame;

/// One chunk as the wire has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireChunk {
    /// The first sample's time in ms; samples before it are hidden, if the data hold any.
    pub start_ms: i64,
    /// The last sample's time in ms.
    pub end_ms: i64,
    /// How many samples it holds.
    pub samples: u32,
    /// The encoded chunk.
    pub data: Bytes,
}

/// A frame whose columns do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of series is malformed: {0}")]
pub struct MalformedFrame(&'static str);

/// Puts series into a frame.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    frame: SelectFrame,
    data: Vec<u8>,
    last_ms: i64,
}

impl FrameBuilder {
    /// Appends a series without chunks, given the stored form of its labels.
    pub fn series(&mut self, labels: &[u8]) {
        self.data.extend_from_slice(labels);
        self.frame.labels_sizes.push(labels.len() as u32);
        self.frame.chunk_counts.push(0);
    }

    /// Appends a chunk to the last series.
    ///
    /// # Panics
    /// When there is no series.
    pub fn chunk(&mut self, start_ms: i64, end_ms: i64, samples: u32, data: &[u8]) {
        *self.frame.chunk_counts.last_mut().expect("a chunk belongs to a series") += 1;
        self.frame.chunk_starts.push(start_ms.wrapping_sub(self.last_ms));
        self.frame.chunk_spans.push(end_ms.wrapping_sub(start_ms) as u64);
        self.frame.chunk_samples.push(samples);
        self.frame.chunk_sizes.push(data.len() as u32);
        self.data.extend_from_slice(data);
        self.last_ms = start_ms;
    }

    /// Returns how many bytes the labels and chunks take so far.
    pub fn size_bytes(&self) -> usize {
        self.data.len()
    }

    /// Tells whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.frame.labels_sizes.is_empty()
    }

    /// Returns the frame and starts the next one.
    pub fn finish(&mut self) -> SelectFrame {
        let Self { mut frame, data, .. } = std::mem::take(self);
        frame.data = data.into();
        frame
    }
}

/// Takes a frame apart: each series' labels in stored form, and its chunks as `make` wants them.
///
/// # Errors
/// When the columns do not fit together.
pub fn read_frame<C>(
    frame: SelectFrame,
    make: impl Fn(WireChunk) -> C,
) -> Result<Vec<(Bytes, Vec<C>)>, MalformedFrame> {
    let chunks = frame.chunk_starts.len();
    if [frame.chunk_spans.len(), frame.chunk_samples.len(), frame.chunk_sizes.len()] != [chunks; 3] {
        return Err(MalformedFrame("columns of chunks differ in length"));
    }
    let counted: u64 = frame.chunk_counts.iter().map(|count| u64::from(*count)).sum();
    if frame.labels_sizes.len() != frame.chunk_counts.len() || counted != chunks as u64 {
        return Err(MalformedFrame("the counts of chunks are wrong"));
    }
    let sizes = frame.labels_sizes.iter().chain(&frame.chunk_sizes);
    if sizes.map(|size| u64::from(*size)).sum::<u64>() != frame.data.len() as u64 {
        return Err(MalformedFrame("the sizes are wrong"));
    }
    let (mut at, mut next, mut last_ms) = (0, 0, 0i64);
    let mut take = |size: u32| {
        let start = at;
        at += size as usize;
        frame.data.slice(start..at)
    };
    let mut series = Vec::with_capacity(frame.labels_sizes.len());
    for (labels_size, count) in frame.labels_sizes.iter().zip(&frame.chunk_counts) {
        let labels = take(*labels_size);
        let mut chunks = Vec::with_capacity(*count as usize);
        for index in next..next + *count as usize {
            let start_ms = last_ms.wrapping_add(frame.chunk_starts[index]);
            let end_ms = start_ms.wrapping_add(frame.chunk_spans[index] as i64);
            let (samples, data) = (frame.chunk_samples[index], take(frame.chunk_sizes[index]));
            chunks.push(make(WireChunk { start_ms, end_ms, samples, data }));
            last_ms = start_ms;
        }
        next += *count as usize;
        series.push((labels, chunks));
    }
    Ok(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> SelectFrame {
        let mut builder = FrameBuilder::default();
        assert!(builder.is_empty());
        builder.series(b"one");
        builder.chunk(i64::MIN, i64::MAX, 7, b"abc");
        builder.chunk(5, 5, 1, b"");
        builder.series(b"");
        builder.series(b"three");
        builder.chunk(-3, 2, 2, b"de");
        assert_eq!(builder.size_bytes(), 13);
        builder.finish()
    }

    #[test]
    fn series_come_back() {
        let chunk = |start_ms, end_ms, samples, data: &'static [u8]| WireChunk {
            start_ms,
            end_ms,
            samples,
            data: Bytes::from_static(data),
        };
        let one = vec![chunk(i64::MIN, i64::MAX, 7, b"abc"), chunk(5, 5, 1, b"")];
        let expected = vec![
            (Bytes::from_static(b"one"), one),
            (Bytes::new(), vec![]),
            (Bytes::from_static(b"three"), vec![chunk(-3, 2, 2, b"de")]),
        ];
        assert_eq!(read_frame(frame(), |chunk| chunk), Ok(expected));
    }

    #[test]
    fn columns_that_do_not_fit_are_refused() {
        let damage: [fn(&mut SelectFrame); 6] = [
            |frame| frame.labels_sizes[0] += 1,
            |frame| frame.chunk_sizes[0] = u32::MAX,
            |frame| frame.chunk_counts[0] = u32::MAX,
            |frame| {
                let _ = frame.chunk_counts.pop();
            },
            |frame| {
                let _ = frame.chunk_spans.pop();
            },
            |frame| frame.data = Bytes::new(),
        ];
        for damage in damage {
            let mut frame = frame();
            damage(&mut frame);
            assert!(read_frame(frame, |chunk| chunk).is_err());
        }
    }
}
