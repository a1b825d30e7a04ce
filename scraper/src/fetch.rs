//! Asks one target over HTTP: one connection, kept alive between scrapes.
//!
//! A target has at most one request under way, so there is no pool. A connection goes back to be used again only after its
//! answer was read to the end; whatever is interrupted closes it.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderValue,
    LOCATION, USER_AGENT,
};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use scrape::accept_header;
use service::chain;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::ScraperError;
use crate::body::{BodyEncoding, limit_of};
use crate::credentials;
use crate::http_target::{host_and_port, redirect};
use crate::target::Target;

/// How many redirects are followed, as in Go's client.
const REDIRECTS_MAX: usize = 10;

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    pub(crate) encoding: BodyEncoding,
    pub(crate) content_type: String,
}

/// Asks one target.
pub(crate) struct Fetcher {
    connection: Option<Connection>,
    /// Headers that are the same for each request.
    headers: HeaderMap,
    /// The last body's size: the next one is probably as large.
    expected_bytes: usize,
}

struct Connection {
    address: String,
    sender: SendRequest<Empty<Bytes>>,
    _driver: AbortOnDropHandle<()>,
}

/// What is asked, changed by redirects.
struct Location {
    address: String,
    path_and_query: String,
}

impl Fetcher {
    pub(crate) fn new(target: &Target) -> Self {
        let accept = accept_header(&target.job.scrape_protocols, target.job.escaping);
        let timeout_seconds = (target.timeout_ms as f64 / 1000.0).to_string();
        let encoding = if target.job.http.enable_compression { "gzip" } else { "identity" };
        let mut headers = HeaderMap::new();
        let text = |text: &str| HeaderValue::from_str(text).expect("made of ASCII constants and numbers");
        headers.insert(ACCEPT, text(&accept));
        headers.insert(ACCEPT_ENCODING, text(encoding));
        headers.insert(USER_AGENT, text(concat!("Norn/", env!("CARGO_PKG_VERSION"))));
        headers.insert("x-prometheus-scrape-timeout-seconds", text(&timeout_seconds));
        Self { connection: None, headers, expected_bytes: 0 }
    }

    /// Asks the target once, within its timeout. Cancel-safe: the next call opens a new connection.
    ///
    /// # Errors
    /// [`ScraperError`] when there is no answer with status 200 within timeout and size.
    pub(crate) async fn fetch(&mut self, target: &Target) -> Result<Answer, ScraperError> {
        let timeout = Duration::from_millis(target.timeout_ms);
        let answer = tokio::time::timeout(timeout, self.ask(target)).await;
        answer.unwrap_or_else(|_| Err(ScraperError::Timeout { url: target.url() }))
    }

    async fn ask(&mut self, target: &Target) -> Result<Answer, ScraperError> {
        if target.scheme != "http" {
            return Err(ScraperError::BadTarget(format!("{} is not supported yet", target.scheme)));
        }
        let credentials = credentials::header(target.job.http.authentication.as_ref()).await?;
        let mut at =
            Location { address: target.address.clone(), path_and_query: target.path_and_query.clone() };
        for _ in 0..=REDIRECTS_MAX {
            // Credentials are for the target alone, not for where it points.
            let credentials = credentials.as_ref().filter(|_| at.address == target.address);
            let (connection, response) = self.send(&at, credentials).await?;
            let moved = response.status().is_redirection() && target.job.http.follow_redirects;
            let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            let Some(location) = location.filter(|_| moved) else {
                return self.read(connection, response, target).await;
            };
            let (address, path_and_query) =
                redirect(location, &at.address, &at.path_and_query).map_err(ScraperError::BadTarget)?;
            at = Location { address, path_and_query };
        }
        Err(at.failed(format!("stopped after {REDIRECTS_MAX} redirects")))
    }

    /// Sends one request; over the kept connection if it still takes one.
    async fn send(
        &mut self,
        at: &Location,
        credentials: Option<&HeaderValue>,
    ) -> Result<(Connection, Response<Incoming>), ScraperError> {
        let kept =
            self.connection.take().filter(|kept| kept.address == at.address && !kept.sender.is_closed());
        if let Some(mut kept) = kept {
            let request = self.request(at, credentials)?;
            // The target may have closed it at this moment: that is no failure of the target.
            if kept.sender.ready().await.is_ok()
                && let Ok(response) = kept.sender.send_request(request).await
            {
                return Ok((kept, response));
            }
        }
        let mut fresh = at.connect().await?;
        let request = self.request(at, credentials)?;
        let response = fresh.sender.send_request(request).await.map_err(|e| at.failed(chain(&e)))?;
        Ok((fresh, response))
    }

    fn request(
        &self,
        at: &Location,
        credentials: Option<&HeaderValue>,
    ) -> Result<Request<Empty<Bytes>>, ScraperError> {
        let fault = |e: http::Error| ScraperError::BadTarget(format!("{}: {e}", at.url()));
        let request =
            Request::builder().method(Method::GET).uri(&at.path_and_query).header(HOST, &at.address);
        let mut request = request.body(Empty::new()).map_err(fault)?;
        request.headers_mut().extend(self.headers.clone());
        if let Some(credentials) = credentials {
            request.headers_mut().insert(AUTHORIZATION, credentials.clone());
        }
        Ok(request)
    }

    async fn read(
        &mut self,
        connection: Connection,
        response: Response<Incoming>,
        target: &Target,
    ) -> Result<Answer, ScraperError> {
        if response.status() != http::StatusCode::OK {
            return Err(ScraperError::Status(response.status()));
        }
        let header =
            |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let encoding = BodyEncoding::parse(header(CONTENT_ENCODING))?;
        let content_type = header(CONTENT_TYPE).to_owned();
        let limit = limit_of(target.job.limits.body_size_bytes);
        let mut body = Vec::with_capacity(self.expected_bytes);
        let mut incoming = response.into_body();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|e| ScraperError::Request { url: target.url(), reason: chain(&e) })?;
            if let Some(data) = frame.data_ref() {
                // No encoding makes a body larger than its limit by much; the exact check follows when it is undone.
                if (body.len() + data.len()) as u64 > limit {
                    return Err(ScraperError::BodyTooLarge);
                }
                body.extend_from_slice(data);
            }
        }
        self.expected_bytes = body.len();
        self.connection = Some(connection);
        Ok(Answer { body, encoding, content_type })
    }
}

impl Location {
    fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path_and_query)
    }

    fn failed(&self, reason: String) -> ScraperError {
        ScraperError::Request { url: self.url(), reason }
    }

    async fn connect(&self) -> Result<Connection, ScraperError> {
        let (host, port) = host_and_port(&self.address).map_err(ScraperError::BadTarget)?;
        let stream = TcpStream::connect((host, port)).await.map_err(|e| self.failed(self.dial_fault(&e)))?;
        // An option that the system refuses makes requests slower, not wrong.
        let _ = stream.set_nodelay(true);
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.failed(chain(&e)))?;
        let driver = tokio::spawn(async move {
            // The request's own future reports what went wrong.
            drop(connection.await);
        });
        Ok(Connection { address: self.address.clone(), sender, _driver: AbortOnDropHandle::new(driver) })
    }

    /// Words a failed connect like Go's dialer.
    fn dial_fault(&self, error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                format!("dial tcp {}: connect: connection refused", self.address)
            }
            _ => format!("dial tcp {}: {error}", self.address),
        }
    }
}
