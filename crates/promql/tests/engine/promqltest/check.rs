//! Results against expectations.

use std::collections::BTreeMap;

use model::LabelSet;
use promql::{MatrixSeries, QueryError, QueryResult, Value};

use super::script::{Eval, EvalKind, Notes, TextMatch};
use super::values::{Point, SeriesLine};

/// How far two numbers may differ, relative to the sum of their sizes.
const TOLERANCE: f64 = 1e-6;

/// Tells whether two numbers are equal enough.
pub(crate) fn almost_equal(a: f64, b: f64) -> bool {
    if model::is_stale(a) || model::is_stale(b) {
        return model::is_stale(a) && model::is_stale(b);
    }
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    if a == b {
        return true;
    }
    let (difference, sum) = ((a - b).abs(), a.abs() + b.abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

/// Holds the outcome of a case against what it expects.
pub(crate) fn eval(eval: &Eval, result: Result<QueryResult, QueryError>) -> Result<(), String> {
    let result = match (&eval.fail, result) {
        (Some(_), Err(error @ (QueryError::Unsupported(_) | QueryError::Parse(_)))) => {
            return Err(error.to_string());
        }
        (Some(expected), Err(error)) => return matches(expected, &error.to_string()),
        (Some(_), Ok(result)) => return Err(format!("must fail, got {:?}", result.value)),
        (None, Err(error)) => return Err(error.to_string()),
        (None, Ok(result)) => result,
    };
    notes("warning", &eval.warnings, &result.warnings)?;
    notes("info", &eval.infos, &result.infos)?;
    value(eval, &result.value)
}

fn matches(expected: &TextMatch, text: &str) -> Result<(), String> {
    let good = match expected {
        TextMatch::Any => true,
        TextMatch::Exactly(exact) => exact == text,
        TextMatch::Pattern(pattern) => {
            let regex = regex_automata::meta::Regex::new(pattern).map_err(|e| e.to_string())?;
            regex.is_match(text)
        }
    };
    if good { Ok(()) } else { Err(format!("expected text {expected:?}, got {text:?}")) }
}

fn notes(level: &str, expected: &Notes, found: &[String]) -> Result<(), String> {
    if expected.none && !found.is_empty() {
        return Err(format!("expected no {level}, got {found:?}"));
    }
    let good = |pattern: &TextMatch, text: &String| matches(pattern, text).is_ok();
    for pattern in &expected.expected {
        if !found.iter().any(|text| good(pattern, text)) {
            return Err(format!("expected {level} {pattern:?}, got {found:?}"));
        }
    }
    for text in found {
        if !expected.expected.is_empty() && !expected.expected.iter().any(|pattern| good(pattern, text)) {
            return Err(format!("unexpected {level} {text:?}"));
        }
    }
    Ok(())
}

fn value(eval: &Eval, value: &Value) -> Result<(), String> {
    match value {
        Value::Scalar { value, .. } => match eval.scalar {
            Some(expected) if almost_equal(expected, *value) => Ok(()),
            expected => Err(format!("expected scalar {expected:?}, got {value}")),
        },
        Value::String { value, .. } => match &eval.text {
            Some(expected) if expected == value => Ok(()),
            expected => Err(format!("expected string {expected:?}, got {value:?}")),
        },
        Value::Vector(samples) => {
            let found: Vec<MatrixSeries> = samples
                .iter()
                .map(|sample| MatrixSeries {
                    labels: sample.labels.clone(),
                    points: vec![(sample.time_ms, sample.value)],
                    histograms: Vec::new(),
                })
                .collect();
            let time_ms = samples.first().map_or(0, |sample| sample.time_ms);
            if eval.ordered {
                let order = |labels: Vec<&LabelSet>| labels.into_iter().cloned().collect::<Vec<_>>();
                let expected = order(eval.series.iter().map(|line| &line.labels).collect());
                let got = order(found.iter().map(|series| &series.labels).collect());
                if expected != got {
                    return Err(format!("expected order {expected:?}, got {got:?}"));
                }
            }
            series(&eval.series, &found, time_ms, 1)
        }
        Value::Matrix(found) => match (eval.kind, eval.range_vector) {
            (_, Some((start_ms, step_ms))) => series(&eval.series, found, start_ms, step_ms),
            (EvalKind::Range { start_ms, step_ms, .. }, None) => {
                if !found.is_sorted_by(|a, b| a.labels < b.labels) {
                    return Err("the result is not sorted by labels".to_owned());
                }
                series(&eval.series, found, start_ms, step_ms)
            }
            (EvalKind::Instant { .. }, None) => Err("got an unexpected range vector".to_owned()),
        },
    }
}

fn series(
    expected: &[SeriesLine],
    found: &[MatrixSeries],
    start_ms: i64,
    step_ms: i64,
) -> Result<(), String> {
    let mut found_by_labels: BTreeMap<&LabelSet, &MatrixSeries> = BTreeMap::new();
    for one in found {
        if found_by_labels.insert(&one.labels, one).is_some() {
            return Err(format!("{} is there twice", one.labels));
        }
    }
    for line in expected {
        let points: Vec<(i64, f64)> = line
            .points
            .iter()
            .enumerate()
            .filter_map(|(index, point)| match point {
                Point::Float(value) => Some((start_ms + index as i64 * step_ms, *value)),
                _ => None,
            })
            .collect();
        if line.points.contains(&Point::Histogram) {
            return Err("expects a histogram".to_owned());
        }
        let Some(got) = found_by_labels.remove(&line.labels) else {
            return Err(format!("{} is missing", line.labels));
        };
        let equal = points.len() == got.points.len()
            && points.iter().zip(&got.points).all(|(a, b)| a.0 == b.0 && almost_equal(a.1, b.1));
        if !equal {
            return Err(format!("{}: expected {points:?}, got {:?}", line.labels, got.points));
        }
    }
    match found_by_labels.first_key_value() {
        Some((labels, extra)) => Err(format!("unexpected {labels} {:?}", extra.points)),
        None => Ok(()),
    }
}

/// Holds the middle point of a range query against an instant case.
pub(crate) fn middle_of_range(eval: &Eval, time_ms: i64, value: &Value) -> Result<(), String> {
    let Value::Matrix(found) = value else {
        return Err("a range query yields a matrix".to_owned());
    };
    let mut middle = Vec::new();
    for one in found {
        let points: Vec<_> = one.points.iter().copied().filter(|(time, _)| *time == time_ms).collect();
        if !points.is_empty() {
            middle.push(MatrixSeries { labels: one.labels.clone(), points, histograms: Vec::new() });
        }
    }
    let outcome = match eval.scalar {
        Some(expected) => {
            let line = SeriesLine { labels: LabelSet::empty(), points: vec![Point::Float(expected)] };
            series(&[line], &middle, time_ms, 1)
        }
        None => series(&eval.series, &middle, time_ms, 1),
    };
    outcome.map_err(|problem| format!("as the middle of a range query: {problem}"))
}
