//! `/api/v1/status/active_queries`: the queries that run or wait, and how to stop one.

use std::sync::Arc;

use crate::ApiError;
use crate::endpoint::Answer;
use crate::params::Params;
use crate::query_api::QueryApi;
use crate::targets::rfc3339;

/// Lists them, the oldest first.
pub(crate) async fn list(served: Arc<QueryApi>, _: Params) -> Result<Answer, ApiError> {
    let active = served.queries.active();
    Ok(Answer::new(active.len() * 8, move |json| {
        json.array(&active, |json, query| {
            json.object(|json| {
                json.count("id", query.id);
                json.text("query", &query.text);
                json.text("state", if query.is_waiting { "waiting" } else { "running" });
                json.text("startTime", &rfc3339(query.started_ms));
                json.seconds("durationSeconds", query.age);
                json.count("samplesRead", query.samples_read);
                json.count("memoryBytes", query.memory_bytes);
            });
        });
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
