//! Opens blocks as they are published, so that the first query after a publication finds their index here.
//!
//! Only blocks that this gateway owns among the live ones, and only those published while it runs: after a restart the
//! cache on disk has the others. What fails is left to the first query.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use cluster::{ControlState, Role, rendezvous};
use model::{BlockId, BlockMeta, NodeId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::blocks::Blocks;

/// Tells which node this gateway is; `None` while it is no member.
pub(crate) type OwnNode = Arc<dyn Fn() -> Option<NodeId> + Send + Sync>;

/// The worker.
pub(crate) struct Prefetch {
    pub(crate) catalogue: watch::Receiver<Arc<ControlState>>,
    pub(crate) blocks: Arc<Blocks>,
    pub(crate) own_node: OwnNode,
}

impl Prefetch {
    /// Runs until shutdown.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), Infallible> {
        // The sender ends with the process.
        let _ = shutdown.run_until_cancelled(self.follow()).await;
        Ok(())
    }

    async fn follow(&mut self) -> Result<(), watch::error::RecvError> {
        let state = Arc::clone(&*self.catalogue.wait_for(|state| state.settings.is_some()).await?);
        let mut known: BTreeSet<BlockId> = state.catalogue.iter().map(|entry| entry.meta.id).collect();
        loop {
            self.catalogue.changed().await?;
            let state = Arc::clone(&self.catalogue.borrow_and_update());
            for meta in take_new(&state, (self.own_node)(), &mut known) {
                if let Err(error) = self.blocks.get(&meta).await {
                    tracing::debug!(block = %meta.id, %error, "a new block could not be opened ahead");
                }
            }
        }
    }
}

/// Returns the blocks that `own` owns and that were not known, and remembers exactly the blocks that there are.
fn take_new(state: &ControlState, own: Option<NodeId>, known: &mut BTreeSet<BlockId>) -> Vec<BlockMeta> {
    let gateways: Vec<NodeId> = state.live(Role::Gateway).map(|member| member.node).collect();
    let is_own = |meta: &BlockMeta| {
        let owner = rendezvous::of_shard(meta.shard, gateways.iter().copied()).first().copied();
        owner.is_some() && owner == own
    };
    let new = state.catalogue.active().filter(|meta| !known.contains(&meta.id) && is_own(meta));
    let new = new.cloned().collect();
    *known = state.catalogue.iter().map(|entry| entry.meta.id).collect();
    new
}
