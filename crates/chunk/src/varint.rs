//! Little-endian base-128 numbers, and a cursor that reads them without ever leaving its bytes.

use crate::ChunkError;

/// Maps small absolute values to small codes: 0, -1, 1, -2 to 0, 1, 2, 3.
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Reverses [`zigzag`].
pub(crate) fn unzigzag(code: u64) -> i64 {
    (code >> 1) as i64 ^ -((code & 1) as i64)
}

/// Appends a number, 7 bits a byte, lowest first.
pub(crate) fn push_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed number as the varint of its zigzag code.
pub(crate) fn push_signed(out: &mut Vec<u8>, value: i64) {
    push_unsigned(out, zigzag(value));
}

/// Returns how many bytes [`push_unsigned`] takes.
pub(crate) fn unsigned_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Reads forward through the bytes of one chunk.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at `offset` of `bytes`; offsets in errors count from the start of `bytes`.
    pub(crate) fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset: offset.min(bytes.len()) }
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// Returns an error that names the present place.
    pub(crate) fn malformed(&self, what: &'static str) -> ChunkError {
        ChunkError::Malformed { offset: self.offset, what }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], ChunkError> {
        if count > self.remaining() {
            return Err(ChunkError::Truncated { offset: self.bytes.len() });
        }
        let taken = &self.bytes[self.offset..self.offset + count];
        self.offset += count;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, ChunkError> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn word(&mut self) -> Result<u64, ChunkError> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("eight bytes were taken")))
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, ChunkError> {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(self.malformed("a number has more than 64 bits"));
            }
            value |= part << shift;
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
            if shift > 63 {
                return Err(self.malformed("a number has more than ten bytes"));
            }
        }
    }

    pub(crate) fn signed(&mut self) -> Result<i64, ChunkError> {
        self.unsigned().map(unzigzag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_at_every_length() {
        let numbers = (0..64).flat_map(|bit| [1u64 << bit, (1 << bit) - 1]).chain([u64::MAX]);
        for number in numbers {
            let mut bytes = Vec::new();
            push_unsigned(&mut bytes, number);
            assert_eq!(bytes.len(), unsigned_len(number));
            assert_eq!(Cursor::new(&bytes, 0).unsigned(), Ok(number));
            assert_eq!(unzigzag(number), unzigzag(zigzag(unzigzag(number))));
        }
        assert_eq!([0, -1, 1, i64::MIN].map(zigzag), [0, 1, 2, u64::MAX]);
    }

    #[test]
    fn refuses_numbers_that_are_too_long_or_cut() {
        assert_eq!(Cursor::new(&[0x80], 0).unsigned(), Err(ChunkError::Truncated { offset: 1 }));
        let mut too_many_bits = [0xff; 10];
        too_many_bits[9] = 2;
        assert!(matches!(Cursor::new(&too_many_bits, 0).unsigned(), Err(ChunkError::Malformed { .. })));
        assert!(matches!(Cursor::new(&[0x80; 12], 0).unsigned(), Err(ChunkError::Malformed { .. })));
    }
}
