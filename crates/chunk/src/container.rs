//! The container of all encodings: `[encoding: u8][payload][crc32c: u32 LE]`, and the two entry points over it.

use bytes::Bytes;
use model::varint::Cursor;

use crate::bits::BitReader;
use crate::{ChunkError, open, sealed};

/// The most samples one chunk may hold. A few bytes can stand for a long constant run, so this is what bounds the memory
/// that a reader spends on any input: 1 MiB.
pub const CHUNK_SAMPLES_MAX: usize = 65_536;

/// One encoded run of samples, with what a reader must know to skip it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedChunk {
    /// The first sample's time in ms. When it is later than that, the samples before it are hidden: no reader yields them.
    pub start_ms: i64,
    /// The last sample's time in ms, inclusive.
    pub end_ms: i64,
    /// How many samples it holds, at least 1, hidden ones included.
    pub samples: u32,
    /// The container, checksum included.
    pub data: Bytes,
}

impl EncodedChunk {
    /// Hides samples before a time, which must not be later than its last sample: the bytes stay as they are.
    pub fn visible_from(self, start_ms: i64) -> Self {
        debug_assert!(start_ms <= self.end_ms, "a chunk has a visible sample");
        Self { start_ms: self.start_ms.max(start_ms), ..self }
    }
}

/// The first byte of a container. Numbers are never given a second meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Encoding {
    /// See `open`.
    Open = 1,
    /// See `sealed`.
    Sealed = 2,
}

/// Encodes samples as a sealed chunk: the smallest form, for samples that do not change any more. Deterministic.
///
/// # Panics
/// When there is no sample or more than [`CHUNK_SAMPLES_MAX`], when the columns differ in length, or when timestamps
/// are not strictly ascending.
pub fn encode(timestamps: &[i64], values: &[f64]) -> EncodedChunk {
    assert_eq!(timestamps.len(), values.len(), "there is one value a timestamp");
    assert!((1..=CHUNK_SAMPLES_MAX).contains(&timestamps.len()), "a chunk holds 1 to 65536 samples");
    assert!(timestamps.is_sorted_by(|a, b| a < b), "samples of a chunk are strictly ascending in time");
    let mut data = Vec::with_capacity(32 + values.len() * 2);
    data.push(Encoding::Sealed as u8);
    sealed::write_samples(timestamps, values, &mut data);
    finish(&mut data, 0);
    EncodedChunk {
        start_ms: timestamps[0],
        end_ms: timestamps[timestamps.len() - 1],
        samples: timestamps.len() as u32,
        data: Bytes::from(data),
    }
}

/// Appends all samples of a chunk of any encoding to two columns of equal length; on an error both are as before.
///
/// # Errors
/// [`ChunkError`] with the offset when the bytes are damaged or of an unknown encoding.
pub fn decode(data: &[u8], timestamps: &mut Vec<i64>, values: &mut Vec<f64>) -> Result<(), ChunkError> {
    let (encoding, body) = open_container(data)?;
    let before = (timestamps.len(), values.len());
    let result = read_body(encoding, body, timestamps, values);
    if result.is_err() {
        timestamps.truncate(before.0);
        values.truncate(before.1);
    }
    result
}

fn read_body(
    encoding: Encoding,
    body: &[u8],
    timestamps: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let mut cursor = Cursor::new(body);
    // The encoding is known already.
    cursor.byte()?;
    let samples = cursor.unsigned()?;
    if samples == 0 || samples > CHUNK_SAMPLES_MAX as u64 {
        return Err(cursor.malformed("the number of samples is out of range").into());
    }
    let samples = samples as usize;
    timestamps.reserve(samples);
    values.reserve(samples);
    match encoding {
        Encoding::Sealed => sealed::read_samples(cursor, samples, timestamps, values),
        Encoding::Open => {
            let origin = cursor.offset();
            open::read_samples(BitReader::new(&body[origin..], origin), samples, timestamps, values)
        }
    }
}

/// Closes the container that begins at `start` of a buffer.
pub(crate) fn finish(out: &mut Vec<u8>, start: usize) {
    let checksum = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Checks a container and returns its encoding and everything before the checksum.
pub(crate) fn open_container(data: &[u8]) -> Result<(Encoding, &[u8]), ChunkError> {
    let (body, checksum) =
        data.split_last_chunk::<4>().ok_or(ChunkError::Truncated { offset: data.len() })?;
    let (stored, computed) = (u32::from_le_bytes(*checksum), crc32c::crc32c(body));
    if stored != computed {
        return Err(ChunkError::Checksum { stored, computed });
    }
    match body.first() {
        Some(1) => Ok((Encoding::Open, body)),
        Some(2) => Ok((Encoding::Sealed, body)),
        Some(encoding) => Err(ChunkError::UnknownEncoding { encoding: *encoding }),
        None => Err(ChunkError::Truncated { offset: 0 }),
    }
}
