//! Text to [`Expr`]: a hand-written lexer and a Pratt parser.
//!
//! Linear in the length of the text; recursion only for what really nests, at most [`NESTING_MAX`] deep; no input makes
//! it panic. Errors carry the place and Prometheus's wording (`promql/parser` of Prometheus 3 is the reference).
//!
//! 1. [`lexer`] reads tokens on demand.
//! 2. `expr`, `selector`, `postfix`, `duration` and `aggregate` build nodes, children first.
//! 3. [`check`] goes over all nodes once and holds the types against each other.

mod aggregate;
mod check;
mod duration;
mod expr;
mod lexer;
mod postfix;
mod selector;
pub(crate) mod text;
mod token;

use lexer::Lexer;
use model::Matcher;
use token::{Token, TokenKind};

use crate::ast::{Expr, Node, NodeId, NodeKind, Span};
use crate::error::ParseError;

/// How deep expressions may nest. Each level costs a few stack frames here; real queries stay below twenty.
pub const NESTING_MAX: usize = 200;

/// How much memory the compiled regular expressions of one query may take. A single one is bounded by the dialect; a long
/// query may hold thousands.
const PATTERN_BYTES_MAX: usize = 64 << 20;

/// The most label names in one list, and matchers in one selector: as many labels as a series may have. Each is looked at for
/// each series.
const LIST_MAX: usize = 1024;

/// Which parts of the language are open that a stock Prometheus keeps behind a gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParserOptions {
    /// `promql-experimental-functions`: 17 functions, `limitk`, `limit_ratio`.
    pub experimental_functions: Gate,
    /// `promql-extended-range-selectors`: `anchored`, `smoothed`.
    pub extended_range_selectors: Gate,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left`, `fill_right`.
    pub fill_modifiers: Gate,
}

/// Whether a feature may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gate {
    /// It is refused with an error that names it.
    #[default]
    Closed,
    /// It is allowed.
    Open,
}

impl ParserOptions {
    /// Returns options with all gates open.
    pub fn everything() -> Self {
        Self {
            experimental_functions: Gate::Open,
            extended_range_selectors: Gate::Open,
            fill_modifiers: Gate::Open,
        }
    }
}

/// Parses and type-checks a query as a stock Prometheus does.
///
/// # Errors
/// [`ParseError`] with the first fault.
pub fn parse(query: &str) -> Result<Expr, ParseError> {
    parse_with(query, ParserOptions::default())
}

/// Parses and type-checks a query, with chosen gates.
///
/// # Errors
/// [`ParseError`] with the first fault.
pub fn parse_with(query: &str, options: ParserOptions) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(query, options)?;
    if parser.token.kind == TokenKind::End {
        return parser.fail(Span::default(), "no expression found in input");
    }
    parser.expression(0)?;
    parser.expect_end()?;
    let expr = Expr { nodes: parser.nodes };
    check::check(query, &expr)?;
    Ok(expr)
}

/// Parses a series selector, as in `match[]`: a metric name, matchers in braces, or both.
///
/// # Errors
/// [`ParseError`] when the text is anything else, or every matcher accepts the empty text.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let (matchers, start) = lone_matchers(text)?;
    if matchers.iter().all(Matcher::matches_empty) {
        let message = "match[] must contain at least one non-empty matcher";
        return Err(ParseError::at(text, start, message));
    }
    Ok(matchers)
}

/// Parses a series selector that may select everything, such as `{}`.
///
/// # Errors
/// [`ParseError`] when the text is anything else.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, ParseError> {
    lone_matchers(text).map(|(matchers, _)| matchers)
}

/// Parses a selector; returns its matchers and where it begins.
fn lone_matchers(text: &str) -> Result<(Vec<Matcher>, u32), ParseError> {
    let mut parser = Parser::new(text, ParserOptions::default())?;
    let id = parser.lone_selector()?;
    parser.expect_end()?;
    let Node { kind: NodeKind::Selector(selector), span } = parser.nodes.swap_remove(id.index()) else {
        unreachable!("a selector was parsed");
    };
    Ok((selector.matchers, span.start))
}

/// The state of one parse: one token of look-ahead and the nodes so far.
struct Parser<'a> {
    query: &'a str,
    lexer: Lexer<'a>,
    token: Token,
    /// Where the last consumed token ended.
    last_end: u32,
    nodes: Vec<Node>,
    depth: usize,
    /// What the compiled patterns take so far.
    pattern_bytes: usize,
    /// How many aggregations are open around the current token: errors say that they are in one.
    aggregations: usize,
    options: ParserOptions,
}

impl<'a> Parser<'a> {
    fn new(query: &'a str, options: ParserOptions) -> Result<Self, ParseError> {
        if u32::try_from(query.len()).is_err() {
            return Err(ParseError::at("", 0, "query is longer than 4 GiB"));
        }
        let mut lexer = Lexer::new(query);
        let token = lexer.next()?;
        Ok(Self {
            query,
            lexer,
            token,
            last_end: 0,
            nodes: Vec::new(),
            depth: 0,
            pattern_bytes: 0,
            aggregations: 0,
            options,
        })
    }

    /// Returns the current token and reads the next one.
    fn advance(&mut self) -> Result<Token, ParseError> {
        let token = self.token;
        self.last_end = token.span.end;
        self.token = self.lexer.next()?;
        Ok(token)
    }

    /// Consumes the current token when it is of a kind.
    fn accept(&mut self, kind: TokenKind) -> Result<bool, ParseError> {
        let found = self.token.kind == kind;
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn text(&self, span: Span) -> &'a str {
        &self.query[span.start as usize..span.end as usize]
    }

    fn fail<T>(&self, span: Span, message: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError::at(self.query, span.start, message))
    }

    /// Fails on the current token: `unexpected X in CONTEXT, expected Y`.
    fn unexpected<T>(&self, context: &str, expected: &str) -> Result<T, ParseError> {
        let found = self.token.kind.describe(self.text(self.token.span));
        let context = if context.is_empty() && self.aggregations > 0 { "aggregation" } else { context };
        let context = if context.is_empty() { String::new() } else { format!(" in {context}") };
        let expected = if expected.is_empty() { String::new() } else { format!(", expected {expected}") };
        self.fail(self.token.span, format!("unexpected {found}{context}{expected}"))
    }

    fn expect_end(&self) -> Result<(), ParseError> {
        if self.token.kind == TokenKind::End { Ok(()) } else { self.unexpected("", "") }
    }

    fn push(&mut self, kind: NodeKind, span: Span) -> NodeId {
        self.nodes.push(Node { kind, span });
        NodeId((self.nodes.len() - 1) as u32)
    }

    fn span(&self, id: NodeId) -> Span {
        self.nodes[id.index()].span
    }

    /// Returns the span from a start to the end of the last consumed token.
    fn span_from(&self, start: u32) -> Span {
        Span { start, end: self.last_end }
    }

    fn enter(&mut self) -> Result<(), ParseError> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return self
                .fail(self.token.span, format!("expression is nested more than {NESTING_MAX} levels deep"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
