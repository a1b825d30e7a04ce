//! How a block is read: which reads it costs, what it refuses, and that damage never passes for data.

mod support;

use std::sync::Arc;

use block::{BlockError, BlockInput, BlockReader, BlockSeries, BuiltBlock, SelectLimits};
use bytes::Bytes;
use model::histogram::Span;
use model::{Aggregate, BlockRange, ErrorKind, FloatHistogram, MatchOp, Matcher, Samples, TimeRange};
use storage::{MemoryPool, QueryMemory};
use support::{
    MemoryReader, PlainSeries, build_plain, cluster_series, labels, open, scan, select_plain, spec,
};

const HOURS_2: BlockRange =
    BlockRange { start: model::TimestampMs(7_200_000), end: model::TimestampMs(14_400_000) };

fn big_block() -> (Vec<PlainSeries>, BuiltBlock) {
    let series = cluster_series(20, 50, HOURS_2);
    let built = build_plain(&spec(HOURS_2), &series).expect("valid input");
    (series, built)
}

fn matcher(op: MatchOp, name: &str, value: &str) -> Matcher {
    Matcher::new(op, name, value).expect("valid pattern")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn opening_takes_two_reads_and_a_selective_query_one() {
    let (series, built) = big_block();
    let memory = Arc::new(MemoryReader::of(&built));
    let reader = BlockReader::open(Arc::clone(&memory) as _, built.meta.clone()).await.expect("opens");
    let (series_object, chunks_object) = (&built.meta.series_object, &built.meta.chunks_object);
    let mut reads = memory.take_reads();
    reads.sort_by(|a, b| b.0.cmp(&a.0));
    let tail = chunks_object.size_bytes - chunks_object.tail_bytes..chunks_object.size_bytes;
    assert_eq!(
        reads,
        [(series_object.key.clone(), 0..series_object.size_bytes), (chunks_object.key.clone(), tail)]
    );

    let absent = [Matcher::equal("__name__", "metric_99")];
    assert_eq!(select_plain(&reader, &absent, TimeRange::ALL).await.expect("undamaged"), []);
    assert_eq!(memory.take_reads(), []);

    let one_metric = [Matcher::equal("__name__", "metric_7")];
    let answer = select_plain(&reader, &one_metric, TimeRange::ALL).await.expect("undamaged");
    assert_eq!(answer, scan(&series, &one_metric, TimeRange::ALL));
    let reads = memory.take_reads();
    assert_eq!(reads.len(), 1, "{reads:?}");
    let (_, range) = &reads[0];
    assert!(
        (range.end - range.start) * 5 < chunks_object.size_bytes,
        "{range:?} of {}",
        chunks_object.size_bytes
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_pages_come_back_in_label_order() {
    let (series, built) = big_block();
    let reader = open(&built).await;
    for matchers in [
        vec![],
        vec![matcher(MatchOp::Regex, "pod", "pod-.7")],
        vec![
            matcher(MatchOp::NotEqual, "namespace", "ns-1"),
            matcher(MatchOp::NotRegex, "__name__", "metric_1.*"),
        ],
    ] {
        for range in [TimeRange::ALL, TimeRange::new(9_000_000, 9_060_000), TimeRange::new(0, 7_200_000)] {
            let answer = select_plain(&reader, &matchers, range).await.expect("undamaged");
            assert!(answer == scan(&series, &matchers, range), "{matchers:?} {range:?}");
        }
    }
    assert_eq!(reader.metadata().len(), 2);
    assert_eq!(reader.metadata().last().map(|entry| &*entry.family), Some("up"));
    assert!(reader.memory_bytes() > 1000 * 20, "two times and some labels a series");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn more_than_the_limits_is_refused_before_any_read() {
    let (_, built) = big_block();
    let memory = Arc::new(MemoryReader::of(&built));
    let reader = BlockReader::open(Arc::clone(&memory) as _, built.meta.clone()).await.expect("opens");
    memory.take_reads();
    let error =
        reader.select(&[Matcher::equal("pod", "pod-1")], TimeRange::ALL, 19).await.expect_err("20 series");
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert_eq!(memory.take_reads(), []);
    let limits = SelectLimits { series: 1000, bytes: built.meta.chunks_object.size_bytes / 2 };
    let unlimited = QueryMemory::unlimited();
    let error = reader.select_within(&[], TimeRange::ALL, Aggregate::Last, limits, &unlimited).await;
    let error = error.expect_err("all of it");
    assert!(matches!(error, BlockError::BytesLimit { .. }), "{error:?}");
    assert_eq!((error.kind(), memory.take_reads()), (ErrorKind::LimitExceeded, vec![]));
    let series =
        reader.select(&[Matcher::equal("pod", "pod-1")], TimeRange::ALL, 20).await.expect("20 series");
    assert_eq!(series.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn memory_is_reserved_before_anything_is_read_and_given_back() {
    let (_, built) = big_block();
    let memory = Arc::new(MemoryReader::of(&built));
    let reader = BlockReader::open(Arc::clone(&memory) as _, built.meta.clone()).await.expect("opens");
    memory.take_reads();
    let limits = SelectLimits { series: usize::MAX, bytes: u64::MAX };
    let of_metric = [Matcher::equal("__name__", "metric_7")];
    let pool = MemoryPool::new(u64::MAX);
    let selected = reader
        .select_within(&of_metric, TimeRange::ALL, Aggregate::Last, limits, &pool.query(u64::MAX))
        .await;
    let selected = selected.expect("undamaged");
    let held = selected.memory.bytes();
    let data = selected.series.iter().flat_map(|series| &series.chunks).map(|chunk| chunk.data.len() as u64);
    let data: u64 = data.sum();
    assert!(data < held && held < data + data / 2, "{held} for {data} bytes of chunks");
    assert_eq!(pool.used(), held);
    drop(selected);
    assert_eq!(pool.used(), 0);
    memory.take_reads();

    let small = MemoryPool::new(data / 2);
    let refused = reader
        .select_within(&of_metric, TimeRange::ALL, Aggregate::Last, limits, &small.query(u64::MAX))
        .await;
    let refused = refused.expect_err("more than there is");
    assert!(matches!(refused, BlockError::Memory(_)), "{refused:?}");
    assert_eq!((refused.kind(), memory.take_reads(), small.used()), (ErrorKind::Unavailable, vec![], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_block_without_series_opens_and_answers_nothing() {
    let built = build_plain(&spec(HOURS_2), &[]).expect("valid input");
    let reader = open(&built).await;
    assert_eq!(select_plain(&reader, &[], TimeRange::ALL).await.expect("undamaged"), []);
    assert_eq!(reader.label_names(&[], &TimeRange::ALL).expect("undamaged").iter().count(), 0);
    assert_eq!(reader.metadata().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn labels_beyond_the_columns_are_kept() {
    let series: Vec<PlainSeries> = (0..700)
        .map(|i| PlainSeries {
            labels: labels(&[("__name__", "m"), (&format!("label_{i:03}"), "v"), ("b", &i.to_string())]),
            samples: vec![(7_200_000 + i, (i as f64).to_bits())],
        })
        .collect();
    let reader = open(&build_plain(&spec(HOURS_2), &series).expect("valid input")).await;
    let names = reader.label_names(&[], &TimeRange::ALL).expect("undamaged");
    assert_eq!(names.iter().count(), 702);
    let matchers = [matcher(MatchOp::Equal, "label_699", "v")];
    let answer = select_plain(&reader, &matchers, TimeRange::ALL).await.expect("undamaged");
    assert_eq!(answer, &series[699..]);
}

#[test]
fn input_that_cannot_be_stored_is_refused_by_name() {
    let good = labels(&[("__name__", "m")]);
    let check = |samples: &[&[i64]], word: &str| {
        let series: Vec<PlainSeries> = samples
            .iter()
            .map(|times| PlainSeries {
                labels: good.clone(),
                samples: times.iter().map(|t| (*t, 0)).collect(),
            })
            .collect();
        let error = build_plain(&spec(HOURS_2), &series).expect_err(word);
        assert!(matches!(&error, BlockError::InvalidInput { series, .. } if series == "m"), "{error:?}");
        assert!(error.to_string().contains(word), "{error}");
    };
    check(&[&[7_200_001, 7_200_001]], "7200001 follows 7200001");
    check(&[&[7_199_999]], "outside");
    check(&[&[14_400_000]], "outside");
    check(&[&[7_200_001], &[7_200_001]], "given twice");
}

#[tokio::test]
async fn series_without_samples_are_left_out() {
    let series = |pod: &str, samples: Vec<(i64, u64)>| PlainSeries {
        labels: labels(&[("__name__", "m"), ("pod", pod)]),
        samples,
    };
    let all = [series("a", vec![]), series("b", vec![(7_200_001, 0)]), series("c", vec![])];
    let built = build_plain(&spec(HOURS_2), &all).expect("valid input");
    assert_eq!(read_all(&built).await.expect("undamaged"), all[1..2]);
    assert_eq!(built, build_plain(&spec(HOURS_2), &all[1..2]).expect("valid input"));
}

#[tokio::test]
async fn encoded_series_are_read_over_the_range_of_the_block() {
    let times: Vec<i64> = (7_100_000..14_500_000).step_by(15_000).collect();
    let values: Vec<f64> = times.iter().map(|t| *t as f64).collect();
    let (early, late) =
        (chunk::encode(&times[..300], &values[..300]), chunk::encode(&times[200..], &values[200..]));
    let input = BlockSeries { labels: labels(&[("__name__", "m")]), chunks: vec![late, early] };
    let built = block::build(&spec(HOURS_2), [input]).expect("valid input");
    let samples = times.iter().map(|t| (*t, (*t as f64).to_bits()));
    let samples = samples.filter(|(t, _)| HOURS_2.contains(*t)).collect();
    let expected = PlainSeries { labels: labels(&[("__name__", "m")]), samples };
    assert_eq!(read_all(&built).await.expect("undamaged"), [expected]);
}

#[tokio::test]
async fn histograms_and_start_timestamps_come_back() {
    let mut samples = Samples::default();
    for at in 0..1500u32 {
        let time_ms = 7_200_000 + i64::from(at) * 4000;
        let length = 2 + at / 700;
        let histogram = FloatHistogram {
            schema: 1,
            count: f64::from(at),
            sum: f64::from(at).sqrt(),
            positive_spans: vec![Span { offset: 3, length }],
            positive_buckets: vec![f64::from(at / 2); length as usize],
            ..FloatHistogram::default()
        };
        match at {
            0..100 => samples.push(time_ms, f64::from(at)),
            1499 => samples
                .push_histogram(time_ms, Arc::new(FloatHistogram { sum: 0.5, ..FloatHistogram::default() })),
            _ => samples.push_histogram(time_ms, Arc::new(histogram)),
        }
        samples.start_last(if at > 50 { 7_000_000 } else { 0 });
    }
    let labels = labels(&[("__name__", "m")]);
    let built =
        block::build(&spec(HOURS_2), [BlockInput { labels: &labels, samples: &samples }]).expect("valid");
    let reader =
        BlockReader::open(Arc::new(MemoryReader::of(&built)), built.meta.clone()).await.expect("undamaged");
    let series = reader.select(&[], TimeRange::ALL, usize::MAX).await.expect("undamaged");
    let counts: Vec<u32> = series[0].chunks.iter().map(|chunk| chunk.samples).collect();
    assert_eq!(counts, [100, 300, 300, 350, 350, 99, 1], "a chunk ends where the kind or the layout changes");
    let mut back = Samples::default();
    chunk::read_merged(&series[0].chunks, i64::MIN, i64::MAX, &mut back).expect("undamaged");
    assert_eq!(back, samples);
}

#[test]
fn a_damaged_series_is_refused_by_name() {
    let mut chunk = chunk::encode(&[7_200_001], &[1.0]);
    chunk.data = Bytes::from_static(b"damaged");
    let input = BlockSeries { labels: labels(&[("__name__", "m")]), chunks: vec![chunk] };
    let error = block::build(&spec(HOURS_2), [input]).expect_err("the chunk's checksum is wrong");
    assert!(matches!(&error, BlockError::InvalidInput { series, .. } if series == "m"), "{error:?}");
}

/// Opens and reads everything; the answer or the error of whatever failed.
async fn read_all(built: &BuiltBlock) -> Result<Vec<PlainSeries>, BlockError> {
    let reader = BlockReader::open(Arc::new(MemoryReader::of(built)), built.meta.clone()).await?;
    select_plain(&reader, &[], TimeRange::ALL).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_flipped_byte_of_both_objects_is_an_error_or_does_not_matter() {
    let series = cluster_series(3, 4, BlockRange::new(7_200_000, 7_500_000));
    let built = build_plain(&spec(HOURS_2), &series).expect("valid input");
    let expected = scan(&series, &[], TimeRange::ALL);
    assert!(read_all(&built).await.expect("undamaged") == expected);
    let flip = |bytes: &Bytes, position: usize| {
        let mut damaged = bytes.to_vec();
        damaged[position] ^= 1 << (position % 8);
        Bytes::from(damaged)
    };
    for position in 0..built.series_bytes.len() {
        let mut damaged = built.clone();
        damaged.series_bytes = flip(&built.series_bytes, position);
        let error = read_all(&damaged).await.expect_err("the whole object is checked");
        assert!(
            matches!(&error, BlockError::Corrupt { object, .. } if *object == built.meta.series_object.key)
        );
    }
    let mut harmless = Vec::new();
    for position in 0..built.chunks_bytes.len() {
        let mut damaged = built.clone();
        damaged.chunks_bytes = flip(&built.chunks_bytes, position);
        match read_all(&damaged).await {
            Ok(answer) => {
                assert!(answer == expected, "byte {position} changed the answer");
                harmless.push(position);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {position}: {error}"),
        }
    }
    assert_eq!(harmless, [0, 1, 2, 3], "only the magic number in front is never read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn damage_names_the_object_the_column_and_the_rows() {
    let (_, built) = big_block();
    let mut damaged = built.clone();
    let mut bytes = built.chunks_bytes.to_vec();
    bytes[200] ^= 1;
    damaged.chunks_bytes = bytes.into();
    let error = read_all(&damaged).await.expect_err("the first page is damaged").to_string();
    assert!(
        error.starts_with(&built.meta.chunks_object.key) && error.contains("column c0, rows 0 to "),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn truncated_and_exchanged_objects_are_refused() {
    let (_, built) = big_block();
    let mut short = built.clone();
    short.series_bytes = built.series_bytes.slice(..100);
    assert_eq!(read_all(&short).await.expect_err("truncated").kind(), ErrorKind::Corrupt);
    let mut short = built.clone();
    short.chunks_bytes = built.chunks_bytes.slice(..100);
    assert_eq!(read_all(&short).await.expect_err("truncated").kind(), ErrorKind::Corrupt);

    // The chunks of another block, with a catalogue entry that fits them.
    let other = build_plain(&spec(HOURS_2), &cluster_series(20, 49, HOURS_2)).expect("valid input");
    let mut mixed = built.clone();
    mixed.chunks_bytes = other.chunks_bytes.clone();
    mixed.meta.chunks_object = other.meta.chunks_object.clone();
    assert_eq!(read_all(&mixed).await.expect_err("does not belong").kind(), ErrorKind::Corrupt);

    let mut missing = MemoryReader::of(&built);
    missing.objects.remove(&built.meta.chunks_object.key);
    let error = BlockReader::open(Arc::new(missing), built.meta.clone()).await.err().expect("gone");
    assert!(matches!(&error, BlockError::NotFound { object } if *object == built.meta.chunks_object.key));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn rows_on_both_sides_of_a_row_group_border_are_found() {
    let series: Vec<PlainSeries> = (0..131_200u64)
        .map(|i| PlainSeries {
            labels: labels(&[("__name__", "m"), ("id", &format!("{i:06}"))]),
            samples: vec![(7_200_000 + i as i64, i)],
        })
        .collect();
    let reader = open(&build_plain(&spec(HOURS_2), &series).expect("valid input")).await;
    let matchers = [matcher(MatchOp::Regex, "id", "1310[67].|131199|000000")];
    let answer = select_plain(&reader, &matchers, TimeRange::ALL).await.expect("undamaged");
    assert_eq!(answer.len(), 22);
    assert!(answer == scan(&series, &matchers, TimeRange::ALL));
}
