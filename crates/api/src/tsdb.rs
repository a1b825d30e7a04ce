//! `/api/v1/status/tsdb`: what is in the heads, and which names and values make the most series.

use std::sync::Arc;

use model::Cardinality;
use model::cardinality::NameCount;

use crate::ApiError;
use crate::endpoint::Answer;
use crate::json::JsonWriter;
use crate::params::Params;
use crate::query_api::{Completeness, QueryApi};

/// How many entries each list has when the caller does not say.
const LIMIT_DEFAULT: usize = 10;
/// The most entries of each list; Prometheus has had this bound since 3.6.
const LIMIT_MAX: usize = 10_000;

/// Optional `limit`.
pub(crate) async fn tsdb(served: Arc<QueryApi>, params: Params) -> Result<Answer, ApiError> {
    let limit = limit(params.get("limit"))?;
    let run = async |data: Arc<dyn storage::Queryable>| Ok(data.cardinality(limit).await?);
    let found = served.queries.read(Completeness::Strict, run).await?;
    let weight = found.metrics.len() + found.labels.len() * 2 + found.pairs.len();
    Ok(Answer::new(weight, move |json| write(json, &found, limit)))
}

fn limit(text: &str) -> Result<usize, ApiError> {
    if text.is_empty() {
        return Ok(LIMIT_DEFAULT);
    }
    let bad = |reason: &str| ApiError::BadData(reason.to_owned());
    let limit = text.parse::<i64>().ok().filter(|limit| *limit > 0);
    let limit = limit.ok_or_else(|| bad("limit must be a positive number"))?;
    let limit = usize::try_from(limit).ok().filter(|limit| *limit <= LIMIT_MAX);
    limit.ok_or_else(|| bad(&format!("limit must not exceed {LIMIT_MAX}")))
}

fn write(json: &mut JsonWriter, found: &Cardinality, limit: usize) {
    let label_pairs: u64 = found.labels.iter().map(|label| label.values.count()).sum();
    json.object(|json| {
        json.member("headStats").object(|json| {
            json.count("numSeries", found.series);
            json.count("numLabelPairs", label_pairs);
            json.count("chunkCount", found.chunks);
            json.member("minTime").integer(found.range.map_or(i64::MAX, |range| range.start.0));
            json.member("maxTime").integer(found.range.map_or(i64::MIN, |range| range.end.0));
        });
        let named = |counts: &[NameCount]| -> Vec<(String, u64)> {
            counts.iter().map(|count| (count.name.clone(), count.series)).collect()
        };
        let values: Vec<_> =
            found.labels.iter().map(|label| (label.name.clone(), label.values.count())).collect();
        let mut bytes: Vec<_> =
            found.labels.iter().map(|label| (label.name.clone(), label.value_bytes)).collect();
        bytes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        for (key, stats) in [
            ("seriesCountByMetricName", named(&found.metrics)),
            ("labelValueCountByLabelName", values),
            ("memoryInBytesByLabelName", bytes),
            ("seriesCountByLabelValuePair", named(&found.pairs)),
        ] {
            json.member(key).array(stats.into_iter().take(limit), |json, (name, count)| {
                json.object(|json| {
                    json.text("name", &name);
                    json.count("value", count);
                });
            });
        }
    });
}
