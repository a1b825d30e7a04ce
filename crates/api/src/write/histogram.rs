//! Native histograms of remote write: integer or float, with exponential or custom buckets.
//!
//! Both become float histograms with absolute counts. A hint that says "not reset" is dropped, as Prometheus does: it speaks
//! of the sample before at the sender, which need not be the one before here; "reset" and "gauge" are kept. Field numbers:
//! `proto/proto/prometheus/remote.proto`.

use model::FloatHistogram;
use model::histogram::{CounterResetHint, HISTOGRAM_BUCKETS_MAX, HistogramError, Span};

use super::decode::WriteError;
use super::protobuf::{Fields, Value};

/// Why a histogram cannot be stored.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Invalid(#[from] HistogramError),
    #[error("histogram has {found} buckets, more than the {HISTOGRAM_BUCKETS_MAX} that are stored")]
    TooManyBuckets { found: usize },
}

/// What one side of a histogram has as sent: differences of integer counts, or counts.
#[derive(Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

/// A histogram as sent.
#[derive(Default)]
struct Sent {
    time_ms: i64,
    /// All observations and those in the zero bucket, where they are integers.
    count: u64,
    zero_count: u64,
    is_float: bool,
    float_count: f64,
    float_zero_count: f64,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    hint: u64,
    positive: Side,
    negative: Side,
    custom_bounds: Vec<f64>,
}

/// Reads a histogram and its time in ms. The inner error says why it cannot be stored.
pub(super) fn decode_histogram(bytes: &[u8]) -> Result<Result<(i64, FloatHistogram), Refusal>, WriteError> {
    let mut fields = Fields::new("a histogram", bytes);
    let mut sent = Sent::default();
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Varint(count)) => (sent.count, sent.is_float) = (count, false),
            (2, Value::Fixed64(bits)) => (sent.float_count, sent.is_float) = (f64::from_bits(bits), true),
            (3, Value::Fixed64(bits)) => sent.sum = f64::from_bits(bits),
            (4, Value::Varint(code)) => sent.schema = model::varint::unzigzag(code) as i32,
            (5, Value::Fixed64(bits)) => sent.zero_threshold = f64::from_bits(bits),
            (6, Value::Varint(count)) => sent.zero_count = count,
            (7, Value::Fixed64(bits)) => sent.float_zero_count = f64::from_bits(bits),
            (8, Value::Bytes(span)) => sent.negative.spans.push(decode_span(span)?),
            (9, value) => fields.signed_numbers(value, &mut sent.negative.deltas)?,
            (10, value) => fields.floats(value, &mut sent.negative.counts)?,
            (11, Value::Bytes(span)) => sent.positive.spans.push(decode_span(span)?),
            (12, value) => fields.signed_numbers(value, &mut sent.positive.deltas)?,
            (13, value) => fields.floats(value, &mut sent.positive.counts)?,
            (14, Value::Varint(hint)) => sent.hint = hint,
            (15, Value::Varint(time_ms)) => sent.time_ms = time_ms as i64,
            (16, value) => fields.floats(value, &mut sent.custom_bounds)?,
            (1..=16, _) => return Err(fields.wrong_type()),
            _ => {}
        }
    }
    let time_ms = sent.time_ms;
    Ok(sent.check().map(|histogram| (time_ms, histogram)))
}

fn decode_span(bytes: &[u8]) -> Result<Span, WriteError> {
    let mut fields = Fields::new("a span", bytes);
    let mut span = Span { offset: 0, length: 0 };
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Varint(code)) => span.offset = model::varint::unzigzag(code) as i32,
            (2, Value::Varint(length)) => span.length = length as u32,
            (1 | 2, _) => return Err(fields.wrong_type()),
            _ => {}
        }
    }
    Ok(span)
}

impl Sent {
    fn check(self) -> Result<FloatHistogram, Refusal> {
        let found = self.positive.len(self.is_float) + self.negative.len(self.is_float);
        if found > HISTOGRAM_BUCKETS_MAX {
            return Err(Refusal::TooManyBuckets { found });
        }
        let (positive_buckets, positive) = self.positive.absolute(self.is_float);
        let (negative_buckets, negative) = self.negative.absolute(self.is_float);
        let (count, zero_count) = match self.is_float {
            true => (self.float_count, self.float_zero_count),
            false => (self.count as f64, self.zero_count as f64),
        };
        let histogram = FloatHistogram {
            reset_hint: match self.hint {
                1 => CounterResetHint::Reset,
                3 => CounterResetHint::Gauge,
                _ => CounterResetHint::Unknown,
            },
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count,
            count,
            sum: self.sum,
            positive_spans: self.positive.spans,
            negative_spans: self.negative.spans,
            positive_buckets,
            negative_buckets,
            custom_bounds: self.custom_bounds,
        };
        histogram.validate()?;
        if !self.is_float {
            let found = positive.wrapping_add(negative).wrapping_add(self.zero_count);
            if histogram.sum.is_nan() && found > self.count {
                return Err(HistogramError::CountNotBigEnough { found, count: self.count }.into());
            }
            if !histogram.sum.is_nan() && found != self.count {
                return Err(HistogramError::CountMismatch { found, count: self.count }.into());
            }
        }
        Ok(histogram)
    }
}

impl Side {
    fn len(&self, is_float: bool) -> usize {
        if is_float { self.counts.len() } else { self.deltas.len() }
    }

    /// Returns the counts, and the sum of integer ones.
    fn absolute(&self, is_float: bool) -> (Vec<f64>, u64) {
        if is_float {
            return (self.counts.clone(), 0);
        }
        let (mut count, mut sum) = (0i64, 0u64);
        let counts = self.deltas.iter().map(|delta| {
            count = count.wrapping_add(*delta);
            sum = sum.wrapping_add(count as u64);
            count as f64
        });
        (counts.collect(), sum)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn varint(number: u8, value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        model::varint::push_unsigned(&mut out, u64::from(number) << 3);
        model::varint::push_unsigned(&mut out, value);
        out
    }

    pub(crate) fn double(number: u8, value: f64) -> Vec<u8> {
        let mut out = Vec::new();
        model::varint::push_unsigned(&mut out, u64::from(number) << 3 | 1);
        out.extend_from_slice(&value.to_le_bytes());
        out
    }

    fn bytes(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        model::varint::push_unsigned(&mut out, u64::from(number) << 3 | 2);
        model::varint::push_bytes(&mut out, bytes);
        out
    }

    fn span(number: u8, offset: i64, length: u64) -> Vec<u8> {
        bytes(number, &[varint(1, model::varint::zigzag(offset)), varint(2, length)].concat())
    }

    fn deltas(number: u8, deltas: &[i64]) -> Vec<u8> {
        let mut packed = Vec::new();
        deltas.iter().for_each(|delta| model::varint::push_signed(&mut packed, *delta));
        bytes(number, &packed)
    }

    fn floats(number: u8, floats: &[f64]) -> Vec<u8> {
        bytes(number, &floats.iter().flat_map(|float| float.to_le_bytes()).collect::<Vec<_>>())
    }

    /// An integer histogram with 2 + 3 + 1 observations, as bytes and as what they mean.
    pub(crate) fn integer(time_ms: u64, count: u64) -> (Vec<u8>, FloatHistogram) {
        let message = [
            varint(1, count),
            double(3, 12.5),
            varint(4, model::varint::zigzag(-1)),
            double(5, 0.25),
            varint(6, 2),
            span(8, 2, 1),
            deltas(9, &[1]),
            span(11, -1, 1),
            span(11, 3, 1),
            deltas(12, &[1, 1]),
            varint(15, time_ms),
        ];
        let histogram = FloatHistogram {
            schema: -1,
            count: count as f64,
            sum: 12.5,
            zero_threshold: 0.25,
            zero_count: 2.0,
            negative_spans: vec![Span { offset: 2, length: 1 }],
            negative_buckets: vec![1.0],
            positive_spans: vec![Span { offset: -1, length: 1 }, Span { offset: 3, length: 1 }],
            positive_buckets: vec![1.0, 2.0],
            ..FloatHistogram::default()
        };
        (message.concat(), histogram)
    }

    #[test]
    fn integer_histograms_become_absolute() {
        let (message, histogram) = integer(7, 6);
        assert_eq!(decode_histogram(&message), Ok(Ok((7, histogram.clone()))));
        for (hint, expected) in [
            (0, CounterResetHint::Unknown),
            (1, CounterResetHint::Reset),
            (2, CounterResetHint::Unknown),
            (3, CounterResetHint::Gauge),
        ] {
            let hinted = [message.clone(), varint(14, hint)].concat();
            let found = decode_histogram(&hinted).unwrap().unwrap().1;
            assert_eq!(found, FloatHistogram { reset_hint: expected, ..histogram.clone() });
        }
    }

    #[test]
    fn float_histograms_with_custom_buckets() {
        let unpacked = [double(13, 0.5), double(13, 1.5)].concat();
        for counts in [floats(13, &[0.5, 1.5]), unpacked] {
            let message = [
                double(2, 2.0),
                double(3, -1.0),
                varint(4, model::varint::zigzag(-53)),
                span(11, 0, 2),
                counts,
                varint(15, 9),
                floats(16, &[5.0, 10.0]),
            ];
            let expected = FloatHistogram {
                schema: -53,
                count: 2.0,
                sum: -1.0,
                positive_spans: vec![Span { offset: 0, length: 2 }],
                positive_buckets: vec![0.5, 1.5],
                custom_bounds: vec![5.0, 10.0],
                ..FloatHistogram::default()
            };
            assert_eq!(decode_histogram(&message.concat()), Ok(Ok((9, expected))));
        }
    }

    #[test]
    fn a_staleness_marker_is_one() {
        let (_, found) = decode_histogram(&double(3, model::stale_nan())).unwrap().unwrap();
        assert!(found.is_plain_stale());
    }

    #[test]
    fn refuses_in_the_words_of_prometheus() {
        let refused = |message: &[u8]| decode_histogram(message).unwrap().unwrap_err().to_string();
        assert_eq!(
            refused(&integer(7, 4).0),
            "6 observations found in buckets, but the Count field is 4: histogram's observation count should equal the number \
             of observations found in the buckets (in absence of NaN)"
        );
        let nan = [integer(7, 4).0, double(3, f64::NAN)].concat();
        assert_eq!(
            refused(&nan),
            "6 observations found in buckets, but the Count field is 4: histogram's observation count should be at least the \
             number of observations found in the buckets"
        );
        assert!(decode_histogram(&[integer(7, 8).0, double(3, f64::NAN)].concat()).unwrap().is_ok());
        assert_eq!(
            refused(&[span(11, 0, 1), deltas(12, &[-1])].concat()),
            "positive side: bucket number 1 has observation count of -1: histogram has a bucket whose observation count is negative"
        );
        assert_eq!(
            refused(&[span(11, 0, 70_000), deltas(12, &[0; 70_000])].concat()),
            "histogram has 70000 buckets, more than the 65536 that are stored"
        );
        let error = decode_histogram(&varint(3, 1)).unwrap_err().to_string();
        assert!(error.contains("a histogram has a field of the wrong wire type"), "{error}");
    }
}
