//! `norn cluster` as a launcher: it starts, tells, and takes everything down with it.

use std::fs;
use std::path::Path;

use crate::harness::{LocalCluster, Norn, Sample, free_ports, now_ms, series, until};

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn scrapes_itself_and_stops_all_at_ctrl_c() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut cluster = LocalCluster::start(dir.path(), &[]).await;
    let api = cluster.api();
    until("every process to be scraped", async || {
        let up = api.instant("up{job=\"norn\"} == 1", None).await?;
        if up.len() == 9 { Ok(()) } else { Err(format!("{up:?}")) }
    })
    .await;
    let roles: Vec<&str> = cluster.nodes.iter().map(|node| node.role.as_str()).collect();
    let ingesters = ["ingester"; 3];
    assert_eq!(roles[..3], ingesters, "{roles:?}");
    assert_eq!(roles[3..], ["scraper", "scraper", "querier", "gateway", "compactor", "ruler"]);
    let pids: Vec<u32> = cluster.nodes.iter().map(|node| node.pid).collect();
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    cluster.launcher().signal("INT");
    let status = cluster.launcher().ended().await;
    assert_eq!(status.code(), Some(0));
    let text = cluster.launcher().log_text();
    assert!(text.ends_with("SIGINT: stopping\nstopped\n"), "{text}");
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "{text}");
}

#[tokio::test]
async fn kill_9_of_the_launcher_leaves_no_process_and_all_data() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = free_ports(19);
    let mut cluster = LocalCluster::start_at(dir.path(), first, &[]).await;
    let time = now_ms() - 60_000;
    let samples: Vec<Sample> = (0..60).map(|i| (time + i * 1000, i as f64)).collect();
    let sent: Vec<_> = ["a", "b", "c", "d", "e", "f"].map(|name| series(name, &[], samples.clone())).into();
    cluster.remote("ingester-2").write(&sent).await.expect("acknowledged");
    cluster.launcher().kill();
    let pids: Vec<u32> = cluster.nodes.iter().map(|node| node.pid).collect();
    until("the end of all processes", async || {
        let left: Vec<&u32> = pids.iter().filter(|pid| is_alive(**pid)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    let moved = format!("--cluster.base-port={}", free_ports(18));
    let listen = format!("--web.listen-address=127.0.0.1:{}", free_ports(1));
    let refusal = Norn::refuses(dir.path(), &["cluster", "--data.dir=data", &listen, &moved]).text;
    let kept = format!("was started with --cluster.base-port {}: give the same one", first + 1);
    assert!(refusal.contains(&kept), "{refusal}");
    fs::remove_file(dir.path().join("launcher.log")).expect("the first launcher wrote it");
    let cluster = LocalCluster::start_at(dir.path(), first, &[]).await;
    let selector = "{__name__=~\"[a-f]\"}[5m]";
    let found = until("an answer", async || cluster.api().raw(selector, now_ms()).await).await;
    assert_eq!(found.len(), sent.len());
    assert!(found.iter().all(|(_, found)| *found == samples), "{found:?}");
}

#[tokio::test]
async fn a_process_that_cannot_start_ends_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(dir.path().join("data/cluster/gateway")).expect("a directory");
    fs::write(dir.path().join("data/cluster/gateway/data"), "in the way").expect("a file");
    let first = free_ports(19);
    let (listen, base) =
        (format!("--web.listen-address=127.0.0.1:{first}"), format!("--cluster.base-port={}", first + 1));
    let refusal = Norn::refuses(dir.path(), &["cluster", "--data.dir=data", &listen, &base]);
    assert_eq!(refusal.code, Some(1), "{}", refusal.text);
    let line = refusal.text.trim_end();
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(
        line.starts_with("norn: gateway (pid ")
            && line.contains("ended with exit code 2 before it was ready"),
        "{line}"
    );
    assert!(line.contains("--data.dir"), "the reason should stand in the line: {line}");
}
