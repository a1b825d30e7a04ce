//! Which samples deletes leave out of a series: the one place where the selectors of deletes are held against labels.
//!
//! Selectors mean series with the cluster's external labels, and are held against exactly those: nothing is widened, as it
//! may be where a selector only looks for candidates.

use std::sync::Arc;

use model::{LabelSet, Matcher, TimeRange, TimeRanges};

use crate::External;

/// Samples that were deleted.
#[derive(Clone, Debug)]
pub struct Delete {
    /// Of series that satisfy all matchers of one of these, external labels included.
    pub selectors: Vec<Vec<Matcher>>,
    /// At these times.
    pub range: TimeRange,
}

impl Delete {
    /// Returns what is deleted of a block of a resolution: of raw samples (0) what is meant, of slots those that lie wholly in
    /// the range. A slot that was deleted in part is what was made of all its samples, and cannot be undone.
    pub fn at_resolution(self: &Arc<Self>, resolution_ms: i64) -> Arc<Self> {
        if resolution_ms <= 0 {
            return Arc::clone(self);
        }
        let range = self.range.whole_slots(resolution_ms);
        Arc::new(Self { selectors: self.selectors.clone(), range })
    }

    fn selects(&self, attached: &LabelSet) -> bool {
        self.selectors.iter().any(|matchers| External::accepts(matchers, attached))
    }
}

/// All deletes that concern some series, such as those of a block.
#[derive(Clone, Debug, Default)]
pub struct Deletes {
    external: Arc<External>,
    deletes: Vec<Arc<Delete>>,
}

impl Deletes {
    /// Puts deletes together.
    pub fn new(external: Arc<External>, deletes: Vec<Arc<Delete>>) -> Self {
        Self { external, deletes }
    }

    /// Tells whether nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.deletes.is_empty()
    }

    /// Returns at which times samples of a series are deleted; `labels` are as stored, without external labels.
    pub fn of(&self, labels: &LabelSet) -> TimeRanges {
        if self.deletes.is_empty() {
            return TimeRanges::default();
        }
        let attached = if self.external.is_empty() { None } else { Some(self.external.attach(labels)) };
        let attached = attached.as_ref().unwrap_or(labels);
        let concerning = self.deletes.iter().filter(|delete| delete.selects(attached));
        concerning.map(|delete| delete.range).collect()
    }
}

#[cfg(test)]
mod tests {
    use model::MatchOp;

    use super::*;

    fn delete(matchers: &[(MatchOp, &str, &str)], start_ms: i64, end_ms: i64) -> Arc<Delete> {
        let matcher = |(op, name, value): &(MatchOp, &str, &str)| {
            Matcher::new(*op, *name, *value).expect("it compiles")
        };
        let selectors = vec![matchers.iter().map(matcher).collect()];
        Arc::new(Delete { selectors, range: TimeRange::new(start_ms, end_ms) })
    }

    #[test]
    fn selectors_mean_series_with_their_external_labels() {
        let external = Arc::new(External::new(&[("cluster".to_owned(), "a".to_owned())].into()));
        let plain = LabelSet::from_pairs([("__name__", "up"), ("job", "x")]);
        let own = LabelSet::from_pairs([("__name__", "up"), ("cluster", "b")]);
        for (op, value, of_plain, of_own) in [
            (MatchOp::Equal, "a", true, false),
            (MatchOp::Equal, "", false, false),
            (MatchOp::NotEqual, "a", false, true),
            (MatchOp::NotEqual, "", true, true),
            (MatchOp::Regex, "a|c", true, false),
            (MatchOp::NotRegex, "|b", true, false),
        ] {
            let deletes = Deletes::new(Arc::clone(&external), vec![delete(&[(op, "cluster", value)], 5, 9)]);
            assert_eq!(!deletes.of(&plain).is_empty(), of_plain, "{op:?} {value:?}");
            assert_eq!(!deletes.of(&own).is_empty(), of_own, "{op:?} {value:?}");
        }
    }

    #[test]
    fn of_slots_only_whole_ones_go() {
        let labels = LabelSet::from_pairs([("a", "b")]);
        let delete = delete(&[], 100, 899);
        let times = |resolution_ms| {
            let deletes = Deletes::new(Arc::default(), vec![delete.at_resolution(resolution_ms)]);
            deletes.of(&labels).as_slice().to_vec()
        };
        assert_eq!(times(0), [TimeRange::new(100, 899)]);
        assert_eq!(times(300), [TimeRange::new(300, 899)]);
        assert_eq!(times(1000), []);
    }

    #[test]
    fn times_of_several_deletes_are_one_set() {
        let up = (MatchOp::Equal, "__name__", "up");
        let down = (MatchOp::Equal, "__name__", "down");
        let all =
            vec![delete(&[up], 20, 29), delete(&[down], 0, 99), delete(&[up], 10, 19), delete(&[], 50, 50)];
        let deletes = Deletes::new(Arc::default(), all);
        let labels = LabelSet::from_pairs([("__name__", "up")]);
        let times = |deletes: &Deletes| -> Vec<(i64, i64)> {
            deletes.of(&labels).as_slice().iter().map(|range| (range.start.0, range.end.0)).collect()
        };
        assert_eq!(times(&deletes), [(10, 29), (50, 50)]);
    }
}
