//! Floats: timestamps as differences of differences, values as XOR with the one before.

use std::ops::Range;

use model::Samples;
use model::varint::{Cursor, push_signed, push_unsigned};

use crate::bits::{BitReader, BitWriter, fits_signed, signed_of};
use crate::error::ChunkFault;

/// Bytes of the counter of samples.
pub(super) const COUNT_BYTES: usize = 2;
/// Widths of a timestamp's difference of differences by the number of ones in front of it.
const TIME_WIDTHS: [u32; 5] = [0, 14, 17, 20, 64];

/// A float that is stored as XOR with the one before: the window of bits that the last one was written in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct XorValue {
    pub(super) bits: u64,
    /// Zeros before the window, and behind it; `None` before the first window.
    window: Option<(u32, u32)>,
}

impl XorValue {
    pub(super) fn of(value: f64) -> Self {
        Self { bits: value.to_bits(), window: None }
    }

    pub(super) fn float(&self) -> f64 {
        f64::from_bits(self.bits)
    }

    /// Reads the next value.
    #[inline]
    pub(super) fn read(&mut self, reader: &mut BitReader<'_>) -> Result<(), ChunkFault> {
        let control = reader.peek();
        if control >> 63 == 0 {
            return reader.skip(1);
        }
        if control >> 62 == 0b11 {
            let leading = (control >> 57 & 31) as u32;
            let significant = (control >> 51 & 63) as u32;
            reader.skip(13)?;
            // 64 does not fit into six bits and is written as 0, which cannot be a width.
            let significant = if significant == 0 { 64 } else { significant };
            let trailing = 64u32.checked_sub(leading + significant);
            let trailing = trailing.ok_or(ChunkFault::Malformed("a float has more than 64 bits"))?;
            self.window = Some((leading, trailing));
        } else {
            reader.skip(2)?;
        }
        let window =
            self.window.ok_or(ChunkFault::Malformed("a float refers to a window before the first"))?;
        self.bits ^= reader.read(64 - window.0 - window.1)? << window.1;
        Ok(())
    }

    /// Writes the next value.
    pub(super) fn write(&mut self, writer: &mut BitWriter, value: f64) {
        let difference = self.bits ^ value.to_bits();
        self.bits = value.to_bits();
        if difference == 0 {
            writer.push(0, 1);
            return;
        }
        let leading = difference.leading_zeros().min(31);
        let trailing = difference.trailing_zeros();
        match self.window {
            Some((known, behind)) if known <= leading && behind <= trailing => {
                writer.push(0b10, 2);
                writer.push(difference >> behind, 64 - known - behind);
            }
            _ => {
                let significant = 64 - leading - trailing;
                writer.push(0b11, 2);
                writer.push(u64::from(leading), 5);
                writer.push(u64::from(significant & 63), 6);
                writer.push(difference >> trailing, significant);
                self.window = Some((leading, trailing));
            }
        }
    }
}

pub(super) fn decode(data: &[u8], out: &mut Samples) -> Result<(), ChunkFault> {
    let malformed = |_| ChunkFault::Truncated;
    let (count, rest) = data.split_first_chunk::<COUNT_BYTES>().ok_or(ChunkFault::Truncated)?;
    let count = usize::from(u16::from_be_bytes(*count));
    if count == 0 {
        return Ok(());
    }
    let mut cursor = Cursor::new(rest);
    let mut time_ms = cursor.signed().map_err(malformed)?;
    let first = cursor.take(8).map_err(malformed)?;
    let bits = u64::from_be_bytes(first.try_into().expect("eight bytes were taken"));
    let mut value = XorValue { bits, window: None };
    // Every sample but the first takes two bits at least, so the counter cannot make room for more than there is.
    if count - 1 > cursor.remaining() * 4 {
        return Err(ChunkFault::Truncated);
    }
    out.timestamps.reserve(count);
    out.floats.reserve(count);
    let mut push = |time_ms: i64, value: f64| {
        out.timestamps.push(time_ms);
        out.floats.push(value);
    };
    push(time_ms, value.float());
    let mut delta = 0i64;
    let mut reader = BitReader::new(&[]);
    for at in 1..count {
        if at == 1 {
            // The first difference is a whole number of bytes; bits begin behind the value after it.
            delta = cursor.unsigned().map_err(malformed)? as i64;
            reader = BitReader::new(&rest[cursor.offset()..]);
        } else {
            delta = delta.wrapping_add(read_time(&mut reader)?);
        }
        value.read(&mut reader)?;
        time_ms = time_ms.checked_add(delta).ok_or(ChunkFault::Malformed("a timestamp overflows"))?;
        push(time_ms, value.float());
    }
    out.complete_columns();
    Ok(())
}

#[inline]
fn read_time(reader: &mut BitReader<'_>) -> Result<i64, ChunkFault> {
    let ones = reader.peek().leading_ones().min(4);
    reader.skip(if ones == 4 { 4 } else { ones + 1 })?;
    let width = TIME_WIDTHS[ones as usize];
    Ok(signed_of(reader.read(width)?, width))
}

pub(super) fn encode(samples: &Samples, run: Range<usize>) -> Vec<u8> {
    let mut bytes = (run.len() as u16).to_be_bytes().to_vec();
    let times = &samples.timestamps[run.clone()];
    let values = &samples.floats[run];
    push_signed(&mut bytes, times[0]);
    bytes.extend_from_slice(&values[0].to_bits().to_be_bytes());
    if times.len() > 1 {
        push_unsigned(&mut bytes, times[1].wrapping_sub(times[0]) as u64);
    }
    let mut writer = BitWriter::after(bytes);
    let mut value = XorValue::of(values[0]);
    for (at, next) in values.iter().enumerate().skip(1) {
        if at > 1 {
            let delta = |at: usize| times[at].wrapping_sub(times[at - 1]);
            write_time(&mut writer, delta(at).wrapping_sub(delta(at - 1)));
        }
        value.write(&mut writer, *next);
    }
    writer.into_bytes()
}

fn write_time(writer: &mut BitWriter, change: i64) {
    let ones = TIME_WIDTHS.iter().position(|width| fits_signed(change, *width)).unwrap_or(4);
    match ones {
        4 => writer.push(0b1111, 4),
        ones => writer.push((1u64 << (ones + 1)) - 2, ones as u32 + 1),
    }
    writer.push(change as u64, TIME_WIDTHS[ones]);
}
