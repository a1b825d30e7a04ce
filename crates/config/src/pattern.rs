//! An anchored regular expression with Go's replacement templates, as relabeling uses it.
//!
//! The expression is compiled as `^(?s:PATTERN)$`. Templates are those of Go's `regexp.Expand`: `$1`, `$name`, `${name}`,
//! `$$`; an unknown name is replaced by nothing, and `$1x` names the group `1x`.

use std::fmt;
use std::sync::Arc;

use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

/// How much memory one compiled pattern may take; a larger one is refused.
const REGEX_SIZE_BYTES_MAX: usize = 10 << 20;

/// A compiled pattern; clones share the program.
#[derive(Clone)]
pub struct Pattern {
    source: Arc<str>,
    regex: Regex,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// A sentence that names the fault, for text that is not a regular expression or compiles to more than 10 MiB.
    pub fn new(source: &str) -> Result<Self, String> {
        // The pattern alone must parse, or `)(` would balance the anchors.
        regex_syntax::Parser::new()
            .parse(source)
            .map_err(|error| format!("error parsing regexp: {}: `{source}`", short(&error)))?;
        let config = Regex::config().nfa_size_limit(Some(REGEX_SIZE_BYTES_MAX));
        let regex = Regex::builder().configure(config).build(&format!("^(?s:{source})$"));
        let regex = regex.map_err(|error| format!("error parsing regexp: {error}: `{source}`"))?;
        Ok(Self { source: source.into(), regex })
    }

    /// Returns the pattern as written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Tells whether the whole text matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Matches the whole text; the result fills templates.
    pub fn matched<'t>(&self, text: &'t str) -> Option<Match<'t>> {
        let mut captures = self.regex.create_captures();
        self.regex.captures(text, &mut captures);
        captures.is_match().then_some(Match { text, captures })
    }
}

fn short(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        other => other.to_string(),
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.source, f)
    }
}

/// One match and its groups.
pub struct Match<'t> {
    text: &'t str,
    captures: Captures,
}

impl Match<'_> {
    /// Fills a template.
    pub fn expand(&self, template: &str) -> String {
        let (mut expanded, mut rest) = (String::new(), template);
        while let Some(dollar) = rest.find('$') {
            expanded.push_str(&rest[..dollar]);
            rest = &rest[dollar + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                expanded.push('$');
                rest = after;
            } else if let Some((name, length)) = group_name(rest) {
                expanded.push_str(self.group(name));
                rest = &rest[length..];
            } else {
                expanded.push('$');
            }
        }
        expanded.push_str(rest);
        expanded
    }

    fn group(&self, name: &str) -> &str {
        let by_number = || {
            // Go takes a name of digits without a leading zero as a group's number.
            let plain = name == "0" || !name.starts_with('0');
            let number = name.parse().ok().filter(|_| plain && name.bytes().all(|b| b.is_ascii_digit()));
            number.map(|number| self.captures.get_group(number))
        };
        let span = by_number().unwrap_or_else(|| self.captures.get_group_by_name(name));
        span.map_or("", |span| &self.text[span.range()])
    }
}

/// Returns the group that a template names right after a dollar sign, and how many bytes the reference takes.
fn group_name(text: &str) -> Option<(&str, usize)> {
    let braced = text.strip_prefix('{');
    let body = braced.unwrap_or(text);
    let length = body.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(body.len());
    if length == 0 || (braced.is_some() && !body[length..].starts_with('}')) {
        return None;
    }
    Some((&body[..length], length + if braced.is_some() { 2 } else { 0 }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, text: &str, template: &str, expected: Option<&str>) {
        let pattern = Pattern::new(pattern).expect(pattern);
        let got = pattern.matched(text).map(|m| m.expand(template));
        assert_eq!(got.as_deref(), expected, "{pattern:?} on {text:?} with {template:?}");
    }

    #[test]
    fn templates_follow_go() {
        check("(.*):(\\d+)", "host:80", "$2-${1}", Some("80-host"));
        check("(.*):(\\d+)", "host:80", "$1x", Some(""));
        check("(.*):(\\d+)", "host:80", "${1}x", Some("hostx"));
        check("(?P<h>.*):(?P<p>\\d+)", "host:80", "$p/$h/$nope", Some("80/host/"));
        check("a", "a", "$$1 $ ${ $0 ${0} $01 $9", Some("$1 $ ${ a a  "));
        check("a", "b", "x", None);
        check("a|b", "ab", "x", None);
        check(".*", "a\nb", "$0", Some("a\nb"));
        check("(a)|b", "b", "[$1]", Some("[]"));
    }

    #[test]
    fn refuses_what_is_no_pattern() {
        for pattern in ["(", ")(", "[", "a{2000}{2000}{2000}"] {
            assert!(Pattern::new(pattern).unwrap_err().starts_with("error parsing regexp: "), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn any_template_expands(template in ".{0,40}", text in ".{0,20}") {
            let pattern = Pattern::new("(.*)").expect("valid");
            let expanded = pattern.matched(&text).expect("matches all").expand(&template);
            prop_assert!(template.contains('$') || expanded == template);
        }
    }
}
