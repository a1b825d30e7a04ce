//! The script: blocks to commands.

use super::nhcb::convert;
use super::starts::parse_starts;
use super::values::{SeriesLine, parse_series, unquote};

/// One loaded series: labels and `(ms, point)`.
pub(crate) struct LoadedSeries {
    pub(crate) line: SeriesLine,
    pub(crate) interval_ms: i64,
    /// Start timestamps relative to the points' own times; fewer than points when the rest is unknown.
    pub(crate) starts: Vec<Option<i64>>,
}

pub(crate) enum Command {
    Clear,
    Load(Vec<LoadedSeries>),
    Eval(Box<Eval>),
}

#[derive(Clone, Copy)]
pub(crate) enum EvalKind {
    Instant { time_ms: i64 },
    Range { start_ms: i64, end_ms: i64, step_ms: i64 },
}

/// A text to be compared with an error or an annotation.
#[derive(Debug)]
pub(crate) enum TextMatch {
    Any,
    Exactly(String),
    Pattern(String),
}

/// What is expected of a level of annotations.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) none: bool,
    pub(crate) expected: Vec<TextMatch>,
}

/// One case.
pub(crate) struct Eval {
    pub(crate) line: usize,
    pub(crate) query: String,
    pub(crate) kind: EvalKind,
    pub(crate) ordered: bool,
    pub(crate) fail: Option<TextMatch>,
    pub(crate) warnings: Notes,
    pub(crate) infos: Notes,
    pub(crate) scalar: Option<f64>,
    pub(crate) text: Option<String>,
    /// Grid of an expected range vector: start and step.
    pub(crate) range_vector: Option<(i64, i64)>,
    pub(crate) series: Vec<SeriesLine>,
}

impl Eval {
    /// Tells whether the middle of a range query around the time must equal the instant result.
    pub(crate) fn repeats_as_range(&self) -> bool {
        let fixed = ["start()", "end()", "step()", "range()"];
        let special = self.ordered || self.range_vector.is_some() || self.text.is_some();
        !special && self.fail.is_none() && !fixed.iter().any(|text| self.query.contains(text))
    }
}

/// Parses a script.
pub(crate) fn parse(text: &str) -> Result<Vec<Command>, String> {
    let mut commands = Vec::new();
    let mut lines = text.split('\n').map(str::trim).enumerate().peekable();
    while let Some((index, head)) = lines.next() {
        if head.is_empty() || head.starts_with('#') {
            continue;
        }
        // `clear` stands alone, whatever follows it.
        if head.eq_ignore_ascii_case("clear") {
            commands.push(Command::Clear);
            continue;
        }
        let mut body = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            body.push(line);
        }
        let command = command(head, &body, index + 1);
        commands.push(command.map_err(|problem| format!("line {}: {problem}", index + 1))?);
    }
    Ok(commands)
}

fn command(head: &str, body: &[&str], line: usize) -> Result<Command, String> {
    let word = head.split_whitespace().next().unwrap_or("").to_lowercase();
    if word.starts_with("load") {
        return load(head, body, word == "load_with_nhcb");
    }
    if word.starts_with("eval") {
        return Ok(Command::Eval(Box::new(eval(head, &word, body, line)?)));
    }
    Err(format!("unknown command {word:?}"))
}

fn load(head: &str, body: &[&str], nhcb: bool) -> Result<Command, String> {
    let interval = head.split_whitespace().nth(1).ok_or("no interval")?;
    let interval_ms = time(interval)?;
    let mut series = Vec::new();
    let mut starts = Vec::new();
    for text in body {
        let Some(line) = parse_series(text)? else {
            starts = parse_starts(text)?;
            continue;
        };
        let starts = std::mem::take(&mut starts);
        if !starts.is_empty() && starts.len() != line.points.len() {
            return Err(format!(
                "{} start timestamps and {} points: {text}",
                starts.len(),
                line.points.len()
            ));
        }
        series.push(LoadedSeries { line, interval_ms, starts });
    }
    if nhcb {
        series.extend(convert(&series)?);
    }
    Ok(Command::Load(series))
}

/// Parses a time or duration; a bare number is seconds.
pub(crate) fn time(text: &str) -> Result<i64, String> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    if let Ok(seconds) = digits.parse::<f64>() {
        return Ok(sign * (seconds * 1000.0) as i64);
    }
    model::time::parse_duration_ms(digits).map(|ms| sign * ms as i64)
}

fn eval(head: &str, word: &str, body: &[&str], line: usize) -> Result<Eval, String> {
    let mut rest = head[word.len()..].trim_start();
    let mut next = |expected: Option<&str>| -> Result<&str, String> {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (found, after) = (&rest[..end], rest[end..].trim_start());
        rest = after;
        match expected {
            Some(expected) if expected != found => Err(format!("expected {expected:?}, found {found:?}")),
            _ => Ok(found),
        }
    };
    let kind = if next(None)? == "instant" {
        next(Some("at"))?;
        EvalKind::Instant { time_ms: time(next(None)?)? }
    } else {
        next(Some("from"))?;
        let start_ms = time(next(None)?)?;
        next(Some("to"))?;
        let end_ms = time(next(None)?)?;
        next(Some("step"))?;
        EvalKind::Range { start_ms, end_ms, step_ms: time(next(None)?)? }
    };
    let mut eval = Eval {
        line,
        query: rest.to_owned(),
        kind,
        ordered: word == "eval_ordered",
        fail: (word == "eval_fail").then_some(TextMatch::Any),
        warnings: Notes::default(),
        infos: Notes::default(),
        scalar: None,
        text: None,
        range_vector: None,
        series: Vec::new(),
    };
    if word == "eval_warn" {
        eval.warnings.expected.push(TextMatch::Any);
    }
    if word == "eval_info" {
        eval.infos.expected.push(TextMatch::Any);
    }
    for line in body {
        if !body_line(&mut eval, line)? {
            break;
        }
    }
    Ok(eval)
}

/// Takes one line of a case's body; false when the block ends with it.
fn body_line(eval: &mut Eval, line: &str) -> Result<bool, String> {
    if let Some(message) = line.strip_prefix("expected_fail_message ") {
        eval.fail = Some(TextMatch::Exactly(message.to_owned()));
        return Ok(false);
    }
    if let Some(pattern) = line.strip_prefix("expected_fail_regexp ") {
        eval.fail = Some(TextMatch::Pattern(pattern.to_owned()));
        return Ok(false);
    }
    if let Some(directive) = line.strip_prefix("expect ") {
        expect(eval, directive.trim())?;
        return Ok(true);
    }
    if let Some(value) = model::float::parse(line) {
        eval.scalar = Some(value);
        return Ok(false);
    }
    eval.series.extend(parse_series(line)?);
    Ok(true)
}

fn expect(eval: &mut Eval, directive: &str) -> Result<(), String> {
    let (word, rest) = directive.split_once(char::is_whitespace).unwrap_or((directive, ""));
    let rest = rest.trim();
    match word {
        "fail" => eval.fail = Some(text_match(rest)?),
        "warn" => eval.warnings.expected.push(text_match(rest)?),
        "info" => eval.infos.expected.push(text_match(rest)?),
        "no_warn" => eval.warnings.none = true,
        "no_info" => eval.infos.none = true,
        "ordered" => eval.ordered = true,
        "string" => eval.text = Some(unquote(rest)?),
        "range" => {
            let words: Vec<&str> = rest.split_whitespace().collect();
            let ["vector", "from", start, "to", _, "step", step] = words[..] else {
                return Err(format!("not a range vector: {rest:?}"));
            };
            eval.range_vector = Some((time(start)?, time(step)?));
        }
        other => return Err(format!("unknown expectation {other:?}")),
    }
    Ok(())
}

fn text_match(text: &str) -> Result<TextMatch, String> {
    Ok(match text.split_once(':') {
        None => TextMatch::Any,
        Some(("msg", message)) => TextMatch::Exactly(message.trim().to_owned()),
        Some(("regex", pattern)) => TextMatch::Pattern(pattern.trim().to_owned()),
        Some((other, _)) => return Err(format!("unknown comparison {other:?}")),
    })
}
