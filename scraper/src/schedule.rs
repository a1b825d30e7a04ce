//! When a target is scraped: at fixed points of wall time, spread over the interval by the target's identity.

use std::time::Duration;

/// By how much a scrape may be late and still get the planned timestamp, which compresses better.
const TOLERANCE_MS_MAX: u64 = 2;

/// A target's schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    interval_ms: u64,
    offset_ms: u64,
}

impl Schedule {
    pub(crate) fn new(interval_ms: u64, identity: u64) -> Self {
        let interval_ms = interval_ms.max(1);
        Self { interval_ms, offset_ms: identity % interval_ms }
    }

    /// Returns the first planned time after `now_ms`.
    pub(crate) fn next_after(&self, now_ms: i64) -> i64 {
        let interval = i64::try_from(self.interval_ms).unwrap_or(i64::MAX);
        let passed = now_ms.saturating_sub(self.offset_ms as i64).rem_euclid(interval);
        now_ms.saturating_add(interval - passed)
    }

    /// Returns the planned time after one that was just used; a clock that was set back starts afresh.
    pub(crate) fn following(&self, planned_ms: i64, now_ms: i64) -> i64 {
        let set_back = planned_ms.saturating_sub(now_ms) > self.interval_ms as i64;
        self.next_after(if set_back { now_ms } else { now_ms.max(planned_ms) })
    }

    /// Returns how long to wait for a planned time; never longer than the interval, whatever the clock does.
    pub(crate) fn wait(&self, planned_ms: i64, now_ms: i64) -> Duration {
        let wait_ms = u64::try_from(planned_ms.saturating_sub(now_ms)).unwrap_or(0);
        Duration::from_millis(wait_ms.min(self.interval_ms))
    }

    /// Returns the timestamp of a scrape that was planned and now begins.
    pub(crate) fn timestamp(&self, planned_ms: i64, now_ms: i64) -> i64 {
        let tolerance = TOLERANCE_MS_MAX.min(self.interval_ms / 100);
        if now_ms.abs_diff(planned_ms) <= tolerance { planned_ms } else { now_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planned_times_are_pinned_to_wall_time() {
        let schedule = Schedule::new(15_000, 4_000);
        assert_eq!(schedule.next_after(0), 4_000);
        assert_eq!(schedule.next_after(3_999), 4_000);
        assert_eq!(schedule.next_after(4_000), 19_000);
        assert_eq!(schedule.next_after(33_000), 34_000);
        assert_eq!(schedule.next_after(-1), 4_000);
        assert_eq!(schedule.wait(4_000, 1_000), Duration::from_secs(3));
        assert_eq!(schedule.wait(4_000, 5_000), Duration::ZERO);
        assert_eq!(schedule.wait(1_000_000, 0), Duration::from_secs(15));
    }

    #[test]
    fn no_planned_time_is_used_twice() {
        let schedule = Schedule::new(15_000, 0);
        assert_eq!(schedule.following(15_000, 14_999), 30_000, "the timer was early");
        assert_eq!(schedule.following(15_000, 15_001), 30_000);
        assert_eq!(schedule.following(15_000, 61_000), 75_000, "missed times are left out");
        assert_eq!(schedule.following(150_000, 1_000), 15_000, "the clock was set back");
    }

    #[test]
    fn small_delays_are_rounded_away() {
        let schedule = Schedule::new(15_000, 0);
        assert_eq!(schedule.timestamp(15_000, 15_002), 15_000);
        assert_eq!(schedule.timestamp(15_000, 15_003), 15_003);
        assert_eq!(Schedule::new(100, 0).timestamp(100, 102), 102);
    }
}
