//! From a request to an answer: parameters in, Prometheus's envelope out, compressed when the caller takes gzip.
//!
//! Large results are written and compressed off the async threads. When the caller goes away, the handler's future is
//! dropped, and the query with it.

use std::future::Future;
use std::io::Write as _;
use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use crate::ApiError;
use crate::json::JsonWriter;
use crate::params::Params;
use crate::query_api::QueryApi;

/// Results of more elements than this (points, names) are written off the async threads.
const INLINE_WEIGHT_MAX: usize = 1000;
/// Smaller bodies are not worth compressing.
const GZIP_BYTES_MIN: usize = 1400;
/// About how many bytes an element takes, to reserve the buffer in one piece.
pub(crate) const BYTES_PER_ELEMENT: usize = 32;

type WriteData = Box<dyn FnOnce(&mut JsonWriter) + Send>;

/// A result that is not yet written.
pub(crate) struct Answer {
    weight: usize,
    write: WriteData,
    warnings: Vec<String>,
    infos: Vec<String>,
}

impl Answer {
    /// Makes an answer from what writes its `data`; `weight` is about how many elements that has.
    pub(crate) fn new(weight: usize, write: impl FnOnce(&mut JsonWriter) + Send + 'static) -> Self {
        Self { weight, write: Box::new(write), warnings: Vec::new(), infos: Vec::new() }
    }

    /// Adds notices.
    pub(crate) fn with_notices(self, warnings: Vec<String>, infos: Vec<String>) -> Self {
        Self { warnings, infos, ..self }
    }

    fn encode(self) -> Vec<u8> {
        let mut json = JsonWriter::with_capacity(256 + self.weight * BYTES_PER_ELEMENT);
        json.raw("{\"status\":\"success\",\"data\":");
        (self.write)(&mut json);
        for (key, notices) in [("warnings", &self.warnings), ("infos", &self.infos)] {
            if !notices.is_empty() {
                json.key(1, key);
                json.texts(notices);
            }
        }
        json.raw("}");
        json.finish()
    }
}

/// Serves a handler for GET and POST alike.
pub(crate) fn route<H, F>(served: &Arc<QueryApi>, handler: H) -> MethodRouter
where
    H: Fn(Arc<QueryApi>, Params) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Answer, ApiError>> + Send + 'static,
{
    route_on(MethodFilter::GET.or(MethodFilter::POST), served, handler)
}

/// Serves a handler that changes something, for POST only.
pub(crate) fn post_route<H, F>(served: &Arc<QueryApi>, handler: H) -> MethodRouter
where
    H: Fn(Arc<QueryApi>, Params) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Answer, ApiError>> + Send + 'static,
{
    route_on(MethodFilter::POST, served, handler)
}

/// Serves a handler that changes stored data and has nothing to answer, for POST and PUT.
pub(crate) fn admin_route<H, F>(served: &Arc<QueryApi>, handler: H) -> MethodRouter
where
    H: Fn(Arc<QueryApi>, Params) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<(), ApiError>> + Send + 'static,
{
    let served = Arc::clone(served);
    let serve = move |request: Request| async move {
        let done = match Params::read(request).await {
            Ok(params) => handler(served, params).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => StatusCode::NO_CONTENT.into_response(),
            Err(error) => refuse(&error),
        }
    };
    on(MethodFilter::POST.or(MethodFilter::PUT), serve)
}

fn route_on<H, F>(methods: MethodFilter, served: &Arc<QueryApi>, handler: H) -> MethodRouter
where
    H: Fn(Arc<QueryApi>, Params) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Answer, ApiError>> + Send + 'static,
{
    let served = Arc::clone(served);
    let serve = move |request: Request| async move {
        let takes_gzip = takes_gzip(request.headers());
        let result = match Params::read(request).await {
            Ok(params) => handler(served, params).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(answer) => respond(answer, takes_gzip).await,
            Err(error) => refuse(&error),
        }
    };
    on(methods, serve)
}

async fn respond(answer: Answer, takes_gzip: bool) -> Response {
    let encode = move |answer: Answer| {
        let body = answer.encode();
        if takes_gzip && body.len() >= GZIP_BYTES_MIN { (compress(&body), true) } else { (body, false) }
    };
    let encoded = if answer.weight <= INLINE_WEIGHT_MAX {
        Ok(encode(answer))
    } else {
        tokio::task::spawn_blocking(move || encode(answer)).await
    };
    match encoded {
        Ok((body, is_gzip)) => {
            let mut response = json_response(StatusCode::OK, body);
            if is_gzip {
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        }
        Err(error) => refuse(&ApiError::Internal(format!("the result could not be written: {error}"))),
    }
}

fn compress(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).expect("writing to memory cannot fail");
    encoder.finish().expect("writing to memory cannot fail")
}

fn refuse(error: &ApiError) -> Response {
    let (status, error_type) = error.status();
    if status == 500 && !matches!(error, ApiError::AdminDisabled) {
        tracing::error!(error = error as &dyn std::error::Error, "a query failed");
    }
    let mut json = JsonWriter::default();
    json.raw("{\"status\":\"error\"");
    for (key, text) in [("errorType", error_type), ("error", &error.to_string())] {
        json.key(1, key);
        json.text(text);
    }
    json.raw("}");
    let status = StatusCode::from_u16(status).expect("the error table holds HTTP statuses");
    json_response(status, json.finish())
}

fn json_response(status: StatusCode, body: Vec<u8>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::VARY, "Accept-Encoding")];
    (status, headers, body).into_response()
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|part| {
        let (coding, quality) = part.split_once(';').unwrap_or((part, ""));
        let is_refused = matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
        coding.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

/// Lets web pages of any origin ask, as Prometheus does by default, and answers their preflight requests.
pub(crate) async fn cross_origin(request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let is_preflight = request.method() == Method::OPTIONS;
    let mut response =
        if is_preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}
