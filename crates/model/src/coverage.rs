//! What of a block's times and series other blocks hold: pure arithmetic of ranges.

use std::collections::BTreeSet;

use crate::{BlockRange, SortKey, SortRange, TimeRange, TimeRanges};

/// Returns the times of `range` at which `others` together do not hold all of `series`.
///
/// Cost: the square of the number of others, which are those that overlap one block.
pub fn uncovered(range: TimeRange, series: &SortRange, others: &[(BlockRange, SortRange)]) -> TimeRanges {
    let bounds = others.iter().flat_map(|(other, _)| [other.start.0, other.end.0]);
    let bounds = bounds.filter(|bound| range.start.0 < *bound && *bound <= range.end.0);
    let starts: BTreeSet<i64> = bounds.chain([range.start.0]).collect();
    let ends = starts.iter().skip(1).map(|next| next - 1).chain([range.end.0]);
    let pieces = starts.iter().zip(ends).map(|(start, end)| TimeRange::new(*start, end));
    let is_left = |piece: &TimeRange| {
        let there = others.iter().filter(|(other, _)| other.overlaps(piece)).map(|(_, series)| series);
        !covers(there.collect(), series)
    };
    pieces.filter(is_left).collect()
}

/// Tells whether ranges of the order of series together hold all of one.
fn covers(mut ranges: Vec<&SortRange>, series: &SortRange) -> bool {
    ranges.sort_by(|a, b| a.start.cmp(&b.start));
    // `None` is the start of the order here, as it is the least of all starts.
    let mut covered_to: Option<&SortKey> = series.start.as_ref();
    for range in ranges {
        if range.start.as_ref() > covered_to {
            return false;
        }
        match &range.end {
            None => return true,
            Some(end) if Some(end) > covered_to => covered_to = Some(end),
            Some(_) => {}
        }
        if series.end.as_ref().is_some_and(|end| Some(end) <= covered_to) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_other_holds_is_left() {
        let key = |metric: &str| Some(SortKey { metric: metric.to_owned(), hash: 0 });
        let low = SortRange { start: None, end: key("m") };
        let high = SortRange { start: key("m"), end: None };
        let check = |others: &[(i64, i64, &SortRange)], series: &SortRange, expected: &[(i64, i64)]| {
            let others: Vec<_> = others
                .iter()
                .map(|(start, end, of)| (BlockRange::new(*start, *end), (*of).clone()))
                .collect();
            let left = uncovered(TimeRange::new(0, 99), series, &others);
            let left: Vec<_> = left.as_slice().iter().map(|range| (range.start.0, range.end.0)).collect();
            assert_eq!(left, expected, "{others:?}");
        };
        let all = &SortRange::ALL;
        check(&[], all, &[(0, 99)]);
        check(&[(0, 100, all)], all, &[]);
        check(&[(-5, 50, all), (50, 200, all)], all, &[]);
        check(&[(0, 40, all), (60, 100, all)], all, &[(40, 59)]);
        check(&[(0, 40, all), (0, 20, all), (40, 100, all)], all, &[]);
        check(&[(0, 100, &low)], all, &[(0, 99)]);
        check(&[(0, 100, &low)], &low, &[]);
        check(&[(0, 100, &low), (0, 50, &high)], all, &[(50, 99)]);
    }
}
