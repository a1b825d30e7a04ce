//! What PromQL reads off one classic histogram: cumulative counts by upper bound (Prometheus, `promql/quantile.go`).

/// Counts of neighbours that differ by less than this share are taken for equal: floats were added in another order.
const SMALL_DIFFERENCE: f64 = 1e-12;

#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    pub(super) upper_bound: f64,
    /// Of all observations up to the bound.
    pub(super) count: f64,
}

/// Where counts had to be raised because they were below the one before them, and by how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Raised {
    /// The lowest bound.
    pub(super) bound_min: f64,
    /// The highest bound.
    pub(super) bound_max: f64,
    /// The largest difference.
    pub(super) difference_max: f64,
}

impl Raised {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            bound_min: self.bound_min.min(other.bound_min),
            bound_max: self.bound_max.max(other.bound_max),
            difference_max: self.difference_max.max(other.difference_max),
        }
    }
}

/// Returns the share of observations between two values; linear inside of a bucket.
pub(super) fn fraction(lower: f64, upper: f64, buckets: &[Bucket]) -> f64 {
    let last = buckets[buckets.len() - 1];
    if last.upper_bound != f64::INFINITY || last.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, buckets) - rank_of(lower, buckets)) / last.count
}

/// Returns how many observations lie below a value.
fn rank_of(value: f64, buckets: &[Bucket]) -> f64 {
    let total = buckets[buckets.len() - 1].count;
    // The first bucket begins at zero when it ends above it.
    let mut start = if buckets[0].upper_bound > 0.0 { 0.0 } else { f64::NEG_INFINITY };
    let mut rank = 0.0_f64;
    for bucket in buckets {
        if start >= value {
            return rank.min(total);
        }
        if bucket.upper_bound > value {
            // Nothing is known of where observations lie in a bucket without a lower bound: all below.
            let share =
                if start.is_infinite() { 1.0 } else { (value - start) / (bucket.upper_bound - start) };
            return (rank + (bucket.count - rank) * share).min(total);
        }
        (start, rank) = (bucket.upper_bound, bucket.count);
    }
    total
}

/// Returns the quantile of buckets in order of distinct bounds; linear inside of a bucket.
pub(super) fn quantile(q: f64, buckets: &mut [Bucket], raised: &mut Option<Raised>) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&q) {
        return if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let last = buckets.len() - 1;
    if buckets[last].upper_bound != f64::INFINITY {
        return f64::NAN;
    }
    *raised = make_monotonic(buckets);
    if last == 0 || buckets[last].count == 0.0 {
        return f64::NAN;
    }
    let mut rank = q * buckets[last].count;
    // Written so that a NaN rank ends in the last bucket.
    let found = buckets[..last].partition_point(|bucket| bucket.count < rank || rank.is_nan());
    if found == last {
        return buckets[last - 1].upper_bound;
    }
    let (end, mut count) = (buckets[found].upper_bound, buckets[found].count);
    if found == 0 {
        return if end <= 0.0 { end } else { end * (rank / count) };
    }
    let start = buckets[found - 1].upper_bound;
    rank -= buckets[found - 1].count;
    count -= buckets[found - 1].count;
    start + (end - start) * (rank / count)
}

/// Raises counts that are below the one before them; tells where, unless all were below by no more than a rounding error.
fn make_monotonic(buckets: &mut [Bucket]) -> Option<Raised> {
    let (mut raised, mut before): (Option<Raised>, f64) = (None, buckets[0].count);
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if count == before {
            continue;
        }
        let scale = (count.abs() + before.abs()).min(f64::MAX);
        if (count - before).abs() / scale < SMALL_DIFFERENCE {
            bucket.count = before;
        } else if count < before {
            bucket.count = before;
            let bound = bucket.upper_bound;
            let here = Raised { bound_min: bound, bound_max: bound, difference_max: before - count };
            raised = Some(raised.map_or(here, |raised| raised.and(here)));
        } else {
            before = count;
        }
    }
    raised
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_fall_are_raised() {
        let bucket = |(upper_bound, count)| Bucket { upper_bound, count };
        let mut buckets: Vec<Bucket> =
            [(1.0, 4.0), (2.0, 3.0), (4.0, 5.0), (8.0, 1.0), (16.0, 5.0 + 1e-13)].map(bucket).into();
        let raised = make_monotonic(&mut buckets);
        assert_eq!(buckets.iter().map(|bucket| bucket.count).collect::<Vec<_>>(), [4.0, 4.0, 5.0, 5.0, 5.0]);
        assert_eq!(raised, Some(Raised { bound_min: 2.0, bound_max: 8.0, difference_max: 4.0 }));
        assert_eq!(make_monotonic(&mut buckets), None);
    }
}
