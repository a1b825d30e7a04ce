//! The XOR coding of changed values, shared by the open chunk and by the sealed chunk's fallback.
//!
//! A changed value is written as its XOR with the value before, without the zero bits in front and behind (Pelkonen et
//! al., "Gorilla", VLDB 2015, section 4.1.2). The window of significant bits is kept while it fits and is not wasteful.

use crate::ChunkError;
use crate::bits::{BitReader, BitWriter};

/// What a new window costs in bits beyond a kept one; a kept window may waste no more than that.
const WINDOW_BITS: u8 = 11;
const LEADING_BITS: u32 = 5;
const LEADING_MAX: u8 = 31;
const LENGTH_BITS: u32 = 6;

/// The window of significant bits: `leading` zeros in front, then `length` bits. A length of 0 means none yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct XorWindow {
    leading: u8,
    length: u8,
}

impl XorWindow {
    /// Writes a XOR that is not zero.
    pub(crate) fn write(&mut self, xor: u64, bits: &mut BitWriter) {
        debug_assert!(xor != 0, "an unchanged value has its own code");
        let leading = (xor.leading_zeros() as u8).min(LEADING_MAX);
        let length = 64 - leading - xor.trailing_zeros() as u8;
        let fits =
            self.length > 0 && leading >= self.leading && leading + length <= self.leading + self.length;
        if fits && self.length <= length + WINDOW_BITS {
            bits.push(0, 1);
        } else {
            *self = Self { leading, length };
            let window = u64::from(leading) << LENGTH_BITS | u64::from(length - 1);
            bits.push(1 << (LEADING_BITS + LENGTH_BITS) | window, 1 + LEADING_BITS + LENGTH_BITS);
        }
        bits.push(xor >> self.trailing(), u32::from(self.length));
    }

    /// Reads what [`XorWindow::write`] wrote.
    #[inline]
    pub(crate) fn read(&mut self, bits: &mut BitReader<'_>) -> Result<u64, ChunkError> {
        let word = bits.peek();
        if word >> 63 == 0 {
            bits.skip(1)?;
        } else {
            self.leading = (word << 1 >> (64 - LEADING_BITS)) as u8;
            self.length = (word << (1 + LEADING_BITS) >> (64 - LENGTH_BITS)) as u8 + 1;
            bits.skip(1 + LEADING_BITS + LENGTH_BITS)?;
        }
        if self.length == 0 || self.leading + self.length > 64 {
            return Err(bits.malformed("a window of significant bits is missing or too long"));
        }
        Ok(bits.read(u32::from(self.length))? << self.trailing())
    }

    fn trailing(self) -> u32 {
        u32::from(64 - self.leading - self.length)
    }
}

/// Writes a run of values: the first raw, then a bit for "as before" or the XOR.
pub(crate) fn write_values(values: &[f64]) -> BitWriter {
    let (mut bits, mut window, mut last) = (BitWriter::default(), XorWindow::default(), 0);
    for (position, value) in values.iter().enumerate() {
        let value = value.to_bits();
        if position == 0 {
            bits.push(value, 64);
        } else if value == last {
            bits.push(0, 1);
        } else {
            bits.push(1, 1);
            window.write(value ^ last, &mut bits);
        }
        last = value;
    }
    bits
}

/// Appends the `count` values that [`write_values`] wrote; all bits must be used.
pub(crate) fn read_values(
    mut bits: BitReader<'_>,
    count: usize,
    values: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let (mut window, mut last) = (XorWindow::default(), bits.read(64)?);
    values.push(f64::from_bits(last));
    for _ in 1..count {
        if bits.read_bit()? {
            last ^= window.read(&mut bits)?;
        }
        values.push(f64::from_bits(last));
    }
    if bits.is_at_end() { Ok(()) } else { Err(bits.malformed("bits are left over")) }
}
