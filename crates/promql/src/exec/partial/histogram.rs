//! Native histograms in frames: reset hint, schema, the four numbers, then spans, buckets and bounds, each with its count.
//!
//! Results of arithmetic travel, so counts may be negative; only the layout is held against the buckets.

use model::FloatHistogram;
use model::histogram::{CounterResetHint, Span};
use model::varint::{Cursor, ReadError, push_signed, push_unsigned};

pub(in crate::exec) fn push(out: &mut Vec<u8>, histogram: &FloatHistogram) {
    out.push(match histogram.reset_hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    });
    push_signed(out, i64::from(histogram.schema));
    let FloatHistogram { zero_threshold, zero_count, count, sum, .. } = histogram;
    push_floats(out, &[*zero_threshold, *zero_count, *count, *sum]);
    for spans in [&histogram.positive_spans, &histogram.negative_spans] {
        push_unsigned(out, spans.len() as u64);
        for span in spans {
            push_signed(out, i64::from(span.offset));
            push_unsigned(out, u64::from(span.length));
        }
    }
    for floats in [&histogram.positive_buckets, &histogram.negative_buckets, &histogram.custom_bounds] {
        push_unsigned(out, floats.len() as u64);
        push_floats(out, floats);
    }
}

fn push_floats(out: &mut Vec<u8>, floats: &[f64]) {
    floats.iter().for_each(|value| out.extend_from_slice(&value.to_bits().to_le_bytes()));
}

pub(in crate::exec) fn read(cursor: &mut Cursor<'_>) -> Result<FloatHistogram, ReadError> {
    let reset_hint = match cursor.byte()? {
        0 => CounterResetHint::Unknown,
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        _ => return Err(cursor.malformed("an unknown reset hint")),
    };
    let schema = signed32(cursor)?;
    let mut number = || cursor.word().map(f64::from_bits);
    let (zero_threshold, zero_count, count, sum) = (number()?, number()?, number()?, number()?);
    let (positive_spans, negative_spans) = (spans(cursor)?, spans(cursor)?);
    let (positive_buckets, negative_buckets) = (floats(cursor)?, floats(cursor)?);
    let custom_bounds = floats(cursor)?;
    for (spans, buckets) in [(&positive_spans, &positive_buckets), (&negative_spans, &negative_buckets)] {
        if spans.iter().map(|span| u64::from(span.length)).sum::<u64>() != buckets.len() as u64 {
            return Err(cursor.malformed("a histogram's layout is not that of its buckets"));
        }
    }
    Ok(FloatHistogram {
        reset_hint,
        schema,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive_spans,
        negative_spans,
        positive_buckets,
        negative_buckets,
        custom_bounds,
    })
}

fn signed32(cursor: &mut Cursor<'_>) -> Result<i32, ReadError> {
    let number = cursor.signed()?;
    i32::try_from(number).map_err(|_| cursor.malformed("a number has more than 32 bits"))
}

fn spans(cursor: &mut Cursor<'_>) -> Result<Vec<Span>, ReadError> {
    let count = cursor.count(2)?;
    let mut spans = Vec::with_capacity(count);
    for index in 0..count {
        let span = Span { offset: signed32(cursor)?, length: cursor.u32()? };
        if index > 0 && span.offset < 0 {
            return Err(cursor.malformed("a run of buckets begins before the one before it ends"));
        }
        spans.push(span);
    }
    Ok(spans)
}

fn floats(cursor: &mut Cursor<'_>) -> Result<Vec<f64>, ReadError> {
    let count = cursor.count(8)?;
    (0..count).map(|_| cursor.word().map(f64::from_bits)).collect()
}
