//! Plans rewrites: blocks of which so much is deleted that they are written anew, each by itself. A pure function of the
//! catalogue.
//!
//! Every merge leaves out what is deleted, so this is for blocks that are not merged any more, or not soon.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::{BlockEntry, BlockState, Catalogue, DeleteId, DeleteRequest, JobOrder, delete};
use model::BlockId;

/// A block is rewritten when more than one of so many samples is deleted: 5 %, as in Prometheus (`tsdb/compact.go`).
const REWRITE_SHARE: u64 = 20;
/// From so many requests on, blocks are rewritten for the oldest of them, however little they delete.
const REQUESTS_MANY: usize = delete::DELETES_MAX / 2;

/// Returns rewrites of blocks that no open job and none of the planned ones reads, those with the most deleted samples first.
pub fn rewrites(catalogue: &Catalogue, planned: &[JobOrder]) -> Vec<JobOrder> {
    let busy = catalogue.jobs().map(|(_, job)| &job.order).chain(planned);
    let busy: BTreeSet<BlockId> = busy.flat_map(|order| order.inputs.iter().copied()).collect();
    let surplus = catalogue.deletes().count().saturating_sub(REQUESTS_MANY);
    let pressing =
        |(at, request): (usize, &DeleteRequest)| (request.clean || at < surplus).then_some(request.order.id);
    let pressing: BTreeSet<DeleteId> = catalogue.deletes().enumerate().filter_map(pressing).collect();
    let is_free = |entry: &&Arc<BlockEntry>| {
        entry.state == BlockState::Active && entry.set_aside.is_none() && !busy.contains(&entry.meta.id)
    };
    let mut due: Vec<(u64, &BlockEntry)> = Vec::new();
    for entry in catalogue.iter().filter(is_free) {
        let deleted =
            entry.deletes.values().flatten().fold(0, |sum: u64, samples| sum.saturating_add(*samples));
        let is_much = deleted.saturating_mul(REWRITE_SHARE) > entry.meta.samples;
        if is_much || entry.deletes.keys().any(|id| pressing.contains(id)) {
            due.push((deleted, entry));
        }
    }
    due.sort_by_key(|(deleted, entry)| (u64::MAX - deleted, entry.meta.id));
    let order = |(_, entry): (u64, &BlockEntry)| JobOrder {
        inputs: vec![entry.meta.id],
        level: entry.meta.level,
        outputs: 1,
        downsample: None,
    };
    due.into_iter().map(order).collect()
}

#[cfg(test)]
mod tests {
    use cluster::{Assessment, Command, ControlState, DeleteOrder, Response, ShardDelete};
    use model::BlockMeta;

    use super::*;
    use crate::plan::tests::{block, empty_state};

    /// Three blocks of so many samples each.
    fn state(samples: u64) -> ControlState {
        let mut state = empty_state();
        for id in [1, 2, 3] {
            let meta = BlockMeta { samples, ..block(id, 0, 100) };
            assert_eq!(state.apply(Command::PublishBlock { meta: Box::new(meta) }), Response::Done);
        }
        state
    }

    fn delete(state: &mut ControlState, id: u128, found: &[(u128, u64)]) {
        let order = DeleteOrder { id: DeleteId(id), selectors: Vec::new(), start_ms: 0, end_ms: 100 };
        let shards: Vec<ShardDelete> = Vec::new();
        assert_eq!(state.apply(Command::RequestDelete { order, shards, at_ms: id as i64 }), Response::Done);
        let found = found.iter().map(|(block, samples)| Assessment {
            block: BlockId(*block),
            delete: DeleteId(id),
            samples: *samples,
        });
        state.apply(Command::AssessDeletes { found: found.collect() });
    }

    fn planned(state: &ControlState, planned: &[JobOrder]) -> Vec<u128> {
        let orders = rewrites(&state.catalogue, planned);
        assert!(orders.iter().all(|order| order.inputs.len() == 1 && order.outputs == 1));
        orders.iter().map(|order| order.inputs[0].0).collect()
    }

    #[test]
    fn blocks_of_which_much_is_deleted_are_rewritten() {
        let mut state = state(1000);
        assert_eq!(planned(&state, &[]), [0u128; 0]);
        delete(&mut state, 1, &[(1, 30), (2, 50), (3, 51)]);
        assert_eq!(planned(&state, &[]), [3]);
        delete(&mut state, 2, &[(1, 900), (2, 0), (3, 0)]);
        assert_eq!(planned(&state, &[]), [1, 3], "the most first");
        let merge = JobOrder { inputs: vec![BlockId(1)], level: 1, outputs: 1, downsample: None };
        assert_eq!(planned(&state, &[merge]), [3], "a merge leaves out what is deleted anyway");
    }

    #[test]
    fn all_are_rewritten_when_somebody_asks() {
        let mut state = state(1000);
        delete(&mut state, 1, &[(1, 1), (2, 0)]);
        assert_eq!(planned(&state, &[]), [0u128; 0]);
        state.apply(Command::CleanDeletes { at_ms: 1 });
        assert_eq!(planned(&state, &[]), [1, 3], "also where it is not known how much");
        delete(&mut state, 2, &[(1, 0), (2, 1), (3, 0)]);
        assert_eq!(planned(&state, &[]), [1, 3], "what comes later is not meant");
    }

    #[test]
    fn the_oldest_requests_are_worked_off_when_there_are_many() {
        let mut state = state(1_000_000);
        delete(&mut state, 0, &[(1, 1), (2, 0), (3, 0)]);
        (1..REQUESTS_MANY as u128).for_each(|id| delete(&mut state, id, &[(1, 0), (2, 1), (3, 0)]));
        assert_eq!(planned(&state, &[]), [0u128; 0]);
        delete(&mut state, 9999, &[(1, 0), (2, 0), (3, 1)]);
        assert_eq!(planned(&state, &[]), [1]);
    }
}
