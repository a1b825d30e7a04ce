//! Results against expectations.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{FloatHistogram, LabelSet};
use promql::{MatrixSeries, QueryError, QueryResult, Value};

use super::same::{almost_equal, is_expected};
use super::script::{Eval, EvalKind, Notes, TextMatch};
use super::values::{Point, SeriesLine};

/// Holds the outcome of a case against what it expects.
pub(crate) fn eval(eval: &Eval, result: Result<QueryResult, QueryError>) -> Result<(), String> {
    let result = match (&eval.fail, result) {
        (Some(_), Err(error @ QueryError::Parse(_))) => {
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
                    points: match sample.histogram {
                        None => vec![(sample.time_ms, sample.value)],
                        Some(_) => Vec::new(),
                    },
                    histograms: sample.histogram.iter().map(|h| (sample.time_ms, Arc::clone(h))).collect(),
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
        let Some(got) = found_by_labels.remove(&line.labels) else {
            return Err(format!("{} is missing", line.labels));
        };
        points(line, got, start_ms, step_ms).map_err(|problem| format!("{}: {problem}", line.labels))?;
    }
    match found_by_labels.first_key_value() {
        Some((labels, extra)) => {
            Err(format!("unexpected {labels} {:?} {}", extra.points, texts(&extra.histograms)))
        }
        None => Ok(()),
    }
}

/// Holds the samples of a series against those expected.
fn points(line: &SeriesLine, got: &MatrixSeries, start_ms: i64, step_ms: i64) -> Result<(), String> {
    let (mut floats, mut histograms) = (Vec::new(), Vec::new());
    for (index, point) in line.points.iter().enumerate() {
        let time_ms = start_ms + index as i64 * step_ms;
        match point {
            Point::Float(value) => floats.push((time_ms, *value)),
            Point::Histogram(literal) => histograms.push((time_ms, literal)),
            Point::Absent => {}
        }
    }
    let equal = floats.len() == got.points.len()
        && floats.iter().zip(&got.points).all(|(a, b)| a.0 == b.0 && almost_equal(a.1, b.1));
    if !equal {
        return Err(format!("expected {floats:?}, got {:?} {}", got.points, texts(&got.histograms)));
    }
    let equal = histograms.len() == got.histograms.len()
        && histograms.iter().zip(&got.histograms).all(|(a, b)| a.0 == b.0 && is_expected(a.1, &b.1));
    if !equal {
        return Err(format!("expected {histograms:?}, got {:?} {}", got.histograms, texts(&got.histograms)));
    }
    Ok(())
}

fn texts(histograms: &[(i64, Arc<FloatHistogram>)]) -> String {
    histograms
        .iter()
        .map(|(time_ms, histogram)| format!("{time_ms}: {histogram}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Holds the middle point of a range query against an instant case.
pub(crate) fn middle_of_range(eval: &Eval, time_ms: i64, value: &Value) -> Result<(), String> {
    let Value::Matrix(found) = value else {
        return Err("a range query yields a matrix".to_owned());
    };
    let mut middle = Vec::new();
    for one in found {
        let points: Vec<_> = one.points.iter().copied().filter(|(time, _)| *time == time_ms).collect();
        let histograms: Vec<_> =
            one.histograms.iter().filter(|(time, _)| *time == time_ms).cloned().collect();
        if !points.is_empty() || !histograms.is_empty() {
            middle.push(MatrixSeries { labels: one.labels.clone(), points, histograms });
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
