//! What a person may know of rule groups: the source of `/api/v1/rules`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::rules::Rule;
use parking_lot::Mutex;

use crate::load::Group;

/// Records a series, or raises alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// `record`.
    Recording,
    /// `alert`.
    Alerting,
}

/// How the last evaluation went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleHealth {
    /// Not evaluated by this process.
    Unknown,
    /// Its results are stored.
    Good,
    /// It failed.
    Bad,
}

impl RuleHealth {
    /// Returns the HTTP API's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Good => "ok",
            Self::Bad => "err",
        }
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleStatus {
    /// What it makes.
    pub kind: RuleKind,
    /// The recorded metric's or the alert's name.
    pub name: String,
    /// PromQL.
    pub query: String,
    /// The labels it sets, the group's included.
    pub labels: BTreeMap<String, String>,
    /// How the last evaluation went.
    pub health: RuleHealth,
    /// Why it failed, empty when it did not.
    pub last_error: String,
    /// Wall clock at the beginning of the last evaluation, ms; `None` before the first.
    pub last_evaluation_ms: Option<i64>,
    /// How long it took.
    pub evaluation_time: Duration,
}

/// One rule group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupStatus {
    /// The file it stands in.
    pub file: String,
    /// Its name.
    pub name: String,
    /// How often it is evaluated.
    pub interval: Duration,
    /// How many series one rule may make; 0 for no limit.
    pub limit: u64,
    /// Whether this process evaluates it now.
    pub held: bool,
    /// Wall clock at the beginning of the last evaluation, ms; `None` before the first.
    pub last_evaluation_ms: Option<i64>,
    /// How long it took.
    pub evaluation_time: Duration,
    /// In the order of evaluation.
    pub rules: Vec<RuleStatus>,
}

impl GroupStatus {
    pub(crate) fn new(group: &Group) -> Self {
        Self {
            file: group.file.clone(),
            name: group.name.clone(),
            interval: Duration::from_millis(group.interval_ms as u64),
            limit: group.limit,
            held: false,
            last_evaluation_ms: None,
            evaluation_time: Duration::ZERO,
            rules: group.rules.iter().map(rule_status).collect(),
        }
    }
}

fn rule_status(rule: &Rule) -> RuleStatus {
    let (kind, name, query, labels) = match rule {
        Rule::Recording(rule) => (RuleKind::Recording, &rule.record, &rule.expr, &rule.labels),
        Rule::Alerting(rule) => (RuleKind::Alerting, &rule.alert, &rule.expr, &rule.labels),
    };
    let last_error = match kind {
        RuleKind::Recording => "",
        RuleKind::Alerting => "alerting rules are not evaluated yet",
    };
    RuleStatus {
        kind,
        name: name.clone(),
        query: query.clone(),
        labels: labels.clone(),
        health: RuleHealth::Unknown,
        last_error: last_error.to_owned(),
        last_evaluation_ms: None,
        evaluation_time: Duration::ZERO,
    }
}

/// A group's status, written by its worker and read by the API.
#[derive(Clone)]
pub(crate) struct SharedStatus(Arc<Mutex<GroupStatus>>);

impl SharedStatus {
    pub(crate) fn new(group: &Group) -> Self {
        Self(Arc::new(Mutex::new(GroupStatus::new(group))))
    }

    pub(crate) fn get(&self) -> GroupStatus {
        self.0.lock().clone()
    }

    pub(crate) fn set_held(&self, held: bool) {
        self.0.lock().held = held;
    }

    pub(crate) fn note_rule(&self, index: usize, began_ms: i64, took: Duration, error: Option<String>) {
        let mut status = self.0.lock();
        let rule = &mut status.rules[index];
        rule.last_evaluation_ms = Some(began_ms);
        rule.evaluation_time = took;
        rule.health = if error.is_none() { RuleHealth::Good } else { RuleHealth::Bad };
        rule.last_error = error.unwrap_or_default();
    }

    pub(crate) fn note_group(&self, began_ms: i64, took: Duration) {
        let mut status = self.0.lock();
        status.last_evaluation_ms = Some(began_ms);
        status.evaluation_time = took;
    }
}
