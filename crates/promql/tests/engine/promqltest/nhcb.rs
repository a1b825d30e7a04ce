//! `load_with_nhcb`: besides classic histograms, native ones with the same bounds.
//!
//! Series `X_bucket`, `X_sum` and `X_count` that differ in `le` only become one series `X`.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, Span};
use model::labels::METRIC_NAME;
use model::{FloatHistogram, LabelSet};

use super::literal::Literal;
use super::script::LoadedSeries;
use super::values::{Point, SeriesLine};

/// A classic histogram at one time.
#[derive(Default)]
struct Classic {
    /// `(bound, cumulative count)`.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// Returns the native series of the classic ones.
pub(super) fn convert(loaded: &[LoadedSeries]) -> Result<Vec<LoadedSeries>, String> {
    let mut found: BTreeMap<LabelSet, BTreeMap<usize, Classic>> = BTreeMap::new();
    for one in loaded {
        let name = one.line.labels.metric_name();
        let Some((base, part)) = ["_bucket", "_sum", "_count"]
            .into_iter()
            .find_map(|suffix| name.strip_suffix(suffix).map(|base| (base, suffix)))
        else {
            continue;
        };
        let bound = model::float::parse(one.line.labels.get("le")).filter(|bound| !bound.is_nan());
        if part == "_bucket" && bound.is_none() {
            continue;
        }
        let mut labels = one.line.labels.to_builder();
        labels.set(METRIC_NAME, base).remove("le");
        let times = found.entry(labels.build()).or_default();
        for (index, point) in one.line.points.iter().enumerate() {
            let Point::Float(value) = point else { continue };
            let classic = times.entry(index).or_default();
            match (part, bound) {
                ("_bucket", Some(bound)) => classic.buckets.push((bound, *value)),
                ("_count", _) => classic.count = Some(*value),
                _ => classic.sum = *value,
            }
        }
    }
    let interval_ms = loaded.first().map_or(0, |one| one.interval_ms);
    let series = found.into_iter().map(|(labels, times)| {
        let length = times.last_key_value().map_or(0, |(last, _)| last + 1);
        let mut points = vec![Point::Absent; length];
        for (index, classic) in times {
            let histogram = native(classic).map_err(|problem| format!("{labels}: {problem}"))?;
            points[index] = Point::Histogram(Arc::new(Literal { histogram, names_hint: false }));
        }
        Ok(LoadedSeries { line: SeriesLine { labels, points }, interval_ms, starts: Vec::new() })
    });
    series.collect()
}

fn native(mut classic: Classic) -> Result<FloatHistogram, String> {
    classic.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    classic.buckets.dedup_by_key(|bucket| bucket.0);
    let highest = classic.buckets.last().copied();
    let count = classic.count.or(highest.map(|(_, count)| count)).unwrap_or(0.0);
    if highest.is_none_or(|(bound, _)| bound != f64::INFINITY) {
        classic.buckets.push((f64::INFINITY, count));
    }
    let (mut before, mut counts) = (0.0, Vec::new());
    for (bound, cumulative) in &classic.buckets {
        if *cumulative < before {
            return Err(format!("the count falls from {before} to {cumulative} at {bound}"));
        }
        counts.push(cumulative - before);
        before = *cumulative;
    }
    if before != count {
        return Err(format!("the count is {count}, that of the buckets {before}"));
    }
    classic.buckets.pop();
    Ok(FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count,
        sum: classic.sum,
        positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
        positive_buckets: counts,
        custom_bounds: classic.buckets.into_iter().map(|(bound, _)| bound).collect(),
        ..FloatHistogram::default()
    })
}
