//! `histogram_quantile` and `histogram_fraction` over classic buckets: series that differ in `le` only (Prometheus, `promql/quantile.go`).

pub(super) mod native;

use super::quantile;
use super::vector::{ABSENT, NAME_LABELS, Vector, is_absent};
use super::{Context, Data, aggregate::Groups};
use crate::ast::{NodeId, Span};
use crate::error::QueryError;
use crate::plan::Grid;

/// The label that holds a bucket's upper bound.
const BOUND_LABEL: &str = "le";
/// Counts of neighbours that differ by less than this share are taken for equal: floats were added in another order.
const SMALL_DIFFERENCE: f64 = 1e-12;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    upper_bound: f64,
    /// Of all observations up to the bound.
    count: f64,
}

/// The buckets of one histogram: row and bound, in order of the bound.
struct Histogram {
    rows: Vec<(f64, u32)>,
}

impl Context<'_> {
    pub(super) fn histogram_quantile(
        &self,
        args: &[NodeId],
        grid: Grid,
        results: &mut [Option<Data>],
    ) -> Result<Vector, QueryError> {
        let quantiles = self.take_scalar(args[0], grid, results);
        let input = self.take_vector(args[1], grid, results);
        for q in quantiles.iter().filter(|q| quantile::is_unusual(**q)) {
            self.warn(self.expr.node(args[0]).span, quantile::warning(*q));
        }
        let span = self.expr.node(args[1]).span;
        self.per_histogram(&input, span, |step, buckets, forced| {
            bucket_quantile(quantiles[step], buckets, forced)
        })
    }

    pub(super) fn histogram_fraction(
        &self,
        args: &[NodeId],
        grid: Grid,
        results: &mut [Option<Data>],
    ) -> Result<Vector, QueryError> {
        let lower = self.take_scalar(args[0], grid, results);
        let upper = self.take_scalar(args[1], grid, results);
        let input = self.take_vector(args[2], grid, results);
        let span = self.expr.node(args[2]).span;
        self.per_histogram(&input, span, |step, buckets, _| {
            bucket_fraction(lower[step], upper[step], buckets)
        })
    }

    /// Computes one row for each histogram. `compute` gets a step and its buckets, and may say that it had to raise counts.
    fn per_histogram(
        &self,
        input: &Vector,
        span: Span,
        compute: impl Fn(usize, &mut [Bucket], &mut bool) -> f64,
    ) -> Result<Vector, QueryError> {
        let delayed = self.config.delayed_name_removal;
        let mut groups =
            Groups::new(input, |name| name != BOUND_LABEL && (delayed || !NAME_LABELS.contains(&name)));
        groups.series.iter_mut().for_each(|series| series.drop_name |= delayed);
        let mut vector = Vector::new(input.steps);
        let mut row = vec![ABSENT; input.steps];
        for (rows, series) in groups.rows.iter().zip(&groups.series) {
            self.budget.check()?;
            let histogram = self.histogram(input, rows, span);
            row.fill(ABSENT);
            let mut forced = false;
            histogram.each_step(input, |step, buckets| row[step] = compute(step, buckets, &mut forced));
            if forced {
                let name = named(input.series[rows[0] as usize].labels.metric_name());
                let link =
                    "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile";
                let hint = "input to histogram_quantile needed to be fixed for monotonicity";
                self.info(span, format!("{hint} (see {link}){name}"));
            }
            vector.push(series.clone(), &row);
        }
        Ok(vector)
    }

    /// Orders the rows of a histogram by bound; rows without a readable one are left out, with a warning.
    fn histogram(&self, input: &Vector, rows: &[u32], span: Span) -> Histogram {
        let mut bounds = Vec::with_capacity(rows.len());
        for row in rows {
            let labels = &input.series[*row as usize].labels;
            let bound = labels.get(BOUND_LABEL);
            match model::float::parse(bound) {
                Some(value) => bounds.push((value, *row)),
                None => {
                    let (bound, name) = (model::labels::quote(bound), named(labels.metric_name()));
                    let problem = "bucket label \"le\" is missing or has a malformed value of";
                    self.warn(span, format!("{problem} {bound}{name}"));
                }
            }
        }
        bounds.sort_by(|a, b| quantile::nan_first(&a.0, &b.0));
        Histogram { rows: bounds }
    }
}

fn named(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" for metric name {}", model::labels::quote(name)) }
}

impl Histogram {
    /// Calls `visit` for each step that has a bucket, with the buckets in order of distinct bounds.
    fn each_step(&self, input: &Vector, mut visit: impl FnMut(usize, &mut [Bucket])) {
        let mut buckets: Vec<Bucket> = Vec::with_capacity(self.rows.len());
        for step in 0..input.steps {
            buckets.clear();
            for (upper_bound, row) in &self.rows {
                let count = input.values[*row as usize * input.steps + step];
                if is_absent(count) {
                    continue;
                }
                match buckets.last_mut() {
                    Some(last) if last.upper_bound == *upper_bound => last.count += count,
                    _ => buckets.push(Bucket { upper_bound: *upper_bound, count }),
                }
            }
            if !buckets.is_empty() {
                visit(step, &mut buckets);
            }
        }
    }
}

/// Returns the share of observations between two values; linear inside of a bucket.
fn bucket_fraction(lower: f64, upper: f64, buckets: &[Bucket]) -> f64 {
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
fn bucket_quantile(q: f64, buckets: &mut [Bucket], forced: &mut bool) -> f64 {
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
    *forced |= make_monotonic(buckets);
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

/// Raises counts that are below the one before them; tells whether any was by more than a rounding error.
fn make_monotonic(buckets: &mut [Bucket]) -> bool {
    let (mut forced, mut before) = (false, buckets[0].count);
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
            forced = true;
        } else {
            before = count;
        }
    }
    forced
}
