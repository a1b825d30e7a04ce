//! S3 as the object store, over real HTTP with real signatures.

use std::fs;

use tests::s3::MemS3;

use crate::harness::{Norn, Remote, Sample, free_ports, now_ms, series, until};

#[tokio::test]
async fn blocks_go_to_s3_and_come_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let s3 = MemS3::start().expect("a free port");
    fs::write(dir.path().join("s3.yml"), s3.thanos_yaml("norn")).expect("a file");
    let flags = ["--storage.block-duration=10s", "--objstore.config-file=s3.yml"];
    let port = free_ports(1);
    let mut norn = Norn::standalone(dir.path(), port, &flags).await;
    let start = (now_ms() - 60_000) / 10_000 * 10_000;
    let samples: Vec<Sample> = (0..120).map(|i| (start + i * 500, f64::from(i as i32).sqrt())).collect();
    let check = async |norn: &Norn, when: &str| {
        let found = norn.api().raw("bucketed[10m]", now_ms()).await.expect("it answers");
        assert_eq!(found.len(), 1, "{when}");
        assert_eq!(found[0].1, samples, "{when}");
    };
    s3.faults().slow_down();
    let remote = Remote::new(&norn.address);
    remote.write(&[series("bucketed", &[], samples.clone())]).await.expect("acknowledged without the bucket");
    until("attempts to upload", async || match s3.counters().slowed {
        5.. => Ok(()),
        fewer => Err(format!("{fewer} attempts\n{}", norn.log_text())),
    })
    .await;
    check(&norn, "while the bucket is away").await;
    s3.faults().clear();
    s3.faults().drop_after_put_next(2);
    let blocks = || s3.keys().into_iter().filter(|key| key.ends_with("series.parquet")).count();
    until("blocks in the bucket", async || match blocks() {
        3.. => Ok(()),
        fewer => Err(format!("{fewer} blocks: {:?}\n{}", s3.keys(), norn.log_text())),
    })
    .await;
    assert_eq!(s3.counters().dropped, 2);
    assert!(s3.keys().iter().all(|key| key.starts_with("norn/")), "{:?}", s3.keys());
    check(&norn, "from blocks and head").await;
    norn.kill();
    norn = Norn::standalone(dir.path(), port, &flags).await;
    check(&norn, "after kill -9").await;
    assert_eq!(s3.counters().list, 0, "nothing needs to list the bucket");
}

/// The sum of a metric over its labels, as the process exports it.
async fn exported(norn: &Norn, name: &str) -> Result<f64, String> {
    let (_, text) = norn.api().get("/metrics").await?;
    let is_it = |line: &&str| line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} "));
    let values = text.lines().filter(is_it).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(values.sum())
}

#[tokio::test]
async fn a_day_of_windows_waits_in_the_head_while_the_bucket_is_away() {
    const WINDOWS: i64 = 12;
    let dir = tempfile::tempdir().expect("a directory");
    let s3 = MemS3::start().expect("a free port");
    fs::write(dir.path().join("s3.yml"), s3.thanos_yaml("norn")).expect("a file");
    let flags = ["--storage.block-duration=10s", "--objstore.config-file=s3.yml"];
    let norn = Norn::standalone(dir.path(), free_ports(1), &flags).await;
    let start = (now_ms() - WINDOWS * 10_000) / 10_000 * 10_000;
    s3.faults().slow_down();
    let remote = Remote::new(&norn.address);
    let mut written: Vec<Sample> = Vec::new();
    for window in 0..WINDOWS {
        let times = (0..20).map(|i| start + window * 10_000 + i * 500);
        let samples: Vec<Sample> = times.map(|time| (time, (time % 977) as f64 * 0.1)).collect();
        remote
            .write(&[series("waiting", &[], samples.clone())])
            .await
            .expect("acknowledged without the bucket");
        written.extend(samples);
    }
    let all = async |when: &str| {
        let found = norn.api().raw("waiting[20m]", now_ms()).await.expect("it answers");
        assert_eq!((found.len(), &found[0].1), (1, &written), "{when}");
    };
    until("a cut that failed, by name", async || {
        match exported(&norn, "norn_ingester_block_cut_failures_total").await? {
            0.0 => Err(norn.log_text()),
            _ => Ok(()),
        }
    })
    .await;
    all("while the bucket is away").await;
    let held = exported(&norn, "norn_ingester_shard_samples").await.expect("it answers");
    assert!(held >= written.len() as f64, "{held} of {} samples are in heads", written.len());
    assert!(!s3.keys().iter().any(|key| key.contains("/b/")), "{:?}", s3.keys());
    s3.faults().clear();
    let blocks = || s3.keys().into_iter().filter(|key| key.ends_with("series.parquet")).count() as i64;
    until("all windows but the last two in the bucket", async || match blocks() {
        count if count >= WINDOWS - 2 => Ok(()),
        count => Err(format!("{count} blocks\n{}", norn.log_text())),
    })
    .await;
    all("once they are in blocks").await;
}
