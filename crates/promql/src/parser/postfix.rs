//! What follows an operand: ranges, subqueries, `offset`, `@`, `anchored`, `smoothed`.

use super::duration::DurationContext;
use super::token::{Keyword, TokenKind};
use super::{Gate, Parser};
use crate::ast::{
    AtModifier, BinaryOp, DurationSpec, NodeId, NodeKind, RangeMode, Span, Subquery, VectorSelector,
};
use crate::error::ParseError;

/// Where an offset or a fixed time is kept: on a selector or a subquery.
enum Target<'a> {
    Selector(&'a mut VectorSelector),
    Subquery(&'a mut Subquery),
}

impl Target<'_> {
    fn offset(&mut self) -> &mut Option<DurationSpec> {
        match self {
            Self::Selector(selector) => &mut selector.offset,
            Self::Subquery(subquery) => &mut subquery.offset,
        }
    }

    fn at(&mut self) -> &mut Option<AtModifier> {
        match self {
            Self::Selector(selector) => &mut selector.at,
            Self::Subquery(subquery) => &mut subquery.at,
        }
    }
}

impl Parser<'_> {
    /// Parses all that follows an operand.
    pub(super) fn postfix(&mut self, mut operand: NodeId) -> Result<NodeId, ParseError> {
        loop {
            match self.token.kind {
                TokenKind::LeftBracket => operand = self.range(operand)?,
                TokenKind::Keyword(Keyword::Offset) => self.offset(operand)?,
                TokenKind::At => self.at(operand)?,
                TokenKind::Keyword(Keyword::Anchored) => self.mode(operand, RangeMode::Anchored)?,
                TokenKind::Keyword(Keyword::Smoothed) => self.mode(operand, RangeMode::Smoothed)?,
                _ => return Ok(operand),
            }
        }
    }

    fn range(&mut self, operand: NodeId) -> Result<NodeId, ParseError> {
        let bracket = self.advance()?.span;
        let range = self.bracket_duration(DurationContext::Range)?;
        let start = self.span(operand).start;
        if self.accept(TokenKind::Colon)? {
            let step = match self.token.kind {
                TokenKind::RightBracket => None,
                _ => Some(self.bracket_duration(DurationContext::Step)?),
            };
            self.close_bracket(DurationContext::Step)?;
            let subquery = Subquery { expr: operand, range, step, offset: None, at: None };
            let span = self.span_from(start);
            return Ok(self.push(NodeKind::Subquery(Box::new(subquery)), span));
        }
        self.close_bracket(DurationContext::Range)?;
        let problem = match &self.nodes[operand.index()].kind {
            NodeKind::Selector(selector) if selector.offset.is_some() => {
                "no offset modifiers allowed before range"
            }
            NodeKind::Selector(selector) if selector.at.is_some() => "no @ modifiers allowed before range",
            NodeKind::Selector(_) => {
                let span = self.span_from(start);
                return Ok(self.push(NodeKind::Range(operand, range), span));
            }
            _ => "ranges only allowed for vector selectors",
        };
        self.fail(bracket, problem)
    }

    fn close_bracket(&mut self, context: DurationContext) -> Result<(), ParseError> {
        if self.accept(TokenKind::RightBracket)? {
            return Ok(());
        }
        match context {
            DurationContext::Step => self.unexpected("subquery selector", "\"]\""),
            _ => self.unexpected("subquery or range", "\":\" or \"]\""),
        }
    }

    /// Finds where the modifiers of an operand are kept.
    fn target(&mut self, operand: NodeId) -> Option<Target<'_>> {
        let id = match self.nodes[operand.index()].kind {
            NodeKind::Range(selector, _) => selector,
            _ => operand,
        };
        match &mut self.nodes[id.index()].kind {
            NodeKind::Selector(selector) => Some(Target::Selector(selector)),
            NodeKind::Subquery(subquery) => Some(Target::Subquery(subquery)),
            _ => None,
        }
    }

    /// Lets an operand's span, and that of the selector inside it, end here.
    fn extend(&mut self, operand: NodeId) {
        self.nodes[operand.index()].span.end = self.last_end;
    }

    fn offset(&mut self, operand: NodeId) -> Result<(), ParseError> {
        self.advance()?;
        let offset = self.offset_duration()?;
        let span = self.span(operand);
        let Some(mut target) = self.target(operand) else {
            return self.misplaced("offset", span);
        };
        if target.offset().is_some() {
            return self.fail(span, "offset may not be set multiple times");
        }
        *target.offset() = Some(offset);
        self.extend(operand);
        Ok(())
    }

    fn misplaced<T>(&self, modifier: &str, span: Span) -> Result<T, ParseError> {
        let allowed = "an instant vector selector or range vector selector or a subquery";
        self.fail(span, format!("{modifier} modifier must be preceded by {allowed}"))
    }

    fn at(&mut self, operand: NodeId) -> Result<(), ParseError> {
        self.advance()?;
        let span = self.span(operand);
        let at = self.at_time(span)?;
        let Some(mut target) = self.target(operand) else {
            return self.misplaced("@", span);
        };
        if target.at().is_some() {
            return self.fail(span, "@ <timestamp> may not be set multiple times");
        }
        *target.at() = Some(at);
        self.extend(operand);
        Ok(())
    }

    fn at_time(&mut self, operand: Span) -> Result<AtModifier, ParseError> {
        let token = self.token;
        let fixed = match token.kind {
            TokenKind::Keyword(Keyword::Start) => Some(AtModifier::Start),
            TokenKind::Keyword(Keyword::End) => Some(AtModifier::End),
            _ => None,
        };
        if let Some(fixed) = fixed {
            self.advance()?;
            if !self.accept(TokenKind::LeftParen)? || !self.accept(TokenKind::RightParen)? {
                return self.unexpected("@", "timestamp");
            }
            return Ok(fixed);
        }
        let negative = token.kind == TokenKind::Operator(BinaryOp::Sub);
        if negative || token.kind == TokenKind::Operator(BinaryOp::Add) {
            self.advance()?;
        }
        if !matches!(self.token.kind, TokenKind::Number | TokenKind::Duration) {
            return self.unexpected("@", "timestamp");
        }
        let seconds = self.number()? * if negative { -1.0 } else { 1.0 };
        // 2^63 itself does not fit any more; NaN fails as well.
        if !(seconds.abs() < i64::MAX as f64 && (seconds * 1000.0).abs() < i64::MAX as f64) {
            let shown = match seconds {
                seconds if seconds.is_finite() => format!("{seconds:.6}"),
                seconds => model::float::format_plain(seconds),
            };
            return self.fail(operand, format!("timestamp out of bounds for @ modifier: {shown}"));
        }
        Ok(AtModifier::Time((seconds * 1000.0).round() as i64))
    }

    fn mode(&mut self, operand: NodeId, mode: RangeMode) -> Result<(), ParseError> {
        let (name, other) = match mode {
            RangeMode::Anchored => ("anchored", "smoothed"),
            RangeMode::Smoothed => ("smoothed", "anchored"),
        };
        let token = self.advance()?;
        if self.options.extended_range_selectors == Gate::Closed {
            return self.fail(token.span, format!("{name} modifier is experimental and not enabled"));
        }
        let span = self.span(operand);
        match self.target(operand) {
            Some(Target::Selector(selector)) => match selector.mode {
                None => selector.mode = Some(mode),
                Some(present) if present == mode => {
                    return self.fail(span, format!("{name} may not be set multiple times"));
                }
                Some(_) => {
                    return self.fail(span, format!("{name} and {other} modifiers cannot be used together"));
                }
            },
            Some(Target::Subquery(_)) => {
                return self.fail(span, format!("{name} modifier is not supported for subqueries"));
            }
            None => {
                let allowed = "an instant vector selector or range vector selector";
                return self.fail(span, format!("{name} modifier must be preceded by {allowed}"));
            }
        }
        self.extend(operand);
        Ok(())
    }
}
