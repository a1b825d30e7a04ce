//! Tokens, keywords, and how error texts call them.

use crate::ast::{AggregateOp, BinaryOp, Span};

/// What the lexer found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    End,
    /// A word without `:`.
    Identifier,
    /// A word with `:`.
    MetricIdentifier,
    Keyword(Keyword),
    String,
    Number,
    Duration,
    LeftBrace,
    RightBrace,
    LeftParen,
    RightParen,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `=`
    Assign,
    /// `=~`
    MatchRegex,
    /// `!~`
    MatchNotRegex,
    At,
    /// A symbol; operators that are words are keywords.
    Operator(BinaryOp),
}

/// A word with a meaning in some places; case does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Operator(BinaryOp),
    Aggregate(AggregateOp),
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
    Start,
    End,
    Step,
    Range,
    MinOf,
    MaxOf,
    Inf,
    Nan,
}

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

impl Keyword {
    /// Finds the keyword of a word.
    pub(crate) fn of(word: &str) -> Option<Self> {
        // The longest keyword has twelve letters.
        if word.len() > 12 {
            return None;
        }
        let word = word.to_ascii_lowercase();
        if let Some(op) = AggregateOp::ALL.into_iter().find(|op| op.as_str() == word) {
            return Some(Self::Aggregate(op));
        }
        Some(match word.as_str() {
            "and" => Self::Operator(BinaryOp::And),
            "or" => Self::Operator(BinaryOp::Or),
            "unless" => Self::Operator(BinaryOp::Unless),
            "atan2" => Self::Operator(BinaryOp::Atan2),
            "offset" => Self::Offset,
            "smoothed" => Self::Smoothed,
            "anchored" => Self::Anchored,
            "by" => Self::By,
            "without" => Self::Without,
            "on" => Self::On,
            "ignoring" => Self::Ignoring,
            "group_left" => Self::GroupLeft,
            "group_right" => Self::GroupRight,
            "fill" => Self::Fill,
            "fill_left" => Self::FillLeft,
            "fill_right" => Self::FillRight,
            "bool" => Self::Bool,
            "start" => Self::Start,
            "end" => Self::End,
            "step" => Self::Step,
            "range" => Self::Range,
            "min_of" => Self::MinOf,
            "max_of" => Self::MaxOf,
            "inf" => Self::Inf,
            "nan" => Self::Nan,
            _ => return None,
        })
    }

    /// Tells whether the word may name a metric.
    pub(crate) fn is_metric_name(self) -> bool {
        !matches!(
            self,
            Self::Bool
                | Self::On
                | Self::Ignoring
                | Self::GroupLeft
                | Self::GroupRight
                | Self::Operator(BinaryOp::Atan2)
                | Self::Inf
                | Self::Nan
        )
    }

    /// Tells whether the word may name a label in a grouping.
    pub(crate) fn is_label(self) -> bool {
        !matches!(self, Self::Inf | Self::Nan)
    }
}

impl TokenKind {
    /// Returns the binary operator that the token is.
    pub(crate) fn operator(self) -> Option<BinaryOp> {
        match self {
            Self::Operator(op) | Self::Keyword(Keyword::Operator(op)) => Some(op),
            _ => None,
        }
    }

    /// Returns how an error text calls the token, given its text.
    pub(crate) fn describe(self, text: &str) -> String {
        match self {
            Self::End => "end of input".to_owned(),
            Self::Identifier => format!("identifier {}", model::labels::quote(text)),
            Self::MetricIdentifier => format!("metric identifier {}", model::labels::quote(text)),
            Self::Keyword(Keyword::Operator(_)) | Self::Operator(_) => format!("<op:{text}>"),
            Self::At | Self::MatchRegex | Self::MatchNotRegex => format!("<op:{text}>"),
            Self::Keyword(Keyword::Aggregate(_)) => format!("<aggr:{text}>"),
            Self::Keyword(Keyword::Inf | Keyword::Nan) => format!("number {}", shorten(text)),
            Self::Keyword(_) => format!("<{text}>"),
            Self::String => format!("string {}", shorten(text)),
            Self::Number => format!("number {}", shorten(text)),
            Self::Duration => format!("duration {}", shorten(text)),
            _ => shorten(text),
        }
    }
}

/// Quotes at most ten characters.
fn shorten(text: &str) -> String {
    const CHARS_MAX: usize = 10;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", model::labels::quote(&text[..end])),
        None => model::labels::quote(text),
    }
}
