//! The HTTP side that every process has: health, readiness, metrics, request metrics, graceful end.
//!
//! Source of the paths and of the metrics' names: Prometheus `web/web.go`.

mod connections;

use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::FutureExt;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tokio::net::TcpListener;

use crate::{Context, Metrics};
use connections::{CONNECTIONS_MAX, Limited};

/// The buckets of Prometheus's own request histogram, in seconds.
const DURATION_BUCKETS: [f64; 10] = [0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0, 300.0];

/// Returns the routes of every process: `/-/healthy`, `/-/ready` and `/metrics`.
pub fn base_router(context: &Context) -> Router {
    Router::new()
        .route("/-/healthy", get(async || "Norn is Healthy.\n"))
        .route("/-/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(context.clone())
}

async fn ready(State(context): State<Context>) -> Response {
    match context.ready() {
        Ok(()) => "Norn is Ready.\n".into_response(),
        Err(reasons) => {
            let text = format!("Norn is not ready.\n{}\n", reasons.join("\n"));
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn metrics(State(context): State<Context>) -> Response {
    // Collectors read files, so they run off the async threads.
    let encoded = tokio::task::spawn_blocking(move || context.metrics().encode()).await;
    match encoded {
        Ok(text) => ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            (StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be encoded, see the log\n").into_response()
        }
    }
}

/// Serves `router` on `listener`, at most 512 connections at a time, until the process shuts down and the requests under way are answered.
///
/// Run it as a worker: `context.spawn("http", serve(&context, listener, router))`.
///
/// # Errors
/// None in practice: failing connections are dropped one by one.
pub fn serve(
    context: &Context,
    listener: TcpListener,
    router: Router,
) -> impl Future<Output = io::Result<()>> + Send + 'static + use<> {
    let shutdown = context.shutdown();
    let router = router.layer(middleware::from_fn_with_state(context.http_metrics().clone(), measure));
    let listener = Limited::new(listener, CONNECTIONS_MAX, context.http_metrics().connections.clone());
    async move { axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    handler: String,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandlerLabels {
    handler: String,
}

#[derive(Clone)]
pub(crate) struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<HandlerLabels, Histogram, fn() -> Histogram>,
    connections: Gauge,
}

impl HttpMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let new_histogram: fn() -> Histogram = || Histogram::new(DURATION_BUCKETS);
        let durations = Family::new_with_constructor(new_histogram);
        let http = Self { requests: Family::default(), durations, connections: Gauge::default() };
        metrics.register(|registry| {
            let limit: Gauge = Gauge::default();
            limit.set(CONNECTIONS_MAX as i64);
            registry.register("norn_http_connections", "Open HTTP connections", http.connections.clone());
            registry.register(
                "norn_http_connections_max",
                "The most HTTP connections a listener takes",
                limit,
            );
            registry.register("prometheus_http_requests", "Counter of HTTP requests", http.requests.clone());
            registry.register(
                "prometheus_http_request_duration_seconds",
                "Histogram of latencies for HTTP requests",
                http.durations.clone(),
            );
        });
        http
    }
}

async fn measure(State(metrics): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let path = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
    // Prometheus writes path parameters as `:name`.
    let handler = path.replace('{', ":").replace('}', "");
    // A panic is one request's misfortune; the process's panic hook has logged it.
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        (StatusCode::INTERNAL_SERVER_ERROR, "the request failed unexpectedly, see the log\n").into_response()
    });
    let labels = HandlerLabels { handler: handler.clone() };
    metrics.durations.get_or_create(&labels).observe(started.elapsed().as_secs_f64());
    metrics.requests.get_or_create(&RequestLabels { handler, code: response.status().as_u16() }).inc();
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn panics() {
        assert!(std::hint::black_box(false), "this handler fails");
    }

    #[tokio::test]
    async fn serves_health_readiness_and_metrics_until_shutdown() {
        let context = Context::new("test");
        let gate = context.gate("log");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = base_router(&context).route("/panic", get(panics));
        context.spawn("http", serve(&context, listener, router));
        let fetch = async |path: &str| {
            let response = reqwest::get(format!("{base}{path}")).await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        };
        assert_eq!(fetch("/-/healthy").await, (200, "Norn is Healthy.\n".into()));
        assert_eq!(fetch("/-/ready").await, (503, "Norn is not ready.\nlog: starting\n".into()));
        assert_eq!(fetch("/panic").await, (500, "the request failed unexpectedly, see the log\n".into()));
        gate.open();
        assert_eq!(fetch("/-/ready").await, (200, "Norn is Ready.\n".into()));
        let (status, text) = fetch("/metrics").await;
        assert_eq!(status, 200);
        assert!(
            text.contains(r#"prometheus_http_requests_total{handler="/-/ready",code="503"} 1"#),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"));
        assert_eq!(context.stop(Duration::from_secs(60)).await, Vec::<String>::new());
        assert!(reqwest::get(format!("{base}/-/healthy")).await.is_err());
    }
}
