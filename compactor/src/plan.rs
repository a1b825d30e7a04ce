//! The planners: what to merge, what to tombstone and what to delete, as pure functions of the catalogue and the time.

mod merge;

pub use merge::{MergeRules, merges};

use cluster::{BlockState, Catalogue};
use model::{BlockId, BlockMeta};

/// Returns the active blocks that retention no longer keeps, oldest first: those that end at or before the horizon.
///
/// The horizon lies `retention_ms` before `now_ms`, or before the end of the newest block if that is earlier: as in
/// Prometheus (`tsdb/db.go`, `BeyondTimeRetention`), age is measured against the data. A clock that ran ahead can
/// therefore not delete what it should keep, and a cluster that stopped writing keeps its last samples.
pub fn expired(catalogue: &Catalogue, now_ms: i64, retention_ms: i64) -> Vec<BlockId> {
    let Some(newest_ms) = catalogue.iter().map(|entry| entry.meta.range.end.0).max() else {
        return Vec::new();
    };
    let horizon_ms = now_ms.min(newest_ms).saturating_sub(retention_ms);
    let mut expired: Vec<_> = catalogue
        .active()
        .filter(|meta| meta.range.end.0 <= horizon_ms)
        .map(|meta| (meta.range.end, meta.id))
        .collect();
    expired.sort_unstable();
    expired.into_iter().map(|(_, id)| id).collect()
}

/// Returns the blocks whose objects may be deleted, the longest tombstoned first: those tombstoned at least `delay_ms` ago.
pub fn deletable(catalogue: &Catalogue, now_ms: i64, delay_ms: i64) -> Vec<BlockMeta> {
    let tombstoned = catalogue.iter().filter_map(|entry| match &entry.state {
        BlockState::Active => None,
        BlockState::Tombstoned { at_ms, .. } => Some((*at_ms, entry)),
    });
    let mut due: Vec<_> = tombstoned.filter(|(at_ms, _)| at_ms.saturating_add(delay_ms) <= now_ms).collect();
    due.sort_by_key(|(at_ms, entry)| (*at_ms, entry.meta.id));
    due.into_iter().map(|(_, entry)| entry.meta.clone()).collect()
}

/// Returns the orphans whose time is not noted yet.
pub fn unnoted_orphans(catalogue: &Catalogue) -> Vec<BlockId> {
    catalogue.orphans().filter(|(_, noted_ms)| noted_ms.is_none()).map(|(id, _)| id).collect()
}

/// Returns the orphans whose objects may be deleted: those noted at least `delay_ms` ago. By then whoever was to write them
/// has noticed that its job has ended.
pub fn deletable_orphans(catalogue: &Catalogue, now_ms: i64, delay_ms: i64) -> Vec<BlockId> {
    let is_due = |noted_ms: i64| noted_ms.saturating_add(delay_ms) <= now_ms;
    catalogue.orphans().filter(|(_, noted_ms)| noted_ms.is_some_and(is_due)).map(|(id, _)| id).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cluster::{Command, ControlState, Fence, Response};
    use model::{BlockRange, Epoch, NodeId, ObjectMeta, ShardId};

    use super::*;

    pub(super) fn block(id: u128, start_ms: i64, end_ms: i64) -> BlockMeta {
        let object = |name: &str| ObjectMeta {
            key: format!("b/{id}/{name}"),
            size_bytes: 1,
            tail_bytes: 1,
            crc32c: 0,
        };
        BlockMeta {
            id: BlockId(id),
            // Each block has its own shard, so that windows of any order can be published.
            shard: ShardId(id as u32),
            range: BlockRange::new(start_ms, end_ms),
            level: 0,
            cut_index: 1,
            series: 1,
            samples: 1,
            external_labels: BTreeMap::new(),
            parents: Vec::new(),
            resolution_ms: 0,
            sort_range: model::SortRange::ALL,
            series_object: object("series.parquet"),
            chunks_object: object("chunks.parquet"),
        }
    }

    /// Makes the state of a founded cluster.
    pub(super) fn empty_state() -> ControlState {
        let mut state = ControlState::default();
        let settings = cluster::ClusterSettings {
            name: "test".into(),
            uuid: String::new(),
            external_labels: BTreeMap::new(),
            block_duration_ms: 1,
            out_of_order_window_ms: 0,
            shards: 1,
            replicas: 1,
            exemplars_max: 0,
        };
        assert_eq!(state.apply(Command::Establish { settings, ingesters: Vec::new() }), Response::Done);
        state
    }

    /// Adds or renews a compactor.
    pub(super) fn join(state: &mut ControlState, name: &str) -> (NodeId, Epoch) {
        let joined = state.apply(Command::Join {
            name: name.into(),
            role: cluster::Role::Compactor,
            zone: String::new(),
            grpc_address: String::new(),
            http_address: String::new(),
            disk_id: String::new(),
        });
        let Response::Joined { node, epoch } = joined else { panic!("{joined:?}") };
        (node, epoch)
    }

    fn lease(state: &mut ControlState) -> Fence {
        let (node, member_epoch) = join(state, "c");
        let leased = state.apply(Command::AcquireLease { lease: "l".into(), node, member_epoch });
        let Response::Leased { epoch } = leased else { panic!("{leased:?}") };
        Fence { lease: "l".into(), epoch }
    }

    /// Makes a catalogue of blocks `(id, start, end, tombstoned at)` by the commands that make one in production.
    fn catalogue(blocks: &[(u128, i64, i64, Option<i64>)]) -> ControlState {
        let mut state = empty_state();
        let fence = lease(&mut state);
        for (id, start_ms, end_ms, tombstoned) in blocks {
            let meta = Box::new(block(*id, *start_ms, *end_ms));
            assert_eq!(state.apply(Command::PublishBlock { meta }), Response::Done);
            if let Some(at_ms) = *tombstoned {
                let (ids, fence) = (vec![BlockId(*id)], fence.clone());
                let command = Command::TombstoneBlocks { ids, at_ms, reason: "test".into(), fence };
                assert_eq!(state.apply(command), Response::Done);
            }
        }
        state
    }

    fn ids(ids: &[u128]) -> Vec<BlockId> {
        ids.iter().copied().map(BlockId).collect()
    }

    #[test]
    fn blocks_expire_when_their_end_is_older_than_the_retention() {
        let state = catalogue(&[
            (3, 0, 100, None),
            (1, 100, 200, None),
            (2, 100, 201, None),
            (4, 0, 50, Some(0)),
            (5, 900, 1000, None),
        ]);
        let check = |now_ms, retention_ms, expected: &[u128]| {
            assert_eq!(
                expired(&state.catalogue, now_ms, retention_ms),
                ids(expected),
                "{now_ms} - {retention_ms}"
            );
        };
        check(1000, 901, &[]);
        check(1000, 900, &[3]);
        check(1000, 800, &[3, 1]);
        check(1000, 799, &[3, 1, 2]);
        check(500, 300, &[3, 1]);
        check(0, 300, &[]);
        check(i64::MIN, i64::MAX, &[]);
    }

    #[test]
    fn a_clock_that_ran_ahead_expires_nothing_more_than_the_newest_block_allows() {
        let state = catalogue(&[(1, 0, 100, None), (2, 100, 200, None)]);
        assert_eq!(expired(&state.catalogue, i64::MAX, 150), ids(&[]));
        assert_eq!(expired(&state.catalogue, i64::MAX, 100), ids(&[1]));
        assert_eq!(expired(&state.catalogue, i64::MAX, 1), ids(&[1]));
        assert_eq!(expired(&ControlState::default().catalogue, i64::MAX, 1), ids(&[]));
    }

    #[test]
    fn a_tombstoned_block_still_tells_how_new_the_data_is() {
        let state = catalogue(&[(1, 0, 100, None), (2, 900, 1000, Some(7))]);
        assert_eq!(expired(&state.catalogue, 5000, 500), ids(&[1]));
    }

    #[test]
    fn objects_are_deletable_when_their_tombstone_is_old() {
        let state = catalogue(&[
            (1, 0, 100, None),
            (2, 0, 100, Some(2000)),
            (3, 0, 100, Some(1000)),
            (4, 0, 100, Some(2001)),
        ]);
        let check = |now_ms, delay_ms, expected: &[u128]| {
            let due: Vec<_> =
                deletable(&state.catalogue, now_ms, delay_ms).into_iter().map(|meta| meta.id).collect();
            assert_eq!(due, ids(expected), "{now_ms} - {delay_ms}");
        };
        check(1999, 1000, &[]);
        check(2000, 1000, &[3]);
        check(3000, 1000, &[3, 2]);
        check(3001, 1000, &[3, 2, 4]);
        check(2000, 0, &[3, 2]);
        check(i64::MAX, i64::MAX, &[3, 2, 4]);
        check(0, i64::MAX, &[]);
    }

    #[test]
    fn orphans_are_noted_and_deleted_later() {
        let mut state = catalogue(&[(1, 0, 100, None)]);
        let (node, member_epoch) = join(&mut state, "worker");
        let order = cluster::JobOrder { inputs: ids(&[1]), level: 1, outputs: 2, downsample: None };
        let claimed = state.apply(Command::ClaimJob { order, node, member_epoch });
        let Response::Claimed { mut outputs, .. } = claimed else { panic!("{claimed:?}") };
        outputs.sort_unstable();
        assert_eq!(unnoted_orphans(&state.catalogue), []);
        state.apply(Command::Expire { node, epoch: member_epoch });
        assert_eq!(unnoted_orphans(&state.catalogue), outputs);
        assert_eq!(deletable_orphans(&state.catalogue, i64::MAX, 0), []);
        let fence = lease(&mut state);
        state.apply(Command::TombstoneBlocks {
            ids: vec![outputs[0]],
            at_ms: 50,
            reason: String::new(),
            fence,
        });
        assert_eq!(unnoted_orphans(&state.catalogue), [outputs[1]]);
        assert_eq!(deletable_orphans(&state.catalogue, 59, 10), []);
        assert_eq!(deletable_orphans(&state.catalogue, 60, 10), [outputs[0]]);
    }
}
