//! `format_query` and `parse_query`: what a query's text says, without any data.

mod tree;

use std::sync::Arc;

use promql::Expr;

use crate::ApiError;
use crate::endpoint::{Answer, BYTES_PER_ELEMENT};
use crate::params::Params;
use crate::query_api::QueryApi;

/// `/api/v1/format_query`: the `query` on several lines where it is long.
pub(crate) async fn format_query(served: Arc<QueryApi>, params: Params) -> Result<Answer, ApiError> {
    let text = parsed(&served, &params, |expr| {
        let reason = "the query is nested too deeply to be formatted: the text would be longer than 16 MiB";
        expr.prettify().ok_or_else(|| ApiError::parameter("query", reason))
    });
    let text = text.await?;
    Ok(Answer::new(text.len() / BYTES_PER_ELEMENT, move |json| json.text(&text)))
}

/// `/api/v1/parse_query`: the syntax tree of the `query`.
pub(crate) async fn parse_query(served: Arc<QueryApi>, params: Params) -> Result<Answer, ApiError> {
    let json = parsed(&served, &params, |expr| Ok(tree::write(expr))).await?;
    Ok(Answer::new(json.len() / BYTES_PER_ELEMENT, move |writer| writer.raw(&json)))
}

/// Parses the `query` off the async threads, since its regular expressions may take a while, and makes something of it.
async fn parsed<T: Send + 'static>(
    served: &QueryApi,
    params: &Params,
    make: impl FnOnce(&Expr) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let (query, options) = (params.get("query").to_owned(), served.queries.engine().config().parser);
    let work = tokio::task::spawn_blocking(move || {
        let expr = promql::parse_with(&query, options);
        make(&expr.map_err(|error| ApiError::parameter("query", error.to_string()))?)
    });
    work.await.map_err(|error| ApiError::Internal(format!("the query could not be parsed: {error}")))?
}
