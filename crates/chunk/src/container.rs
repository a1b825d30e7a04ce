//! The container of all encodings: `[encoding: u8][payload][crc32c: u32 LE]`, and the two entry points over it.

use bytes::Bytes;
use model::Samples;
use model::varint::Cursor;

use crate::bits::BitReader;
use crate::{ChunkError, hidden, open, sealed, wide};

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
    /// See `wide`.
    OpenWide = 3,
    /// See `wide`.
    SealedWide = 4,
    /// See `hidden`.
    Hidden = 5,
}

/// Encodes floats as a sealed chunk: the smallest form, for samples that do not change any more. Deterministic.
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

/// Appends all samples of a chunk of any encoding, as if they came later than those there; on an error nothing is appended.
///
/// # Errors
/// [`ChunkError`] with the offset when the bytes are damaged or of an unknown encoding.
pub fn decode(data: &[u8], out: &mut Samples) -> Result<(), ChunkError> {
    let (encoding, body) = open_container(data)?;
    let before = out.len();
    let result = read_body(encoding, body, out);
    match result {
        Ok(()) => out.complete_columns(),
        Err(_) => {
            // The columns may differ in length.
            out.timestamps.truncate(before);
            out.floats.truncate(before);
            out.truncate(before);
        }
    }
    result
}

fn read_body(encoding: Encoding, body: &[u8], out: &mut Samples) -> Result<(), ChunkError> {
    if encoding == Encoding::Hidden {
        return hidden::read_samples(body, out);
    }
    let mut cursor = Cursor::new(body);
    // The encoding is known already.
    cursor.byte()?;
    let samples = cursor.unsigned()?;
    if samples == 0 || samples > CHUNK_SAMPLES_MAX as u64 {
        return Err(cursor.malformed("the number of samples is out of range").into());
    }
    let samples = samples as usize;
    out.timestamps.reserve(samples);
    out.floats.reserve(samples);
    match encoding {
        Encoding::Sealed => sealed::read_samples(cursor, samples, &mut out.timestamps, &mut out.floats),
        Encoding::Open => {
            let origin = cursor.offset();
            let bits = BitReader::new(&body[origin..], origin);
            open::read_samples(bits, samples, &mut out.timestamps, &mut out.floats)
        }
        Encoding::OpenWide => wide::read_open(cursor, samples, out),
        Encoding::SealedWide => wide::read_sealed(cursor, samples, out),
        Encoding::Hidden => unreachable!("it was read above"),
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
        Some(3) => Ok((Encoding::OpenWide, body)),
        Some(4) => Ok((Encoding::SealedWide, body)),
        Some(5) => Ok((Encoding::Hidden, body)),
        Some(encoding) => Err(ChunkError::UnknownEncoding { encoding: *encoding }),
        None => Err(ChunkError::Truncated { offset: 0 }),
    }
}
