//! A string of bits, highest first, that grows at its end.

use crate::ChunkError;

/// The smallest step in which the buffer grows. A doubling buffer would leave a quarter of all open chunks' memory unused.
const GROWTH_BYTES_MIN: usize = 32;

/// How many bits one look ahead shows wherever it begins within a byte.
pub(crate) const PEEKED_BITS: u32 = 57;

/// Appends bits.
///
/// The last bits wait in a word until it is full, so that most appends do not touch the heap: with a million series the
/// cost of an append is the cache lines it misses.
#[derive(Clone, Debug, Default)]
pub(crate) struct BitWriter {
    /// Whole words, highest byte first.
    bytes: Vec<u8>,
    /// The low `waiting_len` bits come next.
    waiting: u64,
    /// Below 64.
    waiting_len: u8,
}

impl BitWriter {
    /// Appends the low `count` bits of `value`, `count` from 1 to 64.
    pub(crate) fn push(&mut self, value: u64, count: u32) {
        let value = value & (u64::MAX >> (64 - count));
        let room = 64 - u32::from(self.waiting_len);
        if count < room {
            self.waiting = self.waiting << count | value;
            self.waiting_len += count as u8;
            return;
        }
        let rest = count - room;
        self.push_word(self.waiting.unbounded_shl(room) | (value >> rest));
        self.waiting = value & ((1 << rest) - 1);
        self.waiting_len = rest as u8;
    }

    fn push_word(&mut self, word: u64) {
        if self.bytes.len() == self.bytes.capacity() {
            let step = (self.bytes.len() / 4).max(GROWTH_BYTES_MIN);
            self.bytes.reserve_exact(step.next_multiple_of(8));
        }
        self.bytes.extend_from_slice(&word.to_be_bytes());
    }

    /// Returns how many bytes [`BitWriter::write_to`] appends.
    pub(crate) fn len_bytes(&self) -> usize {
        self.bytes.len() + usize::from(self.waiting_len).div_ceil(8)
    }

    /// Appends all bits to a buffer, padded with zeros to a byte.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
        let last = self.waiting.unbounded_shl(64 - u32::from(self.waiting_len)).to_be_bytes();
        out.extend_from_slice(&last[..usize::from(self.waiting_len).div_ceil(8)]);
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

    /// Returns the next bits, the first one highest: at least [`PEEKED_BITS`] of them, zeros past the end.
    #[inline]
    pub(crate) fn peek(&self) -> u64 {
        let (byte, skip) = (self.position / 8, self.position % 8);
        let word = match self.bytes.get(byte..byte + 8) {
            Some(window) => u64::from_be_bytes(window.try_into().expect("the window has eight bytes")),
            None => self.peek_last(byte),
        };
        word << skip
    }

    #[cold]
    fn peek_last(&self, byte: usize) -> u64 {
        let rest = self.bytes.get(byte..).unwrap_or_default();
        let mut window = [0; 8];
        window[..rest.len()].copy_from_slice(rest);
        u64::from_be_bytes(window)
    }

    /// Passes over bits.
    #[inline]
    pub(crate) fn skip(&mut self, count: u32) -> Result<(), ChunkError> {
        let end = self.position + count as usize;
        if end > self.bytes.len() * 8 {
            return Err(ChunkError::Truncated { offset: self.origin + self.bytes.len() });
        }
        self.position = end;
        Ok(())
    }

    /// Returns the next `count` bits, 1 to 64.
    #[inline]
    pub(crate) fn read(&mut self, count: u32) -> Result<u64, ChunkError> {
        if count <= PEEKED_BITS {
            let bits = self.peek() >> (64 - count);
            self.skip(count)?;
            return Ok(bits);
        }
        let high = self.read(count - PEEKED_BITS)?;
        Ok(high << PEEKED_BITS | self.read(PEEKED_BITS)?)
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
            let mut bytes = vec![1, 2, 3];
            writer.write_to(&mut bytes);
            prop_assert_eq!(bytes.len(), 3 + writer.len_bytes());
            let mut reader = BitReader::new(&bytes[3..], 3);
            for (value, count) in &parts {
                prop_assert_eq!(reader.read(*count), Ok(value & (u64::MAX >> (64 - count))));
            }
            prop_assert!(reader.is_at_end());
            prop_assert!(reader.read(8).is_err());
        }
    }
}
