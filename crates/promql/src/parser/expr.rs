//! Expressions: operators by precedence, and what stands between them.

use super::text;
use super::token::{Keyword, TokenKind};
use super::{Gate, Parser};
use crate::ast::{Binary, BinaryOp, Matching, NodeId, NodeKind, UnaryOp};
use crate::error::ParseError;
use crate::function::Function;

/// How tightly an operand of a sign binds: only `^` binds tighter.
const SIGN_OPERAND: u8 = 7;

impl Parser<'_> {
    /// Parses an expression of operators that bind at least as tightly as `precedence_min`.
    pub(super) fn expression(&mut self, precedence_min: u8) -> Result<NodeId, ParseError> {
        self.enter()?;
        let mut lhs = self.signed()?;
        while let Some(op) = self.token.kind.operator() {
            if op.precedence() < precedence_min {
                break;
            }
            lhs = self.binary(lhs, op)?;
        }
        self.depth -= 1;
        Ok(lhs)
    }

    fn signed(&mut self) -> Result<NodeId, ParseError> {
        let op = match self.token.kind {
            TokenKind::Operator(BinaryOp::Add) => UnaryOp::Plus,
            TokenKind::Operator(BinaryOp::Sub) => UnaryOp::Minus,
            _ => {
                let primary = self.primary()?;
                return self.postfix(primary);
            }
        };
        let start = self.advance()?.span.start;
        let operand = self.expression(SIGN_OPERAND)?;
        let node = &mut self.nodes[operand.index()];
        if let NodeKind::Number(value) | NodeKind::Duration(value) = &mut node.kind {
            if op == UnaryOp::Minus {
                *value = -*value;
            }
            node.span.start = start;
            return Ok(operand);
        }
        let span = self.span_from(start);
        Ok(self.push(NodeKind::Unary(op, operand), span))
    }

    fn binary(&mut self, lhs: NodeId, op: BinaryOp) -> Result<NodeId, ParseError> {
        let op_span = self.advance()?.span;
        let return_bool = self.accept(TokenKind::Keyword(Keyword::Bool))?;
        let matching = self.matching()?;
        let tighter = op.precedence() + u8::from(!op.is_right_associative());
        let rhs = self.expression(tighter)?;
        let span = self.span(lhs).to(self.span(rhs));
        let binary = Binary { op, op_span, lhs, rhs, return_bool, matching: matching.unwrap_or_default() };
        Ok(self.push(NodeKind::Binary(Box::new(binary)), span))
    }

    fn matching(&mut self) -> Result<Option<Matching>, ParseError> {
        let mut matching = Matching::default();
        let on = match self.token.kind {
            TokenKind::Keyword(Keyword::On) => true,
            TokenKind::Keyword(Keyword::Ignoring) => false,
            _ => {
                let filled = self.fill(&mut matching)?;
                return Ok(filled.then_some(matching));
            }
        };
        self.advance()?;
        matching.on = on;
        matching.labels = self.grouping_labels()?;
        self.group_modifier(&mut matching)?;
        self.fill(&mut matching)?;
        Ok(Some(matching))
    }

    fn primary(&mut self) -> Result<NodeId, ParseError> {
        let token = self.token;
        match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                let value = self.number()?;
                let is_number = token.kind == TokenKind::Number;
                let kind = if is_number { NodeKind::Number(value) } else { NodeKind::Duration(value) };
                Ok(self.push(kind, token.span))
            }
            TokenKind::String => {
                self.advance()?;
                let bytes = text::unquote(self.text(token.span));
                Ok(self.push(NodeKind::String(bytes.into()), token.span))
            }
            TokenKind::LeftParen => {
                self.advance()?;
                let inner = self.expression(0)?;
                if !self.accept(TokenKind::RightParen)? {
                    return self.unexpected("", "");
                }
                let span = self.span_from(token.span.start);
                Ok(self.push(NodeKind::Paren(inner), span))
            }
            TokenKind::LeftBrace => self.selector(None),
            TokenKind::Identifier | TokenKind::MetricIdentifier => {
                self.advance()?;
                if token.kind == TokenKind::Identifier && self.token.kind == TokenKind::LeftParen {
                    return self.call(token.span);
                }
                self.selector(Some(token.span))
            }
            TokenKind::Keyword(keyword) => self.keyword(keyword),
            _ => self.unexpected("", ""),
        }
    }

    /// Consumes a number or duration token and returns its value, durations in seconds.
    pub(super) fn number(&mut self) -> Result<f64, ParseError> {
        let token = self.token;
        let value = match token.kind {
            TokenKind::Number => text::parse_number(self.text(token.span)),
            _ => text::parse_duration(self.text(token.span)),
        };
        let value = value.or_else(|message| self.fail(token.span, message))?;
        self.advance()?;
        Ok(value)
    }

    fn keyword(&mut self, keyword: Keyword) -> Result<NodeId, ParseError> {
        if !keyword.is_metric_name() {
            return self.unexpected("", "");
        }
        let token = self.advance()?;
        let next = self.token.kind;
        match keyword {
            Keyword::Aggregate(op)
                if matches!(
                    next,
                    TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without)
                ) =>
            {
                self.aggregate(op, token.span)
            }
            Keyword::Start
            | Keyword::End
            | Keyword::Step
            | Keyword::Range
            | Keyword::MinOf
            | Keyword::MaxOf
                if next == TokenKind::LeftParen =>
            {
                self.call(token.span)
            }
            _ => self.selector(Some(token.span)),
        }
    }

    fn call(&mut self, name_span: crate::ast::Span) -> Result<NodeId, ParseError> {
        let args = self.arguments()?;
        // As in Prometheus, after the arguments and before what follows: the first fault in this order is told.
        let name = self.text(name_span);
        let Some(function) = Function::find(name) else {
            let name = model::labels::quote(name);
            return self.fail(name_span, format!("unknown function with name {name}"));
        };
        if function.experimental && self.options.experimental_functions == Gate::Closed {
            let name = model::labels::quote(name);
            return self.fail(name_span, format!("function {name} is not enabled"));
        }
        self.advance()?;
        let span = self.span_from(name_span.start);
        Ok(self.push(NodeKind::Call(function, args), span))
    }

    /// Parses arguments in parentheses; the closing one is then the current token.
    pub(super) fn arguments(&mut self) -> Result<Vec<NodeId>, ParseError> {
        if !self.accept(TokenKind::LeftParen)? {
            return self.unexpected("", "");
        }
        let mut args = Vec::new();
        if self.token.kind == TokenKind::RightParen {
            return Ok(args);
        }
        loop {
            args.push(self.expression(0)?);
            if self.token.kind == TokenKind::RightParen {
                return Ok(args);
            }
            let comma = self.token.span;
            if !self.accept(TokenKind::Comma)? {
                return self.unexpected("", "");
            }
            if !may_begin(self.token.kind) {
                return self.fail(comma, "trailing commas not allowed in function call args");
            }
        }
    }
}

/// Tells whether an expression may begin with a token; not every keyword that this says yes to is one of them.
fn may_begin(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Number
        | TokenKind::Duration
        | TokenKind::String
        | TokenKind::LeftParen
        | TokenKind::LeftBrace
        | TokenKind::Identifier
        | TokenKind::MetricIdentifier
        | TokenKind::Keyword(_) => true,
        TokenKind::Operator(op) => matches!(op, BinaryOp::Add | BinaryOp::Sub),
        _ => false,
    }
}
