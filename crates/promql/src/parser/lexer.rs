//! Text to tokens, one at a time, since the reading depends on what is open.
//!
//! Three modes: statements; inside braces, where every word is a label; inside brackets, where durations are computed.
//! The lexer keeps the count of open parentheses, so an unclosed one is reported at the end of the text.
//! Linear time: no token is read twice.

use super::token::{Keyword, Token, TokenKind};
use crate::ast::{BinaryOp, Span};
use crate::error::ParseError;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Statement,
    Braces,
    Brackets,
}

/// See the module.
pub(crate) struct Lexer<'a> {
    query: &'a str,
    bytes: &'a [u8],
    offset: usize,
    mode: Mode,
    parens: usize,
    /// In brackets: a number or duration has been read; comments are allowed from then on.
    has_duration: bool,
    has_colon: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(query: &'a str) -> Self {
        let bytes = query.as_bytes();
        Self {
            query,
            bytes,
            offset: 0,
            mode: Mode::Statement,
            parens: 0,
            has_duration: false,
            has_colon: false,
        }
    }

    /// Reads the next token; [`TokenKind::End`] for ever after the last.
    pub(crate) fn next(&mut self) -> Result<Token, ParseError> {
        self.skip_space();
        let start = self.offset;
        let kind = match self.mode {
            Mode::Statement => self.statement()?,
            Mode::Braces => self.braces()?,
            Mode::Brackets => self.brackets()?,
        };
        Ok(Token { kind, span: Span { start: start as u32, end: self.offset as u32 } })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.offset).copied()
    }

    fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.offset += usize::from(found);
        found
    }

    fn accept_while(&mut self, keep: impl Fn(u8) -> bool) -> usize {
        let start = self.offset;
        while self.peek().is_some_and(&keep) {
            self.offset += 1;
        }
        self.offset - start
    }

    fn fail<T>(&self, offset: usize, message: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError::at(self.query, offset as u32, message))
    }

    /// Quotes the character at an offset like Go's `%q` of a rune.
    fn char_at(&self, offset: usize) -> String {
        match self.query[offset..].chars().next() {
            Some('\'') => "'\\''".to_owned(),
            Some(c) => {
                let quoted = model::labels::quote(c.encode_utf8(&mut [0; 4]));
                if c == '"' { "'\"'".to_owned() } else { format!("'{}'", &quoted[1..quoted.len() - 1]) }
            }
            None => "end of input".to_owned(),
        }
    }

    fn skip_space(&mut self) {
        loop {
            self.accept_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
            let comments = self.mode != Mode::Brackets || self.has_duration;
            if !comments || self.peek() != Some(b'#') {
                return;
            }
            self.accept_while(|byte| byte != b'\n');
        }
    }

    fn statement(&mut self) -> Result<TokenKind, ParseError> {
        let start = self.offset;
        let Some(byte) = self.peek() else {
            return if self.parens > 0 {
                self.fail(start, "unclosed left parenthesis")
            } else {
                Ok(TokenKind::End)
            };
        };
        if let Some(kind) = self.open_or_close(byte)? {
            return Ok(kind);
        }
        if byte.is_ascii_digit()
            || (byte == b'.' && self.bytes.get(start + 1).is_some_and(u8::is_ascii_digit))
        {
            return self.number();
        }
        if byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':') {
            return if byte == b':' && !self.bytes.get(start + 1).is_some_and(|b| is_word(*b)) {
                self.fail(start, "unexpected character: ':'")
            } else {
                Ok(self.word())
            };
        }
        self.offset += 1;
        Ok(match byte {
            b',' => TokenKind::Comma,
            b'@' => TokenKind::At,
            b'"' | b'\'' => return self.string(byte),
            b'`' => return self.raw_string(),
            b'=' if self.accept(b'=') => TokenKind::Operator(BinaryOp::Equal),
            b'=' if self.peek() == Some(b'~') => {
                return self.fail(start, "unexpected character after '=': '~'");
            }
            b'=' => TokenKind::Assign,
            b'!' if self.accept(b'=') => TokenKind::Operator(BinaryOp::NotEqual),
            b'!' => {
                let after = self.char_at(self.offset);
                return self.fail(start, format!("unexpected character after '!': {after}"));
            }
            _ => match self.symbol(byte) {
                Some(op) => TokenKind::Operator(op),
                None => {
                    return self.fail(start, format!("unexpected character: {}", self.char_at(start)));
                }
            },
        })
    }

    fn open_or_close(&mut self, byte: u8) -> Result<Option<TokenKind>, ParseError> {
        let kind = match byte {
            b'(' => {
                self.parens += 1;
                TokenKind::LeftParen
            }
            // The place is the one after it, as in Prometheus.
            b')' if self.parens == 0 => {
                return self.fail(self.offset + 1, "unexpected right parenthesis ')'");
            }
            b')' => {
                self.parens -= 1;
                TokenKind::RightParen
            }
            b'{' => {
                self.mode = Mode::Braces;
                TokenKind::LeftBrace
            }
            b'[' => {
                (self.mode, self.has_duration, self.has_colon) = (Mode::Brackets, false, false);
                TokenKind::LeftBracket
            }
            b']' => return self.fail(self.offset, "unexpected right bracket ']'"),
            _ => return Ok(None),
        };
        self.offset += 1;
        Ok(Some(kind))
    }

    fn symbol(&mut self, byte: u8) -> Option<BinaryOp> {
        Some(match byte {
            b'+' => BinaryOp::Add,
            b'-' => BinaryOp::Sub,
            b'*' => BinaryOp::Mul,
            b'/' => BinaryOp::Div,
            b'%' => BinaryOp::Mod,
            b'^' => BinaryOp::Pow,
            b'<' if self.accept(b'=') => BinaryOp::LessEqual,
            b'<' if self.accept(b'/') => BinaryOp::TrimUpper,
            b'<' => BinaryOp::Less,
            b'>' if self.accept(b'=') => BinaryOp::GreaterEqual,
            b'>' if self.accept(b'/') => BinaryOp::TrimLower,
            b'>' => BinaryOp::Greater,
            _ => return None,
        })
    }

    fn word(&mut self) -> TokenKind {
        let start = self.offset;
        self.accept_while(|byte| is_word(byte) || byte == b':');
        let word = &self.query[start..self.offset];
        if word.contains(':') {
            return TokenKind::MetricIdentifier;
        }
        match Keyword::of(word) {
            Some(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight)
                if !self.query[self.offset..]
                    .trim_start_matches([' ', '\t', '\n', '\r'])
                    .starts_with('(') =>
            {
                TokenKind::Identifier
            }
            Some(Keyword::Inf | Keyword::Nan) => TokenKind::Number,
            Some(keyword) => TokenKind::Keyword(keyword),
            None => TokenKind::Identifier,
        }
    }

    /// Reads a number, or a number with units. What is accepted here is only shaped like one; values are checked later.
    fn number(&mut self) -> Result<TokenKind, ParseError> {
        let start = self.offset;
        let hex = self.accept(b'0') && matches!(self.peek(), Some(b'x' | b'X'));
        if hex {
            self.offset += 1;
            self.accept_while(|byte| byte.is_ascii_hexdigit() || byte == b'_');
        } else {
            self.accept_while(|byte| byte.is_ascii_digit() || byte == b'_');
        }
        if self.accept(b'.') {
            self.accept_while(|byte| {
                byte.is_ascii_hexdigit() && (hex || byte.is_ascii_digit()) || byte == b'_'
            });
        }
        if !hex && matches!(self.peek(), Some(b'e' | b'E')) {
            self.offset += 1;
            if !self.accept(b'+') {
                self.accept(b'-');
            }
            self.accept_while(|byte| byte.is_ascii_digit());
        }
        match self.peek() {
            Some(b'.') => self.offset += 1,
            Some(byte) if is_word(byte) => {
                if self.units() {
                    return Ok(TokenKind::Duration);
                }
            }
            // An exponent without digits is a fault of the number, except at the end of the input, as in Prometheus.
            None if self.query[start..self.offset].ends_with(['e', 'E', '+', '-']) => {}
            _ => return Ok(TokenKind::Number),
        }
        let text = model::labels::quote(&self.query[start..self.offset]);
        self.fail(start, format!("bad number or duration syntax: {text}"))
    }

    /// Reads the rest of a duration, from its first unit on; tells whether it is one.
    fn units(&mut self) -> bool {
        let mut first = true;
        loop {
            let unit = self.peek();
            let known = matches!(unit, Some(b's' | b'm' | b'h' | b'd' | b'w')) || first && unit == Some(b'y');
            if !known {
                return false;
            }
            self.offset += 1;
            // Bad units such as `hs` are refused when the duration is computed.
            self.accept(b's');
            first = false;
            if self.accept_while(|byte| byte.is_ascii_digit()) == 0 {
                break;
            }
        }
        let ends = !self.peek().is_some_and(is_word);
        self.offset += usize::from(!ends);
        ends
    }

    fn string(&mut self, quote: u8) -> Result<TokenKind, ParseError> {
        let start = self.offset - 1;
        loop {
            match self.peek() {
                Some(b'\\') => {
                    self.offset += 1;
                    super::text::check_escape(self.query, &mut self.offset, quote)
                        .map_err(|message| ParseError::at(self.query, start as u32, message))?;
                }
                None | Some(b'\n') => return self.fail(start, "unterminated quoted string"),
                Some(byte) => {
                    self.offset += 1;
                    if byte == quote {
                        return Ok(TokenKind::String);
                    }
                }
            }
        }
    }

    fn raw_string(&mut self) -> Result<TokenKind, ParseError> {
        let start = self.offset - 1;
        self.accept_while(|byte| byte != b'`');
        if self.accept(b'`') { Ok(TokenKind::String) } else { self.fail(start, "unterminated raw string") }
    }

    fn braces(&mut self) -> Result<TokenKind, ParseError> {
        let start = self.offset;
        let Some(byte) = self.peek() else {
            return self.fail(start, "unexpected end of input inside braces");
        };
        if byte.is_ascii_alphabetic() || byte == b'_' {
            self.accept_while(is_word);
            return Ok(TokenKind::Identifier);
        }
        self.offset += 1;
        Ok(match byte {
            b',' => TokenKind::Comma,
            b'"' | b'\'' => return self.string(byte),
            b'`' => return self.raw_string(),
            b'=' if self.accept(b'~') => TokenKind::MatchRegex,
            b'=' => TokenKind::Assign,
            b'!' if self.accept(b'~') => TokenKind::MatchNotRegex,
            b'!' if self.accept(b'=') => TokenKind::Operator(BinaryOp::NotEqual),
            b'!' => {
                let after = self.char_at(self.offset);
                return self.fail(start, format!("unexpected character after '!' inside braces: {after}"));
            }
            b'{' => return self.fail(start, "unexpected left brace '{'"),
            b'}' => {
                self.mode = Mode::Statement;
                TokenKind::RightBrace
            }
            _ => {
                let found = self.char_at(start);
                return self.fail(start, format!("unexpected character inside braces: {found}"));
            }
        })
    }

    fn brackets(&mut self) -> Result<TokenKind, ParseError> {
        let start = self.offset;
        let Some(byte) = self.peek() else {
            return self.fail(start, "unexpected end of input in duration expression");
        };
        if byte.is_ascii_digit()
            || (byte == b'.' && self.bytes.get(start + 1).is_some_and(u8::is_ascii_digit))
        {
            self.has_duration = true;
            return self.number();
        }
        if byte.is_ascii_alphabetic() || byte == b'_' {
            return self.bracket_word();
        }
        match byte {
            b']' => self.mode = Mode::Statement,
            b'(' => self.parens += 1,
            b')' if self.parens == 0 => return self.fail(start + 1, "unexpected right parenthesis ')'"),
            b')' => self.parens -= 1,
            b':' if !self.has_duration => {
                return self.fail(start, "unexpected colon before duration in duration expression");
            }
            b':' if self.has_colon => {
                return self.fail(start, "unexpected repeated colon in duration expression");
            }
            b':' => self.has_colon = true,
            _ => {}
        }
        self.offset += 1;
        Ok(match byte {
            b']' => TokenKind::RightBracket,
            b'(' => TokenKind::LeftParen,
            b')' => TokenKind::RightParen,
            b':' => TokenKind::Colon,
            b',' => TokenKind::Comma,
            b'+' | b'-' | b'*' | b'/' | b'%' | b'^' => {
                TokenKind::Operator(self.symbol(byte).expect("these are operators"))
            }
            _ => {
                let found = self.char_at(start);
                return self.fail(start, format!("unexpected character in duration expression: {found}"));
            }
        })
    }

    fn bracket_word(&mut self) -> Result<TokenKind, ParseError> {
        let start = self.offset;
        self.accept_while(is_word);
        match Keyword::of(&self.query[start..self.offset]) {
            Some(word @ (Keyword::Step | Keyword::Range | Keyword::MinOf | Keyword::MaxOf)) => {
                self.has_duration = true;
                Ok(TokenKind::Keyword(word))
            }
            _ => {
                let expected = if self.has_colon { "" } else { ", expected ':'" };
                let found = self.char_at(start);
                self.fail(start, format!("unexpected character: {found}{expected}"))
            }
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
