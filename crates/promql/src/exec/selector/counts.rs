//! Native histograms of which only counts and sums are asked for: the buckets go while they are read, after they have told
//! where counter resets are.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::CounterResetHint;
use storage::Samples;

/// Takes the buckets off a series' histograms. Which kind of buckets there were stays known.
pub(super) fn without_buckets(samples: &mut Samples) {
    let mut before: Option<Arc<FloatHistogram>> = None;
    for (_, histogram) in samples.histograms.iter_mut().filter(|(_, histogram)| !histogram.is_stale()) {
        let reset_hint = match (histogram.reset_hint, &before) {
            (CounterResetHint::Unknown, Some(before)) if histogram.detect_reset(before) => {
                CounterResetHint::Reset
            }
            (CounterResetHint::Unknown, Some(_)) => CounterResetHint::NotReset,
            (known, _) => known,
        };
        let bare = FloatHistogram {
            reset_hint,
            schema: histogram.schema,
            count: histogram.count,
            sum: histogram.sum,
            custom_bounds: histogram.custom_bounds.clone(),
            ..FloatHistogram::default()
        };
        before = Some(std::mem::replace(histogram, Arc::new(bare)));
    }
}

#[cfg(test)]
mod tests {
    use model::histogram::Span;

    use super::*;

    #[test]
    fn resets_are_found_before_the_buckets_go() {
        let mut samples = Samples::default();
        let hints = [
            CounterResetHint::Unknown,
            CounterResetHint::Unknown,
            CounterResetHint::Unknown,
            CounterResetHint::Gauge,
        ];
        for (index, (first, reset_hint)) in [1.0, 2.0, 0.0, 5.0].into_iter().zip(hints).enumerate() {
            let histogram = FloatHistogram {
                count: 9.0,
                reset_hint,
                positive_spans: vec![Span { offset: 0, length: 2 }],
                positive_buckets: vec![first, 9.0 - first],
                ..FloatHistogram::default()
            };
            samples.push_histogram(index as i64, Arc::new(histogram));
            if index == 1 {
                let marker = FloatHistogram { sum: model::stale_nan(), ..FloatHistogram::default() };
                samples.histograms.push((9, Arc::new(marker)));
            }
        }
        without_buckets(&mut samples);
        let marker = samples.histograms.remove(2).1;
        assert!(marker.is_stale());
        let found: Vec<_> = samples.histograms.iter().map(|(_, h)| (h.reset_hint, h.count)).collect();
        assert_eq!(
            found,
            [
                (CounterResetHint::Unknown, 9.0),
                // The second bucket fell.
                (CounterResetHint::Reset, 9.0),
                (CounterResetHint::Reset, 9.0),
                (CounterResetHint::Gauge, 9.0),
            ]
        );
        assert!(samples.histograms.iter().all(|(_, histogram)| histogram.positive_buckets.is_empty()));
    }
}
