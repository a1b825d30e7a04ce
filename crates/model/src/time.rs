//! Times in milliseconds, ranges with their ends named, and Prometheus's durations.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, negative before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimestampMs(pub i64);

impl fmt::Display for TimestampMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TimestampMs {
    /// The earliest time there is.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest time there is.
    pub const MAX: Self = Self(i64::MAX);
}

/// A closed range: both ends belong to it. Empty when `start` is after `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First millisecond, inclusive.
    pub start: TimestampMs,
    /// Last millisecond, inclusive.
    pub end: TimestampMs,
}

impl TimeRange {
    /// Everything.
    pub const ALL: Self = Self { start: TimestampMs::MIN, end: TimestampMs::MAX };

    /// Returns the range of two closed ends in milliseconds.
    pub fn new(start_ms: i64, end_ms: i64) -> Self {
        Self { start: TimestampMs(start_ms), end: TimestampMs(end_ms) }
    }

    /// Tells whether a time lies within.
    pub fn contains(&self, time_ms: i64) -> bool {
        self.start.0 <= time_ms && time_ms <= self.end.0
    }

    /// Returns what both ranges share; may be empty.
    pub fn intersect(&self, other: &Self) -> Self {
        Self { start: self.start.max(other.start), end: self.end.min(other.end) }
    }

    /// Returns the slots of `slot_ms`, aligned to the epoch, that lie wholly within; may be empty.
    ///
    /// # Panics
    /// When `slot_ms` is not positive.
    pub fn whole_slots(&self, slot_ms: i64) -> Self {
        assert!(slot_ms > 0, "a slot has a positive length, got {slot_ms} ms");
        let before = |time_ms: i64| time_ms.div_euclid(slot_ms).saturating_mul(slot_ms);
        let start_ms = before(self.start.0.saturating_add(slot_ms - 1));
        Self::new(start_ms, before(self.end.0.saturating_add(1)).saturating_sub(1))
    }

    /// Tells whether nothing lies within.
    pub fn is_empty(&self) -> bool {
        self.start > self.end
    }
}

/// A half-open range: `start` belongs to it, `end` does not. Windows and blocks have such ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlockRange {
    /// First millisecond, inclusive.
    pub start: TimestampMs,
    /// First millisecond after it.
    pub end: TimestampMs,
}

impl BlockRange {
    /// Returns the range of a start (inclusive) and an end (exclusive) in milliseconds.
    pub fn new(start_ms: i64, end_ms: i64) -> Self {
        Self { start: TimestampMs(start_ms), end: TimestampMs(end_ms) }
    }

    /// Returns the aligned window of `duration_ms` that holds `time_ms`; windows are aligned to the epoch.
    ///
    /// # Panics
    /// When `duration_ms` is not positive.
    pub fn window_of(time_ms: i64, duration_ms: i64) -> Self {
        assert!(duration_ms > 0, "a window has a positive duration, got {duration_ms} ms");
        let start = time_ms.div_euclid(duration_ms).saturating_mul(duration_ms);
        Self::new(start, start.saturating_add(duration_ms))
    }

    /// Tells whether a time lies within.
    pub fn contains(&self, time_ms: i64) -> bool {
        self.start.0 <= time_ms && time_ms < self.end.0
    }

    /// Tells whether a closed range shares a millisecond with this one.
    pub fn overlaps(&self, range: &TimeRange) -> bool {
        self.start <= range.end && range.start < self.end && self.start < self.end && !range.is_empty()
    }

    /// Returns the same milliseconds as a closed range.
    pub fn closed(&self) -> TimeRange {
        TimeRange { start: self.start, end: TimestampMs(self.end.0.saturating_sub(1)) }
    }
}

const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Parses a Prometheus duration (`1h30m`, `500ms`, `0`): each unit at most once, largest first, integers only.
///
/// Returns milliseconds.
///
/// # Errors
/// A sentence that says what was expected, for empty text, unknown units, wrong order or overflow.
pub fn parse_duration_ms(text: &str) -> Result<u64, String> {
    let fault = || format!("not a valid duration string: {text:?}");
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err("empty duration string".to_owned());
    }
    let (mut rest, mut next_unit, mut total) = (text, 0, 0u64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let unit_len = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let count: u64 = rest[..digits].parse().map_err(|_| fault())?;
        let unit = &rest[digits..digits + unit_len];
        let position =
            UNITS[next_unit..].iter().position(|(name, _)| *name == unit).ok_or_else(fault)? + next_unit;
        let part = count.checked_mul(UNITS[position].1).ok_or("duration out of range")?;
        total = total
            .checked_add(part)
            .filter(|t| *t <= i64::MAX as u64 / 1_000_000)
            .ok_or("duration out of range")?;
        next_unit = position + 1;
        rest = &rest[digits + unit_len..];
    }
    Ok(total)
}

/// Prints milliseconds as a Prometheus duration: the largest units that divide, `0s` for nothing.
pub fn format_duration_ms(duration_ms: u64) -> String {
    if duration_ms == 0 {
        return "0s".to_owned();
    }
    let (mut rest, mut text) = (duration_ms, String::new());
    for (name, size) in UNITS {
        // Years and weeks are printed only when nothing remains below them, as Prometheus does.
        if (name == "y" || name == "w") && rest % size != 0 {
            continue;
        }
        if rest >= size {
            text.push_str(&format!("{}{name}", rest / size));
            rest %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_and_print() {
        for (text, ms) in [
            ("0", 0),
            ("15s", 15_000),
            ("1h30m", 5_400_000),
            ("1y", 31_536_000_000),
            ("2w3d", 1_468_800_000),
            ("5ms", 5),
        ] {
            assert_eq!(parse_duration_ms(text), Ok(ms), "{text}");
        }
        for text in ["", "1", "s", "1m1h", "1s1s", "1.5h", "-1s", "1x", "400000y"] {
            assert!(parse_duration_ms(text).is_err(), "{text}");
        }
        for (ms, text) in [
            (0, "0s"),
            (15_000, "15s"),
            (7_200_000, "2h"),
            (604_800_000, "1w"),
            (691_200_000, "8d"),
            (90_061_001, "1d1h1m1s1ms"),
        ] {
            assert_eq!(format_duration_ms(ms), text);
        }
    }

    #[test]
    fn windows_are_aligned_also_before_the_epoch() {
        assert_eq!(BlockRange::window_of(7_199_999, 7_200_000), BlockRange::new(0, 7_200_000));
        assert_eq!(BlockRange::window_of(7_200_000, 7_200_000), BlockRange::new(7_200_000, 14_400_000));
        assert_eq!(BlockRange::window_of(-1, 1000), BlockRange::new(-1000, 0));
    }

    #[test]
    fn slots_lie_wholly_within_a_range() {
        for (range, expected) in [
            ((0, 599), Some((0, 599))),
            ((1, 599), Some((300, 599))),
            ((0, 598), Some((0, 299))),
            ((1, 598), None),
            ((-300, -1), Some((-300, -1))),
            ((-301, 5), Some((-300, -1))),
        ] {
            let slots = TimeRange::new(range.0, range.1).whole_slots(300);
            let expected = expected.map(|(start, end)| TimeRange::new(start, end));
            assert_eq!(Some(slots).filter(|slots| !slots.is_empty()), expected, "{range:?}");
        }
        let all = TimeRange::ALL.whole_slots(300);
        assert!(all.start.0 < -1_000_000_000_000_000 && all.end.0 > 1_000_000_000_000_000);
    }

    #[test]
    fn overlap_respects_open_and_closed_ends() {
        let window = BlockRange::new(1000, 2000);
        assert!(window.overlaps(&TimeRange::new(0, 1000)));
        assert!(!window.overlaps(&TimeRange::new(0, 999)));
        assert!(window.overlaps(&TimeRange::new(1999, 5000)));
        assert!(!window.overlaps(&TimeRange::new(2000, 5000)));
        assert!(!window.overlaps(&TimeRange::new(1500, 1400)));
    }
}
