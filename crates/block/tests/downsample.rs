//! Downsampled blocks: written, read by aggregate, merged and downsampled again; and their bytes.

mod support;

use std::sync::Arc;

use block::{
    BlockError, BlockReader, BlockSpec, EraseNothing, MergeOutput, MergedBlock, ObjectStoreReader,
    SelectLimits, Slotting, downsample, merge, upload, upload_merged,
};
use model::{Aggregate, BlockId, BlockMeta, BlockRange, ErrorKind, Matcher, Samples, SortRange, TimeRange};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use parquet::file::reader::{FileReader, SerializedFileReader};
use support::{PlainSeries, build_plain, labels, spec};

/// What one series has of an aggregate.
type Points = Vec<(i64, u64, u32)>;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const FIVE_MINUTES_MS: i64 = 5 * MINUTE_MS;
const AGGREGATES: [Aggregate; 8] = [
    Aggregate::Last,
    Aggregate::Counter,
    Aggregate::Resets,
    Aggregate::Count,
    Aggregate::Sum,
    Aggregate::Average,
    Aggregate::Min,
    Aggregate::Max,
];

fn output(id: u128, level: u8) -> MergeOutput {
    MergeOutput { id: BlockId(id), level, sort_range: SortRange::ALL }
}

struct Store(Arc<dyn ObjectStore>);

impl Store {
    fn new() -> Self {
        Self(Arc::new(InMemory::new()))
    }

    async fn open(&self, meta: &BlockMeta) -> Result<BlockReader, BlockError> {
        BlockReader::open(Arc::new(ObjectStoreReader::new(Arc::clone(&self.0))), meta.clone()).await
    }

    /// Stores a block as cut, of two hours.
    async fn raw(&self, number: i64) -> BlockMeta {
        let range = BlockRange::new(number * 2 * HOUR_MS, (number + 1) * 2 * HOUR_MS);
        let spec = BlockSpec { id: BlockId(number as u128 + 1), ..spec(range) };
        let built = build_plain(&spec, &series(range)).expect("valid");
        upload(&*self.0, &built).await.expect("the name is free");
        built.meta
    }

    async fn readers(&self, metas: &[&BlockMeta]) -> Vec<BlockReader> {
        let mut readers = Vec::new();
        for meta in metas {
            readers.push(self.open(meta).await.expect("undamaged"));
        }
        readers
    }

    async fn downsample(
        &self,
        id: u128,
        resolution_ms: i64,
        metas: &[&BlockMeta],
    ) -> Result<BlockMeta, BlockError> {
        let start = metas.iter().map(|meta| meta.range.start).min().expect("an input");
        let end = metas.iter().map(|meta| meta.range.end).max().expect("an input");
        let slotting = Slotting { resolution_ms, window: BlockRange { start, end } };
        let (readers, erase) = (self.readers(metas).await, Arc::new(EraseNothing));
        let made = downsample(&output(id, 1), slotting, readers, erase, &std::env::temp_dir()).await?;
        Ok(self.upload(made).await)
    }

    async fn merge(&self, id: u128, metas: &[&BlockMeta]) -> BlockMeta {
        let erase = Arc::new(EraseNothing);
        let made = merge(&output(id, 2), self.readers(metas).await, erase, &std::env::temp_dir()).await;
        self.upload(made.expect("undamaged")).await
    }

    async fn upload(&self, made: MergedBlock) -> BlockMeta {
        upload_merged(&*self.0, &made).await.expect("the name is free");
        made.meta
    }

    async fn object(&self, key: &str) -> bytes::Bytes {
        self.0.get(&Path::from(key)).await.expect("it is there").bytes().await.expect("readable")
    }

    /// Returns what a query reads of a block: times, bits of values, what they stand for besides themselves.
    async fn read(&self, meta: &BlockMeta, aggregate: Aggregate) -> Vec<(String, Vec<(i64, u64, u32)>)> {
        let reader = self.open(meta).await.expect("undamaged");
        let limits = SelectLimits { series: 100, bytes: u64::MAX };
        let memory = storage::QueryMemory::unlimited();
        let selected = reader.select_within(&[], TimeRange::ALL, aggregate, limits, &memory).await;
        let selected = selected.expect("undamaged").series;
        let plain = |series: block::BlockSeries| {
            let mut samples = Samples::default();
            chunk::read_merged(&series.chunks, i64::MIN, i64::MAX, &mut samples).expect("undamaged");
            let point =
                |at: usize| (samples.timestamps[at], samples.floats[at].to_bits(), samples.hidden(at));
            (series.labels.to_string(), (0..samples.len()).map(point).collect())
        };
        selected.into_iter().map(plain).collect()
    }
}

/// A counter with resets, a gauge that ends and comes back, and a constant; every half minute.
fn series(range: BlockRange) -> Vec<PlainSeries> {
    let times = || (range.start.0..range.end.0).step_by(30_000);
    let of = |name: &str, value: &dyn Fn(i64) -> Option<u64>| PlainSeries {
        labels: labels(&[("__name__", name), ("job", "a")]),
        samples: times().filter_map(|time_ms| Some((time_ms + 7, value(time_ms / 30_000)?))).collect(),
    };
    let gauge = |at: i64| match at % 100 {
        50 => Some(model::STALE_NAN_BITS),
        51..80 => None,
        _ => Some((((at * 37 % 101) as f64) / 4.0).to_bits()),
    };
    vec![
        of("counter_total", &|at| Some(((at % 43 * 3) as f64).to_bits())),
        of("gauge", &gauge),
        of("one", &|_| Some(1f64.to_bits())),
    ]
}

#[tokio::test]
async fn steps_give_what_one_step_gives() {
    let store = Store::new();
    let (first, second) = (store.raw(0).await, store.raw(1).await);
    let fine = [
        store.downsample(11, FIVE_MINUTES_MS, &[&first]).await.expect("undamaged"),
        store.downsample(12, FIVE_MINUTES_MS, &[&second]).await.expect("undamaged"),
    ];
    let merged = store.merge(13, &[&fine[1], &fine[0]]).await;
    assert_eq!((merged.resolution_ms, merged.series, merged.range.end.0), (FIVE_MINUTES_MS, 3, 4 * HOUR_MS));
    assert_eq!(merged.samples, fine[0].samples + fine[1].samples);
    let at_once = store.downsample(14, FIVE_MINUTES_MS, &[&first, &second]).await.expect("undamaged");
    let coarse = store.downsample(15, HOUR_MS, &[&merged]).await.expect("undamaged");
    let coarse_at_once = store.downsample(16, HOUR_MS, &[&first, &second]).await.expect("undamaged");
    for aggregate in AGGREGATES {
        let (steps, once) = (store.read(&merged, aggregate).await, store.read(&at_once, aggregate).await);
        if !matches!(aggregate, Aggregate::Counter | Aggregate::Resets) {
            assert_eq!(steps, once, "{aggregate:?}");
            let (steps, once) =
                (store.read(&coarse, aggregate).await, store.read(&coarse_at_once, aggregate).await);
            assert_eq!(steps, once, "{aggregate:?}");
        } else {
            // The first sample of the second block stands there as well.
            let is_kept = |(once, steps): (&Points, &Points)| {
                once.iter().all(|point| steps.contains(point)) && steps.len() <= once.len() + 1
            };
            assert!(
                once.iter().map(|one| &one.1).zip(steps.iter().map(|one| &one.1)).all(is_kept),
                "{aggregate:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_query_reads_the_columns_that_it_needs() {
    let store = Store::new();
    let raw = store.raw(0).await;
    let made = store.downsample(11, HOUR_MS, &[&raw]).await.expect("undamaged");
    let counts = store.read(&made, Aggregate::Count).await;
    let shown = |aggregated: &[(i64, u64, u32)]| -> Vec<(i64, f64, u32)> {
        aggregated.iter().map(|(time_ms, bits, hidden)| (*time_ms, f64::from_bits(*bits), *hidden)).collect()
    };
    assert_eq!(shown(&counts[2].1), [(HOUR_MS - 1, 120.0, 119), (2 * HOUR_MS - 1, 120.0, 119)]);
    // 120 of 30 seconds, without the marker and the gap of the first hour, and with the end of that of the second.
    assert_eq!(shown(&counts[1].1), [(HOUR_MS - 1, 90.0, 89), (2 * HOUR_MS - 1, 90.0, 89)]);
    let resets = store.read(&made, Aggregate::Resets).await;
    let drops = |points: &[(i64, f64, u32)]| {
        let drops = points.windows(2).filter(|pair| pair[1].1 < pair[0].1).count() as u32;
        drops + points.iter().map(|point| point.2).sum::<u32>()
    };
    assert_eq!(drops(&shown(&resets[0].1)), 239 / 43);
    let reader = store.open(&made).await.expect("undamaged");
    let by_name = [Matcher::equal("__name__", "gauge")];
    let selected = reader.select(&by_name, TimeRange::new(0, HOUR_MS - 2), 10).await.expect("undamaged");
    assert!(selected.is_empty(), "no slot ends there");
}

#[tokio::test]
async fn what_makes_no_whole_slots_is_refused() {
    let store = Store::new();
    let (raw, other) = (store.raw(0).await, store.raw(1).await);
    let made = store.downsample(11, FIVE_MINUTES_MS, &[&raw]).await.expect("undamaged");
    for (resolution_ms, inputs) in
        [(FIVE_MINUTES_MS, [&made].as_slice()), (7 * MINUTE_MS, &[&made]), (HOUR_MS, &[&made, &other])]
    {
        let refused = store.downsample(12, resolution_ms, inputs).await.expect_err("unlike");
        assert!(matches!(refused, BlockError::Unlike { .. }), "{refused}");
    }
    let outside = Slotting { resolution_ms: HOUR_MS, window: BlockRange::new(2 * HOUR_MS, 4 * HOUR_MS) };
    let readers = store.readers(&[&raw]).await;
    let made =
        downsample(&output(12, 1), outside, readers, Arc::new(EraseNothing), &std::env::temp_dir()).await;
    assert!(matches!(made, Err(BlockError::Unlike { .. })));
}

#[tokio::test]
async fn the_catalogue_and_the_files_agree_on_the_resolution() {
    let store = Store::new();
    let raw = store.raw(0).await;
    let made = store.downsample(11, FIVE_MINUTES_MS, &[&raw]).await.expect("undamaged");
    for wrong in [BlockMeta { resolution_ms: 0, ..made }, BlockMeta { resolution_ms: HOUR_MS, ..raw }] {
        let refused = store.open(&wrong).await.err().expect("another resolution");
        assert_eq!(refused.kind(), ErrorKind::Corrupt);
        assert!(refused.to_string().contains("resolution"), "{refused}");
    }
}

/// Bytes may change only with the format's version, or with a release of the Parquet or zstd library: then deliberately.
#[tokio::test]
async fn the_form_and_the_bytes_of_a_downsampled_block() {
    let store = Store::new();
    let raw = store.raw(0).await;
    let made = store.downsample(11, FIVE_MINUTES_MS, &[&raw]).await.expect("undamaged");
    let file =
        SerializedFileReader::new(store.object(&made.chunks_object.key).await).expect("a Parquet file");
    let columns = file.metadata().file_metadata().schema_descr();
    let names: Vec<&str> = columns.columns().iter().map(|column| column.name()).collect();
    assert_eq!(names, ["last0", "counter0", "resets0", "count0", "sum0", "min0", "max0"]);
    let entries = file.metadata().file_metadata().key_value_metadata().expect("present");
    let value =
        |key: &str| entries.iter().find(|entry| entry.key == key).and_then(|entry| entry.value.clone());
    assert_eq!(value("norn.resolution_ms").as_deref(), Some("300000"));
    assert_eq!(value("norn.windows").as_deref(), Some("[0,7200000]"));
    assert_eq!(value("norn.stats").as_deref(), Some(r#"{"series":3,"samples":68}"#));
    let facts = [&made.series_object, &made.chunks_object].map(|o| (o.size_bytes, o.tail_bytes, o.crc32c));
    assert_eq!(facts, [(1989, 1370, 742_510_815), (2048, 961, 3_124_273_792)]);
}
