//! What the block's tests share: building small blocks, serving their bytes from memory, and the obvious answer to a query.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use block::{BlockError, BlockInput, BlockReader, BlockSpec, BuiltBlock, RangeReader, build, build_in_files};
use bytes::Bytes;
use model::{
    BlockId, BlockRange, LabelSet, Matcher, MetricMetadata, MetricType, Samples, ShardId, TimeRange,
};

/// A series in its simplest form; values are kept as bits, so that NaNs compare.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlainSeries {
    pub(crate) labels: LabelSet,
    pub(crate) samples: Vec<(i64, u64)>,
}

pub(crate) fn spec(range: BlockRange) -> BlockSpec {
    BlockSpec {
        id: BlockId(7_200_000 << 80 | 42),
        shard: ShardId(3),
        range,
        level: 0,
        cut_index: 99,
        parents: Vec::new(),
        resolution_ms: 0,
        sort_range: model::SortRange::ALL,
        external_labels: BTreeMap::from([("cluster".to_owned(), "eu".to_owned())]),
        metadata: vec![
            MetricMetadata {
                family: "http".into(),
                metric_type: MetricType::Counter,
                help: "Requests.".into(),
                unit: String::new(),
            },
            MetricMetadata { family: "up".into(), metric_type: MetricType::Gauge, ..Default::default() },
        ],
    }
}

pub(crate) fn build_plain(spec: &BlockSpec, series: &[PlainSeries]) -> Result<BuiltBlock, BlockError> {
    let samples = |series: &PlainSeries| Samples {
        timestamps: series.samples.iter().map(|(time_ms, _)| *time_ms).collect(),
        floats: series.samples.iter().map(|(_, bits)| f64::from_bits(*bits)).collect(),
        ..Samples::default()
    };
    let columns: Vec<Samples> = series.iter().map(samples).collect();
    let labels = series.iter().map(|series| &series.labels);
    let inputs = || labels.clone().zip(&columns).map(|(labels, samples)| BlockInput { labels, samples });
    let built = build(spec, inputs())?;
    let in_files = build_in_files(spec, inputs(), &std::env::temp_dir())?;
    assert_eq!(in_files.meta, built.meta, "sizes and checksums of both objects, wherever they are built");
    Ok(built)
}

/// Serves objects from memory and notes every read.
#[derive(Default)]
pub(crate) struct MemoryReader {
    pub(crate) objects: HashMap<String, Bytes>,
    pub(crate) reads: Mutex<Vec<(String, Range<u64>)>>,
}

impl MemoryReader {
    pub(crate) fn of(built: &BuiltBlock) -> Self {
        let objects = [
            (built.meta.series_object.key.clone(), built.series_bytes.clone()),
            (built.meta.chunks_object.key.clone(), built.chunks_bytes.clone()),
        ];
        Self { objects: objects.into(), reads: Mutex::default() }
    }

    pub(crate) fn take_reads(&self) -> Vec<(String, Range<u64>)> {
        std::mem::take(&mut self.reads.lock().expect("not poisoned"))
    }
}

#[async_trait]
impl RangeReader for MemoryReader {
    async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes, BlockError> {
        self.reads.lock().expect("not poisoned").push((key.to_owned(), range.clone()));
        let object = self.objects.get(key);
        let object = object.ok_or_else(|| BlockError::NotFound { object: key.to_owned() })?;
        let end = (range.end as usize).min(object.len());
        Ok(object.slice((range.start as usize).min(end)..end))
    }
}

pub(crate) async fn open(built: &BuiltBlock) -> BlockReader {
    let reader = Arc::new(MemoryReader::of(built));
    BlockReader::open(reader, built.meta.clone()).await.expect("a block as built opens")
}

/// Selects and decodes, clipped to the range; series without a sample in it are left out.
pub(crate) async fn select_plain(
    reader: &BlockReader,
    matchers: &[Matcher],
    range: TimeRange,
) -> Result<Vec<PlainSeries>, BlockError> {
    let mut plain = Vec::new();
    for series in reader.select(matchers, range, usize::MAX).await? {
        let mut samples = Samples::default();
        chunk::read_merged(&series.chunks, range.start.0, range.end.0, &mut samples)
            .expect("the value's checksum held");
        let bits = samples.floats.iter().map(|value| value.to_bits());
        let samples: Vec<(i64, u64)> = samples.timestamps.into_iter().zip(bits).collect();
        if !samples.is_empty() {
            plain.push(PlainSeries { labels: series.labels, samples });
        }
    }
    Ok(plain)
}

/// The obvious answer: look at everything.
pub(crate) fn scan(series: &[PlainSeries], matchers: &[Matcher], range: TimeRange) -> Vec<PlainSeries> {
    let mut found: Vec<PlainSeries> = series
        .iter()
        .filter(|series| matchers.iter().all(|matcher| matcher.matches(series.labels.get(&matcher.name))))
        .map(|series| PlainSeries {
            labels: series.labels.clone(),
            samples: series.samples.iter().copied().filter(|(time, _)| range.contains(*time)).collect(),
        })
        .filter(|series| !series.samples.is_empty())
        .collect();
    found.sort_by(|a, b| a.labels.cmp(&b.labels));
    found
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> LabelSet {
    LabelSet::from_pairs(pairs.iter().copied())
}

/// Series of a small cluster: metrics times pods, one sample each 15 s over the range, values that do not compress.
pub(crate) fn cluster_series(metrics: usize, pods: usize, range: BlockRange) -> Vec<PlainSeries> {
    let mut series = Vec::new();
    for metric in 0..metrics {
        for pod in 0..pods {
            let (metric_name, pod_name) = (format!("metric_{metric}"), format!("pod-{pod}"));
            let namespace = format!("ns-{}", pod % 5);
            let labels = labels(&[("__name__", &metric_name), ("namespace", &namespace), ("pod", &pod_name)]);
            let times = (range.start.0..range.end.0).step_by(15_000);
            let value = |time: i64| noise((metric * 1000 + pod) as u64 ^ (time as u64) << 20);
            series.push(PlainSeries { labels, samples: times.map(|time| (time, value(time))).collect() });
        }
    }
    series
}

/// Bits without a pattern (the finaliser of splitmix64).
fn noise(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
