//! Merged blocks hold what their inputs hold: against a naive model, for random blocks, bit for bit.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use block::{
    BlockError, BlockInput, BlockReader, BlockSpec, BuiltBlock, Erase, EraseNothing, MergeOutput,
    MergedBlock, ObjectStoreReader, SplitLimits, merge, split, upload_merged,
};
use model::histogram::Span;
use model::{
    BlockId, BlockMeta, BlockRange, ErrorKind, FloatHistogram, LabelSet, MatchOp, Matcher, MetricMetadata,
    Samples, SortRange, TimeRange, TimeRanges,
};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path::Path};
use proptest::prelude::*;
use support::{MemoryReader, PlainSeries, build_plain, cluster_series, labels, scan, select_plain, spec};

const OUTPUT: BlockId = BlockId(77 << 80 | 1);
const WINDOW_MS: i64 = 700_000;

fn input_spec(number: u128, range: BlockRange) -> BlockSpec {
    let metadata = vec![MetricMetadata { family: format!("family_{}", number / 2), ..Default::default() }];
    BlockSpec { id: BlockId(number + 1), cut_index: number as u64, metadata, ..spec(range) }
}

fn output(id: BlockId, level: u8) -> MergeOutput {
    MergeOutput { id, level, sort_range: SortRange::ALL }
}

/// A store that holds blocks.
struct Store(Arc<dyn ObjectStore>);

impl Store {
    async fn of(blocks: &[BuiltBlock]) -> Self {
        let store = Self(Arc::new(InMemory::new()));
        for built in blocks {
            block::upload(&*store.0, built).await.expect("an empty store takes it");
        }
        store
    }

    async fn open(&self, meta: &BlockMeta) -> Result<BlockReader, BlockError> {
        BlockReader::open(Arc::new(ObjectStoreReader::new(Arc::clone(&self.0))), meta.clone()).await
    }

    async fn merge<'a>(&self, metas: impl Iterator<Item = &'a BlockMeta>) -> Result<MergedBlock, BlockError> {
        self.merge_to(1, metas, Arc::new(EraseNothing)).await
    }

    async fn merge_to<'a>(
        &self,
        level: u8,
        metas: impl Iterator<Item = &'a BlockMeta>,
        erase: Arc<dyn Erase>,
    ) -> Result<MergedBlock, BlockError> {
        let mut readers = Vec::new();
        for meta in metas {
            readers.push(self.open(meta).await?);
        }
        merge(&output(OUTPUT, level), readers, erase, &std::env::temp_dir()).await
    }

    async fn object(&self, key: &str) -> Vec<u8> {
        self.0.get(&Path::from(key)).await.expect("it is there").bytes().await.expect("readable").to_vec()
    }
}

/// Blocks of the model: windows next to one another or over one another, with some of the series each.
fn blocks() -> impl Strategy<Value = Vec<(BlockRange, Vec<PlainSeries>)>> {
    let name = prop::sample::select(vec!["__name__", "a", "b", "le"]);
    let value = prop::sample::select(vec!["x", "y", "z", "0.5"]);
    let sets = prop::collection::btree_set(
        prop::collection::vec((name, value), 0..4).prop_map(LabelSet::from_pairs),
        1..12,
    );
    sets.prop_flat_map(|sets| {
        let sets: Vec<LabelSet> = sets.into_iter().collect();
        let series = (prop::sample::select(sets), 0..600usize, 1..1000i64, 0..5u64, any::<bool>());
        let block = (0..4i64, 1..3i64, prop::collection::vec(series, 0..10));
        prop::collection::vec(block.prop_map(plain_block), 1..5)
    })
}

type Shape = (LabelSet, usize, i64, u64, bool);

fn plain_block((window, length, series): (i64, i64, Vec<Shape>)) -> (BlockRange, Vec<PlainSeries>) {
    let range = BlockRange::new(window * WINDOW_MS, (window + length) * WINDOW_MS);
    let mut plain: BTreeMap<LabelSet, PlainSeries> = BTreeMap::new();
    for (labels, samples, start, seed, odd) in series {
        let time = |i: usize| range.start.0 + start + i as i64 * 1000;
        let bits = |i: usize| match (i as u64 * 31 + seed) % 101 {
            0 if odd => model::STALE_NAN_BITS,
            1 if odd => 0x7ff8_0000_0000_beef,
            2 if odd => (-0.0f64).to_bits(),
            other => (other as f64 * 0.25).to_bits(),
        };
        let samples =
            (0..samples).map(|i| (time(i), bits(i))).filter(|(time, _)| range.contains(*time)).collect();
        plain.insert(labels.clone(), PlainSeries { labels, samples });
    }
    (range, plain.into_values().filter(|series| !series.samples.is_empty()).collect())
}

/// A few deletes: of one block each, of series with a value of `a`, in a range.
#[derive(Clone, Debug, Default)]
struct Deleted(Vec<(u128, &'static str, TimeRange)>);

impl Erase for Deleted {
    fn erased(&self, block: BlockId, labels: &LabelSet) -> TimeRanges {
        let concerns =
            |(number, a, _): &&(u128, &str, TimeRange)| BlockId(number + 1) == block && labels.get("a") == *a;
        self.0.iter().filter(concerns).map(|(_, _, range)| *range).collect()
    }

    fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }
}

fn deleted() -> impl Strategy<Value = Deleted> {
    let value = prop::sample::select(vec!["", "x", "y", "z"]);
    let range = (0..5 * WINDOW_MS, 0..3 * WINDOW_MS);
    let delete = (0..4u128, value, range);
    let delete =
        delete.prop_map(|(block, a, (start, length))| (block, a, TimeRange::new(start, start + length)));
    prop::collection::vec(delete, 0..6).prop_map(Deleted)
}

impl Deleted {
    fn leave_out(&self, blocks: &[(BlockRange, Vec<PlainSeries>)]) -> Vec<(BlockRange, Vec<PlainSeries>)> {
        let left = |number: usize, series: &PlainSeries| {
            let erased = self.erased(BlockId(number as u128 + 1), &series.labels);
            let mut series = series.clone();
            series.samples.retain(|(time_ms, _)| !erased.contains(*time_ms));
            (!series.samples.is_empty()).then_some(series)
        };
        let block = |(number, (range, series)): (usize, &(BlockRange, Vec<PlainSeries>))| {
            (*range, series.iter().filter_map(|series| left(number, series)).collect())
        };
        blocks.iter().enumerate().map(block).collect()
    }
}

/// What must come out: of equal timestamps the block with the lowest id wins.
fn naive(blocks: &[(BlockRange, Vec<PlainSeries>)]) -> Vec<PlainSeries> {
    let mut all: BTreeMap<LabelSet, BTreeMap<i64, u64>> = BTreeMap::new();
    for (_, series) in blocks.iter().rev() {
        for PlainSeries { labels, samples } in series {
            all.entry(labels.clone()).or_default().extend(samples.iter().copied());
        }
    }
    let plain = |(labels, samples): (LabelSet, BTreeMap<i64, u64>)| PlainSeries {
        labels,
        samples: samples.into_iter().collect(),
    };
    all.into_iter().map(plain).collect()
}

async fn check(blocks: Vec<(BlockRange, Vec<PlainSeries>)>, level: u8, deleted: Deleted) {
    let build = |(number, (range, series)): (usize, &(BlockRange, Vec<PlainSeries>))| {
        build_plain(&input_spec(number as u128, *range), series).expect("valid")
    };
    let built: Vec<BuiltBlock> = blocks.iter().enumerate().map(build).collect();
    let store = Store::of(&built).await;
    let erase = Arc::new(deleted.clone());
    let merged =
        store.merge_to(level, built.iter().map(|built| &built.meta), erase).await.expect("undamaged");
    let meta = merged.meta.clone();
    assert_eq!((meta.id, meta.level), (OUTPUT, level));
    assert_eq!(meta.parents, built.iter().map(|built| built.meta.id).collect::<Vec<_>>());
    assert_eq!(Some(meta.cut_index), built.iter().map(|built| built.meta.cut_index).min());
    upload_merged(&*store.0, &merged).await.expect("the name is free");
    upload_merged(&*store.0, &merged).await.expect("the same again");
    let reader = store.open(&meta).await.expect("a block as merged opens");
    let expected = naive(&deleted.leave_out(&blocks));
    assert_eq!(
        (meta.series, meta.samples),
        (expected.len() as u64, expected.iter().map(|s| s.samples.len() as u64).sum())
    );
    assert_eq!(select_plain(&reader, &[], TimeRange::ALL).await.expect("undamaged"), expected);
    let matchers = [Matcher::new(MatchOp::NotEqual, "a", "x").expect("valid")];
    let range = TimeRange::new(WINDOW_MS / 3, WINDOW_MS * 2);
    let selected = select_plain(&reader, &matchers, range).await.expect("undamaged");
    assert_eq!(selected, scan(&expected, &matchers, range));
    let families: Vec<String> = reader.metadata().iter().map(|entry| entry.family.clone()).collect();
    assert!(families.is_sorted_by(|a, b| a < b) && families.len() == built.len().div_ceil(2), "{families:?}");
    let erase = Arc::new(deleted);
    let again = store.merge_to(level, built.iter().rev().map(|built| &built.meta), erase).await;
    let again = again.expect("undamaged");
    assert_eq!(
        again.meta, meta,
        "sizes and checksums of both files are equal, whatever the order of the inputs"
    );
}

/// Merges in parts; what all of them hold together, and what each holds of another merge of two of them.
async fn check_split(blocks: Vec<(BlockRange, Vec<PlainSeries>)>, series_max: u64) {
    let build = |(number, (range, series)): (usize, &(BlockRange, Vec<PlainSeries>))| {
        build_plain(&input_spec(number as u128, *range), series).expect("valid")
    };
    let built: Vec<BuiltBlock> = blocks.iter().enumerate().map(build).collect();
    let store = Store::of(&built).await;
    let metas: Vec<BlockMeta> = built.iter().map(|built| built.meta.clone()).collect();
    let reader = ObjectStoreReader::new(Arc::clone(&store.0));
    let limits = SplitLimits { series: series_max, bytes: u64::MAX, parts: 64 };
    let ranges = split(&reader, &metas, limits).await.expect("undamaged");
    let expected = naive(&blocks);
    assert_eq!(
        ranges.len() > 1,
        expected.len() as u64 > series_max,
        "{} series in {ranges:?}",
        expected.len()
    );
    let mut seen = Vec::new();
    for (part, sort_range) in ranges.iter().enumerate() {
        let output =
            MergeOutput { id: BlockId(100 + part as u128), level: 1, sort_range: sort_range.clone() };
        let mut readers = Vec::new();
        for meta in &metas {
            readers.push(store.open(meta).await.expect("undamaged"));
        }
        let merged =
            merge(&output, readers, Arc::new(EraseNothing), &std::env::temp_dir()).await.expect("undamaged");
        upload_merged(&*store.0, &merged).await.expect("the name is free");
        assert_eq!(&merged.meta.sort_range, sort_range);
        assert!((1..=series_max).contains(&merged.meta.series) || expected.is_empty(), "{:?}", merged.meta);
        let reader = store.open(&merged.meta).await.expect("a part opens");
        for name in ["x", "y", "z", "0.5", ""] {
            let matchers = [Matcher::equal("__name__", name)];
            let selected = select_plain(&reader, &matchers, TimeRange::ALL).await.expect("undamaged");
            assert!(selected.is_empty() || sort_range.may_match(&matchers), "{name:?} in {sort_range:?}");
        }
        seen.extend(select_plain(&reader, &[], TimeRange::ALL).await.expect("undamaged"));
    }
    seen.sort_by(|a, b| a.labels.cmp(&b.labels));
    assert_eq!(seen, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_parts_of_a_split_merge_hold_every_series_once(blocks in blocks(), series_max in 1..8u64) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
        runtime.expect("threads can be started").block_on(check_split(blocks, series_max));
    }

    #[test]
    fn a_merged_block_answers_like_all_its_inputs(blocks in blocks(), level in 1..4u8, deleted in deleted()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
        runtime.expect("threads can be started").block_on(check(blocks, level, deleted));
    }
}

#[tokio::test]
async fn merging_in_steps_and_at_once_give_the_same_samples() {
    let block = |window: i64| {
        let series = (labels(&[("__name__", "m")]), 480, 1, 3, true);
        plain_block((window, 1, vec![series]))
    };
    let blocks: Vec<_> = (0..4).map(block).collect();
    let built: Vec<BuiltBlock> = blocks
        .iter()
        .enumerate()
        .map(|(n, (range, series))| build_plain(&input_spec(n as u128, *range), series).expect("valid"))
        .collect();
    let store = Store::of(&built).await;
    let open = async |meta: &BlockMeta| store.open(meta).await.expect("undamaged");
    let dir = std::env::temp_dir();
    let inputs = vec![open(&built[0].meta).await, open(&built[1].meta).await];
    let half = merge(&output(BlockId(50), 1), inputs, Arc::new(EraseNothing), &dir).await.expect("undamaged");
    upload_merged(&*store.0, &half).await.expect("the name is free");
    let inputs = [&half.meta, &built[2].meta, &built[3].meta];
    let stepped = store.merge(inputs.into_iter()).await.expect("undamaged");
    let at_once = store.merge(built.iter().map(|built| &built.meta)).await.expect("undamaged");
    assert_eq!((stepped.meta.samples, stepped.meta.range), (at_once.meta.samples, at_once.meta.range));
    upload_merged(&*store.0, &stepped).await.expect("the name is free");
    let plain = select_plain(&open(&stepped.meta).await, &[], TimeRange::ALL).await.expect("undamaged");
    assert_eq!(plain, naive(&blocks));
}

#[tokio::test]
async fn what_is_erased_is_not_listed_and_is_counted() {
    let range = BlockRange::new(0, WINDOW_MS);
    let series = |a: &'static str| (labels(&[("__name__", "m"), ("a", a)]), 100, 1, 3, false);
    let (range, series) = (range, plain_block((0, 1, vec![series("x"), series("y")])).1);
    let built = build_plain(&input_spec(0, range), &series).expect("valid");
    let store = Store::of(std::slice::from_ref(&built)).await;
    let reader = store.open(&built.meta).await.expect("undamaged");
    let of = |a: &'static str, start, end| Deleted(vec![(0, a, TimeRange::new(start, end))]);
    let listed = |erase: &Deleted, range: TimeRange| -> Vec<String> {
        let listed = reader.series(&[], &range, None, erase).expect("undamaged");
        listed.iter().map(|labels| labels.get("a").to_owned()).collect()
    };
    // Samples lie from 1 to 99,001 ms.
    for (erase, range, expected, counted) in [
        (of("x", 0, 99_001), TimeRange::ALL, &["y"][..], 100),
        (of("x", 0, 99_000), TimeRange::ALL, &["x", "y"], 100),
        (of("x", 0, 49_500), TimeRange::new(0, 49_000), &["y"], 50),
        (of("z", 0, 99_001), TimeRange::ALL, &["x", "y"], 0),
        (of("x", 99_002, 200_000), TimeRange::ALL, &["x", "y"], 0),
        (of("x", 99_001, 99_001), TimeRange::ALL, &["x", "y"], 1),
    ] {
        assert_eq!(listed(&erase, range), expected, "{erase:?}");
        assert_eq!(reader.erased_samples(&erase).expect("undamaged"), counted, "{erase:?}");
    }
}

#[tokio::test]
async fn a_query_reads_only_the_windows_it_needs() {
    let day = BlockRange::new(0, 8 * 3_600_000);
    let series = cluster_series(2, 40, day);
    let built = build_plain(&input_spec(0, day), &series).expect("valid");
    let store = Store::of(std::slice::from_ref(&built)).await;
    let merged =
        store.merge_to(2, [&built.meta].into_iter(), Arc::new(EraseNothing)).await.expect("undamaged");
    upload_merged(&*store.0, &merged).await.expect("the name is free");
    let mut reader = MemoryReader::default();
    for object in [&merged.meta.series_object, &merged.meta.chunks_object] {
        reader.objects.insert(object.key.clone(), store.object(&object.key).await.into());
    }
    let reader = Arc::new(reader);
    let block = BlockReader::open(reader.clone(), merged.meta.clone()).await.expect("undamaged");
    let bytes = async |start_ms: i64, end_ms: i64| {
        reader.take_reads();
        let range = TimeRange::new(start_ms, end_ms);
        let selected = select_plain(&block, &[], range).await.expect("undamaged");
        assert_eq!(selected, scan(&series, &[], range));
        reader.take_reads().iter().map(|(_, range)| range.end - range.start).sum::<u64>()
    };
    let (all, hour) = (bytes(0, day.end.0).await, bytes(100_000, 3_700_000).await);
    let two = bytes(7_100_000, 7_300_000).await;
    assert!((all / 5..all / 3).contains(&hour), "{hour} of {all} bytes for one window of four");
    assert!((all * 2 / 5..all * 3 / 5).contains(&two), "{two} of {all} bytes for two windows of four");
}

#[tokio::test]
async fn histograms_and_start_timestamps_survive() {
    let samples = |from: i64| {
        let mut samples = Samples::default();
        for at in 0..100i64 {
            let histogram = FloatHistogram {
                schema: 2,
                count: at as f64,
                sum: (from + at) as f64,
                positive_spans: vec![Span { offset: -1, length: 3 }],
                positive_buckets: vec![at as f64, 1.0, 2.0],
                ..FloatHistogram::default()
            };
            samples.push_histogram(from + at * 1000, Arc::new(histogram));
            samples.start_last(from);
        }
        samples
    };
    let name = labels(&[("__name__", "h")]);
    let parts = [samples(0), samples(WINDOW_MS)];
    let built: Vec<BuiltBlock> = parts
        .iter()
        .zip(0..)
        .map(|(samples, n)| {
            let range = BlockRange::new(n * WINDOW_MS, (n + 1) * WINDOW_MS);
            block::build(&input_spec(n as u128, range), [BlockInput { labels: &name, samples }])
                .expect("valid")
        })
        .collect();
    let store = Store::of(&built).await;
    let merged = store.merge(built.iter().map(|built| &built.meta)).await.expect("undamaged");
    upload_merged(&*store.0, &merged).await.expect("the name is free");
    let series = store
        .open(&merged.meta)
        .await
        .expect("undamaged")
        .select(&[], TimeRange::ALL, 9)
        .await
        .expect("undamaged");
    assert_eq!(series[0].chunks.iter().map(|chunk| chunk.samples).collect::<Vec<_>>(), [100, 100]);
    let mut back = Samples::default();
    chunk::read_merged(&series[0].chunks, i64::MIN, i64::MAX, &mut back).expect("undamaged");
    let mut expected = Samples::default();
    parts.iter().for_each(|part| expected.extend_from(part, 0..part.len()));
    assert_eq!(back, expected);
}

#[tokio::test]
async fn a_damaged_input_is_named_at_every_byte() {
    let series = |window: i64| {
        plain_block((window, 1, vec![(labels(&[("__name__", "m"), ("a", "x")]), 20, 1, 3, true)]))
    };
    let build = |n: i64| {
        let (range, series) = series(n);
        build_plain(&input_spec(n as u128, range), &series).expect("valid")
    };
    let built = [build(0), build(1)];
    let store = Store::of(&built).await;
    let reader = [
        store.open(&built[0].meta).await.expect("undamaged"),
        store.open(&built[1].meta).await.expect("undamaged"),
    ];
    let object = &built[1].meta.chunks_object;
    let good = store.object(&object.key).await;
    // The magic in front is never read; the tail is checked when the block is opened.
    for position in 4..good.len() - object.tail_bytes as usize {
        let mut damaged = good.clone();
        damaged[position] ^= 0x20;
        let put = store.0.put(&Path::from(object.key.as_str()), PutPayload::from(damaged)).await;
        put.expect("the store takes it");
        let error = merge(&output(OUTPUT, 1), reader.to_vec(), Arc::new(EraseNothing), &std::env::temp_dir())
            .await
            .expect_err("damaged");
        let BlockError::Input { block, ref source } = error else { panic!("byte {position}: {error:?}") };
        assert_eq!((block, source.kind()), (built[1].meta.id, ErrorKind::Corrupt), "byte {position}");
    }
}

#[tokio::test]
async fn blocks_that_do_not_belong_together_are_refused() {
    let (range, series) = plain_block((0, 1, vec![(labels(&[("a", "x")]), 5, 1, 3, false)]));
    let first = build_plain(&input_spec(0, range), &series).expect("valid");
    let other_shard = BlockSpec { shard: model::ShardId(4), ..input_spec(1, range) };
    let other_cluster = BlockSpec { external_labels: BTreeMap::new(), ..input_spec(2, range) };
    for spec in [other_shard, other_cluster] {
        let other = build_plain(&spec, &series).expect("valid");
        let store = Store::of(&[first.clone(), other.clone()]).await;
        let error = store.merge([&first.meta, &other.meta].into_iter()).await.expect_err("unlike");
        assert!(matches!(error, BlockError::Unlike { .. }), "{error:?}");
    }
}
