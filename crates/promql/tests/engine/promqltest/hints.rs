//! Reset hints as storage gives them: scripts load histograms, and expect to read what a database makes of their hints.
//!
//! Counter histograms are kept in runs without resets. The first of a run reads as unknown, since nobody knows what came
//! before, the others as not reset. Gauges stay gauges. A run ends with a reset, a change of layout, a gauge or a float.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::CounterResetHint;

/// Returns a histogram as it reads after its predecessor, if that was a histogram.
pub(super) fn hinted(previous: Option<&FloatHistogram>, loaded: &FloatHistogram) -> Arc<FloatHistogram> {
    let reset_hint = match loaded.reset_hint {
        CounterResetHint::Gauge => CounterResetHint::Gauge,
        _ if previous.is_some_and(|previous| continues(previous, loaded)) => CounterResetHint::NotReset,
        _ => CounterResetHint::Unknown,
    };
    Arc::new(FloatHistogram { reset_hint, ..loaded.clone() })
}

fn continues(previous: &FloatHistogram, loaded: &FloatHistogram) -> bool {
    let unhinted = FloatHistogram { reset_hint: CounterResetHint::Unknown, ..loaded.clone() };
    loaded.reset_hint != CounterResetHint::Reset
        && previous.reset_hint != CounterResetHint::Gauge
        && previous.schema == loaded.schema
        && previous.zero_threshold == loaded.zero_threshold
        && previous.custom_bounds == loaded.custom_bounds
        && !unhinted.detect_reset(previous)
}
