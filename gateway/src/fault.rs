//! What a block's error means to the one who asked.

use std::sync::Arc;

use block::BlockError;
use cluster::{BlockState, ControlState};
use model::{BlockMeta, ErrorKind};
use proto::error::status;
use tokio::sync::watch;
use tonic::Status;

/// Tells damage from a block that was deleted meanwhile.
pub(crate) struct Faults {
    pub(crate) catalogue: watch::Receiver<Arc<ControlState>>,
}

impl Faults {
    /// Returns the status of a failed read of one block; the message names the object or the block, and the causes.
    ///
    /// An object that is gone is damage while the catalogue has the block, and else a reason to take a new version of the
    /// catalogue: never the caller's mistake.
    pub(crate) fn status(&self, meta: &BlockMeta, error: &BlockError) -> Status {
        let message = service::chain(error);
        if error.kind() != ErrorKind::NotFound {
            return status(error.kind(), message);
        }
        let state = self.catalogue.borrow();
        let is_active = state.catalogue.get(meta.id).is_some_and(|entry| entry.state == BlockState::Active);
        let kind = if is_active { ErrorKind::Corrupt } else { ErrorKind::Conflict };
        status(kind, format!("block {}: {message}", meta.id))
    }
}
