//! A query's value as Prometheus's `resultType` and `result`, in this order: readers that stream need the type first.

use promql::{MatrixSeries, Value, VectorSample};

use super::JsonWriter;
use super::histogram::write_histogram;

/// Writes `"resultType":...,"result":...` without the object's brackets.
pub(crate) fn write_value(json: &mut JsonWriter, value: &Value) {
    let kind = match value {
        Value::Scalar { .. } => "scalar",
        Value::String { .. } => "string",
        Value::Vector(_) => "vector",
        Value::Matrix(_) => "matrix",
    };
    json.key(0, "resultType");
    json.text(kind);
    json.key(1, "result");
    match value {
        Value::Scalar { time_ms, value } => {
            json.raw("[");
            json.timestamp(*time_ms);
            json.raw(",");
            // Never with an exponent, unlike all other values.
            json.text(&model::float::format_plain(*value));
            json.raw("]");
        }
        Value::String { time_ms, value } => {
            json.raw("[");
            json.timestamp(*time_ms);
            json.raw(",");
            json.text(value);
            json.raw("]");
        }
        Value::Vector(samples) => json.array(samples, write_sample),
        Value::Matrix(series) => json.array(series, write_series),
    }
}

fn write_sample(json: &mut JsonWriter, sample: &VectorSample) {
    json.raw("{\"metric\":");
    json.labels(&sample.labels);
    match &sample.histogram {
        None => {
            json.raw(",\"value\":");
            json.point(sample.time_ms, sample.value);
        }
        Some(histogram) => {
            json.raw(",\"histogram\":[");
            json.timestamp(sample.time_ms);
            json.raw(",");
            write_histogram(json, histogram);
            json.raw("]");
        }
    }
    json.raw("}");
}

fn write_series(json: &mut JsonWriter, series: &MatrixSeries) {
    json.raw("{\"metric\":");
    json.labels(&series.labels);
    if !series.points.is_empty() {
        json.raw(",\"values\":");
        json.array(&series.points, |json, (time_ms, value)| json.point(*time_ms, *value));
    }
    if !series.histograms.is_empty() {
        json.raw(",\"histograms\":");
        json.array(&series.histograms, |json, (time_ms, histogram)| {
            json.raw("[");
            json.timestamp(*time_ms);
            json.raw(",");
            write_histogram(json, histogram);
            json.raw("]");
        });
    }
    json.raw("}");
}
