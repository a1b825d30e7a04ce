//! The worker: holds the lease, runs round after round, and stands by while another holds it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::{BlockState, Catalogue, Command, ControlState, Fence, StateError};
use futures::{FutureExt, StreamExt, stream};
use model::{BlockId, BlockMeta, NodeId};
use session::{Session, SessionError};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock::{millis, now_ms};
use crate::error::cause;
use crate::metrics::CompactorMetrics;
use crate::{CompactorConfig, CompactorError, plan};

/// The right to tombstone and purge blocks.
pub(crate) const LEASE: &str = "compactor/retention";
/// How many blocks one command names at the most; a command is a log entry and a message to every member.
const COMMAND_BLOCKS_MAX: usize = 500;
/// How many blocks are deleted at the same time.
const DELETES_MAX: usize = 8;
/// The pause of a compactor that stands by and found the lease free.
const STANDBY_PAUSE: Duration = Duration::from_millis(100);

/// One worker.
pub(crate) struct Retention {
    pub(crate) config: CompactorConfig,
    pub(crate) session: Arc<Session>,
    pub(crate) metrics: CompactorMetrics,
}

/// What is to be deleted.
enum Garbage {
    Block(Box<BlockMeta>),
    /// A name that never became a block; its objects may or may not exist.
    Orphan(BlockId),
}

/// How a round ended.
enum Round {
    Whole,
    /// Another member works, or this one must not.
    Standby,
}

impl Retention {
    /// Runs until shutdown. A failed round is logged and counted; the next one begins anew.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), CompactorError> {
        tokio::select! {
            () = self.run_rounds() => {}
            // A round may be dropped anywhere: what it had committed stands, what it had not is planned again.
            () = shutdown.cancelled() => {}
        }
        self.metrics.lease_held.set(0);
        Ok(())
    }

    async fn run_rounds(&self) {
        self.session.wait_joined().await;
        let mut worked = false;
        loop {
            let works = match self.round(now_ms()).await {
                Ok(Round::Whole) => {
                    self.metrics.last_success.set(now_ms() / 1000);
                    true
                }
                Ok(Round::Standby) => false,
                Err(error) => {
                    self.metrics.round_failures.inc();
                    warn!(%error, cause = error.cause(), "a round ended early; the next one begins anew");
                    !is_fenced(&error)
                }
            };
            self.metrics.lease_held.set(i64::from(works));
            if works != worked {
                info!(lease = LEASE, works, "retention {}", if works { "works here" } else { "stands by" });
            }
            worked = works;
            self.rest(works).await;
        }
    }

    /// Waits for the next round; a compactor that stands by also wakes when the lease becomes free.
    async fn rest(&self, works: bool) {
        let mut states = self.session.watch();
        let free = async {
            if works {
                std::future::pending().await
            } else {
                drop(states.wait_for(|state| !state.leases.contains_key(LEASE)).await);
                // Without a membership the lease cannot be taken: it is soon there again, or this process ends.
                tokio::time::sleep(STANDBY_PAUSE).await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(self.config.interval) => {}
            () = free => {}
        }
    }

    async fn round(&self, now_ms: i64) -> Result<Round, CompactorError> {
        let Some(membership) = self.session.membership() else { return Ok(Round::Standby) };
        let state = self.session.state();
        if is_held_by_other(&state, membership.node) {
            return Ok(Round::Standby);
        }
        let epoch = match self.session.acquire_lease(LEASE).await {
            Ok(epoch) => epoch,
            Err(SessionError::Refused(_) | SessionError::NoMembership) => return Ok(Round::Standby),
            Err(source) => return Err(CompactorError::Commit { step: "taking the lease", source }),
        };
        let fence = Fence { lease: LEASE.to_owned(), epoch };
        self.metrics.rounds.inc();
        self.note(&state.catalogue);
        self.retain(&state.catalogue, now_ms, &fence).await?;
        self.collect(&state.catalogue, now_ms, &fence).await?;
        Ok(Round::Whole)
    }

    fn note(&self, catalogue: &Catalogue) {
        let active = catalogue.iter().filter(|entry| entry.state == BlockState::Active).count();
        self.metrics.blocks_active.set(active as i64);
        self.metrics.blocks_tombstoned.set((catalogue.iter().count() - active) as i64);
    }

    /// Tombstones what retention no longer keeps.
    async fn retain(&self, catalogue: &Catalogue, now_ms: i64, fence: &Fence) -> Result<(), CompactorError> {
        let expired = plan::expired(catalogue, now_ms, self.config.retention);
        self.metrics.blocks_awaiting.set(expired.awaited.len() as i64);
        let mut by_reason: BTreeMap<String, Vec<BlockId>> = BTreeMap::new();
        for (id, retention_ms) in expired.by_time {
            let length = model::time::format_duration_ms(retention_ms.max(0) as u64);
            by_reason.entry(format!("older than the retention of {length}")).or_default().push(id);
        }
        if let (false, Some(bytes)) = (expired.by_size.is_empty(), self.config.retention.size_bytes) {
            by_reason.insert(format!("beyond the {bytes} bytes that blocks may take"), expired.by_size);
        }
        for (reason, ids) in by_reason {
            for ids in ids.chunks(COMMAND_BLOCKS_MAX) {
                let (ids, reason) = (ids.to_vec(), reason.clone());
                let (count, first) = (ids.len(), ids[0]);
                let command = Command::TombstoneBlocks {
                    ids,
                    at_ms: now_ms,
                    reason: reason.clone(),
                    fence: fence.clone(),
                };
                self.commit("tombstoning blocks", &command).await?;
                self.metrics.tombstoned.inc_by(count as u64);
                info!(blocks = count, %first, reason, "tombstoned blocks");
            }
        }
        Ok(())
    }

    /// Notes orphans; deletes the objects of what was tombstoned or noted long ago, and purges what is gone.
    async fn collect(&self, catalogue: &Catalogue, now_ms: i64, fence: &Fence) -> Result<(), CompactorError> {
        for ids in plan::unnoted_orphans(catalogue).chunks(COMMAND_BLOCKS_MAX) {
            let reason = "its job ended without it".to_owned();
            let command =
                Command::TombstoneBlocks { ids: ids.to_vec(), at_ms: now_ms, reason, fence: fence.clone() };
            self.commit("noting orphans", &command).await?;
        }
        let delay_ms = millis(self.config.deletion_delay);
        let (blocks, waiting) =
            plan::deletable(catalogue, now_ms, delay_ms, self.session.oldest_version_read());
        self.metrics.blocks_read.set(waiting as i64);
        let blocks = blocks.into_iter().map(|meta| Garbage::Block(Box::new(meta)));
        let orphans = plan::deletable_orphans(catalogue, now_ms, delay_ms).into_iter().map(Garbage::Orphan);
        let due: Vec<Garbage> = blocks.chain(orphans).collect();
        for garbage in due.chunks(COMMAND_BLOCKS_MAX) {
            if self.session.membership().is_none() {
                return Err(CompactorError::Commit {
                    step: "deleting blocks",
                    source: SessionError::NoMembership,
                });
            }
            let deletes: Vec<_> = garbage.iter().map(|garbage| self.delete(garbage).boxed()).collect();
            let deleted: Vec<_> = stream::iter(deletes).buffer_unordered(DELETES_MAX).collect().await;
            let ids: Vec<BlockId> = deleted.into_iter().flatten().collect();
            if ids.is_empty() {
                continue;
            }
            let count = ids.len();
            self.commit("purging blocks", &Command::PurgeBlocks { ids, fence: fence.clone() }).await?;
            info!(blocks = count, "deleted the objects of tombstoned blocks and of orphans");
        }
        Ok(())
    }

    /// Deletes the objects of one block or orphan; returns its id when they are gone.
    async fn delete(&self, garbage: &Garbage) -> Option<BlockId> {
        let objects = self.config.objects.as_ref();
        let (id, bytes, deleted) = match garbage {
            Garbage::Block(meta) => {
                let bytes = meta.series_object.size_bytes + meta.chunks_object.size_bytes;
                (meta.id, bytes, block::delete(objects, meta).await)
            }
            Garbage::Orphan(id) => (*id, 0, block::delete_orphan(objects, *id).await),
        };
        match deleted {
            Ok(()) => {
                self.metrics.deleted.inc();
                self.metrics.deleted_bytes.inc_by(bytes);
                debug!(block = %id, "deleted a block");
                Some(id)
            }
            Err(error) => {
                self.metrics.delete_failures.inc();
                warn!(block = %id, %error, cause = cause(&error), "a block cannot be deleted; it is tried again");
                None
            }
        }
    }

    async fn commit(&self, step: &'static str, command: &Command) -> Result<(), CompactorError> {
        self.session
            .propose(command)
            .await
            .map(drop)
            .map_err(|source| CompactorError::Commit { step, source })
    }
}

fn is_held_by_other(state: &ControlState, node: NodeId) -> bool {
    state.leases.get(LEASE).is_some_and(|lease| lease.holder != node)
}

/// Tells whether a round ended since the lease, or the membership below it, was lost.
fn is_fenced(error: &CompactorError) -> bool {
    let CompactorError::Commit { source, .. } = error else { return false };
    matches!(source, SessionError::Refused(StateError::Fenced(_)) | SessionError::NoMembership)
}
