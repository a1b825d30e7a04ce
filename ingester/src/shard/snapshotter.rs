//! Takes a snapshot after each dropped window: the log before it is then no longer needed on this replica.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::replica::Replica;

/// Runs until shutdown.
pub(crate) async fn run(
    replica: Arc<Replica>,
    shutdown: CancellationToken,
) -> Result<(), crate::IngesterError> {
    let mut drops = replica.drops();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            changed = drops.changed() => if changed.is_err() { return Ok(()) },
        }
        match replica.group.snapshot().await {
            Ok(()) => info!(shard = %replica.shard, "snapshot taken, log shortened"),
            // The log stays as it is; the next window tries again.
            Err(error) => warn!(shard = %replica.shard, %error, "no snapshot; the log is kept"),
        }
    }
}
