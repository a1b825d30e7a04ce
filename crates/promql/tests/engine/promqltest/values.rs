//! Series lines: a metric and a sequence of values.

use std::sync::Arc;

use model::LabelSet;
use model::labels::METRIC_NAME;
use promql::ast::NodeKind;

use super::literal::{Literal, parse_sequence};

/// One point of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Point {
    Absent,
    Float(f64),
    Histogram(Arc<Literal>),
}

/// A metric with its points.
#[derive(Clone, Debug)]
pub(crate) struct SeriesLine {
    pub(crate) labels: LabelSet,
    pub(crate) points: Vec<Point>,
}

/// Parses a series line; `None` when it is a line of start timestamps.
pub(crate) fn parse_series(line: &str) -> Result<Option<SeriesLine>, String> {
    let end = metric_end(line)?;
    let labels = parse_metric(&line[..end])?;
    let rest = &line[end..];
    if rest.starts_with("@st") {
        return Ok(None);
    }
    Ok(Some(SeriesLine { labels, points: parse_values(rest)? }))
}

/// Finds where the metric ends: at the first space or `@` outside of braces.
fn metric_end(line: &str) -> Result<usize, String> {
    let (mut quote, mut depth, mut escaped) = (None, 0, false);
    for (index, c) in line.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(q), '\\') if q != '`' => escaped = true,
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') => depth -= 1,
            (None, ' ' | '\t' | '@') if depth == 0 => return Ok(index),
            _ => {}
        }
    }
    if depth == 0 { Ok(line.len()) } else { Err(format!("no end of the metric in {line:?}")) }
}

/// Decodes a quoted text as PromQL does.
pub(crate) fn unquote(text: &str) -> Result<String, String> {
    let expr = promql::parse(text).map_err(|e| format!("{text}: {e}"))?;
    match &expr.node(expr.root()).kind {
        NodeKind::String(bytes) => String::from_utf8(bytes.to_vec()).map_err(|e| e.to_string()),
        _ => Err(format!("{text} is not a string")),
    }
}

fn parse_metric(text: &str) -> Result<LabelSet, String> {
    let Some((name, inside)) = text.split_once('{') else {
        return Ok(LabelSet::from_pairs([(METRIC_NAME, text)]));
    };
    let mut rest = inside.strip_suffix('}').ok_or_else(|| format!("no closing brace in {text:?}"))?.trim();
    let mut labels = LabelSet::empty().to_builder();
    labels.set(METRIC_NAME, name.trim());
    while !rest.is_empty() {
        let (label, after) = word(rest)?;
        let after = after.trim_start();
        if let Some(after) = after.strip_prefix('=') {
            let (value, after) = word(after.trim_start())?;
            labels.set(label, value);
            rest = after;
        } else {
            labels.set(METRIC_NAME, label);
            rest = after;
        }
        rest = rest.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    Ok(labels.build())
}

/// Splits off an identifier or a quoted text.
fn word(text: &str) -> Result<(String, &str), String> {
    let first = text.chars().next().ok_or("a label is missing")?;
    if !matches!(first, '"' | '\'' | '`') {
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
        return Ok((text[..end].to_owned(), &text[end..]));
    }
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if first != '`' => escaped = true,
            c if c == first => return Ok((unquote(&text[..=index])?, &text[index + 1..])),
            _ => {}
        }
    }
    Err(format!("no closing quote in {text:?}"))
}

/// Parses a sequence of values.
pub(crate) fn parse_values(text: &str) -> Result<Vec<Point>, String> {
    let mut points = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = item_end(rest)?;
        parse_item(&rest[..end], &mut points)?;
        rest = rest[end..].trim_start();
    }
    Ok(points)
}

/// Finds where an item ends: at the first space outside of a histogram literal.
fn item_end(text: &str) -> Result<usize, String> {
    let mut index = 0;
    while index < text.len() {
        if text[index..].starts_with("{{") {
            index +=
                text[index..].find("}}").ok_or_else(|| format!("no end of the histogram in {text:?}"))? + 2;
        } else if text[index..].starts_with([' ', '\t']) {
            return Ok(index);
        } else {
            index += text[index..].chars().next().map_or(1, char::len_utf8);
        }
    }
    Ok(text.len())
}

fn parse_item(item: &str, points: &mut Vec<Point>) -> Result<(), String> {
    let fault = || format!("not a value: {item:?}");
    if item.contains("{{") {
        points.extend(parse_sequence(item)?.into_iter().map(Point::Histogram));
        return Ok(());
    }
    if let Some(times) = item.strip_prefix('_') {
        let times = times.strip_prefix('x').map_or(Ok(1), str::parse).map_err(|_| fault())?;
        points.extend(std::iter::repeat_n(Point::Absent, times));
        return Ok(());
    }
    if item == "stale" {
        points.push(Point::Float(model::stale_nan()));
        return Ok(());
    }
    let number = |text: &str| model::float::parse(text).ok_or_else(fault);
    let Some((value, times)) = item.split_once('x') else {
        points.push(Point::Float(number(item)?));
        return Ok(());
    };
    let times: usize = times.parse().map_err(|_| fault())?;
    // The sign of the step: one that neither begins the value nor follows an exponent.
    let bytes = value.as_bytes();
    let sign =
        (1..bytes.len()).find(|i| matches!(bytes[*i], b'+' | b'-') && !matches!(bytes[i - 1], b'e' | b'E'));
    let (start, step) = match sign {
        Some(at) => (number(&value[..at])?, number(&value[at..])?),
        None => (number(value)?, 0.0),
    };
    let mut current = start;
    for _ in 0..=times {
        points.push(Point::Float(current));
        if sign.is_some() {
            current += step;
        }
    }
    Ok(())
}
