//! The sealed wide encoding: a stream for each bucket, across time.
//!
//! A bucket of a counter changes by little from sample to sample, so that its stream takes a few bits a sample, and a bucket
//! that does not change takes three bytes for all of them.

use std::ops::Range;
use std::sync::Arc;

use model::varint::{Cursor, push_unsigned};
use model::{FloatHistogram, Samples};

use super::{FIELDS, FORM_HISTOGRAMS, cells_of, counts, has_room, histogram_of, mark_of, stale_of, starts};
use crate::{ChunkError, ints, sealed};

/// Appends the payload of samples that fit one chunk.
pub(crate) fn write_samples(samples: &Samples, range: Range<usize>, out: &mut Vec<u8>) {
    let timestamps = &samples.timestamps[range.clone()];
    push_unsigned(out, timestamps.len() as u64);
    let form = out.len();
    out.push(0);
    ints::write(timestamps, out);
    if !samples.start_timestamps.is_empty() {
        out[form] |= starts::write(timestamps, &samples.start_timestamps[range.clone()], out);
    }
    if samples.histogram(range.start).is_none() {
        return sealed::write_values(&samples.floats[range], out);
    }
    out[form] |= FORM_HISTOGRAMS;
    let from = samples.histograms.partition_point(|(at, _)| (*at as usize) < range.start);
    write_histograms(&samples.histograms[from..from + timestamps.len()], out);
}

fn write_histograms(histograms: &[(u32, Arc<FloatHistogram>)], out: &mut Vec<u8>) {
    let marks: Vec<i64> = histograms.iter().map(|(_, histogram)| mark_of(histogram).into()).collect();
    ints::write(&marks, out);
    // A marker takes the counts of its predecessor, so that it does not disturb the streams.
    let first = histograms.iter().find(|(_, histogram)| !histogram.is_plain_stale());
    let none = FloatHistogram::default();
    let first = first.map_or(&none, |(_, histogram)| histogram);
    first.write_layout(out);
    let mut last: Vec<f64> = counts(first).collect();
    let mut cells = vec![0.0; last.len() * histograms.len()];
    for (at, (_, histogram)) in histograms.iter().enumerate() {
        if !histogram.is_plain_stale() {
            last.clear();
            last.extend(counts(histogram));
        }
        last.iter().enumerate().for_each(|(column, count)| cells[column * histograms.len() + at] = *count);
    }
    cells.chunks(histograms.len()).for_each(|column| sealed::write_counts(column, out));
}

/// Appends the samples of a payload behind the number of samples.
pub(crate) fn read_samples(
    mut cursor: Cursor<'_>,
    count: usize,
    out: &mut Samples,
) -> Result<(), ChunkError> {
    let before = out.len();
    let form = cursor.byte()?;
    if form & !(FORM_HISTOGRAMS | starts::FORM_MASK) != 0 {
        return Err(cursor.malformed("the form of a wide chunk is unknown").into());
    }
    sealed::read_timestamps(&mut cursor, count, &mut out.timestamps)?;
    let starts = starts::read(form, &mut cursor, &out.timestamps[before..])?;
    if form & FORM_HISTOGRAMS == 0 {
        sealed::read_values(&mut cursor, count, &mut out.floats)?;
    } else {
        out.floats.resize(before + count, 0.0);
        read_histograms(&mut cursor, count, before as u32, out)?;
    }
    if starts.iter().any(|start_ms| *start_ms != 0) {
        out.start_timestamps.resize(before, 0);
        out.start_timestamps.extend(starts);
    }
    Ok(cursor.finish()?)
}

fn read_histograms(
    cursor: &mut Cursor<'_>,
    count: usize,
    before: u32,
    out: &mut Samples,
) -> Result<(), ChunkError> {
    let mut marks = Vec::new();
    ints::read(cursor, count, &mut marks)?;
    let (layout, [positive, negative]) = FloatHistogram::read_layout(cursor)?;
    let columns = FIELDS + positive + negative;
    if !has_room(count, cells_of(&layout, positive + negative)) {
        return Err(cursor.malformed("a chunk holds too many counts").into());
    }
    let mut cells = Vec::new();
    for _ in 0..columns {
        sealed::read_values(cursor, count, &mut cells)?;
    }
    for (at, mark) in marks.into_iter().enumerate() {
        let mark = u8::try_from(mark).ok().filter(|mark| *mark < 8);
        let mark = mark.ok_or_else(|| cursor.malformed("the mark of a histogram is unknown"))?;
        let histogram = stale_of(mark).unwrap_or_else(|| {
            histogram_of(&layout, mark, cells[at..].iter().step_by(count).copied(), positive)
        });
        out.histograms.push((before + at as u32, Arc::new(histogram)));
    }
    Ok(())
}
