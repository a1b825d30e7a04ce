//! Durations: constants, and arithmetic inside brackets and after `offset`.

use super::Parser;
use super::token::{Keyword, TokenKind};
use crate::ast::{BinaryOp, DurationError, DurationExpr, DurationOp, DurationSpec};
use crate::error::ParseError;

const EXPECTED: &str = "number, duration, step(), or range()";
/// How tightly the operand of a sign binds in a duration: only `^` binds tighter.
const SIGN_OPERAND: u8 = 7;

/// Where a duration stands, for error texts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum DurationContext {
    Range,
    Step,
    Offset,
}

impl DurationContext {
    fn as_str(self) -> &'static str {
        match self {
            Self::Range => "subquery or range selector",
            Self::Step => "subquery selector",
            Self::Offset => "offset",
        }
    }
}

impl Parser<'_> {
    /// Parses the duration of a range or of a subquery's step: longer than nothing.
    pub(super) fn bracket_duration(&mut self, context: DurationContext) -> Result<DurationSpec, ParseError> {
        let start = self.token.span;
        let mut expr = DurationExpr::default();
        self.duration(&mut expr, 0, context)?;
        let spec = expr.into_spec().or_else(|error| self.fail(start, error.to_string()))?;
        match spec {
            DurationSpec::Constant(ms) if ms <= 0 => self.fail(start, DurationError::NotPositive.to_string()),
            spec => Ok(spec),
        }
    }

    /// Parses one operand with at most one sign.
    pub(super) fn offset_duration(&mut self) -> Result<DurationSpec, ParseError> {
        let start = self.token.span;
        let mut expr = DurationExpr::default();
        let sign = self.duration_sign()?;
        self.duration_operand(&mut expr, DurationContext::Offset)?;
        expr.ops.extend(sign);
        expr.into_spec().or_else(|error| self.fail(start, error.to_string()))
    }

    fn duration_sign(&mut self) -> Result<Option<DurationOp>, ParseError> {
        let sign = match self.token.kind {
            TokenKind::Operator(BinaryOp::Add) => Some(DurationOp::Plus),
            TokenKind::Operator(BinaryOp::Sub) => Some(DurationOp::Minus),
            _ => None,
        };
        if sign.is_some() {
            self.advance()?;
        }
        Ok(sign)
    }

    fn duration(
        &mut self,
        expr: &mut DurationExpr,
        precedence_min: u8,
        context: DurationContext,
    ) -> Result<(), ParseError> {
        self.enter()?;
        match self.duration_sign()? {
            Some(sign) => {
                self.duration(expr, SIGN_OPERAND, context)?;
                expr.ops.push(sign);
            }
            None => self.duration_operand(expr, context)?,
        }
        while let TokenKind::Operator(op) = self.token.kind {
            let Some(duration_op) = duration_op(op).filter(|_| op.precedence() >= precedence_min) else {
                break;
            };
            let span = self.advance()?.span;
            let before = expr.ops.len();
            self.duration(expr, op.precedence() + u8::from(!op.is_right_associative()), context)?;
            if let [DurationOp::Number(0.0) | DurationOp::Duration(0.0)] = expr.ops[before..] {
                match duration_op {
                    DurationOp::Div => {
                        return self.fail(span, DurationError::DivisionByZero.to_string());
                    }
                    DurationOp::Mod => return self.fail(span, DurationError::ModuloByZero.to_string()),
                    _ => {}
                }
            }
            expr.ops.push(duration_op);
        }
        self.depth -= 1;
        Ok(())
    }

    fn duration_operand(
        &mut self,
        expr: &mut DurationExpr,
        context: DurationContext,
    ) -> Result<(), ParseError> {
        match self.token.kind {
            TokenKind::Number => {
                let seconds = self.number()?;
                expr.ops.push(DurationOp::Number(seconds));
            }
            TokenKind::Duration => {
                let seconds = self.number()?;
                expr.ops.push(DurationOp::Duration(seconds));
            }
            TokenKind::Keyword(word @ (Keyword::Step | Keyword::Range)) => {
                self.advance()?;
                self.open_paren(context)?;
                self.close_paren(context)?;
                expr.ops.push(if word == Keyword::Step { DurationOp::Step } else { DurationOp::Range });
            }
            TokenKind::Keyword(word @ (Keyword::MinOf | Keyword::MaxOf)) => {
                self.advance()?;
                self.open_paren(context)?;
                self.duration(expr, 0, context)?;
                if !self.accept(TokenKind::Comma)? {
                    return self.unexpected(context.as_str(), EXPECTED);
                }
                self.duration(expr, 0, context)?;
                self.close_paren(context)?;
                expr.ops.push(if word == Keyword::MinOf { DurationOp::Min } else { DurationOp::Max });
            }
            TokenKind::LeftParen => {
                self.advance()?;
                self.duration(expr, 0, context)?;
                self.close_paren(context)?;
                expr.ops.push(DurationOp::Paren);
            }
            _ => return self.unexpected(context.as_str(), EXPECTED),
        }
        Ok(())
    }

    fn open_paren(&mut self, context: DurationContext) -> Result<(), ParseError> {
        if self.accept(TokenKind::LeftParen)? { Ok(()) } else { self.unexpected(context.as_str(), EXPECTED) }
    }

    fn close_paren(&mut self, context: DurationContext) -> Result<(), ParseError> {
        if self.accept(TokenKind::RightParen)? { Ok(()) } else { self.unexpected(context.as_str(), EXPECTED) }
    }
}

fn duration_op(op: BinaryOp) -> Option<DurationOp> {
    Some(match op {
        BinaryOp::Add => DurationOp::Add,
        BinaryOp::Sub => DurationOp::Sub,
        BinaryOp::Mul => DurationOp::Mul,
        BinaryOp::Div => DurationOp::Div,
        BinaryOp::Mod => DurationOp::Mod,
        BinaryOp::Pow => DurationOp::Pow,
        _ => return None,
    })
}
