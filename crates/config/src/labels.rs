//! Label names and values of the configuration, and `${variable}` in external labels.

use std::collections::BTreeMap;

use model::labels::{is_legacy_label_name, quote};

use crate::check::{Faults, Place, Text};
use crate::scrape_types::NameValidation;

/// Labels as written: a value may be left out, which is the same as an empty one.
pub(crate) type RawLabels = BTreeMap<String, Option<Text>>;

/// Tells whether a text may name a label.
pub(crate) fn is_label_name(name: &str, validation: NameValidation) -> bool {
    match validation {
        NameValidation::Utf8 => !name.is_empty(),
        NameValidation::Legacy => is_legacy_label_name(name),
    }
}

/// Returns labels with valid names; the others are noted.
pub(crate) fn check(
    raw: Option<RawLabels>,
    validation: NameValidation,
    place: &Place,
    faults: &mut Faults,
) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (name, value) in raw.unwrap_or_default() {
        if !is_label_name(&name, validation) {
            let message = format!("{} is not a valid label name", quote(&name));
            match &value {
                Some(value) => faults.at(&place.key(&name), value, message),
                None => faults.add(&place.key(&name), message),
            }
            continue;
        }
        labels.insert(name, value.map(|text| text.value).unwrap_or_default());
    }
    labels
}

/// Replaces `$name` and `${name}` by what a look-up says, and `$$` by a dollar sign, like Go's `os.Expand`.
///
/// A variable that is not set becomes empty; its name is returned as well.
pub(crate) fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> (String, Vec<String>) {
    let (mut expanded, mut unset, mut rest) = (String::with_capacity(text.len()), Vec::new(), text);
    while let Some(dollar) = rest.find('$') {
        expanded.push_str(&rest[..dollar]);
        let (name, length) = variable_name(&rest[dollar + 1..]);
        rest = &rest[dollar + 1 + length..];
        match name {
            None if length == 0 => expanded.push('$'),
            None => {}
            Some("$") => expanded.push('$'),
            Some(name) => match variable(name) {
                Some(value) => expanded.push_str(&value),
                None => unset.push(name.to_owned()),
            },
        }
    }
    expanded.push_str(rest);
    (expanded, unset)
}

/// Returns the variable's name at the start of a text and how many bytes it takes; bad syntax is eaten without a name.
fn variable_name(text: &str) -> (Option<&str>, usize) {
    if let Some(braced) = text.strip_prefix('{') {
        return match braced.find('}') {
            Some(0) => (None, 2),
            Some(end) => (Some(&braced[..end]), end + 2),
            None => (None, 1),
        };
    }
    match text.bytes().next() {
        Some(b'$') => (Some("$"), 1),
        Some(b) if b"*#@!?-0123456789".contains(&b) => (Some(&text[..1]), 1),
        _ => {
            let length = text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
            (Some(&text[..length]).filter(|name| !name.is_empty()), length)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_like_go() {
        let lookup = |name: &str| (name == "ZONE").then(|| "a".to_owned());
        let cases = [
            ("plain", "plain"),
            ("eu-${ZONE}1", "eu-a1"),
            ("$ZONE.x", "a.x"),
            ("$$ZONE", "$ZONE"),
            ("cost 5$", "cost 5$"),
            ("${}x", "x"),
            ("${ZONE", "ZONE"),
            ("[${NONE}]", "[]"),
        ];
        for (text, expected) in cases {
            assert_eq!(expand(text, &lookup).0, expected, "{text}");
        }
        assert_eq!(expand("${NONE}", &lookup).1, ["NONE"]);
    }
}
