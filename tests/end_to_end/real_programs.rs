//! Norn beside the programs that its users run: a real Prometheus that writes to it, a real exporter that it scrapes.
//!
//! They come from Debian's packages; a test whose program is not installed says so loudly and checks nothing.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::{Norn, free_ports, until};

/// A program that runs as long as this lives.
pub(crate) struct Guard(Child);

impl Guard {
    /// Starts a program with its log in `<dir>/<program>.log`; `None`, said loudly, when it is not installed.
    pub(crate) fn start(program: &str, arguments: &[&str], dir: &Path) -> Option<Self> {
        let name = Path::new(program).file_name().expect("a program has a name").display();
        let log = File::create(dir.join(format!("{name}.log"))).expect("a log file");
        let started =
            Command::new(program).args(arguments).current_dir(dir).stdout(Stdio::null()).stderr(log).spawn();
        match started {
            Ok(child) => Some(Self(child)),
            Err(error) => {
                eprintln!("\n==== SKIPPED: {program} cannot be started: {error} ====");
                eprintln!(
                    "==== install it (Debian: apt-get install {program}) and run the tests again ====\n"
                );
                None
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_real_prometheus_writes_its_own_metrics() {
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
    let listen = format!("--web.listen-address={own}");
    let arguments = ["--config.file=sender.yml", "--storage.tsdb.path=prometheus-data", &listen];
    let Some(_prometheus) = Guard::start("prometheus", &arguments, dir.path()) else { return };
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
        sent.into_iter()
            .map(|(_, value)| value)
            .find(|value| *value > 1000.0)
            .ok_or_else(|| "few samples".to_owned())
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

#[tokio::test]
async fn a_real_node_exporter_is_scraped() {
    let dir = tempfile::tempdir().expect("a directory");
    let address = format!("127.0.0.1:{}", free_ports(1));
    let listen = format!("--web.listen-address={address}");
    let Some(_exporter) = Guard::start("prometheus-node-exporter", &[&listen], dir.path()) else { return };
    let config = format!(
        "scrape_configs:\n  - job_name: node\n    scrape_interval: 1s\n    static_configs: [{{targets: [\"{address}\"]}}]\n"
    );
    fs::write(dir.path().join("prometheus.yml"), config).expect("a file");
    let norn = Norn::standalone(dir.path(), free_ports(1), &["--config.file=prometheus.yml"]).await;
    let api = norn.api();
    let found = until("the machine's memory", async || {
        let found = api.instant("node_memory_MemTotal_bytes{job=\"node\"}", None).await?;
        found.into_iter().next().ok_or_else(|| norn.log_text())
    })
    .await;
    assert_eq!(found.0.get("instance"), Some(&address));
    assert!(found.1 > 1e6, "{found:?}");
    let idle = until("a rate", async || {
        let query = "sum by (mode) (rate(node_cpu_seconds_total{mode=\"idle\"}[1m]))";
        api.instant(query, None).await?.into_iter().next().ok_or_else(|| "no two scrapes yet".to_owned())
    })
    .await;
    assert!(idle.1 >= 0.0, "{idle:?}");
    let metadata =
        api.data("/api/v1/metadata", &[("metric", "node_memory_MemTotal_bytes")]).await.expect("it answers");
    assert_eq!(metadata["node_memory_MemTotal_bytes"][0]["type"], "gauge", "{metadata}");
}
