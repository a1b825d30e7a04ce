//! What a gateway's start costs with many blocks in the catalogue and an empty disk: seconds until it is ready, seconds until
//! its first answer, and memory.
//!
//! ```text
//! cargo run --release -p gateway --example cold_start -- make DIR [BLOCKS] [SERIES]
//! cargo run --release -p gateway --example cold_start -- start DIR
//! ```
//! `make` fills a directory with real blocks of two hours, of four shards; `start` starts a gateway over them in a process of
//! its own, with a control group in the same process.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use block::{BlockInput, BlockSpec, build, upload};
use cluster::{Command, Role};
use gateway::{Gateway, GatewayConfig};
use model::{BlockId, BlockMeta, BlockRange, LabelSet, Samples, ShardId, SortRange};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use promql::{Engine, EngineConfig};
use proto::connect::Connector;
use proto::store::scope::Of;
use proto::store::store_client::StoreClient;
use proto::store::{BlockScope, Scope, SelectRequest};
use service::Context;
use session::{Session, SessionConfig};
use tests::control::{CLUSTER, CONTROL_ADDRESS, MemControl};

const WINDOW_MS: i64 = 7_200_000;
const STEP_MS: i64 = 60_000;
const SHARDS: usize = 4;
/// The list of blocks, beside their objects.
const LIST: &str = "blocks.json";
const GATEWAY_ADDRESS: &str = "gateway.test:1";

type Fault = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, otherwise: usize| arguments.get(at).map_or(Ok(otherwise), |text| text.parse());
    let (Some(command), Some(dir)) = (arguments.first(), arguments.get(1)) else {
        return Err("usage: cold_start make DIR [BLOCKS] [SERIES] | start DIR".into());
    };
    std::fs::create_dir_all(dir)?;
    let dir = Path::new(dir);
    let store = LocalFileSystem::new_with_prefix(dir)?;
    match command.as_str() {
        "make" => make(dir, &store, number(2, 10_000)?, number(3, 100)?).await,
        "start" => start(dir, store).await,
        other => Err(format!("no command {other:?}").into()),
    }
}

async fn make(dir: &Path, store: &dyn ObjectStore, blocks: usize, series: usize) -> Result<(), Fault> {
    let mut metas: Vec<BlockMeta> = Vec::new();
    for number in 0..blocks {
        let (window, shard) = ((number / SHARDS) as i64, number % SHARDS);
        let range = BlockRange::new(window * WINDOW_MS, (window + 1) * WINDOW_MS);
        let spec = BlockSpec {
            id: BlockId((range.end.0 as u128) << 80 | shard as u128),
            shard: ShardId(shard as u32 + 1),
            range,
            level: 0,
            cut_index: window as u64 + 1,
            parents: Vec::new(),
            resolution_ms: 0,
            sort_range: SortRange::ALL,
            external_labels: Default::default(),
            metadata: Vec::new(),
        };
        let inputs: Vec<(LabelSet, Samples)> =
            (0..series).map(|number| (labels(shard, number), samples(number, range))).collect();
        let built = build(&spec, inputs.iter().map(|(labels, samples)| BlockInput { labels, samples }))?;
        upload(store, &built).await?;
        metas.push(built.meta);
    }
    let bytes: u64 =
        metas.iter().map(|meta| meta.series_object.size_bytes + meta.chunks_object.size_bytes).sum();
    println!("{blocks} blocks of {series} series, {bytes} bytes");
    std::fs::write(dir.join(LIST), serde_json::to_vec(&metas)?)?;
    Ok(())
}

fn labels(shard: usize, number: usize) -> LabelSet {
    let (metric, pod) = (format!("metric_{}", number % 10), format!("pod-{shard}-{}", number / 10));
    LabelSet::from_pairs([("__name__", &*metric), ("job", "cold"), ("pod", &*pod)])
}

fn samples(number: usize, range: BlockRange) -> Samples {
    let mut samples = Samples::default();
    for time_ms in (range.start.0..range.end.0).step_by(STEP_MS as usize) {
        samples.push(time_ms, (time_ms / STEP_MS * 7 + number as i64) as f64);
    }
    samples
}

async fn start(dir: &Path, store: LocalFileSystem) -> Result<(), Fault> {
    let metas: Vec<BlockMeta> = serde_json::from_slice(&std::fs::read(dir.join(LIST))?)?;
    let connector = Connector::default();
    let control = MemControl::start(&connector);
    for meta in &metas {
        control.apply(Command::PublishBlock { meta: Box::new(meta.clone()) });
    }
    let cache = tempfile::tempdir()?;
    println!("{} blocks in the catalogue, {}", metas.len(), memory()?);

    let began = Instant::now();
    let objects: Arc<dyn ObjectStore> = Arc::new(store);
    let context = Context::new("gateway");
    let session = Session::new(
        SessionConfig {
            cluster: CLUSTER.to_owned(),
            seeds: vec![CONTROL_ADDRESS.to_owned()],
            role: Role::Gateway,
            name: "cold".to_owned(),
            zone: String::new(),
            grpc_address: GATEWAY_ADDRESS.to_owned(),
            http_address: String::new(),
            disk_id: None,
        },
        connector.clone(),
    );
    context.spawn("session", Arc::clone(&session).run(context.shutdown()));
    let config = GatewayConfig { cache_dir: Some(cache.path().to_owned()), ..GatewayConfig::default() };
    let engine = Engine::new(EngineConfig::default());
    let gateway = Gateway::build(config, &context, Arc::clone(&session), objects, engine).await?;
    connector.serve_in_process(GATEWAY_ADDRESS, gateway.grpc_routes());
    gateway.start();
    session.wait_joined().await;
    println!("ready after {:.2?}, {}", began.elapsed(), memory()?);

    let client = StoreClient::new(connector.channel(GATEWAY_ADDRESS)?);
    for (which, meta) in [("oldest", metas.first()), ("newest", metas.last())] {
        let asked = Instant::now();
        let series = select(client.clone(), meta.ok_or("no blocks")?).await?;
        println!("{series} series of the {which} block in {:.2?}, {}", asked.elapsed(), memory()?);
    }
    let entries = || walk(cache.path());
    let mut before = 0;
    while entries()? > before {
        before = entries()?;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    println!("{before} files fetched ahead after {:.2?}, {}", began.elapsed(), memory()?);
    context.stop(Duration::from_secs(10)).await;
    Ok(())
}

async fn select(mut client: StoreClient<proto::connect::Channel>, meta: &BlockMeta) -> Result<usize, Fault> {
    let scope =
        Scope { catalogue_version: 0, of: Some(Of::Blocks(BlockScope { ids: vec![meta.id.to_string()] })) };
    let request =
        SelectRequest { scope: Some(scope), start_ms: 0, end_ms: i64::MAX, ..SelectRequest::default() };
    let mut frames = client.select(request).await?.into_inner();
    let mut series = 0;
    while let Some(frame) = frames.message().await? {
        series += frame.labels_sizes.len();
    }
    Ok(series)
}

/// Returns how many files lie in the folders of a directory.
fn walk(dir: &Path) -> std::io::Result<usize> {
    std::fs::read_dir(dir)?.map(|folder| Ok(std::fs::read_dir(folder?.path())?.count())).sum()
}

fn memory() -> std::io::Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown");
        line.trim_start_matches(':').trim().to_owned()
    };
    Ok(format!("resident {} (peak {})", line("VmRSS"), line("VmHWM")))
}
