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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use block::{BlockReader, ObjectStoreReader};
    use model::{MatchOp, Matcher, NodeId};
    use object_store::ObjectStore;
    use object_store::memory::InMemory;
    use tsdb::BlockWriter;

    use super::*;
    use crate::import::plan;

    const WINDOW_MS: i64 = 100_000;

    /// The next of a row of numbers that only its start decides.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 33
    }

    /// Makes series with gaps; some have no sample in most windows.
    fn series(state: &mut u64) -> BTreeMap<LabelSet, Samples> {
        let one = |number: u64, state: &mut u64| {
            let labels =
                LabelSet::from_pairs([("__name__", format!("m{}", number % 5)), ("n", number.to_string())]);
            let mut samples = Samples::default();
            let mut time = (next(state) % 350_000) as i64 + 12_345;
            let step = 1 + (next(state) % 9000) as i64;
            for _ in 0..1 + next(state) % 300 {
                if time < 412_000 {
                    samples.push(time, f64::from_bits(next(state) << 40 | next(state)));
                }
                time += 1 + step * (next(state) % 3) as i64;
            }
            (labels, samples)
        };
        (0..60).map(|number| one(number, state)).collect()
    }

    /// Reads all blocks of a shard as one: what a query sees of it.
    async fn read_back(blocks: Vec<BlockReader>) -> BTreeMap<LabelSet, Vec<(i64, u64)>> {
        let all = Matcher::new(MatchOp::NotEqual, "__name__", "").expect("no pattern to compile");
        let mut found: BTreeMap<LabelSet, Vec<(i64, u64)>> = BTreeMap::new();
        for block in blocks {
            for series in
                block.select(std::slice::from_ref(&all), TimeRange::ALL, 1000).await.expect("undamaged")
            {
                let mut samples = Samples::default();
                series.read(TimeRange::ALL, &mut samples).expect("undamaged");
                let bits = samples.floats.iter().map(|float| float.to_bits());
                found.entry(series.labels).or_default().extend(samples.timestamps.into_iter().zip(bits));
            }
        }
        found
    }

    #[tokio::test]
    async fn every_sample_is_in_the_block_of_its_shard_and_window_and_nowhere_else() {
        for seed in 1..6 {
            let mut state = seed;
            let series = series(&mut state);
            let dir = tempfile::tempdir().expect("a directory");
            let range = BlockRange::new(12_345, 412_000);
            let mut writer = BlockWriter::create(dir.path(), BlockId(7), range).expect("writable");
            series.iter().for_each(|(labels, samples)| writer.add(labels, samples).expect("writable"));
            let source = Block::open(&writer.finish().expect("writable").dir).expect("just written");

            let settings = cluster::ClusterSettings {
                name: String::new(),
                uuid: String::new(),
                external_labels: BTreeMap::from([("cluster".to_owned(), "eu".to_owned())]),
                exemplars_max: 0,
                block_duration_ms: WINDOW_MS,
                out_of_order_window_ms: 0,
                shards: 3,
                replicas: 1,
            };
            let given = BTreeMap::from([
                ("site".to_owned(), "x".to_owned()),
                ("cluster".to_owned(), "eu".to_owned()),
            ]);
            let added = Added::new(source.meta(), &given, &settings.external_labels);
            let shards = ShardMap::even(vec![vec![NodeId(1)]; 3]);
            let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let mut found = BTreeMap::new();
            let units = plan::units(source.meta(), WINDOW_MS);
            assert_eq!(units.len(), 5);
            for (shard, references) in divide(&source, &added, &shards).expect("undamaged") {
                let mut blocks = Vec::new();
                for (number, unit) in units.iter().enumerate() {
                    let id = BlockId(u128::from(shard.0) << 32 | number as u128);
                    let spec = spec(id, shard, unit.range, &settings);
                    let Some(built) = build(&source, &references, &added, &spec).expect("undamaged") else {
                        continue;
                    };
                    block::upload(&*store, &built).await.expect("the name is free");
                    let reader = Arc::new(ObjectStoreReader::new(Arc::clone(&store)));
                    blocks.push(BlockReader::open(reader, built.meta).await.expect("just written"));
                }
                let read = read_back(blocks).await;
                assert!(read.keys().all(|labels| shards.shard_of(labels) == Some(shard)), "of its shard");
                read.into_iter().for_each(|(labels, samples)| {
                    assert!(found.insert(labels, samples).is_none(), "a series is on one shard");
                });
            }
            let with_site = |labels: &LabelSet| {
                let mut builder = labels.to_builder();
                builder.set("site", "x");
                builder.build()
            };
            let bits = |samples: &Samples| {
                samples.timestamps.iter().copied().zip(samples.floats.iter().map(|f| f.to_bits())).collect()
            };
            let expected: BTreeMap<LabelSet, Vec<(i64, u64)>> = series
                .iter()
                .filter(|(_, samples)| !samples.is_empty())
                .map(|(labels, samples)| (with_site(labels), bits(samples)))
                .collect();
            assert_eq!(found, expected, "seed {seed}");
        }
    }
}
