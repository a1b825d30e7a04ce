//! Exemplars from a scrape and from remote write, over kill -9 and a query; and what the heads hold.

use std::fs;

use proto::prometheus::{Exemplar, Label, Sample, TimeSeries, WriteRequest};
use serde_json::{Value, json};

use crate::harness::{Norn, Remote, Target, free_ports, now_ms, until};

const SCRAPED: &str = "# TYPE shop_seconds histogram\n\
    shop_seconds_bucket{le=\"1.0\"} 3 # {trace_id=\"abc\"} 0.7 1700000000.5\n\
    shop_seconds_bucket{le=\"+Inf\"} 4 # {trace_id=\"def\",span=\"1\"} 2.5\n\
    shop_seconds_count 4\nshop_seconds_sum 5.5\n# EOF\n";

/// Makes series of a remote write: one with a sample, or one with exemplars as Prometheus sends them, apart from samples.
fn series(name: &str, samples: &[i64], exemplars: &[(&str, f64, i64)]) -> TimeSeries {
    let label = |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
    let exemplar = |(trace, value, timestamp): &(&str, f64, i64)| Exemplar {
        labels: vec![label("trace_id", trace)],
        value: *value,
        timestamp: *timestamp,
    };
    TimeSeries {
        labels: vec![label("__name__", name)],
        samples: samples.iter().map(|timestamp| Sample { value: 1.0, timestamp: *timestamp }).collect(),
        exemplars: exemplars.iter().map(exemplar).collect(),
        ..TimeSeries::default()
    }
}

#[tokio::test]
async fn exemplars_are_kept_and_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let target = Target::start_open_metrics(SCRAPED).await;
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: shop, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        target.address
    );
    fs::write(dir.path().join("prometheus.yml"), config).expect("a file");
    let port = free_ports(1);
    let mut norn = Norn::standalone(dir.path(), port, &["--config.file=prometheus.yml"]).await;
    // Not a whole second, which JSON writes otherwise.
    let now = now_ms() / 1000 * 1000 + 7;
    let timeseries = vec![
        series("pushed_total", &[now], &[]),
        series("pushed_total", &[], &[("1", 0.5, now - 5), ("2", 0.25, now), ("1", 0.5, now - 5)]),
        series("never_seen", &[], &[("3", 0.5, now)]),
    ];
    let request = WriteRequest { timeseries, ..WriteRequest::default() };
    Remote::new(&norn.address).write_request(&request).await.expect("acknowledged");
    let find = async |norn: &Norn, query: &str| {
        norn.api().data("/api/v1/query_exemplars", &[("query", query)]).await
    };
    let seconds = |ms: i64| json!(ms as f64 / 1000.0);
    let pushed = json!([{
        "seriesLabels": {"__name__": "pushed_total"},
        "exemplars": [
            {"labels": {"trace_id": "1"}, "value": "0.5", "timestamp": seconds(now - 5)},
            {"labels": {"trace_id": "2"}, "value": "0.25", "timestamp": seconds(now)},
        ],
    }]);
    for round in 0..2 {
        assert_eq!(find(&norn, "pushed_total or never_seen").await, Ok(pushed.clone()), "round {round}");
        let scraped = until("scraped exemplars", async || {
            let found = find(&norn, "rate(shop_seconds_bucket[5m])").await?;
            let is_whole = found.as_array().is_some_and(|series| series.len() == 2);
            if is_whole { Ok(found) } else { Err(format!("{found} {}", norn.log_text())) }
        })
        .await;
        let exemplars = |at: usize| -> &Value { &scraped[at]["exemplars"][0] };
        assert_eq!(scraped[0]["seriesLabels"]["le"], "+Inf");
        assert_eq!(exemplars(0)["labels"], json!({"trace_id": "def", "span": "1"}));
        let expected = json!({"labels": {"trace_id": "abc"}, "value": "0.7", "timestamp": 1_700_000_000.5});
        assert_eq!(scraped[1]["exemplars"], json!([expected]), "the same one again and again is one");
        let of_target = json!({"instance": target.address, "job": "shop"});
        let expected = json!([{"target": of_target, "type": "histogram", "help": "", "unit": ""}]);
        // Exemplars are there from the log on; this is there from the first scrape on.
        until("metadata of the target", async || {
            let told = norn.api().data("/api/v1/targets/metadata", &[("metric", "shop_seconds")]).await?;
            if told == expected { Ok(()) } else { Err(format!("round {round}: {told}")) }
        })
        .await;
        norn.kill();
        norn = Norn::standalone(dir.path(), port, &["--config.file=prometheus.yml"]).await;
    }
    let status = norn.api().data("/api/v1/status/tsdb", &[("limit", "1")]).await.expect("it answers");
    assert!(status["headStats"]["numSeries"].as_u64() > Some(5), "{status}");
    assert_eq!(status["labelValueCountByLabelName"][0]["name"], "__name__", "{status}");
}
