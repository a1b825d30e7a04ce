//! Deletes of series, as the compactor sees them: what a job leaves out of its inputs, and the worker that looks up how much of
//! each block a delete concerns.
//!
//! The worker opens the index of every block that has a note nobody has assessed, and tells the catalogue: a note that
//! concerns no sample goes, and where much of a block is deleted the planner has it rewritten. Compactors share the blocks. What it
//! tells are facts of blocks that never change, so nobody has to have a right to tell them.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::{BlockError, BlockReader, Erase, ObjectStoreReader};
use cluster::{
    Assessment, BlockEntry, BlockState, Command, ControlState, DeleteOrder, JobDelete, Role, rendezvous,
};
use model::{BlockId, LabelSet, TimeRanges};
use selection::{Delete, Deletes, External};
use session::Session;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::error::cause;
use crate::{CompactorConfig, CompactorError};

/// What is left out of each block of a job.
#[derive(Debug, Default)]
pub(crate) struct JobErase(BTreeMap<BlockId, Deletes>);

impl Erase for JobErase {
    fn erased(&self, block: BlockId, labels: &LabelSet) -> TimeRanges {
        self.0.get(&block).map(|deletes| deletes.of(labels)).unwrap_or_default()
    }

    fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }
}

/// Returns the external labels of a cluster.
fn external_of(state: &ControlState) -> Arc<External> {
    let external = state.settings.as_ref().map(|settings| External::new(&settings.external_labels));
    Arc::new(external.unwrap_or_default())
}

fn compile(order: &DeleteOrder) -> Result<Arc<Delete>, CompactorError> {
    let selectors = order.compile().map_err(|reason| CompactorError::Delete { id: order.id, reason })?;
    Ok(Arc::new(Delete { selectors, range: order.range() }))
}

impl JobErase {
    /// Compiles what a claim says of inputs of a resolution.
    pub(crate) fn new(
        state: &ControlState,
        deletes: &[JobDelete],
        resolution_ms: i64,
    ) -> Result<Self, CompactorError> {
        let external = external_of(state);
        let mut of_block: BTreeMap<BlockId, Vec<Arc<Delete>>> = BTreeMap::new();
        for JobDelete { order, inputs } in deletes {
            let delete = compile(order)?.at_resolution(resolution_ms);
            inputs.iter().for_each(|input| of_block.entry(*input).or_default().push(Arc::clone(&delete)));
        }
        let deletes = |deletes| Deletes::new(Arc::clone(&external), deletes);
        Ok(Self(of_block.into_iter().map(|(block, all)| (block, deletes(all))).collect()))
    }
}

/// The worker that assesses.
pub(crate) struct Assessor {
    pub(crate) config: CompactorConfig,
    pub(crate) session: Arc<Session>,
}

impl Assessor {
    /// Runs until shutdown.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), CompactorError> {
        // Cancelled or not: the loop itself has no end.
        let _ = shutdown.run_until_cancelled(self.run_rounds()).await;
        Ok(())
    }

    async fn run_rounds(&self) {
        self.session.wait_joined().await;
        loop {
            let state = self.session.state();
            let mut failed = false;
            for entry in self.own_share(&state) {
                if let Err(error) = self.assess(&state, &entry).await {
                    failed = true;
                    let cause = cause(&error);
                    warn!(block = %entry.meta.id, %error, cause, "what is deleted of a block is not known; it is looked up again");
                }
            }
            self.rest(&state, failed).await;
        }
    }

    /// Waits for a change of the catalogue, or after a failure for the interval.
    async fn rest(&self, seen: &ControlState, failed: bool) {
        if failed {
            return tokio::time::sleep(self.config.interval).await;
        }
        let mut states = self.session.watch();
        let seen = Arc::clone(&seen.catalogue);
        // An error means that the session has ended, and with it soon this worker.
        drop(states.wait_for(|state| state.catalogue != seen).await);
    }

    /// Returns the blocks with a note to be assessed that fall to this compactor.
    fn own_share(&self, state: &ControlState) -> Vec<Arc<BlockEntry>> {
        let Some(membership) = self.session.membership() else { return Vec::new() };
        let live: Vec<_> = state.live(Role::Compactor).map(|member| member.node).collect();
        let is_own = |entry: &&Arc<BlockEntry>| {
            entry.state == BlockState::Active
                && entry.set_aside.is_none()
                && entry.deletes.values().any(Option::is_none)
                && rendezvous::owner(&entry.meta.id.0.to_be_bytes(), live.iter().copied())
                    == Some(membership.node)
        };
        state.catalogue.iter().filter(is_own).cloned().collect()
    }

    async fn assess(&self, state: &ControlState, entry: &BlockEntry) -> Result<(), CompactorError> {
        let (meta, external) = (&entry.meta, external_of(state));
        let fault = |source| CompactorError::Assess { block: meta.id, source: Box::new(source) };
        let reader = Arc::new(ObjectStoreReader::new(Arc::clone(&self.config.objects)));
        let reader = BlockReader::open(reader, meta.clone()).await.map_err(fault)?;
        let unknown = entry.deletes.iter().filter(|(_, samples)| samples.is_none()).map(|(id, _)| *id);
        let mut found = Vec::new();
        for delete in unknown {
            let Some(request) = state.catalogue.delete(delete) else { continue };
            let compiled = compile(&request.order)?.at_resolution(meta.resolution_ms);
            let deletes = Deletes::new(Arc::clone(&external), vec![compiled]);
            let (reader, erase) = (reader.clone(), JobErase([(meta.id, deletes)].into()));
            let counted = tokio::task::spawn_blocking(move || reader.erased_samples(&erase)).await;
            let object = meta.series_object.key.clone();
            let ended = |e: tokio::task::JoinError| fault(BlockError::Task { object, reason: e.to_string() });
            let samples = counted.map_err(ended)?.map_err(fault)?;
            debug!(block = %meta.id, %delete, samples, "looked up what is deleted of a block");
            found.push(Assessment { block: meta.id, delete, samples });
        }
        let told = self.session.propose(&Command::AssessDeletes { found }).await;
        told.map(drop).map_err(|source| CompactorError::Commit { step: "telling what is deleted", source })
    }
}
