//! Little-endian base-128 integers, and a cursor that reads them without ever leaving its bytes.

/// Why bytes could not be read: they end too early, or a number is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed at byte {offset}")]
pub(crate) struct Malformed {
    /// Where, counted from the start of what was being read.
    pub(crate) offset: usize,
}

/// Appends a number in one to ten bytes.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed number, small absolute values in few bytes.
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends bytes after their length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads forward through bytes.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Returns where the next read starts.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.offset >= self.bytes.len()
    }

    fn fault(&self) -> Malformed {
        Malformed { offset: self.offset }
    }

    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        let (mut value, mut offset) = (0u64, self.offset);
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(offset).ok_or_else(|| self.fault())?;
            offset += 1;
            let low = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit only.
            if shift == 63 && low > 1 {
                return Err(self.fault());
            }
            value |= low << shift;
            if byte < 0x80 {
                self.offset = offset;
                return Ok(value);
            }
        }
        Err(self.fault())
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Malformed> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Reads a number that counts or points into memory.
    pub(crate) fn count(&mut self) -> Result<usize, Malformed> {
        let fault = self.fault();
        usize::try_from(self.number()?).map_err(|_| fault)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        let fault = self.fault();
        u32::try_from(self.number()?).map_err(|_| fault)
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let end = self.offset.checked_add(length).ok_or_else(|| self.fault())?;
        let taken = self.bytes.get(self.offset..end).ok_or_else(|| self.fault())?;
        self.offset = end;
        Ok(taken)
    }

    /// Reads bytes that stand after their length.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.count()?;
        self.take(length)
    }

    /// Reads UTF-8 that stands after its length.
    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        let fault = self.fault();
        std::str::from_utf8(self.bytes()?).map_err(|_| fault)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_numbers_that_do_not_end_or_overflow() {
        for bytes in
            [&[][..], &[0x80], &[0xff; 10], &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2]]
        {
            assert!(Cursor::new(bytes).number().is_err(), "{bytes:?}");
        }
        assert!(Cursor::new(&[5, 1, 2]).bytes().is_err());
    }

    proptest! {
        #[test]
        fn numbers_round_trip(unsigned: u64, signed: i64) {
            let mut bytes = Vec::new();
            put(&mut bytes, unsigned);
            put_signed(&mut bytes, signed);
            let mut cursor = Cursor::new(&bytes);
            prop_assert_eq!(cursor.number(), Ok(unsigned));
            prop_assert_eq!(cursor.signed(), Ok(signed));
            prop_assert!(cursor.is_at_end());
        }
    }
}
