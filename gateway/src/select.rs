//! A select over several blocks: read side by side, merged by label set.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use block::{BlockError, BlockSeries, SelectLimits};
use futures::{StreamExt, TryStreamExt, stream};
use model::{Aggregate, BlockMeta, ErrorKind, Matcher, TimeRange};
use proto::error::status;
use tonic::Status;

use crate::blocks::Blocks;
use crate::deletes::{AskedBlock, OfOneBlock};
use crate::fault::Faults;
use crate::frames::size_bytes;

/// How many blocks one request reads at the same time.
pub(crate) const BLOCKS_IN_FLIGHT_MAX: usize = 8;

/// What to select, and how much of it.
pub(crate) struct Selection {
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) range: TimeRange,
    pub(crate) series_max: usize,
    pub(crate) bytes_max: u64,
}

impl Selection {
    /// Reads all blocks and returns each label set once, sorted, with its chunks in time order.
    ///
    /// # Errors
    /// Kind `LimitExceeded` beyond either limit; those of the blocks, by name.
    pub(crate) async fn run(
        self,
        blocks: &Blocks,
        faults: &Faults,
        asked: Vec<AskedBlock>,
    ) -> Result<Vec<BlockSeries>, Status> {
        let gathered = AtomicU64::new(0);
        let parts = stream::iter(asked).map(|asked| self.one(blocks, faults, asked, &gathered));
        let parts: Vec<(BlockMeta, Vec<BlockSeries>)> =
            parts.buffer_unordered(BLOCKS_IN_FLIGHT_MAX).try_collect().await?;
        let limit = self.series_max;
        let merged = tokio::task::spawn_blocking(move || merge(parts)).await;
        let merged = merged.map_err(|e| status(ErrorKind::Internal, format!("merging blocks ended: {e}")))?;
        if merged.len() > limit {
            let message = format!("the query matches {} series in blocks, more than {limit}", merged.len());
            return Err(status(ErrorKind::LimitExceeded, message));
        }
        Ok(merged)
    }

    async fn one(
        &self,
        blocks: &Blocks,
        faults: &Faults,
        asked: AskedBlock,
        gathered: &AtomicU64,
    ) -> Result<(BlockMeta, Vec<BlockSeries>), Status> {
        let AskedBlock { meta, deletes } = asked;
        let fault = |e: BlockError| faults.status(&meta, &e);
        let reader = blocks.get(&meta).await.map_err(fault)?;
        let left = self.bytes_max.saturating_sub(gathered.load(Ordering::Relaxed));
        let limits = SelectLimits { series: self.series_max, bytes: left };
        let series = reader.select_within(&self.matchers, self.range, Aggregate::default(), limits).await;
        // The block knows only what was left of the limit; the caller is told the limit.
        if matches!(series, Err(BlockError::BytesLimit { .. })) {
            return Err(self.too_many_bytes());
        }
        let series = match series {
            Ok(series) => reader.leave_out(series, Arc::new(OfOneBlock(deletes.within(&self.range)))).await,
            error => error,
        };
        let series = blocks.note(&meta, series).map_err(fault)?;
        let bytes: u64 = series.iter().map(|series| size_bytes(series) as u64).sum();
        let total = gathered.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if total > self.bytes_max {
            return Err(self.too_many_bytes());
        }
        Ok((meta, series))
    }

    fn too_many_bytes(&self) -> Status {
        let message = format!("the query reads more than {} bytes from blocks", self.bytes_max);
        status(ErrorKind::LimitExceeded, message)
    }
}

/// Merges sorted parts; chunks of one label set come in the order of their blocks' ranges.
fn merge(mut parts: Vec<(BlockMeta, Vec<BlockSeries>)>) -> Vec<BlockSeries> {
    parts.sort_by_key(|(meta, _)| (meta.range, meta.id));
    let mut all: Vec<BlockSeries> = parts.into_iter().flat_map(|(_, series)| series).collect();
    // Stable, and quick on sorted runs.
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut merged: Vec<BlockSeries> = Vec::with_capacity(all.len());
    for series in all {
        match merged.last_mut() {
            Some(last) if last.labels == series.labels => last.chunks.extend(series.chunks),
            _ => merged.push(series),
        }
    }
    merged
}
