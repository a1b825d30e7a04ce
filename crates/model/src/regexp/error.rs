//! What is wrong with a pattern, in the words of Go's `regexp/syntax`.

use std::fmt;

/// Which rule a pattern breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `[b-a]`, `[[:nope:]]`, `\p{Nope}`.
    CharClassRange,
    /// `\q`, `\C`, `\1`.
    Escape,
    /// `(?P<a b>x)`.
    NamedCapture,
    /// `(?=x)` and other groups that Perl has and Go has not.
    PerlOperator,
    /// `x**`.
    NestedRepetition,
    /// `x{1001}`, `x{2,1}`, or repetitions in each other that come to more than 1,000.
    RepeatCount,
    /// The pattern's bytes are not UTF-8.
    Utf8,
    /// `[a`
    MissingBracket,
    /// `(a`
    MissingParen,
    /// `*a`
    MissingRepeatArgument,
    /// A lone backslash at the end.
    TrailingBackslash,
    /// `a)`
    UnexpectedParen,
    /// Groups and repetitions in each other, more than 1,000 deep.
    NestingDepth,
    /// The pattern would take too much memory.
    TooLarge,
}

impl Fault {
    fn as_str(self) -> &'static str {
        match self {
            Self::CharClassRange => "invalid character class range",
            Self::Escape => "invalid escape sequence",
            Self::NamedCapture => "invalid named capture",
            Self::PerlOperator => "invalid or unsupported Perl syntax",
            Self::NestedRepetition => "invalid nested repetition operator",
            Self::RepeatCount => "invalid repeat count",
            Self::Utf8 => "invalid UTF-8",
            Self::MissingBracket => "missing closing ]",
            Self::MissingParen => "missing closing )",
            Self::MissingRepeatArgument => "missing argument to repetition operator",
            Self::TrailingBackslash => "trailing backslash at end of expression",
            Self::UnexpectedParen => "unexpected )",
            Self::NestingDepth => "expression nests too deeply",
            Self::TooLarge => "expression too large",
        }
    }
}

/// Why a text is not a pattern. Prints as Go does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct RegexpError {
    /// The rule that is broken.
    pub fault: Fault,
    /// The part of the pattern that breaks it.
    pub part: String,
}

impl RegexpError {
    /// Makes the error of a pattern that is not UTF-8; the part shows from the first byte that is not.
    pub fn not_utf8(pattern: &[u8]) -> Self {
        let valid = std::str::from_utf8(pattern).map_or_else(|error| error.valid_up_to(), |_| pattern.len());
        Self { fault: Fault::Utf8, part: String::from_utf8_lossy(&pattern[valid..]).into_owned() }
    }
}

impl fmt::Display for RegexpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error parsing regexp: {}: `{}`", self.fault.as_str(), self.part)
    }
}
