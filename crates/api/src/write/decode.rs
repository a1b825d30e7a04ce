//! From a compressed body to a [`WriteRequest`].
//!
//! A series that cannot be stored (no metric name, a label twice, no UTF-8) is left out and named; the others are kept.
//! Labels come sorted from well-behaved senders; others are sorted here. Empty values count as absent labels. Field numbers:
//! `proto/proto/prometheus/remote.proto`.

use std::sync::Arc;

use model::labels::METRIC_NAME;
use model::{LabelSet, MetricMetadata, MetricType};
use storage::{SeriesWrite, WriteRequest};

use super::BODY_BYTES_MAX;
use super::histogram::{Refusal, decode_histogram};
use super::protobuf::{Fields, Value};

/// How many labels a series may have; a sender that sends more is broken.
const LABELS_MAX: usize = 1024;

/// Why a body cannot be read at all.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WriteError {
    #[error("the request body cannot be read: {reason}")]
    Body { reason: String },
    #[error("snappy: corrupt input: {reason}; the body must be one snappy block (not framed)")]
    Snappy { reason: String },
    #[error(
        "the body decompresses to {bytes} bytes, more than the {BODY_BYTES_MAX} allowed: send smaller batches"
    )]
    TooLarge { bytes: usize },
    #[error(
        "not a protobuf of prometheus.WriteRequest: {message} has {what}, {bytes_left} bytes before its end"
    )]
    Protobuf { message: &'static str, what: &'static str, bytes_left: usize },
}

/// What a body holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Decoded {
    /// What can be stored.
    pub(super) request: WriteRequest,
    /// What cannot, with its counts and the first reason.
    pub(super) invalid: Option<String>,
}

/// Counts of what is left out.
#[derive(Default)]
struct Invalid {
    series: u64,
    first: Option<String>,
    histograms: u64,
    first_histogram: Option<String>,
}

impl Invalid {
    fn push(&mut self, reason: String) {
        self.series += 1;
        self.first.get_or_insert(reason);
    }

    fn push_histogram(&mut self, reason: &Refusal) {
        self.histograms += 1;
        self.first_histogram.get_or_insert_with(|| reason.to_string());
    }

    fn describe(self) -> Option<String> {
        let series = self.first.map(|first| format!("{first} ({} series refused)", self.series));
        let count = self.histograms;
        let histograms = self.first_histogram.map(|first| format!("{first} ({count} histograms refused)"));
        let reasons: Vec<String> = series.into_iter().chain(histograms).collect();
        if reasons.is_empty() { None } else { Some(reasons.join("; ")) }
    }
}

/// Decompresses and decodes a body.
pub(super) fn decode(body: &[u8]) -> Result<Decoded, WriteError> {
    let fault = |error: snap::Error| WriteError::Snappy { reason: error.to_string() };
    let bytes = snap::raw::decompress_len(body).map_err(fault)?;
    if bytes > BODY_BYTES_MAX {
        return Err(WriteError::TooLarge { bytes });
    }
    decode_request(&snap::raw::Decoder::new().decompress_vec(body).map_err(fault)?)
}

fn decode_request(bytes: &[u8]) -> Result<Decoded, WriteError> {
    let mut fields = Fields::new("the request", bytes);
    let (mut request, mut invalid) = (WriteRequest::default(), Invalid::default());
    let mut scratch = Scratch::default();
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(bytes)) => {
                request.series.extend(decode_series(bytes, &mut scratch, &mut invalid)?);
            }
            (3, Value::Bytes(bytes)) => request.metadata.push(decode_metadata(bytes)?),
            (1 | 3, _) => return Err(fields.wrong_type()),
            _ => {}
        }
    }
    Ok(Decoded { request, invalid: invalid.describe() })
}

/// A label's name and value as sent.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// Room for one series' labels, used again for the next.
#[derive(Default)]
struct Scratch<'a> {
    /// As sent, later sorted.
    pairs: Vec<Pair<'a>>,
    /// Those with a value, known to be UTF-8.
    texts: Vec<(&'a str, &'a str)>,
}

fn decode_series<'a>(
    bytes: &'a [u8],
    scratch: &mut Scratch<'a>,
    invalid: &mut Invalid,
) -> Result<Option<SeriesWrite>, WriteError> {
    let mut fields = Fields::new("a series", bytes);
    let (mut samples, mut histograms) = (Vec::new(), Vec::new());
    scratch.pairs.clear();
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(bytes)) => scratch.pairs.push(decode_label(bytes)?),
            (2, Value::Bytes(bytes)) => samples.push(decode_sample(bytes)?),
            (4, Value::Bytes(bytes)) => match decode_histogram(bytes)? {
                Ok((time_ms, histogram)) => histograms.push((time_ms, Arc::new(histogram))),
                Err(refusal) => invalid.push_histogram(&refusal),
            },
            (1..=4, Value::Varint(_) | Value::Fixed64(_) | Value::Fixed32) => return Err(fields.wrong_type()),
            // Exemplars (3) are not stored, which is no fault of the sender.
            _ => {}
        }
    }
    match label_set(scratch) {
        Ok(_) if samples.is_empty() && histograms.is_empty() => Ok(None),
        Ok(labels) => Ok(Some(SeriesWrite { labels, samples, histograms, starts: Vec::new() })),
        Err(reason) => {
            invalid.push(reason);
            Ok(None)
        }
    }
}

fn decode_label(bytes: &[u8]) -> Result<Pair<'_>, WriteError> {
    let mut fields = Fields::new("a label", bytes);
    let mut pair: Pair<'_> = (&[], &[]);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(name)) => pair.0 = name,
            (2, Value::Bytes(value)) => pair.1 = value,
            (1 | 2, _) => return Err(fields.wrong_type()),
            _ => {}
        }
    }
    Ok(pair)
}

fn decode_sample(bytes: &[u8]) -> Result<(i64, f64), WriteError> {
    let mut fields = Fields::new("a sample", bytes);
    let mut sample = (0, 0.0);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Fixed64(bits)) => sample.1 = f64::from_bits(bits),
            (2, Value::Varint(time_ms)) => sample.0 = time_ms as i64,
            (1 | 2, _) => return Err(fields.wrong_type()),
            _ => {}
        }
    }
    Ok(sample)
}

fn decode_metadata(bytes: &[u8]) -> Result<MetricMetadata, WriteError> {
    let mut fields = Fields::new("metadata", bytes);
    let mut metadata = MetricMetadata::default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Varint(kind)) => metadata.metric_type = metric_type(kind),
            (2, Value::Bytes(bytes)) => metadata.family = text(bytes),
            (4, Value::Bytes(bytes)) => metadata.help = text(bytes),
            (5, Value::Bytes(bytes)) => metadata.unit = text(bytes),
            (1 | 2 | 4 | 5, _) => return Err(fields.wrong_type()),
            _ => {}
        }
    }
    Ok(metadata)
}

/// Reads the enum `MetricMetadata.MetricType`.
fn metric_type(kind: u64) -> MetricType {
    match kind {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}

/// Builds the label set, sorting where the sender did not; or says why there is none.
fn label_set(scratch: &mut Scratch<'_>) -> Result<LabelSet, String> {
    let Scratch { pairs, texts } = scratch;
    if pairs.len() > LABELS_MAX {
        return Err(format!("a series has {} labels, more than the {LABELS_MAX} allowed", pairs.len()));
    }
    if !pairs.is_sorted_by_key(|pair| pair.0) {
        pairs.sort_by_key(|pair| pair.0);
    }
    let shown = || {
        let texts = pairs.iter().map(|(name, value)| {
            format!("{}={:?}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
        });
        format!("{{{}}}", texts.collect::<Vec<_>>().join(", "))
    };
    let unsound = || format!("invalid metric name or labels, got {}", shown());
    if let Some(twice) = pairs.windows(2).find(|two| two[0].0 == two[1].0) {
        let name = String::from_utf8_lossy(twice[0].0);
        return Err(format!("invalid labels for series, labels {}, duplicated label {name}", shown()));
    }
    texts.clear();
    for (name, value) in pairs.iter() {
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
            return Err(unsound());
        };
        if !value.is_empty() {
            texts.push((name, value));
        }
    }
    let has_name = texts.iter().any(|(name, _)| *name == METRIC_NAME);
    LabelSet::from_sorted(texts.iter().copied()).ok().filter(|_| has_name).ok_or_else(unsound)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::histogram::tests::integer;
    use super::*;

    /// Writes a field of wire type 2.
    fn nested(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        model::varint::push_bytes(&mut out, bytes);
        out
    }

    fn label(name: &[u8], value: &[u8]) -> Vec<u8> {
        nested(1, &[nested(1, name), nested(2, value)].concat())
    }

    fn sample(time_ms: u8, value: f64) -> Vec<u8> {
        let mut bytes = vec![1 << 3 | 1];
        bytes.extend_from_slice(&value.to_le_bytes());
        bytes.extend_from_slice(&[2 << 3, time_ms]);
        nested(2, &bytes)
    }

    fn series(parts: &[Vec<u8>]) -> Vec<u8> {
        nested(1, &parts.concat())
    }

    #[test]
    fn reads_series_and_metadata() {
        let (message, histogram) = integer(8, 6);
        let metadata = [vec![1 << 3, 1], nested(2, b"up"), nested(4, b"Is up."), nested(5, b"s")].concat();
        let bytes = [
            series(&[
                label(b"__name__", b"up"),
                label(b"job", b"a"),
                label(b"x", b""),
                sample(7, 1.5),
                sample(9, -0.0),
                nested(4, &message),
            ]),
            series(&[label(b"job", b"b"), label(b"__name__", b"up"), sample(7, 2.0), nested(3, b"")]),
            series(&[label(b"__name__", b"no_samples")]),
            nested(3, &metadata),
            nested(9, b"of a later version"),
        ];
        let decoded = decode_request(&bytes.concat()).unwrap();
        let expected = WriteRequest {
            series: vec![
                SeriesWrite {
                    samples: vec![(7, 1.5), (9, -0.0)],
                    histograms: vec![(8, Arc::new(histogram))],
                    ..SeriesWrite::new(LabelSet::from_pairs([("__name__", "up"), ("job", "a")]))
                },
                SeriesWrite {
                    samples: vec![(7, 2.0)],
                    ..SeriesWrite::new(LabelSet::from_pairs([("__name__", "up"), ("job", "b")]))
                },
            ],
            metadata: vec![MetricMetadata {
                family: "up".into(),
                metric_type: MetricType::Counter,
                help: "Is up.".into(),
                unit: "s".into(),
            }],
        };
        assert_eq!(decoded, Decoded { request: expected, invalid: None });
    }

    #[test]
    fn names_the_series_that_it_leaves_out() {
        let sample = sample(7, 1.0);
        for (labels, reason) in [
            (vec![label(b"job", b"a")], r#"invalid metric name or labels, got {job="a"} (1 series refused)"#),
            (
                vec![label(b"__name__", b"")],
                r#"invalid metric name or labels, got {__name__=""} (1 series refused)"#,
            ),
            (
                vec![label(b"", b"a"), label(b"__name__", b"up")],
                r#"invalid metric name or labels, got {="a", __name__="up"} (1 series refused)"#,
            ),
            (
                vec![label(b"__name__", b"up"), label(b"a", b"\xff")],
                "invalid metric name or labels, got {__name__=\"up\", a=\"\u{fffd}\"} (1 series refused)",
            ),
            (
                vec![label(b"a", b"1"), label(b"__name__", b"up"), label(b"a", b"1")],
                r#"invalid labels for series, labels {__name__="up", a="1", a="1"}, duplicated label a (1 series refused)"#,
            ),
        ] {
            let good = series(&[label(b"__name__", b"good"), sample.clone()]);
            let bytes = [series(&[labels, vec![sample.clone()]].concat()), good].concat();
            let decoded = decode_request(&bytes).unwrap();
            assert_eq!(decoded.invalid.as_deref(), Some(reason));
            assert_eq!(decoded.request.series[0].labels.to_string(), "good");
        }
        let schema = nested(4, &[4 << 3, 20]);
        let good = nested(4, &integer(9, 6).0);
        let bytes = series(&[label(b"__name__", b"up"), schema.clone(), good, schema]);
        let decoded = decode_request(&bytes).unwrap();
        let reason = "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for \
                      custom buckets, got schema 10 (2 histograms refused)";
        assert_eq!(decoded.invalid.as_deref(), Some(reason));
        assert_eq!(decoded.request.series[0].histograms.len(), 1);
    }

    #[test]
    fn refuses_what_is_no_request() {
        assert!(matches!(decode(b"\x0f{\"a\":1}"), Err(WriteError::Snappy { .. })));
        let huge = [0x80, 0x80, 0x80, 0x80, 0x01];
        assert_eq!(decode(&huge), Err(WriteError::TooLarge { bytes: 1 << 28 }));
        let cut = series(&[label(b"__name__", b"up")]);
        let error = decode_request(&cut[..cut.len() - 1]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "not a protobuf of prometheus.WriteRequest: the request has a length past its end, 15 bytes before its end"
        );
        assert!(decode_request(&[1 << 3, 1]).is_err(), "a series must be a message");
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let direct = decode_request(&bytes);
            let packed = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
            prop_assert_eq!(decode(&packed), direct);
            prop_assert!(decode(&bytes).is_err() || !bytes.is_empty());
        }
    }
}
