//! A target: a real HTTP server that answers what a test tells it to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::serve::ListenerExt;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// The classic format's content type.
pub(crate) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the target answers.
#[derive(Clone)]
pub(crate) struct Page {
    /// 0 for no answer at all.
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Page {
    pub(crate) fn text(body: &str) -> Self {
        Self::new(TEXT, body)
    }

    pub(crate) fn new(content_type: &str, body: &str) -> Self {
        Self { status: 200, headers: vec![("content-type", content_type.to_owned())], body: body.into() }
    }
}

struct Shared {
    page: Mutex<Page>,
    requests: watch::Sender<usize>,
    last: Mutex<(String, HeaderMap)>,
}

pub(crate) struct HttpTarget {
    pub(crate) address: String,
    shared: Arc<Shared>,
    connections: Arc<AtomicUsize>,
    _server: AbortOnDropHandle<()>,
}

impl HttpTarget {
    pub(crate) async fn start(page: Page) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let shared = Arc::new(Shared {
            page: Mutex::new(page),
            requests: watch::Sender::new(0),
            last: Mutex::default(),
        });
        let connections = Arc::<AtomicUsize>::default();
        let counter = connections.clone();
        let listener = listener.tap_io(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serves until it is dropped");
        });
        Self { address, shared, connections, _server: AbortOnDropHandle::new(server) }
    }

    pub(crate) fn say(&self, page: Page) {
        *self.shared.page.lock() = page;
    }

    /// Waits until the target was asked so many times in all.
    pub(crate) async fn asked(&self, times: usize) {
        let mut requests = self.shared.requests.subscribe();
        requests.wait_for(|count| *count >= times).await.expect("the target lives");
    }

    pub(crate) fn requests(&self) -> usize {
        *self.shared.requests.borrow()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Returns path with query, and headers, of the last request.
    pub(crate) fn last_request(&self) -> (String, HeaderMap) {
        self.shared.last.lock().clone()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    *shared.last.lock() = (request.uri().to_string(), request.headers().clone());
    let page = shared.page.lock().clone();
    shared.requests.send_modify(|count| *count += 1);
    if page.status == 0 {
        std::future::pending::<()>().await;
    }
    let mut response = Response::builder().status(StatusCode::from_u16(page.status).expect("a status"));
    for (name, value) in page.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(page.body)).expect("a response")
}
