//! Reads an exposition entry by entry.
//!
//! ```
//! use scrape::{Entry, Format, Parser};
//!
//! let mut parser = Parser::new(Format::Text, b"# TYPE up gauge\nup{job=\"node\"} 1\n");
//! assert!(matches!(parser.next_entry()?, Some(Entry::Type { family: "up", .. })));
//! let Some(Entry::Sample(sample)) = parser.next_entry()? else { panic!() };
//! assert_eq!((sample.series, sample.value), (&b"up{job=\"node\"}"[..], 1.0));
//! assert_eq!(parser.labels().build().to_string(), r#"up{job="node"}"#);
//! assert_eq!(parser.next_entry()?, None);
//! # Ok::<(), scrape::ParseError>(())
//! ```

use std::borrow::Cow;

use model::labels::METRIC_NAME;
use model::{LabelSet, LabelSetBuilder, MetricType};

use crate::error::ParseError;
use crate::float;
use crate::format::Format;
use crate::lexer::{Cursor, Token};
use crate::quote::quote;
use crate::{openmetrics, text};

/// One thing that a target says.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry<'a> {
    /// A family's type.
    Type {
        /// The family's name.
        family: &'a str,
        /// Its type.
        metric_type: MetricType,
    },
    /// A family's help text.
    Help {
        /// The family's name.
        family: &'a str,
        /// The text, unescaped.
        help: Cow<'a, str>,
    },
    /// A family's unit.
    Unit {
        /// The family's name.
        family: &'a str,
        /// The unit, may be empty.
        unit: &'a str,
    },
    /// A line for people.
    Comment,
    /// A sample. [`Parser::labels`] gives its labels until the next entry is read.
    Sample(Sample<'a>),
}

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Name and labels as written: equal bytes mean equal labels, within one body format.
    pub series: &'a [u8],
    /// The value; a NaN has the one bit pattern of results, so it is never a staleness marker.
    pub value: f64,
    /// Milliseconds since the epoch, when the line says so.
    pub time_ms: Option<i64>,
}

/// The exemplar of a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleExemplar {
    /// Its labels, may be none.
    pub labels: LabelSet,
    /// The value; a NaN has the one bit pattern of results.
    pub value: f64,
    /// Milliseconds since the epoch, when the line says so.
    pub time_ms: Option<i64>,
}

/// A range of bytes of the body.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
}

/// Reads one body.
#[derive(Debug)]
pub struct Parser<'a> {
    cursor: Cursor<'a>,
    format: Format,
    /// Whether the whole body is UTF-8, so that no part needs a check of its own.
    utf8: bool,
    /// Set by the first error and by the end: nothing more is read.
    done: bool,
    /// The type of the last `TYPE` line: the bounds of buckets and quantiles are normalised.
    metric_type: MetricType,
    /// Of the last sample: its name, and then names and values of its labels by turns.
    name: Option<Span>,
    labels: Vec<Span>,
    /// Of the last sample's exemplar: names and values of its labels by turns, value and timestamp.
    exemplar_labels: Vec<Span>,
    exemplar: Option<(f64, Option<i64>)>,
}

/// What the braces belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Braces {
    Series,
    Exemplar,
}

impl<'a> Parser<'a> {
    /// Starts at the first byte of a body.
    pub fn new(format: Format, body: &'a [u8]) -> Self {
        let added_linebreak = usize::from(format == Format::Text);
        Self {
            cursor: Cursor::new(body, added_linebreak),
            format,
            utf8: std::str::from_utf8(body).is_ok(),
            done: false,
            metric_type: MetricType::Unknown,
            name: None,
            labels: Vec::with_capacity(32),
            exemplar_labels: Vec::new(),
            exemplar: None,
        }
    }

    /// Reads the next entry; `None` after the last one.
    ///
    /// # Errors
    /// [`ParseError`] for a malformed line, and for an OpenMetrics body without its end mark. Nothing can be read after it.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        if self.done {
            return Ok(None);
        }
        let entry = self.read_entry();
        self.done = !matches!(entry, Ok(Some(_)));
        entry
    }

    /// Puts together the labels of the last sample. A label given twice keeps its last value.
    pub fn labels(&self) -> LabelSetBuilder {
        let mut labels = LabelSetBuilder::default();
        let Some(name) = self.name else { return labels };
        labels.set(METRIC_NAME, self.unescaped(name));
        for pair in self.labels.chunks_exact(2) {
            let (name, value) = (self.unescaped(pair[0]), self.unescaped(pair[1]));
            let bound = match self.metric_type {
                MetricType::Histogram if name == "le" => float::parse(value.as_bytes()).ok(),
                MetricType::Summary if name == "quantile" => float::parse(value.as_bytes()).ok(),
                _ => None,
            };
            labels.set(name, bound.map_or(value, |bound| Cow::Owned(float::format_bound(bound))));
        }
        labels
    }

    /// Returns the exemplar of the last sample, if it has one. A label given twice keeps its last value.
    pub fn exemplar(&self) -> Option<SampleExemplar> {
        let (value, time_ms) = self.exemplar?;
        let mut labels = LabelSetBuilder::default();
        for pair in self.exemplar_labels.chunks_exact(2) {
            labels.set(self.unescaped(pair[0]), self.unescaped(pair[1]));
        }
        Some(SampleExemplar { labels: labels.build(), value, time_ms })
    }

    /// Returns a label's name that the last sample gives twice.
    pub fn repeated_label(&self) -> Option<String> {
        let names: Vec<_> = self.labels.chunks_exact(2).map(|pair| self.unescaped(pair[0])).collect();
        let repeated = (1..names.len()).find(|i| names[..*i].contains(&names[*i]))?;
        Some(names[repeated].to_string())
    }

    fn read_entry(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        loop {
            self.cursor.entry = self.cursor.at;
            self.name = None;
            self.labels.clear();
            self.exemplar_labels.clear();
            self.exemplar = None;
            let entry = match self.lex() {
                Token::Eof if self.format == Format::Text => return Ok(None),
                Token::Eof => return Err(self.no_end_mark()),
                Token::EofWord if self.lex() == Token::Eof => return Ok(None),
                Token::EofWord => return Err(self.cursor.error("unexpected data after # EOF".to_owned())),
                Token::Linebreak => continue,
                token @ (Token::Help | Token::Type | Token::Unit) => self.metadata(token)?,
                Token::Comment => match self.lex() {
                    Token::Linebreak => Entry::Comment,
                    token => return Err(self.cursor.unexpected("linebreak expected after comment", token)),
                },
                Token::BraceOpen => {
                    self.read_braces(Braces::Series)?;
                    let series = self.cursor.slice(self.cursor.entry, self.cursor.at);
                    let token = self.lex();
                    self.sample(series, token)?
                }
                Token::MetricName => self.named_sample()?,
                token => return Err(self.cursor.unexpected("expected a valid start token", token)),
            };
            return Ok(Some(entry));
        }
    }

    fn named_sample(&mut self) -> Result<Entry<'a>, ParseError> {
        self.name = Some(self.span());
        let mut series_end = self.cursor.at;
        let mut token = self.lex();
        if token == Token::BraceOpen {
            self.read_braces(Braces::Series)?;
            series_end = self.cursor.at;
            token = self.lex();
        }
        let series = self.cursor.slice(self.cursor.entry, series_end);
        self.sample(series, token)
    }

    fn lex(&mut self) -> Token {
        match self.format {
            Format::Text => text::lex(&mut self.cursor),
            Format::OpenMetrics => openmetrics::lex(&mut self.cursor),
        }
    }

    fn span(&self) -> Span {
        Span { start: self.cursor.start, end: self.cursor.at }
    }

    /// Returns the inside of the last token, which is quoted.
    fn inner_span(&self) -> Span {
        Span { start: self.cursor.start + 1, end: self.cursor.at - 1 }
    }

    fn no_end_mark(&self) -> ParseError {
        self.cursor.error("data does not end with # EOF".to_owned())
    }

    fn metadata(&mut self, kind: Token) -> Result<Entry<'a>, ParseError> {
        let token = self.lex();
        if token != Token::MetricName {
            return Err(self
                .cursor
                .unexpected(&format!("expected metric name after {}", kind.name()), token));
        }
        let family = match self.cursor.token() {
            [b'"', inner @ .., b'"'] => inner,
            name => name,
        };
        let family = self.utf8(family, "metric name")?;
        let token = self.lex();
        if token != Token::Text {
            let got =
                if self.format == Format::Text { format!(", got {}", token.name()) } else { String::new() };
            return Err(self.cursor.error(format!("expected text in {}{got}", kind.name())));
        }
        let text = match self.format {
            Format::Text => self.cursor.token(),
            // The line break belongs to the token.
            Format::OpenMetrics => self.cursor.token().strip_suffix(b"\n").unwrap_or_default(),
        };
        let text = text.get(1..).unwrap_or_default();
        let entry = self.metadata_entry(kind, family, text)?;
        if self.format == Format::Text {
            match self.lex() {
                Token::Linebreak => {}
                token => return Err(self.cursor.unexpected("linebreak expected after metadata", token)),
            }
        }
        Ok(entry)
    }

    fn metadata_entry(
        &mut self,
        kind: Token,
        family: &'a str,
        text: &'a [u8],
    ) -> Result<Entry<'a>, ParseError> {
        match kind {
            Token::Type => {
                let metric_type = self.format.metric_type(text);
                let fault = || self.cursor.error(format!("invalid metric type {}", quote(text)));
                self.metric_type = metric_type.ok_or_else(fault)?;
                Ok(Entry::Type { family, metric_type: self.metric_type })
            }
            Token::Help => {
                let fault =
                    |_| self.cursor.error(format!("help text {} is not a valid utf8 string", quote(text)));
                let help = std::str::from_utf8(text).map_err(fault)?;
                // The classic format knows no escaped quote in a help text.
                let escapes = if self.format == Format::Text { "\\n" } else { "\\n\"" };
                Ok(Entry::Help { family, help: unescape(help, escapes) })
            }
            _ => {
                let unit = self.utf8(text, "unit")?;
                let prefix = family.strip_suffix(unit);
                if !unit.is_empty() && !prefix.is_some_and(|prefix| prefix.ends_with('_')) {
                    let (unit, family) = (quote(text), quote(family.as_bytes()));
                    return Err(self.cursor.error(format!("unit {unit} not a suffix of metric {family}")));
                }
                Ok(Entry::Unit { family, unit })
            }
        }
    }

    /// Reads labels up to the closing brace, and a name in quotes among those of a series.
    fn read_braces(&mut self, braces: Braces) -> Result<(), ParseError> {
        let mut token = self.lex();
        loop {
            let label = match token {
                Token::BraceClose => return Ok(()),
                Token::LabelName => self.span(),
                Token::QuotedString => self.inner_span(),
                _ => return Err(self.cursor.unexpected("expected label name", token)),
            };
            let quoted = token == Token::QuotedString;
            self.check_utf8(self.cursor.slice(label.start, label.end), "label name")?;
            token = self.lex();
            if matches!(token, Token::Comma | Token::BraceClose)
                && (quoted || self.format == Format::OpenMetrics)
            {
                if braces == Braces::Exemplar || !quoted {
                    return Err(self.cursor.unexpected("expected label name", token));
                }
                if self.name.replace(label).is_some() {
                    return Err(self.cursor.while_parsing("metric name already set"));
                }
                if token == Token::Comma {
                    token = self.lex();
                    continue;
                }
                return Ok(());
            }
            if token != Token::Equal {
                return Err(self.cursor.unexpected("expected equal", token));
            }
            let value = self.label_value()?;
            match braces {
                Braces::Series => self.labels.extend([label, value]),
                Braces::Exemplar => self.exemplar_labels.extend([label, value]),
            }
            token = self.after_label()?;
        }
    }

    fn label_value(&mut self) -> Result<Span, ParseError> {
        match self.lex() {
            Token::LabelValue => {}
            token => return Err(self.cursor.unexpected("expected label value", token)),
        }
        self.check_utf8(self.cursor.token(), "label value")?;
        Ok(self.inner_span())
    }

    /// Reads what stands after a label: a comma, also before the closing brace; the classic format needs none.
    fn after_label(&mut self) -> Result<Token, ParseError> {
        match self.lex() {
            Token::Comma => Ok(self.lex()),
            token if self.format == Format::Text || token == Token::BraceClose => Ok(token),
            token => Err(self.cursor.unexpected("expected comma or brace close", token)),
        }
    }

    /// Reads value, timestamp and exemplar after a series.
    fn sample(&mut self, series: &'a [u8], token: Token) -> Result<Entry<'a>, ParseError> {
        if self.name.is_none() {
            return Err(self.cursor.while_parsing("metric name not set"));
        }
        let value = self.value(token, "metric")?;
        let mut time_ms = None;
        let mut token = self.lex();
        if token == Token::Timestamp {
            time_ms = Some(self.timestamp("timestamp")?);
            token = self.lex();
        }
        match token {
            Token::Linebreak => {}
            Token::Comment if self.format == Format::OpenMetrics => self.read_exemplar()?,
            Token::Eof if self.format == Format::OpenMetrics && time_ms.is_none() => {
                return Err(self.no_end_mark());
            }
            _ if time_ms.is_some() => {
                return Err(self.cursor.unexpected("expected next entry after timestamp", token));
            }
            _ => return Err(self.cursor.unexpected("expected timestamp or new record", token)),
        }
        Ok(Entry::Sample(Sample { series, value, time_ms }))
    }

    /// Reads an exemplar.
    fn read_exemplar(&mut self) -> Result<(), ParseError> {
        self.read_braces(Braces::Exemplar)?;
        let token = self.lex();
        let value = self.value(token, "exemplar labels")?;
        self.exemplar = Some((value, None));
        match self.lex() {
            Token::Linebreak => return Ok(()),
            Token::Eof => return Err(self.no_end_mark()),
            Token::Timestamp => {}
            token => return Err(self.cursor.unexpected("expected timestamp or comment", token)),
        }
        self.exemplar = Some((value, Some(self.timestamp("exemplar timestamp")?)));
        match self.lex() {
            Token::Linebreak => Ok(()),
            token => Err(self.cursor.unexpected("expected next entry after exemplar timestamp", token)),
        }
    }

    fn value(&mut self, token: Token, after: &str) -> Result<f64, ParseError> {
        if token != Token::Value {
            return Err(self.cursor.unexpected(&format!("expected value after {after}"), token));
        }
        float::parse(self.number()).map_err(|message| self.cursor.while_parsing(message))
    }

    /// Reads the last token as a timestamp: milliseconds in the classic format, seconds in OpenMetrics.
    fn timestamp(&mut self, what: &str) -> Result<i64, ParseError> {
        if self.format == Format::Text {
            return float::parse_millis(self.number()).map_err(|message| self.cursor.while_parsing(message));
        }
        let seconds = float::parse(self.number()).map_err(|message| self.cursor.while_parsing(message))?;
        if !seconds.is_finite() {
            let printed = model::float::format_plain(seconds);
            return Err(self.cursor.error(format!("invalid {what} {printed}")));
        }
        Ok((seconds * 1000.0) as i64)
    }

    /// Returns the last token's number; in OpenMetrics the space before it belongs to the token.
    fn number(&self) -> &'a [u8] {
        let token = self.cursor.token();
        if self.format == Format::OpenMetrics { token.get(1..).unwrap_or_default() } else { token }
    }

    /// Checks that bytes are text; a body that is UTF-8 as a whole is split at ASCII characters only.
    fn check_utf8(&self, bytes: &'a [u8], what: &str) -> Result<(), ParseError> {
        if self.utf8 { Ok(()) } else { self.utf8(bytes, what).map(|_| ()) }
    }

    fn utf8(&self, bytes: &'a [u8], what: &str) -> Result<&'a str, ParseError> {
        std::str::from_utf8(bytes)
            .map_err(|_| self.cursor.error(format!("invalid UTF-8 {what}: {}", quote(bytes))))
    }

    fn unescaped(&self, span: Span) -> Cow<'a, str> {
        let bytes = self.cursor.slice(span.start, span.end);
        let text = std::str::from_utf8(bytes).expect("names and values are checked when they are read");
        unescape(text, "\\n\"")
    }
}

/// Replaces escapes: a backslash before one of `escapes` means that character, or a line break for `n`; others stay.
fn unescape<'a>(text: &'a str, escapes: &str) -> Cow<'a, str> {
    if memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let (mut plain, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(backslash) = rest.find('\\') {
        plain.push_str(&rest[..backslash]);
        rest = &rest[backslash + 1..];
        match rest.chars().next().filter(|c| escapes.contains(*c)) {
            Some(c) => {
                plain.push(if c == 'n' { '\n' } else { c });
                rest = &rest[1..];
            }
            None => plain.push('\\'),
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}
