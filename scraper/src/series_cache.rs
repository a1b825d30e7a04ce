//! What a target said before: from a line's series bytes to its series, without parsing labels again.
//!
//! The cache also knows which series vanish. A series is current when the last good scrape had it; a current series that
//! the next good scrape lacks, or that a failed one leaves unknown, gets one staleness marker. Series with timestamps of
//! their own are never marked, as in Prometheus.
//!
//! Memory is in proportion to the last good body: what it did not hold is forgotten.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use hashbrown::HashMap;
use model::{LabelSet, MetricMetadata};
use scrape::SampleExemplar;
use session::SeriesHandle;

/// How many families' metadata are remembered; beyond, all are forgotten and sent again.
const FAMILIES_MAX: usize = 20_000;

/// The number of no scrape.
const NEVER: u64 = 0;

#[derive(Default)]
pub(crate) struct SeriesCache {
    lines: HashMap<Box<[u8]>, Line>,
    /// The scrape under way, or the last one; counted from 1.
    scrape: u64,
    /// The last good one.
    good: u64,
    /// How many lines the present scrape touched.
    touched: usize,
    /// Whether the current series got their markers already.
    marked: bool,
    families: HashMap<String, MetricMetadata>,
    changed: HashSet<String>,
    /// Grows when it is not sure that what was noted was sent.
    losses: u64,
}

struct Line {
    /// `None` when metric relabeling drops the series.
    series: Option<SeriesHandle>,
    seen: u64,
    /// When it was seen before the present scrape.
    seen_before: u64,
    /// Whether it came with a timestamp of its own.
    timed: bool,
    /// A fingerprint of its last exemplar; 0 when it had none.
    exemplar: u64,
}

/// What the cache knows of a line.
pub(crate) enum Known {
    Series(SeriesHandle),
    Dropped,
}

impl SeriesCache {
    /// Starts a scrape.
    pub(crate) fn begin(&mut self) {
        self.scrape += 1;
        self.touched = 0;
    }

    /// Looks a line up and notes that it is there.
    pub(crate) fn touch(&mut self, series: &[u8], timed: bool) -> Option<Known> {
        let line = self.lines.get_mut(series)?;
        if line.seen != self.scrape {
            line.seen_before = line.seen;
            line.seen = self.scrape;
            self.touched += 1;
        }
        line.timed = timed;
        Some(line.series.clone().map_or(Known::Dropped, Known::Series))
    }

    /// Adds a line that was not there.
    pub(crate) fn insert(&mut self, series: &[u8], handle: Option<SeriesHandle>, timed: bool) {
        let line = Line { series: handle, seen: self.scrape, seen_before: NEVER, timed, exemplar: 0 };
        self.lines.insert(series.into(), line);
        self.touched += 1;
    }

    /// Ends a good scrape and returns the series that vanished.
    pub(crate) fn end_good(&mut self) -> Vec<SeriesHandle> {
        let mut vanished = Vec::new();
        if self.touched < self.lines.len() {
            let (scrape, good, marked) = (self.scrape, self.good, self.marked);
            self.lines.retain(|_, line| {
                if line.seen == scrape {
                    return true;
                }
                if line.seen == good && !line.timed && !marked {
                    vanished.extend(line.series.take());
                }
                false
            });
        }
        (self.good, self.marked) = (self.scrape, false);
        if !vanished.is_empty() {
            self.keep_written_otherwise(&mut vanished);
        }
        vanished
    }

    /// Ends a failed scrape and returns all series that were current.
    pub(crate) fn end_bad(&mut self) -> Vec<SeriesHandle> {
        if self.touched > 0 {
            let scrape = self.scrape;
            self.lines.retain(|_, line| {
                if line.seen == scrape {
                    line.seen = line.seen_before;
                }
                line.seen != NEVER
            });
        }
        // What was noted of families in a failed scrape was not sent.
        self.forget_sent();
        let current = self.current();
        self.marked = true;
        current
    }

    /// Returns the series that a marker must end when nothing is scraped any more.
    pub(crate) fn current(&self) -> Vec<SeriesHandle> {
        if self.marked {
            return Vec::new();
        }
        let current = self.lines.values().filter(|line| line.seen == self.good && !line.timed);
        current.filter_map(|line| line.series.clone()).collect()
    }

    /// Notes what a family says of itself; a change is returned once by [`SeriesCache::changed_metadata`].
    pub(crate) fn note_metadata(&mut self, family: &str, update: impl FnOnce(&mut MetricMetadata) -> bool) {
        if !self.families.contains_key(family) {
            if self.families.len() >= FAMILIES_MAX {
                self.families.clear();
            }
            let fresh = MetricMetadata { family: family.to_owned(), ..MetricMetadata::default() };
            self.families.insert(family.to_owned(), fresh);
            self.changed.insert(family.to_owned());
        }
        let known = self.families.get_mut(family).expect("inserted above");
        if update(known) && !self.changed.contains(family) {
            self.changed.insert(family.to_owned());
        }
    }

    /// Returns the families that changed since the last call.
    pub(crate) fn changed_metadata(&mut self) -> Vec<MetricMetadata> {
        let families = &self.families;
        self.changed.drain().filter_map(|family| families.get(&family).cloned()).collect()
    }

    /// Notes the exemplar of a line and tells whether it is another one than before: targets say the same one again and again.
    pub(crate) fn note_exemplar(&mut self, series: &[u8], exemplar: &SampleExemplar) -> bool {
        let Some(line) = self.lines.get_mut(series) else { return false };
        let mut hasher = DefaultHasher::new();
        (self.losses, exemplar.labels.as_bytes(), exemplar.value.to_bits(), exemplar.time_ms)
            .hash(&mut hasher);
        let fingerprint = hasher.finish().max(1);
        std::mem::replace(&mut line.exemplar, fingerprint) != fingerprint
    }

    /// Returns what all families say of themselves, by name.
    pub(crate) fn families(&self) -> Vec<MetricMetadata> {
        let mut families: Vec<MetricMetadata> = self.families.values().cloned().collect();
        families.sort_unstable();
        families
    }

    /// Forgets all metadata and which exemplars are known, so that they are sent again.
    pub(crate) fn forget_sent(&mut self) {
        self.families.clear();
        self.changed.clear();
        self.losses += 1;
    }

    /// Leaves out vanished lines whose series another line of this scrape has: the same labels written differently.
    fn keep_written_otherwise(&self, vanished: &mut Vec<SeriesHandle>) {
        let mut labels: HashSet<LabelSet> = vanished.iter().map(|series| series.labels()).collect();
        for series in self.lines.values().filter_map(|line| line.series.as_ref()) {
            labels.remove(&series.labels());
        }
        vanished.retain(|series| labels.remove(&series.labels()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str) -> SeriesHandle {
        SeriesHandle::new(LabelSet::from_pairs([("__name__", name.trim())]))
    }

    /// Scrapes lines, `!` before a name for a timestamp of its own, and returns the marked series' names.
    fn scrape(cache: &mut SeriesCache, lines: &str, good: bool) -> Vec<String> {
        cache.begin();
        for line in lines.split(',').filter(|line| !line.is_empty()) {
            let (line, timed) = line.strip_prefix('!').map_or((line, false), |line| (line, true));
            if cache.touch(line.as_bytes(), timed).is_none() {
                cache.insert(line.as_bytes(), Some(series(line)), timed);
            }
        }
        let marked = if good { cache.end_good() } else { cache.end_bad() };
        let mut names: Vec<String> = marked.iter().map(|series| series.labels().to_string()).collect();
        names.sort();
        names
    }

    fn nothing() -> Vec<String> {
        Vec::new()
    }

    #[test]
    fn what_vanishes_is_marked_once() {
        let mut cache = SeriesCache::default();
        assert_eq!(scrape(&mut cache, "a,b,c", true), nothing());
        assert_eq!(scrape(&mut cache, "a", true), ["b", "c"]);
        assert_eq!(scrape(&mut cache, "a", true), nothing());
        assert_eq!(scrape(&mut cache, "a,b", true), nothing());
        assert_eq!(scrape(&mut cache, "", true), ["a", "b"]);
        assert_eq!(cache.lines.len(), 0);
    }

    #[test]
    fn a_failure_marks_everything_once() {
        let mut cache = SeriesCache::default();
        scrape(&mut cache, "a,b", true);
        assert_eq!(scrape(&mut cache, "a,new", false), ["a", "b"], "whatever the failed scrape had seen");
        assert_eq!(scrape(&mut cache, "", false), nothing());
        assert_eq!(scrape(&mut cache, "a", true), nothing(), "b got its marker before");
        assert_eq!(scrape(&mut cache, "", false), ["a"]);
    }

    #[test]
    fn failures_before_the_first_success_mark_nothing() {
        let mut cache = SeriesCache::default();
        assert_eq!(scrape(&mut cache, "a", false), nothing());
        assert_eq!(cache.lines.len(), 0);
        assert_eq!(scrape(&mut cache, "a", true), nothing());
        assert_eq!(cache.current().len(), 1);
    }

    #[test]
    fn series_with_their_own_time_are_not_marked() {
        let mut cache = SeriesCache::default();
        scrape(&mut cache, "!a,b", true);
        assert_eq!(scrape(&mut cache, "", true), ["b"]);
    }

    #[test]
    fn the_same_series_written_otherwise_has_not_vanished() {
        let mut cache = SeriesCache::default();
        scrape(&mut cache, "a,b", true);
        assert_eq!(scrape(&mut cache, "a ", true), ["b"]);
    }

    #[test]
    fn metadata_is_returned_when_it_changes() {
        let mut cache = SeriesCache::default();
        let mut note = |help: &str| {
            cache.note_metadata("m", |known| {
                let changed = known.help != help;
                known.help = help.to_owned();
                changed
            });
            cache.changed_metadata().len()
        };
        assert_eq!((note("x"), note("x"), note("y"), note("y")), (1, 0, 1, 0));
        cache.forget_sent();
        cache.note_metadata("m", |_| false);
        assert_eq!(cache.changed_metadata().len(), 1);
    }
}
