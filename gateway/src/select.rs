//! A select over several blocks: read side by side, merged by label set.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use block::{BlockError, BlockSeries, Erase, SelectLimits, SelectedSeries};
use futures::{StreamExt, TryStreamExt, stream};
use model::{Aggregate, BlockId, BlockMeta, ErrorKind, LabelSet, Matcher, TimeRange, TimeRanges};
use proto::error::{kind_of_status, status};
use selection::{Chosen, Deletes, Others, choose};
use storage::{MemoryError, QueryMemory, Resolution, StorageError};
use tonic::Status;

use crate::blocks::Blocks;
use crate::deletes::{AskedBlock, OfOneBlock};
use crate::fault::Faults;
use crate::frames::size_bytes;

/// How many blocks one request reads at the same time.
pub(crate) const BLOCKS_IN_FLIGHT_MAX: usize = 8;

/// Why a select has no answer.
#[derive(Debug)]
pub(crate) enum SelectError {
    /// For the caller, as it is.
    Status(Status),
    /// The query, or all queries of this process, need too much.
    Memory(MemoryError),
}

impl From<Status> for SelectError {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<SelectError> for Status {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::Status(status) => status,
            SelectError::Memory(error) => status(error.kind(), error.to_string()),
        }
    }
}

impl From<SelectError> for StorageError {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::Status(status) => {
                Self::with_source(kind_of_status(&status), status.message().to_owned(), status)
            }
            SelectError::Memory(error) => error.into(),
        }
    }
}

/// What to select, and how much of it.
pub(crate) struct Selection {
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) range: TimeRange,
    pub(crate) aggregate: Aggregate,
    pub(crate) resolution: Resolution,
    pub(crate) series_max: usize,
    pub(crate) bytes_max: u64,
}

/// A block, and what of it is read.
struct Part {
    meta: BlockMeta,
    range: TimeRange,
    others: Others,
    deletes: Deletes,
}

/// What blocks of other resolutions answer for.
struct AnsweredByOthers(Others);

impl Erase for AnsweredByOthers {
    fn erased(&self, _block: BlockId, labels: &LabelSet) -> TimeRanges {
        self.0.times_of(labels)
    }

    fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }
}

impl Selection {
    /// Reads all blocks and returns each label set once, sorted, with its chunks in the order of blocks.
    ///
    /// # Errors
    /// Kind `LimitExceeded` beyond either limit; [`SelectError::Memory`]; those of the blocks, by name.
    pub(crate) async fn run(
        self,
        blocks: &Blocks,
        faults: &Faults,
        asked: Vec<AskedBlock>,
        memory: &QueryMemory,
    ) -> Result<SelectedSeries, SelectError> {
        let gathered = AtomicU64::new(0);
        // A part of a split that cannot hold the metric is not even opened.
        let may_match = |asked: &AskedBlock| asked.meta.sort_range.may_match(&self.matchers);
        let asked: Vec<AskedBlock> = asked.into_iter().filter(may_match).collect();
        let parts = self.parts(&asked);
        let parts = stream::iter(parts).map(|part| self.one(blocks, faults, part, &gathered, memory));
        let parts: Vec<(BlockId, SelectedSeries)> =
            parts.buffer_unordered(BLOCKS_IN_FLIGHT_MAX).try_collect().await?;
        let (limit, mut memory) = (self.series_max, memory.empty());
        let parts = parts.into_iter().map(|(block, selected)| {
            memory.absorb(selected.memory);
            (block, selected.series)
        });
        let parts = parts.collect();
        let merged = tokio::task::spawn_blocking(move || merge(parts)).await;
        let series = merged.map_err(|e| status(ErrorKind::Internal, format!("merging blocks ended: {e}")))?;
        if series.len() > limit {
            let message = format!("the query matches {} series in blocks, more than {limit}", series.len());
            return Err(status(ErrorKind::LimitExceeded, message).into());
        }
        Ok(SelectedSeries { series, memory })
    }

    /// Chooses which blocks are read, and what of each.
    fn parts(&self, asked: &[AskedBlock]) -> Vec<Part> {
        let deletes: BTreeMap<BlockId, &Deletes> =
            asked.iter().map(|asked| (asked.meta.id, &asked.deletes)).collect();
        let part = |Chosen { meta, range, others }: Chosen<'_>| {
            let deletes = deletes[&meta.id].clone();
            Part { meta: meta.clone(), range, others, deletes }
        };
        let chosen = choose(asked.iter().map(|asked| &asked.meta), self.range, self.resolution);
        chosen.into_iter().map(part).collect()
    }

    async fn one(
        &self,
        blocks: &Blocks,
        faults: &Faults,
        part: Part,
        gathered: &AtomicU64,
        memory: &QueryMemory,
    ) -> Result<(BlockId, SelectedSeries), SelectError> {
        let Part { meta, range, others, deletes } = part;
        let fault = |e: BlockError| faults.status(&meta, &e);
        let reader = blocks.get(&meta).await.map_err(fault)?;
        let left = self.bytes_max.saturating_sub(gathered.load(Ordering::Relaxed));
        let limits = SelectLimits { series: self.series_max, bytes: left };
        let selected = reader.select_within(&self.matchers, range, self.aggregate, limits, memory).await;
        let selected = match selected {
            Ok(SelectedSeries { series, memory }) => {
                // Of all times: chunks reach beyond the range, and where there are slots a query looks further back than it.
                let left = reader.leave_out(series, Arc::new(OfOneBlock(deletes))).await;
                let left = match left {
                    Ok(series) => reader.leave_out(series, Arc::new(AnsweredByOthers(others))).await,
                    error => error,
                };
                left.map(|series| SelectedSeries { series, memory })
            }
            // The block knows only what was left of the limit; the caller is told the limit.
            Err(BlockError::BytesLimit { .. }) => return Err(self.too_many_bytes().into()),
            Err(BlockError::Memory(error)) => return Err(SelectError::Memory(error)),
            error => error,
        };
        let selected = blocks.note(&meta, selected).map_err(fault)?;
        let bytes: u64 = selected.series.iter().map(|series| size_bytes(series) as u64).sum();
        let total = gathered.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if total > self.bytes_max {
            return Err(self.too_many_bytes().into());
        }
        Ok((meta.id, selected))
    }

    fn too_many_bytes(&self) -> Status {
        let message = format!("the query reads more than {} bytes from blocks", self.bytes_max);
        status(ErrorKind::LimitExceeded, message)
    }
}

/// Merges sorted parts; chunks of one label set come in the order of their blocks' ids, which is that in which ranges end. Of
/// equal timestamps so the sample is read that [`block::merge()`] keeps.
fn merge(mut parts: Vec<(BlockId, Vec<BlockSeries>)>) -> Vec<BlockSeries> {
    parts.sort_by_key(|(block, _)| *block);
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

#[cfg(test)]
mod tests {
    use model::Samples;

    use super::*;

    #[test]
    fn of_equal_timestamps_the_block_with_the_lowest_id_counts() {
        let part = |id: u128, times: &[i64]| {
            let labels = LabelSet::from_pairs([("__name__", "up")]);
            let values: Vec<f64> = times.iter().map(|_| id as f64).collect();
            (BlockId(id), vec![BlockSeries { labels, chunks: vec![chunk::encode(times, &values)] }])
        };
        // The one that begins first ends last, as an imported one may.
        let merged = merge(vec![part(6, &[10, 50, 60]), part(5, &[40, 50])]);
        let mut read = Samples::default();
        chunk::read_merged(&merged[0].chunks, 0, 100, &mut read).expect("whole");
        assert_eq!((read.timestamps, read.floats), (vec![10, 40, 50, 60], vec![6.0, 5.0, 5.0, 6.0]));
        assert_eq!(merged.len(), 1);
    }
}
