//! `/api/v1/targets`: what is scraped, and what relabeling dropped; `/api/v1/targets/metadata`: what targets say of their
//! metric families.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use model::{Matcher, MetricMetadata};
use storage::StorageError;

use crate::ApiError;
use crate::endpoint::Answer;
use crate::json::JsonWriter;
use crate::params::{Params, selector};
use crate::query_api::QueryApi;

/// What Go prints for a time that was never set.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A target that is scraped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActiveTarget {
    /// Its scrape job.
    pub scrape_pool: String,
    /// Before relabeling.
    pub discovered_labels: BTreeMap<String, String>,
    /// After relabeling, as its series carry them.
    pub labels: BTreeMap<String, String>,
    /// What is asked.
    pub scrape_url: String,
    /// The same, as reachable from elsewhere.
    pub global_url: String,
    /// Why the last scrape failed, or empty.
    pub last_error: String,
    /// When the last scrape began, ms; `None` before the first.
    pub last_scrape_ms: Option<i64>,
    /// How long it took.
    pub last_scrape_duration_seconds: f64,
    /// `up`, `down` or `unknown`.
    pub health: String,
    /// As a Prometheus duration.
    pub scrape_interval: String,
    /// As a Prometheus duration.
    pub scrape_timeout: String,
    /// The member that scrapes it.
    pub scraper: String,
}

/// A target that relabeling dropped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DroppedTarget {
    /// Its scrape job.
    pub scrape_pool: String,
    /// Before relabeling.
    pub discovered_labels: BTreeMap<String, String>,
}

/// All targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targets {
    /// Those that are scraped.
    pub active: Vec<ActiveTarget>,
    /// Those that were dropped.
    pub dropped: Vec<DroppedTarget>,
    /// Which scrapers did not answer, by name.
    pub warnings: Vec<String>,
}

/// What one target says of one metric family.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetMetadata {
    /// The target's labels.
    pub labels: BTreeMap<String, String>,
    /// What it says.
    pub metadata: MetricMetadata,
}

/// What targets say of their families.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetsMetadata {
    /// Sorted by target.
    pub entries: Vec<TargetMetadata>,
    /// Which scrapers did not answer, by name.
    pub warnings: Vec<String>,
}

/// Knows the targets of the whole cluster.
#[async_trait]
pub trait TargetsSource: Send + Sync {
    /// Returns all targets.
    ///
    /// # Errors
    /// When nobody could be asked.
    async fn targets(&self) -> Result<Targets, StorageError>;

    /// Returns what targets whose labels satisfy all matchers say of one family, or of all when it is empty; from `limit`
    /// entries on, of no further target.
    ///
    /// # Errors
    /// When nobody could be asked.
    async fn metadata(
        &self,
        family: &str,
        matchers: &[Matcher],
        limit: Option<usize>,
    ) -> Result<TargetsMetadata, StorageError>;
}

/// Optional `state` (`active`, `dropped`, `any`) and `scrapePool`.
pub(crate) async fn targets(served: Arc<QueryApi>, params: Params) -> Result<Answer, ApiError> {
    let state = params.get("state").to_lowercase();
    let is_shown = |kind: &str| state.is_empty() || state == "any" || state == kind;
    let pool = params.get("scrapePool");
    let is_in_pool = |scrape_pool: &str| pool.is_empty() || pool == scrape_pool;
    let mut targets = served.targets.targets().await?;
    targets.active.retain(|target| is_shown("active") && is_in_pool(&target.scrape_pool));
    targets.dropped.retain(|target| is_in_pool(&target.scrape_pool));
    let key = |target: &ActiveTarget| (target.scrape_pool.clone(), target.labels.clone());
    targets.active.sort_by_cached_key(key);
    let mut dropped_counts: BTreeMap<String, i64> = BTreeMap::new();
    for target in &targets.dropped {
        *dropped_counts.entry(target.scrape_pool.clone()).or_default() += 1;
    }
    if !is_shown("dropped") {
        targets.dropped.clear();
    }
    let warnings = std::mem::take(&mut targets.warnings);
    let weight = targets.active.len() * 20 + targets.dropped.len() * 10;
    let answer = Answer::new(weight, move |json| write(json, &targets, &dropped_counts));
    Ok(answer.with_notices(warnings, Vec::new()))
}

/// Optional `match_target`, `metric` and `limit`, after which no further target is shown.
pub(crate) async fn metadata(served: Arc<QueryApi>, params: Params) -> Result<Answer, ApiError> {
    let limit = match params.get("limit") {
        "" => None,
        text => {
            let limit = text.parse::<i64>();
            let limit = limit.map_err(|_| ApiError::BadData("limit must be a number".to_owned()))?;
            usize::try_from(limit).ok()
        }
    };
    let matchers = match params.get("match_target") {
        "" => Vec::new(),
        text => selector(text).map_err(|reason| ApiError::parameter("match_target", reason))?,
    };
    let family = params.get("metric").to_owned();
    let mut found = match limit {
        Some(0) => TargetsMetadata::default(),
        limit => served.targets.metadata(&family, &matchers, limit).await?,
    };
    if let Some(limit) = limit {
        let entries = &found.entries;
        let begins = |at: &usize| entries[*at].labels != entries[*at - 1].labels;
        let end = (limit.max(1)..entries.len()).find(begins);
        found.entries.truncate(end.unwrap_or(usize::MAX));
    }
    let TargetsMetadata { entries, warnings } = found;
    let answer = Answer::new(entries.len() * 8, move |json| {
        json.array(&entries, |json, entry| write_metadata(json, entry, family.is_empty()));
    });
    Ok(answer.with_notices(warnings, Vec::new()))
}

/// Writes an entry; the family only where it was not asked for.
fn write_metadata(json: &mut JsonWriter, entry: &TargetMetadata, with_family: bool) {
    json.object(|json| {
        write_labels(json.member("target"), &entry.labels);
        if with_family {
            json.text("metric", &entry.metadata.family);
        }
        json.text("type", entry.metadata.metric_type.as_str());
        json.text("help", &entry.metadata.help);
        json.text("unit", &entry.metadata.unit);
    });
}

fn write(json: &mut JsonWriter, targets: &Targets, dropped_counts: &BTreeMap<String, i64>) {
    json.raw("{\"activeTargets\":");
    json.array(&targets.active, write_active);
    json.raw(",\"droppedTargets\":");
    json.array(&targets.dropped, |json, target| {
        json.raw("{\"discoveredLabels\":");
        write_labels(json, &target.discovered_labels);
        json.key(1, "scrapePool");
        json.text(&target.scrape_pool);
        json.raw("}");
    });
    json.raw(",\"droppedTargetCounts\":{");
    for (at, (pool, count)) in dropped_counts.iter().enumerate() {
        json.key(at, pool);
        json.integer(*count);
    }
    json.raw("}}");
}

fn write_active(json: &mut JsonWriter, target: &ActiveTarget) {
    json.raw("{\"discoveredLabels\":");
    write_labels(json, &target.discovered_labels);
    json.raw(",\"labels\":");
    write_labels(json, &target.labels);
    let last_scrape = target.last_scrape_ms.map_or_else(|| NEVER.to_owned(), rfc3339);
    for (key, text) in [
        ("scrapePool", &target.scrape_pool),
        ("scrapeUrl", &target.scrape_url),
        ("globalUrl", &target.global_url),
        ("lastError", &target.last_error),
        ("lastScrape", &last_scrape),
    ] {
        json.key(1, key);
        json.text(text);
    }
    json.key(1, "lastScrapeDuration");
    json.number(target.last_scrape_duration_seconds);
    for (key, text) in [
        ("health", &target.health),
        ("scrapeInterval", &target.scrape_interval),
        ("scrapeTimeout", &target.scrape_timeout),
        ("scraper", &target.scraper),
    ] {
        json.key(1, key);
        json.text(text);
    }
    json.raw("}");
}

fn write_labels(json: &mut JsonWriter, labels: &BTreeMap<String, String>) {
    json.text_map(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
}

/// Prints a time as RFC 3339 with the digits it has.
pub(crate) fn rfc3339(time_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(time_ms).map_or_else(|_| NEVER.to_owned(), |time| time.to_string())
}
