//! The web page: its built files, part of the binary, and the routes that serve them.
//!
//! The sources are in `ui/` at the top of the tree; `dist/` holds what they build to, committed, so that building Norn needs no
//! node. The page talks to the HTTP API with paths relative to its own, so it works below any prefix of a proxy.
//!
//! Invariants:
//! 1. `/` and `/graph` lead to `/query`; each of [`PAGES`] answers with the same `index.html`, and no other unknown path
//!    does: who probes for an API that is not here is told 404, not a page.
//! 2. Files below `assets/` have a hash of their contents in their name and may be kept for ever; `index.html` is asked
//!    for anew each time.
//! 3. Each file is compressed once, when it is first asked for.

mod asset;

use asset::{Asset, respond};
use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get};
use http::{HeaderMap, StatusCode};

// `ASSETS`: all files of the page.
include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The paths that the page itself understands.
pub const PAGES: [&str; 13] = [
    "/query",
    "/alerts",
    "/rules",
    "/targets",
    "/service-discovery",
    "/tsdb-status",
    "/config",
    "/flags",
    "/status",
    "/cluster",
    "/blocks",
    "/cardinality",
    "/queries",
];

/// Returns the routes of the page.
pub fn routes() -> Router {
    let mut router = Router::new()
        .route("/", get(to_query))
        .route("/graph", get(to_query))
        .route("/assets/{file}", get(asset))
        .route("/favicon.svg", fixed("favicon.svg"))
        .route("/LICENSES.txt", fixed("LICENSES.txt"));
    for page in PAGES {
        router = router.route(page, fixed("index.html"));
    }
    router
}

/// Relative, so that it leads to the same prefix.
async fn to_query(RawQuery(query): RawQuery) -> Redirect {
    match query {
        Some(query) => Redirect::temporary(&format!("./query?{query}")),
        None => Redirect::temporary("./query"),
    }
}

/// Always answers with one file.
fn fixed(name: &'static str) -> MethodRouter {
    get(async move |headers: HeaderMap| file(name, headers).await)
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    file(&format!("assets/{name}"), headers).await
}

async fn file(name: &str, headers: HeaderMap) -> Response {
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => respond(asset, &headers).await,
        None => (StatusCode::NOT_FOUND, "not found\n").into_response(),
    }
}
