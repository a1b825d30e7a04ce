//! One scraper against real HTTP targets: what arrives at the ingester.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use model::MetricType;
use scraper::ScraperConfig;
use session::WriterConfig;

use crate::support::target::{HttpTarget, Page};
use crate::support::{Cluster, Record, jobs};

/// Returns a job's configuration, scraped each second.
fn job(name: &str, target: &HttpTarget, more: &str) -> String {
    format!(
        "scrape_configs: [{{job_name: {name}, scrape_interval: 1s, static_configs: [{{targets: ['{}']}}]{more}}}]",
        target.address
    )
}

/// Collects one whole scrape: everything with the timestamp of the next sample of `up`.
async fn one_scrape(cluster: &Cluster) -> BTreeMap<String, f64> {
    let mut samples: BTreeMap<i64, BTreeMap<String, f64>> = BTreeMap::new();
    loop {
        let record = cluster.next().await;
        let at = samples.entry(record.time_ms).or_default();
        at.insert(record.series, record.value);
        // All shards have answered once the next scrape begins to arrive.
        if samples.len() > 1 {
            return samples.into_values().next().expect("not empty");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_labels_reports_and_metadata() {
    let cluster = Cluster::start();
    let page = "# HELP a_total Helpful.\n# TYPE a_total counter\na_total{job=\"own\"} 7\nb 1.5\ngo_gone 1\n";
    let target = HttpTarget::start(Page::text(page)).await;
    let more = ", extra_scrape_metrics: true, metric_relabel_configs: [{source_labels: [__name__], regex: 'go_.*', action: drop}]";
    let running = cluster.scraper("scraper-0", &job("node", &target, more)).await;
    let at = format!(r#"instance="{}", job="node""#, target.address);

    let samples = one_scrape(&cluster).await;
    let expected = [
        (format!(r#"a_total{{exported_job="own", {at}}}"#), 7.0),
        (format!("b{{{at}}}"), 1.5),
        (format!("scrape_body_size_bytes{{{at}}}"), page.len() as f64),
        (format!("scrape_sample_limit{{{at}}}"), 0.0),
        (format!("scrape_samples_post_metric_relabeling{{{at}}}"), 2.0),
        (format!("scrape_samples_scraped{{{at}}}"), 3.0),
        (format!("scrape_series_added{{{at}}}"), 2.0),
        (format!("scrape_timeout_seconds{{{at}}}"), 1.0),
        (format!("up{{{at}}}"), 1.0),
    ];
    let duration = format!("scrape_duration_seconds{{{at}}}");
    let mut without_duration = samples.clone();
    assert!(without_duration.remove(&duration).is_some_and(|seconds| seconds > 0.0), "{samples:?}");
    assert_eq!(without_duration, BTreeMap::from(expected));

    let metadata = cluster.next_metadata().await;
    assert_eq!((metadata.family.as_str(), metadata.metric_type), ("a_total", MetricType::Counter));
    assert_eq!(metadata.help, "Helpful.");
    let second = cluster.find(|record| record.series.starts_with("scrape_series_added")).await;
    assert_eq!(second.value, 0.0, "the second scrape adds nothing");

    let targets = cluster.targets(&running).await;
    let active = &targets.active[0];
    assert_eq!(
        (active.health.as_str(), active.last_error.as_str(), active.scraper.as_str()),
        ("up", "", "scraper-0")
    );
    assert_eq!(active.scrape_url, format!("http://{}/metrics", target.address));
    assert_eq!((active.scrape_interval.as_str(), active.labels["job"].as_str()), ("1s", "node"));
    let metrics = running.context.metrics().encode();
    assert!(metrics.contains("prometheus_target_scrape_pool_targets{scrape_job=\"node\"} 1"), "{metrics}");
    assert!(
        metrics.contains("prometheus_target_interval_length_seconds_count{interval=\"1s\"}"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_is_prometheuss_over_one_connection() {
    let cluster = Cluster::start();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"# TYPE g gauge\ng 1\n# EOF\n").expect("memory");
    let mut page = Page::new("application/openmetrics-text; version=1.0.0; charset=utf-8", "");
    page.headers.push(("content-encoding", "gzip".to_owned()));
    page.body = encoder.finish().expect("memory");
    let target = HttpTarget::start(page).await;
    let more = ", metrics_path: /probe, params: {module: ['a b']}, basic_auth: {username: u, password: p}";
    let _running = cluster.scraper("scraper-0", &job("node", &target, more)).await;

    let sample = cluster.find(|record| record.series.starts_with("g{")).await;
    assert_eq!(sample.value, 1.0);
    target.asked(3).await;
    assert_eq!(target.connections(), 1, "the connection is kept");
    let (path, headers) = target.last_request();
    assert_eq!(path, "/probe?module=a+b");
    let header = |name: &str| headers[name].to_str().expect("text").to_owned();
    assert!(
        header("accept")
            .starts_with("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,")
    );
    assert_eq!(header("accept-encoding"), "gzip");
    assert_eq!(header("x-prometheus-scrape-timeout-seconds"), "1");
    assert_eq!(header("authorization"), "Basic dTpw");
    assert_eq!(header("host"), target.address);
    assert!(header("user-agent").starts_with("Norn/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_vanishes_gets_a_staleness_marker() {
    let cluster = Cluster::start();
    let target = HttpTarget::start(Page::text("stays 1\ngoes 2\ntimed 3 1000\n")).await;
    let _running = cluster.scraper("scraper-0", &job("node", &target, "")).await;
    let timed = cluster.find(|record| record.series.starts_with("timed{")).await;
    assert_eq!(timed.time_ms, 1000, "the target's own timestamp is kept");
    target.say(Page::text("stays 1\n"));
    let marker = cluster.find(Record::is_stale).await;
    assert!(marker.series.starts_with("goes{"), "{marker:?}");
    // A further scrape marks nothing.
    let seen = target.requests();
    target.asked(seen + 2).await;
    let next = cluster.find(|record| record.is_stale() || record.time_ms > marker.time_ms + 1500).await;
    assert!(!next.is_stale(), "{next:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_worded_as_prometheus_does_and_end_all_series() {
    let html = "<!DOCTYPE html>\n<html></html>\n";
    let cases = [
        (
            Page::new("text/html", html),
            "",
            "received unsupported Content-Type \"text/html\" and no fallback_scrape_protocol specified for target",
        ),
        (
            Page::text(html),
            "",
            "expected a valid start token, got \"<\" (\"INVALID\") while parsing: \"<\" (line 1)",
        ),
        (Page { status: 404, ..Page::text("") }, "", "server returned HTTP status 404 Not Found"),
        (Page { status: 0, ..Page::text("") }, "", "Get \"URL\": context deadline exceeded"),
        (Page::text("m{a=\"12345\"} 1\n"), ", body_size_limit: 10B", "body size limit exceeded"),
        (Page::text("m 1\nn 1\n"), ", sample_limit: 1", "sample limit exceeded"),
        (
            Page::text("m{a=\"b\"} 1\n"),
            ", label_limit: 3",
            "label_limit exceeded (metric: m, number of labels: 4, limit: 3)",
        ),
        (Page::text("m{a=\"1\",a=\"2\"} 1\n"), "", "label name \"a\" is not unique: invalid sample"),
        (
            Page {
                headers: vec![("location", "https://x/".to_owned())],
                ..Page { status: 302, ..Page::text("") }
            },
            "",
            "redirect to \"https://x/\": https is not supported yet",
        ),
    ];
    let checks = cases.map(|(bad, more, expected)| check_failure(bad, more, expected));
    futures::future::join_all(checks).await;
}

/// Lets a target that was good say something bad; `URL` in the expected error stands for the target's.
async fn check_failure(bad: Page, more: &str, expected: &str) {
    let cluster = Cluster::start();
    let target = HttpTarget::start(Page::text("m 1\n")).await;
    let running = cluster.scraper("scraper-0", &job("node", &target, more)).await;
    cluster.find(|record| record.series.starts_with("m{")).await;
    target.say(bad);
    // The two may be on different shards and arrive in either order.
    let is_down = |record: &Record| record.series.starts_with("up{") && record.value == 0.0;
    let mut failed: [Option<Record>; 2] = [None, None];
    while failed.iter().any(Option::is_none) {
        let record = cluster.find(|record| record.is_stale() || is_down(record)).await;
        failed[usize::from(is_down(&record))].get_or_insert(record);
    }
    let [Some(marker), Some(up)] = failed else { panic!("both are there") };
    assert!(marker.series.starts_with("m{"), "{expected}: {marker:?}");
    assert_eq!(up.time_ms, marker.time_ms, "{expected}");
    let targets = cluster.targets(&running).await;
    let active = &targets.active[0];
    let expected = expected.replace("URL", &active.scrape_url);
    assert_eq!((active.health.as_str(), active.last_error.as_str()), ("down", expected.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_not_there_is_down() {
    let cluster = Cluster::start();
    let target = HttpTarget::start(Page::text("")).await;
    let config = job("node", &target, "");
    let address = target.address.clone();
    drop(target);
    let running = cluster.scraper("scraper-0", &config).await;
    let up = cluster.find(|record| record.series.starts_with("up{")).await;
    assert_eq!(up.value, 0.0);
    let targets = cluster.targets(&running).await;
    assert_eq!(
        targets.active[0].last_error,
        format!("Get \"http://{address}/metrics\": dial tcp {address}: connect: connection refused")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_target_ends_all_its_series() {
    let cluster = Cluster::start();
    let target = HttpTarget::start(Page::text("m 1\n")).await;
    let running = cluster.scraper("scraper-0", &job("node", &target, "")).await;
    cluster.find(|record| record.series.starts_with("m{")).await;
    running.scraper.set_jobs(&jobs(""));
    let mut ended = Vec::new();
    while ended.len() < 6 {
        ended.push(cluster.find(Record::is_stale).await.series);
    }
    ended.sort();
    let names: Vec<&str> = ended.iter().filter_map(|series| series.split('{').next()).collect();
    let expected = [
        "m",
        "scrape_duration_seconds",
        "scrape_samples_post_metric_relabeling",
        "scrape_samples_scraped",
        "scrape_series_added",
        "up",
    ];
    assert_eq!(names, expected);
    assert_eq!(cluster.targets(&running).await.active.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_scraped_differently_leaves_no_markers() {
    let cluster = Cluster::start();
    let target = HttpTarget::start(Page::text("m 1\n")).await;
    let running = cluster.scraper("scraper-0", &job("node", &target, "")).await;
    cluster.find(|record| record.series.starts_with("m{")).await;
    let keep = ", metric_relabel_configs: [{target_label: added, replacement: x}]";
    running.scraper.set_jobs(&jobs(&job("node", &target, keep)));
    let next = cluster.find(|record| record.is_stale() || record.series.starts_with("m{added=")).await;
    assert!(!next.is_stale(), "{next:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scrapes_during_an_election_arrive_afterwards_in_order() {
    let cluster = Cluster::start();
    let target = HttpTarget::start(Page::text("m 1\n")).await;
    let _running = cluster.scraper("scraper-0", &job("node", &target, "")).await;
    let first = cluster.find(|record| record.series.starts_with("m{")).await;
    cluster.set_appends_fail(true);
    let asked = target.requests();
    target.asked(asked + 3).await;
    cluster.set_appends_fail(false);
    let mut times = vec![first.time_ms];
    while times.len() < 5 {
        times.push(cluster.find(|record| record.series.starts_with("m{")).await.time_ms);
    }
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    // Scrapes are planned a second apart; a hole of two intervals would be a scrape that was lost.
    assert!(times[1] - times[0] < 2000, "nothing is missing: {times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_without_the_credentials() {
    let cluster = Cluster::start();
    let there = HttpTarget::start(Page::text("m 1\n")).await;
    let mut page = Page { status: 302, ..Page::text("") };
    page.headers.push(("location", format!("http://{}/there?x=1", there.address)));
    let here = HttpTarget::start(page).await;
    let more = ", authorization: {credentials: secret}";
    let _running = cluster.scraper("scraper-0", &job("node", &here, more)).await;
    let sample = cluster.find(|record| record.series.starts_with("m{")).await;
    assert!(sample.series.contains(&here.address), "the labels are those of the target: {sample:?}");
    assert_eq!(here.last_request().1["authorization"], "Bearer secret");
    let (path, headers) = there.last_request();
    assert_eq!((path.as_str(), headers.get("authorization")), ("/there?x=1", None));
    assert_eq!(headers["host"], there.address);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_wait_is_dropped_and_counted() {
    let cluster = Cluster::start();
    let target = HttpTarget::start(Page::text("# TYPE m gauge\nm 1\n")).await;
    // One scrape has six samples: two do not fit.
    let limits =
        ScraperConfig { waiting_samples_max: 8, ..ScraperConfig::new(jobs(&job("node", &target, ""))) };
    cluster.set_appends_fail(true);
    let running = cluster.scraper_with("scraper-0", limits, WriterConfig::default()).await;
    target.asked(3).await;
    cluster.set_appends_fail(false);
    let first = cluster.find(|record| record.series.starts_with("m{")).await;
    let later = cluster.find(|record| record.series.starts_with("m{")).await;
    assert!(later.time_ms >= first.time_ms + 2000, "a scrape between was dropped: {first:?} {later:?}");
    let metrics = running.context.metrics().encode();
    assert!(metrics.contains("norn_scraper_samples_dropped_total{reason=\"buffer_full\"} "), "{metrics}");
    assert_eq!(cluster.next_metadata().await.family, "m");
    assert_eq!(cluster.next_metadata().await.family, "m", "after a loss metadata is sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_too_long_is_dropped_and_counted() {
    let cluster = Cluster::start();
    let target = HttpTarget::start(Page::text("m 1\n")).await;
    let limits =
        ScraperConfig { retry_for: Duration::ZERO, ..ScraperConfig::new(jobs(&job("node", &target, ""))) };
    let impatient = WriterConfig { deadline: Duration::from_millis(100), ..WriterConfig::default() };
    cluster.set_appends_fail(true);
    let running = cluster.scraper_with("scraper-0", limits, impatient).await;
    target.asked(3).await;
    cluster.set_appends_fail(false);
    cluster.find(|record| record.series.starts_with("m{")).await;
    let metrics = running.context.metrics().encode();
    assert!(metrics.contains("norn_scraper_samples_dropped_total{reason=\"too_old\"} "), "{metrics}");
}
