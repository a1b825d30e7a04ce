//! Relabeling rules, checked (Prometheus `model/relabel/relabel.go`, `Validate`). They are applied by the scrape crate.

use std::sync::LazyLock;

use model::Regexp;
use model::labels::quote;

use crate::check::{Faults, Place, Text};
use crate::labels::is_label_name;
use crate::raw;
use crate::scrape_types::NameValidation;

/// What a rule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RelabelAction {
    /// Sets a label to a filled template when the pattern matches.
    #[default]
    Replace,
    /// Drops what does not match.
    Keep,
    /// Drops what matches.
    Drop,
    /// Drops unless source and target label are equal.
    KeepEqual,
    /// Drops if source and target label are equal.
    DropEqual,
    /// Sets a label to a hash of the source modulo a number.
    HashMod,
    /// Copies labels whose names match to names from a template.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Sets a label to the source in lower case.
    Lowercase,
    /// Sets a label to the source in upper case.
    Uppercase,
}

impl RelabelAction {
    const ALL: [(&'static str, Self); 11] = [
        ("replace", Self::Replace),
        ("keep", Self::Keep),
        ("drop", Self::Drop),
        ("keepequal", Self::KeepEqual),
        ("dropequal", Self::DropEqual),
        ("hashmod", Self::HashMod),
        ("labelmap", Self::LabelMap),
        ("labeldrop", Self::LabelDrop),
        ("labelkeep", Self::LabelKeep),
        ("lowercase", Self::Lowercase),
        ("uppercase", Self::Uppercase),
    ];

    /// Returns the name as the configuration writes it.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, action)| *action == self).map_or("", |(name, _)| name)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let found = Self::ALL.iter().find(|(name, _)| *name == lower).map(|(_, action)| *action);
        found.ok_or_else(|| format!("unknown relabel action {}", quote(text)))
    }

    fn needs_target(self) -> bool {
        !matches!(self, Self::Keep | Self::Drop | Self::LabelMap | Self::LabelDrop | Self::LabelKeep)
    }
}

/// One rule, valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelabelRule {
    /// The labels whose values are joined.
    pub source_labels: Vec<String>,
    /// What stands between them.
    pub separator: String,
    /// What the joined text, or the label's name, must match.
    pub regex: Regexp,
    /// The divisor of `hashmod`.
    pub modulus: u64,
    /// The label that is set; a template for `replace`.
    pub target_label: String,
    /// The template of the new value, or of the new name for `labelmap`.
    pub replacement: String,
    /// What is done.
    pub action: RelabelAction,
    /// Which label names are valid.
    pub name_validation: NameValidation,
}

const DEFAULT_SEPARATOR: &str = ";";
const DEFAULT_REGEX: &str = "(.*)";
const DEFAULT_REPLACEMENT: &str = "$1";

/// The pattern of a rule that gives none, compiled once.
static MATCH_ALL: LazyLock<Regexp> =
    LazyLock::new(|| Regexp::new(DEFAULT_REGEX).expect("a constant that is a valid pattern"));

impl Default for RelabelRule {
    fn default() -> Self {
        Self {
            source_labels: Vec::new(),
            separator: DEFAULT_SEPARATOR.to_owned(),
            regex: MATCH_ALL.clone(),
            modulus: 0,
            target_label: String::new(),
            replacement: DEFAULT_REPLACEMENT.to_owned(),
            action: RelabelAction::Replace,
            name_validation: NameValidation::Utf8,
        }
    }
}

impl RelabelRule {
    /// Tells whether the pattern is the default, which matches everything.
    pub fn matches_all(&self) -> bool {
        self.regex == *MATCH_ALL
    }

    /// Tells whether a name may be given to a label by this rule.
    pub fn is_label_name(&self, name: &str) -> bool {
        is_label_name(name, self.name_validation)
    }

    /// Returns what is wrong with the combination of values, as Prometheus words it.
    fn fault(&self) -> Option<String> {
        let (action, target) = (self.action.as_str(), &self.target_label);
        if self.modulus == 0 && self.action == RelabelAction::HashMod {
            return Some("relabel configuration for hashmod requires non-zero modulus".to_owned());
        }
        if self.action.needs_target() && target.is_empty() {
            return Some(format!("relabel configuration for {action} action requires 'target_label' value"));
        }
        let template = self.action == RelabelAction::Replace && target.contains('$');
        if self.action.needs_target() && !self.is_name_or_template(target, template) {
            return Some(format!("{} is invalid 'target_label' for {action} action", quote(target)));
        }
        if self.action == RelabelAction::LabelMap && !self.is_name_or_template(&self.replacement, true) {
            let replacement = quote(&self.replacement);
            return Some(format!("{replacement} is invalid 'replacement' for {action} action"));
        }
        self.superfluous()
    }

    fn superfluous(&self) -> Option<String> {
        let action = self.action.as_str();
        let only_regex = self.modulus == 0
            && self.separator == DEFAULT_SEPARATOR
            && self.replacement == DEFAULT_REPLACEMENT;
        match self.action {
            RelabelAction::Lowercase | RelabelAction::Uppercase
                if self.replacement != DEFAULT_REPLACEMENT =>
            {
                Some(format!("'replacement' can not be set for {action} action"))
            }
            RelabelAction::KeepEqual | RelabelAction::DropEqual if !(only_regex && self.matches_all()) => {
                Some(format!(
                    "{action} action requires only 'source_labels' and `target_label`, and no other fields"
                ))
            }
            RelabelAction::LabelDrop | RelabelAction::LabelKeep
                if !(only_regex && self.source_labels.is_empty() && self.target_label.is_empty()) =>
            {
                Some(format!("{action} action requires only 'regex', and no other fields"))
            }
            _ => None,
        }
    }

    /// Tells whether a text names a label, once its references to groups are taken for letters.
    fn is_name_or_template(&self, text: &str, template: bool) -> bool {
        if !template {
            return self.is_label_name(text);
        }
        let plain = without_references(text);
        !text.is_empty() && (plain.is_empty() || self.is_label_name(&format!("a{plain}")))
    }
}

fn without_references(text: &str) -> String {
    let (mut plain, mut rest) = (String::new(), text);
    while let Some(dollar) = rest.find('$') {
        plain.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        let word = |s: &str| s.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let length = match after.strip_prefix('{') {
            Some(body) if word(body) > 0 && body[word(body)..].starts_with('}') => word(body) + 2,
            Some(_) => 0,
            None => word(after),
        };
        if length == 0 {
            plain.push('$');
        }
        rest = &after[length..];
    }
    plain + rest
}

/// Turns a list of rules into typed ones; faulty rules are noted and left out.
pub(crate) fn build_all(
    raw: Option<Vec<Option<raw::Relabel>>>,
    validation: NameValidation,
    place: &Place,
    faults: &mut Faults,
) -> Vec<RelabelRule> {
    let mut rules = Vec::new();
    for (index, rule) in raw.into_iter().flatten().enumerate() {
        let place = place.index(index);
        match rule {
            Some(rule) => rules.extend(build(rule, validation, &place, faults)),
            None => faults.add(&place, "empty or null relabeling rule"),
        }
    }
    rules
}

/// Compiles a rule's expression. Prometheus compiles it between its anchors, and where a fault is the whole's, says so.
fn regexp(text: &str) -> Result<Regexp, String> {
    Regexp::new(text)
        .map_err(|error| Regexp::new(&format!("^(?s:{text})$")).err().unwrap_or(error).to_string())
}

fn build(
    raw: raw::Relabel,
    validation: NameValidation,
    place: &Place,
    faults: &mut Faults,
) -> Option<RelabelRule> {
    let default = RelabelRule::default();
    let text = |value: Option<Text>, default: String| value.map_or(default, |text| text.value);
    let action = match &raw.action {
        Some(_) => faults.convert(&place.key("action"), raw.action.as_ref(), RelabelAction::parse)?,
        None => RelabelAction::Replace,
    };
    let regex = match &raw.regex {
        Some(_) => faults.convert(&place.key("regex"), raw.regex.as_ref(), regexp)?,
        None => default.regex,
    };
    let mut source_labels = Vec::new();
    for (index, label) in raw.source_labels.into_iter().flatten().enumerate() {
        if !is_label_name(&label.value, validation) {
            let message = format!("{} is not a valid label name", quote(&label.value));
            faults.at(&place.key("source_labels").index(index), &label, message);
        }
        source_labels.push(label.value);
    }
    let rule = RelabelRule {
        source_labels,
        separator: text(raw.separator, default.separator),
        regex,
        modulus: raw.modulus.unwrap_or(0),
        target_label: text(raw.target_label, default.target_label),
        replacement: text(raw.replacement, default.replacement),
        action,
        name_validation: validation,
    };
    match rule.fault() {
        Some(message) => {
            match &raw.action {
                Some(action) => faults.at(place, action, message),
                None => faults.add(place, message),
            }
            None
        }
        None => Some(rule),
    }
}
