//! The column of start timestamps in a sealed chunk: as they are, or from the time of the sample before.
//!
//! A cumulative series keeps its start for long, which is a constant. In a delta series each sample starts where the one
//! before ended, jitter included, which is a constant only as the difference to that.

use model::varint::Cursor;

use crate::{ChunkError, ints};

/// How the column is written: bits 1 and 2 of a wide chunk's form.
const SHIFT: u32 = 1;
const NONE: u8 = 0;
const ABSOLUTE: u8 = 1;
const RELATIVE: u8 = 2;
pub(super) const FORM_MASK: u8 = 0b11 << SHIFT;

/// Appends the column, unless no start is known, and returns its part of the form.
pub(super) fn write(timestamps: &[i64], starts: &[i64], out: &mut Vec<u8>) -> u8 {
    if starts.iter().all(|start_ms| *start_ms == 0) {
        return NONE << SHIFT;
    }
    let (mut absolute, mut relative) = (Vec::new(), Vec::new());
    ints::write(starts, &mut absolute);
    let distances = starts.iter().zip(bases(timestamps)).map(|(start_ms, base)| start_ms.wrapping_sub(base));
    ints::write(&distances.collect::<Vec<_>>(), &mut relative);
    let (form, column) =
        if relative.len() < absolute.len() { (RELATIVE, relative) } else { (ABSOLUTE, absolute) };
    out.extend_from_slice(&column);
    form << SHIFT
}

/// Returns what starts are relative to: the time of the sample before; for the first one its own.
fn bases(timestamps: &[i64]) -> impl Iterator<Item = i64> + '_ {
    timestamps.first().copied().into_iter().chain(timestamps.iter().copied())
}

/// Reads the column of so many samples; empty when there is none.
pub(super) fn read(form: u8, cursor: &mut Cursor<'_>, timestamps: &[i64]) -> Result<Vec<i64>, ChunkError> {
    let mut starts = Vec::new();
    match (form & FORM_MASK) >> SHIFT {
        NONE => {}
        ABSOLUTE => ints::read(cursor, timestamps.len(), &mut starts)?,
        RELATIVE => {
            ints::read(cursor, timestamps.len(), &mut starts)?;
            let pairs = starts.iter_mut().zip(bases(timestamps));
            pairs.for_each(|(start_ms, base)| *start_ms = start_ms.wrapping_add(base));
        }
        _ => return Err(cursor.malformed("the form of the start timestamps is unknown").into()),
    }
    Ok(starts)
}
