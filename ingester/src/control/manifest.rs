//! Writes the control state to the bucket at each change of the catalogue, so that a bucket alone can rebuild a cluster.
//!
//! Each version is an object of its own, created only if absent: two leaders that overlap cannot overwrite one another, and
//! the newest version is the truth. Old versions are deleted when newer ones are safe.

use std::sync::Arc;
use std::time::Duration;

use cluster::ControlState;
use consensus::Group;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::feed::Feed;

/// How many versions stay in the bucket.
const VERSIONS_KEPT: usize = 10;
/// The pause after a failed write.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// The writer of manifests; runs on every ingester and acts on the leader.
pub(crate) struct ManifestWriter {
    pub(crate) group: Group,
    pub(crate) feed: Arc<Feed>,
    pub(crate) objects: Arc<dyn ObjectStore>,
}

impl ManifestWriter {
    /// Runs until shutdown.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), crate::IngesterError> {
        let mut states = self.feed.subscribe();
        let mut written: Option<Arc<cluster::Catalogue>> = None;
        let mut kept = Vec::new();
        loop {
            let state = states.borrow_and_update().clone();
            let news = written.as_ref() != Some(&state.catalogue);
            if news && state.settings.is_some() && self.group.is_leader() {
                match self.write(&state, &mut kept).await {
                    Ok(()) => written = Some(state.catalogue.clone()),
                    Err(error) => {
                        warn!(%error, "manifest not written; trying again");
                        tokio::select! {
                            () = shutdown.cancelled() => return Ok(()),
                            () = tokio::time::sleep(RETRY_PAUSE) => continue,
                        }
                    }
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                changed = states.changed() => if changed.is_err() { return Ok(()) },
            }
        }
    }

    async fn write(&self, state: &ControlState, kept: &mut Vec<Path>) -> object_store::Result<()> {
        let path = Path::from(format!("manifest/{:020}.json", state.version));
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.objects.put_opts(&path, PutPayload::from(state.encode()), options).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
        kept.push(path);
        while kept.len() > VERSIONS_KEPT {
            self.objects.delete(&kept.remove(0)).await?;
        }
        Ok(())
    }
}
