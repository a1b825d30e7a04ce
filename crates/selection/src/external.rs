//! External labels: the cluster's identity, as if it were stored on every series, and yet kept once.
//!
//! A series that has a label of the same name keeps its own value, as Prometheus does when it sends to remote storage: two
//! series never become one by an external label. So a matcher on such a label has two meanings, one for series that have
//! the label and one for the rest; [`External::localize`] rewrites it into one matcher over what is stored.

use std::collections::BTreeMap;

use model::{LabelSet, MatchOp, Matcher};

/// The external labels of this cluster, without empty values.
#[derive(Clone, Debug, Default)]
pub struct External {
    labels: BTreeMap<String, String>,
}

impl External {
    /// Takes them from a cluster's settings; empty values are none.
    pub fn new(labels: &BTreeMap<String, String>) -> Self {
        Self {
            labels: labels
                .iter()
                .filter(|(_, v)| !v.is_empty())
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect(),
        }
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Returns all, by name.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// Returns the value of an external label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// Returns the names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.labels.keys().map(String::as_str)
    }

    /// Returns a series' labels with these added where it has none of that name.
    pub fn attach(&self, labels: &LabelSet) -> LabelSet {
        let mut pairs: BTreeMap<&str, &str> =
            self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        pairs.extend(labels.iter());
        LabelSet::from_sorted(pairs).expect("sorted by the map, unique and without empty values")
    }

    /// Returns labels without those that [`External::attach`] would add with the same value.
    pub fn detach(&self, labels: &LabelSet) -> LabelSet {
        if self.is_empty() {
            return labels.clone();
        }
        labels.filtered(|name| self.get(name).is_none_or(|value| value != labels.get(name)))
    }

    /// Rewrites a selector for what is stored.
    ///
    /// The result matches every series that the selector matches once labels are attached. It may match more only among
    /// series that have a label of an external label's name: check those again with [`External::accepts`].
    pub fn localize(&self, matchers: &[Matcher]) -> Vec<Matcher> {
        matchers.iter().flat_map(|matcher| self.localize_one(matcher)).collect()
    }

    /// Tells whether attached labels satisfy a selector as it was given.
    pub fn accepts(matchers: &[Matcher], labels: &LabelSet) -> bool {
        matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name)))
    }

    /// Tells whether a selector names an external label.
    pub fn concerns(&self, matchers: &[Matcher]) -> bool {
        matchers.iter().any(|matcher| self.labels.contains_key(&*matcher.name))
    }

    fn localize_one(&self, matcher: &Matcher) -> Vec<Matcher> {
        let Some(value) = self.get(&matcher.name) else { return vec![matcher.clone()] };
        let present =
            || Matcher::new(MatchOp::NotEqual, matcher.name.clone(), "").expect("no pattern to compile");
        if !matcher.matches(value) {
            // Only series with a label of their own can match.
            let mut own = vec![matcher.clone()];
            own.extend(matcher.matches_empty().then(present));
            return own;
        }
        if matcher.matches_empty() {
            return vec![matcher.clone()];
        }
        let pattern = match matcher.op {
            MatchOp::Equal => format!("|{}", escape(&matcher.value)),
            MatchOp::Regex => format!("|(?:{})", matcher.value),
            // What is left is true of the empty value and of nearly all others; `accepts` sorts out the rest.
            MatchOp::NotEqual | MatchOp::NotRegex => return Vec::new(),
        };
        let widened = Matcher::new(MatchOp::Regex, matcher.name.clone(), pattern);
        widened.map_or_else(|_| Vec::new(), |widened| vec![widened])
    }
}

/// Escapes what has a meaning in a pattern.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$#&-~".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn external() -> External {
        let labels = [("cluster", "a.b"), ("empty", "")];
        External::new(&labels.map(|(n, v)| (n.to_owned(), v.to_owned())).into())
    }

    #[test]
    fn own_labels_win() {
        let attach = |pairs: &[(&str, &str)]| {
            external().attach(&LabelSet::from_pairs(pairs.iter().copied())).to_string()
        };
        assert_eq!(attach(&[("__name__", "up"), ("z", "1")]), r#"up{cluster="a.b", z="1"}"#);
        assert_eq!(attach(&[("__name__", "up"), ("cluster", "own")]), r#"up{cluster="own"}"#);
        for labels in [[("__name__", "up"), ("z", "1")], [("__name__", "up"), ("cluster", "own")]] {
            let labels = LabelSet::from_pairs(labels);
            assert_eq!(external().detach(&external().attach(&labels)), labels);
        }
    }

    #[test]
    fn a_rewritten_selector_finds_what_the_selector_means() {
        use MatchOp::{Equal, NotEqual, NotRegex, Regex};
        let external = external();
        let stored: Vec<LabelSet> = ["", "a.b", "axb", "own", "other"]
            .iter()
            .map(|own| LabelSet::from_pairs([("__name__", "up"), ("cluster", *own)]))
            .collect();
        for (op, value) in [
            (Equal, "a.b"),
            (Equal, "own"),
            (Equal, ""),
            (NotEqual, "a.b"),
            (NotEqual, "own"),
            (NotEqual, ""),
            (Regex, "a.b|other"),
            (Regex, "own"),
            (Regex, ".*"),
            (Regex, ".+"),
            (NotRegex, "a.b"),
            (NotRegex, "own|other"),
            (NotRegex, "|own"),
            (NotRegex, ".*"),
        ] {
            let selector = vec![Matcher::new(op, "cluster", value).unwrap()];
            let localized = external.localize(&selector);
            for labels in &stored {
                let attached = external.attach(labels);
                let is_meant = External::accepts(&selector, &attached);
                let is_found = External::accepts(&localized, labels);
                assert!(is_found || !is_meant, "{selector:?} must find {labels}");
                let widened = op == NotRegex || (op == NotEqual && value.is_empty());
                assert!(is_meant || !is_found || widened, "{selector:?} should not find {labels}");
            }
        }
        let other = vec![Matcher::equal("job", "a")];
        assert_eq!(external.localize(&other), other);
        assert!(!external.concerns(&other));
    }
}
