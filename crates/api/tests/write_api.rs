//! Remote write against an appender in memory: bytes of the wire in, samples and statuses out.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::body::Body;
use http::{Request, header};
use model::{ErrorKind, LabelSet};
use storage::{AppendOutcome, Appender, StorageError, WriteRequest};
use tower::ServiceExt;

/// Keeps what it is given, and answers as it is told to.
#[derive(Default)]
struct Kept {
    requests: Mutex<Vec<WriteRequest>>,
    outcome: AppendOutcome,
    fault: Option<ErrorKind>,
}

#[async_trait]
impl Appender for Kept {
    async fn append(&self, request: WriteRequest) -> Result<AppendOutcome, StorageError> {
        self.requests.lock().expect("no test panics under this lock").push(request);
        self.fault.map_or_else(
            || Ok(self.outcome.clone()),
            |kind| Err(StorageError::new(kind, "shard 2 has no leader")),
        )
    }
}

/// `up{job="a"} 1.5 @ 7` as a snappy-compressed request.
fn body() -> Vec<u8> {
    let mut message =
        b"\x0a\x28\x0a\x0e\x0a\x08__name__\x12\x02up\x0a\x08\x0a\x03job\x12\x01a\x12\x0b\x09".to_vec();
    message.extend_from_slice(&1.5f64.to_le_bytes());
    message.extend_from_slice(b"\x10\x07");
    message[1] = (message.len() - 2) as u8;
    snap::raw::Encoder::new().compress_vec(&message).expect("the message is small")
}

async fn post(kept: &Arc<Kept>, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, http::HeaderMap, String) {
    let mut request = Request::post("/api/v1/write");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let router = api::write_routes(Arc::clone(kept) as Arc<dyn Appender>);
    let response = router
        .oneshot(request.body(Body::from(body)).expect("a sound request"))
        .await
        .expect("routers do not fail");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("the body is in memory");
    (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).expect("answers are text"))
}

#[tokio::test]
async fn samples_arrive_and_nothing_is_said() {
    for headers in [
        &[][..],
        &[("content-type", "application/x-protobuf"), ("content-encoding", "snappy")],
        &[("content-type", "application/x-protobuf;proto=prometheus.WriteRequest")],
    ] {
        let kept = Arc::<Kept>::default();
        let (status, _, text) = post(&kept, headers, body()).await;
        assert_eq!((status, text.as_str()), (204, ""));
        let requests = kept.requests.lock().unwrap();
        let labels = requests[0].series[0].labels.decode().unwrap();
        assert_eq!(labels, LabelSet::from_pairs([("__name__", "up"), ("job", "a")]));
        assert_eq!(requests[0].series[0].samples, [(7, 1.5)]);
    }
}

#[tokio::test]
async fn other_formats_are_refused_by_name() {
    for (name, value, reason) in [
        (
            "content-type",
            "application/json",
            "expected application/x-protobuf as the first (media) part, got application/json content-type\n",
        ),
        (
            "content-type",
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            "io.prometheus.write.v2.Request protobuf message is not supported yet by this server; accepted [prometheus.WriteRequest]\n",
        ),
        ("content-type", "application/x-protobuf;proto=x", "unknown remote write protobuf message x\n"),
        (
            "content-encoding",
            "gzip",
            "gzip encoding (compression) is not accepted by this server; only snappy is acceptable\n",
        ),
    ] {
        let (status, _, text) = post(&Arc::default(), &[(name, value)], body()).await;
        assert_eq!((status, text.as_str()), (415, reason));
    }
    let (status, _, text) = post(&Arc::default(), &[], b"{\"not\": \"snappy\"}".to_vec()).await;
    assert_eq!(status, 400);
    assert!(text.starts_with("snappy: corrupt input: "), "{text}");
}

#[tokio::test]
async fn refused_samples_are_told_and_unsent_ones_asked_again() {
    let outcome = AppendOutcome {
        accepted: 1,
        duplicate: 3,
        out_of_order: 2,
        first_refusal: Some("out of order sample: series up, timestamp 7".into()),
        ..AppendOutcome::default()
    };
    let (status, _, text) = post(&Arc::new(Kept { outcome, ..Kept::default() }), &[], body()).await;
    assert_eq!(status, 400);
    assert_eq!(text, "out of order sample: series up, timestamp 7; samples refused: 2 out of order\n");
    let outcome = AppendOutcome { duplicate: 1, ..AppendOutcome::default() };
    assert_eq!(post(&Arc::new(Kept { outcome, ..Kept::default() }), &[], body()).await.0, 204);
    for (kind, status) in [
        (ErrorKind::Unavailable, 503),
        (ErrorKind::Timeout, 503),
        (ErrorKind::LimitExceeded, 503),
        (ErrorKind::Internal, 500),
    ] {
        let kept = Kept { fault: Some(kind), ..Kept::default() };
        let (actual, headers, text) = post(&Arc::new(kept), &[], body()).await;
        assert_eq!((actual, text.as_str()), (status, "shard 2 has no leader\n"));
        assert_eq!(headers.contains_key(header::RETRY_AFTER), status == 503);
    }
}
