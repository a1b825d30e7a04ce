//! The process's life: named workers, one shutdown token, one readiness.
//!
//! Invariants: every worker has a name and is counted until it ends; a worker that fails or panics is logged once and
//! leaves the process not ready for good; after [`Context::stop`] began the process is never ready again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::HttpMetrics;
use crate::readiness::{Readiness, ReadyGate};
use crate::{Metrics, chain, process};

/// What all parts of one process share; clones are handles to the same process.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    role: &'static str,
    metrics: Metrics,
    http_metrics: HttpMetrics,
    readiness: Arc<Readiness>,
    shutdown: CancellationToken,
    tracker: TaskTracker,
    running: Mutex<BTreeMap<u64, Cow<'static, str>>>,
    next_worker: AtomicU64,
}

/// Takes a worker out of the running ones however it ends, also when its task is dropped with the runtime.
struct Running {
    inner: Arc<Inner>,
    id: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.inner.running.lock().remove(&self.id);
    }
}

impl Context {
    /// Makes the context of a process that runs `role`, and registers the process's own metrics.
    pub fn new(role: &'static str) -> Self {
        let metrics = Metrics::default();
        process::register(&metrics, role);
        let http_metrics = HttpMetrics::register(&metrics);
        Self {
            inner: Arc::new(Inner {
                role,
                metrics,
                http_metrics,
                readiness: Arc::default(),
                shutdown: CancellationToken::new(),
                tracker: TaskTracker::new(),
                running: Mutex::default(),
                next_worker: AtomicU64::new(0),
            }),
        }
    }

    /// Returns the role that this process runs.
    pub fn role(&self) -> &'static str {
        self.inner.role
    }

    /// Returns the process's metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    pub(crate) fn http_metrics(&self) -> &HttpMetrics {
        &self.inner.http_metrics
    }

    /// Returns the token that is cancelled when the process shall end.
    pub fn shutdown(&self) -> CancellationToken {
        self.inner.shutdown.clone()
    }

    /// Returns a gate, closed at first: the process is not ready before every gate is open.
    pub fn gate(&self, what: impl Into<Cow<'static, str>>) -> ReadyGate {
        ReadyGate::new(Arc::clone(&self.inner.readiness), what.into())
    }

    /// Tells whether the process may get work.
    ///
    /// # Errors
    /// Every reason why not, as a sentence each.
    pub fn ready(&self) -> Result<(), Vec<String>> {
        self.inner.readiness.check()
    }

    /// Runs a worker until it ends by itself; it must end soon after [`Context::shutdown`] is cancelled.
    ///
    /// An error or a panic is logged and makes the process not ready with that reason; a normal return is fine at any
    /// time. Must be called within a tokio runtime.
    pub fn spawn<E>(
        &self,
        name: impl Into<Cow<'static, str>>,
        future: impl Future<Output = Result<(), E>> + Send + 'static,
    ) where
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let name = name.into();
        let id = self.inner.next_worker.fetch_add(1, Ordering::Relaxed);
        self.inner.running.lock().insert(id, name.clone());
        let running = Running { inner: Arc::clone(&self.inner), id };
        // Boxed, because workers are long-lived and some futures are large.
        let future = Box::pin(future);
        self.inner.tracker.spawn(async move {
            let reason = match AssertUnwindSafe(future).catch_unwind().await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(chain(error.into().as_ref())),
                Err(panic) => Some(format!("panicked: {}", panic_text(panic.as_ref()))),
            };
            if let Some(reason) = reason {
                tracing::error!(worker = %name, %reason, "a worker failed, the process is no longer ready");
                running.inner.readiness.fail(format!("{name}: {reason}"));
            }
        });
    }

    /// Returns the names of the workers that have not ended.
    pub fn running(&self) -> Vec<String> {
        self.inner.running.lock().values().map(ToString::to_string).collect()
    }

    /// Ends the process's work: not ready, cancel, wait up to `deadline` for the workers.
    ///
    /// Returns the names of the workers that did not end in time, after logging them.
    pub async fn stop(&self, deadline: Duration) -> Vec<String> {
        self.inner.readiness.fail("shutting down".to_owned());
        self.inner.shutdown.cancel();
        self.inner.tracker.close();
        if tokio::time::timeout(deadline, self.inner.tracker.wait()).await.is_ok() {
            return Vec::new();
        }
        let pending = self.running();
        tracing::warn!(
            workers = %pending.join(", "),
            deadline_seconds = deadline.as_secs_f64(),
            "workers did not stop in time"
        );
        pending
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    async fn ended(context: &Context) {
        while !context.running().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn is_ready_when_every_gate_is_open() {
        let context = Context::new("test");
        assert_eq!(context.ready(), Ok(()));
        let log = context.gate("log");
        let peers = context.gate("peers");
        assert_eq!(context.ready(), Err(vec!["log: starting".into(), "peers: starting".into()]));
        log.open();
        peers.open();
        assert_eq!(context.ready(), Ok(()));
        log.close("disk is full");
        assert_eq!(context.ready(), Err(vec!["log: disk is full".into()]));
    }

    #[tokio::test]
    async fn a_failed_worker_leaves_the_process_not_ready() {
        let context = Context::new("test");
        context.spawn("fine", async { Ok::<(), io::Error>(()) });
        ended(&context).await;
        assert_eq!(context.ready(), Ok(()));
        context.spawn("broken", async { Err(io::Error::other("no disk")) });
        ended(&context).await;
        context.spawn("panics", async {
            assert!(std::hint::black_box(false), "this worker fails");
            Ok::<(), io::Error>(())
        });
        ended(&context).await;
        let reasons = context.ready().unwrap_err();
        assert_eq!(reasons, ["broken: no disk", "panics: panicked: this worker fails"]);
    }

    #[tokio::test(start_paused = true)]
    async fn stop_waits_for_workers_and_names_who_is_pending() {
        let context = Context::new("test");
        let token = context.shutdown();
        context.spawn("polite", async move {
            token.cancelled().await;
            Ok::<(), io::Error>(())
        });
        context.spawn("stuck", std::future::pending::<Result<(), io::Error>>());
        assert_eq!(context.stop(Duration::from_secs(5)).await, ["stuck"]);
        assert_eq!(context.ready(), Err(vec!["shutting down".into()]));
    }
}
