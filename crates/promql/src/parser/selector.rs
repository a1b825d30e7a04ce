//! Selectors: a metric's name, matchers in braces.

use model::labels::METRIC_NAME;
use model::{MatchOp, Matcher, RegexpError};

use super::text;
use super::token::{Token, TokenKind};
use super::{LIST_MAX, PATTERN_BYTES_MAX, Parser};
use crate::ast::{BinaryOp, NodeId, NodeKind, Span, VectorSelector};
use crate::error::ParseError;

const CONTEXT: &str = "label matching";

impl Parser<'_> {
    /// Parses a selector that is not part of an expression.
    pub(super) fn lone_selector(&mut self) -> Result<NodeId, ParseError> {
        let names_metric = match self.token.kind {
            TokenKind::Identifier | TokenKind::MetricIdentifier => true,
            TokenKind::Keyword(keyword) => keyword.is_metric_name(),
            _ => false,
        };
        let name = if names_metric { Some(self.advance()?.span) } else { None };
        if name.is_none() && self.token.kind != TokenKind::LeftBrace {
            return self.unexpected("", "");
        }
        self.selector(name)
    }

    /// Parses what follows a metric's name, or a selector without one.
    pub(super) fn selector(&mut self, name: Option<Span>) -> Result<NodeId, ParseError> {
        let start = name.unwrap_or(self.token.span).start;
        let name = name.map(|span| self.text(span));
        let mut matchers: Vec<Matcher> = name.map(|n| Matcher::equal(METRIC_NAME, n)).into_iter().collect();
        if self.accept(TokenKind::LeftBrace)? {
            self.matchers(&mut matchers)?;
        }
        let selector =
            VectorSelector { name: name.map(Into::into), matchers, offset: None, at: None, mode: None };
        let span = self.span_from(start);
        Ok(self.push(NodeKind::Selector(Box::new(selector)), span))
    }

    fn matchers(&mut self, matchers: &mut Vec<Matcher>) -> Result<(), ParseError> {
        while !self.accept(TokenKind::RightBrace)? {
            let label = self.token;
            if !matches!(label.kind, TokenKind::Identifier | TokenKind::String) {
                return self.unexpected(CONTEXT, "identifier or \"}\"");
            }
            if matchers.len() > LIST_MAX {
                return self.fail(label.span, format!("more than {LIST_MAX} matchers in one selector"));
            }
            self.advance()?;
            matchers.push(self.matcher(label)?);
            if self.token.kind != TokenKind::RightBrace && !self.accept(TokenKind::Comma)? {
                return self.unexpected(CONTEXT, "\",\" or \"}\"");
            }
        }
        Ok(())
    }

    fn matcher(&mut self, label: Token) -> Result<Matcher, ParseError> {
        let op = match self.token.kind {
            TokenKind::Assign => MatchOp::Equal,
            TokenKind::Operator(BinaryOp::NotEqual) => MatchOp::NotEqual,
            TokenKind::MatchRegex => MatchOp::Regex,
            TokenKind::MatchNotRegex => MatchOp::NotRegex,
            _ if label.kind == TokenKind::String => {
                return Ok(Matcher::equal(METRIC_NAME, self.utf8(label)?));
            }
            _ => return self.unexpected(CONTEXT, "label matching operator"),
        };
        self.advance()?;
        if self.token.kind != TokenKind::String {
            return self.unexpected(CONTEXT, "string");
        }
        let name = match label.kind {
            TokenKind::String => self.utf8(label)?,
            _ => self.text(label.span).to_owned(),
        };
        let matcher = match (op, text::unquote(self.text(self.token.span))) {
            (MatchOp::Regex | MatchOp::NotRegex, bytes) => String::from_utf8(bytes)
                .map_err(|error| RegexpError::not_utf8(error.as_bytes()))
                .and_then(|pattern| Matcher::new(op, name, pattern)),
            _ => Matcher::new(op, name, self.utf8(self.token)?),
        };
        let matcher = matcher.or_else(|error| self.fail(label.span, error.to_string()))?;
        self.pattern_bytes += matcher.pattern_size_bytes();
        if self.pattern_bytes > PATTERN_BYTES_MAX {
            let most = PATTERN_BYTES_MAX >> 20;
            return self
                .fail(label.span, format!("regular expressions of one query may take {most} MiB in all"));
        }
        // What follows is read last: a fault in it comes after one in the matcher.
        self.advance()?;
        Ok(matcher)
    }

    /// Decodes a string token that must be UTF-8, as all label names and values are.
    pub(super) fn utf8(&self, token: Token) -> Result<String, ParseError> {
        String::from_utf8(text::unquote(self.text(token.span))).or_else(|error| {
            let quoted = text::quote_bytes(error.as_bytes());
            self.fail(token.span, format!("label names and values must be UTF-8, got {quoted}"))
        })
    }
}
