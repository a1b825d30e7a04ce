//! Deletes over HTTP: methods, parameters and answers as those of Prometheus 3.5.3.

use std::sync::{Arc, Mutex};

use api::Admin;
use async_trait::async_trait;
use axum::body::Body;
use http::Request;
use model::{ErrorKind, Matcher, TimeRange};
use storage::StorageError;

use crate::support::{Memory, admin_routes, send};

/// Notes what is asked of it.
#[derive(Default)]
struct Notes {
    asked: Mutex<Vec<String>>,
    fault: Option<ErrorKind>,
}

impl Notes {
    fn note(&self, what: String) -> Result<(), StorageError> {
        self.asked.lock().expect("not poisoned").push(what);
        self.fault.map_or(Ok(()), |kind| Err(StorageError::new(kind, "shard 3 has no leader that answers")))
    }
}

#[async_trait]
impl Admin for Notes {
    async fn delete_series(
        &self,
        selectors: Vec<Vec<Matcher>>,
        range: TimeRange,
    ) -> Result<(), StorageError> {
        let shown: Vec<Vec<String>> =
            selectors.iter().map(|matchers| matchers.iter().map(ToString::to_string).collect()).collect();
        self.note(format!("{shown:?} {} to {}", range.start, range.end))
    }

    async fn clean_tombstones(&self) -> Result<(), StorageError> {
        self.note("clean".to_owned())
    }
}

/// Sends a request and checks what was asked for, the status, and the error's type and text; both empty for none.
async fn check(
    admin: Option<Notes>,
    method: &str,
    path: &str,
    form: &str,
    asked: &[&str],
    answer: (u16, &str, &str),
) {
    let admin = admin.map(Arc::new);
    let routes = admin_routes(Memory::new(), admin.clone().map(|admin| admin as Arc<dyn Admin>));
    let request = Request::builder().method(method).uri(format!("/api/v1/admin/tsdb/{path}"));
    let request = request.header("Content-Type", "application/x-www-form-urlencoded");
    let request = request.body(Body::from(form.to_owned())).expect("a sound request");
    let (status, _, body) = send(&routes, request).await;
    let (expected, error_type, error) = answer;
    let noted = admin.map(|admin| admin.asked.lock().expect("not poisoned").clone()).unwrap_or_default();
    assert_eq!(
        (status, noted.as_slice()),
        (expected, asked.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>().as_slice()),
        "{path}"
    );
    if error.is_empty() {
        assert_eq!(body, b"", "{path}");
        return;
    }
    let body: serde_json::Value = serde_json::from_slice(&body).expect("the API speaks JSON");
    let expected = serde_json::json!({"status": "error", "errorType": error_type, "error": error});
    assert_eq!(body, expected, "{path}");
}

#[tokio::test]
async fn it_is_refused_until_somebody_switches_it_on() {
    for path in ["delete_series?match[]=up", "delete_series", "clean_tombstones", "snapshot"] {
        check(None, "POST", path, "", &[], (500, "unavailable", "admin APIs disabled")).await;
    }
}

#[tokio::test]
async fn series_are_deleted_as_the_request_says() {
    let done = (204, "", "");
    let on = || Some(Notes::default());
    let all = "-9223309901257974000 to 9223309901257974999";
    for method in ["POST", "PUT"] {
        let asked = [&*format!(r#"[["__name__=\"up\""]] {all}"#)];
        check(on(), method, "delete_series?match[]=up", "", &asked, done).await;
        let asked = [r#"[["__name__=\"up\"", "job=~\"a|b\""], []] 1500 to 9000"#];
        let form = "match[]=up%7Bjob%3D~%22a%7Cb%22%7D&match[]=%7B%7D&start=1.5&end=9";
        check(on(), method, "delete_series", form, &asked, done).await;
        check(on(), method, "clean_tombstones", "", &["clean"], done).await;
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_in_prometheus_s_words() {
    let bad = |error| (400, "bad_data", error);
    let on = || Some(Notes::default());
    let path = "delete_series";
    check(on(), "POST", path, "", &[], bad("no match[] parameter provided")).await;
    let error =
        r#"invalid parameter "start": invalid time value for 'start': cannot parse "x" to a valid timestamp"#;
    check(on(), "POST", path, "match[]=up&start=x", &[], bad(error)).await;
    let error = r#"invalid parameter "match[]": 1:3: parse error: unexpected "(""#;
    check(on(), "POST", path, "match[]=up(", &[], bad(error)).await;
    let error =
        "snapshots are not supported: blocks lie in the object store, which can be copied at any time";
    check(on(), "POST", "snapshot", "", &[], (404, "not_found", error)).await;
    let away = Some(Notes { fault: Some(ErrorKind::Unavailable), ..Notes::default() });
    let answer = (503, "unavailable", "shard 3 has no leader that answers");
    check(away, "POST", "clean_tombstones", "", &["clean"], answer).await;
    let routes = admin_routes(Memory::new(), None);
    let request = Request::get("/api/v1/admin/tsdb/delete_series?match[]=up").body(Body::empty());
    assert_eq!(send(&routes, request.expect("a sound request")).await.0, 405);
}
