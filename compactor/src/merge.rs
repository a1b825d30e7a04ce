//! The worker that merges blocks. Every compactor of the cluster runs one; the catalogue gives each job to one of them.
//!
//! A job is:
//! 1. claim: the catalogue names the outputs and an epoch; nobody else gets these inputs while this membership stands;
//! 2. split: what would be too much for one block is divided by series;
//! 3. for one part after the other: merge, where the output grows in a file without a name, and upload, under a name that the
//!    claim gave;
//! 4. commit: the outputs become active and the inputs tombstoned, in one command.
//!
//! A worker that dies anywhere before the commit has changed nothing that a query sees: its membership lapses, the inputs
//! are free again, and garbage collection deletes what it uploaded. A worker that only seemed dead fails at the commit.
//!
//! An input that is damaged or gone is set aside in the catalogue by name, and the job is planned again without it. What
//! fails otherwise is given back and tried again after the interval; meanwhile other jobs go on, unless the object store or
//! the control group is away.

use std::sync::Arc;

use block::{
    BlockError, BlockReader, MergeOutput, MergedBlock, ObjectStoreReader, RangeReader, Slotting, SplitLimits,
};
use cluster::{
    BadBlock, BlockState, Catalogue, Command, ControlState, Downsampling, JobDelete, JobId, JobOrder,
    Response, StateError,
};
use futures::{StreamExt, TryStreamExt, stream};
use model::{BlockId, BlockMeta, Epoch, ErrorKind, SortRange};
use session::{Membership, Session, SessionError};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock::now_ms;
use crate::deletes::JobErase;
use crate::metrics::MergeMetrics;
use crate::plan::{MergeRules, downsamplings, merges, rewrites};
use crate::{CompactorConfig, CompactorError};

/// How many inputs of a job are opened at the same time.
const OPENS_MAX: usize = 4;
/// How many jobs that failed are remembered and left alone until the next interval; beyond, the worker rests.
const FAILED_MAX: usize = 100;

/// One worker.
pub(crate) struct Merger {
    pub(crate) config: CompactorConfig,
    pub(crate) session: Arc<Session>,
    pub(crate) metrics: MergeMetrics,
}

/// A job that is this worker's.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) job: JobId,
    pub(crate) epoch: Epoch,
    /// The names of what it writes.
    pub(crate) outputs: Vec<BlockId>,
    pub(crate) order: JobOrder,
    /// What it leaves out.
    pub(crate) deletes: Vec<JobDelete>,
}

impl Merger {
    /// Runs until shutdown. The job under way is dropped then, and done again by whoever claims it next.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), CompactorError> {
        // Cancelled or not: the loop itself has no end.
        let _ = shutdown.run_until_cancelled(self.run_jobs()).await;
        self.metrics.running.set(0);
        Ok(())
    }

    async fn run_jobs(&self) {
        self.session.wait_joined().await;
        let mut failed = Vec::new();
        loop {
            let state = self.session.state();
            self.note(&state.catalogue);
            match self.next_job(&state, &failed).await {
                Ok(Some(claim)) => {
                    self.metrics.running.set(1);
                    let done = self.run_job(&claim).await;
                    self.metrics.running.set(0);
                    let Err(error) = done else { continue };
                    self.metrics.failures.inc();
                    warn!(job = %claim.job, %error, cause = error.cause(), "a merge failed; it is tried again");
                    failed.push(claim.order);
                    if error.is_unavailable() || failed.len() >= FAILED_MAX {
                        // Another job would fare no better now.
                        tokio::time::sleep(self.config.interval).await;
                        failed.clear();
                    }
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    warn!(%error, cause = error.cause(), "no job could be claimed; trying again later")
                }
            }
            self.rest(&state, &mut failed).await;
        }
    }

    /// Waits for a change of the catalogue, or for the interval, after which failed jobs are tried again.
    async fn rest(&self, seen: &ControlState, failed: &mut Vec<JobOrder>) {
        let mut states = self.session.watch();
        let seen = Arc::clone(&seen.catalogue);
        let changed = states.wait_for(|state| state.catalogue != seen);
        tokio::select! {
            () = tokio::time::sleep(self.config.interval) => failed.clear(),
            _ = changed => {}
        }
    }

    fn note(&self, catalogue: &Catalogue) {
        let active = catalogue.iter().filter(|entry| entry.state == BlockState::Active);
        let notes: usize = active.map(|entry| entry.deletes.len()).sum();
        self.metrics.delete_notes.set(notes as i64);
        let aside = catalogue.active_set_aside().count();
        self.metrics.set_aside.set(aside as i64);
        self.metrics.jobs_open.set(catalogue.jobs().count() as i64);
    }

    /// Claims the first job that is to be had; `None` when there is nothing to do.
    async fn next_job(
        &self,
        state: &ControlState,
        failed: &[JobOrder],
    ) -> Result<Option<Claim>, CompactorError> {
        let (Some(membership), Some(settings)) = (self.session.membership(), &state.settings) else {
            return Ok(None);
        };
        // A claim whose answer was lost, or a commit: it is confirmed and done again, to the same bytes.
        let own = state.catalogue.jobs().filter(|(_, job)| job.lease.holder == membership.node);
        let own: Vec<JobOrder> = own.map(|(_, job)| job.order.clone()).collect();
        let rules = MergeRules {
            block_duration_ms: settings.block_duration_ms,
            retention: self.config.retention,
            split: self.config.split,
        };
        let mut planned = merges(&state.catalogue, rules);
        let taken = planned.iter().flat_map(|order| order.inputs.iter().copied()).collect();
        planned.extend(downsamplings(
            &state.catalogue,
            self.config.downsampling,
            self.config.retention,
            &taken,
        ));
        self.metrics.jobs_planned.set(planned.len() as i64);
        let rewrites = rewrites(&state.catalogue, &planned);
        for order in own.into_iter().chain(planned).chain(rewrites).filter(|order| !failed.contains(order)) {
            if let Some(claim) = self.claim(membership, order).await? {
                return Ok(Some(claim));
            }
        }
        Ok(None)
    }

    /// Claims a job; `None` when another was faster, or when what was planned from is out of date.
    pub(crate) async fn claim(
        &self,
        membership: Membership,
        order: JobOrder,
    ) -> Result<Option<Claim>, CompactorError> {
        let Membership { node, epoch: member_epoch } = membership;
        let command = Command::ClaimJob { order: order.clone(), node, member_epoch };
        match self.session.propose(&command).await {
            Ok(Response::Claimed { job, epoch, outputs, deletes }) => {
                if outputs.is_empty() {
                    return Err(CompactorError::Claim);
                }
                debug!(%job, %epoch, inputs = order.inputs.len(), outputs = outputs.len(), "claimed a merge");
                Ok(Some(Claim { job, epoch, outputs, order, deletes }))
            }
            Ok(_) => Err(CompactorError::Claim),
            Err(SessionError::Refused(StateError::Conflict(reason))) => {
                debug!(reason, "a job is not to be had");
                Ok(None)
            }
            Err(source) => Err(CompactorError::Commit { step: "claiming a job", source }),
        }
    }

    /// Does a job to its end, which is a commit or an abort.
    async fn run_job(&self, claim: &Claim) -> Result<(), CompactorError> {
        let began = std::time::Instant::now();
        let done = self.do_job(claim).await;
        match done {
            Ok(metas) => {
                self.metrics.merged(claim.order.inputs.len(), &metas, began.elapsed());
                for meta in metas {
                    info!(
                        job = %claim.job, block = %meta.id, shard = %meta.shard, level = meta.level, resolution_ms = meta.resolution_ms,
                        inputs = claim.order.inputs.len(), series = meta.series, samples = meta.samples,
                        bytes = meta.series_object.size_bytes + meta.chunks_object.size_bytes,
                        took = ?began.elapsed(), "merged blocks"
                    );
                }
                Ok(())
            }
            Err(error) => self.give_up(claim, error).await,
        }
    }

    async fn do_job(&self, claim: &Claim) -> Result<Vec<BlockMeta>, CompactorError> {
        let mut metas = Vec::new();
        for (output, inputs) in self.parts(claim).await? {
            let merged = self.merge(claim, &output, inputs).await?;
            if merged.meta.series == 0 {
                // All of it is deleted.
                continue;
            }
            self.upload(claim, &merged).await?;
            metas.push(merged.meta);
        }
        self.commit(claim, metas.clone()).await?;
        Ok(metas)
    }

    /// Divides the series of the inputs among as many blocks as they need; returns each with the inputs that have any of them.
    pub(crate) async fn parts(
        &self,
        claim: &Claim,
    ) -> Result<Vec<(MergeOutput, Vec<BlockMeta>)>, CompactorError> {
        let state = self.session.state();
        let meta = |id: &BlockId| {
            let entry = state.catalogue.get(*id).filter(|entry| entry.state == BlockState::Active);
            entry.map(|entry| entry.meta.clone()).ok_or(CompactorError::InputGone { block: *id })
        };
        let metas: Vec<BlockMeta> = claim.order.inputs.iter().map(meta).collect::<Result<_, _>>()?;
        if claim.order.downsample.is_some() {
            // A block is never larger for being reduced.
            let sort_range =
                metas.iter().map(|meta| meta.sort_range.clone()).reduce(|all, one| all.hull(&one));
            let (id, level) = (claim.outputs[0], claim.order.level);
            let output = MergeOutput { id, level, sort_range: sort_range.unwrap_or_default() };
            return Ok(vec![(output, metas)]);
        }
        let limits = SplitLimits { parts: claim.outputs.len(), ..self.config.split };
        let ranges = block::split(&*self.reader(), &metas, limits).await;
        let ranges = ranges.map_err(|source| CompactorError::Merge { job: claim.job, source })?;
        let part = |(sort_range, id): (SortRange, &BlockId)| {
            let inputs = metas.iter().filter(|meta| meta.sort_range.overlaps(&sort_range)).cloned().collect();
            (MergeOutput { id: *id, level: claim.order.level, sort_range }, inputs)
        };
        Ok(ranges.into_iter().zip(&claim.outputs).map(part).collect())
    }

    fn reader(&self) -> Arc<dyn RangeReader> {
        Arc::new(ObjectStoreReader::new(Arc::clone(&self.config.objects)))
    }

    /// Reads the inputs of one part and writes the output to a local file.
    pub(crate) async fn merge(
        &self,
        claim: &Claim,
        output: &MergeOutput,
        inputs: Vec<BlockMeta>,
    ) -> Result<MergedBlock, CompactorError> {
        let reader = self.reader();
        let resolution_ms = inputs.first().map_or(0, |input| input.resolution_ms);
        let open = |meta: BlockMeta| {
            let reader = Arc::clone(&reader);
            async move {
                let block = meta.id;
                let opened = BlockReader::open(reader, meta).await;
                opened.map_err(|source| BlockError::Input { block, source: Box::new(source) })
            }
        };
        let opened = stream::iter(inputs.into_iter().map(open)).buffered(OPENS_MAX).try_collect::<Vec<_>>();
        let fault = |source| CompactorError::Merge { job: claim.job, source };
        let inputs = opened.await.map_err(fault)?;
        let erase = Arc::new(JobErase::new(&self.session.state(), &claim.deletes, resolution_ms)?);
        let dir = &self.config.spool_dir;
        let made = match claim.order.downsample {
            None => block::merge(output, inputs, erase, dir).await,
            Some(Downsampling { resolution_ms, window }) => {
                let slotting = Slotting { resolution_ms, window };
                block::downsample(output, slotting, inputs, erase, dir).await
            }
        };
        made.map_err(fault)
    }

    /// Uploads one output, unless the membership that the claim hangs on is gone.
    pub(crate) async fn upload(&self, claim: &Claim, merged: &MergedBlock) -> Result<(), CompactorError> {
        if self.session.membership().is_none() {
            return Err(CompactorError::Commit { step: "uploading", source: SessionError::NoMembership });
        }
        let uploaded = block::upload_merged(self.config.objects.as_ref(), merged).await;
        uploaded.map_err(|source| CompactorError::Merge { job: claim.job, source })
    }

    /// Puts the outputs in the place of the inputs.
    pub(crate) async fn commit(&self, claim: &Claim, outputs: Vec<BlockMeta>) -> Result<(), CompactorError> {
        let command = Command::CommitJob { job: claim.job, epoch: claim.epoch, outputs, at_ms: now_ms() };
        let committed = self.session.propose(&command).await;
        committed.map(drop).map_err(|source| CompactorError::Commit { step: "committing a merge", source })
    }

    /// Gives a job back after an error; returns the error unless it was an input's, which is set aside.
    async fn give_up(&self, claim: &Claim, error: CompactorError) -> Result<(), CompactorError> {
        let bad: Vec<BadBlock> = bad_input(&error).into_iter().collect();
        let command = Command::AbortJob { job: claim.job, epoch: claim.epoch, bad: bad.clone() };
        match self.session.propose(&command).await {
            Ok(_) => {}
            Err(SessionError::Refused(StateError::Fenced(reason))) => {
                info!(job = %claim.job, reason, "a merge was another's by now");
            }
            Err(source) => return Err(CompactorError::Commit { step: "giving a merge up", source }),
        }
        let Some(BadBlock { id, reason }) = bad.first() else { return Err(error) };
        self.metrics.bad_inputs.inc();
        warn!(
            block = %id, reason,
            "a block is damaged: it is set aside; restore its objects, and it is merged again within an hour"
        );
        Ok(())
    }
}

/// Returns the input that caused an error and will cause it again.
fn bad_input(error: &CompactorError) -> Option<BadBlock> {
    let CompactorError::Merge { source, .. } = error else { return None };
    match source {
        BlockError::Input { block, source } => {
            let is_lasting = matches!(source.kind(), ErrorKind::Corrupt | ErrorKind::NotFound);
            is_lasting.then(|| BadBlock { id: *block, reason: source.to_string() })
        }
        BlockError::Unlike { block, .. } => Some(BadBlock { id: *block, reason: source.to_string() }),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
