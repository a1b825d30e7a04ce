//! Remote read: `POST /api/v1/read`, snappy-compressed `prometheus.ReadRequest`, answered with samples.
//!
//! Every sample of the range comes as it is stored, staleness markers and native histograms among them; labels include
//! external labels. The other type of response, chunks one after the other, is not answered with: who takes only that is
//! refused. Not here: hints, which may be ignored.
//!
//! Source: Prometheus `storage/remote/read_handler.go` and its limit of samples, `--storage.remote.read-sample-limit`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use http::{HeaderValue, StatusCode, header};
use model::histogram::{CounterResetHint, Span};
use model::{Aggregate, FloatHistogram, MatchOp, Matcher, Samples, TimeRange};
use prost::Message as _;
use proto::prometheus::read_request::ResponseType;
use proto::prometheus::{
    BucketSpan, Histogram, Label, QueryResult, ReadQuery, ReadRequest, ReadResponse, Sample, TimeSeries,
    histogram, label_matcher,
};
use storage::{Queryable, Reservation, Resolution, SelectRequest, Series, Wanted};

use crate::ApiError;
use crate::query_api::{Completeness, QueryApi};

/// The largest request, compressed and decompressed alike.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How many queries one request has at the most.
const QUERIES_MAX: usize = 100;
/// How many samples an answer has at the most; Prometheus's default.
const SAMPLES_MAX: usize = 50_000_000;

const MEDIA_TYPE: &str = "application/x-protobuf";

/// Serves the handler.
pub(crate) fn route(served: &Arc<QueryApi>) -> MethodRouter {
    let served = Arc::clone(served);
    post(async move |request: Request| match answer(&served, request.into_body()).await {
        Ok(body) => {
            let mut response = body.into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
            response
        }
        Err(error) => refuse(&error),
    })
}

/// Errors are plain text, as senders of this protocol expect.
fn refuse(error: &ApiError) -> Response {
    let status = match error.status().0 {
        // Prometheus answers so when a request is for too much.
        422 => StatusCode::BAD_REQUEST,
        status => StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    };
    (status, format!("{error}\n")).into_response()
}

async fn answer(served: &Arc<QueryApi>, body: Body) -> Result<Vec<u8>, ApiError> {
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await;
    let body = body.map_err(|error| ApiError::BadData(error.to_string()))?;
    let queries = decode(&body).map_err(ApiError::BadData)?;
    let memory = served.queries.engine().query_memory();
    let requests = &queries;
    let held = &memory;
    let run = |data: Arc<dyn Queryable>| async move {
        let (mut answers, mut samples) = (Vec::new(), 0usize);
        for request in requests {
            let selected = data.select(request, held).await?;
            samples += selected.series.iter().map(|series| series.samples.sample_count_max()).sum::<usize>();
            if samples > SAMPLES_MAX {
                return Err(too_many());
            }
            answers.push((request.range, selected));
        }
        Ok(answers)
    };
    let selected = served.queries.read(Completeness::Strict, run).await?;
    let mut reserved = memory.empty();
    let encoded = tokio::task::spawn_blocking(move || {
        let mut results = Vec::with_capacity(selected.len());
        for (range, set) in &selected {
            let timeseries: Result<Vec<TimeSeries>, ApiError> = set
                .series
                .iter()
                .filter_map(|series| encode_series(series, *range, &mut reserved).transpose())
                .collect();
            results.push(QueryResult { timeseries: timeseries? });
        }
        compress(&ReadResponse { results })
    });
    encoded.await.map_err(|error| ApiError::Internal(format!("the answer could not be written: {error}")))?
}

fn too_many() -> ApiError {
    ApiError::BadData(format!("exceeded sample limit ({SAMPLES_MAX})"))
}

/// Reads what is asked for.
fn decode(body: &[u8]) -> Result<Vec<SelectRequest>, String> {
    let length = snap::raw::decompress_len(body).map_err(|error| format!("snappy: {error}"))?;
    if length > BODY_BYTES_MAX {
        return Err(format!("a request of {length} bytes, at most {BODY_BYTES_MAX} are read"));
    }
    let bytes = snap::raw::Decoder::new().decompress_vec(body).map_err(|error| format!("snappy: {error}"))?;
    let request = ReadRequest::decode(bytes.as_slice()).map_err(|error| error.to_string())?;
    let accepted = &request.accepted_response_types;
    if !accepted.is_empty() && !accepted.contains(&(ResponseType::Samples as i32)) {
        return Err(format!(
            "server does not support any of the requested response types: {accepted:?}; supported: [SAMPLES]"
        ));
    }
    if request.queries.len() > QUERIES_MAX {
        return Err(format!("{} queries, at most {QUERIES_MAX} are answered", request.queries.len()));
    }
    request.queries.iter().map(select_request).collect()
}

fn select_request(query: &ReadQuery) -> Result<SelectRequest, String> {
    let matcher = |wire: &proto::prometheus::LabelMatcher| {
        let op = match wire.r#type() {
            label_matcher::Type::Eq => MatchOp::Equal,
            label_matcher::Type::Neq => MatchOp::NotEqual,
            label_matcher::Type::Re => MatchOp::Regex,
            label_matcher::Type::Nre => MatchOp::NotRegex,
        };
        Matcher::new(op, wire.name.as_str(), wire.value.as_str()).map_err(|error| error.to_string())
    };
    Ok(SelectRequest {
        matchers: query.matchers.iter().map(matcher).collect::<Result<_, _>>()?,
        range: TimeRange::new(query.start_timestamp_ms, query.end_timestamp_ms),
        wanted: Wanted::All,
        // Samples as they are; where only slots are left, the last one of each.
        aggregate: Aggregate::Last,
        resolution: Resolution::default(),
        series_limit: None,
    })
}

/// Decodes a series' samples and puts them into the form of the wire; `None` when it has none in the range.
fn encode_series(
    series: &Series,
    range: TimeRange,
    reserved: &mut Reservation,
) -> Result<Option<TimeSeries>, ApiError> {
    let mut samples = Samples::default();
    series.samples.read(range, &mut samples)?;
    if samples.is_empty() {
        return Ok(None);
    }
    // As it is, and once more as bytes.
    let bytes = 2 * (samples.size_bytes() + series.labels.as_bytes().len());
    reserved.grow(bytes as u64).map_err(storage::StorageError::from)?;
    let label = |(name, value): (&str, &str)| Label { name: name.to_owned(), value: value.to_owned() };
    let mut wire = TimeSeries { labels: series.labels.iter().map(label).collect(), ..TimeSeries::default() };
    for (at, timestamp) in samples.timestamps.iter().enumerate() {
        match samples.histogram(at) {
            None => wire.samples.push(Sample { value: samples.floats[at], timestamp: *timestamp }),
            Some(histogram) => wire.histograms.push(encode_histogram(*timestamp, histogram)),
        }
    }
    Ok(Some(wire))
}

fn encode_histogram(timestamp: i64, from: &FloatHistogram) -> Histogram {
    let spans = |spans: &[Span]| {
        spans.iter().map(|span| BucketSpan { offset: span.offset, length: span.length }).collect()
    };
    let hint = match from.reset_hint {
        CounterResetHint::Unknown => histogram::ResetHint::Unknown,
        CounterResetHint::Reset => histogram::ResetHint::Yes,
        CounterResetHint::NotReset => histogram::ResetHint::No,
        CounterResetHint::Gauge => histogram::ResetHint::Gauge,
    };
    Histogram {
        count: Some(histogram::Count::CountFloat(from.count)),
        sum: from.sum,
        schema: from.schema,
        zero_threshold: from.zero_threshold,
        zero_count: Some(histogram::ZeroCount::ZeroCountFloat(from.zero_count)),
        negative_spans: spans(&from.negative_spans),
        negative_counts: from.negative_buckets.clone(),
        positive_spans: spans(&from.positive_spans),
        positive_counts: from.positive_buckets.clone(),
        reset_hint: hint as i32,
        timestamp,
        custom_values: from.custom_bounds.clone(),
        ..Histogram::default()
    }
}

fn compress(response: &ReadResponse) -> Result<Vec<u8>, ApiError> {
    let bytes = response.encode_to_vec();
    let compressed = snap::raw::Encoder::new().compress_vec(&bytes);
    compressed.map_err(|error| ApiError::BadData(format!("the answer is too large: {error}")))
}
