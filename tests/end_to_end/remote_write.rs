//! A real Prometheus writes to Norn.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use crate::harness::{Norn, free_ports, until};

/// The program of Debian's package.
const PROGRAM: &str = "prometheus";

/// Ends the process when the test does.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_real_prometheus_writes_its_own_metrics() {
    let installed = Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !installed {
        eprintln!("\n==== SKIPPED: remote write from a real Prometheus: the program `prometheus` is not installed ====");
        eprintln!("==== install it (Debian: apt-get install prometheus) and run the tests again ====\n");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let norn = Norn::standalone(dir.path(), free_ports(1), &[]).await;
    let own = format!("127.0.0.1:{}", free_ports(1));
    let config = format!(
        "global: {{scrape_interval: 1s, external_labels: {{sender: real}}}}\n\
         remote_write:\n  - url: http://{}/api/v1/write\n    queue_config: {{batch_send_deadline: 1s}}\n\
         scrape_configs:\n  - job_name: prometheus\n    static_configs: [{{targets: [\"{own}\"]}}]\n",
        norn.address
    );
    fs::write(dir.path().join("sender.yml"), config).expect("a file");
    let log = File::create(dir.path().join("prometheus.log")).expect("a log file");
    let child = Command::new(PROGRAM)
        .arg("--config.file=sender.yml")
        .arg("--storage.tsdb.path=prometheus-data")
        .arg(format!("--web.listen-address={own}"))
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    let _prometheus = Guard(child.expect("it starts"));
    let log_text = || fs::read_to_string(dir.path().join("prometheus.log")).unwrap_or_default();
    let api = norn.api();
    let found = until("the sender's series", async || {
        let found = api.instant("prometheus_build_info{sender=\"real\",job=\"prometheus\"}", None).await?;
        found.into_iter().next().ok_or_else(log_text)
    })
    .await;
    assert_eq!(found.1, 1.0);
    let sent = until("no sample refused", async || {
        let sent = api.instant("prometheus_remote_storage_samples_total", None).await?;
        let failed = api.instant("prometheus_remote_storage_samples_failed_total", None).await?;
        assert!(failed.iter().all(|(_, value)| *value == 0.0), "{failed:?}\n{}", log_text());
        sent.into_iter().map(|(_, value)| value).find(|value| *value > 1000.0).ok_or_else(|| "few samples".to_owned())
    })
    .await;
    assert!(sent > 1000.0);
    // What both hold must be equal: the same raw samples of one series, as far as they were sent.
    let theirs = crate::harness::Api::new(&own);
    until("equal samples on both sides", async || {
        let selector = "prometheus_remote_storage_samples_total[10m]";
        let now = crate::harness::now_ms();
        let (ours, theirs) = (api.raw(selector, now).await?, theirs.raw(selector, now).await?);
        let ours = ours.first().map(|(_, samples)| samples.clone()).unwrap_or_default();
        let theirs = theirs.first().map(|(_, samples)| samples.clone()).unwrap_or_default();
        assert!(theirs.starts_with(&ours), "ours: {ours:?}\ntheirs: {theirs:?}");
        if ours.len() >= 3 { Ok(()) } else { Err(format!("{} samples", ours.len())) }
    })
    .await;
}
