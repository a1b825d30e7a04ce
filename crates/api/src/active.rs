//! `/api/v1/status/active_queries`: the queries that run or wait, and how to stop one.

use std::sync::Arc;

use crate::ApiError;
use crate::endpoint::Answer;
use crate::json::JsonWriter;
use crate::params::Params;
use crate::query_api::QueryApi;
use crate::targets::rfc3339;

/// Lists them, the oldest first.
pub(crate) async fn list(served: Arc<QueryApi>, _: Params) -> Result<Answer, ApiError> {
    let active = served.queries.active();
    Ok(Answer::new(active.len() * 8, move |json: &mut JsonWriter| {
        json.raw("[");
        for (at, query) in active.iter().enumerate() {
            json.raw(if at == 0 { "{" } else { ",{" });
            json.key(0, "id");
            json.integer(query.id as i64);
            for (key, text) in [
                ("query", query.text.as_str()),
                ("state", if query.is_waiting { "waiting" } else { "running" }),
                ("startTime", &rfc3339(query.started_ms)),
            ] {
                json.key(1, key);
                json.text(text);
            }
            json.key(1, "durationSeconds");
            json.number(query.age.as_secs_f64());
            for (key, number) in [("samplesRead", query.samples_read), ("memoryBytes", query.memory_bytes)] {
                json.key(1, key);
                json.integer(i64::try_from(number).unwrap_or(i64::MAX));
            }
            json.raw("}");
        }
        json.raw("]");
    }))
}

/// Stops the one whose id stands in the path.
pub(crate) async fn cancel(served: Arc<QueryApi>, params: Params) -> Result<Answer, ApiError> {
    let id = &params.path;
    let fault = |_| ApiError::parameter("id", format!("{id:?} is not the id of a query"));
    if !served.queries.cancel(id.parse().map_err(fault)?) {
        return Err(ApiError::NotFound(format!("there is no active query with the id {id}")));
    }
    Ok(Answer::new(1, |json| json.text_map([("status", "cancelled")])))
}
