//! `norn import tsdb`: blocks of Prometheus or Thanos become blocks of a running cluster.
//!
//! 1. [`source`] finds blocks, [`plan`] cuts them at the cluster's windows into units and leaves out what is in others.
//! 2. [`control`] makes this process the one importer of the cluster.
//! 3. For each unit: claim it; [`make`] one block a shard; upload them; commit them all in one command.
//!
//! The catalogue notes for ever which units are done, so an import may be killed anywhere and repeated: what was done is
//! passed over, what was begun is done again under other names. A block that cannot be read stops no other. What was
//! decided about labels, the seam and samples that are there twice stands in `docs/decisions/0018-import-and-export.md`.

mod control;
mod make;
mod plan;
pub(crate) mod progress;
mod source;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use block::{BlockError, BuiltBlock};
use cluster::{ControlState, ImportState, ImportUnit};
use futures::{StreamExt as _, TryStreamExt as _};
use model::{BlockId, BlockMeta, ShardId};
use object_store::{ObjectStore, ObjectStoreExt as _};
use tsdb::{Block, Meta};

use crate::cli::ImportFlags;
use crate::fault::Fault;
use crate::settings;
use control::{Claimed, Cluster, Importer};
use make::{Division, MakeError};
use plan::Added;
use progress::{Progress, short};
use source::{Found, Source};

/// Imports what the flags name.
///
/// # Errors
/// One line, when it cannot begin, or not everything could be imported.
pub(crate) fn run(flags: &ImportFlags) -> Result<(), Fault> {
    service::logs::init("warn", "logfmt").map_err(Fault::usage)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Fault::failed(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(import(flags))
}

async fn import(flags: &ImportFlags) -> Result<(), Fault> {
    let target = Target::of(flags)?;
    let state = target.cluster.state().await?;
    let source = Source::open(&flags.source)?;
    let (found, refused) = source.list().await?;
    if found.is_empty() && refused.is_empty() {
        return Err(Fault::usage(format!("{}: there is no block", flags.source.display())));
    }
    let work = Work::plan(&state, found);
    work.print(&refused);
    if flags.dry_run {
        return Ok(());
    }
    if work.blocks.iter().all(|block| block.units.is_empty()) && refused.is_empty() {
        println!("everything is imported already");
        return Ok(());
    }
    target.check_bucket(&state).await?;
    let importer = target.cluster.join().await?;
    let total = work.blocks.iter().map(|block| block.found.meta.stats.num_samples).sum();
    let given: BTreeMap<String, String> = flags.labels.iter().cloned().collect();
    let mut run = Run {
        importer,
        objects: target.objects,
        given,
        progress: Progress::new(total),
        tally: Tally::default(),
    };
    let failed = run.all(&source, work.blocks).await;
    run.importer.leave().await;
    let failed = failed? + refused.len();
    println!("{}", run.tally.summary(run.progress.elapsed().as_secs_f64()));
    match failed {
        0 => Ok(()),
        failed => Err(Fault::failed(format!("{failed} blocks were not imported, see above"))),
    }
}

/// Where to import to.
struct Target {
    cluster: Cluster,
    objects: Arc<dyn ObjectStore>,
}

impl Target {
    fn of(flags: &ImportFlags) -> Result<Self, Fault> {
        let config = flags.config_file.as_deref().map(settings::read).transpose()?.unwrap_or_default();
        let mut addresses = flags.cluster_addresses.clone();
        if addresses.is_empty() {
            addresses = config.norn.cluster.ingesters.iter().map(|first| first.address.clone()).collect();
        }
        if addresses.is_empty() {
            return Err(Fault::usage(
                "which cluster: give --cluster.address, or --config.file with norn.cluster.ingesters",
            ));
        }
        let name = flags.cluster_name.clone().or_else(|| config.norn.cluster.name.clone());
        let objects = settings::objstore(flags.objstore_file.as_deref(), &config.norn)?;
        let in_data_dir = || {
            let dir = flags.data_dir.as_ref()?.join(settings::OBJECTS_DIR);
            Some(block::ObjectStoreConfig::Local { dir })
        };
        let objects = objects.or_else(in_data_dir).ok_or_else(|| {
            Fault::usage("where the cluster keeps its blocks: give --objstore.config-file, --data.dir of norn standalone, or --config.file with norn.objstore")
        })?;
        let objects = block::open_store(&objects);
        Ok(Self {
            cluster: Cluster { name: name.unwrap_or_else(|| settings::CLUSTER_NAME.to_owned()), addresses },
            objects: objects.map_err(|error| Fault::usage(format!("object store: {error}")))?,
        })
    }

    /// Looks for an object that the cluster says is there: in another bucket nobody would find what is imported.
    async fn check_bucket(&self, state: &ControlState) -> Result<(), Fault> {
        let Some(newest) = state.catalogue.active().max_by_key(|meta| meta.id) else { return Ok(()) };
        let key = object_store::path::Path::from(newest.series_object.key.as_str());
        match self.objects.head(&key).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::NotFound { .. }) => Err(Fault::usage(format!(
                "the object store does not hold the cluster's block {}: give the one that the cluster has",
                newest.id
            ))),
            Err(error) => Err(Fault::of("the object store", &error)),
        }
    }
}

/// A foreign block and what of it is to be done.
struct Planned {
    found: Found,
    units: Vec<ImportUnit>,
    done: usize,
}

/// All that is to be done.
struct Work {
    blocks: Vec<Planned>,
    superseded: BTreeMap<String, String>,
}

impl Work {
    fn plan(state: &ControlState, found: Vec<Found>) -> Self {
        let window_ms = state.settings.as_ref().map_or(1, |settings| settings.block_duration_ms.max(1));
        let metas: Vec<Meta> = found.iter().map(|found| found.meta.clone()).collect();
        let superseded = plan::superseded(&metas);
        let is_left = |found: &Found| !superseded.contains_key(&found.meta.ulid);
        let plan = |found: Found| {
            let all = plan::units(&found.meta, window_ms);
            let count = all.len();
            let is_done = |unit: &ImportUnit| state.catalogue.import(unit) == Some(&ImportState::Done);
            let units: Vec<ImportUnit> = all.into_iter().filter(|unit| !is_done(unit)).collect();
            Planned { done: count - units.len(), units, found }
        };
        let blocks = found.into_iter().filter(is_left).map(plan).collect();
        Self { blocks, superseded }
    }

    fn print(&self, refused: &[String]) {
        for Planned { found, units, done } in &self.blocks {
            let Meta { ulid, min_time, max_time, stats, .. } = &found.meta;
            println!(
                "block {ulid}: {min_time} to {max_time}, {} series, {} samples, {} of {} windows to import",
                stats.num_series,
                stats.num_samples,
                units.len(),
                units.len() + done
            );
        }
        for (ulid, parent) in &self.superseded {
            println!("block {ulid}: left out, block {parent} holds its samples");
        }
        refused.iter().for_each(|reason| eprintln!("not a block that can be read: {reason}"));
    }
}

/// Why a block, or everything, is not imported.
enum Trouble {
    Block(String),
    Stop(Fault),
}

impl From<MakeError> for Trouble {
    fn from(error: MakeError) -> Self {
        Self::Block(service::chain(&error))
    }
}

fn stop(what: &str, error: &dyn std::error::Error) -> Trouble {
    Trouble::Stop(Fault::failed(format!(
        "{what}: {}: run the same import again, it goes on where it stopped",
        service::chain(error)
    )))
}

/// An import under way.
struct Run {
    importer: Importer,
    objects: Arc<dyn ObjectStore>,
    /// Labels given on the command line.
    given: BTreeMap<String, String>,
    progress: Progress,
    tally: Tally,
}

impl Run {
    /// Imports block after block; returns how many could not be.
    async fn all(&mut self, source: &Source, blocks: Vec<Planned>) -> Result<usize, Fault> {
        let mut failed = 0;
        for planned in blocks.into_iter().filter(|planned| !planned.units.is_empty()) {
            let ulid = planned.found.meta.ulid.clone();
            let done = self.block(source, planned).await;
            self.progress.clear();
            match done {
                Ok(()) => {}
                Err(Trouble::Block(reason)) => {
                    eprintln!("block {ulid} is not imported: {reason}");
                    failed += 1;
                }
                Err(Trouble::Stop(fault)) => return Err(fault),
            }
        }
        Ok(failed)
    }

    async fn block(&mut self, source: &Source, planned: Planned) -> Result<(), Trouble> {
        let meta = &planned.found.meta;
        if meta.resolution_ms() != 0 {
            let text =
                format!("it is downsampled to {} ms: only raw blocks are imported", meta.resolution_ms());
            return Err(Trouble::Block(text));
        }
        let opened = source.open_block(&planned.found).await.map_err(Trouble::Block)?;
        let state = self.importer.state();
        let Some(settings) = state.settings.clone() else {
            return Err(Trouble::Block("the cluster is not founded".to_owned()));
        };
        let added = Arc::new(Added::new(meta, &self.given, &settings.external_labels));
        let (dir, shards, labels) = (opened.dir.clone(), Arc::clone(&state.shard_map), Arc::clone(&added));
        let divided = blocking(move || {
            let block = Block::open(&dir)?;
            let division = make::divide(&block, &labels, &shards)?;
            Ok((Arc::new(block), Arc::new(division)))
        });
        let (block, division): (Arc<Block>, Arc<Division>) = divided.await?;
        for unit in &planned.units {
            let job = Job { unit, block: &block, division: &division, added: &added, settings: &settings };
            let samples = self.unit(job).await?;
            self.progress.add(samples, &format!("block {}", meta.ulid));
        }
        self.tally.sources += 1;
        self.tally.bytes_before += block.size_bytes();
        Ok(())
    }

    /// Imports one part of a block; returns how many samples it had.
    async fn unit(&mut self, job: Job<'_>) -> Result<u64, Trouble> {
        let claimed = self.importer.claim(job.unit, job.division.len() as u32).await;
        let (epoch, ids) = match claimed.map_err(|error| stop("claiming a part of a block", &error))? {
            Claimed::Done => return Ok(0),
            Claimed::Ours(epoch, ids) => (epoch, ids),
        };
        let together = std::thread::available_parallelism().map_or(1, usize::from);
        let objects = &self.objects;
        let made = (0..job.division.len()).zip(ids).map(|(at, id)| async move {
            let Some(built) = job.build(at, id).await? else { return Ok(None) };
            let uploaded = block::upload(objects.as_ref(), &built).await;
            uploaded.map_err(|error: BlockError| stop("uploading", &error))?;
            Ok::<_, Trouble>(Some(built.meta))
        });
        let made: Vec<Option<BlockMeta>> =
            futures::stream::iter(made).buffered(together).try_collect().await?;
        let blocks: Vec<BlockMeta> = made.into_iter().flatten().collect();
        let samples = blocks.iter().map(|meta| meta.samples).sum();
        let tally = self.tally.with(&blocks);
        let committed = self.importer.commit(job.unit, epoch, blocks).await;
        committed.map_err(|error| stop("publishing", &error))?;
        self.tally = tally;
        Ok(samples)
    }
}

/// One part of a block.
#[derive(Clone, Copy)]
struct Job<'a> {
    unit: &'a ImportUnit,
    block: &'a Arc<Block>,
    division: &'a Arc<Division>,
    added: &'a Arc<Added>,
    settings: &'a cluster::ClusterSettings,
}

impl Job<'_> {
    /// Builds the block of one shard, by its position in the division.
    async fn build(&self, at: usize, id: BlockId) -> Result<Option<BuiltBlock>, Trouble> {
        let shard: ShardId = self.division[at].0;
        let spec = make::spec(id, shard, self.unit.range, self.settings);
        let (block, division) = (Arc::clone(self.block), Arc::clone(self.division));
        let added = Arc::clone(self.added);
        blocking(move || make::build(&block, &division[at].1, &added, &spec)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MakeError> + Send + 'static,
) -> Result<T, Trouble> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Trouble::Block(format!("reading it ended: {error}")))?.map_err(Trouble::from)
}

/// What an import came to.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    sources: u64,
    blocks: u64,
    series: u64,
    samples: u64,
    bytes_before: u64,
    bytes_after: u64,
}

impl Tally {
    fn with(self, blocks: &[BlockMeta]) -> Self {
        let sum = |of: fn(&BlockMeta) -> u64| blocks.iter().map(of).sum::<u64>();
        Self {
            blocks: self.blocks + blocks.len() as u64,
            series: self.series + sum(|meta| meta.series),
            samples: self.samples + sum(|meta| meta.samples),
            bytes_after: self.bytes_after
                + sum(|meta| meta.series_object.size_bytes + meta.chunks_object.size_bytes),
            ..self
        }
    }

    fn summary(&self, seconds: f64) -> String {
        let mut text = format!(
            "imported {} blocks as {}: {} series, {} samples, {} bytes before, {} after, in {seconds:.1} s",
            self.sources, self.blocks, self.series, self.samples, self.bytes_before, self.bytes_after
        );
        let (samples, bytes) =
            (self.samples as f64 / seconds.max(1e-3), self.bytes_before as f64 / seconds.max(1e-3));
        // Writing to a text does not fail.
        let _ = write!(text, " ({} samples/s, {:.1} MB/s)", short(samples), bytes / 1e6);
        text
    }
}
