//! Fragments of queries, evaluated over the heads led here: the engine selects from the shards that the request names as
//! if they were all there is.

use std::sync::Arc;

use async_trait::async_trait;
use head::{Head, HeadSeries};
use proto::error::kind_of_status;
use selection::{External, PartSeries, Select, merge_series};
use storage::{QueryMemory, SelectRequest, SeriesSet, StorageError, Wanted};
use tonic::Status;

use crate::store_service::on_head;

/// The heads of one request; that they are led here was made sure of before.
pub(crate) struct HeadsOfRequest {
    /// Each with the first millisecond that it answers for.
    pub(crate) heads: Vec<(Arc<Head>, i64)>,
    pub(crate) external: Arc<External>,
    pub(crate) series_max: usize,
}

#[async_trait]
impl Select for HeadsOfRequest {
    async fn select(&self, request: &SelectRequest, memory: &QueryMemory) -> Result<SeriesSet, StorageError> {
        let (mut parts, mut held) = (Vec::with_capacity(self.heads.len()), memory.empty());
        for (head, from_ms) in &self.heads {
            let (matchers, from_ms) = (self.external.localize(&request.matchers), *from_ms);
            let (range, wanted, series_max) = (request.range, request.wanted, self.series_max);
            let series = on_head(Arc::clone(head), from_ms, move |head| {
                let selection = head.selection(&matchers, range, from_ms)?;
                match wanted {
                    Wanted::All => selection.all(head, series_max),
                    Wanted::Newest => selection.newest_only().all(head, series_max),
                }
            });
            let part = |HeadSeries { labels, chunks }| PartSeries { labels, chunks };
            let part: Vec<PartSeries> = series.await.map_err(storage_error)?.into_iter().map(part).collect();
            held.grow(part.iter().map(PartSeries::size_bytes).sum())?;
            parts.push(part);
        }
        let series = merge_series(parts, &self.external, &request.matchers).await?;
        Ok(SeriesSet { series, warnings: Vec::new(), memory: Some(Arc::new(held)), coarse: None })
    }
}

fn storage_error(status: Status) -> StorageError {
    StorageError::with_source(kind_of_status(&status), status.message().to_owned(), status)
}
