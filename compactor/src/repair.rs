//! The worker that takes back what was set aside: a damaged block whose objects somebody restored is merged again without
//! anybody telling so.
//!
//! It works on the compactor that holds the lease of retention. Each block that is set aside is verified, every byte of it, after a
//! pause that doubles from one interval up to [`PAUSE_MAX`]; one that is whole is taken back, and the planner finds it again.
//! Verifying is slow for a large block, so it has a worker of its own: neither retention nor a merge waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use block::ObjectStoreReader;
use cluster::{Command, ControlState, Fence};
use model::{BlockId, BlockMeta};
use session::Session;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::error::cause;
use crate::metrics::MergeMetrics;
use crate::retention::LEASE;
use crate::{CompactorConfig, CompactorError};

/// The longest pause before a block is verified again: how long a person waits at the most after restoring its objects.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// One worker.
pub(crate) struct Repair {
    pub(crate) config: CompactorConfig,
    pub(crate) session: Arc<Session>,
    pub(crate) metrics: MergeMetrics,
}

/// When a block is verified next, and the pause after that. Bounded by the blocks that are set aside.
#[derive(Clone, Copy, Debug)]
struct Turn {
    at: Instant,
    pause: Duration,
}

impl Repair {
    /// Runs until shutdown.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), CompactorError> {
        // Cancelled or not: the loop itself has no end.
        let _ = shutdown.run_until_cancelled(self.run_rounds()).await;
        Ok(())
    }

    async fn run_rounds(&self) {
        self.session.wait_joined().await;
        let mut turns = BTreeMap::new();
        loop {
            tokio::time::sleep(self.config.interval).await;
            let state = self.session.state();
            if let Some(fence) = self.fence(&state) {
                self.round(&state, &fence, &mut turns).await;
            }
        }
    }

    /// Returns the right under which blocks are taken back, when it is this member's.
    fn fence(&self, state: &ControlState) -> Option<Fence> {
        let membership = self.session.membership()?;
        let lease = state.leases.get(LEASE).filter(|lease| lease.holder == membership.node)?;
        Some(Fence { lease: LEASE.to_owned(), epoch: lease.epoch })
    }

    async fn round(&self, state: &ControlState, fence: &Fence, turns: &mut BTreeMap<BlockId, Turn>) {
        let first = Turn { at: Instant::now(), pause: self.config.interval };
        // Blocks that were taken back keep their turn while they are there: should they be set aside again, they wait longer.
        turns.retain(|id, _| state.catalogue.get(*id).is_some());
        for entry in state.catalogue.active_set_aside() {
            let turn = turns.entry(entry.meta.id).or_insert(first);
            if turn.at > Instant::now() {
                continue;
            }
            let is_whole = self.is_whole(&entry.meta).await;
            *turn = Turn { at: Instant::now() + turn.pause, pause: (turn.pause * 2).min(PAUSE_MAX) };
            if is_whole {
                self.take_back(entry.meta.id, fence).await;
            }
        }
    }

    async fn is_whole(&self, meta: &BlockMeta) -> bool {
        let reader = ObjectStoreReader::new(Arc::clone(&self.config.objects));
        match block::verify(&reader, meta, &|_| {}).await {
            Ok(found) => {
                if let Some(fault) = found.faults.first() {
                    debug!(block = %meta.id, faults = found.faults.len(), %fault, "a block is still damaged");
                }
                found.faults.is_empty()
            }
            Err(error) => {
                debug!(block = %meta.id, %error, cause = cause(&error), "a block cannot be verified now");
                false
            }
        }
    }

    async fn take_back(&self, id: BlockId, fence: &Fence) {
        let command = Command::TakeBackBlocks { ids: vec![id], fence: fence.clone() };
        match self.session.propose(&command).await {
            Ok(_) => {
                self.metrics.taken_back.inc();
                info!(block = %id, "a block that was set aside is whole again: it is merged from now on");
            }
            Err(error) => debug!(block = %id, %error, "a block could not be taken back; it is tried again"),
        }
    }
}
