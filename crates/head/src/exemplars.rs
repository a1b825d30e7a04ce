//! The exemplars of one head: a ring in which the oldest make room for new ones, whatever series they are of.
//!
//! Exemplars of one series are linked in the order in which they came, which is that of their times. A series is known here
//! as long as it has an exemplar, also when it has left the head. Like everything in the head, the content is a function of
//! the batches applied; the rules are those of Prometheus (`tsdb/exemplar.go`).
//!
//! Not here: blocks. An exemplar is gone once it has made room.

use std::collections::HashMap;

use model::{Exemplar, LabelSet, SeriesExemplars, TimeRange};

/// What became of exemplars since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExemplarStats {
    /// Taken in.
    pub appended: u64,
    /// Refused: older than the newest one of their series, or an earlier one sent again.
    pub out_of_order: u64,
    /// Held now.
    pub held: u64,
    /// Series that have one now.
    pub series: u64,
    /// As many as it holds at most.
    pub max: u64,
}

/// One place of the ring.
#[derive(Debug)]
struct Place {
    series: LabelSet,
    exemplar: Exemplar,
    /// The place of the next one of the same series.
    next: Option<u32>,
}

/// The exemplars of one series: places in the ring.
#[derive(Clone, Copy, Debug)]
struct Ends {
    oldest: u32,
    newest: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Exemplars {
    max: u32,
    /// Grows until it has `max` places; then the place at `at` is the oldest.
    ring: Vec<Place>,
    at: u32,
    by_series: HashMap<LabelSet, Ends>,
    appended: u64,
    out_of_order: u64,
}

impl Exemplars {
    /// Makes a ring for at most `max` exemplars; 0 keeps none.
    pub(crate) fn new(max: u32) -> Self {
        Self { max, ring: Vec::new(), at: 0, by_series: HashMap::new(), appended: 0, out_of_order: 0 }
    }

    /// Takes an exemplar in, unless its labels are too long, it is there already, or its series has a later one.
    pub(crate) fn push(&mut self, series: &LabelSet, exemplar: &Exemplar) {
        if self.max == 0 || !exemplar.has_short_labels() {
            return;
        }
        let newest = self.by_series.get(series).map(|ends| &self.ring[ends.newest as usize].exemplar);
        if let Some(newest) = newest {
            if newest == exemplar {
                return;
            }
            // Several of one time are those of the buckets of one histogram; they come sorted.
            let order = (newest.time_ms.cmp(&exemplar.time_ms))
                .then(newest.value.total_cmp(&exemplar.value))
                .then_with(|| newest.labels.cmp(&exemplar.labels));
            if order.is_ge() {
                self.out_of_order += 1;
                return;
            }
        }
        self.appended += 1;
        self.put(Place { series: series.clone(), exemplar: exemplar.clone(), next: None });
    }

    fn put(&mut self, place: Place) {
        let series = place.series.clone();
        let at = self.at;
        if (at as usize) < self.ring.len() {
            self.forget(at);
            self.ring[at as usize] = place;
        } else {
            self.ring.push(place);
        }
        self.at = (at + 1) % self.max;
        match self.by_series.get_mut(&series) {
            Some(ends) => {
                let before = std::mem::replace(&mut ends.newest, at);
                self.ring[before as usize].next = Some(at);
            }
            None => {
                self.by_series.insert(series, Ends { oldest: at, newest: at });
            }
        }
    }

    /// Takes the exemplar at a place, the oldest of all and so of its series, out of its series.
    fn forget(&mut self, at: u32) {
        let Place { series, next, .. } = &self.ring[at as usize];
        match *next {
            None => {
                self.by_series.remove(series);
            }
            Some(next) => {
                let ends = self.by_series.get_mut(series).expect("a series is known while it has exemplars");
                ends.oldest = next;
            }
        }
    }

    /// Returns the labels of the series that have an exemplar, in no order.
    pub(crate) fn series(&self) -> impl Iterator<Item = &LabelSet> {
        self.by_series.keys()
    }

    /// Returns the exemplars of a series within a range; `None` when there is none.
    pub(crate) fn of(&self, labels: &LabelSet, range: TimeRange) -> Option<SeriesExemplars> {
        let place = |at: &u32| self.ring.get(*at as usize);
        let oldest = place(&self.by_series.get(labels)?.oldest);
        let chain = std::iter::successors(oldest, |p| p.next.as_ref().and_then(place));
        let exemplars = chain.map(|place| &place.exemplar);
        let exemplars: Vec<_> =
            exemplars.filter(|exemplar| range.contains(exemplar.time_ms)).cloned().collect();
        (!exemplars.is_empty()).then(|| SeriesExemplars { labels: labels.clone(), exemplars })
    }

    /// Iterates over all exemplars with the labels of their series, from old to new.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&LabelSet, &Exemplar)> {
        let (newer, older) = self.ring.split_at((self.at as usize).min(self.ring.len()));
        older.iter().chain(newer).map(|place| (&place.series, &place.exemplar))
    }

    /// Puts back what a snapshot holds, behind all others.
    pub(crate) fn restore(&mut self, series: LabelSet, exemplar: Exemplar) {
        if self.max > 0 {
            self.put(Place { series, exemplar, next: None });
        }
    }

    pub(crate) fn stats(&self) -> ExemplarStats {
        ExemplarStats {
            appended: self.appended,
            out_of_order: self.out_of_order,
            held: self.ring.len() as u64,
            series: self.by_series.len() as u64,
            max: u64::from(self.max),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use batch::{Batch, BatchBuilder};
    use model::Matcher;
    use proptest::prelude::*;

    use super::*;
    use crate::{Head, HeadConfig};

    fn series(name: &str) -> LabelSet {
        LabelSet::from_pairs([("__name__", name)])
    }

    fn exemplar(trace: &str, value: f64, time_ms: i64) -> Exemplar {
        Exemplar { labels: LabelSet::from_pairs([("trace_id", trace)]), value, time_ms }
    }

    fn shown(ring: &Exemplars, range: TimeRange) -> String {
        let mut series: Vec<&LabelSet> = ring.series().collect();
        series.sort_unstable();
        let one = |found: &SeriesExemplars| {
            let times: Vec<_> =
                found.exemplars.iter().map(|e| format!("{}@{}", e.value, e.time_ms)).collect();
            format!("{}: {}", found.labels.metric_name(), times.join(" "))
        };
        let found = series.into_iter().filter_map(|labels| ring.of(labels, range));
        found.map(|found| one(&found)).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn duplicates_and_what_is_out_of_order_are_refused() {
        let mut ring = Exemplars::new(10);
        let up = series("up");
        for (trace, value, time_ms) in
            [("a", 1.0, 10), ("a", 1.0, 10), ("a", 1.0, 9), ("a", 0.5, 10), ("b", 1.0, 10), ("a", 2.0, 10)]
        {
            ring.push(&up, &exemplar(trace, value, time_ms));
        }
        ring.push(&up, &exemplar(&"x".repeat(121), 3.0, 11));
        ring.push(&up, &exemplar(&"x".repeat(120), 4.0, 12));
        assert_eq!(shown(&ring, TimeRange::ALL), "up: 1@10 1@10 2@10 4@12");
        let stats = ring.stats();
        assert_eq!((stats.appended, stats.out_of_order, stats.held, stats.series), (4, 2, 4, 1));
    }

    #[test]
    fn ranges_are_closed() {
        let mut ring = Exemplars::new(10);
        for (name, time_ms) in [("a", 10), ("a", 20), ("b", 15), ("c", 30)] {
            ring.push(&series(name), &exemplar("t", 1.0, time_ms));
        }
        assert_eq!(shown(&ring, TimeRange::new(10, 15)), "a: 1@10; b: 1@15");
    }

    #[test]
    fn selectors_are_a_union_and_series_come_sorted() {
        let rules =
            HeadConfig { out_of_order_window_ms: 0, future_ms_max: 100, series_max: 9, exemplars_max: 9 };
        let (head, mut builder) = (Head::new(rules), BatchBuilder::new());
        for (name, time_ms) in [("c", 30), ("a", 10), ("b", 15)] {
            let declared = builder.declare(&series(name));
            builder.push_declared(declared, time_ms, 1.0);
            builder.push_exemplar(&series(name), &exemplar("t", 1.0, time_ms));
        }
        head.apply(0, &Batch::decode(&builder.finish()).expect("a builder writes batches"));
        let names = ["c", "a", "c"].map(|name| vec![Matcher::equal("__name__", name)]);
        let found = |selectors: &[Vec<Matcher>], range| -> Vec<String> {
            let found = head.exemplars(selectors, range);
            found.iter().map(|series| series.labels.metric_name().to_owned()).collect()
        };
        assert_eq!(found(&names, TimeRange::ALL), ["a", "c"]);
        assert_eq!(found(&names, TimeRange::new(20, 30)), ["c"]);
        assert_eq!(found(&[], TimeRange::ALL), [""; 0]);
    }

    #[test]
    fn a_ring_of_none_takes_none() {
        let mut ring = Exemplars::new(0);
        ring.push(&series("up"), &exemplar("a", 1.0, 10));
        ring.restore(series("up"), exemplar("a", 1.0, 10));
        assert_eq!((ring.iter().count(), ring.stats()), (0, ExemplarStats::default()));
    }

    proptest! {
        #[test]
        fn the_newest_are_kept(max in 1u32..8, pushed in prop::collection::vec((0u8..4, 0i64..30), 0..60)) {
            let (mut ring, mut model) = (Exemplars::new(max), VecDeque::<(u8, i64)>::new());
            for (name, time_ms) in pushed {
                ring.push(&series(&name.to_string()), &exemplar("t", 1.0, time_ms));
                let newest = model.iter().rev().find(|known| known.0 == name).map(|known| known.1);
                if newest.is_none_or(|newest| time_ms > newest) {
                    model.push_back((name, time_ms));
                    if model.len() > max as usize {
                        model.pop_front();
                    }
                }
            }
            let mut expected: BTreeMap<u8, Vec<String>> = BTreeMap::new();
            for (name, time_ms) in &model {
                expected.entry(*name).or_default().push(format!("1@{time_ms}"));
            }
            let expected: Vec<_> =
                expected.into_iter().map(|(name, times)| format!("{name}: {}", times.join(" "))).collect();
            prop_assert_eq!(shown(&ring, TimeRange::ALL), expected.join("; "));
            let mut restored = Exemplars::new(max);
            ring.iter().for_each(|(series, exemplar)| restored.restore(series.clone(), exemplar.clone()));
            prop_assert_eq!(shown(&restored, TimeRange::ALL), shown(&ring, TimeRange::ALL));
        }
    }
}
