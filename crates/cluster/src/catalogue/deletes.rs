//! Deletes of the catalogue: which blocks a request is noted at, and when it leaves.
//!
//! Invariant: a block in the catalogue, a tombstoned one too, has a note for each request that deletes any of its samples.
//! So whoever reads it at any version from the request's on leaves them out.

use super::*;
use crate::delete::{
    Assessment, DELETE_NOTES_MAX, DELETES_MAX, DELETES_REMEMBERED_MAX, DeleteId, DeleteOrder, DeleteRequest,
    JobDelete, ShardDelete,
};
use crate::state::StateError;

impl Catalogue {
    /// Returns the requests that some block is subject to or will be, the oldest first.
    pub fn deletes(&self) -> impl Iterator<Item = &DeleteRequest> {
        let mut requests: Vec<&DeleteRequest> = self.deletes.values().collect();
        requests.sort_by_key(|request| (request.at_ms, request.order.id));
        requests.into_iter()
    }

    /// Returns a request.
    pub fn delete(&self, id: DeleteId) -> Option<&DeleteRequest> {
        self.deletes.get(&id)
    }

    /// Returns what must be left out of a block, in the order of ids.
    pub fn deletes_of(&self, block: BlockId) -> impl Iterator<Item = &DeleteOrder> {
        let ids = self.blocks.get(&block).into_iter().flat_map(|entry| entry.deletes.keys());
        ids.filter_map(|id| self.deletes.get(id)).map(|request| &request.order)
    }

    /// Tells whether a request was taken, also when it has left.
    pub fn knows_delete(&self, id: DeleteId) -> bool {
        self.deletes.contains_key(&id) || self.finished_deletes.contains(&id)
    }

    /// Takes a request; again, it changes nothing.
    ///
    /// # Errors
    /// [`StateError::Conflict`] when the order is malformed or lacks a shard; [`StateError::Limit`].
    pub(crate) fn request_delete(
        &mut self,
        order: DeleteOrder,
        shards: &[ShardDelete],
        at_ms: i64,
    ) -> Result<(), StateError> {
        if self.knows_delete(order.id) {
            return Ok(());
        }
        order.check().map_err(StateError::Conflict)?;
        if self.deletes.len() >= DELETES_MAX {
            let text = format!(
                "{DELETES_MAX} deletes wait to be folded into blocks, the most there may be: try again later"
            );
            return Err(StateError::Limit(text));
        }
        let cut_before = |meta: &BlockMeta| {
            let of_shard = shards.iter().find(|taken| taken.shard == meta.shard);
            of_shard.is_none_or(|taken| meta.cut_index < taken.index)
        };
        let concerned =
            |entry: &&Arc<BlockEntry>| entry.meta.range.overlaps(&order.range()) && cut_before(&entry.meta);
        let concerned: Vec<BlockId> = self.blocks.values().filter(concerned).map(|e| e.meta.id).collect();
        let notes: usize = self.blocks.values().map(|entry| entry.deletes.len()).sum();
        if notes + concerned.len() > DELETE_NOTES_MAX {
            let text = format!(
                "deletes are noted {notes} times at blocks, at most {DELETE_NOTES_MAX} are allowed: try again later"
            );
            return Err(StateError::Limit(text));
        }
        let unpublished = |taken: &&ShardDelete| {
            taken.frozen_until_ms.is_some_and(|end_ms| self.published_until_ms(taken.shard) < end_ms)
        };
        let awaited = shards.iter().filter(unpublished);
        let awaits = awaited.filter_map(|taken| Some((taken.shard, (taken.index, taken.frozen_until_ms?))));
        let id = order.id;
        let request = DeleteRequest { awaits: awaits.collect(), order, at_ms, clean: false };
        self.deletes.insert(id, request);
        for block in concerned {
            let entry = self.blocks.get_mut(&block).expect("it was just found");
            Arc::make_mut(entry).deletes.insert(id, None);
        }
        self.prune_deletes();
        Ok(())
    }

    /// Marks all requests, so that blocks are rewritten for them.
    pub(crate) fn clean_deletes(&mut self) {
        self.deletes.values_mut().for_each(|request| request.clean = true);
    }

    /// Takes in what was found in blocks. A note without a sample goes; those that are gone are passed over.
    pub(crate) fn assess_deletes(&mut self, found: &[Assessment]) {
        for Assessment { block, delete, samples } in found {
            let Some(entry) = self.blocks.get_mut(block).filter(|e| e.deletes.contains_key(delete)) else {
                continue;
            };
            let notes = &mut Arc::make_mut(entry).deletes;
            match samples {
                0 => notes.remove(delete),
                samples => notes.insert(*delete, Some(*samples)),
            };
        }
        self.prune_deletes();
    }

    /// Notes what a block is subject to that a shard just published, and stops waiting for its window.
    pub(crate) fn note_published(&mut self, id: BlockId) {
        let Some(entry) = self.blocks.get_mut(&id).filter(|_| !self.deletes.is_empty()) else { return };
        let meta = entry.meta.clone();
        let concerning = self.deletes.iter().filter(|(_, request)| request.concerns_published(&meta));
        let notes: Vec<DeleteId> = concerning.map(|(id, _)| *id).collect();
        if !notes.is_empty() {
            Arc::make_mut(entry).deletes.extend(notes.into_iter().map(|id| (id, None)));
        }
        for request in self.deletes.values_mut() {
            request.awaits.retain(|shard, (_, end_ms)| *shard != meta.shard || meta.range.end.0 < *end_ms);
        }
        self.prune_deletes();
    }

    /// Returns what a job whose inputs are as now has to leave out of each of them.
    pub(crate) fn deletes_of_inputs(&self, order: &JobOrder) -> BTreeMap<BlockId, BTreeSet<DeleteId>> {
        let noted = |id: &BlockId| {
            let deletes: BTreeSet<DeleteId> = self.blocks.get(id)?.deletes.keys().copied().collect();
            (!deletes.is_empty()).then_some((*id, deletes))
        };
        order.inputs.iter().filter_map(noted).collect()
    }

    /// Returns the same as whoever does the job needs it.
    pub(crate) fn job_deletes(&self, job: &Job) -> Vec<JobDelete> {
        let mut inputs: BTreeMap<DeleteId, Vec<BlockId>> = BTreeMap::new();
        for (input, deletes) in &job.deletes {
            deletes.iter().for_each(|delete| inputs.entry(*delete).or_default().push(*input));
        }
        let order = |id: &DeleteId| self.deletes.get(id).map(|request| request.order.clone());
        let delete = |(id, inputs)| Some(JobDelete { order: order(&id)?, inputs });
        inputs.into_iter().filter_map(delete).collect()
    }

    /// Returns the deletes that came while a job was done: its outputs are subject to them.
    ///
    /// # Errors
    /// A sentence when one is meant for some of the inputs only: their samples cannot be told apart any more.
    pub(crate) fn deletes_since(&self, job: &Job) -> Result<BTreeSet<DeleteId>, String> {
        let inputs: Vec<&Arc<BlockEntry>> =
            job.order.inputs.iter().filter_map(|id| self.blocks.get(id)).collect();
        let is_new = |input: &BlockEntry, delete: &DeleteId| {
            let folded = job.deletes.get(&input.meta.id).is_some_and(|folded| folded.contains(delete));
            input.deletes.contains_key(delete) && !folded
        };
        let all = inputs.iter().flat_map(|input| input.deletes.keys().map(move |delete| (input, delete)));
        let new: BTreeSet<DeleteId> =
            all.filter(|(input, delete)| is_new(input, delete)).map(|(_, delete)| *delete).collect();
        for delete in &new {
            let range = self.deletes.get(delete).map_or(TimeRange::ALL, |request| request.order.range());
            let spared = inputs.iter().find(|i| i.meta.range.overlaps(&range) && !is_new(i, delete));
            if let Some(spared) = spared {
                return Err(format!(
                    "delete {delete} came meanwhile and does not concern block {}",
                    spared.meta.id
                ));
            }
        }
        Ok(new)
    }

    /// Lets requests go that are noted at no block and wait for none.
    pub(crate) fn prune_deletes(&mut self) {
        if self.deletes.is_empty() {
            return;
        }
        let noted: BTreeSet<DeleteId> =
            self.blocks.values().flat_map(|entry| entry.deletes.keys().copied()).collect();
        let done =
            |id: &DeleteId, request: &mut DeleteRequest| request.awaits.is_empty() && !noted.contains(id);
        let gone = self.deletes.extract_if(.., |id, request| done(id, request));
        self.finished_deletes.extend(gone.map(|(id, _)| id));
        let surplus = self.finished_deletes.len().saturating_sub(DELETES_REMEMBERED_MAX);
        self.finished_deletes.drain(..surplus);
    }
}
