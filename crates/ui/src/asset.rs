//! One file of the page, and the answer that carries it.

use std::io::Write as _;
use std::sync::OnceLock;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, header};

/// The page loads nothing from elsewhere; its styles are partly set by scripts.
const CONTENT_SECURITY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'self'; frame-ancestors 'self'";

/// A file.
pub(crate) struct Asset {
    /// Its path below `dist/`.
    pub(crate) name: &'static str,
    bytes: &'static [u8],
    gzip: OnceLock<Vec<u8>>,
}

impl Asset {
    pub(crate) const fn new(name: &'static str, bytes: &'static [u8]) -> Self {
        Self { name, bytes, gzip: OnceLock::new() }
    }

    fn gzip(&'static self) -> &'static [u8] {
        self.gzip.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::with_capacity(self.bytes.len() / 3), Compression::new(6));
            encoder.write_all(self.bytes).expect("writing to memory cannot fail");
            encoder.finish().expect("writing to memory cannot fail")
        })
    }

    fn content_type(&self) -> &'static str {
        match self.name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("woff2") => "font/woff2",
            _ => "text/plain; charset=utf-8",
        }
    }

    fn caching(&self) -> &'static str {
        if self.name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" }
    }
}

/// Answers with a file, compressed when the caller takes that.
pub(crate) async fn respond(asset: &'static Asset, headers: &HeaderMap) -> Response {
    let body = if takes_gzip(headers) {
        // Compressing takes milliseconds the first time. If that fails, the file is sent as it is.
        tokio::task::spawn_blocking(|| asset.gzip()).await.ok()
    } else {
        None
    };
    let is_gzip = body.is_some();
    let mut response = Body::from(body.unwrap_or(asset.bytes)).into_response();
    let answered = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, asset.content_type()),
        (header::CACHE_CONTROL, asset.caching()),
        (header::VARY, "Accept-Encoding"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        answered.insert(name, HeaderValue::from_static(value));
    }
    if is_gzip {
        answered.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|part| {
        let (coding, quality) = part.split_once(';').unwrap_or((part, ""));
        coding.trim().eq_ignore_ascii_case("gzip") && !quality.trim().starts_with("q=0")
    })
}
