//! The planners: what to merge, what to tombstone and what to delete, as pure functions of the catalogue and the time.

mod downsample;
mod merge;
mod retention;
mod rewrite;

pub use downsample::{DownsampleRules, FIVE_MINUTES_MS, HOUR_MS, downsamplings};
pub use merge::{MergeRules, merges};
pub use retention::{Expired, RetentionRules, expired};
pub use rewrite::rewrites;

use cluster::{BlockState, Catalogue};
use model::{BlockId, BlockMeta};

/// Returns the blocks whose objects may be deleted, the longest tombstoned first, and the number of those that only wait for a
/// query.
///
/// The former were tombstoned at least `delay_ms` ago, and no query reads from a version of the control state in which they were
/// active: `oldest_read` is the oldest version that any may read from, `None` while that is not known.
pub fn deletable(
    catalogue: &Catalogue,
    now_ms: i64,
    delay_ms: i64,
    oldest_read: Option<u64>,
) -> (Vec<BlockMeta>, usize) {
    let tombstoned = catalogue.iter().filter_map(|entry| match &entry.state {
        BlockState::Active => None,
        BlockState::Tombstoned { at_ms, version, .. } => Some((*at_ms, *version, entry)),
    });
    let is_due = |(at_ms, _, _): &(i64, u64, _)| at_ms.saturating_add(delay_ms) <= now_ms;
    let is_unread = |(_, version, _): &(i64, u64, _)| oldest_read.is_some_and(|oldest| *version <= oldest);
    let (mut due, waiting): (Vec<_>, Vec<_>) = tombstoned.filter(is_due).partition(is_unread);
    due.sort_by_key(|(at_ms, _, entry)| (*at_ms, entry.meta.id));
    (due.into_iter().map(|(_, _, entry)| entry.meta.clone()).collect(), waiting.len())
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

    fn by_time(state: &ControlState, now_ms: i64, retention_ms: i64) -> Vec<BlockId> {
        let expired = expired(&state.catalogue, now_ms, RetentionRules::of_time(Some(retention_ms)));
        assert_eq!((expired.by_size, expired.awaited), (Vec::new(), Vec::new()));
        expired.by_time.into_iter().map(|(id, _)| id).collect()
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
            assert_eq!(by_time(&state, now_ms, retention_ms), ids(expected), "{now_ms} - {retention_ms}");
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
        assert_eq!(by_time(&state, i64::MAX, 150), ids(&[]));
        assert_eq!(by_time(&state, i64::MAX, 100), ids(&[1]));
        assert_eq!(by_time(&state, i64::MAX, 1), ids(&[1]));
        assert_eq!(by_time(&ControlState::default(), i64::MAX, 1), ids(&[]));
    }

    #[test]
    fn a_tombstoned_block_still_tells_how_new_the_data_is() {
        let state = catalogue(&[(1, 0, 100, None), (2, 900, 1000, Some(7))]);
        assert_eq!(by_time(&state, 5000, 500), ids(&[1]));
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
            let (due, waiting) = deletable(&state.catalogue, now_ms, delay_ms, Some(u64::MAX));
            let due: Vec<_> = due.into_iter().map(|meta| meta.id).collect();
            assert_eq!((due, waiting), (ids(expected), 0), "{now_ms} - {delay_ms}");
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
    fn blocks_wait_for_queries_that_may_read_them() {
        let state = catalogue(&[(1, 0, 100, Some(1000)), (2, 0, 100, Some(1000)), (3, 0, 100, None)]);
        let version = |id: u128| match &state.catalogue.get(BlockId(id)).expect("it is there").state {
            BlockState::Tombstoned { version, .. } => *version,
            BlockState::Active => panic!("{id} is active"),
        };
        assert!(version(1) < version(2), "the first version without the block");
        let check = |oldest_read, expected: &[u128], waiting| {
            let (due, waits) = deletable(&state.catalogue, 2000, 1000, oldest_read);
            let due: Vec<_> = due.into_iter().map(|meta| meta.id).collect();
            assert_eq!((due, waits), (ids(expected), waiting), "{oldest_read:?}");
        };
        check(None, &[], 2);
        check(Some(version(1) - 1), &[], 2);
        check(Some(version(1)), &[1], 1);
        check(Some(version(2) - 1), &[1], 1);
        check(Some(version(2)), &[1, 2], 0);
        assert_eq!(deletable(&state.catalogue, 1999, 1000, None), (Vec::new(), 0), "the delay is not over");
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

    const DAY_MS: i64 = 24 * 3_600_000;

    /// A block of shard 1 over days, by resolution.
    fn reduced(id: u128, days: std::ops::Range<i64>, resolution_ms: i64) -> BlockMeta {
        let meta = block(id, days.start * DAY_MS, days.end * DAY_MS);
        BlockMeta { shard: ShardId(1), resolution_ms, ..meta }
    }

    /// Makes a state of days 0 to 9 of raw samples with ids from 0, and adds reduced blocks by the jobs that make them. Returns
    /// the ids that these got, by those they were given here.
    fn days(reduced: &[BlockMeta]) -> (ControlState, BTreeMap<BlockId, u128>) {
        let mut state = empty_state();
        for day in 0..10 {
            let meta = Box::new(self::reduced(day as u128, day..day + 1, 0));
            assert_eq!(state.apply(Command::PublishBlock { meta }), Response::Done);
        }
        let mut names: BTreeMap<BlockId, u128> = (0..10).map(|day| (BlockId(day), day)).collect();
        let (node, member_epoch) = join(&mut state, "worker");
        for meta in reduced {
            let finer = if meta.resolution_ms > 300_000 { 300_000 } else { 0 };
            let inputs = state.catalogue.active().filter(|input| input.resolution_ms == finer);
            let inputs = inputs.map(|input| input.id).collect();
            let (resolution_ms, window) = (meta.resolution_ms, meta.range);
            let downsample = Some(cluster::Downsampling { resolution_ms, window });
            let order = cluster::JobOrder { inputs, level: 0, outputs: 1, downsample };
            let claimed = state.apply(Command::ClaimJob { order, node, member_epoch });
            let Response::Claimed { job, epoch, outputs, .. } = claimed else { panic!("{claimed:?}") };
            names.insert(outputs[0], meta.id.0);
            let outputs = vec![BlockMeta { id: outputs[0], ..meta.clone() }];
            assert_eq!(state.apply(Command::CommitJob { job, epoch, outputs, at_ms: 0 }), Response::Done);
        }
        (state, names)
    }

    #[test]
    fn each_resolution_has_its_own_retention() {
        let (five, hour) = (300_000, 3_600_000);
        let rules = |raw: i64, five: i64, hour: i64| {
            let days = |days: i64| (days > 0).then_some(days * DAY_MS);
            RetentionRules {
                raw_ms: days(raw),
                five_minutes_ms: days(five),
                hour_ms: days(hour),
                size_bytes: None,
            }
        };
        let check = |blocks: &[BlockMeta], rules, gone: &[u128], awaited: &[u128]| {
            let (state, names) = days(blocks);
            let expired = expired(&state.catalogue, i64::MAX, rules);
            let by_time: Vec<u128> = expired.by_time.iter().map(|(id, _)| names[id]).collect();
            let waiting: Vec<u128> = expired.awaited.iter().map(|id| names[id]).collect();
            assert_eq!((&by_time[..], &waiting[..]), (gone, awaited), "{rules:?}");
        };
        let all = [reduced(100, 0..5, five), reduced(101, 5..10, five), reduced(200, 0..10, hour)];
        check(&all, rules(0, 0, 0), &[], &[]);
        check(&all, rules(8, 8, 8), &[0, 1], &[]);
        check(&all, rules(8, 5, 0), &[0, 1, 100], &[]);
        check(&all, rules(0, 5, 1), &[100], &[]);
        // What is to be kept longer at a coarser resolution stays until it is there.
        check(&all[..1], rules(3, 0, 0), &[0, 1, 2, 3, 4], &[5, 6]);
        check(&all[1..2], rules(8, 9, 9), &[], &[0, 1]);
        check(&all[..2], rules(8, 8, 0), &[0, 1], &[]);
        check(&all[..2], rules(8, 5, 0), &[0, 1], &[100]);
        check(&[], rules(8, 8, 0), &[], &[0, 1]);
        check(&[], rules(8, 7, 8), &[0, 1], &[]);
        // What only a coarser resolution than the next one holds is held.
        let (mut state, names) = days(&all);
        let fence = lease(&mut state);
        let ids = names.iter().filter(|(_, name)| [100, 101].contains(*name)).map(|(id, _)| *id).collect();
        state.apply(Command::TombstoneBlocks { ids, at_ms: 0, reason: String::new(), fence });
        assert_eq!(expired(&state.catalogue, i64::MAX, rules(8, 5, 0)).awaited, []);
    }

    #[test]
    fn a_block_waits_for_slots_of_all_its_series_unless_it_can_never_become_slots() {
        let rules = RetentionRules { raw_ms: Some(DAY_MS), ..RetentionRules::default() };
        let low =
            model::SortRange { start: None, end: Some(model::SortKey { metric: "m".to_owned(), hash: 0 }) };
        let half = BlockMeta { sort_range: low, ..reduced(100, 0..9, 300_000) };
        let awaited = expired(&days(&[half]).0.catalogue, i64::MAX, rules).awaited;
        assert_eq!(awaited, ids(&[0, 1, 2, 3, 4, 5, 6, 7, 8]));
        let uneven =
            catalogue(&[(1, 0, 300_000, None), (2, 300_000, 300_001, None), (3, 0, DAY_MS * 2, None)]);
        let expired = expired(&uneven.catalogue, i64::MAX, rules);
        assert_eq!((expired.by_time, expired.awaited), (vec![(BlockId(2), DAY_MS)], ids(&[1])));
    }

    #[test]
    fn the_oldest_blocks_go_when_all_take_too_much_room() {
        // Each block has two objects of one byte.
        let check = |size_bytes, retention_ms, by_time: usize, by_size: &[u128]| {
            let rules = RetentionRules { size_bytes, ..RetentionRules::of_time(retention_ms) };
            let expired = expired(&days(&[]).0.catalogue, i64::MAX, rules);
            assert_eq!((expired.by_time.len(), expired.by_size), (by_time, ids(by_size)));
        };
        check(None, None, 0, &[]);
        check(Some(20), None, 0, &[]);
        check(Some(19), None, 0, &[0]);
        check(Some(5), Some(5 * DAY_MS), 5, &[5, 6, 7]);
        check(Some(0), None, 0, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        // Blocks that only wait for slots take room, too.
        let rules =
            RetentionRules { raw_ms: Some(5 * DAY_MS), size_bytes: Some(16), ..RetentionRules::default() };
        let expired = expired(&days(&[]).0.catalogue, i64::MAX, rules);
        assert_eq!((expired.by_size, expired.awaited), (ids(&[0, 1]), ids(&[0, 1, 2, 3, 4])));
    }
}
