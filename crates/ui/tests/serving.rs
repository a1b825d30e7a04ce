//! The routes of the page over the files that are built in.

use std::io::Read as _;

use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request};
use tower::ServiceExt;

async fn get(path: &str, encoding: &str) -> (u16, HeaderMap, Vec<u8>) {
    let request = Request::get(path).header("accept-encoding", encoding).body(Body::empty());
    let response =
        ui::routes().oneshot(request.expect("a sound request")).await.expect("routers do not fail");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("the body is in memory");
    (parts.status.as_u16(), parts.headers, body.to_vec())
}

#[tokio::test]
async fn every_page_is_the_same_file_and_other_paths_are_none() {
    let (status, headers, index) = get("/query", "identity").await;
    assert_eq!((status, &headers["cache-control"]), (200, &"no-cache".parse().unwrap()));
    for page in ui::PAGES {
        let (status, headers, body) = get(page, "identity").await;
        assert_eq!((status, &body), (200, &index), "{page}");
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    }
    for none in ["/rules/test/test", "/nowhere", "/assets/none.js", "/api/v1/none"] {
        assert_eq!(get(none, "identity").await.0, 404, "{none}");
    }
}

#[tokio::test]
async fn the_root_leads_to_the_query_page() {
    for (path, to) in [("/", "./query"), ("/graph?g0.expr=up", "./query?g0.expr=up")] {
        let (status, headers, _) = get(path, "identity").await;
        assert_eq!((status, headers["location"].to_str().unwrap()), (307, to));
    }
}

#[tokio::test]
async fn what_the_page_names_is_there_may_be_kept_and_comes_compressed() {
    let index = String::from_utf8(get("/query", "identity").await.2).unwrap();
    let names: Vec<&str> = index.split('"').filter(|part| part.starts_with("./assets/")).collect();
    assert!(!names.is_empty(), "{index}");
    for name in names {
        let path = name.trim_start_matches('.');
        let (status, headers, plain) = get(path, "gzip;q=0, br").await;
        assert_eq!((status, headers.get("content-encoding")), (200, None), "{path}");
        assert!(headers["cache-control"].to_str().unwrap().contains("immutable"), "{path}");
        let (_, headers, compressed) = get(path, "gzip").await;
        assert_eq!(headers["content-encoding"], "gzip", "{path}");
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(&compressed[..]).read_to_end(&mut read).unwrap();
        assert!(read == plain && compressed.len() < plain.len(), "{path}");
    }
}
