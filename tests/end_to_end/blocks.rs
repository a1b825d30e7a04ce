//! From head to block: a query must not notice.

use std::fs;
use std::path::Path;

use crate::harness::{Norn, Remote, Sample, free_ports, now_ms, series, until};

/// A window of the test's cluster.
const WINDOW_MS: i64 = 20_000;
/// How many windows are written.
const WINDOWS: i64 = 6;

/// Returns how many files named `series.parquet` lie below a directory.
pub(crate) fn blocks_below(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let count = |entry: fs::DirEntry| {
        let path = entry.path();
        if path.is_dir() { blocks_below(&path) } else { usize::from(path.ends_with("series.parquet")) }
    };
    entries.filter_map(Result::ok).map(count).sum()
}

#[tokio::test]
async fn the_seam_between_head_and_blocks_never_shows() {
    let dir = tempfile::tempdir().expect("a directory");
    let port = free_ports(1);
    let flags = ["--storage.block-duration=20s"];
    let mut norn = Norn::standalone(dir.path(), port, &flags).await;
    let start = (now_ms() - WINDOWS * WINDOW_MS) / WINDOW_MS * WINDOW_MS;
    let samples = |offset: f64| -> Vec<Sample> {
        (0..WINDOWS * WINDOW_MS / 500).map(|i| (start + i * 500, offset + i as f64 * 0.1)).collect()
    };
    let sent = [("a", samples(0.0)), ("b", samples(1e9))];
    let end = start + WINDOWS * WINDOW_MS;
    let remote = Remote::new(&norn.address);
    // Window by window, as time would bring them: a window is cut when samples past it have come.
    for window in 0..WINDOWS {
        let within = |(time, _): &&Sample| (time - start) / WINDOW_MS == window;
        let part = |name: &str, all: &[Sample]| {
            series("seam", &[("name", name)], all.iter().filter(within).copied().collect())
        };
        let request: Vec<_> = sent.iter().map(|(name, all)| part(name, all)).collect();
        remote.write(&request).await.expect("acknowledged");
    }
    let check = async |api: &crate::harness::Api| {
        let found = api.raw("seam[10m]", end).await?;
        let found: Vec<(&str, &Vec<Sample>)> =
            found.iter().map(|(labels, samples)| (labels["name"].as_str(), samples)).collect();
        let expected: Vec<(&str, &Vec<Sample>)> =
            sent.iter().map(|(name, samples)| (*name, samples)).collect();
        // An answer that is not complete is a fault at any moment, so this fails at once and does not look again.
        assert_eq!(found, expected, "with {} blocks", blocks_below(&dir.path().join("data/objects")));
        Ok::<(), String>(())
    };
    let api = norn.api();
    // Every look is a query while windows are being cut, published and dropped.
    until("blocks in the object store", async || {
        check(&api).await?;
        match blocks_below(&dir.path().join("data/objects")) {
            3.. => Ok(()),
            fewer => Err(format!("{fewer} blocks; {}", norn.log_text())),
        }
    })
    .await;
    let rate = api.range("sum(rate(seam[5s]))", start + 10_000, end - 1000, 1000).await.expect("it answers");
    assert_eq!(rate.len(), 1);
    assert!(rate[0].1.iter().all(|(_, value)| (value - 0.4).abs() < 1e-6), "{rate:?}");
    norn.kill();
    norn = Norn::standalone(dir.path(), port, &flags).await;
    check(&norn.api()).await.expect("it answers");
}
