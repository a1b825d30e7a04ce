//! What a merge costs: seconds, bytes, and the most memory the process ever held.
//!
//! ```text
//! cargo run --release -p block --example merge_cost -- make DIR [SERIES] [BLOCKS]
//! cargo run --release -p block --example merge_cost -- merge DIR [LEVEL] [INPUTS]
//! cargo run --release -p block --example merge_cost -- downsample DIR [SECONDS] [INPUTS]
//! ```
//! `make` fills a directory with blocks of two hours at 15 s, one process; `merge` merges them, so many at a time, and leaves the
//! results in their place: another process, so that its memory is that of the merge alone. A day of 100,000 series is
//! `make DIR 100000 12`, then `merge DIR 1 4` and `merge DIR 2 3`, or `merge DIR 2 12` at once.

mod fleet;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use block::{
    BlockReader, BlockSpec, EraseNothing, MergeOutput, ObjectStoreReader, SeriesInput, Slotting, build,
    downsample, merge, upload, upload_merged,
};
use chunk::ChunkError;
use fleet::{POD_SERIES, Pod, STEP_MS};
use model::{BlockId, BlockMeta, BlockRange, LabelSet, Samples, ShardId, TimeRange};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

const WINDOW_MS: i64 = 7_200_000;
/// The list of blocks, beside their objects.
const LIST: &str = "blocks.json";

type Fault = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, otherwise: usize| arguments.get(at).map_or(Ok(otherwise), |text| text.parse());
    let (Some(command), Some(dir)) = (arguments.first(), arguments.get(1)) else {
        return Err("usage: merge_cost make DIR [SERIES] [BLOCKS] | merge DIR [LEVEL] [INPUTS] | downsample DIR [SECONDS] [INPUTS]".into());
    };
    std::fs::create_dir_all(dir)?;
    let dir = Path::new(dir);
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(dir)?);
    match command.as_str() {
        "make" => make(dir, &*store, number(2, 10_000)?, number(3, 12)?).await?,
        "merge" => run(dir, store, Output::Merged(number(2, 2)? as u8), number(3, 12)?).await?,
        "downsample" => run(dir, store, Output::Slots(number(2, 300)? as i64 * 1000), number(3, 12)?).await?,
        other => return Err(format!("no command {other:?}").into()),
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM unknown"));
    Ok(())
}

/// A series whose samples were made when it was asked for.
struct Made(LabelSet, Samples);

impl SeriesInput for Made {
    fn read(&self, _range: TimeRange, out: &mut Samples) -> Result<(), ChunkError> {
        out.extend_from(&self.1, 0..self.1.len());
        Ok(())
    }

    fn into_labels(self) -> LabelSet {
        self.0
    }
}

async fn make(dir: &Path, store: &dyn ObjectStore, series: usize, blocks: usize) -> Result<(), Fault> {
    let mut pods: Vec<Pod> = (0..series.div_ceil(POD_SERIES)).map(Pod::new).collect();
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
            sort_range: model::SortRange::ALL,
            resolution_ms: 0,
            external_labels: Default::default(),
            metadata: Vec::new(),
        };
        let steps = (WINDOW_MS / STEP_MS) as usize;
        let inputs = pods.iter_mut().flat_map(|pod| {
            let samples = pod.scrape(range.start.0, steps);
            pod.labels().into_iter().zip(samples).map(|(labels, samples)| Made(labels, samples))
        });
        let built = build(&spec, inputs)?;
        upload(store, &built).await?;
        metas.push(built.meta);
    }
    report("made", &metas);
    std::fs::write(dir.join(LIST), serde_json::to_vec(&metas)?)?;
    Ok(())
}

/// What is made of the blocks.
#[derive(Clone, Copy)]
enum Output {
    /// A block of a level.
    Merged(u8),
    /// Slots of so many ms.
    Slots(i64),
}

async fn run(dir: &Path, store: Arc<dyn ObjectStore>, made: Output, inputs: usize) -> Result<(), Fault> {
    let metas: Vec<BlockMeta> = serde_json::from_slice(&std::fs::read(dir.join(LIST))?)?;
    report("in", &metas);
    let (began, began_cpu) = (Instant::now(), cpu_seconds()?);
    let mut merged = Vec::new();
    for (number, group) in metas.chunks(inputs.max(1)).enumerate() {
        let mut readers = Vec::new();
        for meta in group {
            let reader = Arc::new(ObjectStoreReader::new(Arc::clone(&store)));
            readers.push(BlockReader::open(reader, meta.clone()).await?);
        }
        let end_ms = group.iter().map(|meta| meta.range.end.0).max().unwrap_or_default();
        let start_ms = group.iter().map(|meta| meta.range.start.0).min().unwrap_or_default();
        let (level, resolution_ms) = match made {
            Output::Merged(level) => (level, 0),
            Output::Slots(resolution_ms) => (2, resolution_ms),
        };
        let kind = (resolution_ms as u128) << 40 | u128::from(level) << 32;
        let id = BlockId(((end_ms as u128) << 80) | kind | (number as u128 + 2));
        let output = MergeOutput { id, level, sort_range: model::SortRange::ALL };
        let erase = Arc::new(EraseNothing);
        let block = match made {
            Output::Merged(_) => merge(&output, readers, erase, dir).await?,
            Output::Slots(_) => {
                let slotting = Slotting { resolution_ms, window: BlockRange::new(start_ms, end_ms) };
                downsample(&output, slotting, readers, erase, dir).await?
            }
        };
        upload_merged(&*store, &block).await?;
        merged.push(block.meta);
    }
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds()? - began_cpu);
    report("out", &merged);
    let read: u64 = metas.iter().map(size).sum();
    let samples: u64 = metas.iter().map(|meta| meta.samples).sum();
    println!(
        "{seconds:.1} s, {cpu:.1} CPU s: {:.1} MB in a CPU second, {:.1}M samples a CPU second, {:.1} MB in a second",
        read as f64 / cpu / 1e6,
        samples as f64 / cpu / 1e6,
        read as f64 / seconds / 1e6,
    );
    std::fs::write(dir.join(LIST), serde_json::to_vec(&merged)?)?;
    Ok(())
}

fn size(meta: &BlockMeta) -> u64 {
    meta.series_object.size_bytes + meta.chunks_object.size_bytes
}

fn report(what: &str, metas: &[BlockMeta]) {
    let sum = |of: &dyn Fn(&BlockMeta) -> u64| metas.iter().map(of).sum::<u64>();
    let (bytes, samples, series) = (sum(&size), sum(&|meta| meta.samples), sum(&|meta| meta.series));
    let index = sum(&|meta| meta.series_object.size_bytes);
    println!(
        "{what}: {} blocks, {series} series, {samples} samples, {bytes} bytes, {index} of them series.parquet: {:.4} a sample",
        metas.len(),
        bytes as f64 / samples as f64
    );
}

/// Returns how long all threads of this process ran, from the clock ticks (100 a second) that the kernel counts.
fn cpu_seconds() -> Result<f64, Fault> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| {
        fields.get(at).ok_or("no CPU time in /proc/self/stat")?.parse::<u64>().map_err(Fault::from)
    };
    Ok((ticks(11)? + ticks(12)?) as f64 / 100.0)
}
