//! `/api/v1/admin/tsdb/*`: what changes or ends stored data, for those who switched it on.
//!
//! Source: Prometheus `web/api/v1/api.go` (`deleteSeries`, `cleanTombstones`, `snapshot`), version 3.

use std::sync::Arc;

use async_trait::async_trait;
use model::{Matcher, TimeRange};
use storage::StorageError;

use crate::ApiError;
use crate::params::Params;
use crate::query_api::QueryApi;

/// Changes stored data.
#[async_trait]
pub trait Admin: Send + Sync {
    /// Deletes all samples in a closed range of the series that satisfy all matchers of one of the selectors. Once it returns,
    /// no query that begins then or later sees them.
    ///
    /// # Errors
    /// Kind `Invalid` for selectors that are too long; `Unavailable` when a part of the cluster does not answer, or too many
    /// deletes wait to be folded into blocks: the request may then be done in part, and can be sent again.
    async fn delete_series(&self, selectors: Vec<Vec<Matcher>>, range: TimeRange)
    -> Result<(), StorageError>;

    /// Has what is deleted removed from the disk, soon.
    ///
    /// # Errors
    /// Kind `Unavailable` when the cluster does not answer.
    async fn clean_tombstones(&self) -> Result<(), StorageError>;
}

fn admin(served: &QueryApi) -> Result<&Arc<dyn Admin>, ApiError> {
    served.admin.as_ref().ok_or(ApiError::AdminDisabled)
}

/// At least one `match[]`; optional `start` and `end`, both inclusive.
pub(crate) async fn delete_series(served: Arc<QueryApi>, params: Params) -> Result<(), ApiError> {
    let admin = admin(&served)?;
    if params.all("match[]").next().is_none() {
        return Err(ApiError::BadData("no match[] parameter provided".to_owned()));
    }
    let range = params.range()?;
    let parse =
        |text| promql::parse_matchers(text).map_err(|e| ApiError::parameter("match[]", e.to_string()));
    let selectors = params.all("match[]").map(parse).collect::<Result<_, _>>()?;
    Ok(admin.delete_series(selectors, range).await?)
}

pub(crate) async fn clean_tombstones(served: Arc<QueryApi>, _: Params) -> Result<(), ApiError> {
    Ok(admin(&served)?.clean_tombstones().await?)
}

pub(crate) async fn snapshot(served: Arc<QueryApi>, _: Params) -> Result<(), ApiError> {
    admin(&served)?;
    let text = "snapshots are not supported: blocks lie in the object store, which can be copied at any time";
    Err(ApiError::NotFound(text.to_owned()))
}
