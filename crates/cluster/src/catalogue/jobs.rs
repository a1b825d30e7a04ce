//! Jobs and orphans of the catalogue: claiming, committing, giving up.

use super::*;
use crate::job::{Downsampling, JOBS_MAX, ORPHANS_MAX};
use crate::lease::Lease;
use crate::state::StateError;

impl Catalogue {
    /// Returns the jobs under way.
    pub fn jobs(&self) -> impl Iterator<Item = (JobId, &Job)> {
        self.jobs.iter().map(|(id, job)| (*id, job))
    }

    /// Returns a job under way.
    pub fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id)
    }

    /// Returns the names of which objects may exist without a block, with when that was noticed (ms).
    pub fn orphans(&self) -> impl Iterator<Item = (BlockId, Option<i64>)> {
        self.orphans.iter().map(|(id, noticed)| (*id, *noticed))
    }

    /// Returns a member's own claim of the same job; `None` when the job is there to be taken.
    ///
    /// # Errors
    /// [`StateError::Conflict`] when another member has it or an input is not to be had; [`StateError::Limit`].
    pub(crate) fn claim_of(
        &self,
        id: JobId,
        order: &JobOrder,
        node: NodeId,
    ) -> Result<Option<&Job>, StateError> {
        if let Some(job) = self.jobs.get(&id) {
            let own = job.lease.holder == node && job.order == *order;
            let taken = || StateError::Conflict(format!("job {id} is done by node {}", job.lease.holder));
            return if own { Ok(Some(job)) } else { Err(taken()) };
        }
        order.check().map_err(StateError::Conflict)?;
        let inputs = self.inputs(order)?;
        self.check_inputs(order, &inputs).map_err(StateError::Conflict)?;
        self.check_whole(order, &inputs).map_err(StateError::Conflict)?;
        let aside = |id: &&BlockId| self.get(**id).is_some_and(|entry| entry.set_aside.is_some());
        if let Some(id) = order.inputs.iter().find(aside) {
            return Err(StateError::Conflict(format!("block {id} is set aside")));
        }
        let busy = |job: &Job| order.inputs.iter().find(|id| job.order.inputs.contains(id)).copied();
        if let Some((other, input)) = self.jobs.iter().find_map(|(id, job)| Some((id, busy(job)?))) {
            return Err(StateError::Conflict(format!("block {input} is in job {other}")));
        }
        if self.jobs.len() >= JOBS_MAX {
            return Err(StateError::Limit(format!("{JOBS_MAX} jobs are open, the most there may be")));
        }
        if self.orphans.len() + order.outputs as usize > ORPHANS_MAX {
            return Err(StateError::Limit(format!("{ORPHANS_MAX} orphans wait for their deletion")));
        }
        Ok(None)
    }

    /// Opens a job that [`Catalogue::claim_of`] let pass.
    pub(crate) fn open_job(&mut self, id: JobId, order: JobOrder, lease: Lease) {
        let inputs = self.inputs(&order).expect("checked with the claim");
        let newest = inputs.iter().map(|input| input.range).max_by_key(|range| range.end);
        let range = newest.expect("an order without inputs is refused");
        let outputs = (0..order.outputs).map(|output| id.mint(range, lease.epoch, output)).collect();
        let deletes = self.deletes_of_inputs(&order);
        self.jobs.insert(id, Job { order, outputs, lease, deletes });
    }

    /// Replaces a job's inputs by its outputs, or adds the outputs of a downsampling. Again, it changes nothing.
    /// `version` is the state's from this command on.
    ///
    /// # Errors
    /// [`StateError::Fenced`] when the job has ended or is another's by now; [`StateError::Conflict`] when an input is no
    /// longer active or the outputs cannot be those of this job.
    pub(crate) fn commit_job(
        &mut self,
        id: JobId,
        epoch: Epoch,
        outputs: Vec<BlockMeta>,
        at_ms: i64,
        version: u64,
    ) -> Result<(), StateError> {
        let is_known = |output: &BlockMeta| self.get(output.id).is_some_and(|entry| entry.meta == *output);
        if !self.jobs.contains_key(&id) && !outputs.is_empty() && outputs.iter().all(is_known) {
            return Ok(());
        }
        let job = self.held(id, epoch)?;
        self.check_outputs(job, &outputs).map_err(StateError::Conflict)?;
        let since = self.deletes_since(job).map_err(StateError::Conflict)?;
        let job = self.jobs.remove(&id).expect("it is held");
        if job.order.downsample.is_none() {
            self.tombstone(&job.order.inputs, at_ms, &format!("merged by job {id}"), version);
        } else if outputs.is_empty() {
            self.note_without_samples(&job.order);
        }
        let unused = job.outputs.into_iter().filter(|id| outputs.iter().all(|output| output.id != *id));
        self.orphans.extend(unused.map(|id| (id, None)));
        for meta in outputs {
            let range_of = |id: &DeleteId| self.deletes.get(id).map(|request| request.order.range());
            let concerning =
                since.iter().filter(|id| range_of(id).is_some_and(|range| meta.range.overlaps(&range)));
            let deletes = concerning.map(|id| (*id, None)).collect();
            let entry = BlockEntry { deletes, ..BlockEntry::active(meta) };
            self.blocks.insert(entry.meta.id, Arc::new(entry));
        }
        self.prune_deletes();
        Ok(())
    }

    /// Ends a job without a result, and sets blocks aside that could not be read. Again, it is refused and changes nothing.
    ///
    /// # Errors
    /// [`StateError::Fenced`] when the job has ended or is another's by now.
    pub(crate) fn abort_job(
        &mut self,
        id: JobId,
        epoch: Epoch,
        bad: Vec<BadBlock>,
    ) -> Result<(), StateError> {
        self.held(id, epoch)?;
        let job = self.jobs.remove(&id).expect("it is held");
        for BadBlock { id, reason } in bad {
            if let Some(entry) = self.blocks.get_mut(&id).filter(|_| job.order.inputs.contains(&id)) {
                Arc::make_mut(entry).set_aside = Some(reason);
            }
        }
        self.orphans.extend(job.outputs.into_iter().map(|id| (id, None)));
        Ok(())
    }

    /// Ends all jobs of a member.
    pub(crate) fn abort_jobs_of(&mut self, node: NodeId) {
        let ended = self.jobs.extract_if(.., |_, job| job.lease.holder == node);
        self.orphans.extend(ended.flat_map(|(_, job)| job.outputs).map(|id| (id, None)));
    }

    fn held(&self, id: JobId, epoch: Epoch) -> Result<&Job, StateError> {
        let job = self.jobs.get(&id).filter(|job| job.lease.epoch == epoch);
        job.ok_or_else(|| StateError::Fenced(format!("job {id} is no longer held with epoch {epoch}")))
    }

    /// Returns the inputs of an order, all of them active.
    fn inputs(&self, order: &JobOrder) -> Result<Vec<&BlockMeta>, StateError> {
        let active = |id: &BlockId| {
            let entry = self.blocks.get(id).filter(|entry| entry.state == BlockState::Active);
            let entry = entry.ok_or_else(|| StateError::Conflict(format!("block {id} is not active")))?;
            Ok(&entry.meta)
        };
        order.inputs.iter().map(active).collect()
    }

    /// Tells why an order cannot be done with its inputs, if anything stands against it: they are of one shard and resolution,
    /// and no slot is made twice, nor looked for again where there was nothing.
    fn check_inputs(&self, order: &JobOrder, inputs: &[&BlockMeta]) -> Result<(), String> {
        let first = inputs[0];
        if let Some(other) = inputs.iter().find(|input| input.shard != first.shard) {
            return Err(format!("block {} is of shard {}, others are not", other.id, other.shard));
        }
        if let Some(other) = inputs.iter().find(|input| input.resolution_ms != first.resolution_ms) {
            let (a, b) = (other.resolution_ms, first.resolution_ms);
            return Err(format!("block {} has a resolution of {a} ms, others {b} ms", other.id));
        }
        let Some(Downsampling { resolution_ms, window }) = order.downsample else { return Ok(()) };
        let is_bare =
            |id: &BlockId| self.get(*id).is_some_and(|entry| entry.without_samples.contains(&window));
        if order.inputs.iter().all(is_bare) {
            return Err("nothing was found in the window before".to_owned());
        }
        let of = first.resolution_ms;
        if resolution_ms <= of || of > 0 && resolution_ms % of != 0 {
            return Err(format!("slots of {resolution_ms} ms cannot be made of those of {of} ms"));
        }
        let is_there = |meta: &&BlockMeta| {
            meta.shard == first.shard
                && meta.resolution_ms == resolution_ms
                && meta.range.overlaps(&window.closed())
                && inputs.iter().any(|input| input.sort_range.overlaps(&meta.sort_range))
        };
        match self.active().find(is_there) {
            Some(there) => Err(format!("block {} has slots of the same window", there.id)),
            None => Ok(()),
        }
    }

    /// Tells what shows that blocks are not what a job makes of its inputs, if anything does.
    fn check_outputs(&self, job: &Job, outputs: &[BlockMeta]) -> Result<(), String> {
        let inputs = self.inputs(&job.order).map_err(|error| error.to_string())?;
        // Imported blocks may have come since the claim.
        self.check_whole(&job.order, &inputs)?;
        if !job.minted(outputs.iter().map(|output| output.id)) {
            return Err("an output has another name than the claim gave".to_owned());
        }
        let start = inputs.iter().map(|input| input.range.start).min();
        let end = inputs.iter().map(|input| input.range.end).max();
        let (start, end, resolution_ms) = match job.order.downsample {
            Some(Downsampling { window, resolution_ms }) => {
                (Some(window.start), Some(window.end), resolution_ms)
            }
            None => (start, end, inputs[0].resolution_ms),
        };
        let sort_ranges = inputs.iter().map(|input| input.sort_range.clone());
        let series = sort_ranges.reduce(|all, range| all.hull(&range)).unwrap_or_default();
        for output in outputs {
            let within = start <= Some(output.range.start)
                && Some(output.range.end) <= end
                && series.hull(&output.sort_range) == series;
            let fits = output.level == job.order.level && output.resolution_ms == resolution_ms;
            if !within || output.shard != inputs[0].shard || !fits {
                let id = output.id;
                return Err(format!("block {id} has another range, shard, level or resolution than its job"));
            }
        }
        let read = inputs.iter().map(|input| input.samples).fold(0, u64::saturating_add);
        let written = outputs.iter().map(|output| output.samples).fold(0, u64::saturating_add);
        if written > read {
            return Err(format!("{written} samples cannot come of {read}"));
        }
        Ok(())
    }
}
