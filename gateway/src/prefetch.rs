//! Brings here what opening blocks takes, before a query asks for it.
//!
//! Blocks published while the gateway runs are opened at once. Those that were there before are fetched to the disk, not
//! opened, the newest first and within a part of the cache, while queries are answered already: a start with an empty disk
//! waits for nothing. Only blocks that this gateway owns among the live ones count. What fails is left to the first query.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::{ControlState, Member, Role, rendezvous};
use futures::future::join_all;
use model::{BlockId, BlockMeta, NodeId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::GatewayError;
use crate::blocks::{Blocks, opening_reads};

/// How many blocks are fetched at the same time: little beside what queries may read.
const FETCHES_IN_FLIGHT_MAX: usize = 4;
/// What is fetched at start may take this part of the cache: one in so many bytes.
const BACKLOG_SHARE: u64 = 2;

/// The worker.
pub(crate) struct Prefetch {
    pub(crate) catalogue: watch::Receiver<Arc<ControlState>>,
    pub(crate) blocks: Arc<Blocks>,
    /// This gateway's name.
    pub(crate) name: String,
    /// How many gateways own a shard's blocks.
    pub(crate) replicas: usize,
}

impl Prefetch {
    /// Takes over what an earlier run cached, then runs until shutdown.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), GatewayError> {
        if let Some(cache) = self.blocks.cache_dir().cloned() {
            let taken_over = tokio::task::spawn_blocking(move || cache.take_over()).await;
            taken_over.map_err(GatewayError::Cache)?;
        }
        // The sender ends with the process.
        let _ = shutdown.run_until_cancelled(self.follow()).await;
        Ok(())
    }

    async fn follow(&mut self) -> Result<(), watch::error::RecvError> {
        let own = |state: &ControlState| {
            let is_own = |member: &&Member| member.role == Role::Gateway && member.name == self.name;
            state.members.values().find(is_own).map(|member| member.node)
        };
        let state = Arc::clone(&*self.catalogue.wait_for(|state| own(state).is_some()).await?);
        // A name keeps its node.
        let own = own(&state).expect("it was waited for");
        let mut known = BTreeSet::new();
        let mut backlog = self.backlog(take_new(&state, own, self.replicas, &mut known));
        loop {
            if self.blocks.cache_dir().is_some_and(|cache| cache.is_short_of_room()) {
                backlog.clear();
            }
            if !backlog.is_empty() && !self.catalogue.has_changed()? {
                let newest = backlog.split_off(backlog.len().saturating_sub(FETCHES_IN_FLIGHT_MAX));
                join_all(newest.iter().map(|meta| self.fetch(meta))).await;
                continue;
            }
            self.catalogue.changed().await?;
            let state = Arc::clone(&self.catalogue.borrow_and_update());
            for meta in take_new(&state, own, self.replicas, &mut known) {
                if let Err(error) = self.blocks.get(&meta).await {
                    tracing::debug!(block = %meta.id, %error, "a new block could not be opened ahead");
                }
            }
        }
    }

    /// Returns which blocks are fetched at start, the newest last.
    fn backlog(&self, mut blocks: Vec<BlockMeta>) -> Vec<BlockMeta> {
        let room = self.blocks.cache_dir().map_or(0, |cache| cache.size_bytes_max() / BACKLOG_SHARE);
        blocks.sort_unstable_by_key(|meta| std::cmp::Reverse((meta.range.end, meta.id)));
        let bytes = |meta: &BlockMeta| -> u64 {
            opening_reads(meta).iter().map(|(_, range)| range.end - range.start).sum()
        };
        let sums = blocks.iter().scan(0u64, |sum, meta| {
            *sum = sum.saturating_add(bytes(meta));
            Some(*sum)
        });
        let count = sums.take_while(|sum| *sum <= room).count();
        blocks.truncate(count);
        blocks.reverse();
        blocks
    }

    async fn fetch(&self, meta: &BlockMeta) {
        if let Err(error) = self.blocks.fetch(meta).await {
            tracing::debug!(block = %meta.id, %error, "a block could not be fetched ahead");
        }
    }
}

/// Returns the blocks that `own` is one of the owners of and that were not known, and remembers exactly the blocks that
/// there are.
fn take_new(
    state: &ControlState,
    own: NodeId,
    replicas: usize,
    known: &mut BTreeSet<BlockId>,
) -> Vec<BlockMeta> {
    let gateways: Vec<NodeId> = state.live(Role::Gateway).map(|member| member.node).collect();
    let is_own = |meta: &BlockMeta| {
        rendezvous::of_shard(meta.shard, gateways.iter().copied())
            .iter()
            .take(replicas)
            .any(|node| *node == own)
    };
    let new = state.catalogue.active().filter(|meta| !known.contains(&meta.id) && is_own(meta));
    let new = new.cloned().collect();
    *known = state.catalogue.iter().map(|entry| entry.meta.id).collect();
    new
}
