//! Makes the blocks of one part of a foreign block: one a shard that has a series there. CPU-bound.
//!
//! Held at once: references of all series, four bytes each; for each shard that is being built, its labels and encoded
//! samples of one window, and one series decoded.

use std::cell::RefCell;

use block::{BlockSpec, BuiltBlock, SeriesInput};
use chunk::ChunkError;
use cluster::ShardMap;
use model::{BlockId, BlockRange, LabelSet, Samples, ShardId, SortRange, TimeRange};
use tsdb::{Block, SeriesCursor, TsdbError};

use super::plan::Added;

/// The series of each shard, as the foreign index names them.
pub(super) type Division = Vec<(ShardId, Vec<u32>)>;

/// Why a part was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum MakeError {
    #[error(transparent)]
    Source(#[from] TsdbError),
    #[error(transparent)]
    Block(#[from] block::BlockError),
    #[error("the cluster has no shards yet")]
    NoShards,
}

/// Tells which shard each series of a block belongs to, with the labels it will have.
pub(super) fn divide(block: &Block, added: &Added, shards: &ShardMap) -> Result<Division, MakeError> {
    let mut division: Division = shards.shards.keys().map(|shard| (*shard, Vec::new())).collect();
    let mut cursor = block.series();
    while let Some(entry) = cursor.next_series()? {
        let shard = shards.shard_of(&added.to(&entry.labels)).ok_or(MakeError::NoShards)?;
        let at =
            division.binary_search_by_key(&shard, |(shard, _)| *shard).map_err(|_| MakeError::NoShards)?;
        // A reference is a 16th of an offset, as 32 bits in the format's own postings.
        division[at].1.push(entry.reference as u32);
    }
    Ok(division)
}

/// Builds the block of one shard; `None` when it has no sample in the range.
pub(super) fn build(
    source: &Block,
    series: &[u32],
    added: &Added,
    spec: &BlockSpec,
) -> Result<Option<BuiltBlock>, MakeError> {
    let fault = RefCell::new(None);
    let mut cursor = source.series();
    let inputs = series.iter().filter_map(|reference| {
        if fault.borrow().is_some() {
            return None;
        }
        match read(&mut cursor, *reference, added, spec.range) {
            Ok(input) => input,
            Err(error) => {
                *fault.borrow_mut() = Some(error);
                None
            }
        }
    });
    let built = block::build(spec, inputs);
    match fault.into_inner() {
        Some(fault) => Err(fault.into()),
        None => Ok(Some(built?).filter(|built| built.meta.samples > 0)),
    }
}

fn read(
    cursor: &mut SeriesCursor<'_>,
    reference: u32,
    added: &Added,
    range: BlockRange,
) -> Result<Option<Decoded>, TsdbError> {
    let entry = cursor.series_at(u64::from(reference))?;
    let mut samples = Samples::default();
    cursor.read(&entry, range.closed(), &mut samples)?;
    Ok((!samples.is_empty()).then(|| Decoded { labels: added.to(&entry.labels), samples }))
}

/// What a block is told besides its series.
pub(super) fn spec(
    id: BlockId,
    shard: ShardId,
    range: BlockRange,
    settings: &cluster::ClusterSettings,
) -> BlockSpec {
    BlockSpec {
        id,
        shard,
        range,
        level: 0,
        // No head cut it.
        cut_index: 0,
        parents: Vec::new(),
        resolution_ms: 0,
        sort_range: SortRange::ALL,
        external_labels: settings.external_labels.clone(),
        // Blocks of Prometheus do not say what their metrics are.
        metadata: Vec::new(),
    }
}

/// A series read from a foreign block.
struct Decoded {
    labels: LabelSet,
    samples: Samples,
}

impl SeriesInput for Decoded {
    fn read(&self, _range: TimeRange, out: &mut Samples) -> Result<(), ChunkError> {
        out.extend_from(&self.samples, 0..self.samples.len());
        Ok(())
    }

    fn into_labels(self) -> LabelSet {
        self.labels
    }
}
