//! Matchers: one label name, one of four operators, one value.
//!
//! Regular expressions are anchored and a dot matches a newline, as `^(?s:PATTERN)$` in Prometheus 3. A literal, an
//! alternation of literals and a literal prefix are recognised, so that indexes can look values up instead of scanning.

use std::fmt;
use std::sync::Arc;

use regex_automata::meta::Regex;
use regex_syntax::hir::{Class, Hir, HirKind, Literal};

/// How much memory one compiled pattern may take; a larger one is refused as too complex.
const REGEX_SIZE_BYTES_MAX: usize = 10 << 20;
/// How many literals an alternation may expand to and still be looked up one by one.
const SET_LITERALS_MAX: usize = 1024;
/// How many characters a class may have and still count as an alternation of literals.
const CLASS_LITERALS_MAX: usize = 16;

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

/// Why a matcher cannot be made.
#[derive(Clone, Debug, thiserror::Error)]
#[error("error parsing regexp: {message}")]
pub struct MatcherError {
    message: String,
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
    pattern: Option<Arc<Pattern>>,
}

struct Pattern {
    regex: Regex,
    /// All values that can match, when they are few.
    set: Option<Vec<String>>,
    /// What every matching value begins with.
    prefix: String,
}

impl Matcher {
    /// Makes a matcher.
    ///
    /// # Errors
    /// [`MatcherError`] when a pattern is not a regular expression or compiles to more than 10 MiB.
    pub fn new(
        op: MatchOp,
        name: impl Into<Arc<str>>,
        value: impl Into<Arc<str>>,
    ) -> Result<Self, MatcherError> {
        let (name, value) = (name.into(), value.into());
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Arc::new(Pattern::new(&value)?)),
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
            (Some(pattern), op) => pattern.matches(value) == (op == MatchOp::Regex),
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

    /// Returns the values that the positive form of this matcher can match, when they are few and known.
    ///
    /// For `=` and `!=` that is the value itself; for patterns the alternation's literals. Unsorted, may repeat.
    pub fn literal_values(&self) -> Option<Vec<&str>> {
        match &self.pattern {
            None => Some(vec![&self.value]),
            Some(pattern) => pattern.set.as_ref().map(|set| set.iter().map(String::as_str).collect()),
        }
    }

    /// Returns what every value begins with that the positive form of this matcher matches; may be empty.
    pub fn literal_prefix(&self) -> &str {
        self.pattern.as_ref().map_or(&self.value, |pattern| &pattern.prefix)
    }
}

impl Pattern {
    fn new(pattern: &str) -> Result<Self, MatcherError> {
        let fail = |message: String| MatcherError { message };
        let anchored = format!("^(?s:{pattern})$");
        // The pattern alone must parse, or `)(` would balance the anchors.
        regex_syntax::Parser::new().parse(pattern).map_err(|e| fail(short_message(&e)))?;
        let config = Regex::config().nfa_size_limit(Some(REGEX_SIZE_BYTES_MAX)).utf8_empty(true);
        let regex = Regex::builder().configure(config).build(&anchored);
        let regex =
            regex.map_err(|e| fail(format!("expression too complex or invalid: `{pattern}`: {e}")))?;
        let hir = regex_syntax::parse(&format!("(?s:{pattern})")).map_err(|e| fail(short_message(&e)))?;
        let set = literals(&hir);
        let prefix = literal_prefix(&hir);
        Ok(Self { regex, set, prefix })
    }

    fn matches(&self, value: &str) -> bool {
        match &self.set {
            Some(set) => set.iter().any(|literal| literal == value),
            None => value.starts_with(&self.prefix) && self.regex.is_match(value),
        }
    }
}

fn short_message(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(e) => format!("{}: `{}`", e.kind(), e.pattern()),
        regex_syntax::Error::Translate(e) => format!("{}: `{}`", e.kind(), e.pattern()),
        other => other.to_string(),
    }
}

/// Returns all texts that an expression matches, when they are at most [`SET_LITERALS_MAX`].
fn literals(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(Literal(bytes)) => Some(vec![String::from_utf8(bytes.to_vec()).ok()?]),
        HirKind::Capture(capture) => literals(&capture.sub),
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(literals(part)?);
                if all.len() > SET_LITERALS_MAX {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Concat(parts) => parts.iter().try_fold(vec![String::new()], |heads, part| {
            let tails = literals(part)?;
            if heads.len() * tails.len() > SET_LITERALS_MAX {
                return None;
            }
            Some(
                heads.iter().flat_map(|head| tails.iter().map(move |tail| format!("{head}{tail}"))).collect(),
            )
        }),
        // The parser folds alternations of single characters into a class.
        HirKind::Class(Class::Unicode(class)) => {
            let count: usize = class.iter().map(|range| range.len()).sum();
            let chars = class.iter().flat_map(|range| range.start()..=range.end());
            (count <= CLASS_LITERALS_MAX).then(|| chars.map(String::from).collect())
        }
        HirKind::Class(Class::Bytes(_)) | HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

fn literal_prefix(hir: &Hir) -> String {
    match hir.kind() {
        HirKind::Literal(Literal(bytes)) => String::from_utf8(bytes.to_vec()).unwrap_or_default(),
        HirKind::Capture(capture) => literal_prefix(&capture.sub),
        HirKind::Concat(parts) => parts.first().map(literal_prefix).unwrap_or_default(),
        _ => String::new(),
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

    #[test]
    fn refuses_what_is_not_a_pattern() {
        for pattern in ["(", ")(", "a**b(", "[", "(a{1000}){1000}{1000}"] {
            assert!(Matcher::new(MatchOp::Regex, "l", pattern).is_err(), "{pattern}");
        }
    }
}
