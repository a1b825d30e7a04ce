//! From a compressed body to a [`WriteRequest`].
//!
//! Labels are passed on as they were sent, since most series are known to the writer by these bytes. When it asks for the
//! labels (`decode_labels`), a set that cannot be stored (no metric name, a label twice, no UTF-8) gets its reason, and the
//! other series are kept. Labels come sorted from well-behaved senders; others are sorted here. Empty values count as absent
//! labels. Field numbers: `proto/proto/prometheus/remote.proto`.

use std::sync::Arc;

use bytes::Bytes;
use model::labels::METRIC_NAME;
use model::varint::push_bytes;
use model::{Exemplar, LabelSet, MetricMetadata, MetricType};
use storage::{SentLabels, SeriesLabels, SeriesWrite, WriteRequest};

use super::BODY_BYTES_MAX;
use super::histogram::{Refusal, decode_histogram};
use super::protobuf::{Fields, Value};

/// How many labels a series may have; a sender that sends more is broken.
const LABELS_MAX: usize = 1024;
/// The field of a series that holds its labels.
const LABELS: u32 = 1;

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

/// Counts of histograms that are left out.
#[derive(Default)]
struct Invalid {
    histograms: u64,
    first: Option<String>,
}

impl Invalid {
    fn push(&mut self, reason: &Refusal) {
        self.histograms += 1;
        self.first.get_or_insert_with(|| reason.to_string());
    }

    fn describe(self) -> Option<String> {
        self.first.map(|first| format!("{first} ({} histograms refused)", self.histograms))
    }
}

/// Decompresses and decodes a body.
pub(super) fn decode(body: &[u8]) -> Result<Decoded, WriteError> {
    let fault = |error: snap::Error| WriteError::Snappy { reason: error.to_string() };
    let bytes = snap::raw::decompress_len(body).map_err(fault)?;
    if bytes > BODY_BYTES_MAX {
        return Err(WriteError::TooLarge { bytes });
    }
    decode_request(&Bytes::from(snap::raw::Decoder::new().decompress_vec(body).map_err(fault)?))
}

fn decode_request(bytes: &Bytes) -> Result<Decoded, WriteError> {
    let mut fields = Fields::new("the request", bytes);
    let (mut request, mut invalid) = (WriteRequest::default(), Invalid::default());
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(series)) => request.series.extend(decode_series(bytes, series, &mut invalid)?),
            (3, Value::Bytes(bytes)) => request.metadata.push(decode_metadata(bytes)?),
            (1 | 3, _) => return Err(fields.wrong_type()),
            _ => {}
        }
    }
    Ok(Decoded { request, invalid: invalid.describe() })
}

/// Decodes one series, `message`, which lies in `body`; `None` when it has no samples.
fn decode_series(
    body: &Bytes,
    message: &[u8],
    invalid: &mut Invalid,
) -> Result<Option<SeriesWrite>, WriteError> {
    let mut fields = Fields::new("a series", message);
    let labels = fields.run_of(LABELS)?;
    let mut are_scattered = false;
    let (mut samples, mut histograms, mut exemplars) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(field) = fields.next()? {
        match field {
            (LABELS, Value::Bytes(_)) => are_scattered = true,
            (2, Value::Bytes(bytes)) => samples.push(decode_sample(bytes)?),
            (3, Value::Bytes(bytes)) => exemplars.extend(decode_exemplar(bytes)?),
            (4, Value::Bytes(bytes)) => match decode_histogram(bytes)? {
                Ok((time_ms, histogram)) => histograms.push((time_ms, Arc::new(histogram))),
                Err(refusal) => invalid.push(&refusal),
            },
            (1..=4, Value::Varint(_) | Value::Fixed64(_) | Value::Fixed32) => return Err(fields.wrong_type()),
            _ => {}
        }
    }
    if samples.is_empty() && histograms.is_empty() && exemplars.is_empty() {
        return Ok(None);
    }
    let bytes = if are_scattered { gather_labels(message)? } else { body.slice_ref(labels) };
    let labels = SeriesLabels::Sent(SentLabels { bytes, decode: decode_labels });
    Ok(Some(SeriesWrite { samples, histograms, exemplars, ..SeriesWrite::new(labels) }))
}

/// Brings the labels of a series together, which nearly every sender does itself.
fn gather_labels(message: &[u8]) -> Result<Bytes, WriteError> {
    let mut fields = Fields::new("a series", message);
    let mut gathered = Vec::new();
    while let Some(field) = fields.next()? {
        if let (LABELS, Value::Bytes(label)) = field {
            gathered.push((LABELS as u8) << 3 | 2);
            push_bytes(&mut gathered, label);
        }
    }
    Ok(gathered.into())
}

/// Builds the label set of a run of label fields, or says why there is none that can be stored.
fn decode_labels(run: &[u8]) -> Result<LabelSet, String> {
    let mut fields = Fields::new("a series", run);
    let mut pairs = Vec::new();
    while let Some(field) = fields.next().map_err(|error| error.to_string())? {
        if let (LABELS, Value::Bytes(label)) = field {
            pairs.push(decode_label(label).map_err(|error| error.to_string())?);
        }
    }
    label_set(pairs)
}

/// A label's name and value as sent.
type Pair<'a> = (&'a [u8], &'a [u8]);

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

/// Reads an exemplar; `None` when its labels are none. As with Prometheus that does not make the request fail.
fn decode_exemplar(bytes: &[u8]) -> Result<Option<Exemplar>, WriteError> {
    let mut fields = Fields::new("an exemplar", bytes);
    let (mut pairs, mut value, mut time_ms) = (Vec::new(), 0.0, 0);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(bytes)) => pairs.push(decode_label(bytes)?),
            (2, Value::Fixed64(bits)) => value = f64::from_bits(bits),
            (3, Value::Varint(ms)) => time_ms = ms as i64,
            (1..=3, _) => return Err(fields.wrong_type()),
            _ => {}
        }
    }
    let mut texts = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        match (std::str::from_utf8(name), std::str::from_utf8(value)) {
            (Ok(_), Ok("")) => {}
            (Ok(name), Ok(value)) => texts.push((name, value)),
            _ => return Ok(None),
        }
    }
    texts.sort_unstable();
    Ok(LabelSet::from_sorted(texts).ok().map(|labels| Exemplar { labels, value, time_ms }))
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
fn label_set(mut pairs: Vec<Pair<'_>>) -> Result<LabelSet, String> {
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
    let mut texts = Vec::with_capacity(pairs.len());
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

    fn exemplar(labels: &[Vec<u8>], value: f64, time_ms: u8) -> Vec<u8> {
        let value = [&[2 << 3 | 1][..], &value.to_le_bytes(), &[3 << 3, time_ms]].concat();
        nested(3, &[labels.concat(), value].concat())
    }

    fn series(parts: &[Vec<u8>]) -> Vec<u8> {
        nested(1, &parts.concat())
    }

    fn decode_bytes(bytes: &[u8]) -> Result<Decoded, WriteError> {
        decode_request(&Bytes::copy_from_slice(bytes))
    }

    /// Decodes the labels of every series.
    fn resolved(mut decoded: Decoded) -> Decoded {
        for series in &mut decoded.request.series {
            series.labels = series.labels.decode().unwrap().into();
        }
        decoded
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
            series(&[label(b"job", b"b"), label(b"__name__", b"up"), sample(7, 2.0)]),
            series(&[label(b"__name__", b"no_samples")]),
            series(&[
                label(b"__name__", b"only_exemplars"),
                exemplar(&[label(b"b", b"2"), label(b"a", b"1"), label(b"c", b"")], 0.5, 7),
                exemplar(&[label(b"a", b"1"), label(b"a", b"2")], 0.5, 7),
                exemplar(&[label(b"a", b"\xff")], 0.5, 7),
            ]),
            nested(3, &metadata),
            nested(9, b"of a later version"),
        ];
        let decoded = resolved(decode_bytes(&bytes.concat()).unwrap());
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
                SeriesWrite {
                    exemplars: vec![Exemplar {
                        labels: LabelSet::from_pairs([("a", "1"), ("b", "2")]),
                        value: 0.5,
                        time_ms: 7,
                    }],
                    ..SeriesWrite::new(LabelSet::from_pairs([("__name__", "only_exemplars")]))
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
    fn labels_are_decoded_on_demand_or_say_why_not() {
        for (labels, reason) in [
            (vec![label(b"job", b"a")], r#"invalid metric name or labels, got {job="a"}"#),
            (vec![label(b"__name__", b"")], r#"invalid metric name or labels, got {__name__=""}"#),
            (
                vec![label(b"", b"a"), label(b"__name__", b"up")],
                r#"invalid metric name or labels, got {="a", __name__="up"}"#,
            ),
            (
                vec![label(b"__name__", b"up"), label(b"a", b"\xff")],
                "invalid metric name or labels, got {__name__=\"up\", a=\"\u{fffd}\"}",
            ),
            (
                vec![label(b"a", b"1"), label(b"__name__", b"up"), label(b"a", b"1")],
                r#"invalid labels for series, labels {__name__="up", a="1", a="1"}, duplicated label a"#,
            ),
            (
                vec![nested(1, &[1 << 3, 1])],
                "not a protobuf of prometheus.WriteRequest: a label has a field of the wrong wire type, 0 bytes before its end",
            ),
        ] {
            let bytes = series(&[labels, vec![sample(7, 1.0)]].concat());
            let decoded = decode_bytes(&bytes).unwrap();
            assert_eq!(decoded.request.series[0].labels.decode(), Err(reason.to_owned()));
        }
    }

    #[test]
    fn labels_after_samples_are_brought_together() {
        let bytes = series(&[label(b"job", b"a"), sample(7, 1.0), label(b"__name__", b"up")]);
        let decoded = decode_bytes(&bytes).unwrap();
        let labels = decoded.request.series[0].labels.decode().unwrap();
        assert_eq!(labels, LabelSet::from_pairs([("__name__", "up"), ("job", "a")]));
    }

    #[test]
    fn names_the_histogram_that_it_leaves_out() {
        let schema = nested(4, &[4 << 3, 20]);
        let good = nested(4, &integer(9, 6).0);
        let bytes = series(&[label(b"__name__", b"up"), schema.clone(), good, schema]);
        let decoded = decode_bytes(&bytes).unwrap();
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
        let error = decode_bytes(&cut[..cut.len() - 1]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "not a protobuf of prometheus.WriteRequest: the request has a length past its end, 15 bytes before its end"
        );
        assert!(decode_bytes(&[1 << 3, 1]).is_err(), "a series must be a message");
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let direct = decode_bytes(&bytes);
            let packed = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
            prop_assert_eq!(decode(&packed), direct);
            prop_assert!(decode(&bytes).is_err() || !bytes.is_empty());
        }
    }
}
