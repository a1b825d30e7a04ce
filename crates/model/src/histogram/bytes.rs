//! A histogram's stored bytes: its layout, and one histogram that stands alone. Specified in `docs/formats/histogram.md`.
//!
//! Chunks store the layout once and the counts by bucket; messages store whole histograms. Every field comes back bit for
//! bit. Decoders never panic and take memory in proportion to their input, at most [`HISTOGRAM_BUCKETS_MAX`] buckets.

use super::{CounterResetHint, FloatHistogram, Span};
use crate::sample::STALE_NAN_BITS;
use crate::varint::{Cursor, ReadError, push_signed, push_unsigned};

/// The most buckets that a stored histogram may have, of both sides together. Exponential histograms have about 160, at the
/// finest schema a few thousand.
pub const HISTOGRAM_BUCKETS_MAX: usize = 1 << 16;

/// The bytes that each span and each bound takes at least.
const SPAN_BYTES_MIN: usize = 2;
const BOUND_BYTES: usize = 8;

/// The first byte of a histogram that stands alone: the hint in the low two bits, then two flags.
const HINT_MASK: u8 = 0b11;
const FLAG_STALE: u8 = 0b100;
const FLAG_RAW: u8 = 0b1000;

/// Hints by their code. Codes are never given a second meaning.
const HINTS: [CounterResetHint; 4] =
    [CounterResetHint::Unknown, CounterResetHint::Reset, CounterResetHint::NotReset, CounterResetHint::Gauge];

/// Whole numbers below this are stored as integers.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

impl CounterResetHint {
    /// Returns the number that stands for it in stored bytes, 0 to 3.
    pub fn code(self) -> u8 {
        HINTS.iter().position(|hint| *hint == self).expect("every hint has a code") as u8
    }

    /// Returns the hint of the low two bits of a code.
    pub fn of_code(code: u8) -> Self {
        HINTS[usize::from(code & HINT_MASK)]
    }
}

impl FloatHistogram {
    /// Returns the staleness marker among histograms: it has no buckets, and a sum with the marker's bits.
    pub fn stale() -> Self {
        Self { sum: f64::from_bits(STALE_NAN_BITS), ..Self::default() }
    }

    /// Tells whether it is [`FloatHistogram::stale`] but for the hint.
    pub fn is_plain_stale(&self) -> bool {
        self.is_stale()
            && self.has_same_layout(&Self::default())
            && [self.count, self.zero_count].iter().all(|count| count.to_bits() == 0)
            && self.buckets_len() == 0
    }

    /// Tells whether every field but hint, counts and sum is the same, bit for bit.
    pub fn has_same_layout(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
            && self.positive_spans == other.positive_spans
            && self.negative_spans == other.negative_spans
            && self.custom_bounds.len() == other.custom_bounds.len()
            && self.custom_bounds.iter().zip(&other.custom_bounds).all(|(a, b)| a.to_bits() == b.to_bits())
    }

    /// Returns how many buckets there are on both sides.
    pub fn buckets_len(&self) -> usize {
        self.positive_buckets.len() + self.negative_buckets.len()
    }

    /// Tells whether it can be stored: its spans are those of its buckets, and these are not too many.
    pub fn is_storable(&self) -> bool {
        let fits = |spans: &[Span], buckets: usize| {
            spans.iter().map(|span| u64::from(span.length)).sum::<u64>() == buckets as u64
        };
        self.buckets_len() <= HISTOGRAM_BUCKETS_MAX
            && fits(&self.positive_spans, self.positive_buckets.len())
            && fits(&self.negative_spans, self.negative_buckets.len())
    }

    /// Appends everything but hint, counts and sum.
    pub fn write_layout(&self, out: &mut Vec<u8>) {
        push_signed(out, i64::from(self.schema));
        out.extend_from_slice(&self.zero_threshold.to_bits().to_le_bytes());
        for spans in [&self.positive_spans, &self.negative_spans] {
            push_unsigned(out, spans.len() as u64);
            for span in spans {
                push_signed(out, i64::from(span.offset));
                push_unsigned(out, u64::from(span.length));
            }
        }
        push_unsigned(out, self.custom_bounds.len() as u64);
        self.custom_bounds.iter().for_each(|bound| out.extend_from_slice(&bound.to_bits().to_le_bytes()));
    }

    /// Reads a layout; returns a histogram without counts, and how many buckets its sides have: positive, negative.
    ///
    /// # Errors
    /// [`ReadError`] when the bytes are no layout.
    pub fn read_layout(cursor: &mut Cursor<'_>) -> Result<(Self, [usize; 2]), ReadError> {
        let fault = cursor.malformed("a schema is out of range");
        let schema = i32::try_from(cursor.signed()?).map_err(|_| fault)?;
        let zero_threshold = f64::from_bits(cursor.word()?);
        let (positive_spans, positive) = read_spans(cursor)?;
        let (negative_spans, negative) = read_spans(cursor)?;
        if positive + negative > HISTOGRAM_BUCKETS_MAX {
            return Err(cursor.malformed("a histogram has too many buckets"));
        }
        let bounds = cursor.count(BOUND_BYTES)?;
        let custom_bounds =
            (0..bounds).map(|_| cursor.word().map(f64::from_bits)).collect::<Result<_, _>>()?;
        let layout =
            Self { schema, zero_threshold, positive_spans, negative_spans, custom_bounds, ..Self::default() };
        Ok((layout, [positive, negative]))
    }

    /// Appends the histogram.
    ///
    /// # Panics
    /// When it is not [`FloatHistogram::is_storable`].
    pub fn write_to(&self, out: &mut Vec<u8>) {
        assert!(self.is_storable(), "histograms are checked where they come in");
        if self.is_plain_stale() {
            return out.push(self.reset_hint.code() | FLAG_STALE);
        }
        let counts = [self.count, self.zero_count];
        let buckets = [&self.positive_buckets, &self.negative_buckets];
        let is_whole =
            counts.iter().chain(buckets.into_iter().flatten()).all(|count| whole(*count).is_some());
        out.push(self.reset_hint.code() | if is_whole { 0 } else { FLAG_RAW });
        self.write_layout(out);
        out.extend_from_slice(&self.sum.to_bits().to_le_bytes());
        if !is_whole {
            let counts = counts.iter().chain(buckets.into_iter().flatten());
            return counts.for_each(|count| out.extend_from_slice(&count.to_bits().to_le_bytes()));
        }
        counts.iter().for_each(|count| push_unsigned(out, *count as u64));
        let mut before = 0;
        for count in buckets.into_iter().flatten() {
            let count = *count as i64;
            push_signed(out, count - before);
            before = count;
        }
    }

    /// Reads what [`FloatHistogram::write_to`] wrote.
    ///
    /// # Errors
    /// [`ReadError`] when the bytes are no histogram.
    pub fn read_from(cursor: &mut Cursor<'_>) -> Result<Self, ReadError> {
        let flags = cursor.byte()?;
        let reset_hint = CounterResetHint::of_code(flags);
        match flags & !HINT_MASK {
            FLAG_STALE => return Ok(Self { reset_hint, ..Self::stale() }),
            0 | FLAG_RAW => {}
            _ => return Err(cursor.malformed("the form of a histogram is unknown")),
        }
        let (layout, [positive, negative]) = Self::read_layout(cursor)?;
        let sum = f64::from_bits(cursor.word()?);
        let mut counts = Vec::with_capacity((2 + positive + negative).min(cursor.remaining()));
        let mut before = 0i64;
        for at in 0..2 + positive + negative {
            counts.push(match (flags & FLAG_RAW, at) {
                (FLAG_RAW, _) => f64::from_bits(cursor.word()?),
                (_, 0 | 1) => cursor.unsigned()? as f64,
                _ => {
                    before = before.wrapping_add(cursor.signed()?);
                    before as f64
                }
            });
        }
        Ok(Self { reset_hint, sum, ..layout.with_counts(counts, positive) })
    }

    /// Returns the layout with counts: all observations, the zero bucket, then the positive and the negative buckets.
    ///
    /// # Panics
    /// When there are fewer than `2 + positive`.
    pub fn with_counts(self, counts: Vec<f64>, positive: usize) -> Self {
        let (count, zero_count) = (counts[0], counts[1]);
        let (positive_buckets, negative_buckets) = counts[2..].split_at(positive);
        Self {
            count,
            zero_count,
            positive_buckets: positive_buckets.to_vec(),
            negative_buckets: negative_buckets.to_vec(),
            ..self
        }
    }
}

fn read_spans(cursor: &mut Cursor<'_>) -> Result<(Vec<Span>, usize), ReadError> {
    let count = cursor.count(SPAN_BYTES_MIN)?;
    let (mut spans, mut buckets) = (Vec::with_capacity(count), 0usize);
    for _ in 0..count {
        let offset = i32::try_from(cursor.signed()?);
        let offset = offset.map_err(|_| cursor.malformed("the offset of a span is out of range"))?;
        let length = cursor.u32()?;
        buckets += length as usize;
        if buckets > HISTOGRAM_BUCKETS_MAX {
            return Err(cursor.malformed("a histogram has too many buckets"));
        }
        spans.push(Span { offset, length });
    }
    Ok((spans, buckets))
}

/// Returns a count as an integer if that gives back its bits.
fn whole(count: f64) -> Option<i64> {
    let is_whole = count.is_sign_positive() && count < WHOLE_MAX && count.trunc() == count;
    is_whole.then_some(count as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits(histogram: &FloatHistogram) -> Vec<u64> {
        let counts = [histogram.count, histogram.zero_count, histogram.sum];
        let counts = counts.iter().chain(&histogram.positive_buckets).chain(&histogram.negative_buckets);
        counts.map(|count| count.to_bits()).collect()
    }

    fn round_trip(histogram: &FloatHistogram) -> Vec<u8> {
        let mut bytes = Vec::new();
        histogram.write_to(&mut bytes);
        let mut cursor = Cursor::new(&bytes);
        let back = FloatHistogram::read_from(&mut cursor).expect("what was written is read");
        assert!(cursor.is_at_end() && back.has_same_layout(histogram));
        assert_eq!((bits(&back), back.reset_hint), (bits(histogram), histogram.reset_hint));
        for cut in 0..bytes.len() {
            assert!(FloatHistogram::read_from(&mut Cursor::new(&bytes[..cut])).is_err(), "cut at {cut}");
        }
        bytes
    }

    fn histogram() -> impl Strategy<Value = FloatHistogram> {
        let float = prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            (0u64..100_000).prop_map(|count| count as f64),
            Just(-0.0),
        ];
        let whole = (0u64..1 << 54).prop_map(|count| count as f64);
        let spans = || {
            prop::collection::vec((any::<i32>(), 0u32..5), 0..4).prop_map(|spans| {
                spans.into_iter().map(|(offset, length)| Span { offset, length }).collect::<Vec<_>>()
            })
        };
        let counts = |float: BoxedStrategy<f64>| prop::collection::vec(float, 50);
        let counts = prop_oneof![counts(float.boxed()), counts(whole.boxed())];
        let bounds = prop::collection::vec(any::<u64>().prop_map(f64::from_bits), 0..4);
        (counts, spans(), spans(), bounds, any::<i32>(), 0u8..4).prop_map(
            |(counts, positive_spans, negative_spans, custom_bounds, schema, hint)| {
                let buckets = |spans: &[Span]| spans.iter().map(|span| span.length as usize).sum::<usize>();
                let (positive, negative) = (buckets(&positive_spans), buckets(&negative_spans));
                let layout = FloatHistogram {
                    reset_hint: CounterResetHint::of_code(hint),
                    schema,
                    zero_threshold: counts[49],
                    sum: counts[48],
                    positive_spans,
                    negative_spans,
                    custom_bounds,
                    ..FloatHistogram::default()
                };
                layout.with_counts(counts[..2 + positive + negative].to_vec(), positive)
            },
        )
    }

    #[test]
    fn a_staleness_marker_is_one_byte() {
        for code in 0..4 {
            let hint = CounterResetHint::of_code(code);
            let stale = FloatHistogram { reset_hint: hint, ..FloatHistogram::stale() };
            assert_eq!(round_trip(&stale), [code | FLAG_STALE]);
        }
        assert!(!FloatHistogram { schema: 1, ..FloatHistogram::stale() }.is_plain_stale());
        assert!(!FloatHistogram { zero_count: -0.0, ..FloatHistogram::stale() }.is_plain_stale());
    }

    #[test]
    fn a_short_text_cannot_stand_for_many_buckets() {
        let mut bytes = vec![0, 0];
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&[1, 0, 0x81, 0x80, 0x04, 0, 0]);
        let error = FloatHistogram::read_from(&mut Cursor::new(&bytes)).unwrap_err();
        assert!(
            matches!(error, ReadError::Malformed { what: "a histogram has too many buckets", .. }),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn any_histogram_comes_back(histogram in histogram()) {
            round_trip(&histogram);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(histogram) = FloatHistogram::read_from(&mut Cursor::new(&bytes)) {
                prop_assert!(histogram.is_storable());
            }
        }
    }
}
