//! How series are spread over metric names, label names and label values: what `/api/v1/status/tsdb` shows.
//!
//! Series lie in one shard each, so counts of series add up. Label values do not: most occur in every shard. Each part
//! therefore names a sample of its values' hashes, by which the values of all parts are counted once ([`Distinct`]).

use std::collections::HashMap;

use crate::TimeRange;

/// How many hashes of a label's values are kept: up to so many values are counted exactly, more are estimated with a
/// standard error of 3 %.
pub const HASHES_MAX: usize = 1024;

/// A name or a `name=value` pair, and how many series have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameCount {
    /// The name.
    pub name: String,
    /// How many series have it.
    pub series: u64,
}

/// One label name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelCount {
    /// The name.
    pub name: String,
    /// Its values.
    pub values: Distinct,
    /// The lengths of the values of all series, added up.
    pub value_bytes: u64,
}

/// The spread of some series. Lists hold the entries with the largest counts first. Those of metrics and of pairs may lack
/// the smallest ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// How many series there are.
    pub series: u64,
    /// How many chunks.
    pub chunks: u64,
    /// From the oldest sample to the newest, closed; `None` without samples.
    pub range: Option<TimeRange>,
    /// Series by metric name.
    pub metrics: Vec<NameCount>,
    /// Label names, by the number of their values.
    pub labels: Vec<LabelCount>,
    /// Series by pairs of label name and value, as `name=value`.
    pub pairs: Vec<NameCount>,
}

/// A number of distinct values, and the smallest hashes of them: enough to count the union of several sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distinct {
    count: u64,
    hashes: Vec<u64>,
}

impl Distinct {
    /// Takes a set's size and some hashes of its values, of each value once.
    pub fn new(count: u64, hashes: impl IntoIterator<Item = u64>) -> Self {
        let mut hashes: Vec<u64> = hashes.into_iter().collect();
        if hashes.len() > HASHES_MAX {
            hashes.select_nth_unstable(HASHES_MAX - 1);
            hashes.truncate(HASHES_MAX);
        }
        hashes.sort_unstable();
        hashes.dedup();
        Self { count, hashes }
    }

    /// Returns how many there are; an estimate once sets of more than [`HASHES_MAX`] were united.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the smallest hashes, sorted.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Forgets the hashes to save room: a union is then only known to have as many values as its largest part.
    pub fn forget_hashes(&mut self) {
        self.hashes = Vec::new();
    }

    /// Adds the values of another set.
    pub fn unite(&mut self, other: Self) {
        let is_whole = |set: &Self| set.hashes.len() as u64 == set.count;
        let (both_whole, at_least) = (is_whole(self) && is_whole(&other), self.count.max(other.count));
        let at_most = self.count.saturating_add(other.count);
        let has_no_sample = |set: &Self| set.hashes.is_empty() && set.count > 0;
        if has_no_sample(self) || has_no_sample(&other) {
            *self = Self { count: at_least, hashes: Vec::new() };
            return;
        }
        self.hashes.extend(other.hashes);
        self.hashes.sort_unstable();
        // Values that both have must not take the places of others.
        self.hashes.dedup();
        self.hashes.truncate(HASHES_MAX);
        let kept = self.hashes.len();
        self.count = match self.hashes.last() {
            Some(last) if kept == HASHES_MAX && *last > 0 => {
                let density = (kept - 1) as f64 / *last as f64;
                ((density * u64::MAX as f64) as u64).clamp(at_least, at_most)
            }
            _ if both_whole => kept as u64,
            _ => at_least.max(kept as u64),
        };
    }
}

impl Cardinality {
    /// Adds another shard's.
    pub fn merge(&mut self, other: Self) {
        self.series += other.series;
        self.chunks += other.chunks;
        self.range = match (self.range, other.range) {
            (Some(a), Some(b)) => Some(TimeRange { start: a.start.min(b.start), end: a.end.max(b.end) }),
            (a, b) => a.or(b),
        };
        merge_counts(&mut self.metrics, other.metrics);
        merge_counts(&mut self.pairs, other.pairs);
        let mut places: HashMap<String, usize> =
            self.labels.iter().zip(0..).map(|(label, at)| (label.name.clone(), at)).collect();
        for label in other.labels {
            match places.get(&label.name) {
                Some(at) => {
                    let known = &mut self.labels[*at];
                    known.value_bytes += label.value_bytes;
                    known.values.unite(label.values);
                }
                None => {
                    places.insert(label.name.clone(), self.labels.len());
                    self.labels.push(label);
                }
            }
        }
        self.labels.sort_by(|a, b| b.values.count().cmp(&a.values.count()).then_with(|| a.name.cmp(&b.name)));
    }
}

fn merge_counts(counts: &mut Vec<NameCount>, others: Vec<NameCount>) {
    let mut places: HashMap<String, usize> =
        counts.iter().zip(0..).map(|(known, at)| (known.name.clone(), at)).collect();
    for other in others {
        match places.get(&other.name) {
            Some(at) => counts[*at].series += other.series,
            None => {
                places.insert(other.name.clone(), counts.len());
                counts.push(other);
            }
        }
    }
    sort_counts(counts);
}

/// Sorts by count, the largest first, and by name.
pub fn sort_counts(counts: &mut [NameCount]) {
    counts.sort_unstable_by(|a, b| b.series.cmp(&a.series).then_with(|| a.name.cmp(&b.name)));
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    fn distinct(values: impl Iterator<Item = u64>) -> Distinct {
        let hashes: Vec<u64> = values.map(|value| xxh3_64(&value.to_le_bytes())).collect();
        Distinct::new(hashes.len() as u64, hashes)
    }

    #[test]
    fn few_values_are_counted_exactly() {
        let mut set = distinct(0..300);
        set.unite(distinct(200..500));
        assert_eq!((set.count(), set.hashes().len()), (500, 500));
        set.unite(Distinct::default());
        assert_eq!(set.count(), 500);
    }

    #[test]
    fn many_values_are_estimated_within_bounds() {
        for (a, b) in [(0..50_000, 0..50_000), (0..50_000, 25_000..75_000), (0..2000, 100_000..100_010)] {
            let expected =
                a.clone().chain(b.clone()).collect::<std::collections::BTreeSet<u64>>().len() as f64;
            let mut set = distinct(a);
            set.unite(distinct(b));
            let error = (set.count() as f64 - expected).abs() / expected;
            assert!(error < 0.1, "{} instead of {expected}", set.count());
        }
    }

    #[test]
    fn without_hashes_the_largest_part_counts() {
        let mut small = distinct(0..5);
        let mut large = distinct(0..2000);
        large.forget_hashes();
        small.unite(large);
        assert_eq!(small.count(), 2000);
    }

    #[test]
    fn shards_add_up() {
        let count = |name: &str, series| NameCount { name: name.to_owned(), series };
        let part = |range, metrics: &[(&str, u64)], values| Cardinality {
            series: 2,
            chunks: 3,
            range,
            metrics: metrics.iter().map(|(name, series)| count(name, *series)).collect(),
            labels: vec![LabelCount { name: "a".to_owned(), values: distinct(values), value_bytes: 7 }],
            pairs: vec![count("a=b", 1)],
        };
        let mut all = part(Some(TimeRange::new(5, 9)), &[("up", 2), ("x", 1)], 0..2);
        all.merge(part(Some(TimeRange::new(1, 6)), &[("x", 3)], 1..4));
        all.merge(part(None, &[("b", 2)], 0..0));
        assert_eq!((all.series, all.chunks, all.range), (6, 9, Some(TimeRange::new(1, 9))));
        assert_eq!(all.metrics, [count("x", 4), count("b", 2), count("up", 2)]);
        assert_eq!((all.labels[0].values.count(), all.labels[0].value_bytes), (4, 21));
        assert_eq!(all.pairs, [count("a=b", 3)]);
    }
}
