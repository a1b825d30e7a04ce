//! A string of bits, highest first, and Prometheus's numbers of variable width in it.
//!
//! Two families of widths exist: those of timestamps and floats in XOR chunks, which stand in [`crate::chunk`]'s modules, and
//! those of everything in histogram chunks, which are here: a prefix of ones says how many bits follow. Source:
//! Prometheus `tsdb/docs/format/chunks.md` and the widths in `tsdb/chunkenc/varbit.go`.

use crate::error::ChunkFault;

/// Bits of the number behind each prefix: none for `0`, then for `10`, `110` and so on; eight ones have no closing zero.
const WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// Appends bits.
#[derive(Clone, Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// How many bits of the last byte are free.
    free: u32,
}

impl BitWriter {
    /// Continues behind whole bytes.
    pub(crate) fn after(bytes: Vec<u8>) -> Self {
        Self { bytes, free: 0 }
    }

    /// Appends the low `count` bits of `value`, `count` up to 64.
    pub(crate) fn push(&mut self, value: u64, mut count: u32) {
        while count > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let take = count.min(self.free);
            let part = (value >> (count - take)) & ((1 << take) - 1);
            let last = self.bytes.last_mut().expect("a byte was pushed when none was free");
            *last |= (part << (self.free - take)) as u8;
            self.free -= take;
            count -= take;
        }
    }

    /// Appends a signed number.
    pub(crate) fn push_int(&mut self, value: i64) {
        let bucket = WIDTHS.iter().position(|width| fits_signed(value, *width)).unwrap_or(8);
        self.push_prefixed(bucket, value as u64);
    }

    /// Appends an unsigned number.
    pub(crate) fn push_uint(&mut self, value: u64) {
        let fits = |width: &u32| *width == 64 || value >> width == 0;
        let bucket = WIDTHS.iter().position(fits).unwrap_or(8);
        self.push_prefixed(bucket, value);
    }

    fn push_prefixed(&mut self, bucket: usize, value: u64) {
        match bucket {
            8 => self.push(0xff, 8),
            ones => self.push((1u64 << (ones + 1)) - 2, ones as u32 + 1),
        }
        self.push(value, WIDTHS[bucket]);
    }

    /// Returns the bytes, the last one padded with zeros.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Tells whether a number is one of `width` bits in Prometheus's form: from `-(2^(width-1)) + 1` to `2^(width-1)`.
pub(crate) fn fits_signed(value: i64, width: u32) -> bool {
    match width {
        0 => value == 0,
        64 => true,
        width => -((1i64 << (width - 1)) - 1) <= value && value <= 1i64 << (width - 1),
    }
}

/// Returns the number whose `width` low bits, in the form of [`fits_signed`], are `bits`.
pub(crate) fn signed_of(bits: u64, width: u32) -> i64 {
    if width < 64 && width > 0 && bits > 1 << (width - 1) {
        return (bits as i64) - (1i64 << width);
    }
    bits as i64
}

/// Reads bits in the order in which they were written.
#[derive(Clone, Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// In bits.
    position: usize,
}

/// How many bits one look ahead shows wherever it begins within a byte.
const PEEKED_BITS: u32 = 57;

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Returns how many bits are left.
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() * 8 - self.position
    }

    /// Returns the next bits, the first one highest: at least [`PEEKED_BITS`] of them, zeros past the end.
    #[inline]
    pub(crate) fn peek(&self) -> u64 {
        let (byte, skip) = (self.position / 8, self.position % 8);
        let word = match self.bytes.get(byte..byte + 8) {
            Some(window) => u64::from_be_bytes(window.try_into().expect("the window has eight bytes")),
            None => {
                let rest = self.bytes.get(byte..).unwrap_or_default();
                let mut window = [0; 8];
                window[..rest.len()].copy_from_slice(rest);
                u64::from_be_bytes(window)
            }
        };
        word << skip
    }

    /// Passes over bits.
    #[inline]
    pub(crate) fn skip(&mut self, count: u32) -> Result<(), ChunkFault> {
        if count as usize > self.remaining() {
            return Err(ChunkFault::Truncated);
        }
        self.position += count as usize;
        Ok(())
    }

    /// Returns the next `count` bits, up to 64.
    #[inline]
    pub(crate) fn read(&mut self, count: u32) -> Result<u64, ChunkFault> {
        if count == 0 {
            return Ok(0);
        }
        if count <= PEEKED_BITS {
            let bits = self.peek() >> (64 - count);
            self.skip(count)?;
            return Ok(bits);
        }
        let high = self.read(count - 32)?;
        Ok(high << 32 | self.read(32)?)
    }

    /// Reads a float as it is.
    pub(crate) fn read_float(&mut self) -> Result<f64, ChunkFault> {
        self.read(64).map(f64::from_bits)
    }

    /// Reads a signed number.
    #[inline]
    pub(crate) fn read_int(&mut self) -> Result<i64, ChunkFault> {
        let width = self.read_prefix()?;
        Ok(signed_of(self.read(width)?, width))
    }

    /// Reads an unsigned number.
    pub(crate) fn read_uint(&mut self) -> Result<u64, ChunkFault> {
        let width = self.read_prefix()?;
        self.read(width)
    }

    #[inline]
    fn read_prefix(&mut self) -> Result<u32, ChunkFault> {
        let ones = self.peek().leading_ones().min(8);
        self.skip(if ones == 8 { 8 } else { ones + 1 })?;
        Ok(WIDTHS[ones as usize])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn widths_are_prometheus_s() {
        // From the comments of varbit.go: the ranges of each width, and how many bits they take with the prefix.
        for (value, bits) in [
            (0, 1),
            (-3, 5),
            (4, 5),
            (-4, 9),
            (5, 9),
            (-31, 9),
            (32, 9),
            (-255, 13),
            (256, 13),
            (-2047, 17),
            (2048, 17),
            (-131_071, 24),
            (131_072, 24),
            (-16_777_215, 32),
            (16_777_216, 32),
            (16_777_217, 64),
            (-36_028_797_018_963_967, 64),
            (36_028_797_018_963_968, 64),
            (i64::MAX, 72),
            (i64::MIN, 72),
        ] {
            let mut writer = BitWriter::default();
            writer.push_int(value);
            let free = writer.free;
            let bytes = writer.into_bytes();
            assert_eq!(bytes.len() * 8 - free as usize, bits, "{value}");
            assert_eq!(BitReader::new(&bytes).read_int(), Ok(value));
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back(
            numbers in prop::collection::vec((any::<i64>(), any::<u64>(), 0u32..64, 1u32..=64), 0..50)
        ) {
            let mut writer = BitWriter::default();
            for (signed, unsigned, shift, width) in &numbers {
                writer.push_int(signed >> shift);
                writer.push_uint(unsigned >> shift);
                writer.push(*unsigned, *width);
            }
            let bytes = writer.into_bytes();
            let mut reader = BitReader::new(&bytes);
            for (signed, unsigned, shift, width) in &numbers {
                prop_assert_eq!(reader.read_int(), Ok(signed >> shift));
                prop_assert_eq!(reader.read_uint(), Ok(unsigned >> shift));
                prop_assert_eq!(reader.read(*width), Ok(unsigned & (u64::MAX >> (64 - width))));
            }
            prop_assert!(reader.remaining() < 8);
        }
    }
}
