//! Recording rules arrive as series.

use std::fs;

use crate::harness::{Norn, Target, free_ports, until};

#[tokio::test]
async fn a_recording_rule_arrives() {
    let dir = tempfile::tempdir().expect("a directory");
    let target = Target::start("# TYPE load gauge\nload{cpu=\"0\"} 2\nload{cpu=\"1\"} 5\n").await;
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules/*.yml]\n\
         scrape_configs:\n  - job_name: app\n    static_configs: [{{targets: [\"{}\"]}}]\n",
        target.address
    );
    let rules = "groups:\n  - name: load\n    rules:\n      - record: job:load:sum\n        expr: sum by (job) (load)\n        \
                 labels: {origin: rule}\n";
    fs::create_dir(dir.path().join("rules")).expect("a directory");
    fs::write(dir.path().join("prometheus.yml"), config).expect("a file");
    fs::write(dir.path().join("rules/load.yml"), rules).expect("a file");
    let norn = Norn::standalone(dir.path(), free_ports(1), &["--config.file=prometheus.yml"]).await;
    let api = norn.api();
    let (labels, value) = until("the recorded series", async || {
        let found = api.instant("job:load:sum", None).await?;
        found.into_iter().next().ok_or_else(|| norn.log_text())
    })
    .await;
    assert_eq!(value, 7.0);
    assert_eq!(labels.get("origin").map(String::as_str), Some("rule"));
    assert_eq!(labels.get("job").map(String::as_str), Some("app"));
}
