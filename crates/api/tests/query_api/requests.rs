//! The query routes against data in memory: requests and the exact bytes of their answers.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Counts, Memory, counted_routes, routes, send};
use axum::body::Body;
use http::Request;
use http::header;
use model::ErrorKind;

async fn fetch(memory: Memory, path: &str) -> (u16, String) {
    let request = Request::get(format!("/api/v1/{path}")).body(Body::empty()).expect("a sound request");
    let (status, headers, body) = send(&routes(memory), request).await;
    assert_eq!(headers[header::CONTENT_TYPE], "application/json");
    (status, String::from_utf8(body).expect("JSON is UTF-8"))
}

async fn check(path: &str, data: &str) {
    let expected = format!(r#"{{"status":"success","data":{data}}}"#);
    assert_eq!(fetch(Memory::new(), path).await, (200, expected), "{path}");
}

async fn check_error(path: &str, status: u16, error_type: &str, error: &str) {
    let mut expected = serde_json::json!({"status": "error", "errorType": error_type, "error": error});
    let (actual, text) = fetch(Memory::new(), path).await;
    let body: serde_json::Value = serde_json::from_str(&text).expect("the API speaks JSON");
    if error.ends_with('…') {
        let prefix = error.trim_end_matches('…');
        let whole = body["error"].as_str().expect("errors have a text");
        assert!(whole.starts_with(prefix), "{path}: {whole}");
        expected["error"] = whole.into();
    }
    assert_eq!((actual, body), (status, expected), "{path}");
}

#[tokio::test]
async fn queries_have_prometheus_s_shapes() {
    check("query?query=1%2B1&time=4", r#"{"resultType":"scalar","result":[4,"2"]}"#).await;
    check("query?query=1%2F0", r#"{"resultType":"scalar","result":[1000,"+Inf"]}"#).await;
    check(
        "query?query=up%7Bjob%3D%22b%22%7D&time=100.5",
        concat!(
            r#"{"resultType":"vector","result":[{"metric":{"__name__":"up","http.status":"200","job":"b"},"#,
            r#""value":[100.500,"1e-08"]}]}"#
        ),
    )
    .await;
    check("query?query=nothing", r#"{"resultType":"vector","result":[]}"#).await;
    check(
        "query_range?query=http_requests_total&start=0&end=20&step=10s",
        concat!(
            r#"{"resultType":"matrix","result":[{"metric":{"__name__":"http_requests_total","job":"b"},"#,
            r#""values":[[0,"0"],[10,"1"],[20,"2"]]}]}"#
        ),
    )
    .await;
    check("query_range?query=nothing&start=0&end=20&step=10", r#"{"resultType":"matrix","result":[]}"#).await;
}

#[tokio::test]
async fn label_queries_have_prometheus_s_shapes() {
    check("labels", r#"["__name__","http.status","instance","job"]"#).await;
    check("labels?match[]=http_requests_total", r#"["__name__","job"]"#).await;
    check("label/job/values", r#"["a","b"]"#).await;
    check("label/U__http_2e_status/values", r#"["200"]"#).await;
    check("label/job/values?match[]=%7B__name__%3D~%22.%2B%22%2C%7D&match[]=up", r#"["a","b"]"#).await;
    check("label/job/values?start=2000", "[]").await;
    check(
        "series?match[]=up%7Bjob%3D%22a%22%7D",
        concat!(
            r#"[{"__name__":"up","instance":"1","job":"a"},"#,
            r#"{"__name__":"up","instance":"2","job":"a"}]"#
        ),
    )
    .await;
    check(
        "metadata",
        concat!(
            r#"{"http_requests":[{"type":"counter","help":"Requests.","unit":""}],"#,
            r#""up":[{"type":"gauge","help":"Is \"up\".","unit":""},{"type":"unknown","help":"","unit":""}]}"#
        ),
    )
    .await;
    check(
        "metadata?metric=up&limit_per_metric=1",
        r#"{"up":[{"type":"gauge","help":"Is \"up\".","unit":""}]}"#,
    )
    .await;
    check("metadata?limit=1", r#"{"http_requests":[{"type":"counter","help":"Requests.","unit":""}]}"#).await;
    check("query_exemplars?query=test&start=1780000000000&end=1780003600000", "[]").await;
    check("query_exemplars?query=1", "[]").await;
    check(
        "query_exemplars?query=rate(up%5B5m%5D)+%2B+down&start=1&end=2",
        concat!(
            r#"[{"seriesLabels":{"__name__":"up","job":"a"},"exemplars":["#,
            r#"{"labels":{"trace_id":"x"},"value":"0.5","timestamp":1.500},"#,
            r#"{"labels":{},"value":"+Inf","timestamp":2}]}]"#
        ),
    )
    .await;
}

#[tokio::test]
async fn metadata_of_targets_has_prometheus_s_shape() {
    let entry = |instance: &str, family: &str| {
        format!(
            r#"{{"target":{{"instance":"{instance}"}},{family}"type":"gauge","help":"Is up.","unit":""}}"#
        )
    };
    let load = entry("h:1", r#""metric":"load","#);
    let [first, second] = ["h:1", "h:2"].map(|instance| entry(instance, r#""metric":"up","#));
    check("targets/metadata", &format!("[{load},{first},{second}]")).await;
    check("targets/metadata?limit=1", &format!("[{load},{first}]")).await;
    check("targets/metadata?limit=0", "[]").await;
    let plain = entry("h:2", "");
    let path = "targets/metadata?metric=up&match_target=%7Binstance%3D%22h:2%22%7D&limit=-1";
    check(path, &format!("[{plain}]")).await;
}

#[tokio::test]
async fn cardinality_has_prometheus_s_shape() {
    let head =
        r#"{"headStats":{"numSeries":4,"numLabelPairs":5,"chunkCount":8,"minTime":0,"maxTime":1000000},"#;
    let rest = concat!(
        r#""labelValueCountByLabelName":[{"name":"job","value":3},{"name":"__name__","value":2}],"#,
        r#""memoryInBytesByLabelName":[{"name":"__name__","value":25},{"name":"job","value":4}],"#,
        r#""seriesCountByLabelValuePair":[{"name":"__name__=up","value":3}]}"#
    );
    let metrics =
        r#""seriesCountByMetricName":[{"name":"up","value":3},{"name":"http_requests_total","value":1}],"#;
    check("status/tsdb", &format!("{head}{metrics}{rest}")).await;
    let one = concat!(
        r#""seriesCountByMetricName":[{"name":"up","value":3}],"#,
        r#""labelValueCountByLabelName":[{"name":"job","value":3}],"#,
        r#""memoryInBytesByLabelName":[{"name":"__name__","value":25}],"#,
        r#""seriesCountByLabelValuePair":[{"name":"__name__=up","value":3}]}"#
    );
    check("status/tsdb?limit=1", &format!("{head}{one}")).await;
}

#[tokio::test]
async fn status_targets_and_rules_have_prometheus_s_shapes() {
    let target = concat!(
        r#"{"discoveredLabels":{"__address__":"h:1"},"labels":{"instance":"h:1"},"scrapePool":"node","#,
        r#""scrapeUrl":"http://h:1/metrics","globalUrl":"http://h:1/metrics","lastError":"","#,
        r#""lastScrape":"1970-01-01T00:00:01.5Z","lastScrapeDuration":0.25,"health":"up","#,
        r#""scrapeInterval":"15s","scrapeTimeout":"10s","scraper":"scraper-0"}"#
    );
    let dropped = r#"{"discoveredLabels":{"__address__":"h:2"},"scrapePool":"node"}"#;
    for (query, active, dropped) in
        [("", target, dropped), ("?state=active", target, ""), ("?state=dropped", "", dropped)]
    {
        let data = format!(
            r#"{{"activeTargets":[{active}],"droppedTargets":[{dropped}],"droppedTargetCounts":{{"node":1}}}}"#
        );
        check(&format!("targets{query}"), &data).await;
    }
    check("targets?scrapePool=x", r#"{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}"#)
        .await;
    check("rules", r#"{"groups":[]}"#).await;
    check("alerts", r#"{"alerts":[]}"#).await;
    check("status/config", r#"{"yaml":"global: {}\n"}"#).await;
    check("status/flags", "{}").await;
    let (status, text) = fetch(Memory::new(), "status/buildinfo").await;
    let body: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, 200);
    assert_eq!(body["data"]["nornVersion"], "0.1.0");
    assert!(body["data"]["version"].as_str().unwrap().starts_with("3."));
    assert!(body["data"].get("features").is_none(), "Grafana would take it for Mimir");
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let bad = "bad_data";
    let points = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
    for (path, error) in [
        ("query?query=", r#"invalid parameter "query": …"#),
        ("query?query=up%7B", r#"invalid parameter "query": 1:…"#),
        (
            "query?query=up&time=x",
            r#"invalid parameter "time": invalid time value for 'time': cannot parse "x" to a valid timestamp"#,
        ),
        ("query?query=up&timeout=x", r#"invalid parameter "timeout": cannot parse "x" to a valid duration"#),
        (
            "query?query=up&lookback_delta=x",
            r#"error parsing lookback delta duration: cannot parse "x" to a valid duration"#,
        ),
        ("query?query=up&limit=x", r#"invalid parameter "limit": strconv.Atoi: parsing "x": invalid syntax"#),
        ("query?query=up&limit=-1", r#"invalid parameter "limit": limit must be non-negative"#),
        (
            "query_range?query=up&start=x&end=2&step=1",
            r#"invalid parameter "start": cannot parse "x" to a valid timestamp"#,
        ),
        (
            "query_range?query=up&start=1&step=1",
            r#"invalid parameter "end": cannot parse "" to a valid timestamp"#,
        ),
        (
            "query_range?query=up&start=2&end=1&step=1",
            r#"invalid parameter "end": end timestamp must not be before start time"#,
        ),
        (
            "query_range?query=up&start=1&end=2",
            r#"invalid parameter "step": cannot parse "" to a valid duration"#,
        ),
        (
            "query_range?query=up&start=1&end=2&step=0",
            r#"invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer"#,
        ),
        ("query_range?query=up&start=0&end=11001&step=1", points),
        (
            "labels?start=x",
            r#"invalid parameter "start": invalid time value for 'start': cannot parse "x" to a valid timestamp"#,
        ),
        ("labels?match[]=%7B%7D", "match[] must contain at least one non-empty matcher"),
        ("label/job/values?match[]=%7B", "1:…"),
        ("series", "no match[] parameter provided"),
        (
            "series?match[]=%7Ba%3D~%22.*%22%7D",
            r#"invalid parameter "match[]": match[] must contain at least one non-empty matcher"#,
        ),
        ("metadata?limit=x", "limit must be a number"),
        ("targets/metadata?limit=x", "limit must be a number"),
        (
            "targets/metadata?match_target=%7B",
            r#"invalid parameter "match_target": 1:2: parse error: unexpected end of input inside braces"#,
        ),
        ("status/tsdb?limit=0", "limit must be a positive number"),
        ("status/tsdb?limit=x", "limit must be a positive number"),
        ("status/tsdb?limit=10001", "limit must not exceed 10000"),
        ("query_exemplars?query=up&start=2&end=1", "end timestamp must not be before start timestamp"),
        ("rules?type=x", r#"invalid parameter "type": not supported value "x""#),
        ("query?query=%zz", r#"error parsing form values: invalid URL escape "%zz""#),
    ] {
        check_error(path, 400, bad, error).await;
    }
    check_error("query?query=up%20%2B%20on(job)%20up", 422, "execution", "…").await;
}

#[tokio::test]
async fn limits_cut_with_a_warning() {
    for (path, data) in [
        ("label/job/values?limit=1", r#"["a"]"#),
        ("labels?limit=2", r#"["__name__","http.status"]"#),
        ("series?match[]=up&limit=1", r#"[{"__name__":"up","http.status":"200","job":"b"}]"#),
    ] {
        let expected =
            format!(r#"{{"status":"success","data":{data},"warnings":["results truncated due to limit"]}}"#);
        assert_eq!(fetch(Memory::new(), path).await, (200, expected), "{path}");
    }
    let (_, text) = fetch(Memory::new(), "query?query=up&limit=2").await;
    let body: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(body["data"]["result"].as_array().unwrap().len(), 2);
    assert_eq!(body["warnings"], serde_json::json!(["results truncated due to limit"]));
    check("label/job/values?limit=2", r#"["a","b"]"#).await;
    check("label/job/values?limit=0", r#"["a","b"]"#).await;
}

#[tokio::test]
async fn body_and_url_are_merged_and_the_body_comes_first() {
    let post = |uri: &str, body: &str| {
        Request::post(uri)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")
            .body(Body::from(body.to_owned()))
            .unwrap()
    };
    let router = routes(Memory::new());
    let (status, _, body) =
        send(&router, post("/api/v1/query?query=2&stats=all&custom=x", "query=1%2B1&time=4")).await;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &body["data"]["result"]), (200, &serde_json::json!([4, "2"])));
    assert_eq!(body["data"]["stats"]["samples"]["totalQueryableSamples"], 0);
    for uri in ["/api/v1/label/job/values?match[]=http_requests_total", "/api/v1/label/job/values"] {
        let body = if uri.contains('?') { "" } else { "match[]=http_requests_total" };
        let (status, _, body) = send(&router, post(uri, body)).await;
        assert_eq!((status, body.as_slice()), (200, br#"{"status":"success","data":["b"]}"#.as_slice()));
    }
}

#[tokio::test]
async fn a_stale_view_is_replaced_and_a_missing_shard_is_named() {
    let with = |conflicts: usize, fault: Option<ErrorKind>| {
        let mut memory = Memory::new();
        (memory.conflicts, memory.fault) = (AtomicUsize::new(conflicts), fault);
        memory
    };
    for path in ["query?query=up", "query_range?query=up&start=0&end=1&step=1", "labels"] {
        assert_eq!(fetch(with(2, None), path).await.0, 200, "{path}");
        assert_eq!(fetch(with(3, None), path).await.0, 503, "{path}");
    }
    for (kind, status, error_type) in [
        (ErrorKind::Unavailable, 503, "unavailable"),
        (ErrorKind::LimitExceeded, 422, "execution"),
        (ErrorKind::Timeout, 503, "timeout"),
        (ErrorKind::Corrupt, 500, "internal"),
    ] {
        for path in ["query?query=up", "series?match[]=up"] {
            let (actual, text) = fetch(with(0, Some(kind)), path).await;
            let body: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!((actual, body["errorType"].as_str()), (status, Some(error_type)));
            assert!(body["error"].as_str().unwrap().contains("shard 3 does not answer"), "{text}");
        }
    }
}

#[tokio::test]
async fn every_query_is_counted_and_gone_in_the_end() {
    let counts = Arc::new(Counts::default());
    let router = counted_routes(Memory::new(), Arc::clone(&counts));
    for (query, succeeded) in [("up", 1), ("up%7B", 1), ("1", 2)] {
        let uri = format!("/api/v1/query?query={query}");
        send(&router, Request::get(uri).body(Body::empty()).unwrap()).await;
        let load = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        assert_eq!((load(&counts.running), load(&counts.succeeded)), (0, succeeded), "{query}");
    }
}

#[tokio::test]
async fn a_query_ends_when_its_caller_goes_away() {
    let counts = Arc::new(Counts::default());
    let mut memory = Memory::new();
    memory.hangs = true;
    let router = counted_routes(memory, Arc::clone(&counts));
    let request = Request::get("/api/v1/query?query=up").body(Body::empty()).unwrap();
    let mut answer = Box::pin(send(&router, request));
    assert!(futures::poll!(&mut answer).is_pending());
    assert_eq!(counts.running.load(Ordering::SeqCst), 1);
    drop(answer);
    assert_eq!(counts.running.load(Ordering::SeqCst), 0);
    assert_eq!(counts.succeeded.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_ask() {
    let uri = "/api/v1/query_range?query=up&start=0&end=1000&step=1";
    let router = routes(Memory::new());
    let (_, headers, plain) = send(&router, Request::get(uri).body(Body::empty()).unwrap()).await;
    assert!(!headers.contains_key(header::CONTENT_ENCODING));
    let request =
        Request::get(uri).header(header::ACCEPT_ENCODING, "br, gzip;q=0.5").body(Body::empty()).unwrap();
    let (_, headers, packed) = send(&router, request).await;
    assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
    assert!(packed.len() < plain.len() / 2);
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain);
}

#[tokio::test]
async fn pages_of_other_origins_may_ask() {
    let router = routes(Memory::new());
    let request =
        Request::options("/api/v1/labels").header(header::ORIGIN, "http://x").body(Body::empty()).unwrap();
    let (status, headers, _) = send(&router, request).await;
    assert_eq!((status, &headers[header::ACCESS_CONTROL_ALLOW_ORIGIN]), (204, &"http://x".parse().unwrap()));
}

#[tokio::test]
async fn queries_are_formatted() {
    check("format_query?query=sum(up)by(job)%2F2", r#""sum by (job) (up) / 2""#).await;
    let long = "a".repeat(60);
    let expected = format!(r#""  {long}\n+ on ()\n  {long}""#);
    check(&format!("format_query?query={long}%2Bon()%20{long}"), &expected).await;
    let fault = "invalid parameter \"query\": 1:4: parse error: unexpected end of input";
    check_error("format_query?query=1%20%2B", 400, "bad_data", fault).await;
    check_error(
        "parse_query?query=rate(up)",
        400,
        "bad_data",
        "invalid parameter \"query\": 1:6: parse error: …",
    )
    .await;
    let deep = "a%2B".repeat(8_000);
    let fault = "invalid parameter \"query\": the query is nested too deeply to be formatted…";
    check_error(&format!("format_query?query={deep}a"), 400, "bad_data", fault).await;
}

#[tokio::test]
async fn queries_are_taken_apart() {
    check("parse_query?query=-5m", r#"{"type":"numberLiteral","val":"-300"}"#).await;
    let selector = |name: &str| {
        format!(
            concat!(
                r#"{{"anchored":false,"matchers":[{{"name":"__name__","type":"=","value":"{}"}}],"name":"{}","offset":0,"#,
                r#""smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"}}"#
            ),
            name, name
        )
    };
    check(
        "parse_query?query=a%20%3Ebool%20on(x)group_left(y)(-b)",
        &format!(
            concat!(
                r#"{{"bool":true,"lhs":{},"matching":{{"card":"many-to-one","fillValues":{{"lhs":null,"rhs":null}},"#,
                r#""include":["y"],"labels":["x"],"on":true}},"op":">","rhs":{{"expr":{{"expr":{},"op":"-","#,
                r#""type":"unaryExpr"}},"type":"parenExpr"}},"type":"binaryExpr"}}"#
            ),
            selector("a"),
            selector("b")
        ),
    )
    .await;
    check(
        "parse_query?query=count_values%20without(z)(%22v%22%2Ca%20or%20b)",
        &format!(
            concat!(
                r#"{{"expr":{{"bool":false,"lhs":{},"matching":{{"card":"many-to-many","fillValues":{{"lhs":null,"#,
                r#""rhs":null}},"include":[],"labels":[],"on":false}},"op":"or","rhs":{},"type":"binaryExpr"}},"#,
                r#""grouping":["z"],"op":"count_values","param":{{"type":"stringLiteral","val":"v"}},"#,
                r#""type":"aggregation","without":true}}"#
            ),
            selector("a"),
            selector("b")
        ),
    )
    .await;
    check(
        "parse_query?query=rate(x%7Ba!~%221%22%7D[5m]%20offset%201m%20@%202)",
        concat!(
            r#"{"args":[{"anchored":false,"matchers":[{"name":"a","type":"!~","value":"1"},"#,
            r#"{"name":"__name__","type":"=","value":"x"}],"name":"x","offset":60000,"range":300000,"smoothed":false,"#,
            r#""startOrEnd":null,"timestamp":2000,"type":"matrixSelector"}],"func":{"argTypes":["matrix"],"#,
            r#""name":"rate","returnType":"vector","variadic":0},"type":"call"}"#
        ),
    )
    .await;
    let subquery =
        r#","offset":0,"range":3600000,"startOrEnd":"end","step":0,"timestamp":null,"type":"subquery"}"#;
    let expected = format!("{{\"expr\":{}{subquery}", selector("a"));
    check("parse_query?query=a[1h:step()]@end()", &expected).await;
}
