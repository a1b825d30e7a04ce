//! What the lexers of both formats share: a cursor over the body, tokens, and the patterns of names and quoted texts.
//!
//! Tokens and positions follow Prometheus's generated lexers, since its error messages print them: a token that cannot be
//! completed ends where the first byte stands that does not fit.

use crate::error::ParseError;
use crate::quote::quote;

/// The kinds of token, with the names that error messages use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Invalid,
    Eof,
    Linebreak,
    Help,
    Type,
    Unit,
    EofWord,
    Text,
    Comment,
    MetricName,
    QuotedString,
    BraceOpen,
    BraceClose,
    LabelName,
    LabelValue,
    Comma,
    Equal,
    Timestamp,
    Value,
}

impl Token {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID",
            Self::Eof => "EOF",
            Self::Linebreak => "LINEBREAK",
            Self::Help => "HELP",
            Self::Type => "TYPE",
            Self::Unit => "UNIT",
            Self::EofWord => "EOFWORD",
            Self::Text => "TEXT",
            Self::Comment => "COMMENT",
            Self::MetricName => "MNAME",
            Self::QuotedString => "QSTRING",
            Self::BraceOpen => "BOPEN",
            Self::BraceClose => "BCLOSE",
            Self::LabelName => "LNAME",
            Self::LabelValue => "LVALUE",
            Self::Comma => "COMMA",
            Self::Equal => "EQUAL",
            Self::Timestamp => "TIMESTAMP",
            Self::Value => "VALUE",
        }
    }
}

/// Where in a line a lexer is; decides which tokens may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Init,
    MetaName,
    MetaText,
    Labels,
    LabelValue,
    Value,
    Timestamp,
    Exemplar,
    ExemplarValue,
    ExemplarTimestamp,
}

/// A cursor over the body, with one line break after its end when the format wants one there.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    pub(crate) bytes: &'a [u8],
    /// How many bytes there are, the added line break included.
    end: usize,
    /// Where the entry begins that is being read.
    pub(crate) entry: usize,
    /// Where the last token begins.
    pub(crate) start: usize,
    /// Where the next token begins; the last token's end.
    pub(crate) at: usize,
    pub(crate) state: State,
}

/// Which quoted texts a place allows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quoted {
    AnyLines,
    OneLine,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], added_linebreak: usize) -> Self {
        Self { bytes, end: bytes.len() + added_linebreak, entry: 0, start: 0, at: 0, state: State::Init }
    }

    /// Returns the byte at the cursor, `None` at the end.
    pub(crate) fn peek(&self) -> Option<u8> {
        match self.bytes.get(self.at) {
            None if self.at < self.end => Some(b'\n'),
            byte => byte.copied(),
        }
    }

    /// Returns the bytes from the cursor on, without an added line break.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Returns the bytes of the last token.
    pub(crate) fn token(&self) -> &'a [u8] {
        self.slice(self.start, self.at)
    }

    /// Returns the bytes of a range, without an added line break.
    pub(crate) fn slice(&self, start: usize, end: usize) -> &'a [u8] {
        let end = end.min(self.bytes.len());
        &self.bytes[start.min(end)..end]
    }

    /// Ends a token of one byte.
    pub(crate) fn one(&mut self, token: Token, state: State) -> Token {
        self.at += 1;
        self.state = state;
        token
    }

    /// Takes bytes while they belong to a class; returns how many.
    pub(crate) fn take_while(&mut self, class: impl Fn(u8) -> bool) -> usize {
        let length = self.rest().iter().position(|b| !class(*b)).unwrap_or(self.rest().len());
        self.at += length;
        length
    }

    /// Moves to the next line break or the end.
    pub(crate) fn skip_line(&mut self) {
        self.at += memchr::memchr(b'\n', self.rest()).unwrap_or(self.rest().len());
    }

    /// Takes a metric's or, without the colon, a label's name.
    pub(crate) fn name(&mut self, token: Token, state: State) -> Token {
        let colon = token == Token::MetricName;
        let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_' || (colon && b == b':');
        if !self.peek().is_some_and(letter) {
            return Token::Invalid;
        }
        self.take_while(|b| letter(b) || b.is_ascii_digit());
        self.state = state;
        token
    }

    /// Takes a text in double quotes with backslash escapes; the cursor stands on the opening quote or it is invalid.
    pub(crate) fn quoted(&mut self, quoted: Quoted, token: Token, state: State) -> Token {
        if self.peek() != Some(b'"') {
            return Token::Invalid;
        }
        self.at += 1;
        loop {
            let rest = self.rest();
            let found = match quoted {
                Quoted::AnyLines => memchr::memchr2(b'"', b'\\', rest),
                Quoted::OneLine => memchr::memchr3(b'"', b'\\', b'\n', rest),
            };
            let Some(found) = found else {
                self.at = if quoted == Quoted::AnyLines { self.end } else { self.bytes.len() };
                return Token::Invalid;
            };
            self.at += found;
            match rest[found] {
                b'"' => return self.one(token, state),
                b'\\' => self.at += 1,
                _ => return Token::Invalid,
            }
            match self.peek() {
                None | Some(b'\n') => return Token::Invalid,
                Some(_) => self.at += 1,
            }
        }
    }

    /// Makes the error for a token that was not expected.
    pub(crate) fn unexpected(&self, expected: &str, got: Token) -> ParseError {
        let end = self.end.min(self.at + 1);
        let (token, entry) = (self.printed(self.start, end), self.printed(self.entry, end));
        self.error(format!(
            "{expected}, got {token} ({}) while parsing: {entry}",
            quote(got.name().as_bytes())
        ))
    }

    /// Makes an error that shows what was read of the entry.
    pub(crate) fn while_parsing(&self, message: impl std::fmt::Display) -> ParseError {
        self.error(format!("{message} while parsing: {}", self.printed(self.entry, self.at)))
    }

    /// Makes an error at the line of the entry.
    pub(crate) fn error(&self, message: String) -> ParseError {
        let before = &self.bytes[..self.entry.min(self.bytes.len())];
        ParseError { line: memchr::memchr_iter(b'\n', before).count() as u64 + 1, message }
    }

    fn printed(&self, start: usize, end: usize) -> String {
        let mut shown = self.slice(start, end).to_vec();
        if end > self.bytes.len() {
            shown.push(b'\n');
        }
        quote(&shown)
    }
}
