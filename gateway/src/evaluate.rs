//! Fragments of queries, evaluated over blocks: the engine selects from the blocks that the request names as if they were
//! all there is.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use block::{BlockSeries, SelectedSeries};
use model::BlockId;
use selection::{External, PartSeries, Select, choose, coarse_of, merge_series};
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
            aggregate: request.aggregate,
            resolution: request.resolution,
            series_max: self.series_max,
            bytes_max: self.bytes_max,
        };
        let chosen = choose(self.asked.iter().map(|asked| &asked.meta), request.range, request.resolution);
        let coarse = coarse_of(&chosen);
        let ids: BTreeSet<BlockId> = chosen.iter().map(|chosen| chosen.meta.id).collect();
        let asked = self.asked.iter().filter(|asked| ids.contains(&asked.meta.id)).cloned().collect();
        let SelectedSeries { series, memory: mut held } =
            selection.run(&self.blocks, &self.faults, asked, memory).await?;
        let part = |BlockSeries { labels, chunks }| PartSeries { labels, chunks };
        let parts: Vec<PartSeries> = series.into_iter().map(part).collect();
        held.resize(parts.iter().map(PartSeries::size_bytes).sum())?;
        let series = merge_series(vec![parts], &self.external, &request.matchers).await?;
        Ok(SeriesSet { series, warnings: Vec::new(), memory: Some(Arc::new(held)), coarse })
    }
}
