//! A string of bits, highest first, that grows at its end.

use crate::ChunkError;

/// The smallest step in which the buffer grows. A doubling buffer would leave a quarter of all open chunks' memory unused.
const GROWTH_BYTES_MIN: usize = 32;

/// Appends bits. The unused low bits of the last byte are zero.
#[derive(Clone, Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// How many low bits of the last byte are unused, below 8.
    free: u8,
}

impl BitWriter {
    /// Appends the low `count` bits of `value`, `count` at most 64.
    pub(crate) fn push(&mut self, value: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.push_byte();
            }
            let take = left.min(u32::from(self.free));
            let part = (value >> (left - take)) as u8 & (0xff >> (8 - take));
            self.free -= take as u8;
            let last = self.bytes.last_mut().expect("a byte with free bits exists");
            *last |= part << self.free;
            left -= take;
        }
    }

    fn push_byte(&mut self) {
        if self.bytes.len() == self.bytes.capacity() {
            self.bytes.reserve_exact(GROWTH_BYTES_MIN.max(self.bytes.len() / 4));
        }
        self.bytes.push(0);
        self.free = 8;
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Reads bits in the order in which they were written.
#[derive(Clone, Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// In bits.
    position: usize,
    /// Where `bytes` begins within the chunk, for errors.
    origin: usize,
}

impl<'a> BitReader<'a> {
    /// Reads `bytes`, which begin at offset `origin` of the chunk.
    pub(crate) fn new(bytes: &'a [u8], origin: usize) -> Self {
        Self { bytes, position: 0, origin }
    }

    /// Returns the next `count` bits, 1 to 64.
    pub(crate) fn read(&mut self, count: u32) -> Result<u64, ChunkError> {
        let end = self.position + count as usize;
        if end > self.bytes.len() * 8 {
            return Err(ChunkError::Truncated { offset: self.origin + self.bytes.len() });
        }
        let (byte, skip) = (self.position / 8, (self.position % 8) as u32);
        self.position = end;
        if let Some(window) = self.bytes.get(byte..byte + 8).filter(|_| skip + count <= 64) {
            let word = u64::from_be_bytes(window.try_into().expect("the window has eight bytes"));
            return Ok((word << skip) >> (64 - count));
        }
        let last = (end - 1) / 8;
        let word = self.bytes[byte..=last].iter().fold(0u128, |word, byte| word << 8 | u128::from(*byte));
        let unused = (last + 1) * 8 - end;
        Ok((word >> unused) as u64 & (u64::MAX >> (64 - count)))
    }

    pub(crate) fn read_bit(&mut self) -> Result<bool, ChunkError> {
        Ok(self.read(1)? == 1)
    }

    /// Tells whether only padding below one byte is left, and that it is zero.
    pub(crate) fn is_at_end(&self) -> bool {
        let left = self.bytes.len() * 8 - self.position;
        left < 8 && self.bytes.last().is_none_or(|last| left == 0 || last & (0xff >> (8 - left)) == 0)
    }

    /// Returns an error that names the present place.
    pub(crate) fn malformed(&self, what: &'static str) -> ChunkError {
        ChunkError::Malformed { offset: self.origin + self.position / 8, what }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_come_back(parts in prop::collection::vec((any::<u64>(), 1u32..=64), 0..100)) {
            let mut writer = BitWriter::default();
            for (value, count) in &parts {
                writer.push(*value, *count);
            }
            let mut reader = BitReader::new(writer.bytes(), 0);
            for (value, count) in &parts {
                prop_assert_eq!(reader.read(*count), Ok(value & (u64::MAX >> (64 - count))));
            }
            prop_assert!(reader.is_at_end());
            prop_assert!(reader.read(8).is_err());
        }
    }
}
