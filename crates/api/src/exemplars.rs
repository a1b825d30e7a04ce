//! `/api/v1/query_exemplars`: the exemplars of the series that a query reads.

use std::sync::Arc;

use model::{Exemplar, SeriesExemplars};
use storage::LabelRequest;

use crate::ApiError;
use crate::endpoint::Answer;
use crate::json::JsonWriter;
use crate::params::Params;
use crate::query::completeness;
use crate::query_api::QueryApi;

/// `query`, whose selectors count, and optional `start` and `end`. A query without a selector has none.
pub(crate) async fn exemplars(served: Arc<QueryApi>, params: Params) -> Result<Answer, ApiError> {
    let range = params.range()?;
    if range.is_empty() {
        return Err(ApiError::BadData("end timestamp must not be before start timestamp".to_owned()));
    }
    let query = promql::parse(params.get("query")).map_err(|e| ApiError::BadData(e.to_string()))?;
    let selectors: Vec<_> = query.selectors().map(<[_]>::to_vec).collect();
    if selectors.is_empty() {
        return Ok(Answer::new(0, |json| json.raw("[]")));
    }
    let request = LabelRequest { selectors, range, limit: None };
    let run = async |data: Arc<dyn storage::Queryable>| Ok(data.exemplars(&request).await?);
    let found = served.queries.read(completeness(&params), run).await?;
    let weight = found.iter().map(|series| 4 + series.exemplars.len() * 4).sum();
    Ok(Answer::new(weight, move |json| json.array(&found, write_series)))
}

fn write_series(json: &mut JsonWriter, series: &SeriesExemplars) {
    json.object(|json| {
        json.member("seriesLabels").labels(&series.labels);
        json.member("exemplars").array(&series.exemplars, write_exemplar);
    });
}

fn write_exemplar(json: &mut JsonWriter, exemplar: &Exemplar) {
    json.object(|json| {
        json.member("labels").labels(&exemplar.labels);
        json.member("value").value(exemplar.value);
        json.member("timestamp").timestamp(exemplar.time_ms);
    });
}
