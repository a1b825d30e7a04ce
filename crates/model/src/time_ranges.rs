//! A set of times: closed ranges that ascend and lie apart.

use crate::TimeRange;

/// A set of times. Ranges that touch are one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeRanges(Vec<TimeRange>);

impl TimeRanges {
    /// Adds all times of a range; an empty one adds nothing.
    pub fn insert(&mut self, range: TimeRange) {
        if range.is_empty() {
            return;
        }
        // Those that overlap it or touch it: ends and starts are whole milliseconds.
        let from = self.0.partition_point(|known| known.end.0 < range.start.0.saturating_sub(1));
        let to = self.0.partition_point(|known| known.start.0 <= range.end.0.saturating_add(1));
        let joined = self.0[from..to].iter().fold(range, |joined, known| TimeRange {
            start: joined.start.min(known.start),
            end: joined.end.max(known.end),
        });
        self.0.splice(from..to, [joined]);
    }

    /// Forgets the times before `start_ms`.
    pub fn forget_before(&mut self, start_ms: i64) {
        self.0.retain(|range| range.end.0 >= start_ms);
        if let Some(first) = self.0.first_mut() {
            first.start.0 = first.start.0.max(start_ms);
        }
    }

    /// Tells whether all times of a range are in the set; those of an empty range are.
    pub fn covers(&self, range: &TimeRange) -> bool {
        let holding = self.first_from(range.start.0);
        range.is_empty() || holding.is_some_and(|known| known.start <= range.start && range.end <= known.end)
    }

    /// Tells whether any time of a range is in the set.
    pub fn touches(&self, range: &TimeRange) -> bool {
        !range.is_empty() && self.first_from(range.start.0).is_some_and(|known| known.start <= range.end)
    }

    /// Tells whether a time is in the set.
    pub fn contains(&self, time_ms: i64) -> bool {
        self.first_from(time_ms).is_some_and(|known| known.contains(time_ms))
    }

    /// Tells whether there is no time in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the ranges, ascending.
    pub fn as_slice(&self) -> &[TimeRange] {
        &self.0
    }

    /// Returns the first range that does not end before a time.
    fn first_from(&self, time_ms: i64) -> Option<&TimeRange> {
        self.0.get(self.0.partition_point(|known| known.end.0 < time_ms))
    }
}

impl FromIterator<TimeRange> for TimeRanges {
    fn from_iter<I: IntoIterator<Item = TimeRange>>(ranges: I) -> Self {
        let mut set = Self::default();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(set: &TimeRanges) -> Vec<(i64, i64)> {
        set.as_slice().iter().map(|range| (range.start.0, range.end.0)).collect()
    }

    #[test]
    fn ranges_that_overlap_or_touch_are_joined() {
        for (ranges, expected) in [
            (&[][..], &[][..]),
            (&[(5, 4)], &[]),
            (&[(1, 2), (4, 5)], &[(1, 2), (4, 5)]),
            (&[(4, 5), (1, 3)], &[(1, 5)]),
            (&[(1, 1), (5, 5), (9, 9), (2, 8)], &[(1, 9)]),
            (&[(1, 9), (3, 4)], &[(1, 9)]),
            (&[(i64::MIN, 0), (5, i64::MAX), (1, 4)], &[(i64::MIN, i64::MAX)]),
        ] {
            let set: TimeRanges = ranges.iter().map(|(start, end)| TimeRange::new(*start, *end)).collect();
            assert_eq!(shown(&set), expected, "{ranges:?}");
        }
    }

    #[test]
    fn a_set_answers_like_a_list_of_its_times() {
        // Numbers without a pattern, the same in every run.
        let mut seed = 7u64;
        let mut next = |below: i64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((seed >> 33) as i64) % below
        };
        for _ in 0..300 {
            let mut set = TimeRanges::default();
            let mut times = [false; 40];
            for _ in 0..next(6) {
                let start = next(40);
                let end = (start + next(8) - 1).min(39);
                set.insert(TimeRange::new(start, end));
                (start..=end).for_each(|time| times[time as usize] = true);
            }
            if next(2) == 0 {
                let before = next(40);
                set.forget_before(before);
                times[..before as usize].fill(false);
            }
            let (start, end) = (next(40), next(40));
            let asked = TimeRange::new(start, end);
            let mut within = (start..=end).map(|time| times[time as usize]);
            assert_eq!(set.covers(&asked), within.clone().all(|is_in| is_in), "{set:?} {asked:?}");
            assert_eq!(set.touches(&asked), within.any(|is_in| is_in), "{set:?} {asked:?}");
            assert!((0..40).all(|time| set.contains(time) == times[time as usize]), "{set:?}");
            assert_eq!(set.is_empty(), times == [false; 40]);
            let apart = |pair: &[TimeRange]| pair[0].end.0 + 1 < pair[1].start.0;
            assert!(set.as_slice().windows(2).all(apart), "{set:?}");
        }
    }
}
