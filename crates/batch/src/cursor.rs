//! Little-endian base-128 numbers, and a cursor that reads them without ever leaving its bytes.

use crate::BatchError;

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

/// Appends a length and as many bytes.
pub(crate) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_unsigned(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads forward through bytes.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// Returns an error that names the present place.
    pub(crate) fn malformed(&self, what: &'static str) -> BatchError {
        BatchError::Malformed { offset: self.offset, what }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], BatchError> {
        if count > self.remaining() {
            return Err(BatchError::Truncated { offset: self.bytes.len() });
        }
        let taken = &self.bytes[self.offset..self.offset + count];
        self.offset += count;
        Ok(taken)
    }

    /// Takes the next `count` bytes as a cursor of their own, whose offsets still count from the first byte of all.
    pub(crate) fn column(&mut self, count: usize) -> Result<Self, BatchError> {
        let start = self.offset;
        self.take(count)?;
        Ok(Self { bytes: &self.bytes[..self.offset], offset: start })
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, BatchError> {
        let byte = *self.bytes.get(self.offset).ok_or(BatchError::Truncated { offset: self.offset })?;
        self.offset += 1;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn unsigned(&mut self) -> Result<u64, BatchError> {
        let byte = self.byte()?;
        if byte < 0x80 { Ok(u64::from(byte)) } else { self.unsigned_rest(byte) }
    }

    fn unsigned_rest(&mut self, first: u8) -> Result<u64, BatchError> {
        let (mut value, mut shift) = (u64::from(first & 0x7f), 7);
        loop {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(self.malformed("a number has more than 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
        }
    }

    #[inline]
    pub(crate) fn signed(&mut self) -> Result<i64, BatchError> {
        self.unsigned().map(unzigzag)
    }

    /// Reads a count of things that take at least `bytes_each` of what remains, which bounds it.
    pub(crate) fn count(&mut self, bytes_each: usize) -> Result<usize, BatchError> {
        let count = self.unsigned()?;
        let fits = usize::try_from(count).ok().filter(|count| *count <= self.remaining() / bytes_each);
        fits.ok_or_else(|| self.malformed("a count is larger than what follows"))
    }

    /// Reads a length and as many bytes.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], BatchError> {
        let length = self.count(1)?;
        self.take(length)
    }

    /// Reads a text.
    pub(crate) fn text(&mut self) -> Result<String, BatchError> {
        let bytes = self.bytes()?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.malformed("a text is not UTF-8"))?;
        Ok(text.to_owned())
    }

    /// Succeeds when all bytes are used.
    pub(crate) fn finish(&self) -> Result<(), BatchError> {
        if self.remaining() == 0 { Ok(()) } else { Err(self.malformed("bytes are left over")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_at_every_length() {
        for number in (0..64).flat_map(|bit| [1u64 << bit, (1 << bit) - 1]).chain([u64::MAX]) {
            let mut bytes = Vec::new();
            push_unsigned(&mut bytes, number);
            assert_eq!(Cursor::new(&bytes).unsigned(), Ok(number));
            assert_eq!(zigzag(unzigzag(number)), number);
        }
    }

    #[test]
    fn refuses_numbers_that_are_too_long_or_cut() {
        assert_eq!(Cursor::new(&[0x80]).unsigned(), Err(BatchError::Truncated { offset: 1 }));
        let mut too_long = [0xff; 10];
        too_long[9] = 2;
        assert!(matches!(Cursor::new(&too_long).unsigned(), Err(BatchError::Malformed { .. })));
        assert!(matches!(Cursor::new(&[0x80; 12]).unsigned(), Err(BatchError::Malformed { .. })));
    }
}
