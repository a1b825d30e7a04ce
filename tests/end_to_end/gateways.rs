//! Two gateways own every block: `kill -9` of either, while queries run, fails none of them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;

use crate::harness::{Api, LocalCluster, Norn, Sample, free_ports, now_ms, series, until};

const WINDOW_MS: i64 = 20_000;
const WINDOWS: i64 = 5;
const SERIES: i64 = 30;
/// Queries that run at the same time.
const CLIENTS: usize = 4;
/// Queries that must be answered between two events.
const ANSWERS_BETWEEN: u64 = 40;

fn samples(start: i64, number: i64) -> Vec<Sample> {
    (0..WINDOWS * WINDOW_MS / 500).map(|i| (start + i * 500, number as f64 + i as f64 * 0.1)).collect()
}

/// Starts another gateway with the configuration of the cluster's, under a name, directory and ports of its own.
async fn second_gateway(dir: &Path, cluster: &LocalCluster) -> Norn {
    let first = cluster.node("gateway");
    let ports = free_ports(2);
    let http = format!("127.0.0.1:{}", ports + 1);
    let data = dir.join("data/cluster");
    let text = std::fs::read_to_string(data.join("gateway/norn.yml")).expect("the launcher wrote it");
    let text = text
        .replace(&first.grpc, &format!("127.0.0.1:{ports}"))
        .replace(&first.http, &http)
        .replace("/cluster/gateway/", "/cluster/gateway-1/")
        .replace("name: gateway\n", "name: gateway-1\n");
    std::fs::create_dir_all(data.join("gateway-1")).expect("a directory");
    let file = data.join("gateway-1/norn.yml");
    std::fs::write(&file, text).expect("a file");
    let arguments = ["gateway".to_owned(), format!("--config.file={}", file.display())];
    let mut gateway = Norn::start(dir, "gateway-1", &http, &arguments);
    gateway.ready().await;
    gateway
}

/// Returns how many requests a gateway answered.
async fn requests(gateway: &Api) -> Result<f64, String> {
    let (_, text) = gateway.get("/metrics").await?;
    let lines = text.lines().filter(|line| line.starts_with("norn_gateway_requests_total{"));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// Asks for everything that was written, from samples and as a part that gateways evaluate, and checks the answers.
async fn check(api: &Api, start: i64) {
    let end = start + WINDOWS * WINDOW_MS;
    let found = api.raw("replicated[10m]", end).await.expect("no query fails");
    assert_eq!(found.len(), SERIES as usize);
    for (labels, found) in found {
        let number = labels["number"].parse().expect("a number");
        assert_eq!(found, samples(start, number));
    }
    let rate = api.range("sum(rate(replicated[5s]))", start + 10_000, end - 1000, 1000).await;
    let rate = rate.expect("no query fails");
    assert!(rate[0].1.iter().all(|(_, value)| (value - 0.2 * SERIES as f64).abs() < 1e-6), "{rate:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_a_gateway_fails_no_query() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("empty.yml"), "scrape_configs: []\n").expect("a file");
    let flags = ["--config.file=empty.yml", "--storage.block-duration=20s"].map(str::to_owned);
    let mut cluster = LocalCluster::start(dir.path(), &flags).await;
    let mut second = second_gateway(dir.path(), &cluster).await;
    let start = (now_ms() - WINDOWS * WINDOW_MS) / WINDOW_MS * WINDOW_MS;
    for window in 0..WINDOWS {
        let of_window = |number: i64| -> Vec<Sample> {
            let within = |(time, _): &Sample| (time - start) / WINDOW_MS == window;
            samples(start, number).into_iter().filter(within).collect()
        };
        let one = |number: i64| series("replicated", &[("number", &number.to_string())], of_window(number));
        let request: Vec<_> = (0..SERIES).map(one).collect();
        cluster.remote("ingester-0").write(&request).await.expect("acknowledged");
    }
    let (api, gateway) = (cluster.api(), Api::new(&cluster.node("gateway").http));
    until("requests at both gateways", async || {
        check(&api, start).await;
        let counts = (requests(&gateway).await?, requests(&second.api()).await?);
        if counts.0 > 5.0 && counts.1 > 5.0 { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await;

    let answers = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (api, answers) = (api.clone(), answers.clone());
        clients.spawn(async move {
            loop {
                check(&api, start).await;
                answers.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let more = async |clients: &mut JoinSet<()>| {
        let goal = answers.load(Ordering::Relaxed) + ANSWERS_BETWEEN;
        until("answers", async || {
            if let Some(ended) = clients.try_join_next() {
                ended.expect("no query fails");
            }
            let now = answers.load(Ordering::Relaxed);
            if now >= goal { Ok(()) } else { Err(format!("{now} of {goal}")) }
        })
        .await;
    };
    more(&mut clients).await;
    second.kill();
    more(&mut clients).await;
    let mut second = second_gateway(dir.path(), &cluster).await;
    more(&mut clients).await;
    cluster.kill("gateway").await;
    more(&mut clients).await;
    assert!(second.runs() && requests(&second.api()).await.expect("it answers") > 0.0);
    clients.shutdown().await;
}
