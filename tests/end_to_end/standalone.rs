//! `norn standalone` as a user meets it first: it scrapes itself, scrapes targets, keeps data over a restart.

use std::fs;

use crate::harness::{Norn, Remote, Target, free_ports, now_ms, series, until};

#[tokio::test]
async fn scrapes_itself_and_answers() {
    let dir = tempfile::tempdir().expect("a directory");
    let norn = Norn::standalone(dir.path(), free_ports(1), &[]).await;
    let api = norn.api();
    let own = until("its own metrics", async || {
        let found = api.instant("up{job=\"norn\"}", None).await?;
        found.into_iter().next().ok_or_else(|| norn.log_text())
    })
    .await;
    assert_eq!(own.0.get("instance").map(String::as_str), Some(norn.address.as_str()));
    assert_eq!(own.1, 1.0);
    let memory = api.instant("process_resident_memory_bytes{job=\"norn\"} > 1e6", None).await;
    assert_eq!(memory.expect("it answers").len(), 1);
    let data = api.data("/api/v1/targets", &[]).await.expect("it answers");
    let active = data["activeTargets"].as_array().expect("a list");
    assert_eq!(active.len(), 1, "{data}");
    assert_eq!(active[0]["health"], "up", "{data}");
    let version = api.data("/api/v1/status/buildinfo", &[]).await.expect("it answers");
    assert!(version["version"].is_string(), "{version}");
}

#[tokio::test]
async fn scrapes_targets_with_relabeling() {
    let dir = tempfile::tempdir().expect("a directory");
    let text = "# TYPE shelf_items gauge\nshelf_items{shelf=\"top\",color=\"red\"} 3\nshelf_items{shelf=\"low\",color=\"blue\"} 4\n";
    let (first, second) = (Target::start(text).await, Target::start(text).await);
    let config = format!(
        r#"
global:
  scrape_interval: 1s
  external_labels: {{cluster: shop}}
scrape_configs:
  - job_name: shop
    static_configs:
      - targets: ["{}"]
        labels: {{site: north}}
      - targets: ["{}"]
        labels: {{site: south}}
    relabel_configs:
      - source_labels: [site]
        regex: (.)(.*)
        target_label: region
        replacement: $2-$1
      - {{action: labeldrop, regex: site}}
    metric_relabel_configs:
      - {{source_labels: [color], regex: blue, action: drop}}
      - {{source_labels: [__name__], regex: shelf_items, target_label: __name__, replacement: items}}
"#,
        first.address, second.address
    );
    fs::write(dir.path().join("prometheus.yml"), config).expect("a file");
    let norn = Norn::standalone(dir.path(), free_ports(1), &["--config.file=prometheus.yml"]).await;
    let api = norn.api();
    let mut found = until("both targets", async || {
        let found = api.instant("items", None).await?;
        if found.len() == 2 { Ok(found) } else { Err(format!("{found:?}\n{}", norn.log_text())) }
    })
    .await;
    found.sort_by(|a, b| a.0["region"].cmp(&b.0["region"]));
    for ((labels, value), (region, target)) in found.iter().zip([("orth-n", &first), ("outh-s", &second)]) {
        let expected = [
            ("__name__", "items"),
            ("cluster", "shop"),
            ("color", "red"),
            ("instance", target.address.as_str()),
            ("job", "shop"),
            ("region", region),
            ("shelf", "top"),
        ];
        let expected =
            expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!((labels, *value), (&expected, 3.0));
    }
    assert_eq!(api.instant("shelf_items", None).await.expect("it answers"), []);
}

#[tokio::test]
async fn keeps_acknowledged_samples_over_kill_9() {
    let dir = tempfile::tempdir().expect("a directory");
    let port = free_ports(1);
    let mut norn = Norn::standalone(dir.path(), port, &[]).await;
    let start = now_ms() - 600_000;
    let samples: Vec<(i64, f64)> = (0..500).map(|i| (start + i * 1000, i as f64 / 8.0)).collect();
    let sent = series("kept", &[("kind", "all")], samples.clone());
    Remote::new(&norn.address).write(&[sent]).await.expect("acknowledged");
    for round in 0..2 {
        norn.kill();
        norn = Norn::standalone(dir.path(), port, &[]).await;
        let found = norn.api().raw("kept[30m]", now_ms()).await.expect("it answers");
        assert_eq!(found.len(), 1, "round {round}");
        assert_eq!(found[0].1, samples, "round {round}");
    }
}

#[tokio::test]
async fn stops_gracefully_at_sigterm() {
    let dir = tempfile::tempdir().expect("a directory");
    let port = free_ports(1);
    let mut norn = Norn::standalone(dir.path(), port, &[]).await;
    norn.signal("TERM");
    let status = norn.ended().await;
    assert_eq!(status.code(), Some(0), "{}", norn.log_text());
    assert!(norn.log_text().contains("msg=stopped"), "{}", norn.log_text());
    assert!(!norn.log_text().contains("did not stop in time"), "{}", norn.log_text());
    Norn::standalone(dir.path(), port, &[]).await;
}
