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
    let remote = Remote::new(&norn.address);
    remote.write(&[series("bucketed", &[], samples.clone())]).await.expect("acknowledged");
    let blocks = || s3.keys().into_iter().filter(|key| key.ends_with("series.parquet")).count();
    until("blocks in the bucket", async || match blocks() {
        3.. => Ok(()),
        fewer => Err(format!("{fewer} blocks: {:?}\n{}", s3.keys(), norn.log_text())),
    })
    .await;
    assert!(s3.keys().iter().all(|key| key.starts_with("norn/")), "{:?}", s3.keys());
    for round in ["running", "after kill -9"] {
        let found = norn.api().raw("bucketed[10m]", now_ms()).await.expect("it answers");
        assert_eq!(found.len(), 1, "{round}");
        assert_eq!(found[0].1, samples, "{round}");
        norn.kill();
        norn = Norn::standalone(dir.path(), port, &flags).await;
    }
}
