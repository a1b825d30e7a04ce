//! `/api/v1/rules` and `/api/v1/alerts`: the rule groups and how their last evaluation went.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use storage::StorageError;

use crate::ApiError;
use crate::endpoint::Answer;
use crate::json::JsonWriter;
use crate::params::Params;
use crate::query_api::QueryApi;
use crate::targets::rfc3339;

/// A recording rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// The series it records.
    pub name: String,
    /// Its expression.
    pub query: String,
    /// Labels it adds.
    pub labels: BTreeMap<String, String>,
    /// `ok`, `err` or `unknown`.
    pub health: String,
    /// Why the last evaluation failed, or empty.
    pub last_error: String,
    /// When it was last evaluated, ms; 0 before the first time.
    pub last_evaluation_ms: i64,
    /// How long that took.
    pub evaluation_seconds: f64,
}

/// Rules that are evaluated together, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleGroup {
    /// Its name, unique within the file.
    pub name: String,
    /// The file it stands in.
    pub file: String,
    /// How often it is evaluated.
    pub interval_seconds: f64,
    /// Its rules.
    pub rules: Vec<Rule>,
    /// When it was last evaluated, ms; 0 before the first time.
    pub last_evaluation_ms: i64,
    /// How long that took.
    pub evaluation_seconds: f64,
}

/// Knows the rule groups.
#[async_trait]
pub trait RulesSource: Send + Sync {
    /// Returns all groups.
    ///
    /// # Errors
    /// When nobody could be asked.
    async fn groups(&self) -> Result<Vec<RuleGroup>, StorageError>;
}

/// A process that knows of no rules.
pub struct NoRules;

#[async_trait]
impl RulesSource for NoRules {
    async fn groups(&self) -> Result<Vec<RuleGroup>, StorageError> {
        Ok(Vec::new())
    }
}

/// Optional `type` (`alert`, `record`).
pub(crate) async fn rules(served: Arc<QueryApi>, params: Params) -> Result<Answer, ApiError> {
    let kind = params.get("type").to_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        return Err(ApiError::parameter("type", format!("not supported value {kind:?}")));
    }
    let mut groups = served.rules.groups().await?;
    if kind == "alert" {
        groups.iter_mut().for_each(|group| group.rules.clear());
    }
    let weight = groups.iter().map(|group| 8 + group.rules.len() * 16).sum();
    Ok(Answer::new(weight, move |json| {
        json.raw("{\"groups\":");
        json.array(&groups, write_group);
        json.raw("}");
    }))
}

/// Alerts are not evaluated yet, so none is active.
pub(crate) async fn alerts(_: Arc<QueryApi>, _: Params) -> Result<Answer, ApiError> {
    Ok(Answer::new(0, |json| json.raw("{\"alerts\":[]}")))
}

fn write_group(json: &mut JsonWriter, group: &RuleGroup) {
    json.raw("{");
    for (at, (key, text)) in [("name", &group.name), ("file", &group.file)].into_iter().enumerate() {
        json.key(at, key);
        json.text(text);
    }
    json.key(1, "rules");
    json.array(&group.rules, write_rule);
    json.key(1, "interval");
    json.number(group.interval_seconds);
    write_evaluation(json, group.evaluation_seconds, group.last_evaluation_ms);
    json.raw("}");
}

fn write_rule(json: &mut JsonWriter, rule: &Rule) {
    json.raw("{\"name\":");
    json.text(&rule.name);
    json.key(1, "query");
    json.text(&rule.query);
    if !rule.labels.is_empty() {
        json.key(1, "labels");
        json.text_map(rule.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    }
    json.key(1, "health");
    json.text(&rule.health);
    if !rule.last_error.is_empty() {
        json.key(1, "lastError");
        json.text(&rule.last_error);
    }
    write_evaluation(json, rule.evaluation_seconds, rule.last_evaluation_ms);
    json.key(1, "type");
    json.text("recording");
    json.raw("}");
}

fn write_evaluation(json: &mut JsonWriter, seconds: f64, last_ms: i64) {
    json.key(1, "evaluationTime");
    json.number(seconds);
    json.key(1, "lastEvaluation");
    json.text(&rfc3339(last_ms));
}
