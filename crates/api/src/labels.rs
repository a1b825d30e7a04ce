//! What series there are: label names, label values, label sets, metadata.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::MetricMetadata;
use storage::{LabelRequest, Labelled};

use crate::ApiError;
use crate::endpoint::Answer;
use crate::escape::unescape;
use crate::params::Params;
use crate::query::completeness;
use crate::query_api::{Completeness, QueryApi};

/// `/api/v1/labels`: optional `match[]`, `start`, `end`, `limit`.
pub(crate) async fn names(served: Arc<QueryApi>, params: Params) -> Result<Answer, ApiError> {
    let request = request(&params)?;
    let run = async |data: Arc<dyn storage::Queryable>| Ok(data.label_names(&request).await?);
    Ok(texts(served.queries.read(completeness(&params), run).await?))
}

/// `/api/v1/label/{name}/values`: the same.
pub(crate) async fn values(served: Arc<QueryApi>, params: Params) -> Result<Answer, ApiError> {
    let name = unescape(&params.path);
    if name.is_empty() {
        return Err(ApiError::BadData(format!("invalid label name: {name:?}")));
    }
    let request = request(&params)?;
    let run = async |data: Arc<dyn storage::Queryable>| Ok(data.label_values(&name, &request).await?);
    Ok(texts(served.queries.read(completeness(&params), run).await?))
}

/// `/api/v1/series`: the same, and at least one `match[]`.
pub(crate) async fn series(served: Arc<QueryApi>, params: Params) -> Result<Answer, ApiError> {
    if params.all("match[]").next().is_none() {
        return Err(ApiError::BadData("no match[] parameter provided".to_owned()));
    }
    let limit = params.limit()?;
    let range = params.range()?;
    let selectors = params.selectors().map_err(|reason| ApiError::parameter("match[]", reason))?;
    let request = LabelRequest { selectors, range, limit };
    let run = async |data: Arc<dyn storage::Queryable>| Ok(data.series(&request).await?);
    let found = served.queries.read(completeness(&params), run).await?;
    let answer = Answer::new(found.values.len() * 8, move |json| {
        json.array(&found.values, |json, labels| json.labels(labels));
    });
    Ok(answer.with_notices(found.warnings, Vec::new()))
}

/// `/api/v1/metadata`: optional `metric`, `limit` (families), `limit_per_metric`.
pub(crate) async fn metadata(served: Arc<QueryApi>, params: Params) -> Result<Answer, ApiError> {
    let families_max = count(&params, "limit")?;
    let entries_max = count(&params, "limit_per_metric")?;
    let family = Some(params.get("metric")).filter(|family| !family.is_empty());
    let run = async |data: Arc<dyn storage::Queryable>| Ok(data.metadata(family).await?);
    let found = served.queries.read(Completeness::Strict, run).await?;
    let mut families: BTreeMap<String, Vec<MetricMetadata>> = BTreeMap::new();
    for entry in found {
        let entries = families.entry(entry.family.clone()).or_default();
        if entries_max.is_none_or(|max| entries.len() < max) {
            entries.push(entry);
        }
    }
    let weight = families.len() * 4;
    Ok(Answer::new(weight, move |json| {
        json.raw("{");
        for (at, (family, entries)) in families.iter().take(families_max.unwrap_or(usize::MAX)).enumerate() {
            json.key(at, family);
            json.array(entries, |json, entry| {
                let pairs = [
                    ("type", entry.metric_type.as_str()),
                    ("help", entry.help.as_str()),
                    ("unit", entry.unit.as_str()),
                ];
                json.text_map(pairs);
            });
        }
        json.raw("}");
    }))
}

/// Returns a count; `None` when it is not given or negative, which means all.
fn count(params: &Params, name: &'static str) -> Result<Option<usize>, ApiError> {
    let text = params.get(name);
    if text.is_empty() {
        return Ok(None);
    }
    let count: i64 = text.parse().map_err(|_| ApiError::BadData(format!("{name} must be a number")))?;
    // Prometheus takes 0 for "no entry" of `limit`, but for "all" of `limit_per_metric`.
    let is_all = count < 0 || (count == 0 && name == "limit_per_metric");
    Ok(usize::try_from(count).ok().filter(|_| !is_all))
}

fn request(params: &Params) -> Result<LabelRequest, ApiError> {
    let limit = params.limit()?;
    let range = params.range()?;
    let selectors = params.selectors().map_err(ApiError::BadData)?;
    Ok(LabelRequest { selectors, range, limit })
}

fn texts(found: Labelled<String>) -> Answer {
    let Labelled { values, warnings } = found;
    Answer::new(values.len(), move |json| json.texts(&values)).with_notices(warnings, Vec::new())
}
