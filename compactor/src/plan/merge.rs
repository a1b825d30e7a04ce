//! Plans merges: a pure function of the catalogue.
//!
//! 1. Blocks of a shard that overlap, in time and in the range of series that they hold, are merged before anything else.
//! 2. Aligned windows of 4, 12 and 168 block durations (8h, 1d and 14d of 2h) whose blocks are all published are merged,
//!    the largest first, so that a backlog is merged once and not level by level. Where merges were split by series, each part
//!    is merged by itself with those of other times that share series with it.
//!
//! Slots are merged as raw blocks are, but not across a time whose samples are not reduced yet: they would seem to hold them.
//!
//! A block stays within its shard: the seam between head and blocks, and the pushing of queries, are by shard. Blocks that
//! a job holds or that are set aside are left alone; the others of their window go on without the latter.

use std::collections::{BTreeMap, BTreeSet};

use block::SplitLimits;
use cluster::{BlockEntry, BlockState, Catalogue, JobOrder, job};
use model::{BlockId, BlockMeta, BlockRange, ShardId};

use super::RetentionRules;

/// Lengths of windows in block durations, the largest first, and their levels: 14d, 1d and 8h for the default of two hours.
const LEVELS: [(i64, u8); 3] = [(168, 3), (12, 2), (4, 1)];
/// Only windows up to this part of the retention are merged, as in Prometheus: a block is kept until its newest sample
/// expires.
const RETENTION_PART: i64 = 10;
/// How many rows the inputs of a window have together at the most, for each block that comes out at the least: a worker
/// holds some bytes of each. Fourteen full blocks are below that, so only a backlog that skips a level can be above.
const PART_ROWS_MAX: u64 = 16 << 20;

/// What the planner must know besides the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct MergeRules {
    /// Length of a window of a head.
    pub block_duration_ms: i64,
    /// How long samples are kept.
    pub retention: RetentionRules,
    /// How large a block may become.
    pub split: SplitLimits,
}

/// Returns the jobs that can be begun, the most useful first: overlaps, then those that leave the fewest blocks, then the
/// oldest. No block is in two of them.
pub fn merges(catalogue: &Catalogue, rules: MergeRules) -> Vec<JobOrder> {
    let busy: BTreeSet<BlockId> =
        catalogue.jobs().flat_map(|(_, job)| job.order.inputs.iter().copied()).collect();
    // Slots are merged with slots of the same length only.
    let mut kinds: BTreeMap<(ShardId, i64), Vec<&BlockMeta>> = BTreeMap::new();
    let is_free =
        |entry: &&std::sync::Arc<BlockEntry>| entry.state == BlockState::Active && entry.set_aside.is_none();
    for entry in catalogue.iter().filter(is_free) {
        kinds.entry((entry.meta.shard, entry.meta.resolution_ms)).or_default().push(&entry.meta);
    }
    let mut found = Vec::new();
    for ((shard, resolution_ms), blocks) in kinds {
        // A window of slots is whole when there are any up to its end and nothing in it is left to be reduced.
        let newest_ms = blocks.iter().map(|meta| meta.range.end.0).max().unwrap_or(i64::MIN);
        let until_ms = if resolution_ms == 0 { catalogue.published_until_ms(shard) } else { newest_ms };
        let retention_ms = rules.retention.of_resolution(resolution_ms);
        let taken = busy.clone();
        found.extend(Planner { catalogue, rules, retention_ms, until_ms, taken, blocks }.plan());
    }
    found.sort_by_key(|merge| (!merge.overlap, usize::MAX - merge.order.inputs.len(), merge.start_ms));
    found.into_iter().map(|merge| merge.order).collect()
}

struct Merge {
    order: JobOrder,
    overlap: bool,
    start_ms: i64,
}

/// The blocks of one shard and resolution.
struct Planner<'a> {
    catalogue: &'a Catalogue,
    rules: MergeRules,
    /// How long samples of the resolution are kept; `None` for ever.
    retention_ms: Option<i64>,
    /// The end of what the shard has of the resolution.
    until_ms: i64,
    /// Blocks that are in a job, or in one of this plan.
    taken: BTreeSet<BlockId>,
    /// By range.
    blocks: Vec<&'a BlockMeta>,
}

impl<'a> Planner<'a> {
    fn plan(mut self) -> Vec<Merge> {
        self.blocks.sort_by_key(|meta| (meta.range, meta.id));
        let mut merges = Vec::new();
        for group in overlapping(&self.blocks) {
            let level = group.iter().map(|meta| meta.level).max().unwrap_or_default().max(1);
            // The rest is merged with what becomes of these.
            let mut count = group.len().min(job::JOB_INPUTS_MAX);
            while count > 2 && self.is_too_much(&group[..count]) {
                count = count.div_ceil(2);
            }
            merges.extend(self.merge(&group[..count], level, true));
            // Also when it cannot be merged now: nothing else is made of blocks that overlap.
            self.taken.extend(group.iter().map(|meta| meta.id));
        }
        for (length, level) in LEVELS {
            let length_ms = self.rules.block_duration_ms.max(1).saturating_mul(length);
            if self.retention_ms.is_some_and(|retention_ms| length_ms > retention_ms / RETENTION_PART) {
                continue;
            }
            for group in self.windows(length_ms) {
                merges.extend(self.merge(&group, level, false));
            }
        }
        merges
    }

    /// Returns the blocks that lie wholly within each window of a length whose samples are all published, apart where they
    /// share no series.
    fn windows(&self, length_ms: i64) -> Vec<Vec<&'a BlockMeta>> {
        let mut windows: BTreeMap<BlockRange, Vec<&'a BlockMeta>> = BTreeMap::new();
        for meta in &self.blocks {
            let window = BlockRange::window_of(meta.range.start.0, length_ms);
            if meta.range.end <= window.end && window.end.0 <= self.until_ms {
                windows.entry(window).or_default().push(meta);
            }
        }
        let parts = |blocks: Vec<&'a BlockMeta>| groups(&blocks, |a, b| a.sort_range.overlaps(&b.sort_range));
        windows.into_values().flat_map(parts).filter(|blocks| !self.is_too_much(blocks)).collect()
    }

    fn is_too_much(&self, blocks: &[&BlockMeta]) -> bool {
        let mut of_range: BTreeMap<BlockRange, u64> = BTreeMap::new();
        for meta in blocks {
            *of_range.entry(meta.range).or_default() += meta.series;
        }
        let widest = of_range.values().copied().max().unwrap_or_default();
        let parts = widest.div_ceil(self.rules.split.series.max(1)).max(1);
        of_range.values().sum::<u64>() > PART_ROWS_MAX.saturating_mul(parts)
    }

    /// Orders a merge of blocks, when they are two or more, free, and not too many for one job.
    fn merge(&mut self, blocks: &[&BlockMeta], level: u8, overlap: bool) -> Option<Merge> {
        let fits = (2..=job::JOB_INPUTS_MAX).contains(&blocks.len());
        if !fits || blocks.iter().any(|meta| self.taken.contains(&meta.id)) {
            return None;
        }
        if self.catalogue.hides(blocks).is_some() {
            return None;
        }
        let mut inputs: Vec<BlockId> = blocks.iter().map(|meta| meta.id).collect();
        inputs.sort_unstable();
        self.taken.extend(&inputs);
        let start_ms = blocks[0].range.start.0;
        let sum = |of: fn(&BlockMeta) -> u64| blocks.iter().map(|meta| of(meta)).fold(0, u64::saturating_add);
        // As many as it can become; what is not used of them is forgotten again.
        let limits = SplitLimits { parts: job::JOB_OUTPUTS_MAX, ..self.rules.split };
        let outputs = limits.parts_of(sum(|meta| meta.series), sum(|meta| meta.chunks_object.size_bytes));
        let order = JobOrder { inputs, level, outputs: outputs as u32, downsample: None };
        Some(Merge { order, overlap, start_ms })
    }
}

/// Returns groups of blocks that overlap, one the next, of blocks that come by their start.
fn overlapping<'a>(blocks: &[&'a BlockMeta]) -> Vec<Vec<&'a BlockMeta>> {
    let mut apart: Vec<Vec<&'a BlockMeta>> = Vec::new();
    let mut end = None;
    for meta in blocks {
        match apart.last_mut() {
            Some(group) if end > Some(meta.range.start) => group.push(meta),
            _ => apart.push(vec![meta]),
        }
        // Apart from all before, its own end is the greatest.
        end = end.max(Some(meta.range.end));
    }
    let overlap = |a: &BlockMeta, b: &BlockMeta| {
        a.range.start < b.range.end && b.range.start < a.range.end && a.sort_range.overlaps(&b.sort_range)
    };
    let mut groups: Vec<_> = apart.iter().flat_map(|blocks| groups(blocks, overlap)).collect();
    groups.retain(|group| group.len() > 1);
    groups
}

/// Returns groups of blocks of which each touches another of its group and none of the other groups, in the order of their
/// first blocks. Quadratic in the number of blocks, which are those of one window, or that overlap in time.
fn groups<'a>(
    blocks: &[&'a BlockMeta],
    touch: impl Fn(&BlockMeta, &BlockMeta) -> bool,
) -> Vec<Vec<&'a BlockMeta>> {
    let mut groups: Vec<Vec<&'a BlockMeta>> = Vec::new();
    for meta in blocks {
        let is_touched = |group: &mut Vec<&'a BlockMeta>| group.iter().any(|other| touch(meta, other));
        let mut joined: Vec<&'a BlockMeta> = groups.extract_if(.., is_touched).flatten().collect();
        joined.push(meta);
        groups.push(joined);
    }
    groups.iter_mut().for_each(|group| group.sort_by_key(|meta| (meta.range, meta.id)));
    groups.sort_by_key(|group| group.first().map(|meta| (meta.range, meta.id)));
    groups
}

#[cfg(test)]
mod tests {
    use cluster::{BadBlock, Command, ControlState, Response};
    use model::{SortKey, SortRange};

    use super::*;
    use crate::plan::tests::{block, empty_state, join};

    const RULES: MergeRules = MergeRules {
        block_duration_ms: 10,
        retention: RetentionRules::of_time(None),
        split: SplitLimits::DEFAULT,
    };

    /// Publishes windows of ten milliseconds, by number, to shards.
    fn state(windows: &[(u32, i64)]) -> ControlState {
        let mut state = empty_state();
        for (shard, window) in windows {
            let mut meta = block(u128::from(*shard) * 1000 + *window as u128, window * 10, window * 10 + 10);
            meta.shard = ShardId(*shard);
            assert_eq!(state.apply(Command::PublishBlock { meta: Box::new(meta) }), Response::Done);
        }
        state
    }

    fn shard_1(windows: std::ops::Range<i64>) -> ControlState {
        state(&windows.map(|window| (1, window)).collect::<Vec<_>>())
    }

    /// Does a job as a worker would; `ranges` are those of the outputs.
    fn run(state: &mut ControlState, order: JobOrder, ranges: &[(i64, i64)]) {
        let (node, member_epoch) = join(state, "worker");
        let order = JobOrder { outputs: ranges.len() as u32, ..order };
        let claimed = state.apply(Command::ClaimJob { order: order.clone(), node, member_epoch });
        let Response::Claimed { job, epoch, outputs, .. } = claimed else { panic!("{claimed:?}") };
        let metas = outputs.iter().zip(ranges).map(|(id, (start_ms, end_ms))| {
            let shard = state.catalogue.get(order.inputs[0]).expect("an input").meta.shard;
            BlockMeta { id: *id, shard, level: order.level, ..block(0, *start_ms, *end_ms) }
        });
        let outputs = metas.collect();
        assert_eq!(state.apply(Command::CommitJob { job, epoch, outputs, at_ms: 0 }), Response::Done);
    }

    fn check(state: &ControlState, rules: MergeRules, expected: &[(u8, &[u128])]) {
        let merges = merges(&state.catalogue, rules);
        let actual: Vec<(u8, Vec<u128>)> = merges
            .into_iter()
            .map(|order| (order.level, order.inputs.into_iter().map(|id| id.0).collect()))
            .collect();
        let expected: Vec<(u8, Vec<u128>)> =
            expected.iter().map(|(level, ids)| (*level, ids.to_vec())).collect();
        assert_eq!(actual, expected);
    }

    #[test]
    fn a_window_is_merged_once_all_of_it_is_published() {
        check(&shard_1(0..0), RULES, &[]);
        check(&shard_1(0..3), RULES, &[]);
        check(&shard_1(0..4), RULES, &[(1, &[1000, 1001, 1002, 1003])]);
        check(&shard_1(3..5), RULES, &[]);
        check(&shard_1(2..8), RULES, &[(1, &[1004, 1005, 1006, 1007]), (1, &[1002, 1003])]);
        check(&state(&[(1, 0), (1, 9)]), RULES, &[]);
        check(&state(&[(1, 0), (1, 2), (1, 9)]), RULES, &[(1, &[1000, 1002])]);
    }

    #[test]
    fn a_backlog_goes_straight_to_the_largest_window() {
        let day: Vec<u128> = (1000..1012).collect();
        check(&shard_1(0..13), RULES, &[(2, &day)]);
        let fortnight: Vec<u128> = (1000..1168).collect();
        check(&shard_1(0..168), RULES, &[(3, &fortnight)]);
    }

    #[test]
    fn levels_follow_one_another_and_come_to_rest() {
        let mut state = shard_1(0..0);
        let mut levels = Vec::new();
        for window in 0..168 {
            let meta = Box::new(BlockMeta {
                shard: ShardId(1),
                ..block(1000 + window as u128, window * 10, window * 10 + 10)
            });
            state.apply(Command::PublishBlock { meta });
            while let Some(order) = merges(&state.catalogue, RULES).into_iter().next() {
                levels.push(order.level);
                let ranges =
                    order.inputs.iter().map(|id| state.catalogue.get(*id).expect("an input").meta.range);
                let start = ranges.clone().map(|range| range.start.0).min().expect("an input");
                let end = ranges.map(|range| range.end.0).max().expect("an input");
                run(&mut state, order, &[(start, end)]);
            }
        }
        let count = |level| levels.iter().filter(|other| **other == level).count();
        // Each day's last four windows become part of the day without being merged before; so does the fortnight's last day.
        assert_eq!([count(1), count(2), count(3)], [28, 13, 1]);
        assert_eq!(
            state.catalogue.active().map(|meta| (meta.range, meta.level)).collect::<Vec<_>>(),
            [(BlockRange::new(0, 1680), 3)]
        );
    }

    #[test]
    fn shards_are_never_mixed() {
        let state = state(&[(1, 0), (2, 0), (2, 1), (1, 3), (2, 3)]);
        check(&state, RULES, &[(1, &[2000, 2001, 2003]), (1, &[1000, 1003])]);
        check(&self::state(&[(1, 0), (2, 3)]), RULES, &[]);
    }

    #[test]
    fn windows_longer_than_a_tenth_of_the_retention_stay_as_they_are() {
        let rules =
            |retention_ms| MergeRules { retention: RetentionRules::of_time(Some(retention_ms)), ..RULES };
        let state = shard_1(0..12);
        check(&state, rules(399), &[]);
        check(
            &state,
            rules(400),
            &[(1, &[1000, 1001, 1002, 1003]), (1, &[1004, 1005, 1006, 1007]), (1, &[1008, 1009, 1010, 1011])],
        );
        let day: Vec<u128> = (1000..1012).collect();
        check(&state, rules(1200), &[(2, &day)]);
    }

    #[test]
    fn a_window_with_a_block_in_a_job_waits() {
        let mut state = shard_1(0..8);
        let (node, member_epoch) = join(&mut state, "worker");
        let order =
            JobOrder { inputs: vec![BlockId(1001), BlockId(1002)], level: 1, outputs: 1, downsample: None };
        state.apply(Command::ClaimJob { order, node, member_epoch });
        check(&state, RULES, &[(1, &[1004, 1005, 1006, 1007])]);
        state.apply(Command::Expire { node, epoch: member_epoch });
        check(&state, RULES, &[(1, &[1000, 1001, 1002, 1003]), (1, &[1004, 1005, 1006, 1007])]);
    }

    #[test]
    fn a_block_set_aside_hinders_no_other() {
        let mut state = shard_1(0..4);
        let (node, member_epoch) = join(&mut state, "worker");
        let order = merges(&state.catalogue, RULES).remove(0);
        let claimed = state.apply(Command::ClaimJob { order, node, member_epoch });
        let Response::Claimed { job, epoch, .. } = claimed else { panic!("{claimed:?}") };
        let bad = vec![BadBlock { id: BlockId(1001), reason: "damaged".to_owned() }];
        state.apply(Command::AbortJob { job, epoch, bad });
        check(&state, RULES, &[(1, &[1000, 1002, 1003])]);
        let order = merges(&state.catalogue, RULES).remove(0);
        run(&mut state, order, &[(0, 40)]);
        check(&state, RULES, &[]);
    }

    #[test]
    fn overlapping_blocks_are_merged_first_and_alone() {
        let mut state = shard_1(0..9);
        // Two outputs that overlap stand for blocks that were imported.
        let inputs = (1004..1008).map(BlockId).collect();
        run(&mut state, JobOrder { inputs, level: 2, outputs: 2, downsample: None }, &[(40, 70), (60, 80)]);
        let mut imported: Vec<u128> =
            state.catalogue.active().filter(|meta| meta.level == 2).map(|meta| meta.id.0).collect();
        imported.sort_unstable();
        check(&state, RULES, &[(2, &imported), (1, &[1000, 1001, 1002, 1003])]);
    }

    /// Publishes windows of so many series each.
    fn wide(windows: i64, series: u64) -> ControlState {
        let mut state = empty_state();
        for window in 0..windows {
            let meta = block(1000 + window as u128, window * 10, window * 10 + 10);
            let meta = Box::new(BlockMeta { shard: ShardId(1), series, ..meta });
            assert_eq!(state.apply(Command::PublishBlock { meta }), Response::Done);
        }
        state
    }

    #[test]
    fn a_job_may_write_as_many_blocks_as_its_inputs_can_become() {
        let outputs = |state: &ControlState, rules| -> Vec<u32> {
            merges(&state.catalogue, rules).into_iter().map(|order| order.outputs).collect()
        };
        let split = SplitLimits { series: 100, ..SplitLimits::DEFAULT };
        let rules = MergeRules { split, ..RULES };
        assert_eq!(outputs(&wide(4, 25), rules), [1]);
        assert_eq!(outputs(&wide(4, 26), rules), [2]);
        assert_eq!(outputs(&wide(4, 100), rules), [5]);
        assert_eq!(outputs(&wide(4, 10_000), rules), [job::JOB_OUTPUTS_MAX as u32]);
        let split = SplitLimits { bytes: 1, ..SplitLimits::DEFAULT };
        assert_eq!(outputs(&wide(4, 1), MergeRules { split, ..RULES }), [4]);
    }

    #[test]
    fn however_wide_a_shard_is_every_window_is_merged_in_the_end() {
        for series in [1000, 1 << 20, (1 << 20) + 1, 50 << 20] {
            let (mut state, mut ends) = (wide(168, series), Vec::new());
            while let Some(order) = merges(&state.catalogue, RULES).into_iter().next() {
                let inputs =
                    order.inputs.iter().map(|id| state.catalogue.get(*id).expect("an input").meta.clone());
                let inputs: Vec<BlockMeta> = inputs.collect();
                let rows = inputs.iter().map(|meta| meta.series).sum::<u64>();
                let parts = series.div_ceil(RULES.split.series);
                assert!(rows <= PART_ROWS_MAX * parts, "{rows} rows for {parts} parts");
                ends.push(order.level);
                let range = |of: fn(&BlockMeta) -> i64| inputs.iter().map(of);
                let start_ms = range(|meta| meta.range.start.0).min().expect("an input");
                let end_ms = range(|meta| meta.range.end.0).max().expect("an input");
                run_wide(&mut state, order, (start_ms, end_ms), series);
            }
            let left: Vec<_> = state.catalogue.active().map(|meta| meta.range).collect();
            assert_eq!(left, [BlockRange::new(0, 1680)], "{series} series");
            // Few series are merged at once; many day by day, and the last day with all the others.
            let expected = if series == 1000 { 1..=1 } else { 14..=15 };
            assert!(expected.contains(&ends.len()), "{ends:?}");
        }
    }

    fn run_wide(state: &mut ControlState, order: JobOrder, range: (i64, i64), series: u64) {
        let (node, member_epoch) = join(state, "worker");
        let claimed = state.apply(Command::ClaimJob { order: order.clone(), node, member_epoch });
        let Response::Claimed { job, epoch, outputs, .. } = claimed else { panic!("{claimed:?}") };
        let meta = block(0, range.0, range.1);
        let meta = BlockMeta { id: outputs[0], shard: ShardId(1), level: order.level, series, ..meta };
        let committed = state.apply(Command::CommitJob { job, epoch, outputs: vec![meta], at_ms: 0 });
        assert_eq!(committed, Response::Done);
    }

    /// Splits what a job makes at metrics.
    fn run_split(state: &mut ControlState, order: JobOrder, range: (i64, i64), cuts: &[&str]) -> Vec<u128> {
        let (node, member_epoch) = join(state, "worker");
        let order = JobOrder { outputs: cuts.len() as u32 + 1, ..order };
        let claimed = state.apply(Command::ClaimJob { order: order.clone(), node, member_epoch });
        let Response::Claimed { job, epoch, outputs, .. } = claimed else { panic!("{claimed:?}") };
        let cut = |metric: &&str| Some(SortKey { metric: (*metric).to_owned(), hash: 0 });
        let bounds: Vec<_> = [None].into_iter().chain(cuts.iter().map(cut)).chain([None]).collect();
        let metas = outputs.iter().zip(bounds.windows(2)).map(|(id, pair)| BlockMeta {
            id: *id,
            shard: ShardId(1),
            level: order.level,
            sort_range: SortRange { start: pair[0].clone(), end: pair[1].clone() },
            ..block(0, range.0, range.1)
        });
        let metas = metas.collect();
        assert_eq!(state.apply(Command::CommitJob { job, epoch, outputs: metas, at_ms: 0 }), Response::Done);
        outputs.into_iter().map(|id| id.0).collect()
    }

    #[test]
    fn parts_of_a_split_are_merged_with_those_that_share_series() {
        let mut state = shard_1(0..12);
        let group = |from: u128| JobOrder {
            inputs: (from..from + 4).map(BlockId).collect(),
            level: 1,
            outputs: 1,
            downsample: None,
        };
        let first = run_split(&mut state, group(1000), (0, 40), &["m"]);
        let sorted = |ids: &[u128]| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids
        };
        // Two parts of one window are no overlap, and nothing to merge by themselves.
        let rest: Vec<u128> = (1004..1012).collect();
        check(&state, RULES, &[(2, &sorted(&[&first[..], &rest].concat()))]);
        let second = run_split(&mut state, group(1004), (40, 80), &["m"]);
        let third = run_split(&mut state, group(1008), (80, 120), &["m", "x"]);
        let low = sorted(&[first[0], second[0], third[0]]);
        let high = sorted(&[first[1], second[1], third[1], third[2]]);
        check(&state, RULES, &[(2, &high), (2, &low)]);
    }

    /// Imports blocks of ranges, of so many series each.
    fn imported(ranges: impl ExactSizeIterator<Item = (i64, i64)>, series: u64) -> ControlState {
        let mut state = empty_state();
        let map = cluster::ShardMap::even(vec![vec![model::NodeId(1)]]);
        assert_eq!(state.apply(Command::PlaceShards { map }), Response::Done);
        let (node, member_epoch) = join(&mut state, "import");
        let unit = cluster::ImportUnit { source: "x".to_owned(), range: BlockRange::new(0, 1_000_000) };
        let outputs = ranges.len() as u32;
        let claimed = state.apply(Command::ClaimImport { unit: unit.clone(), outputs, node, member_epoch });
        let Response::ImportClaimed { epoch, outputs } = claimed else { panic!("{claimed:?}") };
        let meta = |(id, (start_ms, end_ms)): (&BlockId, (i64, i64))| BlockMeta {
            id: *id,
            shard: ShardId(1),
            cut_index: 0,
            series,
            ..block(0, start_ms, end_ms)
        };
        let blocks = outputs.iter().zip(ranges).map(meta).collect();
        assert_eq!(state.apply(Command::CommitImport { unit, epoch, blocks, at_ms: 0 }), Response::Done);
        state
    }

    #[test]
    fn more_overlapping_blocks_than_a_job_may_have_are_merged_bit_by_bit() {
        let mut state = imported((0..job::JOB_INPUTS_MAX + 1).map(|_| (0, 10)), 1);
        let order = merges(&state.catalogue, RULES).remove(0);
        assert_eq!(order.inputs.len(), job::JOB_INPUTS_MAX);
        run(&mut state, order, &[(0, 10)]);
        let order = merges(&state.catalogue, RULES).remove(0);
        assert_eq!(order.inputs.len(), 2);
    }

    #[test]
    fn overlapping_blocks_of_too_many_rows_are_merged_bit_by_bit() {
        let inputs = |series| {
            let state = imported((0..100usize).map(|at| (at as i64, 1000)), series);
            merges(&state.catalogue, RULES).iter().map(|order| order.inputs.len()).collect::<Vec<_>>()
        };
        assert_eq!(inputs(1000), [100]);
        assert_eq!(inputs(1 << 20), [13]);
        let limits = SplitLimits { series: u64::MAX, ..SplitLimits::DEFAULT };
        let state = imported([(0, 10), (5, 15), (9, 20)].into_iter(), PART_ROWS_MAX);
        let orders = merges(&state.catalogue, MergeRules { split: limits, ..RULES });
        assert_eq!(orders[0].inputs.len(), 2, "two are always merged");
    }
}
