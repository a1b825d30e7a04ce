//! Which part of a shard's series a block holds, when a merge was split into several blocks.
//!
//! Series are split along one order that does not depend on what a block holds: by metric name, and within a metric by the
//! stable hash of all labels. (Rows within a block have an order of their own, which suits what is in it.)

use serde::{Deserialize, Serialize};

use crate::labels::METRIC_NAME;
use crate::{LabelSet, Matcher};

/// A place in the order of all series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SortKey {
    /// The metric's name; empty for series without one.
    pub metric: String,
    /// The series' [`LabelSet::stable_hash`]. 0 stands before all series of the metric.
    pub hash: u64,
}

impl SortKey {
    /// Returns where a series stands.
    pub fn of(labels: &LabelSet) -> Self {
        Self { metric: labels.metric_name().to_owned(), hash: labels.stable_hash() }
    }
}

/// A half-open range of the order of all series; `None` is the end of the order on that side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SortRange {
    /// The first place that is within.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<SortKey>,
    /// The first place that is beyond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<SortKey>,
}

impl SortRange {
    /// All series.
    pub const ALL: Self = Self { start: None, end: None };

    /// Tells whether the range leaves nothing out.
    pub fn is_all(&self) -> bool {
        *self == Self::ALL
    }

    /// Tells whether a series lies within. `hash` is called only when the metric's name does not decide.
    pub fn contains(&self, metric: &str, hash: impl Fn() -> u64) -> bool {
        let is_before = |key: &SortKey| match metric.cmp(&*key.metric) {
            std::cmp::Ordering::Equal => key.hash > 0 && hash() < key.hash,
            order => order.is_lt(),
        };
        !self.start.as_ref().is_some_and(is_before) && self.end.as_ref().is_none_or(is_before)
    }

    /// Tells whether both ranges have a place in common. Neither is empty.
    pub fn overlaps(&self, other: &Self) -> bool {
        let is_apart = |before: &Self, after: &Self| match (&before.end, &after.start) {
            (Some(end), Some(start)) => end <= start,
            _ => false,
        };
        !is_apart(self, other) && !is_apart(other, self)
    }

    /// Returns the smallest range that holds both.
    #[must_use]
    pub fn hull(&self, other: &Self) -> Self {
        let start = self.start.as_ref().zip(other.start.as_ref()).map(|(a, b)| a.min(b).clone());
        let end = self.end.as_ref().zip(other.end.as_ref()).map(|(a, b)| a.max(b).clone());
        Self { start, end }
    }

    /// Returns what both ranges hold, given that they overlap.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        let start = self.start.iter().chain(&other.start).max().cloned();
        let end = self.end.iter().chain(&other.end).min().cloned();
        Self { start, end }
    }

    /// Tells whether a series within may satisfy all matchers, as far as the metric's name decides that.
    pub fn may_match(&self, matchers: &[Matcher]) -> bool {
        self.is_all() || matchers.iter().filter(|m| *m.name == *METRIC_NAME).all(|m| self.may_match_name(m))
    }

    fn may_match_name(&self, matcher: &Matcher) -> bool {
        if matcher.is_negative() {
            return true;
        }
        if let Some(names) = matcher.literal_values() {
            return names.into_iter().any(|name| self.may_hold(name));
        }
        // Names with the prefix are a run of the order that begins with the prefix itself.
        let prefix = matcher.literal_prefix();
        let ends_before = self.end.as_ref().is_some_and(|end| (&*end.metric, end.hash) <= (prefix, 0));
        let starts_behind = self
            .start
            .as_ref()
            .is_some_and(|start| &*start.metric > prefix && !start.metric.starts_with(prefix));
        !ends_before && !starts_behind
    }

    /// Tells whether any series of a metric may lie within.
    fn may_hold(&self, metric: &str) -> bool {
        self.start.as_ref().is_none_or(|start| *start.metric <= *metric)
            && self.end.as_ref().is_none_or(|end| (metric, 0) < (&*end.metric, end.hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MatchOp;

    fn key(metric: &str, hash: u64) -> Option<SortKey> {
        Some(SortKey { metric: metric.to_owned(), hash })
    }

    fn range(start: Option<SortKey>, end: Option<SortKey>) -> SortRange {
        SortRange { start, end }
    }

    #[test]
    fn a_series_lies_in_exactly_one_of_the_ranges_that_cuts_make() {
        let cuts = [key("b", 0), key("c", 7), key("c", 9), key("d", 0)];
        let bounds: Vec<_> = [None].into_iter().chain(cuts).chain([None]).collect();
        let ranges: Vec<SortRange> =
            bounds.windows(2).map(|pair| range(pair[0].clone(), pair[1].clone())).collect();
        for (metric, hash, expected) in [
            ("", 0, 0),
            ("a", 9, 0),
            ("b", 0, 1),
            ("b", 8, 1),
            ("c", 6, 1),
            ("c", 7, 2),
            ("c", 8, 2),
            ("c", 9, 3),
            ("d", 0, 4),
            ("e", 1, 4),
        ] {
            let within: Vec<usize> =
                (0..ranges.len()).filter(|at| ranges[*at].contains(metric, || hash)).collect();
            assert_eq!(within, [expected], "{metric} {hash}");
        }
        for (a, first) in ranges.iter().enumerate() {
            for (b, second) in ranges.iter().enumerate() {
                assert_eq!(first.overlaps(second), a == b, "{a} {b}");
            }
            assert!(first.overlaps(&SortRange::ALL) && SortRange::ALL.overlaps(first));
        }
        assert_eq!(ranges[1].hull(&ranges[3]), range(key("b", 0), key("d", 0)));
        assert_eq!(ranges[0].hull(&ranges[1]), range(None, key("c", 7)));
        assert_eq!(ranges[2].hull(&ranges[4]), range(key("c", 7), None));
    }

    #[test]
    fn the_hash_is_asked_for_only_within_the_metric_of_a_bound() {
        let never = || -> u64 { panic!("the name decides") };
        let range = range(key("b", 0), key("d", 5));
        assert!(!range.contains("a", never) && range.contains("b", never) && range.contains("c", never));
        assert!(!range.contains("e", never) && SortRange::ALL.contains("d", never));
    }

    #[test]
    fn ranges_are_pruned_by_the_name_alone_and_never_too_much() {
        let check = |range: &SortRange, op, value: &str, expected: bool| {
            let matcher = Matcher::new(op, METRIC_NAME, value).expect("a valid pattern");
            assert_eq!(range.may_match(std::slice::from_ref(&matcher)), expected, "{range:?} {matcher}");
        };
        let middle = range(key("cpu", 5), key("mem", 0));
        for (value, expected) in
            [("cpu", true), ("cpu_x", true), ("me", true), ("mem", false), ("c", false), ("z", false)]
        {
            check(&middle, MatchOp::Equal, value, expected);
            check(&SortRange::ALL, MatchOp::Equal, value, true);
        }
        check(&range(None, key("mem", 1)), MatchOp::Equal, "mem", true);
        for (value, expected) in [
            ("a|b", false),
            ("a|disk", true),
            ("mem.*", false),
            ("me.*", true),
            ("c.*", true),
            ("cpu_.+", true),
            ("b.*", false),
            ("n.*", false),
            (".*x", true),
        ] {
            check(&middle, MatchOp::Regex, value, expected);
        }
        check(&middle, MatchOp::NotEqual, "disk", true);
        check(&middle, MatchOp::NotRegex, "a.*", true);
        assert!(middle.may_match(&[]) && middle.may_match(&[Matcher::equal("job", "a")]));
    }
}
