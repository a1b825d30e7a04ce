//! The wide chunk that is being written: like the narrow one, sample after sample, with a state for each count.
//!
//! A count that grows by a whole number is stored as the difference, any other change as a changed value.

use std::sync::Arc;

use bytes::Bytes;
use model::varint::{Cursor, push_unsigned};
use model::{FloatHistogram, SampleValue, Samples};

use super::{FIELDS, FORM_HISTOGRAMS, cells_of, counts, has_room, histogram_of, mark_of, stale_of};
use crate::ChunkError;
use crate::bits::{BitReader, BitWriter};
use crate::container::{CHUNK_SAMPLES_MAX, EncodedChunk, Encoding, finish};
use crate::decimal;
use crate::open::{push_time, read_time};
use crate::xor::XorWindow;

/// How many bits the mark of a histogram has.
const MARK_BITS: u32 = 3;

/// A wide chunk that grows by [`OpenWide::append`]: floats with start timestamps, or histograms of one layout.
#[derive(Clone, Debug)]
pub struct OpenWide {
    bits: BitWriter,
    /// The layout, in a histogram whose counts have no meaning; `None` for floats.
    layout: Option<Arc<FloatHistogram>>,
    state: State,
    samples: u32,
    first_ms: i64,
    last: SampleValue,
}

/// What the coding of a sample depends on, alike in writer and reader.
#[derive(Clone, Debug)]
struct State {
    time_ms: i64,
    delta_ms: i64,
    start_ms: i64,
    mark: u8,
    /// One a count; for floats, one.
    fields: Vec<Field>,
}

#[derive(Clone, Debug, Default)]
struct Field {
    value: u64,
    window: XorWindow,
}

impl State {
    fn new(fields: usize) -> Self {
        let fields = vec![Field::default(); fields];
        Self { time_ms: 0, delta_ms: 0, start_ms: 0, mark: 0, fields }
    }
}

impl OpenWide {
    /// Returns an empty chunk that takes the value's kind, and its layout.
    ///
    /// # Panics
    /// When it is a histogram that is not [`FloatHistogram::is_storable`].
    pub fn new(value: &SampleValue) -> Self {
        let layout = match value {
            SampleValue::Float(_) => None,
            SampleValue::Histogram(histogram) if histogram.is_plain_stale() => Some(Arc::default()),
            SampleValue::Histogram(histogram) => Some(Arc::clone(histogram)),
        };
        assert!(layout.as_ref().is_none_or(|layout| layout.is_storable()), "histograms are checked before");
        let fields = layout.as_ref().map_or(1, |layout| FIELDS + layout.buckets_len());
        let (bits, state) = (BitWriter::default(), State::new(fields));
        Self { bits, layout, state, samples: 0, first_ms: 0, last: value.clone() }
    }

    /// Tells whether a value may be appended: it has the kind and the layout, and there is room.
    pub fn takes(&self, value: &SampleValue) -> bool {
        let samples = self.samples as usize + 1;
        samples <= CHUNK_SAMPLES_MAX
            && match (&self.layout, value) {
                (None, SampleValue::Float(_)) => true,
                (Some(layout), SampleValue::Histogram(histogram)) => {
                    has_room(samples, cells_of(layout, layout.buckets_len()))
                        && (histogram.is_plain_stale() || histogram.has_same_layout(layout))
                }
                _ => false,
            }
    }

    /// Appends a sample.
    ///
    /// # Panics
    /// When `time_ms` is not later than the last one, or [`OpenWide::takes`] denies the value.
    pub fn append(&mut self, time_ms: i64, start_ms: i64, value: SampleValue) {
        assert!(self.takes(&value), "the caller has asked");
        self.push_time(time_ms);
        self.push_start(time_ms, start_ms);
        match &value {
            SampleValue::Float(value) => push_field(&mut self.state.fields[0], *value, &mut self.bits),
            SampleValue::Histogram(histogram) => self.push_histogram(histogram),
        }
        self.state.time_ms = time_ms;
        self.samples += 1;
        self.last = value;
    }

    fn push_time(&mut self, time_ms: i64) {
        if self.samples == 0 {
            self.first_ms = time_ms;
            return self.bits.push(time_ms as u64, 64);
        }
        assert!(time_ms > self.state.time_ms, "samples of a chunk are strictly ascending in time");
        let delta_ms = time_ms.wrapping_sub(self.state.time_ms);
        let change = delta_ms.wrapping_sub(self.state.delta_ms);
        self.state.delta_ms = delta_ms;
        self.bits.push(u64::from(change != 0), 1);
        if change != 0 {
            push_time(&mut self.bits, change);
        }
    }

    fn push_start(&mut self, time_ms: i64, start_ms: i64) {
        let before_ms = if self.samples == 0 { time_ms } else { self.state.time_ms };
        if start_ms == self.state.start_ms {
            self.bits.push(0, 1);
        } else if start_ms == before_ms {
            self.bits.push(0b10, 2);
        } else {
            self.bits.push(0b11, 2);
            self.bits.push(start_ms as u64, 64);
        }
        self.state.start_ms = start_ms;
    }

    fn push_histogram(&mut self, histogram: &FloatHistogram) {
        let mark = mark_of(histogram);
        if mark == self.state.mark {
            self.bits.push(0, 1);
        } else {
            self.bits.push(1 << MARK_BITS | u64::from(mark), 1 + MARK_BITS);
            self.state.mark = mark;
        }
        if !histogram.is_plain_stale() {
            let fields = self.state.fields.iter_mut().zip(counts(histogram));
            fields.for_each(|(field, count)| push_field(field, count, &mut self.bits));
        }
    }

    /// Returns how many samples it holds.
    pub fn len(&self) -> usize {
        self.samples as usize
    }

    /// Tells whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// Returns the first timestamp in ms, or `None` when empty.
    pub fn first_ms(&self) -> Option<i64> {
        (self.samples > 0).then_some(self.first_ms)
    }

    /// Returns the last timestamp in ms, or `None` when empty.
    pub fn last_ms(&self) -> Option<i64> {
        (self.samples > 0).then_some(self.state.time_ms)
    }

    /// Returns the last value, or `None` when empty.
    pub fn last_value(&self) -> Option<&SampleValue> {
        (self.samples > 0).then_some(&self.last)
    }

    /// Returns how much heap memory it holds, its layout and its last histogram included.
    pub fn size_bytes(&self) -> usize {
        let layout = self.layout.as_ref().map_or(0, |layout| layout.size_bytes());
        let last = match &self.last {
            SampleValue::Float(_) => 0,
            SampleValue::Histogram(last) => last.size_bytes(),
        };
        self.bits.capacity() + self.state.fields.capacity() * size_of::<Field>() + layout + last
    }

    /// Appends the container to a buffer; see [`crate::OpenChunk::write_encoded`].
    ///
    /// # Panics
    /// When the chunk is empty.
    pub fn write_encoded(&self, out: &mut Vec<u8>) {
        assert!(self.samples > 0, "an empty chunk has no encoding");
        let start = out.len();
        out.push(Encoding::OpenWide as u8);
        push_unsigned(out, u64::from(self.samples));
        match &self.layout {
            None => out.push(0),
            Some(layout) => {
                out.push(FORM_HISTOGRAMS);
                layout.write_layout(out);
            }
        }
        self.bits.write_to(out);
        finish(out, start);
    }

    /// Returns a copy in the container.
    ///
    /// # Panics
    /// When the chunk is empty.
    pub fn to_encoded(&self) -> EncodedChunk {
        let mut data = Vec::with_capacity(self.bits.len_bytes() + 64);
        self.write_encoded(&mut data);
        let (start_ms, end_ms) = (self.first_ms, self.state.time_ms);
        EncodedChunk { start_ms, end_ms, samples: self.samples, data: Bytes::from(data) }
    }
}

impl OpenWide {
    /// Takes up again a chunk of which the container has been decoded.
    ///
    /// # Errors
    /// [`ChunkError`] when the body is none of an open wide chunk.
    pub(crate) fn restore(body: &[u8], samples: &Samples) -> Result<Self, ChunkError> {
        let mut cursor = Cursor::new(body);
        let (_, _) = (cursor.byte()?, cursor.unsigned()?);
        let layout = match cursor.byte()? {
            FORM_HISTOGRAMS => {
                let (layout, [positive, negative]) = FloatHistogram::read_layout(&mut cursor)?;
                Some(layout.with_counts(vec![0.0; 2 + positive + negative], positive))
            }
            _ => None,
        };
        let kind = layout.map_or(SampleValue::Float(0.0), |layout| SampleValue::Histogram(Arc::new(layout)));
        let mut open = Self::new(&kind);
        for (at, time_ms) in samples.timestamps.iter().enumerate() {
            open.append(*time_ms, samples.start(at), samples.value(at));
        }
        Ok(open)
    }
}

/// Writes a count: unchanged, grown by a whole number, or changed.
fn push_field(field: &mut Field, value: f64, bits: &mut BitWriter) {
    let before = f64::from_bits(field.value);
    if field.value == value.to_bits() {
        return bits.push(0, 1);
    }
    if let (Some(from), Some(to)) = (decimal::scale(before, 0), decimal::scale(value, 0)) {
        bits.push(0b10, 2);
        push_time(bits, to.wrapping_sub(from));
    } else {
        bits.push(0b11, 2);
        field.window.write(field.value ^ value.to_bits(), bits);
    }
    field.value = value.to_bits();
}

fn read_field(field: &mut Field, bits: &mut BitReader<'_>) -> Result<f64, ChunkError> {
    if bits.read_bit()? {
        if bits.read_bit()? {
            field.value ^= field.window.read(bits)?;
        } else {
            let before = decimal::scale(f64::from_bits(field.value), 0);
            let before = before.ok_or_else(|| bits.malformed("a count grows that is not whole"))?;
            field.value = (before.wrapping_add(read_time(bits)?) as f64).to_bits();
        }
    }
    Ok(f64::from_bits(field.value))
}

/// Appends the samples of a payload behind the number of samples.
pub(crate) fn read_samples(
    mut cursor: Cursor<'_>,
    count: usize,
    out: &mut Samples,
) -> Result<(), ChunkError> {
    let (layout, positive) = match cursor.byte()? {
        0 => (None, 0),
        FORM_HISTOGRAMS => {
            let (layout, [positive, negative]) = FloatHistogram::read_layout(&mut cursor)?;
            if !has_room(count, cells_of(&layout, positive + negative)) {
                return Err(cursor.malformed("a chunk holds too many counts").into());
            }
            (Some((layout, FIELDS + positive + negative)), positive)
        }
        _ => return Err(cursor.malformed("the form of a wide chunk is unknown").into()),
    };
    let origin = cursor.offset();
    let mut bits = BitReader::new(cursor.take(cursor.remaining())?, origin);
    let mut state = State::new(layout.as_ref().map_or(1, |(_, fields)| *fields));
    for at in 0..count {
        let before_ms = state.time_ms;
        read_next_time(&mut state, at == 0, &mut bits)?;
        if bits.read_bit()? {
            let base_ms = if at == 0 { state.time_ms } else { before_ms };
            state.start_ms = if bits.read_bit()? { bits.read(64)? as i64 } else { base_ms };
        }
        out.timestamps.push(state.time_ms);
        match &layout {
            None => out.floats.push(read_field(&mut state.fields[0], &mut bits)?),
            Some((layout, _)) => {
                let histogram = read_histogram(&mut state, layout, positive, &mut bits)?;
                out.histograms.push((out.floats.len() as u32, Arc::new(histogram)));
                out.floats.push(0.0);
            }
        }
        if !out.start_timestamps.is_empty() {
            out.start_timestamps.push(0);
        }
        out.start_last(state.start_ms);
    }
    if bits.is_at_end() { Ok(()) } else { Err(bits.malformed("bits are left over")) }
}

fn read_next_time(state: &mut State, is_first: bool, bits: &mut BitReader<'_>) -> Result<(), ChunkError> {
    if is_first {
        state.time_ms = bits.read(64)? as i64;
        return Ok(());
    }
    if bits.read_bit()? {
        state.delta_ms = state.delta_ms.wrapping_add(read_time(bits)?);
    }
    let next_ms = state.time_ms.wrapping_add(state.delta_ms);
    if next_ms <= state.time_ms {
        return Err(bits.malformed("timestamps are not ascending"));
    }
    state.time_ms = next_ms;
    Ok(())
}

fn read_histogram(
    state: &mut State,
    layout: &FloatHistogram,
    positive: usize,
    bits: &mut BitReader<'_>,
) -> Result<FloatHistogram, ChunkError> {
    if bits.read_bit()? {
        state.mark = bits.read(MARK_BITS)? as u8;
    }
    if let Some(stale) = stale_of(state.mark) {
        return Ok(stale);
    }
    let counts = state.fields.iter_mut().map(|field| read_field(field, bits));
    let counts: Vec<f64> = counts.collect::<Result<_, _>>()?;
    Ok(histogram_of(layout, state.mark, counts.into_iter(), positive))
}
