//! Conversions between wire and model.

use bytes::Bytes;
use model::cardinality::{Distinct, LabelCount, NameCount};
use model::labels::LabelError;
use model::{
    Cardinality, ErrorKind, Exemplar, LabelSet, MatchOp, Matcher, MetricMetadata, MetricType,
    SeriesExemplars, TimeRange,
};
use tonic::Status;

use crate::error::status;
use crate::{scrape, store};

/// Returns a matcher's wire form.
pub fn matcher_to_wire(matcher: &Matcher) -> store::Matcher {
    let op = match matcher.op {
        MatchOp::Equal => store::matcher::Op::Equal,
        MatchOp::NotEqual => store::matcher::Op::NotEqual,
        MatchOp::Regex => store::matcher::Op::Regex,
        MatchOp::NotRegex => store::matcher::Op::NotRegex,
    };
    store::Matcher { op: op.into(), name: matcher.name.to_string(), value: matcher.value.to_string() }
}

/// Returns the wire form of all matchers of a selector.
pub fn matchers_to_wire(matchers: &[Matcher]) -> Vec<store::Matcher> {
    matchers.iter().map(matcher_to_wire).collect()
}

/// Reads matchers from the wire.
///
/// # Errors
/// `InvalidArgument` when a pattern does not compile.
#[allow(clippy::result_large_err, reason = "tonic's own error type")]
pub fn matchers_from_wire(matchers: &[store::Matcher]) -> Result<Vec<Matcher>, Status> {
    let convert = |m: &store::Matcher| {
        let op = match m.op() {
            store::matcher::Op::Equal => MatchOp::Equal,
            store::matcher::Op::NotEqual => MatchOp::NotEqual,
            store::matcher::Op::Regex => MatchOp::Regex,
            store::matcher::Op::NotRegex => MatchOp::NotRegex,
        };
        Matcher::new(op, m.name.as_str(), m.value.as_str())
            .map_err(|e| status(ErrorKind::Invalid, e.to_string()))
    };
    matchers.iter().map(convert).collect()
}

/// Returns metadata's wire form.
pub fn metadata_to_wire(metadata: &MetricMetadata) -> store::Metadata {
    store::Metadata {
        family: metadata.family.clone(),
        r#type: metadata.metric_type.as_str().to_owned(),
        help: metadata.help.clone(),
        unit: metadata.unit.clone(),
    }
}

/// Reads metadata from the wire; a type that this version does not know is unknown.
pub fn metadata_from_wire(metadata: store::Metadata) -> MetricMetadata {
    MetricMetadata {
        metric_type: MetricType::parse(&metadata.r#type).unwrap_or_default(),
        family: metadata.family,
        help: metadata.help,
        unit: metadata.unit,
    }
}

/// Returns the wire form of a spread.
pub fn cardinality_to_wire(cardinality: Cardinality) -> store::CardinalityResponse {
    let counts = |counts: Vec<NameCount>| {
        counts.into_iter().map(|count| store::NameCount { name: count.name, series: count.series }).collect()
    };
    let label = |label: LabelCount| store::LabelCount {
        values: label.values.count(),
        hashes: label.values.hashes().to_vec(),
        name: label.name,
        value_bytes: label.value_bytes,
    };
    store::CardinalityResponse {
        series: cardinality.series,
        chunks: cardinality.chunks,
        has_samples: cardinality.range.is_some(),
        start_ms: cardinality.range.map_or(0, |range| range.start.0),
        end_ms: cardinality.range.map_or(0, |range| range.end.0),
        metrics: counts(cardinality.metrics),
        labels: cardinality.labels.into_iter().map(label).collect(),
        pairs: counts(cardinality.pairs),
    }
}

/// Reads a spread from the wire.
pub fn cardinality_from_wire(wire: store::CardinalityResponse) -> Cardinality {
    let counts = |counts: Vec<store::NameCount>| {
        counts.into_iter().map(|count| NameCount { name: count.name, series: count.series }).collect()
    };
    let label = |label: store::LabelCount| LabelCount {
        name: label.name,
        values: Distinct::new(label.values, label.hashes),
        value_bytes: label.value_bytes,
    };
    Cardinality {
        series: wire.series,
        chunks: wire.chunks,
        range: wire.has_samples.then(|| TimeRange::new(wire.start_ms, wire.end_ms)),
        metrics: counts(wire.metrics),
        labels: wire.labels.into_iter().map(label).collect(),
        pairs: counts(wire.pairs),
    }
}

/// Returns the wire form of exemplars.
pub fn exemplars_to_wire(series: &[SeriesExemplars]) -> store::ExemplarsResponse {
    let labels = |labels: &LabelSet| Bytes::copy_from_slice(labels.as_bytes());
    let exemplar = |exemplar: &Exemplar| store::Exemplar {
        labels: labels(&exemplar.labels),
        value: exemplar.value,
        time_ms: exemplar.time_ms,
    };
    let one = |series: &SeriesExemplars| store::SeriesExemplars {
        labels: labels(&series.labels),
        exemplars: series.exemplars.iter().map(exemplar).collect(),
    };
    store::ExemplarsResponse { series: series.iter().map(one).collect() }
}

/// Reads exemplars from the wire.
///
/// # Errors
/// When a label set is none.
pub fn exemplars_from_wire(wire: store::ExemplarsResponse) -> Result<Vec<SeriesExemplars>, LabelError> {
    let exemplar = |exemplar: store::Exemplar| {
        let labels = LabelSet::from_bytes(&exemplar.labels)?;
        Ok(Exemplar { labels, value: exemplar.value, time_ms: exemplar.time_ms })
    };
    let one = |series: store::SeriesExemplars| {
        let exemplars = series.exemplars.into_iter().map(exemplar).collect::<Result<_, LabelError>>()?;
        Ok(SeriesExemplars { labels: LabelSet::from_bytes(&series.labels)?, exemplars })
    };
    wire.series.into_iter().map(one).collect()
}

/// Returns the wire form of matchers of targets.
pub fn target_matchers_to_wire(matchers: &[Matcher]) -> Vec<scrape::TargetMatcher> {
    let convert = |matcher: &Matcher| {
        let store::Matcher { op, name, value } = matcher_to_wire(matcher);
        scrape::TargetMatcher { op, name, value }
    };
    matchers.iter().map(convert).collect()
}

/// Reads matchers of targets from the wire; their operators have the numbers of those of series.
///
/// # Errors
/// `InvalidArgument` when a pattern does not compile.
#[allow(clippy::result_large_err, reason = "tonic's own error type")]
pub fn target_matchers_from_wire(matchers: &[scrape::TargetMatcher]) -> Result<Vec<Matcher>, Status> {
    let convert =
        |m: &scrape::TargetMatcher| store::Matcher { op: m.op, name: m.name.clone(), value: m.value.clone() };
    matchers_from_wire(&matchers.iter().map(convert).collect::<Vec<_>>())
}
