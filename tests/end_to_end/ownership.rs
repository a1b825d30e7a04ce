//! Each target is scraped by exactly one scraper, also after one dies.

use std::collections::BTreeSet;
use std::fs;

use crate::harness::{Api, LocalCluster, Sample, Target, now_ms, until};

/// Enough that each scraper surely owns some.
const TARGETS: usize = 12;
/// How often each is scraped before the look: two scrapers would do that in half the intervals, and be seen.
const SCRAPES: usize = 14;
/// The interval of the test's configuration.
const INTERVAL_MS: i64 = 1000;

/// Returns the samples of `asked_total` of each target, by instance.
async fn asked(api: &Api) -> Result<Vec<(String, Vec<Sample>)>, String> {
    let found = api.raw("asked_total[5m]", now_ms() + 1000).await?;
    Ok(found.into_iter().map(|(labels, samples)| (labels["instance"].clone(), samples)).collect())
}

#[tokio::test]
async fn each_target_is_scraped_by_exactly_one_scraper() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut targets = Vec::new();
    for _ in 0..TARGETS {
        targets.push(Target::start("").await);
    }
    let addresses: Vec<String> = targets.iter().map(|target| format!("\"{}\"", target.address)).collect();
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: app\n    static_configs: [{{targets: [{}]}}]\n",
        addresses.join(", ")
    );
    fs::write(dir.path().join("prometheus.yml"), config).expect("a file");
    let file = format!("--config.file={}", dir.path().join("prometheus.yml").display());
    let mut cluster = LocalCluster::start(dir.path(), &[file]).await;
    let api = cluster.api();
    let enough = |samples: &[Sample]| samples.len() >= SCRAPES;
    let found = until("several scrapes of each target", async || {
        let found = asked(&api).await?;
        let ready = found.len() == TARGETS && found.iter().all(|(_, samples)| enough(samples));
        if ready { Ok(found) } else { Err(format!("{} series", found.len())) }
    })
    .await;
    for (instance, samples) in &found {
        // Somebody who asks without appending would make the stored counter skip a value.
        let skips = samples.windows(2).any(|pair| pair[1].1 != pair[0].1 + 1.0);
        assert!(!skips, "{instance} was asked by somebody else: {samples:?}");
        // Two who append would store two samples an interval. One may be late and make up for it, once at each end of
        // the span, and targets may change hands while the scrapers join.
        let intervals = (samples[samples.len() - 1].0 - samples[0].0) / INTERVAL_MS;
        assert!(samples.len() as i64 <= intervals + 4, "{instance} is scraped too often: {samples:?}");
    }
    let data = api.data("/api/v1/targets", &[]).await.expect("it answers");
    let listed: Vec<&str> = data["activeTargets"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|target| target["scrapeUrl"].as_str())
        .collect();
    assert_eq!(listed.len(), TARGETS, "{data}");
    assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), TARGETS, "{data}");
    cluster.kill("scraper-0").await;
    let counts: Vec<u64> = targets.iter().map(Target::asked).collect();
    until("the other scraper to take over all targets", async || {
        let behind =
            targets.iter().zip(&counts).filter(|(target, before)| target.asked() < **before + 3).count();
        if behind == 0 { Ok(()) } else { Err(format!("{behind} targets are not scraped")) }
    })
    .await;
    assert!(targets.iter().all(|target| target.asked() > 0));
}
