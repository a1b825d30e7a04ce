//! Which blocks answer a select, when blocks of several resolutions hold the same times: a pure function of their entries in
//! the catalogue, so that whoever asks and whoever answers choose alike.
//!
//! At each time and for each series one resolution answers: the coarsest up to the wish that has a block there, else the
//! finest above it. So gaps in coarse data are filled by finer blocks, and nothing is counted twice.

use std::collections::BTreeMap;

use model::{
    BlockMeta, BlockRange, LabelSet, ShardId, SortRange, TimeRange, TimeRanges, TimestampMs, uncovered,
};
use storage::{Coarse, Resolution};

/// A block that is read, and what of it others answer for.
#[derive(Clone, Debug)]
pub struct Chosen<'a> {
    /// The block.
    pub meta: &'a BlockMeta,
    /// All times at which it answers for any series.
    pub range: TimeRange,
    /// What it does not answer for.
    pub others: Others,
}

/// What blocks of other resolutions answer for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Others(Vec<(BlockRange, SortRange)>);

impl Others {
    /// Tells whether that is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns at which times they answer for a series.
    pub fn times_of(&self, labels: &LabelSet) -> TimeRanges {
        let holds = |range: &SortRange| range.contains(labels.metric_name(), || labels.stable_hash());
        self.0.iter().filter(|(_, sort_range)| holds(sort_range)).map(|(range, _)| range.closed()).collect()
    }
}

/// Returns the range in which samples are looked for in a block: slots stand at their ends, so that of a time may end later,
/// and the slot that is the newest one of a step may end as long before it as it is long.
pub fn reach(meta: &BlockMeta, range: TimeRange) -> TimeRange {
    let slack_ms = if range.is_empty() { 0 } else { meta.resolution_ms };
    TimeRange { start: TimestampMs(range.start.0.saturating_sub(slack_ms)), ..range }
}

/// Chooses among blocks of any shards; see the module. In the order of shards, then as the wish prefers them.
pub fn choose<'a>(
    blocks: impl Iterator<Item = &'a BlockMeta>,
    range: TimeRange,
    resolution: Resolution,
) -> Vec<Chosen<'a>> {
    let mut shards: BTreeMap<ShardId, BTreeMap<(bool, i64), Vec<&BlockMeta>>> = BTreeMap::new();
    let may_answer = |meta: &&BlockMeta| {
        meta.range.overlaps(&reach(meta, range)) && (meta.resolution_ms <= resolution.most_ms.max(0))
    };
    for meta in blocks.filter(may_answer) {
        let is_above = meta.resolution_ms > resolution.wish_ms;
        let order = if is_above { meta.resolution_ms } else { -meta.resolution_ms };
        shards.entry(meta.shard).or_default().entry((is_above, order)).or_default().push(meta);
    }
    let mut chosen = Vec::new();
    for ranks in shards.into_values() {
        let mut answered: Vec<&BlockMeta> = Vec::new();
        for blocks in ranks.into_values() {
            chosen.extend(blocks.iter().filter_map(|meta| choose_one(meta, range, &answered)));
            answered.extend(blocks);
        }
    }
    chosen
}

/// Returns what is coarse among chosen blocks, if anything is.
pub fn coarse_of(chosen: &[Chosen<'_>]) -> Option<Coarse> {
    let coarse = || chosen.iter().map(|chosen| chosen.meta).filter(|meta| meta.resolution_ms > 0);
    let resolution_ms = coarse().map(|meta| meta.resolution_ms).max()?;
    let until_ms = coarse().map(|meta| meta.range.end.0).max()?;
    Some(Coarse { resolution_ms, until_ms })
}

/// Chooses a block unless others answer for all of it.
fn choose_one<'a>(meta: &'a BlockMeta, range: TimeRange, answered: &[&BlockMeta]) -> Option<Chosen<'a>> {
    let held = reach(meta, range).intersect(&meta.range.closed());
    let meets =
        |other: &&&BlockMeta| other.range.overlaps(&held) && other.sort_range.overlaps(&meta.sort_range);
    let others: Vec<(BlockRange, SortRange)> =
        answered.iter().filter(meets).map(|other| (other.range, other.sort_range.clone())).collect();
    let left = uncovered(held, &meta.sort_range, &others);
    let (first, last) = (left.as_slice().first()?, left.as_slice().last()?);
    let range = TimeRange { start: first.start, end: last.end };
    Some(Chosen { meta, range, others: Others(others) })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use model::{BlockId, ObjectMeta, SortKey};
    use proptest::prelude::*;

    use super::*;

    fn key(metric: &str) -> SortKey {
        SortKey { metric: metric.to_owned(), hash: 0 }
    }

    fn block(id: usize, resolution_ms: i64, range: (i64, i64), series: SortRange) -> BlockMeta {
        let object = ObjectMeta { key: String::new(), size_bytes: 0, tail_bytes: 0, crc32c: 0 };
        BlockMeta {
            id: BlockId(id as u128),
            shard: ShardId(1),
            range: BlockRange::new(range.0, range.1),
            level: 0,
            cut_index: 0,
            series: 1,
            samples: 1,
            external_labels: BTreeMap::new(),
            parents: Vec::new(),
            resolution_ms,
            sort_range: series,
            series_object: object.clone(),
            chunks_object: object,
        }
    }

    fn shown(blocks: &[BlockMeta], range: (i64, i64), wish_ms: i64, most_ms: i64) -> Vec<(u128, (i64, i64))> {
        let resolution = Resolution { wish_ms, most_ms };
        let chosen = choose(blocks.iter(), TimeRange::new(range.0, range.1), resolution);
        chosen.iter().map(|one| (one.meta.id.0, (one.range.start.0, one.range.end.0))).collect()
    }

    #[test]
    fn the_coarsest_that_is_fine_enough_answers_and_finer_ones_fill_its_gaps() {
        let all = SortRange::ALL;
        let blocks = [
            block(1, 0, (0, 100), all.clone()),
            block(2, 0, (100, 200), all.clone()),
            block(3, 5, (0, 150), all.clone()),
            block(4, 10, (0, 50), all.clone()),
        ];
        let check = |range, wish, most, expected: &[(u128, (i64, i64))]| {
            assert_eq!(shown(&blocks, range, wish, most), expected, "{range:?} {wish} {most}");
        };
        check((0, 199), 0, i64::MAX, &[(1, (0, 99)), (2, (100, 199))]);
        check((0, 199), 5, i64::MAX, &[(3, (0, 149)), (2, (150, 199))]);
        check((0, 199), 99, 99, &[(4, (0, 49)), (3, (50, 149)), (2, (150, 199))]);
        check((60, 120), 10, 10, &[(3, (55, 120))]);
        check((0, 10), 4, 4, &[(1, (0, 10))]);
        // Raw samples are gone.
        check((0, 199), 0, 0, &[(1, (0, 99)), (2, (100, 199))]);
        let kept = &blocks[1..];
        assert_eq!(shown(kept, (0, 199), 0, i64::MAX), [(2, (100, 199)), (3, (0, 99))]);
        assert_eq!(shown(kept, (0, 199), 0, 0), [(2, (100, 199))]);
        assert_eq!(shown(&blocks[3..], (0, 199), 0, i64::MAX), [(4, (0, 49))]);
        let chosen = choose(kept.iter(), TimeRange::new(0, 199), Resolution::default());
        assert_eq!(coarse_of(&chosen), Some(Coarse { resolution_ms: 5, until_ms: 150 }));
        assert_eq!(coarse_of(&choose(blocks.iter(), TimeRange::new(0, 199), Resolution::default())), None);
    }

    #[test]
    fn a_slot_that_ended_before_a_range_is_within_reach() {
        let blocks = [block(1, 10, (0, 50), SortRange::ALL)];
        assert_eq!(shown(&blocks, (55, 60), 10, 10), [(1, (45, 49))]);
        assert_eq!(shown(&blocks, (60, 70), 10, 10), []);
        assert_eq!(shown(&blocks, (5, 4), 10, 10), []);
    }

    fn split() -> impl Strategy<Value = SortRange> {
        let bound = prop::option::of(prop::sample::select(vec!["b", "c", "d"]));
        (bound.clone(), bound).prop_filter_map("not empty", |(start, end)| {
            let is_empty = start.is_some() && end.is_some() && end <= start;
            (!is_empty).then(|| SortRange { start: start.map(key), end: end.map(key) })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn one_resolution_answers_for_each_time_and_series(
            shapes in prop::collection::vec((prop::sample::select(vec![0, 5, 10]), 0..10i64, 1..6i64, split()), 0..9),
            wish_ms in prop::sample::select(vec![0, 4, 5, 20]),
            most_ms in prop::sample::select(vec![0, 5, i64::MAX]),
        ) {
            let most_ms = most_ms.max(wish_ms);
            let shape = |(id, (resolution, start, length, series)): (usize, (i64, i64, i64, SortRange))| {
                block(id, resolution, (start * 10, (start + length) * 10), series)
            };
            let blocks: Vec<BlockMeta> = shapes.into_iter().enumerate().map(shape).collect();
            let range = TimeRange::new(15, 120);
            let chosen = choose(blocks.iter(), range, Resolution { wish_ms, most_ms });
            for metric in ["a", "b", "c", "d"] {
                let labels = LabelSet::from_pairs([("__name__", metric)]);
                let holds = |meta: &BlockMeta, time_ms| {
                    meta.range.contains(time_ms) && meta.sort_range.contains(metric, || labels.stable_hash())
                };
                for time_ms in 15..=120 {
                    let there = blocks.iter().filter(|meta| holds(meta, time_ms) && meta.resolution_ms <= most_ms);
                    let (fine, coarse): (Vec<i64>, Vec<i64>) =
                        there.map(|meta| meta.resolution_ms).partition(|resolution| *resolution <= wish_ms);
                    let expected = fine.into_iter().max().or(coarse.into_iter().min());
                    let answers = |one: &&Chosen<'_>| {
                        holds(one.meta, time_ms)
                            && one.range.contains(time_ms)
                            && !one.others.times_of(&labels).contains(time_ms)
                    };
                    let answering: BTreeSet<i64> =
                        chosen.iter().filter(answers).map(|one| one.meta.resolution_ms).collect();
                    prop_assert_eq!(answering.into_iter().collect::<Vec<_>>(), Vec::from_iter(expected));
                    let all = blocks.iter().filter(|meta| holds(meta, time_ms) && Some(meta.resolution_ms) == expected);
                    prop_assert_eq!(chosen.iter().filter(answers).count(), all.count());
                }
            }
        }
    }
}
