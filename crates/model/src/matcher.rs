//! Matchers: one label name, one of four operators, one value.
//!
//! Patterns are those of [`crate::regexp`], for the whole value. Indexes ask a matcher for its literal values or their
//! beginning, so that they can look values up instead of scanning.

use std::fmt;
use std::sync::Arc;

use crate::regexp::{Regexp, RegexpError};

/// The four operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// Returns the operator as PromQL writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// A condition on one label. An absent label has the value `""`.
#[derive(Clone)]
pub struct Matcher {
    /// The label's name.
    pub name: Arc<str>,
    /// The operator.
    pub op: MatchOp,
    /// The value or the pattern, as written.
    pub value: Arc<str>,
    pattern: Option<Regexp>,
}

impl Matcher {
    /// Makes a matcher.
    ///
    /// # Errors
    /// [`RegexpError`] when a pattern is not a regular expression or is too large.
    pub fn new(
        op: MatchOp,
        name: impl Into<Arc<str>>,
        value: impl Into<Arc<str>>,
    ) -> Result<Self, RegexpError> {
        let (name, value) = (name.into(), value.into());
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Regexp::for_matching(&value)?),
        };
        Ok(Self { name, op, value, pattern })
    }

    /// Makes the matcher `name="value"`, which cannot fail.
    pub fn equal(name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), pattern: None }
    }

    /// Tells whether a label's value satisfies the condition; pass `""` for an absent label.
    pub fn matches(&self, value: &str) -> bool {
        match (&self.pattern, self.op) {
            (None, op) => (*self.value == *value) == (op == MatchOp::Equal),
            (Some(pattern), op) => pattern.is_match(value) == (op == MatchOp::Regex),
        }
    }

    /// Tells whether a series without the label satisfies the condition.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// Tells whether the operator is `!=` or `!~`.
    pub fn is_negative(&self) -> bool {
        matches!(self.op, MatchOp::NotEqual | MatchOp::NotRegex)
    }

    /// Returns about how many bytes the compiled pattern takes; 0 without one.
    pub fn pattern_size_bytes(&self) -> usize {
        self.pattern.as_ref().map_or(0, Regexp::size_bytes)
    }

    /// Returns the values that the positive form of this matcher can match, when they are few and known.
    ///
    /// For `=` and `!=` that is the value itself; for patterns what [`Regexp::set_matches`] says. Sorted, each once.
    pub fn literal_values(&self) -> Option<Vec<&str>> {
        match &self.pattern {
            None => Some(vec![&self.value]),
            Some(pattern) => pattern.set_matches().map(|set| set.iter().map(String::as_str).collect()),
        }
    }

    /// Returns what every value begins with that the positive form of this matcher matches; may be empty.
    pub fn literal_prefix(&self) -> &str {
        self.pattern.as_ref().map_or(&self.value, Regexp::prefix)
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.name, self.op.as_str(), crate::labels::quote(&self.value))
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(op: MatchOp, pattern: &str, yes: &[&str], no: &[&str]) {
        let matcher = Matcher::new(op, "l", pattern).expect(pattern);
        for value in yes {
            assert!(matcher.matches(value), "{matcher} should match {value:?}");
        }
        for value in no {
            assert!(!matcher.matches(value), "{matcher} should not match {value:?}");
        }
    }

    #[test]
    fn four_operators() {
        check(MatchOp::Equal, "a", &["a"], &["", "b", "aa"]);
        check(MatchOp::NotEqual, "a", &["", "b"], &["a"]);
        check(MatchOp::Regex, "a|b.*", &["a", "b", "bx\ny"], &["", "ax", "xa"]);
        check(MatchOp::NotRegex, "a|b.*", &["", "ax"], &["a", "bb"]);
        check(MatchOp::Regex, ".+", &["x", "\n"], &[""]);
        check(MatchOp::Regex, "", &[""], &["x"]);
        check(MatchOp::Regex, "(?i)pod", &["POD", "pod"], &["pods"]);
        check(MatchOp::Regex, "pod-[0-9]+", &["pod-12"], &["pod-", "xpod-1"]);
    }

    #[test]
    fn knows_its_literals_and_prefix() {
        let matcher = |p: &str| Matcher::new(MatchOp::Regex, "l", p).expect(p);
        assert_eq!(matcher("a|bc|d(e|f)").literal_values(), Some(vec!["a", "bc", "de", "df"]));
        assert_eq!(matcher("").literal_values(), Some(vec![""]));
        assert_eq!(matcher("a.*").literal_values(), None);
        assert_eq!(matcher("pod-7-.*").literal_prefix(), "pod-7-");
        assert_eq!(matcher("(?i)abc").literal_prefix(), "");
    }
}
