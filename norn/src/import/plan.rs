//! What of foreign blocks is imported, and in which parts: pure functions.

use std::collections::{BTreeMap, BTreeSet};

use cluster::ImportUnit;
use model::{BlockRange, LabelSet};
use tsdb::Meta;

/// Returns the parts of a block that are imported one by one: those that the cluster's windows cut it into, so that what
/// comes out is merged with the cluster's own blocks window by window.
pub(super) fn units(meta: &Meta, window_ms: i64) -> Vec<ImportUnit> {
    let mut units = Vec::new();
    let mut start_ms = meta.min_time;
    while start_ms < meta.max_time {
        let end_ms = BlockRange::window_of(start_ms, window_ms).end.0.min(meta.max_time);
        units.push(ImportUnit { source: meta.ulid.clone(), range: BlockRange::new(start_ms, end_ms) });
        start_ms = end_ms;
    }
    units
}

/// Returns which blocks hold nothing that another of them does not: compacted ones name what they were made of.
pub(super) fn superseded(metas: &[Meta]) -> BTreeMap<String, String> {
    let sources = |meta: &Meta| meta.compaction.sources.iter().cloned().collect::<BTreeSet<String>>();
    let all: Vec<BTreeSet<String>> = metas.iter().map(sources).collect();
    let labels = |meta: &Meta| meta.thanos.as_ref().map(|thanos| thanos.labels.clone()).unwrap_or_default();
    let mut found = BTreeMap::new();
    for (meta, own) in metas.iter().zip(&all) {
        let is_parent = |(other, theirs): &(&Meta, &BTreeSet<String>)| {
            theirs.len() > own.len()
                && !own.is_empty()
                && own.is_subset(theirs)
                && other.resolution_ms() == meta.resolution_ms()
                && labels(other) == labels(meta)
        };
        if let Some((parent, _)) = metas.iter().zip(&all).find(is_parent) {
            found.insert(meta.ulid.clone(), parent.ulid.clone());
        }
    }
    found
}

/// Labels that all series of a block get: its own external labels and those given on the command line, but not what the
/// cluster says of all its series anyway.
#[derive(Clone, Debug, Default)]
pub(super) struct Added(BTreeMap<String, String>);

impl Added {
    pub(super) fn new(
        meta: &Meta,
        given: &BTreeMap<String, String>,
        cluster: &BTreeMap<String, String>,
    ) -> Self {
        let mut labels = meta.thanos.as_ref().map(|thanos| thanos.labels.clone()).unwrap_or_default();
        labels.extend(given.clone());
        labels.retain(|name, value| !value.is_empty() && cluster.get(name) != Some(value));
        Self(labels)
    }

    /// Returns a series' labels with these; a series that has one of the name keeps its own.
    pub(super) fn to(&self, labels: &LabelSet) -> LabelSet {
        if self.0.is_empty() {
            return labels.clone();
        }
        let mut pairs: BTreeMap<&str, &str> = self.0.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        pairs.extend(labels.iter());
        LabelSet::from_sorted(pairs).expect("sorted by the map, unique and without empty values")
    }
}

#[cfg(test)]
mod tests {
    use tsdb::{Compaction, Stats, Thanos};

    use super::*;

    fn meta(ulid: &str, range: (i64, i64), sources: &[&str]) -> Meta {
        let sources = sources.iter().map(|source| (*source).to_owned()).collect();
        Meta {
            ulid: ulid.to_owned(),
            min_time: range.0,
            max_time: range.1,
            version: 1,
            stats: Stats::default(),
            compaction: Compaction { level: 1, sources, failed: false },
            thanos: None,
        }
    }

    #[test]
    fn parts_are_those_of_the_windows() {
        let ranges = |start, end| -> Vec<(i64, i64)> {
            let units = units(&meta("a", (start, end), &[]), 100);
            assert!(units.iter().all(|unit| unit.source == "a"));
            units.iter().map(|unit| (unit.range.start.0, unit.range.end.0)).collect()
        };
        assert_eq!(ranges(100, 200), [(100, 200)]);
        assert_eq!(ranges(130, 131), [(130, 131)]);
        assert_eq!(ranges(-50, 250), [(-50, 0), (0, 100), (100, 200), (200, 250)]);
    }

    #[test]
    fn blocks_that_were_compacted_into_others_are_left_out() {
        let mut other = meta("c", (0, 1), &["x"]);
        other.thanos =
            Some(Thanos { labels: BTreeMap::from([("r".into(), "b".into())]), ..Thanos::default() });
        let metas =
            [meta("x", (0, 1), &["x"]), meta("y", (0, 1), &["y"]), meta("m", (0, 2), &["x", "z"]), other];
        let found = superseded(&metas);
        assert_eq!(found, BTreeMap::from([("x".to_owned(), "m".to_owned())]));
    }

    #[test]
    fn external_labels_become_labels_unless_they_are_the_cluster_s() {
        let mut source = meta("a", (0, 1), &[]);
        let labels = [("cluster", "eu"), ("replica", "a"), ("site", "x")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        source.thanos = Some(Thanos { labels, ..Thanos::default() });
        let given =
            BTreeMap::from([("replica".to_owned(), String::new()), ("team".to_owned(), "t".to_owned())]);
        let cluster = BTreeMap::from([("cluster".to_owned(), "eu".to_owned())]);
        let added = Added::new(&source, &given, &cluster);
        let check = |from: &[(&str, &str)], expected: &str| {
            assert_eq!(added.to(&LabelSet::from_pairs(from.iter().copied())).to_string(), expected);
        };
        check(&[("__name__", "up")], r#"up{site="x", team="t"}"#);
        check(&[("__name__", "up"), ("site", "own")], r#"up{site="own", team="t"}"#);
    }
}
