//! When a group is evaluated: slots one interval apart, shifted by a hash of the group's name so that not all groups are
//! evaluated at once. Pure.
//!
//! The slots depend on nothing but the group, so that two rulers that hand a group over agree on them. Source: Prometheus
//! `rules/group.go`, `EvalTimestamp` and the counting of missed iterations.

use model::LabelSet;

/// A group's slots, ms since the epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    interval_ms: i64,
    offset_ms: i64,
}

impl Schedule {
    /// Makes the schedule of a group; the interval is positive.
    pub(crate) fn new(file: &str, name: &str, interval_ms: i64) -> Self {
        let hash = LabelSet::from_pairs([("file", file), ("name", name)]).stable_hash();
        Self { interval_ms, offset_ms: (hash % interval_ms as u64) as i64 }
    }

    pub(crate) fn interval_ms(&self) -> i64 {
        self.interval_ms
    }

    /// Returns the first slot after a time.
    pub(crate) fn next_after(&self, now_ms: i64) -> i64 {
        let since = (now_ms - self.offset_ms).rem_euclid(self.interval_ms);
        now_ms - since + self.interval_ms
    }

    /// Returns the newest slot that is due, and how many slots before it, from `slot_ms` on, were missed.
    pub(crate) fn due(&self, slot_ms: i64, now_ms: i64) -> (i64, u64) {
        let missed = ((now_ms - slot_ms) / self.interval_ms).max(0);
        (slot_ms + missed * self.interval_ms, missed as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_aligned_to_the_offset_and_lie_in_the_future() {
        let schedule = Schedule { interval_ms: 100, offset_ms: 30 };
        for (now, next) in
            [(0, 30), (29, 30), (30, 130), (31, 130), (129, 130), (1000, 1030), (-50, 30), (-170, -70)]
        {
            assert_eq!(schedule.next_after(now), next, "{now}");
        }
    }

    #[test]
    fn late_evaluations_skip_to_the_newest_slot() {
        let schedule = Schedule { interval_ms: 100, offset_ms: 30 };
        for (now, expected) in [
            (130, (130, 0)),
            (229, (130, 0)),
            (230, (230, 1)),
            (459, (430, 3)),
            (100, (130, 0)),
            (-900, (130, 0)),
        ] {
            assert_eq!(schedule.due(130, now), expected, "{now}");
        }
    }

    #[test]
    fn groups_are_spread_and_always_the_same() {
        let offset = |name: &str| Schedule::new("/rules.yml", name, 60_000).offset_ms;
        assert_eq!(offset("a"), offset("a"));
        let offsets: std::collections::BTreeSet<_> =
            (0..100).map(|i| offset(&format!("g{i}")) / 6000).collect();
        assert_eq!(offsets.len(), 10, "a hundred groups fall into each tenth of the interval");
    }
}
