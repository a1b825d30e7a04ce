//! A scrape target of the test's own, which knows how often it was asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::http::header;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A target; gone when dropped.
pub(crate) struct Target {
    pub(crate) address: String,
    asked: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

impl Target {
    /// Serves `/metrics`: `text` and the counter `asked_total`, which says how often it was asked.
    pub(crate) async fn start(text: &str) -> Self {
        let text = text.to_owned();
        let body = move |asked: u64| format!("{text}# TYPE asked_total counter\nasked_total {asked}\n");
        Self::serve("text/plain; version=0.0.4; charset=utf-8", body).await
    }

    /// Serves the same OpenMetrics text each time.
    pub(crate) async fn start_open_metrics(text: &str) -> Self {
        let text = text.to_owned();
        Self::serve("application/openmetrics-text; version=1.0.0; charset=utf-8", move |_| text.clone()).await
    }

    /// Serves a web page where metrics are expected.
    pub(crate) async fn html() -> Self {
        Self::serve("text/html", |_| "<!doctype html><title>Sign in</title>".to_owned()).await
    }

    async fn serve(
        content_type: &'static str,
        body: impl Fn(u64) -> String + Clone + Send + Sync + 'static,
    ) -> Self {
        let asked = Arc::new(AtomicU64::new(0));
        let count = asked.clone();
        let answer = move || {
            let text = body(count.fetch_add(1, Ordering::Relaxed) + 1);
            async move { ([(header::CONTENT_TYPE, content_type)], text) }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let router = Router::new().route("/metrics", get(answer));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { address, asked, server }
    }

    /// Returns how often it was asked.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.server.abort();
    }
}
