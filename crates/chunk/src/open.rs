//! The chunk that is being written: an append-only string of bits with constant state.
//!
//! One bit holds a sample that comes at the expected time with the value before; see "Open encoding" in
//! `docs/formats/chunk.md`. Readers take [`OpenChunk::to_encoded`] at any length; it costs a copy of the bits.

use bytes::Bytes;
use model::varint::{push_unsigned, unzigzag, zigzag};

use crate::ChunkError;
use crate::bits::{BitReader, BitWriter};
use crate::container::{CHUNK_SAMPLES_MAX, EncodedChunk, Encoding, finish};
use crate::xor::XorWindow;

/// Widths of a changed delta's zigzag code, each with a longer prefix: 6 bits hold the jitter of a scrape, 14 bits
/// 8 s, 22 bits 35 min, and 64 everything.
const TIME_WIDTHS: [u32; 4] = [6, 14, 22, 64];

/// A chunk that grows by [`OpenChunk::append`].
#[derive(Clone, Debug, Default)]
pub struct OpenChunk {
    bits: BitWriter,
    window: XorWindow,
    samples: u32,
    first_ms: i64,
    last_ms: i64,
    /// Between the last two samples, 0 before there are two; may wrap.
    delta_ms: i64,
    last_bits: u64,
}

impl OpenChunk {
    /// Returns an empty chunk; it takes no heap memory before the first sample.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a sample.
    ///
    /// # Panics
    /// When `time_ms` is not later than [`OpenChunk::last_ms`], or the chunk holds [`CHUNK_SAMPLES_MAX`] samples.
    pub fn append(&mut self, time_ms: i64, value: f64) {
        let value = value.to_bits();
        if self.samples == 0 {
            self.bits.push(time_ms as u64, 64);
            self.bits.push(value, 64);
            self.first_ms = time_ms;
        } else {
            assert!(time_ms > self.last_ms, "samples of a chunk are strictly ascending in time");
            assert!((self.samples as usize) < CHUNK_SAMPLES_MAX, "an open chunk is sealed before it is full");
            let delta_ms = time_ms.wrapping_sub(self.last_ms);
            self.push_sample(delta_ms.wrapping_sub(self.delta_ms), value ^ self.last_bits);
            self.delta_ms = delta_ms;
        }
        (self.last_ms, self.last_bits) = (time_ms, value);
        self.samples += 1;
    }

    fn push_sample(&mut self, delta_change: i64, xor: u64) {
        match (delta_change, xor) {
            (0, 0) => return self.bits.push(0, 1),
            (0, _) => self.bits.push(0b10, 2),
            (change, _) => {
                self.bits.push(0b11, 2);
                push_time(&mut self.bits, change);
                self.bits.push(u64::from(xor != 0), 1);
            }
        }
        if xor != 0 {
            self.window.write(xor, &mut self.bits);
        }
    }

    /// Returns how many samples it holds.
    pub fn len(&self) -> usize {
        self.samples as usize
    }

    /// Tells whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// Returns the first timestamp in ms, or `None` when empty.
    pub fn first_ms(&self) -> Option<i64> {
        (self.samples > 0).then_some(self.first_ms)
    }

    /// Returns the last timestamp in ms, or `None` when empty.
    pub fn last_ms(&self) -> Option<i64> {
        (self.samples > 0).then_some(self.last_ms)
    }

    /// Returns the last value, or `None` when empty.
    pub fn last_value(&self) -> Option<f64> {
        (self.samples > 0).then_some(f64::from_bits(self.last_bits))
    }

    /// Returns how much heap memory it holds.
    pub fn size_bytes(&self) -> usize {
        self.bits.capacity()
    }

    /// Returns a copy in the container, readable by [`crate::decode`].
    ///
    /// # Panics
    /// When the chunk is empty.
    pub fn to_encoded(&self) -> EncodedChunk {
        let mut data = Vec::with_capacity(self.bits.len_bytes() + 8);
        self.write_encoded(&mut data);
        let (start_ms, end_ms) = (self.first_ms, self.last_ms);
        EncodedChunk { start_ms, end_ms, samples: self.samples, data: Bytes::from(data) }
    }

    /// Appends the bytes of [`OpenChunk::to_encoded`] to a buffer, for callers that copy many chunks into one.
    ///
    /// # Panics
    /// When the chunk is empty.
    pub fn write_encoded(&self, out: &mut Vec<u8>) {
        assert!(self.samples > 0, "an empty chunk has no encoding");
        let start = out.len();
        out.push(Encoding::Open as u8);
        push_unsigned(out, u64::from(self.samples));
        self.bits.write_to(out);
        finish(out, start);
    }
}

/// Writes a change of the delta that is not zero: its width in unary, then its zigzag code less one.
pub(crate) fn push_time(bits: &mut BitWriter, change: i64) {
    let code = zigzag(change) - 1;
    let class = TIME_WIDTHS.iter().position(|width| code.checked_shr(*width).unwrap_or(0) == 0);
    let class = class.expect("64 bits hold every code");
    match class {
        0 => bits.push(0, 1),
        1 => bits.push(0b10, 2),
        2 => bits.push(0b110, 3),
        _ => bits.push(0b111, 3),
    }
    bits.push(code, TIME_WIDTHS[class]);
}

pub(crate) fn read_time(bits: &mut BitReader<'_>) -> Result<i64, ChunkError> {
    let mut class = 0;
    while class < TIME_WIDTHS.len() - 1 && bits.read_bit()? {
        class += 1;
    }
    let code = bits.read(TIME_WIDTHS[class])?;
    code.checked_add(1).map(unzigzag).ok_or_else(|| bits.malformed("a change of time is out of range"))
}

/// Appends the samples of an open chunk's bits.
pub(crate) fn read_samples(
    mut bits: BitReader<'_>,
    samples: usize,
    timestamps: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let (mut time_ms, mut delta_ms) = (bits.read(64)? as i64, 0i64);
    let (mut value, mut window) = (bits.read(64)?, XorWindow::default());
    timestamps.push(time_ms);
    values.push(f64::from_bits(value));
    for _ in 1..samples {
        let is_changed = match bits.peek() >> 62 {
            0b00 | 0b01 => {
                bits.skip(1)?;
                false
            }
            0b10 => {
                bits.skip(2)?;
                true
            }
            _ => {
                bits.skip(2)?;
                delta_ms = delta_ms.wrapping_add(read_time(&mut bits)?);
                bits.read_bit()?
            }
        };
        if is_changed {
            value ^= window.read(&mut bits)?;
        }
        let next_ms = time_ms.wrapping_add(delta_ms);
        if next_ms <= time_ms {
            return Err(bits.malformed("timestamps are not ascending"));
        }
        time_ms = next_ms;
        timestamps.push(time_ms);
        values.push(f64::from_bits(value));
    }
    if bits.is_at_end() { Ok(()) } else { Err(bits.malformed("bits are left over")) }
}
