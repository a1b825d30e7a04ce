//! Histogram literals, `{{schema:1 sum:4 buckets:[1 2]}}`, and sequences of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::{CounterResetHint, Span};

/// A histogram as a script writes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Literal {
    pub(crate) histogram: FloatHistogram,
    /// Whether a reset hint is named: an expected one is compared then.
    pub(crate) names_hint: bool,
}

/// Parses an item that holds literals: one, `x N` of them, or N more that grow or shrink by another.
pub(super) fn parse_sequence(item: &str) -> Result<Vec<Arc<Literal>>, String> {
    let fault = || format!("not a histogram: {item:?}");
    let (first, mut rest) = split_literal(item)?;
    let mut step = None;
    if let Some(sign) = rest.chars().next().filter(|c| matches!(c, '+' | '-')) {
        let (literal, after) = split_literal(&rest[1..])?;
        step = Some((sign, literal.histogram));
        rest = after;
    }
    let times = match rest.strip_prefix('x') {
        Some(times) => times.parse::<usize>().map_err(|_| fault())?,
        None if rest.is_empty() && step.is_none() => 0,
        None => return Err(fault()),
    };
    let mut sequence = vec![Arc::new(first)];
    for _ in 0..times {
        let mut next = Literal::clone(&sequence[sequence.len() - 1]);
        match &step {
            Some((_, step)) if step.schema < next.histogram.schema => {
                return Err(format!("{item:?}: the step is coarser than the first histogram"));
            }
            Some(('+', step)) => next.histogram.add(step).map(|_| ()).map_err(|e| e.to_string())?,
            Some((_, step)) => next.histogram.sub(step).map(|_| ()).map_err(|e| e.to_string())?,
            None => {}
        }
        sequence.push(Arc::new(next));
    }
    Ok(sequence)
}

/// Splits off a literal.
fn split_literal(text: &str) -> Result<(Literal, &str), String> {
    let fault = || format!("not a histogram: {text:?}");
    let inside = text.strip_prefix("{{").ok_or_else(fault)?;
    let (inside, rest) = inside.split_once("}}").ok_or_else(fault)?;
    Ok((parse_literal(inside)?, rest))
}

fn parse_literal(mut text: &str) -> Result<Literal, String> {
    let mut histogram = FloatHistogram::default();
    let (mut offset, mut negative_offset) = (0, 0);
    let mut seen = BTreeSet::new();
    text = text.trim();
    while !text.is_empty() {
        let (key, after) = text.split_once(':').ok_or_else(|| format!("no colon in {text:?}"))?;
        let end = if after.starts_with('[') { after.find(']').map(|end| end + 1) } else { after.find(' ') };
        let (value, rest) = after.split_at(end.unwrap_or(after.len()));
        if !seen.insert(key) {
            return Err(format!("{key} is there twice"));
        }
        match key {
            "schema" => histogram.schema = whole(value)?,
            "sum" => histogram.sum = number(value)?,
            "count" => histogram.count = number(value)?,
            "z_bucket" => histogram.zero_count = number(value)?,
            "z_bucket_w" => histogram.zero_threshold = number(value)?,
            "offset" => offset = whole(value)?,
            "n_offset" => negative_offset = whole(value)?,
            "buckets" => histogram.positive_buckets = numbers(value)?,
            "n_buckets" => histogram.negative_buckets = numbers(value)?,
            "custom_values" => histogram.custom_bounds = numbers(value)?,
            "counter_reset_hint" => histogram.reset_hint = hint(value)?,
            _ => return Err(format!("a histogram has no {key:?}")),
        }
        text = rest.trim_start();
    }
    histogram.positive_spans = spans(offset, &histogram.positive_buckets);
    histogram.negative_spans = spans(negative_offset, &histogram.negative_buckets);
    Ok(Literal { histogram, names_hint: seen.contains("counter_reset_hint") })
}

fn spans(offset: i32, buckets: &[f64]) -> Vec<Span> {
    if buckets.is_empty() { Vec::new() } else { vec![Span { offset, length: buckets.len() as u32 }] }
}

fn whole(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("not a whole number: {text:?}"))
}

fn number(text: &str) -> Result<f64, String> {
    model::float::parse(text).ok_or_else(|| format!("not a number: {text:?}"))
}

fn numbers(text: &str) -> Result<Vec<f64>, String> {
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inside.ok_or_else(|| format!("not a list: {text:?}"))?.split_whitespace().map(number).collect()
}

fn hint(text: &str) -> Result<CounterResetHint, String> {
    Ok(match text {
        "unknown" => CounterResetHint::Unknown,
        "reset" => CounterResetHint::Reset,
        "not_reset" => CounterResetHint::NotReset,
        "gauge" => CounterResetHint::Gauge,
        _ => return Err(format!("not a reset hint: {text:?}")),
    })
}

#[test]
fn literals_are_read() {
    let sequence =
        parse_sequence("{{schema:1 sum:-0.5 count:3 offset:-2 buckets:[1 2]}}+{{count:1 sum:1}}x2");
    let sequence = sequence.expect_err("the step is coarser");
    assert!(sequence.contains("coarser"), "{sequence}");
    let text =
        "{{sum:-0.5 count:3 offset:-2 buckets:[1 2] counter_reset_hint:gauge}}+{{schema:1 count:1 sum:1}}x2";
    let sequence = parse_sequence(text).expect("well formed");
    let last = &sequence[2];
    assert_eq!((sequence.len(), last.histogram.count, last.histogram.sum), (3, 5.0, 1.5));
    assert_eq!(last.histogram.positive_spans, [Span { offset: -2, length: 2 }]);
    assert!(last.names_hint && last.histogram.reset_hint == CounterResetHint::Gauge);
    for wrong in
        ["{{sum:1", "{{sum}}", "{{summ:1}}", "{{sum:1 sum:1}}", "{{}}+{{}}", "{{}}y2", "{{buckets:1}}"]
    {
        assert!(parse_sequence(wrong).is_err(), "{wrong}");
    }
}
