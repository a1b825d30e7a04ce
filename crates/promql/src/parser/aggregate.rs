//! Aggregations, label lists, and the modifiers of binary operators.

use super::token::{Keyword, TokenKind};
use super::{Gate, LIST_MAX, Parser};
use crate::ast::{Aggregate, AggregateOp, BinaryOp, Cardinality, Matching, NodeId, NodeKind, Span};
use crate::error::ParseError;

const CONTEXT: &str = "grouping opts";

impl Parser<'_> {
    /// Parses what follows an aggregation operator.
    pub(super) fn aggregate(&mut self, op: AggregateOp, op_span: Span) -> Result<NodeId, ParseError> {
        self.aggregations += 1;
        let before = self.grouping()?;
        let mut args = self.arguments()?;
        self.advance()?;
        self.aggregations -= 1;
        let (without, grouping) = match before {
            Some(grouping) => grouping,
            None => self.grouping()?.unwrap_or_default(),
        };
        let span = self.span_from(op_span.start);
        if op.is_experimental() && self.options.experimental_functions == Gate::Closed {
            let flag = "--enable-feature=promql-experimental-functions";
            return self.fail(op_span, format!("{op}() is experimental and must be enabled with {flag}"));
        }
        if args.is_empty() {
            return self.fail(span, "no arguments for aggregate expression provided");
        }
        let expected = 1 + usize::from(op.has_param());
        if args.len() != expected {
            let found = args.len();
            let message = "wrong number of arguments for aggregate expression provided";
            return self.fail(span, format!("{message}, expected {expected}, got {found}"));
        }
        let expr = args.pop().expect("there is at least one argument");
        let aggregate = Aggregate { op, expr, param: args.pop(), grouping, without };
        Ok(self.push(NodeKind::Aggregate(Box::new(aggregate)), span))
    }

    /// Parses `by (...)` or `without (...)`, if it is there; the flag says `without`.
    fn grouping(&mut self) -> Result<Option<(bool, Vec<String>)>, ParseError> {
        let without = match self.token.kind {
            TokenKind::Keyword(Keyword::By) => false,
            TokenKind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.advance()?;
        Ok(Some((without, self.grouping_labels()?)))
    }

    /// Parses label names in parentheses; one trailing comma is allowed.
    pub(super) fn grouping_labels(&mut self) -> Result<Vec<String>, ParseError> {
        if !self.accept(TokenKind::LeftParen)? {
            return self.unexpected(CONTEXT, "\"(\"");
        }
        let mut labels = Vec::new();
        while !self.accept(TokenKind::RightParen)? {
            if labels.len() == LIST_MAX {
                return self.fail(self.token.span, format!("more than {LIST_MAX} label names in one list"));
            }
            labels.push(self.grouping_label()?);
            if self.token.kind != TokenKind::RightParen && !self.accept(TokenKind::Comma)? {
                return self.unexpected(CONTEXT, "\",\" or \")\"");
            }
        }
        Ok(labels)
    }

    fn grouping_label(&mut self) -> Result<String, ParseError> {
        let token = self.token;
        let label = match token.kind {
            TokenKind::Identifier => self.text(token.span).to_owned(),
            TokenKind::Keyword(keyword) if keyword.is_label() => self.text(token.span).to_owned(),
            TokenKind::String => {
                let label = self.utf8(token)?;
                if label.is_empty() {
                    return self.fail(token.span, "invalid label name for grouping: \"\"");
                }
                label
            }
            _ => return self.unexpected(CONTEXT, "label"),
        };
        self.advance()?;
        Ok(label)
    }

    /// Parses `group_left` or `group_right` with its labels, if it is there.
    pub(super) fn group_modifier(&mut self, matching: &mut Matching) -> Result<(), ParseError> {
        matching.cardinality = match self.token.kind {
            TokenKind::Keyword(Keyword::GroupLeft) => Cardinality::ManyToOne,
            TokenKind::Keyword(Keyword::GroupRight) => Cardinality::OneToMany,
            _ => return Ok(()),
        };
        self.advance()?;
        if self.token.kind == TokenKind::LeftParen {
            matching.include = self.grouping_labels()?;
        }
        Ok(())
    }

    /// Parses `fill`, `fill_left`, `fill_right`; tells whether there was any.
    pub(super) fn fill(&mut self, matching: &mut Matching) -> Result<bool, ParseError> {
        let mut found = false;
        loop {
            let keyword = self.token.kind;
            let slots = match keyword {
                TokenKind::Keyword(Keyword::Fill) => (true, true),
                TokenKind::Keyword(Keyword::FillLeft) => (true, false),
                TokenKind::Keyword(Keyword::FillRight) => (false, true),
                _ => return Ok(found),
            };
            let taken = slots.0 && matching.fill_left.is_some() || slots.1 && matching.fill_right.is_some();
            if taken {
                return self.unexpected("", "");
            }
            let span = self.advance()?.span;
            if self.options.fill_modifiers == Gate::Closed {
                return self.fail(span, "binop fill modifiers are experimental and not enabled");
            }
            let value = Some(self.fill_value()?);
            if slots.0 {
                matching.fill_left = value;
            }
            if slots.1 {
                matching.fill_right = value;
            }
            found = true;
        }
    }

    fn fill_value(&mut self) -> Result<f64, ParseError> {
        if !self.accept(TokenKind::LeftParen)? {
            return self.unexpected("fill modifier", "\"(\"");
        }
        let negative = self.token.kind == TokenKind::Operator(BinaryOp::Sub);
        if negative || self.token.kind == TokenKind::Operator(BinaryOp::Add) {
            self.advance()?;
        }
        if !matches!(self.token.kind, TokenKind::Number | TokenKind::Duration) {
            return self.unexpected("fill modifier", "number");
        }
        let value = self.number()?;
        if !self.accept(TokenKind::RightParen)? {
            return self.unexpected("fill modifier", "\")\"");
        }
        Ok(if negative { -value } else { value })
    }
}
