//! Histograms: the layout once, then for each sample time, count, zero count, sum and every bucket.
//!
//! In integer chunks everything but the sum is a difference of differences, and a bucket is the difference to the bucket
//! before it; in float chunks everything but the time is an XOR with the sample before. A staleness marker has no buckets.
//! A chunk says once, in its flags, whether it begins with a reset or holds gauges; of the samples behind the first it says
//! that they are no resets.

use std::ops::Range;
use std::sync::Arc;

use model::histogram::{CounterResetHint, HISTOGRAM_BUCKETS_MAX, Span};
use model::{FloatHistogram, Samples, is_stale};

use super::xor::{COUNT_BYTES, XorValue};
use super::{CELLS_MAX, SAMPLES_MAX};
use crate::bits::{BitReader, BitWriter};
use crate::error::ChunkFault;

/// Flags: the two highest bits.
const FLAGS_MASK: u8 = 0b1100_0000;
const FLAG_RESET: u8 = 0b1000_0000;
const FLAG_GAUGE: u8 = 0b1100_0000;
/// The zero threshold is a byte: 0 for zero, 1 to 254 for powers of two from 2^-243 on, or this before a float.
const THRESHOLD_IS_FLOAT: u8 = 255;
const THRESHOLD_EXPONENT_MIN: i32 = -243;
/// Custom bounds up to this number of thousandths are written as their thousandths plus one.
const BOUND_THOUSANDTHS_MAX: f64 = 33_554_430.0;
/// Counts beyond are not whole numbers of an f64 any more.
const WHOLE_MAX: f64 = (1u64 << 53) as f64;

/// What all samples of a chunk have in common.
struct Layout {
    histogram: FloatHistogram,
    positive: usize,
    negative: usize,
    samples: usize,
    flags: u8,
}

impl Layout {
    fn read<'a>(data: &'a [u8]) -> Result<(Self, BitReader<'a>), ChunkFault> {
        let (head, rest) = data.split_first_chunk::<{ COUNT_BYTES + 1 }>().ok_or(ChunkFault::Truncated)?;
        let samples = usize::from(u16::from_be_bytes([head[0], head[1]]));
        let mut reader = BitReader::new(rest);
        let mut layout = Self {
            histogram: FloatHistogram::default(),
            positive: 0,
            negative: 0,
            samples,
            flags: head[COUNT_BYTES] & FLAGS_MASK,
        };
        if samples == 0 {
            return Ok((layout, reader));
        }
        let histogram = &mut layout.histogram;
        histogram.zero_threshold = read_threshold(&mut reader)?;
        let schema = i32::try_from(reader.read_int()?);
        histogram.schema = schema.map_err(|_| ChunkFault::Malformed("a schema is out of range"))?;
        (histogram.positive_spans, layout.positive) = read_spans(&mut reader)?;
        (histogram.negative_spans, layout.negative) = read_spans(&mut reader)?;
        if histogram.uses_custom_buckets() {
            histogram.custom_bounds = read_bounds(&mut reader)?;
        }
        let buckets = layout.positive + layout.negative;
        if buckets > HISTOGRAM_BUCKETS_MAX {
            return Err(ChunkFault::Malformed("a histogram has more than 65536 buckets"));
        }
        // What every sample owns: a bit of the chunk may stand for a number of 64.
        let each = 8 + buckets + histogram.positive_spans.len() + histogram.negative_spans.len();
        if samples.saturating_mul(each + histogram.custom_bounds.len()) > CELLS_MAX {
            return Err(ChunkFault::Malformed("the histograms of a chunk take too much room"));
        }
        let mut probe = histogram.clone();
        (probe.positive_buckets, probe.negative_buckets) =
            (vec![0.0; layout.positive], vec![0.0; layout.negative]);
        match probe.validate() {
            Ok(()) => Ok((layout, reader)),
            Err(_) => {
                Err(ChunkFault::Malformed("spans, bounds and schema of a histogram do not fit together"))
            }
        }
    }

    /// Appends a sample.
    fn push(&self, out: &mut Samples, at: usize, time_ms: i64, numbers: Numbers) -> Result<(), ChunkFault> {
        if out.timestamps.last().is_some_and(|last| at > 0 && *last >= time_ms) {
            return Err(ChunkFault::Malformed("timestamps do not ascend"));
        }
        let reset_hint = match self.flags {
            FLAG_GAUGE => CounterResetHint::Gauge,
            FLAG_RESET if at == 0 => CounterResetHint::Reset,
            _ => CounterResetHint::Unknown,
        };
        let histogram = match is_stale(numbers.sum) {
            true => FloatHistogram { sum: numbers.sum, ..FloatHistogram::default() },
            false => FloatHistogram {
                reset_hint,
                count: numbers.count,
                zero_count: numbers.zero_count,
                sum: numbers.sum,
                positive_buckets: numbers.positive,
                negative_buckets: numbers.negative,
                ..self.histogram.clone()
            },
        };
        out.histograms.push((out.timestamps.len() as u32, Arc::new(histogram)));
        out.timestamps.push(time_ms);
        out.floats.push(0.0);
        Ok(())
    }
}

/// The numbers of one sample.
struct Numbers {
    count: f64,
    zero_count: f64,
    sum: f64,
    positive: Vec<f64>,
    negative: Vec<f64>,
}

fn read_threshold(reader: &mut BitReader<'_>) -> Result<f64, ChunkFault> {
    match reader.read(8)? as u8 {
        0 => Ok(0.0),
        THRESHOLD_IS_FLOAT => reader.read_float(),
        code => Ok(2f64.powi(THRESHOLD_EXPONENT_MIN - 1 + i32::from(code))),
    }
}

fn read_spans(reader: &mut BitReader<'_>) -> Result<(Vec<Span>, usize), ChunkFault> {
    let count = reader.read_uint()?;
    // A span takes two bits at least.
    if count > (reader.remaining() / 2) as u64 || count > HISTOGRAM_BUCKETS_MAX as u64 {
        return Err(ChunkFault::Malformed("more spans than there is room for"));
    }
    let (mut spans, mut buckets) = (Vec::with_capacity(count as usize), 0u64);
    for _ in 0..count {
        let (length, offset) = (u32::try_from(reader.read_uint()?), i32::try_from(reader.read_int()?));
        let (Ok(length), Ok(offset)) = (length, offset) else {
            return Err(ChunkFault::Malformed("a span is out of range"));
        };
        buckets += u64::from(length);
        spans.push(Span { offset, length });
    }
    let buckets = usize::try_from(buckets).ok().filter(|buckets| *buckets <= HISTOGRAM_BUCKETS_MAX);
    Ok((spans, buckets.ok_or(ChunkFault::Malformed("a histogram has more than 65536 buckets"))?))
}

fn read_bounds(reader: &mut BitReader<'_>) -> Result<Vec<f64>, ChunkFault> {
    let count = reader.read_uint()?;
    if count > reader.remaining() as u64 || count > HISTOGRAM_BUCKETS_MAX as u64 {
        return Err(ChunkFault::Malformed("more custom bounds than there is room for"));
    }
    let read = |_| match reader.read_uint()? {
        0 => reader.read_float(),
        thousandths => Ok((thousandths - 1) as f64 / 1000.0),
    };
    (0..count).map(read).collect()
}

/// A whole number written as difference of differences.
#[derive(Clone, Copy, Default)]
struct Whole {
    value: i64,
    delta: i64,
}

impl Whole {
    fn of(value: i64) -> Self {
        Self { value, delta: 0 }
    }

    #[inline]
    fn read(&mut self, reader: &mut BitReader<'_>) -> Result<(), ChunkFault> {
        self.delta = self.delta.wrapping_add(reader.read_int()?);
        self.value = self.value.wrapping_add(self.delta);
        Ok(())
    }

    fn write(&mut self, writer: &mut BitWriter, value: i64) {
        let delta = value.wrapping_sub(self.value);
        writer.push_int(delta.wrapping_sub(self.delta));
        *self = Self { value, delta };
    }
}

pub(super) fn decode_integers(data: &[u8], out: &mut Samples) -> Result<(), ChunkFault> {
    let (layout, mut reader) = Layout::read(data)?;
    let reader = &mut reader;
    let mut buckets = vec![Whole::default(); layout.positive + layout.negative];
    let (mut time, mut count, mut zero) = (Whole::default(), Whole::default(), Whole::default());
    let mut sum = XorValue::default();
    for at in 0..layout.samples {
        if at == 0 {
            time = Whole::of(reader.read_int()?);
            count = Whole::of(reader.read_uint()? as i64);
            zero = Whole::of(reader.read_uint()? as i64);
            sum = XorValue::of(reader.read_float()?);
            for bucket in &mut buckets {
                *bucket = Whole::of(reader.read_int()?);
            }
        } else {
            time.read(reader)?;
            count.read(reader)?;
            zero.read(reader)?;
            sum.read(reader)?;
            if !is_stale(sum.float()) {
                buckets.iter_mut().try_for_each(|bucket| bucket.read(reader))?;
            }
        }
        let absolute = |buckets: &[Whole]| {
            let mut count = 0i64;
            let counts = buckets.iter().map(|bucket| {
                count = count.wrapping_add(bucket.value);
                count as f64
            });
            counts.collect()
        };
        let numbers = Numbers {
            count: count.value as u64 as f64,
            zero_count: zero.value as u64 as f64,
            sum: sum.float(),
            positive: absolute(&buckets[..layout.positive]),
            negative: absolute(&buckets[layout.positive..]),
        };
        layout.push(out, at, time.value, numbers)?;
    }
    out.complete_columns();
    Ok(())
}

pub(super) fn decode_floats(data: &[u8], out: &mut Samples) -> Result<(), ChunkFault> {
    let (layout, mut reader) = Layout::read(data)?;
    let reader = &mut reader;
    let mut time = Whole::default();
    // Count, zero count, sum, then the buckets.
    let mut values = vec![XorValue::default(); 3 + layout.positive + layout.negative];
    for at in 0..layout.samples {
        if at == 0 {
            time = Whole::of(reader.read_int()?);
            for value in &mut values {
                *value = XorValue::of(reader.read_float()?);
            }
        } else {
            time.read(reader)?;
            let (head, buckets) = values.split_at_mut(3);
            head.iter_mut().try_for_each(|value| value.read(reader))?;
            if !is_stale(head[2].float()) {
                buckets.iter_mut().try_for_each(|value| value.read(reader))?;
            }
        }
        let floats = |values: &[XorValue]| values.iter().map(XorValue::float).collect();
        let numbers = Numbers {
            count: values[0].float(),
            zero_count: values[1].float(),
            sum: values[2].float(),
            positive: floats(&values[3..3 + layout.positive]),
            negative: floats(&values[3 + layout.positive..]),
        };
        layout.push(out, at, time.value, numbers)?;
    }
    out.complete_columns();
    Ok(())
}

/// Tells whether a histogram may stand behind another in one chunk.
pub(super) fn continues(last: &FloatHistogram, next: &FloatHistogram) -> bool {
    if last.is_stale() || next.is_stale() {
        return next.is_stale();
    }
    let is_gauge = |histogram: &FloatHistogram| histogram.reset_hint == CounterResetHint::Gauge;
    let is_reset = || next.reset_hint == CounterResetHint::Reset || next.detect_reset(last);
    is_gauge(last) == is_gauge(next) && last.has_same_layout(next) && (is_gauge(next) || !is_reset())
}

/// Tells whether all counts of a run are whole numbers that a histogram chunk can hold.
pub(super) fn is_whole(samples: &Samples, run: Range<usize>) -> bool {
    let is_whole = |number: &f64| number.fract() == 0.0 && (0.0..=WHOLE_MAX).contains(number);
    histograms(samples, run).filter(|(_, histogram)| !histogram.is_stale()).all(|(_, histogram)| {
        let buckets = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
        buckets
            .chain([&histogram.count, &histogram.zero_count])
            .all(|number| is_whole(number) && (*number != 0.0 || number.is_sign_positive()))
    })
}

fn histograms(samples: &Samples, run: Range<usize>) -> impl Iterator<Item = (i64, &FloatHistogram)> {
    run.map(|at| {
        let histogram = samples.histogram(at).expect("a run of histograms has no float");
        (samples.timestamps[at], &**histogram)
    })
}

/// Writes counter, flags and layout of a run.
fn write_layout(samples: &Samples, run: &Range<usize>) -> BitWriter {
    debug_assert!(run.len() <= SAMPLES_MAX, "runs are cut so that the counter holds them");
    let first = samples.histogram(run.start).expect("a run of histograms begins with one");
    let mut bytes = (run.len() as u16).to_be_bytes().to_vec();
    bytes.push(match first.reset_hint {
        CounterResetHint::Gauge => FLAG_GAUGE,
        CounterResetHint::Reset => FLAG_RESET,
        CounterResetHint::Unknown | CounterResetHint::NotReset => 0,
    });
    let mut writer = BitWriter::after(bytes);
    let stale = FloatHistogram::default();
    let layout = if first.is_stale() { &stale } else { first };
    write_threshold(&mut writer, layout.zero_threshold);
    writer.push_int(i64::from(layout.schema));
    for spans in [&layout.positive_spans, &layout.negative_spans] {
        writer.push_uint(spans.len() as u64);
        for span in spans {
            writer.push_uint(u64::from(span.length));
            writer.push_int(i64::from(span.offset));
        }
    }
    if layout.uses_custom_buckets() {
        writer.push_uint(layout.custom_bounds.len() as u64);
        layout.custom_bounds.iter().for_each(|bound| write_bound(&mut writer, *bound));
    }
    writer
}

fn write_threshold(writer: &mut BitWriter, threshold: f64) {
    let code = (1..THRESHOLD_IS_FLOAT)
        .find(|code| 2f64.powi(THRESHOLD_EXPONENT_MIN - 1 + i32::from(*code)) == threshold);
    match code {
        Some(code) => writer.push(u64::from(code), 8),
        None if threshold.to_bits() == 0 => writer.push(0, 8),
        None => {
            writer.push(u64::from(THRESHOLD_IS_FLOAT), 8);
            writer.push(threshold.to_bits(), 64);
        }
    }
}

fn write_bound(writer: &mut BitWriter, bound: f64) {
    let thousandths = bound * 1000.0;
    let is_short = (0.0..=BOUND_THOUSANDTHS_MAX).contains(&thousandths)
        && thousandths.fract() == 0.0
        // Division gives back the very bits, which is not so for every product that came out whole.
        && (thousandths / 1000.0).to_bits() == bound.to_bits();
    if is_short {
        writer.push_uint(thousandths as u64 + 1);
    } else {
        writer.push(0, 1);
        writer.push(bound.to_bits(), 64);
    }
}

pub(super) fn encode_integers(samples: &Samples, run: Range<usize>) -> Vec<u8> {
    let mut writer = write_layout(samples, &run);
    let deltas = |histogram: &FloatHistogram| -> Vec<i64> {
        let side = |counts: &[f64]| {
            let mut before = 0;
            counts.iter().map(|count| *count as i64 - std::mem::replace(&mut before, *count as i64)).collect()
        };
        let sides: [Vec<i64>; 2] = [side(&histogram.positive_buckets), side(&histogram.negative_buckets)];
        sides.concat()
    };
    let (mut time, mut count, mut zero) = (Whole::default(), Whole::default(), Whole::default());
    let (mut sum, mut buckets) = (XorValue::default(), Vec::new());
    for (at, (time_ms, histogram)) in histograms(samples, run).enumerate() {
        let is_stale = histogram.is_stale();
        if at == 0 {
            let numbers =
                if is_stale { (0, 0) } else { (histogram.count as i64, histogram.zero_count as i64) };
            writer.push_int(time_ms);
            writer.push_uint(numbers.0 as u64);
            writer.push_uint(numbers.1 as u64);
            writer.push(histogram.sum.to_bits(), 64);
            (time, count, zero) = (Whole::of(time_ms), Whole::of(numbers.0), Whole::of(numbers.1));
            sum = XorValue::of(histogram.sum);
            if !is_stale {
                buckets = deltas(histogram).into_iter().map(Whole::of).collect();
                buckets.iter().for_each(|bucket: &Whole| writer.push_int(bucket.value));
            }
            continue;
        }
        time.write(&mut writer, time_ms);
        if is_stale {
            // What a marker counts is not looked at.
            writer.push_int(0);
            writer.push_int(0);
            sum.write(&mut writer, histogram.sum);
            continue;
        }
        count.write(&mut writer, histogram.count as i64);
        zero.write(&mut writer, histogram.zero_count as i64);
        sum.write(&mut writer, histogram.sum);
        let values = deltas(histogram);
        buckets.iter_mut().zip(values).for_each(|(bucket, value)| bucket.write(&mut writer, value));
    }
    writer.into_bytes()
}

pub(super) fn encode_floats(samples: &Samples, run: Range<usize>) -> Vec<u8> {
    let mut writer = write_layout(samples, &run);
    let mut time = Whole::default();
    let mut values: Vec<XorValue> = Vec::new();
    for (at, (time_ms, histogram)) in histograms(samples, run).enumerate() {
        let head = match histogram.is_stale() {
            true => [0.0, 0.0, histogram.sum],
            false => [histogram.count, histogram.zero_count, histogram.sum],
        };
        let buckets: &[&[f64]] = match histogram.is_stale() {
            true => &[],
            false => &[&histogram.positive_buckets, &histogram.negative_buckets],
        };
        let numbers = head.into_iter().chain(buckets.iter().flat_map(|side| side.iter().copied()));
        if at == 0 {
            writer.push_int(time_ms);
            time = Whole::of(time_ms);
            values = numbers.map(XorValue::of).collect();
            values.iter().for_each(|value| writer.push(value.bits, 64));
        } else {
            time.write(&mut writer, time_ms);
            values.iter_mut().zip(numbers).for_each(|(value, number)| value.write(&mut writer, number));
        }
    }
    writer.into_bytes()
}
