//! Least squares and smoothing (Prometheus, `promql/functions.go`).

use super::super::kahan::Kahan;
use super::Window;

/// A line through samples: its slope a second, and its value at a chosen time.
struct Line {
    slope: f64,
    intercept: f64,
}

fn fit(window: &Window<'_>, intercept_ms: i64) -> Line {
    let values = window.values;
    let constant = values[0];
    if values.iter().all(|value| *value == constant) {
        let line = |slope, intercept| Line { slope, intercept };
        return if constant.is_infinite() { line(f64::NAN, f64::NAN) } else { line(0.0, constant) };
    }
    let n = values.len() as f64;
    let (mut x_sum, mut y_sum) = (Kahan::default(), Kahan::default());
    let (mut xy_sum, mut xx_sum) = (Kahan::default(), Kahan::default());
    for (time, y) in window.times.iter().zip(values) {
        let x = time.saturating_sub(intercept_ms) as f64 / 1000.0;
        x_sum.add(x);
        y_sum.add(*y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    let (x, y) = (x_sum.raw(), y_sum.raw());
    let covariance = xy_sum.raw() - x * y / n;
    let variance = xx_sum.raw() - x * x / n;
    let slope = covariance / variance;
    Line { slope, intercept: y / n - slope * x / n }
}

pub(super) fn deriv(window: &Window<'_>) -> Option<f64> {
    // Any time near the samples will do for a slope; a near one keeps the numbers small.
    (window.times.len() >= 2).then(|| fit(window, window.times[0]).slope)
}

pub(super) fn predict_linear(window: &Window<'_>) -> Option<f64> {
    if window.times.len() < 2 {
        return None;
    }
    let line = fit(window, window.step_ms);
    Some(line.slope * window.params[0] + line.intercept)
}

/// Says what is wrong with the factors of smoothing, if anything is.
pub(super) fn invalid_factor(params: &[f64; 2]) -> Option<String> {
    let names = [("smoothing", "sf"), ("trend", "tf")];
    let mut factors = names.into_iter().zip(params);
    let ((name, short), value) = factors.find(|(_, value)| **value <= 0.0 || **value >= 1.0)?;
    let value = if value.is_finite() { format!("{value:.6}") } else { model::float::format_plain(*value) };
    Some(format!("invalid {name} factor. Expected: 0 < {short} < 1, got: {value}"))
}

/// Holt's linear method; the parameters are the smoothing and the trend factor.
pub(super) fn double_exponential_smoothing(window: &Window<'_>) -> Option<f64> {
    let values = window.values;
    let [smoothing, trend_factor] = window.params;
    if values.len() < 2 {
        return None;
    }
    let (mut before, mut level) = (0.0, values[0]);
    let mut trend = values[1] - values[0];
    for (index, value) in values.iter().enumerate().skip(1) {
        if index > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + trend);
        (before, level) = (level, next);
    }
    Some(level)
}
