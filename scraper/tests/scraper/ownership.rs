//! Several scrapers: each target has one owner, and a change of owners leaves no markers.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::target::{HttpTarget, Page};
use crate::support::{Cluster, Record, Running};

/// Their ports are random, so their owners are: with so many, each of two scrapers surely has some.
const TARGETS: usize = 32;

async fn targets() -> (Vec<HttpTarget>, String) {
    let mut all = Vec::new();
    for _ in 0..TARGETS {
        all.push(HttpTarget::start(Page::text("m 1\n")).await);
    }
    let addresses: Vec<String> = all.iter().map(|target| format!("'{}'", target.address)).collect();
    let config = format!(
        "scrape_configs: [{{job_name: node, scrape_interval: 1s, static_configs: [{{targets: [{}]}}]}}]",
        addresses.join(", ")
    );
    (all, config)
}

/// Reads records until each target was written by its present owner, and returns the owners.
async fn owners_settle(cluster: &Cluster, expected: &BTreeSet<u64>) -> (BTreeMap<String, u64>, Vec<Record>) {
    let mut owners: BTreeMap<String, u64> = BTreeMap::new();
    let mut seen = Vec::new();
    loop {
        let record = cluster.next().await;
        if record.series.starts_with("up{") {
            owners.insert(record.series.clone(), record.node);
        }
        seen.push(record);
        let present: BTreeSet<u64> = owners.values().copied().collect();
        if owners.len() == TARGETS && present == *expected {
            return (owners, seen);
        }
    }
}

async fn urls(cluster: &Cluster, running: &Running) -> BTreeSet<String> {
    cluster.targets(running).await.active.into_iter().map(|target| target.scrape_url).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_are_shared_and_handed_over_without_markers() {
    let cluster = Cluster::start();
    let (all, config) = targets().await;
    let first = cluster.scraper("scraper-0", &config).await;
    let (_, mut seen) = owners_settle(&cluster, &BTreeSet::from([first.node])).await;

    let second = cluster.scraper("scraper-1", &config).await;
    let (_, more) = owners_settle(&cluster, &BTreeSet::from([first.node, second.node])).await;
    seen.extend(more);
    let (one, two) = (urls(&cluster, &first).await, urls(&cluster, &second).await);
    assert!(one.is_disjoint(&two), "{one:?} {two:?}");
    let expected: BTreeSet<String> =
        all.iter().map(|target| format!("http://{}/metrics", target.address)).collect();
    assert_eq!(one.union(&two).cloned().collect::<BTreeSet<_>>(), expected);

    // The first one dies without a word; the control group notices.
    cluster.expire(first.node);
    drop(first.scraper);
    let (_, more) = owners_settle(&cluster, &BTreeSet::from([second.node])).await;
    seen.extend(more);
    assert_eq!(urls(&cluster, &second).await, expected);
    let marked: Vec<&Record> = seen.iter().filter(|record| record.is_stale()).collect();
    assert!(marked.is_empty(), "a hand-over writes no marker: {marked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_lease_nothing_is_scraped() {
    let cluster = Cluster::start();
    let (_all, config) = targets().await;
    cluster.fail_heartbeats();
    let running = cluster.scraper("scraper-0", &config).await;
    // The lease lapses within a second, and no heartbeat renews it.
    let reason = "scraper membership: no live membership, nothing is scraped".to_owned();
    while running.context.ready() != Err(vec![reason.clone()]) {
        tokio::task::yield_now().await;
    }
    assert_eq!(urls(&cluster, &running).await, BTreeSet::new());
    running.context.stop(std::time::Duration::from_secs(60)).await;
}
