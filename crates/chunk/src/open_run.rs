//! The open chunk of a series, whatever its samples are.

use model::{SampleValue, Samples};

use crate::container::{EncodedChunk, Encoding, open_container};
use crate::wide::OpenWide;
use crate::{ChunkError, OpenChunk, decode};

/// A chunk that grows: floats in the narrow encoding, else the wide one.
#[derive(Clone, Debug)]
pub enum OpenRun {
    /// Floats without start timestamps; also what an empty chunk is.
    Floats(OpenChunk),
    /// Histograms, or floats with start timestamps.
    Wide(Box<OpenWide>),
}

impl Default for OpenRun {
    fn default() -> Self {
        Self::Floats(OpenChunk::new())
    }
}

impl OpenRun {
    /// Tells whether a sample may be appended; else the chunk is to be sealed. An empty one takes everything.
    pub fn takes(&self, start_ms: i64, value: &SampleValue) -> bool {
        match self {
            Self::Floats(open) if open.is_empty() => true,
            Self::Floats(_) => start_ms == 0 && matches!(value, SampleValue::Float(_)),
            Self::Wide(open) => open.takes(value),
        }
    }

    /// Appends a sample of any kind.
    ///
    /// # Panics
    /// When `time_ms` is not later than [`OpenRun::last_ms`], or [`OpenRun::takes`] denies the value.
    pub fn append(&mut self, time_ms: i64, start_ms: i64, value: SampleValue) {
        match (&mut *self, value) {
            (Self::Wide(open), value) => open.append(time_ms, start_ms, value),
            (Self::Floats(open), SampleValue::Float(value)) if start_ms == 0 => open.append(time_ms, value),
            (Self::Floats(open), value) => {
                assert!(open.is_empty(), "the caller has asked");
                let mut open = Box::new(OpenWide::new(&value));
                open.append(time_ms, start_ms, value);
                *self = Self::Wide(open);
            }
        }
    }

    /// Returns how many samples it holds.
    pub fn len(&self) -> usize {
        match self {
            Self::Floats(open) => open.len(),
            Self::Wide(open) => open.len(),
        }
    }

    /// Tells whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the first timestamp in ms, or `None` when empty.
    pub fn first_ms(&self) -> Option<i64> {
        match self {
            Self::Floats(open) => open.first_ms(),
            Self::Wide(open) => open.first_ms(),
        }
    }

    /// Returns the last timestamp in ms, or `None` when empty.
    pub fn last_ms(&self) -> Option<i64> {
        match self {
            Self::Floats(open) => open.last_ms(),
            Self::Wide(open) => open.last_ms(),
        }
    }

    /// Returns the last value, or `None` when empty.
    pub fn last_value(&self) -> Option<SampleValue> {
        match self {
            Self::Floats(open) => open.last_value().map(SampleValue::Float),
            Self::Wide(open) => open.last_value().cloned(),
        }
    }

    /// Returns how much heap memory it holds.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Floats(open) => open.size_bytes(),
            Self::Wide(open) => size_of::<OpenWide>() + open.size_bytes(),
        }
    }

    /// Returns a copy in the container, readable by [`decode`].
    ///
    /// # Panics
    /// When the chunk is empty.
    pub fn to_encoded(&self) -> EncodedChunk {
        match self {
            Self::Floats(open) => open.to_encoded(),
            Self::Wide(open) => open.to_encoded(),
        }
    }

    /// Appends the bytes of [`OpenRun::to_encoded`] to a buffer, for callers that copy many chunks into one.
    ///
    /// # Panics
    /// When the chunk is empty.
    pub fn write_encoded(&self, out: &mut Vec<u8>) {
        match self {
            Self::Floats(open) => open.write_encoded(out),
            Self::Wide(open) => open.write_encoded(out),
        }
    }

    /// Takes up again what [`OpenRun::to_encoded`] wrote: a chunk that behaves and encodes like the original.
    ///
    /// # Errors
    /// [`ChunkError`] when the bytes are damaged or not an open chunk.
    pub fn from_encoded(data: &[u8]) -> Result<Self, ChunkError> {
        let (encoding, body) = open_container(data)?;
        let mut samples = Samples::default();
        decode(data, &mut samples)?;
        match encoding {
            Encoding::Open => {
                let mut open = OpenChunk::new();
                let pairs = samples.timestamps.iter().zip(&samples.floats);
                pairs.for_each(|(time_ms, value)| open.append(*time_ms, *value));
                Ok(Self::Floats(open))
            }
            Encoding::OpenWide => Ok(Self::Wide(Box::new(OpenWide::restore(body, &samples)?))),
            sealed => Err(ChunkError::UnknownEncoding { encoding: sealed as u8 }),
        }
    }
}
