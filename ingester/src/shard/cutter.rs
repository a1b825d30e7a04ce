//! Turns windows into blocks. Runs on every replica, acts on the leader.
//!
//! A reconciler over the frozen window that apply reports:
//! 1. no window frozen: propose `Cut` when the oldest window in the head is over;
//! 2. a window frozen, not in the catalogue: build its block, upload it, publish it;
//! 3. in the catalogue: wait the grace, propose `Drop`.
//!
//! A leader that dies between two steps leaves nothing to clean: the next one finds the same frozen window, builds the same
//! bytes under the same name, and goes on. A step that fails is logged and tried again after a pause.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use block::{BlockSeries, BlockSpec, MergedBlock};
use cluster::{ClusterSettings, Command};
use head::HeadSeries;
use model::{BlockId, BlockRange, ShardId};
use object_store::ObjectStore;
use session::Session;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::command::ShardCommand;
use super::machine::SealedWindow;
use super::proposer::now_ms;
use super::replica::Replica;
use crate::metrics::CutterMetrics;

/// How often the head is looked at, at the most.
const ROUND_MAX: Duration = Duration::from_secs(5);
/// How often the head is looked at, at the least.
const ROUND_MIN: Duration = Duration::from_millis(200);
/// The first pause after a failed step; it doubles up to the last.
const RETRY_PAUSE_MIN: Duration = Duration::from_secs(1);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);

/// The cutter of one shard.
pub(crate) struct Cutter {
    pub(crate) replica: Arc<Replica>,
    pub(crate) session: Arc<Session>,
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) settings: Arc<ClusterSettings>,
    /// A directory for the files of a block that is being built.
    pub(crate) spool_dir: PathBuf,
    pub(crate) publish_grace: Duration,
    pub(crate) metrics: CutterMetrics,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("block not built or not uploaded: {0}")]
    Block(#[from] block::BlockError),
    #[error("catalogue: {0}")]
    Publish(#[from] session::SessionError),
    #[error("shard log: {0}")]
    Log(#[from] consensus::ConsensusError),
}

/// What the head looked like when samples last arrived.
struct Quiet {
    samples: u64,
    since: Instant,
}

impl Cutter {
    /// Runs until shutdown.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), crate::IngesterError> {
        let round =
            Duration::from_millis(self.settings.block_duration_ms as u64 / 100).clamp(ROUND_MIN, ROUND_MAX);
        let mut sealed = self.replica.sealed();
        let mut quiet = Quiet { samples: 0, since: Instant::now() };
        let mut pause = RETRY_PAUSE_MIN;
        loop {
            let wait = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(round) => round,
                changed = sealed.changed() => if changed.is_err() { return Ok(()) } else { Duration::ZERO },
            };
            if !self.replica.group.is_leader() {
                continue;
            }
            let frozen = *sealed.borrow_and_update();
            let step = match frozen {
                Some(window) => self.finish(window, &shutdown).await,
                None => self.maybe_cut(&mut quiet).await,
            };
            match step {
                Ok(()) => pause = RETRY_PAUSE_MIN,
                Err(error) => {
                    self.metrics.failures.inc();
                    warn!(shard = %self.replica.shard, %error, retry_in = ?pause, waited = ?wait, "block cut failed; the head keeps the data");
                    tokio::select! {
                        () = shutdown.cancelled() => return Ok(()),
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(RETRY_PAUSE_MAX);
                }
            }
        }
    }

    /// Proposes the cut of the oldest window when it is over.
    async fn maybe_cut(&self, quiet: &mut Quiet) -> Result<(), StepError> {
        let stats = self.replica.head().stats();
        if stats.samples != quiet.samples {
            *quiet = Quiet { samples: stats.samples, since: Instant::now() };
        }
        let (Some(first_ms), Some(last_ms)) = (stats.min_ms, stats.max_ms) else { return Ok(()) };
        let quiet_ms = quiet.since.elapsed().as_millis() as i64;
        if let Some(end_ms) = window_over(&self.settings, first_ms, last_ms, now_ms(), quiet_ms) {
            info!(shard = %self.replica.shard, end_ms, "cutting a window");
            self.replica.group.propose(ShardCommand::Cut { end_ms }.encode()).await?;
        }
        Ok(())
    }

    /// Brings a frozen window into the catalogue and out of the head.
    async fn finish(&self, window: SealedWindow, shutdown: &CancellationToken) -> Result<(), StepError> {
        let shard = self.replica.shard;
        let end_ms = window.range.end.0;
        if self.session.state().catalogue.published_until_ms(shard) < end_ms {
            self.publish(window).await?;
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(self.publish_grace) => {}
        }
        self.replica.group.propose(ShardCommand::Drop { end_ms }.encode()).await?;
        Ok(())
    }

    async fn publish(&self, window: SealedWindow) -> Result<(), StepError> {
        let began = Instant::now();
        let built = self.build(window).await?;
        block::upload_merged(self.objects.as_ref(), &built).await?;
        let meta = built.meta.clone();
        drop(built);
        self.session.propose(&Command::PublishBlock { meta: Box::new(meta.clone()) }).await?;
        self.metrics.published.inc();
        info!(
            shard = %meta.shard, block = %meta.id, series = meta.series, samples = meta.samples,
            bytes = meta.series_object.size_bytes + meta.chunks_object.size_bytes, took = ?began.elapsed(), "block published"
        );
        Ok(())
    }

    async fn build(&self, window: SealedWindow) -> Result<MergedBlock, block::BlockError> {
        let head = self.replica.head();
        let spec = BlockSpec {
            id: block_id(&self.settings.uuid, self.replica.shard, window),
            shard: self.replica.shard,
            range: window.range,
            level: 0,
            cut_index: window.cut_index,
            parents: Vec::new(),
            resolution_ms: 0,
            sort_range: model::SortRange::ALL,
            external_labels: self.settings.external_labels.clone(),
            metadata: head.metadata(None),
        };
        let spool_dir = self.spool_dir.clone();
        let build = move || {
            let series = head.window(window.range);
            let series = series.map(|HeadSeries { labels, chunks }| BlockSeries { labels, chunks });
            block::build_in_files(&spec, series, &spool_dir)
        };
        tokio::task::spawn_blocking(build)
            .await
            .expect("building a block does not panic and is not cancelled")
    }
}

/// Returns where to cut when the oldest window is over: at its end, when samples past that and the allowance have come; else,
/// when the clock is a window past that and nothing comes any more, behind the newest sample if that is earlier.
fn window_over(
    settings: &ClusterSettings,
    first_ms: i64,
    last_ms: i64,
    now_ms: i64,
    quiet_ms: i64,
) -> Option<i64> {
    let duration_ms = settings.block_duration_ms;
    let end_ms = BlockRange::window_of(first_ms, duration_ms).end.0;
    let closed_ms = end_ms.saturating_add(settings.out_of_order_window_ms);
    let passed = last_ms >= closed_ms;
    let abandoned = now_ms >= closed_ms.saturating_add(duration_ms) && quiet_ms >= duration_ms;
    // What goes on after a pause goes on behind the newest sample.
    let abandoned_ms = end_ms.min(last_ms.saturating_add(1));
    if passed { Some(end_ms) } else { abandoned.then_some(abandoned_ms) }
}

/// Names a block after what it holds: every replica that builds it gives it the same name.
fn block_id(cluster_uuid: &str, shard: ShardId, window: SealedWindow) -> BlockId {
    let identity: BTreeMap<&str, String> = BTreeMap::from([
        ("cluster", cluster_uuid.to_owned()),
        ("cut_index", window.cut_index.to_string()),
        ("shard", shard.to_string()),
        ("start", window.range.start.to_string()),
    ]);
    let text = format!("{identity:?}");
    let hash = xxhash_rust::xxh3::xxh3_128(text.as_bytes());
    let time = (window.range.end.0.max(0) as u128) << 80;
    BlockId(time & !(u128::MAX >> 48) | hash & (u128::MAX >> 48))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> ClusterSettings {
        ClusterSettings {
            name: String::new(),
            uuid: String::new(),
            external_labels: BTreeMap::new(),
            block_duration_ms: 1000,
            out_of_order_window_ms: 300,
            shards: 1,
            replicas: 1,
            exemplars_max: 0,
        }
    }

    #[test]
    fn a_window_is_over_by_its_samples_or_when_abandoned() {
        let over = |first, last, now, quiet| window_over(&settings(), first, last, now, quiet);
        assert_eq!(over(100, 1299, 1299, 0), None, "late samples may still come");
        assert_eq!(over(100, 1300, 1300, 0), Some(1000));
        assert_eq!(over(100, 9000, 9000, 0), Some(1000), "one window at a time");
        assert_eq!(over(100, 200, 2299, 5000), None);
        assert_eq!(over(100, 200, 2300, 1000), Some(201), "nothing comes any more");
        assert_eq!(over(100, 1100, 2300, 1000), Some(1000), "a cut is within one window");
        assert_eq!(over(201, 900, 3300, 1000), Some(901), "what came after the pause");
        assert_eq!(over(100, 200, 99_000, 10), None, "old samples still come");
    }

    #[test]
    fn a_block_name_follows_from_its_content_and_sorts_by_time() {
        let window = |end, cut_index| SealedWindow { range: BlockRange::new(end - 1000, end), cut_index };
        let id = |end, index| block_id("u", ShardId(1), window(end, index));
        assert_eq!(id(1000, 7), id(1000, 7));
        assert_ne!(id(1000, 7), id(1000, 8));
        assert!(id(2000, 1) > id(1000, 9));
        assert_ne!(block_id("v", ShardId(1), window(1000, 7)), id(1000, 7));
        assert_ne!(block_id("u", ShardId(2), window(1000, 7)), id(1000, 7));
    }
}
