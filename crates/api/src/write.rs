//! Remote write 1.0: `POST /api/v1/write`, snappy-compressed `prometheus.WriteRequest`.
//!
//! Answers 204 when every sample is stored (or was already), 400 with the reason when some can never be, 503 with
//! `Retry-After` when the same request may succeed later. 429 is not used: senders drop samples on it by default.
//! Floats, native histograms and exemplars are stored; what becomes of exemplars is not told.
//!
//! Source: the remote write 1.0 specification, and the texts of Prometheus `storage/remote/write_handler.go`.

mod decode;
mod histogram;
mod protobuf;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode, header};
use model::ErrorKind;
use storage::{AppendOutcome, Appender, StorageError};
use tokio::sync::Semaphore;

use decode::{Decoded, WriteError, decode};

/// The largest body, compressed and decompressed alike.
pub(crate) const BODY_BYTES_MAX: usize = 32 << 20;
/// Larger bodies are decoded off the async threads.
const INLINE_BYTES_MAX: usize = 16 << 10;
/// How many requests are held in memory at once; more wait with their bodies unread.
const REQUESTS_MAX: usize = 128;
/// When a sender may try again.
const RETRY_AFTER_SECONDS: &str = "1";

const MEDIA_TYPE: &str = "application/x-protobuf";
const MESSAGE_V1: &str = "prometheus.WriteRequest";
const MESSAGE_V2: &str = "io.prometheus.write.v2.Request";

/// Returns the route of remote write, over whatever takes the samples.
pub fn write_routes(appender: Arc<dyn Appender>) -> Router {
    let receiver = Receiver { appender, slots: Arc::new(Semaphore::new(REQUESTS_MAX)) };
    Router::new().route("/api/v1/write", post(write)).with_state(receiver)
}

#[derive(Clone)]
struct Receiver {
    appender: Arc<dyn Appender>,
    slots: Arc<Semaphore>,
}

async fn write(State(receiver): State<Receiver>, request: Request) -> Response {
    if let Err(reason) = check_headers(request.headers()) {
        return answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, &reason);
    }
    let _slot = receiver.slots.acquire().await.expect("the semaphore is never closed");
    let decoded = match read(request.into_body()).await {
        Ok(decoded) => decoded,
        Err(error) => return answer(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let Decoded { request, invalid } = decoded;
    match receiver.appender.append(request).await {
        Ok(outcome) => match refusal(&outcome, invalid.as_deref()) {
            None => StatusCode::NO_CONTENT.into_response(),
            Some(reason) => answer(StatusCode::BAD_REQUEST, &reason),
        },
        Err(error) => fail(&error),
    }
}

async fn read(body: Body) -> Result<Decoded, WriteError> {
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await;
    let body = body.map_err(|error| WriteError::Body { reason: error.to_string() })?;
    if body.len() <= INLINE_BYTES_MAX {
        return decode(&body);
    }
    let decoded = tokio::task::spawn_blocking(move || decode(&body)).await;
    decoded.unwrap_or_else(|error| Err(WriteError::Body { reason: error.to_string() }))
}

/// Says what of a request cannot ever be stored, in the words that Prometheus has for the first of it; `None` when all was.
fn refusal(outcome: &AppendOutcome, invalid: Option<&str>) -> Option<String> {
    let counts = [
        (outcome.out_of_order, "out of order"),
        (outcome.too_old, "too old"),
        (outcome.too_new, "out of bounds"),
        (outcome.conflicting, "conflicting"),
        (outcome.over_limit, "over the limit of series"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, text)| format!("{count} {text}")).collect();
    let mut reasons: Vec<String> = outcome.first_refusal.iter().cloned().collect();
    if !counts.is_empty() {
        reasons.push(format!("samples refused: {}", counts.join(", ")));
    }
    if let Some(first) = &outcome.first_invalid {
        reasons.push(format!("{first} ({} series refused)", outcome.invalid_series));
    }
    reasons.extend(invalid.map(str::to_owned));
    if reasons.is_empty() { None } else { Some(reasons.join("; ")) }
}

fn fail(error: &StorageError) -> Response {
    let retry = proto::error::row_of(error.kind).retry || error.kind == ErrorKind::LimitExceeded;
    match error.kind {
        _ if retry => {
            let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, &error.to_string());
            let value = header::HeaderValue::from_static(RETRY_AFTER_SECONDS);
            response.headers_mut().insert(header::RETRY_AFTER, value);
            response
        }
        ErrorKind::Invalid => answer(StatusCode::BAD_REQUEST, &error.to_string()),
        _ => {
            tracing::error!(error = error as &dyn std::error::Error, "a remote write failed");
            answer(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
        }
    }
}

fn answer(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}

/// Checks the media type and the encoding; both may be left out, as old senders do.
fn check_headers(headers: &HeaderMap) -> Result<(), String> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    let content_type = text(header::CONTENT_TYPE).unwrap_or(MEDIA_TYPE).trim();
    let mut parts = content_type.split(';').map(str::trim);
    if parts.next() != Some(MEDIA_TYPE) {
        return Err(format!(
            "expected {MEDIA_TYPE} as the first (media) part, got {content_type} content-type"
        ));
    }
    for part in parts {
        let message = part.strip_prefix("proto=").map(|message| message.trim_matches('"'));
        match message {
            None | Some(MESSAGE_V1) => {}
            Some(MESSAGE_V2) => {
                return Err(format!(
                    "{MESSAGE_V2} protobuf message is not supported yet by this server; accepted [{MESSAGE_V1}]"
                ));
            }
            Some(other) => return Err(format!("unknown remote write protobuf message {other}")),
        }
    }
    match text(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.eq_ignore_ascii_case("snappy") => Err(format!(
            "{encoding} encoding (compression) is not accepted by this server; only snappy is acceptable"
        )),
        _ => Ok(()),
    }
}
