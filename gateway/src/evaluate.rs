//! Fragments of queries, evaluated over blocks: the engine selects from the blocks that the request names as if they were
//! all there is.

use std::sync::Arc;

use async_trait::async_trait;
use block::{BlockSeries, SelectedSeries};
use model::{BlockMeta, TimeRange};
use selection::{External, PartSeries, Select, merge_series};
use storage::{QueryMemory, SelectRequest, SeriesSet, StorageError};

use crate::blocks::Blocks;
use crate::deletes::AskedBlock;
use crate::fault::Faults;
use crate::select::Selection;

/// The blocks of one request.
pub(crate) struct BlocksOfRequest {
    pub(crate) blocks: Arc<Blocks>,
    pub(crate) faults: Faults,
    pub(crate) asked: Vec<AskedBlock>,
    pub(crate) external: Arc<External>,
    pub(crate) series_max: usize,
    pub(crate) bytes_max: u64,
}

#[async_trait]
impl Select for BlocksOfRequest {
    async fn select(&self, request: &SelectRequest, memory: &QueryMemory) -> Result<SeriesSet, StorageError> {
        let selection = Selection {
            matchers: self.external.localize(&request.matchers),
            range: request.range,
            series_max: self.series_max,
            bytes_max: self.bytes_max,
        };
        let asked = self.asked.iter().filter(|asked| overlaps(&asked.meta, request.range)).cloned().collect();
        let SelectedSeries { series, memory: mut held } =
            selection.run(&self.blocks, &self.faults, asked, memory).await?;
        let part = |BlockSeries { labels, chunks }| PartSeries { labels, chunks };
        let parts: Vec<PartSeries> = series.into_iter().map(part).collect();
        held.resize(parts.iter().map(PartSeries::size_bytes).sum())?;
        let series = merge_series(vec![parts], &self.external, &request.matchers).await?;
        Ok(SeriesSet { series, warnings: Vec::new(), memory: Some(Arc::new(held)) })
    }
}

fn overlaps(meta: &BlockMeta, range: TimeRange) -> bool {
    meta.range.start.0 <= range.end.0 && range.start.0 < meta.range.end.0
}
