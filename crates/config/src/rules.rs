//! Rule files: groups of recording and alerting rules (Prometheus `model/rulefmt`).
//!
//! Expressions stay text: who evaluates them parses them, and reports faults at the rule's [`Position`].

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use model::labels::quote;
use serde_saphyr::Spanned;

use crate::check::{Faults, Place, Text};
use crate::error::{ConfigError, Position};
use crate::scrape_types::NameValidation;
use crate::{labels, raw, yaml};

/// A rule file, valid but for its expressions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleFile {
    /// In the order of the file; names are unique.
    pub groups: Vec<RuleGroup>,
}

/// Rules that are evaluated one after another at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleGroup {
    /// Unique within the file.
    pub name: String,
    /// How often it is evaluated; `None` for the global interval.
    pub interval_ms: Option<u64>,
    /// How far in the past it is evaluated; `None` for the global offset.
    pub query_offset_ms: Option<u64>,
    /// How many series or alerts one rule may make; 0 for no limit.
    pub limit: u64,
    /// Labels of everything its rules make; a rule's own label wins.
    pub labels: BTreeMap<String, String>,
    /// In the order of evaluation.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Writes a series.
    Recording(RecordingRule),
    /// Raises alerts.
    Alerting(AlertingRule),
}

/// Writes an expression's result as a new metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingRule {
    /// The new metric's name.
    pub record: String,
    /// PromQL, not parsed.
    pub expr: String,
    /// Set on each series of the result; an empty value removes.
    pub labels: BTreeMap<String, String>,
    /// Where the expression stands.
    pub position: Position,
}

/// Raises an alert for each series of an expression's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertingRule {
    /// The alert's name.
    pub alert: String,
    /// PromQL, not parsed.
    pub expr: String,
    /// How long a series must be there before the alert fires.
    pub for_ms: u64,
    /// How long the alert goes on firing after the series is gone.
    pub keep_firing_for_ms: u64,
    /// Labels of the alert, templates.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the alert, templates.
    pub annotations: BTreeMap<String, String>,
    /// Where the expression stands.
    pub position: Position,
}

/// Reads a rule file's text.
///
/// # Errors
/// [`ConfigError::Syntax`] for text that is not YAML, unknown keys and wrong types; [`ConfigError::Invalid`] with every
/// other fault of the file.
pub fn parse(text: &str) -> Result<RuleFile, ConfigError> {
    let raw: raw::RuleFile = yaml::read(text)?;
    let mut faults = Faults::default();
    let mut names = HashSet::new();
    let mut groups = Vec::new();
    for (index, raw) in raw.groups.into_iter().flatten().enumerate() {
        let place = Place::root().key("groups").index(index);
        groups.push(group(raw, &place, &mut names, &mut faults));
    }
    faults.into_result(RuleFile { groups })
}

fn group(raw: raw::Group, place: &Place, names: &mut HashSet<String>, faults: &mut Faults) -> RuleGroup {
    let name = raw.name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
    if name.is_empty() {
        faults.add(&place.key("name"), "Groupname must not be empty");
    } else if !names.insert(name.clone()) {
        let message = format!("groupname: {} is repeated in the same file", quote(&name));
        match &raw.name {
            Some(text) => faults.at(&place.key("name"), text, message),
            None => faults.add(&place.key("name"), message),
        }
    }
    let interval_ms = faults.duration(&place.key("interval"), raw.interval.as_ref()).filter(|ms| *ms > 0);
    let query_offset_ms = faults.duration(&place.key("query_offset"), raw.query_offset.as_ref());
    let labels = rule_labels(raw.labels, &place.key("labels"), faults);
    let mut rules = Vec::new();
    for (index, raw) in raw.rules.into_iter().flatten().enumerate() {
        rules.extend(rule(raw, &place.key("rules").index(index), faults));
    }
    RuleGroup { name, interval_ms, query_offset_ms, limit: raw.limit.unwrap_or(0), labels, rules }
}

fn rule(raw: Spanned<raw::Rule>, place: &Place, faults: &mut Faults) -> Option<Rule> {
    let given = |text: &Option<Text>| text.as_ref().is_some_and(|text| !text.value.is_empty());
    let mark = Spanned::new((), raw.referenced, raw.defined);
    let rule = raw.value;
    if !given(&rule.expr) {
        faults.at(place, &mark, "field 'expr' must be set in rule");
    }
    match (given(&rule.record), given(&rule.alert)) {
        (true, true) => faults.at(place, &mark, "only one of 'record' and 'alert' must be set"),
        (false, false) => faults.at(place, &mark, "one of 'record' or 'alert' must be set"),
        (true, false) => return Some(Rule::Recording(recording(rule, place, &mark, faults))),
        (false, true) => return Some(Rule::Alerting(alerting(rule, place, faults))),
    }
    None
}

fn recording(rule: raw::Rule, place: &Place, mark: &Spanned<()>, faults: &mut Faults) -> RecordingRule {
    let superfluous = [
        ("annotations", rule.annotations.as_ref().is_some_and(|annotations| !annotations.is_empty())),
        ("for", rule.r#for.is_some()),
        ("keep_firing_for", rule.keep_firing_for.is_some()),
    ];
    for (key, given) in superfluous {
        if given {
            faults.at(place, mark, format!("invalid field '{key}' in recording rule"));
        }
    }
    let (expr, position) = expression(rule.expr);
    let record = rule.record.map(|record| record.value).unwrap_or_default();
    if record.contains(['{', '}']) {
        let message = format!("braces present in the recording rule name; should it be in expr?: {record}");
        faults.at(&place.key("record"), mark, message);
    }
    RecordingRule { record, expr, labels: rule_labels(rule.labels, &place.key("labels"), faults), position }
}

fn alerting(rule: raw::Rule, place: &Place, faults: &mut Faults) -> AlertingRule {
    let (expr, position) = expression(rule.expr);
    let keep = faults.duration(&place.key("keep_firing_for"), rule.keep_firing_for.as_ref());
    let annotations_place = place.key("annotations");
    AlertingRule {
        alert: rule.alert.map(|alert| alert.value).unwrap_or_default(),
        expr,
        for_ms: faults.duration(&place.key("for"), rule.r#for.as_ref()).unwrap_or(0),
        keep_firing_for_ms: keep.unwrap_or(0),
        labels: rule_labels(rule.labels, &place.key("labels"), faults),
        annotations: labels::check(rule.annotations, NameValidation::Utf8, &annotations_place, faults),
        position,
    }
}

fn expression(expr: Option<Text>) -> (String, Position) {
    expr.map(|text| (text.value, Position::from(text.referenced))).unwrap_or_default()
}

/// Labels that a rule sets: the metric's name is not among them.
fn rule_labels(
    raw: Option<labels::RawLabels>,
    place: &Place,
    faults: &mut Faults,
) -> BTreeMap<String, String> {
    let labels = labels::check(raw, NameValidation::Utf8, place, faults);
    if labels.contains_key(model::labels::METRIC_NAME) {
        faults.add(place, format!("invalid label name: {}", model::labels::METRIC_NAME));
    }
    labels
}

/// Makes the patterns of `rule_files` absolute and refuses what is no pattern.
pub(crate) fn check_patterns(raw: Option<Vec<Text>>, base_dir: &Path, faults: &mut Faults) -> Vec<PathBuf> {
    let place = Place::root().key("rule_files");
    let mut patterns = Vec::new();
    for (index, pattern) in raw.into_iter().flatten().enumerate() {
        if pattern.value.is_empty() {
            faults.at(&place.index(index), &pattern, "invalid rule file path \"\"");
        }
        patterns.push(base_dir.join(pattern.value));
    }
    patterns
}
