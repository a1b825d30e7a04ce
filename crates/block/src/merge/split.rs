//! Where a merge is cut into several blocks: chosen from the labels of all inputs, before any sample is read.
//!
//! Cuts lie along the order of [`model::SortRange`]: where inputs were cut before, so that parts of many windows stay parts of one
//! another; else between two metrics; else within a metric, by hash. Held at once: one input's index, and 24 bytes for each
//! different series.

use hashbrown::HashMap;
use model::labels::METRIC_NAME;
use model::{BlockMeta, SortKey, SortRange};

use crate::error::BlockError;
use crate::place::Place;
use crate::range::{RangeReader, read_exact};
use crate::series::SeriesFile;

/// A cut is moved to a better place when that shifts no more than this part of a block.
const SLACK_PART: u64 = 8;
/// Parts are planned to be this full, in fifths, so that no shift of their two cuts makes one larger than allowed.
const FILL_FIFTHS: u64 = 4;

/// How large one block may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitLimits {
    /// Series.
    pub series: u64,
    /// Bytes of samples, guessed from what the inputs have for each series.
    pub bytes: u64,
    /// How many blocks there may be; with too few of them each is larger.
    pub parts: usize,
}

impl SplitLimits {
    /// A block has up to 2^20 series, so that its index is opened and searched in memory, and up to 4 GiB.
    pub const DEFAULT: Self = Self { series: 1 << 20, bytes: 4 << 30, parts: usize::MAX };

    /// Returns how many blocks come of so much; at least one.
    pub fn parts_of(&self, series: u64, bytes: u64) -> usize {
        let parts = |amount: u64, limit: u64| {
            let limit = limit.max(1);
            // One block may be full to the brim.
            if amount <= limit { 1 } else { amount.div_ceil((limit * FILL_FIFTHS / 5).max(1)) }
        };
        parts(series, self.series).max(parts(bytes, self.bytes)).min(self.parts.max(1) as u64) as usize
    }
}

/// Returns the ranges of series that a merge of blocks of one shard is to be written in: a block each, in order, together all of
/// what the inputs may hold. One when all fits into one block; then nothing is read. Cancel-safe.
///
/// # Errors
/// [`BlockError::Input`] names a block that cannot be read, with the reason.
///
/// # Panics
/// When there is no input.
pub async fn split(
    reader: &dyn RangeReader,
    inputs: &[BlockMeta],
    limits: SplitLimits,
) -> Result<Vec<SortRange>, BlockError> {
    let all = inputs.iter().map(|meta| meta.sort_range.clone()).reduce(|all, range| all.hull(&range));
    let all = all.expect("there is something to merge");
    let sum = |of: fn(&BlockMeta) -> u64| inputs.iter().map(of).fold(0, u64::saturating_add);
    if limits.parts_of(sum(|meta| meta.series), sum(|meta| meta.chunks_object.size_bytes)) == 1 {
        return Ok(vec![all]);
    }
    let mut series = AllSeries::default();
    for meta in inputs {
        series = add(reader, meta.clone(), series)
            .await
            .map_err(|source| BlockError::Input { block: meta.id, source: Box::new(source) })?;
    }
    let bounds = |meta: &BlockMeta| [meta.sort_range.start.clone(), meta.sort_range.end.clone()];
    let known: Vec<SortKey> = inputs.iter().flat_map(bounds).flatten().collect();
    let cuts = tokio::task::spawn_blocking(move || series.sorted().cuts(&known, limits));
    let cuts =
        cuts.await.map_err(|e| BlockError::Task { object: "labels".to_owned(), reason: e.to_string() })?;
    let mut bounds = vec![all.start];
    bounds.extend(cuts.into_iter().map(Some));
    bounds.push(all.end);
    let part = |pair: &[Option<SortKey>]| SortRange { start: pair[0].clone(), end: pair[1].clone() };
    Ok(bounds.windows(2).map(part).collect())
}

async fn add(
    reader: &dyn RangeReader,
    meta: BlockMeta,
    mut series: AllSeries,
) -> Result<AllSeries, BlockError> {
    let object = &meta.series_object;
    let bytes = read_exact(reader, &object.key, 0..object.size_bytes).await?;
    let key = object.key.clone();
    let added = tokio::task::spawn_blocking(move || {
        let file = SeriesFile::decode(&meta, &bytes)?;
        series.add(&meta, &file)?;
        Ok(series)
    });
    added.await.map_err(|e| BlockError::Task { object: key, reason: e.to_string() })?
}

/// One series of some input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    /// Number of its metric's name.
    metric: u32,
    hash: u64,
    /// About what its samples take, in all inputs.
    bytes: u64,
}

/// The series of all inputs, each once.
#[derive(Default)]
struct AllSeries {
    numbers: HashMap<String, u32>,
    rows: Vec<Row>,
}

impl AllSeries {
    fn add(&mut self, meta: &BlockMeta, file: &SeriesFile) -> Result<(), BlockError> {
        let corrupt =
            |reason: String| BlockError::corrupt(&meta.series_object.key, Place::Section("index"), reason);
        let bytes = meta.chunks_object.size_bytes / meta.series.max(1);
        for row in 0..file.index.rows() {
            let labels = file.index.labels(row).map_err(corrupt)?;
            let metric = self.number(labels.get(METRIC_NAME));
            self.rows.push(Row { metric, hash: labels.stable_hash(), bytes });
        }
        self.rows.sort_unstable();
        self.rows.dedup_by(|next, first| {
            let is_same = (next.metric, next.hash) == (first.metric, first.hash);
            if is_same {
                first.bytes += next.bytes;
            }
            is_same
        });
        Ok(())
    }

    fn number(&mut self, metric: &str) -> u32 {
        let next = self.numbers.len() as u32;
        *self.numbers.entry_ref(metric).or_insert(next)
    }

    /// Brings the series into their order.
    fn sorted(mut self) -> SortedSeries {
        let mut names: Vec<(String, u32)> = self.numbers.into_iter().collect();
        names.sort_unstable();
        let mut ranks = vec![0; names.len()];
        for (rank, (_, number)) in names.iter().enumerate() {
            ranks[*number as usize] = rank as u32;
        }
        self.rows.iter_mut().for_each(|row| row.metric = ranks[row.metric as usize]);
        self.rows.sort_unstable();
        SortedSeries { names: names.into_iter().map(|(name, _)| name).collect(), rows: self.rows }
    }
}

/// All series in order.
struct SortedSeries {
    /// Names of metrics, ascending; a row's metric is a position here.
    names: Vec<String>,
    rows: Vec<Row>,
}

impl SortedSeries {
    /// Returns where to cut, ascending; `known` are places where inputs were cut.
    fn cuts(&self, known: &[SortKey], limits: SplitLimits) -> Vec<SortKey> {
        let bytes = self.rows.iter().map(|row| row.bytes).sum::<u64>();
        let series = self.rows.len() as u64;
        let parts = limits.parts_of(series, bytes) as u64;
        // Whichever of the two makes more parts is divided evenly.
        let by_bytes = limits.parts_of(series, 0) < parts as usize;
        let weight = |row: &Row| if by_bytes { row.bytes } else { 1 };
        // What lies before each row.
        let mut before = Vec::with_capacity(self.rows.len());
        let total = self.rows.iter().fold(0, |sum, row| {
            before.push(sum);
            sum + weight(row)
        });
        let known =
            known.iter().map(|key| self.position(key)).filter(|row| (1..self.rows.len()).contains(row));
        let known: Vec<usize> = known.collect();
        let starts: Vec<usize> =
            (1..self.rows.len()).filter(|row| self.rows[*row].metric != self.rows[row - 1].metric).collect();
        let slack = total / parts / SLACK_PART;
        let mut cuts: Vec<usize> = Vec::new();
        for part in 1..parts {
            let ideal = (u128::from(total) * u128::from(part) / u128::from(parts)) as u64;
            let near = |rows: &[usize]| {
                let shift = |row: &usize| before[*row].abs_diff(ideal);
                rows.iter().filter(|row| shift(row) <= slack).min_by_key(|row| (shift(row), **row)).copied()
            };
            let exact = before.partition_point(|sum| *sum < ideal);
            cuts.push(near(&known).or_else(|| near(&starts)).unwrap_or(exact));
        }
        cuts.sort_unstable();
        cuts.dedup();
        cuts.into_iter().filter(|row| (1..self.rows.len()).contains(row)).map(|row| self.key(row)).collect()
    }

    /// Returns the first row at or behind a place.
    fn position(&self, key: &SortKey) -> usize {
        self.rows
            .partition_point(|row| (&*self.names[row.metric as usize], row.hash) < (&*key.metric, key.hash))
    }

    /// Returns the place in front of a row.
    fn key(&self, row: usize) -> SortKey {
        let Row { metric, hash, .. } = self.rows[row];
        let is_first = row == 0 || self.rows[row - 1].metric != metric;
        SortKey { metric: self.names[metric as usize].clone(), hash: if is_first { 0 } else { hash } }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Series of metrics `a`, `b` and so on, so many each, whose hashes are 10, 20 and so on.
    fn series(counts: &[usize]) -> SortedSeries {
        let names = (0..counts.len()).map(|at| char::from(b'a' + at as u8).to_string()).collect();
        let rows = counts.iter().enumerate().flat_map(|(metric, count)| {
            (1..=*count as u64).map(move |at| Row { metric: metric as u32, hash: at * 10, bytes: 100 })
        });
        SortedSeries { names, rows: rows.collect() }
    }

    fn limits(series: u64, bytes: u64) -> SplitLimits {
        SplitLimits { series, bytes, parts: 64 }
    }

    fn key(metric: &str, hash: u64) -> SortKey {
        SortKey { metric: metric.to_owned(), hash }
    }

    #[test]
    fn cuts_lie_between_metrics_where_that_hardly_shifts_them() {
        let check = |counts: &[usize], known: &[SortKey], limits, expected: &[SortKey]| {
            assert_eq!(series(counts).cuts(known, limits), expected, "{counts:?} {limits:?}");
        };
        check(&[10, 10], &[], limits(20, u64::MAX), &[]);
        check(&[10, 10], &[], limits(19, u64::MAX), &[key("b", 0)]);
        check(&[50, 60], &[], limits(100, u64::MAX), &[key("b", 0)]);
        check(&[110], &[], limits(100, u64::MAX), &[key("a", 560)]);
        check(&[20, 80, 10], &[], limits(100, u64::MAX), &[key("b", 360)]);
        check(&[50, 60], &[key("a", 500), key("z", 0)], limits(100, u64::MAX), &[key("a", 500)]);
        // By bytes: 11,000 of them.
        check(&[50, 60], &[], limits(1000, 10_000), &[key("b", 0)]);
        check(&[1], &[], limits(1, 10), &[]);
        check(&[], &[], limits(1, 10), &[]);
    }

    #[test]
    fn the_number_of_parts_is_bounded() {
        assert_eq!(limits(10, 10).parts_of(10_000, 0), 64);
        assert_eq!(limits(0, 0).parts_of(1, 0), 1);
        assert_eq!(SplitLimits { parts: 0, ..limits(1, 1) }.parts_of(100, 100), 1);
        assert_eq!(SplitLimits::DEFAULT.parts_of(1 << 20, 4 << 30), 1);
        assert_eq!(SplitLimits::DEFAULT.parts_of(1 + (1 << 20), 0), 2);
    }

    proptest! {
        #[test]
        fn no_part_is_larger_than_allowed_and_none_is_empty(
            counts in prop::collection::vec(1..200usize, 1..20),
            known in prop::collection::vec((0..20u8, 0..2500u64), 0..4),
            max in 20..300u64,
        ) {
            let all = series(&counts);
            let known: Vec<SortKey> =
                known.into_iter().map(|(at, hash)| key(&char::from(b'a' + at).to_string(), hash)).collect();
            let limits = SplitLimits { series: max, bytes: u64::MAX, parts: usize::MAX };
            let cuts = all.cuts(&known, limits);
            let positions = cuts.iter().map(|cut| all.position(cut));
            let bounds: Vec<usize> = [0].into_iter().chain(positions).chain([all.rows.len()]).collect();
            for pair in bounds.windows(2) {
                prop_assert!(pair[0] < pair[1] && (pair[1] - pair[0]) as u64 <= max, "{:?} of {:?}", pair, bounds);
            }
        }
    }
}
