//! The sealed encoding: timestamps and values as two streams of their own, each in the cheapest of a few forms.
//!
//! Timestamps are integers as they are. Values become integers where they are decimals, with the few that are not kept
//! raw; else they are one constant, or XORed. See "Sealed encoding" in `docs/formats/chunk.md`.

use model::varint::{Cursor, push_unsigned};

use crate::bits::BitReader;
use crate::{ChunkError, decimal, ints, xor};

/// The low four bits of a value stream's first byte; the high four hold the decimal exponent, else zero.
const VALUES_CONSTANT: u8 = 0;
const VALUES_DECIMAL: u8 = 1;
const VALUES_XOR: u8 = 2;
/// Only of the counts of histograms.
const VALUES_WHOLE: u8 = 3;

/// Above this many bytes a sample the XOR form is tried beside the decimal form: long mantissas may be better off there.
const DECIMAL_BYTES_DOUBTFUL: usize = 4;

/// Appends the payload of a sealed chunk.
pub(crate) fn write_samples(timestamps: &[i64], values: &[f64], out: &mut Vec<u8>) {
    push_unsigned(out, timestamps.len() as u64);
    ints::write(timestamps, out);
    write_values(values, out);
}

/// Appends a stream of counts, which mostly are whole numbers.
pub(crate) fn write_counts(counts: &[f64], out: &mut Vec<u8>) {
    let integers: Option<Vec<i64>> = counts.iter().map(|count| decimal::scale(*count, 0)).collect();
    match integers {
        Some(integers) => {
            out.push(VALUES_WHOLE);
            ints::write(&integers, out);
        }
        None => write_values(counts, out),
    }
}

/// Appends a stream of at least one value.
pub(crate) fn write_values(values: &[f64], out: &mut Vec<u8>) {
    let start = out.len();
    let first = values[0].to_bits();
    let is_constant = values.iter().all(|value| value.to_bits() == first);
    if is_constant && decimal::scale_any(values[0]).is_none() {
        out.push(VALUES_CONSTANT);
        out.extend_from_slice(&first.to_le_bytes());
        return;
    }
    let exponent = decimal::choose_exponent(values);
    if let Some(exponent) = exponent {
        out.push(VALUES_DECIMAL | exponent << 4);
        write_decimals(values, exponent, out);
    }
    let decimal_bytes = out.len() - start;
    if exponent.is_some() && decimal_bytes <= values.len() * DECIMAL_BYTES_DOUBTFUL {
        return;
    }
    let bits = xor::write_values(values);
    if exponent.is_none() || bits.len_bytes() < decimal_bytes {
        out.truncate(start);
        out.push(VALUES_XOR);
        push_unsigned(out, bits.len_bytes() as u64);
        bits.write_to(out);
    }
}

/// Appends the integers of decimal values, then the exceptions with their positions.
///
/// An exception takes its predecessor's integer, so that it does not disturb the stream.
fn write_decimals(values: &[f64], exponent: u8, out: &mut Vec<u8>) {
    let scaled: Vec<Option<i64>> = values.iter().map(|value| decimal::scale(*value, exponent)).collect();
    let mut filler = scaled.iter().flatten().next().copied().unwrap_or(0);
    let integers: Vec<i64> = scaled
        .iter()
        .map(|integer| {
            filler = integer.unwrap_or(filler);
            filler
        })
        .collect();
    ints::write(&integers, out);
    let exceptions = scaled.iter().enumerate().filter(|(_, integer)| integer.is_none());
    push_unsigned(out, exceptions.clone().count() as u64);
    let mut next = 0;
    for (position, _) in exceptions {
        push_unsigned(out, (position - next) as u64);
        out.extend_from_slice(&values[position].to_bits().to_le_bytes());
        next = position + 1;
    }
}

/// Appends the samples of a sealed chunk's payload behind the number of samples.
pub(crate) fn read_samples(
    mut cursor: Cursor<'_>,
    samples: usize,
    timestamps: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    read_timestamps(&mut cursor, samples, timestamps)?;
    read_values(&mut cursor, samples, values)?;
    Ok(cursor.finish()?)
}

/// Appends so many timestamps, which ascend.
pub(crate) fn read_timestamps(
    cursor: &mut Cursor<'_>,
    samples: usize,
    timestamps: &mut Vec<i64>,
) -> Result<(), ChunkError> {
    let start = timestamps.len();
    ints::read(cursor, samples, timestamps)?;
    if timestamps[start..].is_sorted_by(|a, b| a < b) {
        Ok(())
    } else {
        Err(cursor.malformed("timestamps are not ascending").into())
    }
}

/// Appends so many values of a stream.
pub(crate) fn read_values(
    cursor: &mut Cursor<'_>,
    samples: usize,
    values: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let form = cursor.byte()?;
    match (form & 0xf, form >> 4) {
        (VALUES_CONSTANT, 0) => {
            let value = f64::from_bits(cursor.word()?);
            values.resize(values.len() + samples, value);
        }
        (VALUES_DECIMAL, exponent) if exponent <= decimal::EXPONENT_MAX => {
            read_decimals(cursor, samples, exponent, values)?;
        }
        (VALUES_XOR, 0) => {
            let length = cursor.unsigned()?;
            let length =
                usize::try_from(length).map_err(|_| cursor.malformed("a stream is longer than memory"))?;
            let origin = cursor.offset();
            let bits = BitReader::new(cursor.take(length)?, origin);
            xor::read_values(bits, samples, values)?;
        }
        (VALUES_WHOLE, 0) => {
            let mut integers = Vec::with_capacity(samples);
            ints::read(cursor, samples, &mut integers)?;
            decimal::unscale(&integers, 0, values);
        }
        _ => return Err(cursor.malformed("the form of the values is unknown").into()),
    }
    Ok(())
}

fn read_decimals(
    cursor: &mut Cursor<'_>,
    samples: usize,
    exponent: u8,
    values: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let start = values.len();
    let mut integers = Vec::with_capacity(samples);
    ints::read(cursor, samples, &mut integers)?;
    decimal::unscale(&integers, exponent, values);
    let exceptions = cursor.unsigned()?;
    let mut next = 0u64;
    for _ in 0..exceptions {
        let position = next.checked_add(cursor.unsigned()?).filter(|position| *position < samples as u64);
        let position = position.ok_or_else(|| cursor.malformed("an exception lies past the last sample"))?;
        values[start + position as usize] = f64::from_bits(cursor.word()?);
        next = position + 1;
    }
    Ok(())
}
