//! Little-endian base-128 numbers (LEB128), and a cursor that reads them without ever leaving its bytes.
//!
//! A number is 7 bits a byte, lowest first, the high bit set on all bytes but the last: one to ten bytes. Label sets,
//! batches, chunks and the sections of a block are made of these; what they put together stands in `docs/formats`.
//!
//! Writers write the shortest form. Readers take longer ones too, and refuse numbers of more than 64 bits.
//!
//! Not here: protobuf's varints, whose readers drop what exceeds 64 bits.

/// Why bytes could not be read. Offsets count from the first byte the [`Cursor`] was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The bytes end in the middle of something.
    #[error("ends early at byte {offset}")]
    Truncated {
        /// Where more was expected.
        offset: usize,
    },
    /// A field holds what no writer writes.
    #[error("malformed at byte {offset}: {what}")]
    Malformed {
        /// Where.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
}

/// Maps small absolute values to small codes: 0, -1, 1, -2 to 0, 1, 2, 3.
#[inline]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Reverses [`zigzag`].
#[inline]
pub fn unzigzag(code: u64) -> i64 {
    (code >> 1) as i64 ^ -((code & 1) as i64)
}

/// Returns how many bytes [`push_unsigned`] takes: 1 to 10.
#[inline]
pub fn unsigned_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends a number.
#[inline]
pub fn push_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the [`zigzag`] code of a signed number.
#[inline]
pub fn push_signed(out: &mut Vec<u8>, value: i64) {
    push_unsigned(out, zigzag(value));
}

/// Appends a length and as many bytes.
#[inline]
pub fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_unsigned(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads forward through bytes. After an error it stands at some place up to the fault; nothing more is promised.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    /// At most the length of `bytes`.
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Returns where the next read starts.
    #[inline]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Returns how many bytes are left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// Tells whether all bytes are used.
    #[inline]
    pub fn is_at_end(&self) -> bool {
        self.remaining() == 0
    }

    /// Returns an error that names the present place.
    #[inline]
    pub fn malformed(&self, what: &'static str) -> ReadError {
        ReadError::Malformed { offset: self.offset, what }
    }

    /// Takes as many bytes as they are.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] when fewer are left.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], ReadError> {
        if count > self.remaining() {
            return Err(ReadError::Truncated { offset: self.bytes.len() });
        }
        let taken = &self.bytes[self.offset..self.offset + count];
        self.offset += count;
        Ok(taken)
    }

    /// Takes the next `count` bytes as a cursor of their own, whose offsets still count from the first byte of all.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] when fewer are left.
    pub fn column(&mut self, count: usize) -> Result<Self, ReadError> {
        let start = self.offset;
        self.take(count)?;
        Ok(Self { bytes: &self.bytes[..self.offset], offset: start })
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] at the end.
    #[inline]
    pub fn byte(&mut self) -> Result<u8, ReadError> {
        let byte = *self.bytes.get(self.offset).ok_or(ReadError::Truncated { offset: self.offset })?;
        self.offset += 1;
        Ok(byte)
    }

    /// Reads eight bytes, the lowest first.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] when fewer are left.
    #[inline]
    pub fn word(&mut self) -> Result<u64, ReadError> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("eight bytes were taken")))
    }

    /// Reads a number.
    ///
    /// # Errors
    /// [`ReadError`] when it does not end or has more than 64 bits.
    #[inline]
    pub fn unsigned(&mut self) -> Result<u64, ReadError> {
        let byte = self.byte()?;
        if byte < 0x80 { Ok(u64::from(byte)) } else { self.unsigned_rest(byte) }
    }

    fn unsigned_rest(&mut self, first: u8) -> Result<u64, ReadError> {
        let (mut value, mut shift) = (u64::from(first & 0x7f), 7);
        loop {
            let byte = self.byte()?;
            // The tenth byte has room for one bit, and is the last.
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

    /// Reads a signed number from its [`zigzag`] code.
    ///
    /// # Errors
    /// As [`Cursor::unsigned`].
    #[inline]
    pub fn signed(&mut self) -> Result<i64, ReadError> {
        self.unsigned().map(unzigzag)
    }

    /// Reads a number of at most 32 bits.
    ///
    /// # Errors
    /// [`ReadError`] when it is none.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, ReadError> {
        let number = self.unsigned()?;
        u32::try_from(number).map_err(|_| self.malformed("a number has more than 32 bits"))
    }

    /// Reads a count of things that take at least `bytes_each` (not 0) of what remains, which bounds it.
    ///
    /// # Errors
    /// [`ReadError`] when it is no number, or larger than that.
    #[inline]
    pub fn count(&mut self, bytes_each: usize) -> Result<usize, ReadError> {
        let count = self.unsigned()?;
        let fits = usize::try_from(count).ok().filter(|count| *count <= self.remaining() / bytes_each);
        fits.ok_or_else(|| self.malformed("a count is larger than what follows"))
    }

    /// Reads a length and as many bytes.
    ///
    /// # Errors
    /// [`ReadError`] when they are not there.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], ReadError> {
        let length = self.count(1)?;
        self.take(length)
    }

    /// Reads a length and as many bytes of UTF-8.
    ///
    /// # Errors
    /// [`ReadError`] when they are not there, or no UTF-8.
    #[inline]
    pub fn text(&mut self) -> Result<&'a str, ReadError> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("a text is not UTF-8"))
    }

    /// Succeeds when all bytes are used.
    ///
    /// # Errors
    /// [`ReadError::Malformed`] when some are left.
    pub fn finish(&self) -> Result<(), ReadError> {
        if self.is_at_end() { Ok(()) } else { Err(self.malformed("bytes are left over")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_unsigned(&mut bytes, number);
        bytes
    }

    #[test]
    fn bytes_never_change() {
        assert_eq!(written(0), [0]);
        assert_eq!(written(0x7f), [0x7f]);
        assert_eq!(written(0x80), [0x80, 1]);
        assert_eq!(written(300), [0xac, 2]);
        assert_eq!(written(u64::MAX), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        assert_eq!([0, -1, 1, i64::MAX, i64::MIN].map(zigzag), [0, 1, 2, u64::MAX - 1, u64::MAX]);
        let mut bytes = Vec::new();
        push_signed(&mut bytes, -2);
        push_bytes(&mut bytes, b"ab");
        assert_eq!(bytes, [3, 2, b'a', b'b']);
    }

    #[test]
    fn numbers_round_trip_at_every_length() {
        for number in (0..64).flat_map(|bit| [1u64 << bit, (1 << bit) - 1]).chain([u64::MAX]) {
            let bytes = written(number);
            assert_eq!(bytes.len(), unsigned_len(number));
            assert_eq!(Cursor::new(&bytes).unsigned(), Ok(number));
            assert_eq!(zigzag(unzigzag(number)), number);
            assert_eq!(Cursor::new(&bytes).u32().ok(), u32::try_from(number).ok());
        }
    }

    #[test]
    fn refuses_numbers_that_are_too_long_or_cut() {
        let what = "a number has more than 64 bits";
        for (bytes, error) in [
            (&[][..], ReadError::Truncated { offset: 0 }),
            (&[0x80], ReadError::Truncated { offset: 1 }),
            (&[0xff; 9], ReadError::Truncated { offset: 9 }),
            (&[0xff; 10], ReadError::Malformed { offset: 10, what }),
            (&[0x80; 12], ReadError::Malformed { offset: 10, what }),
            (
                &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2],
                ReadError::Malformed { offset: 10, what },
            ),
        ] {
            assert_eq!(Cursor::new(bytes).unsigned(), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn refuses_what_is_not_there() {
        assert_eq!(Cursor::new(&[1; 7]).word(), Err(ReadError::Truncated { offset: 7 }));
        assert_eq!(Cursor::new(&[1, 2]).take(3), Err(ReadError::Truncated { offset: 2 }));
        let what = "a count is larger than what follows";
        assert_eq!(Cursor::new(&[5, 1, 2]).bytes(), Err(ReadError::Malformed { offset: 1, what }));
        assert_eq!(Cursor::new(&[2, 0, 0, 0]).count(2), Err(ReadError::Malformed { offset: 1, what }));
        let what = "a text is not UTF-8";
        assert_eq!(Cursor::new(&[1, 0xff]).text(), Err(ReadError::Malformed { offset: 2, what }));
        let what = "bytes are left over";
        assert_eq!(Cursor::new(&[1]).finish(), Err(ReadError::Malformed { offset: 0, what }));
    }

    #[test]
    fn a_column_ends_where_it_was_cut() {
        let mut cursor = Cursor::new(&[9, 1, 0x80, 7]);
        cursor.byte().expect("there");
        let mut column = cursor.column(2).expect("there");
        assert_eq!((column.unsigned(), column.unsigned()), (Ok(1), Err(ReadError::Truncated { offset: 3 })));
        assert_eq!((cursor.offset(), cursor.byte(), cursor.finish()), (3, Ok(7), Ok(())));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            unsigned: u64,
            signed: i64,
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            text in ".{0,200}",
        ) {
            let mut out = Vec::new();
            push_unsigned(&mut out, unsigned);
            prop_assert_eq!(out.len(), unsigned_len(unsigned));
            push_signed(&mut out, signed);
            push_bytes(&mut out, &bytes);
            push_bytes(&mut out, text.as_bytes());
            let mut cursor = Cursor::new(&out);
            prop_assert_eq!(cursor.unsigned(), Ok(unsigned));
            prop_assert_eq!(cursor.signed(), Ok(signed));
            prop_assert_eq!(cursor.bytes(), Ok(&bytes[..]));
            prop_assert_eq!(cursor.text(), Ok(&text[..]));
            prop_assert_eq!(cursor.finish(), Ok(()));
        }

        #[test]
        fn any_bytes_are_a_number_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..14)) {
            // The sum of all digits, as wide as they may be.
            let digits = bytes.iter().position(|byte| *byte < 0x80).map(|last| &bytes[..=last]);
            let sum = digits.filter(|digits| digits.len() <= 10).map(|digits| {
                digits.iter().rev().fold(0u128, |sum, digit| sum << 7 | u128::from(digit & 0x7f))
            });
            let mut cursor = Cursor::new(&bytes);
            let number = cursor.unsigned();
            prop_assert_eq!(number.ok(), sum.and_then(|sum| u64::try_from(sum).ok()));
            if number.is_ok() {
                prop_assert_eq!(Some(cursor.offset()), digits.map(<[u8]>::len));
            }
        }
    }
}
