//! Templates: what Go's `regexp.Expand` makes of `$1`, `$name`, `${name}` and `$$`.
//!
//! A name is as long as letters, digits and underscores go, so `$1x` names the group `1x`; what no group has is replaced
//! by nothing, and a dollar sign before anything else stands for itself.

use regex_automata::util::captures::Captures;

use crate::unicode::is_letter_or_digit;

/// Numbers of groups from here on are names instead.
const GROUP_NUMBER_MAX: usize = 100_000_000;

/// One match and its groups.
pub struct Match<'t> {
    text: &'t str,
    captures: Captures,
    names: &'t [Option<String>],
}

impl<'t> Match<'t> {
    pub(super) fn new(text: &'t str, captures: Captures, names: &'t [Option<String>]) -> Self {
        Self { text, captures, names }
    }

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

    /// Returns the text of a group, or of the first of several with one name that took part in the match.
    fn group(&self, name: &str) -> &'t str {
        let span = match group_number(name) {
            Some(number) => self.captures.get_group(number),
            None => {
                let numbers = self.names.iter().zip(1..).filter(|(known, _)| known.as_deref() == Some(name));
                let mut spans = numbers.filter_map(|(_, number)| self.captures.get_group(number));
                spans.next()
            }
        };
        span.map_or("", |span| &self.text[span.range()])
    }
}

/// Returns the number that a name is: digits without a leading zero.
fn group_number(name: &str) -> Option<usize> {
    let plain = name == "0" || !name.starts_with('0');
    let digits = plain && name.bytes().all(|byte| byte.is_ascii_digit());
    name.parse().ok().filter(|number| digits && *number < GROUP_NUMBER_MAX)
}

/// Returns the group that a template names right after a dollar sign, and how many bytes the reference takes.
fn group_name(text: &str) -> Option<(&str, usize)> {
    let braced = text.strip_prefix('{');
    let body = braced.unwrap_or(text);
    let length = body.find(|c: char| !(c == '_' || is_letter_or_digit(c))).unwrap_or(body.len());
    if length == 0 || (braced.is_some() && !body[length..].starts_with('}')) {
        return None;
    }
    Some((&body[..length], length + if braced.is_some() { 2 } else { 0 }))
}
