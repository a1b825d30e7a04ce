//! A walk over protobuf bytes, field by field, without copying. Source: the protobuf encoding reference.

use model::varint::unzigzag;

use super::decode::WriteError;

/// One field: its number and its value.
pub(super) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire type 5, which no field we read has.
    Fixed32,
}

/// Reads the fields of one message.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    /// What the message is, for errors.
    message: &'static str,
}

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'static str, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, message }
    }

    /// Returns the next field; `None` at the end.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, WriteError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| self.fault("a field number out of range"))?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8)?.try_into().expect("took 8 bytes");
                Value::Fixed64(u64::from_le_bytes(bytes))
            }
            2 => {
                let length =
                    usize::try_from(self.varint()?).map_err(|_| self.fault("a length out of range"))?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed32
            }
            _ => return Err(self.fault("an unknown wire type")),
        };
        if number == 0 {
            return Err(self.fault("a field with number 0"));
        }
        Ok(Some((number, value)))
    }

    /// Takes the fields of one number and of wire type 2 that come first, and returns them as they stand.
    pub(super) fn run_of(&mut self, number: u32) -> Result<&'a [u8], WriteError> {
        let whole = self.rest;
        // One byte: numbers below 16.
        let tag = (number << 3 | 2) as u8;
        while self.rest.first() == Some(&tag) {
            self.next()?;
        }
        Ok(&whole[..whole.len() - self.rest.len()])
    }

    /// Appends the numbers of a repeated `sint64` field: one, or packed.
    pub(super) fn signed_numbers(&self, value: Value<'_>, out: &mut Vec<i64>) -> Result<(), WriteError> {
        match value {
            Value::Varint(code) => out.push(unzigzag(code)),
            Value::Bytes(bytes) => {
                let mut packed = Fields::new(self.message, bytes);
                while !packed.rest.is_empty() {
                    out.push(unzigzag(packed.varint()?));
                }
            }
            _ => return Err(self.wrong_type()),
        }
        Ok(())
    }

    /// Appends the numbers of a repeated `double` field: one, or packed.
    pub(super) fn floats(&self, value: Value<'_>, out: &mut Vec<f64>) -> Result<(), WriteError> {
        match value {
            Value::Fixed64(bits) => out.push(f64::from_bits(bits)),
            Value::Bytes(bytes) => {
                let (floats, rest) = bytes.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(self.fault("packed doubles that end early"));
                }
                out.extend(floats.iter().map(|bytes| f64::from_le_bytes(*bytes)));
            }
            _ => return Err(self.wrong_type()),
        }
        Ok(())
    }

    /// Makes the error of a field that has another wire type than its number calls for.
    pub(super) fn wrong_type(&self) -> WriteError {
        self.fault("a field of the wrong wire type")
    }

    fn fault(&self, what: &'static str) -> WriteError {
        WriteError::Protobuf { message: self.message, what, bytes_left: self.rest.len() }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], WriteError> {
        if length > self.rest.len() {
            return Err(self.fault("a length past its end"));
        }
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WriteError> {
        if let Some((&byte, rest)) = self.rest.split_first()
            && byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, WriteError> {
        let (mut value, mut shift) = (0u64, 0);
        for (at, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
            shift += 7;
        }
        Err(self.fault("a number without end"))
    }
}
