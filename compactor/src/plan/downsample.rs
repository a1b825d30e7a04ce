//! Plans downsampling: a pure function of the catalogue.
//!
//! 1. Raw blocks become slots of five minutes once they are old enough that hardly anybody will add to them, and those slots of
//!    an hour later still. Age is measured against what the shard has published, as no clock is needed then.
//! 2. What of a block no block of the coarser resolution holds is one job. Small ones of these are merged as raw blocks are.
//! 3. Times at which another block has samples too wait until both are merged: slots are made of all there is.
//! 4. Nothing is made that retention would end at once.
//!
//! Blocks that begin or end within a slot are left out: for block durations that are no multiple of an hour there is no downsampling.

use std::collections::{BTreeMap, BTreeSet};

use cluster::{BlockEntry, BlockState, Catalogue, Downsampling, JobOrder};
use model::{BlockId, BlockMeta, BlockRange, ShardId, TimeRange, TimeRanges};

use super::RetentionRules;

/// The resolutions that samples are reduced to, ms: five minutes and an hour.
pub const FIVE_MINUTES_MS: i64 = 300_000;
/// See [`FIVE_MINUTES_MS`].
pub const HOUR_MS: i64 = 3_600_000;

/// When samples are reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownsampleRules {
    /// How old raw samples are when they are reduced to five minutes, ms; `None` for never.
    pub five_minutes_after_ms: Option<i64>,
    /// How old slots of five minutes are when they are reduced to an hour, ms; `None` for never.
    pub hour_after_ms: Option<i64>,
}

impl DownsampleRules {
    /// As Thanos has it: forty hours and ten days.
    pub const DEFAULT: Self =
        Self { five_minutes_after_ms: Some(40 * HOUR_MS), hour_after_ms: Some(240 * HOUR_MS) };
}

/// Returns the jobs that can be begun, the oldest first, without inputs that are `taken`. No block is in two of them.
pub fn downsamplings(
    catalogue: &Catalogue,
    rules: DownsampleRules,
    retention: RetentionRules,
    taken: &BTreeSet<BlockId>,
) -> Vec<JobOrder> {
    let busy: BTreeSet<BlockId> =
        catalogue.jobs().flat_map(|(_, job)| job.order.inputs.iter().copied()).collect();
    let is_free = |entry: &BlockEntry| {
        let id = entry.meta.id;
        entry.state == BlockState::Active
            && entry.set_aside.is_none()
            && !busy.contains(&id)
            && !taken.contains(&id)
    };
    let steps =
        [(0, FIVE_MINUTES_MS, rules.five_minutes_after_ms), (FIVE_MINUTES_MS, HOUR_MS, rules.hour_after_ms)];
    let newest_ms = catalogue.iter().map(|entry| entry.meta.range.end.0).max().unwrap_or(i64::MIN);
    let is_kept = |meta: &BlockMeta, resolution_ms: i64| {
        let kept_ms = retention.of_resolution(resolution_ms);
        kept_ms.is_none_or(|kept_ms| meta.range.end.0.saturating_add(kept_ms) > newest_ms)
    };
    let shards = Shard::all(catalogue);
    let mut found: Vec<(BlockRange, JobOrder)> = Vec::new();
    for entry in catalogue.iter().filter(|entry| is_free(entry)) {
        let meta = &entry.meta;
        let Some((_, resolution_ms, Some(after_ms))) = steps.iter().find(|step| step.0 == meta.resolution_ms)
        else {
            continue;
        };
        let is_old = meta.range.end.0.saturating_add(*after_ms) <= catalogue.published_until_ms(meta.shard);
        let shard = &shards[&meta.shard];
        // Slots that go at once are made when slots of an hour, which stay, are to be made of them.
        let is_wanted = is_kept(meta, *resolution_ms)
            || is_kept(meta, HOUR_MS) && first_left(shard, entry, HOUR_MS).is_some();
        if !is_old || !is_wanted {
            continue;
        }
        if let Some(window) = first_left(shard, entry, *resolution_ms) {
            let downsample = Some(Downsampling { resolution_ms: *resolution_ms, window });
            let level = meta.level.max(1);
            found.push((window, JobOrder { inputs: vec![meta.id], level, outputs: 1, downsample }));
        }
    }
    found.sort_by_key(|(window, order)| (*window, order.inputs[0]));
    found.into_iter().map(|(_, order)| order).collect()
}

/// The active blocks of one shard: each block of thousands is held against those of its time.
#[derive(Default)]
struct Shard<'a> {
    /// By start.
    blocks: Vec<&'a BlockMeta>,
    longest_ms: i64,
}

impl<'a> Shard<'a> {
    fn all(catalogue: &'a Catalogue) -> BTreeMap<ShardId, Self> {
        let mut shards: BTreeMap<ShardId, Self> = BTreeMap::new();
        for meta in catalogue.active() {
            let shard = shards.entry(meta.shard).or_default();
            shard.blocks.push(meta);
            shard.longest_ms = shard.longest_ms.max(meta.range.end.0.saturating_sub(meta.range.start.0));
        }
        shards.values_mut().for_each(|shard| shard.blocks.sort_by_key(|meta| meta.range.start));
        shards
    }

    fn overlapping(&self, range: BlockRange) -> impl Iterator<Item = &'a BlockMeta> {
        let from_ms = range.start.0.saturating_sub(self.longest_ms);
        let from = self.blocks.partition_point(|meta| meta.range.start.0 < from_ms);
        let later = self.blocks[from..].iter().take_while(move |meta| meta.range.start < range.end);
        later.copied().filter(move |meta| meta.range.overlaps(&range.closed()))
    }
}

/// Tells whether a block can become the next coarser slots, as far as its range decides that.
pub(super) fn can_be_reduced(meta: &BlockMeta) -> bool {
    let coarser = [FIVE_MINUTES_MS, HOUR_MS].into_iter().find(|coarser| *coarser > meta.resolution_ms);
    coarser.is_some_and(|resolution_ms| is_aligned(meta.range, resolution_ms))
}

fn is_aligned(range: BlockRange, resolution_ms: i64) -> bool {
    [range.start, range.end].iter().all(|bound| bound.0.rem_euclid(resolution_ms) == 0)
}

/// Returns the first stretch of a block, in whole slots, that no slots of a resolution hold and of which no other block has
/// samples too. A stretch that some of its series have counts as held: no block may hold a slot twice.
fn first_left(shard: &Shard<'_>, entry: &BlockEntry, resolution_ms: i64) -> Option<BlockRange> {
    let meta = &entry.meta;
    if !is_aligned(meta.range, resolution_ms) {
        return None;
    }
    let is_there = |other: &&BlockMeta| {
        let is_like = other.resolution_ms == meta.resolution_ms && other.id != meta.id;
        (other.resolution_ms == resolution_ms || is_like) && other.sort_range.overlaps(&meta.sort_range)
    };
    let there = shard.overlapping(meta.range).filter(is_there).map(|other| other.range);
    let whole_slots = |range: BlockRange| {
        let end_ms = range.end.0.saturating_add(resolution_ms - 1).div_euclid(resolution_ms);
        let start_ms = range.start.0.div_euclid(resolution_ms);
        TimeRange::new(start_ms.saturating_mul(resolution_ms), end_ms.saturating_mul(resolution_ms) - 1)
    };
    let held: TimeRanges = there.chain(entry.without_samples.iter().copied()).map(whole_slots).collect();
    let mut start_ms = meta.range.start.0;
    for range in held.as_slice() {
        if start_ms < range.start.0 {
            return Some(BlockRange::new(start_ms, range.start.0));
        }
        start_ms = start_ms.max(range.end.0.saturating_add(1));
    }
    (start_ms < meta.range.end.0).then(|| BlockRange::new(start_ms, meta.range.end.0))
}

#[cfg(test)]
mod tests {
    use cluster::{Command, ControlState, Response};
    use model::ShardId;

    use super::*;
    use crate::plan::tests::{block, empty_state, join};

    const RULES: DownsampleRules =
        DownsampleRules { five_minutes_after_ms: Some(4 * HOUR_MS), hour_after_ms: Some(8 * HOUR_MS) };

    /// Publishes windows of two hours to shard 1.
    fn state(windows: std::ops::Range<i64>) -> ControlState {
        let mut state = empty_state();
        for window in windows {
            let meta = block(1000 + window as u128, 2 * window * HOUR_MS, 2 * (window + 1) * HOUR_MS);
            let meta = Box::new(BlockMeta { shard: ShardId(1), samples: 1000, ..meta });
            assert_eq!(state.apply(Command::PublishBlock { meta }), Response::Done);
        }
        state
    }

    /// Does a job as a worker would; returns its output.
    fn run(state: &mut ControlState, order: &JobOrder) -> BlockId {
        let (node, member_epoch) = join(state, "worker");
        let claimed = state.apply(Command::ClaimJob { order: order.clone(), node, member_epoch });
        let Response::Claimed { job, epoch, outputs, .. } = claimed else { panic!("{claimed:?}") };
        let metas: Vec<_> =
            order.inputs.iter().map(|id| state.catalogue.get(*id).expect("an input").meta.clone()).collect();
        let range = match order.downsample {
            Some(Downsampling { window, .. }) => window,
            None => BlockRange { start: metas[0].range.start, end: metas[metas.len() - 1].range.end },
        };
        let resolution_ms = order.downsample.map_or(metas[0].resolution_ms, |slots| slots.resolution_ms);
        let meta = BlockMeta {
            id: outputs[0],
            shard: ShardId(1),
            level: order.level,
            resolution_ms,
            ..block(0, range.start.0, range.end.0)
        };
        let commit = Command::CommitJob { job, epoch, outputs: vec![meta], at_ms: 0 };
        assert_eq!(state.apply(commit), Response::Done);
        outputs[0]
    }

    fn all(state: &ControlState, rules: DownsampleRules) -> Vec<JobOrder> {
        downsamplings(&state.catalogue, rules, RetentionRules::default(), &BTreeSet::new())
    }

    /// Resolution and window, both in hours, of each job; five minutes are 0.
    fn planned(state: &ControlState, rules: DownsampleRules) -> Vec<(i64, i64, i64)> {
        let shown = |order: JobOrder| {
            let Downsampling { resolution_ms, window } = order.downsample.expect("a downsampling");
            (resolution_ms / HOUR_MS, window.start.0 / HOUR_MS, window.end.0 / HOUR_MS)
        };
        all(state, rules).into_iter().map(shown).collect()
    }

    #[test]
    fn blocks_are_reduced_once_they_are_old_and_once() {
        let mut state = state(0..5);
        assert_eq!(planned(&state, RULES), [(0, 0, 2), (0, 2, 4), (0, 4, 6)]);
        let never = DownsampleRules { five_minutes_after_ms: None, hour_after_ms: None };
        assert_eq!(planned(&state, never), []);
        assert_eq!(planned(&state, DownsampleRules::DEFAULT), []);
        let order = all(&state, RULES).remove(0);
        let taken: BTreeSet<BlockId> = order.inputs.iter().copied().collect();
        assert_eq!(downsamplings(&state.catalogue, RULES, RetentionRules::default(), &taken).len(), 2);
        run(&mut state, &order);
        // The first window ends eight hours before what is published: its slots become those of an hour.
        assert_eq!(planned(&state, RULES), [(1, 0, 2), (0, 2, 4), (0, 4, 6)]);
        let order = all(&state, RULES).remove(0);
        run(&mut state, &order);
        assert_eq!(planned(&state, RULES), [(0, 2, 4), (0, 4, 6)]);
    }

    #[test]
    fn what_is_left_of_a_merged_block_is_reduced() {
        let mut state = state(0..6);
        let second = all(&state, RULES).remove(1);
        run(&mut state, &second);
        let inputs = (1000..1004).map(BlockId).collect();
        run(&mut state, &JobOrder { inputs, level: 1, outputs: 1, downsample: None });
        assert_eq!(planned(&state, RULES), [(0, 0, 2), (1, 2, 4)]);
        let first = all(&state, RULES).remove(0);
        run(&mut state, &first);
        assert_eq!(planned(&state, RULES), [(1, 0, 2), (1, 2, 4), (0, 4, 8)]);
    }

    #[test]
    fn blocks_that_cut_slots_are_left_alone() {
        let mut state = empty_state();
        for (id, end_ms) in [(1, HOUR_MS + 1), (2, 90 * HOUR_MS)] {
            let meta = block(id, if id == 1 { 0 } else { HOUR_MS + 1 }, end_ms);
            state.apply(Command::PublishBlock { meta: Box::new(BlockMeta { shard: ShardId(1), ..meta }) });
        }
        assert_eq!(planned(&state, RULES), []);
    }

    #[test]
    fn what_holds_no_samples_is_reduced_once() {
        let mut state = state(0..4);
        let order = all(&state, RULES).remove(0);
        let (node, member_epoch) = join(&mut state, "worker");
        let claimed = state.apply(Command::ClaimJob { order, node, member_epoch });
        let Response::Claimed { job, epoch, .. } = claimed else { panic!("{claimed:?}") };
        state.apply(Command::CommitJob { job, epoch, outputs: Vec::new(), at_ms: 0 });
        assert_eq!(planned(&state, RULES), [(0, 2, 4)]);
    }

    #[test]
    fn a_time_of_which_a_damaged_block_has_samples_waits() {
        let mut state = state(0..6);
        let (node, member_epoch) = join(&mut state, "worker");
        let merge = |inputs: &[u128]| JobOrder {
            inputs: inputs.iter().copied().map(BlockId).collect(),
            level: 1,
            outputs: 1,
            downsample: None,
        };
        let claimed = state.apply(Command::ClaimJob { order: merge(&[1000, 1001]), node, member_epoch });
        let Response::Claimed { job, epoch, .. } = claimed else { panic!("{claimed:?}") };
        let bad = vec![cluster::BadBlock { id: BlockId(1001), reason: "damaged".to_owned() }];
        state.apply(Command::AbortJob { job, epoch, bad });
        run(&mut state, &merge(&[1000, 1002, 1003]));
        assert_eq!(planned(&state, RULES), [(0, 0, 2)]);
        let first = all(&state, RULES).remove(0);
        run(&mut state, &first);
        let only_raw = DownsampleRules { hour_after_ms: None, ..RULES };
        assert_eq!(planned(&state, only_raw), [(0, 4, 8)], "the hours between belong to both");
        let rest = all(&state, only_raw).remove(0);
        run(&mut state, &rest);
        assert_eq!(planned(&state, only_raw), []);
    }

    #[test]
    fn slots_that_are_too_old_are_not_made() {
        let state = state(0..6);
        let check = |five_minutes: Option<i64>, hour: Option<i64>, expected: &[(i64, i64, i64)]| {
            let of_hours = |hours: Option<i64>| hours.map(|hours| hours * HOUR_MS);
            let retention = RetentionRules {
                five_minutes_ms: of_hours(five_minutes),
                hour_ms: of_hours(hour),
                ..RetentionRules::default()
            };
            let planned = downsamplings(&state.catalogue, RULES, retention, &BTreeSet::new());
            let windows = planned.iter().map(|order| order.downsample.expect("slots").window);
            let windows: Vec<_> = windows.map(|w| (0, w.start.0 / HOUR_MS, w.end.0 / HOUR_MS)).collect();
            assert_eq!(windows, expected, "{five_minutes:?} {hour:?}");
        };
        let all = [(0, 0, 2), (0, 2, 4), (0, 4, 6), (0, 6, 8)];
        check(None, Some(1), &all);
        check(Some(8), Some(1), &all[2..]);
        check(Some(1), Some(8), &all[2..]);
        check(Some(1), None, &all);
    }
}
