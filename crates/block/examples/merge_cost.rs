//! What a merge costs: seconds, bytes, and the most memory the process ever held.
//!
//! ```text
//! cargo run --release -p block --example merge_cost -- make DIR [SERIES] [BLOCKS]
//! cargo run --release -p block --example merge_cost -- merge DIR
//! ```
//! `make` fills a directory with blocks of two hours at 15 s, one process; `merge` merges them, another, so that its memory is
//! that of the merge alone. A day of 100,000 series is `make DIR 100000 12`.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use block::{BlockInput, BlockReader, BlockSpec, EraseNothing, ObjectStoreReader, build, merge, upload};
use model::{BlockId, BlockMeta, BlockRange, LabelSet, Samples, ShardId};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

const WINDOW_MS: i64 = 7_200_000;
const STEP_MS: i64 = 15_000;
/// The list of blocks, beside their objects.
const LIST: &str = "blocks.json";

type Fault = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, otherwise: usize| arguments.get(at).map_or(Ok(otherwise), |text| text.parse());
    let (Some(command), Some(dir)) = (arguments.first(), arguments.get(1)) else {
        return Err("usage: merge_cost make DIR [SERIES] [BLOCKS] | merge DIR".into());
    };
    std::fs::create_dir_all(dir)?;
    let dir = Path::new(dir);
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(dir)?);
    match command.as_str() {
        "make" => make(dir, &*store, number(2, 10_000)?, number(3, 12)?).await,
        "merge" => run(dir, store).await,
        other => Err(format!("no command {other:?}").into()),
    }
}

async fn make(dir: &Path, store: &dyn ObjectStore, series: usize, blocks: usize) -> Result<(), Fault> {
    let mut metas: Vec<BlockMeta> = Vec::new();
    for window in 0..blocks as i64 {
        let range = BlockRange::new(window * WINDOW_MS, (window + 1) * WINDOW_MS);
        let spec = BlockSpec {
            id: BlockId((range.end.0 as u128) << 80 | 1),
            shard: ShardId(1),
            range,
            level: 0,
            cut_index: window as u64,
            parents: Vec::new(),
            resolution_ms: 0,
            sort_range: model::SortRange::ALL,
            external_labels: Default::default(),
            metadata: Vec::new(),
        };
        let inputs: Vec<(LabelSet, Samples)> =
            (0..series).map(|number| (labels(number), samples(number, range))).collect();
        let built = build(&spec, inputs.iter().map(|(labels, samples)| BlockInput { labels, samples }))?;
        upload(store, &built).await?;
        metas.push(built.meta);
    }
    std::fs::write(dir.join(LIST), serde_json::to_vec(&metas)?)?;
    Ok(())
}

/// Ten metrics a pod.
fn labels(number: usize) -> LabelSet {
    let (metric, pod) = (format!("metric_{}", number % 10), format!("pod-{}", number / 10));
    let namespace = format!("namespace-{}", number / 10 % 20);
    LabelSet::from_pairs([("__name__", &*metric), ("namespace", &*namespace), ("pod", &*pod)])
}

/// Counters, gauges with two decimals, and constants.
fn samples(number: usize, range: BlockRange) -> Samples {
    let mut samples = Samples::default();
    for time_ms in (range.start.0..range.end.0).step_by(STEP_MS as usize) {
        let at = time_ms / STEP_MS;
        let noise = (at as u64 ^ number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
        let value = match number % 3 {
            0 => (at * 7 + noise as i64 / 64) as f64,
            1 => noise as f64 / 100.0,
            _ => 1.0,
        };
        samples.push(time_ms + (number % 1000) as i64, value);
    }
    samples
}

async fn run(dir: &Path, store: Arc<dyn ObjectStore>) -> Result<(), Fault> {
    let metas: Vec<BlockMeta> = serde_json::from_slice(&std::fs::read(dir.join(LIST))?)?;
    let size = |meta: &BlockMeta| meta.series_object.size_bytes + meta.chunks_object.size_bytes;
    let read: u64 = metas.iter().map(size).sum();
    let began = Instant::now();
    let mut readers = Vec::new();
    for meta in metas {
        readers.push(BlockReader::open(Arc::new(ObjectStoreReader::new(Arc::clone(&store))), meta).await?);
    }
    let merged = merge(BlockId(1), 2, readers, Arc::new(EraseNothing), dir).await?;
    let seconds = began.elapsed().as_secs_f64();
    let (written, samples) = (size(&merged.meta), merged.meta.samples);
    println!("{} series, {samples} samples: {read} bytes in, {written} out", merged.meta.series);
    println!(
        "{seconds:.2} s, {:.1} MB/s in, {:.1}M samples/s",
        read as f64 / seconds / 1e6,
        samples as f64 / seconds / 1e6
    );
    println!(
        "{:.3} bytes a sample in, {:.3} out",
        read as f64 / samples as f64,
        written as f64 / samples as f64
    );
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM unknown");
    println!("{peak}");
    Ok(())
}
