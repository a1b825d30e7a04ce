//! Damage is contained: whatever byte of a block is flipped, an answer is right or an error names the place; bytes that were
//! damaged on the way are asked for again; and what is not damaged is still answered.

mod support;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use block::{BlockError, BlockReader, BuiltBlock, Place, RangeReader};
use bytes::Bytes;
use model::{BlockRange, ErrorKind, Matcher, TimeRange};
use proptest::prelude::*;
use support::{MemoryReader, PlainSeries, build_plain, cluster_series, scan, select_plain, spec};

const HOURS_2: BlockRange =
    BlockRange { start: model::TimestampMs(7_200_000), end: model::TimestampMs(14_400_000) };

/// A block of many pages, a page less than a metric.
fn big_block() -> (Vec<PlainSeries>, BuiltBlock) {
    let series = cluster_series(20, 50, HOURS_2);
    let built = build_plain(&spec(HOURS_2), &series).expect("valid input");
    (series, built)
}

/// Gives damaged bytes for each read until they were to be forgotten.
struct BadCache {
    inner: MemoryReader,
    forgotten: AtomicUsize,
}

#[async_trait]
impl RangeReader for BadCache {
    async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes, BlockError> {
        let bytes = self.inner.read(key, range).await?;
        if self.forgotten.load(Ordering::Relaxed) > 0 {
            return Ok(bytes);
        }
        let mut damaged = bytes.to_vec();
        damaged[bytes.len() / 2] ^= 1;
        Ok(damaged.into())
    }

    async fn forget(&self, _key: &str, _range: Range<u64>) {
        self.forgotten.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn bytes_damaged_on_the_way_are_asked_for_again() {
    let (series, built) = big_block();
    let cache = Arc::new(BadCache { inner: MemoryReader::of(&built), forgotten: AtomicUsize::new(0) });
    let reader = BlockReader::open(Arc::clone(&cache) as _, built.meta.clone()).await.expect("opens");
    assert_eq!(cache.forgotten.swap(0, Ordering::Relaxed), 2, "the series and the tail");
    let matchers = [Matcher::equal("__name__", "metric_7")];
    let answer = select_plain(&reader, &matchers, TimeRange::ALL).await.expect("asked again");
    assert!(answer == scan(&series, &matchers, TimeRange::ALL));
    assert!((1..5).contains(&cache.forgotten.load(Ordering::Relaxed)), "the pages of the one read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_damaged_page_is_lost_alone_and_by_name() {
    let (series, built) = big_block();
    let mut damaged = built.clone();
    let mut bytes = built.chunks_bytes.to_vec();
    bytes[200] ^= 1;
    damaged.chunks_bytes = bytes.into();
    let reader = support::open(&damaged).await;
    let error = reader.select(&[], TimeRange::ALL, usize::MAX).await.expect_err("needs the first page");
    let (object, place) = error.damage().expect("damage");
    assert_eq!(object, built.meta.chunks_object.key);
    let Place::Page { column, first_row: 0, last_row } = place else { panic!("{place:?}") };
    assert_eq!(column, "c0");
    assert!(place.is_contained());
    assert!(
        error.to_string().contains(&format!("column c0, rows 0 to {last_row}: page checksum")),
        "{error}"
    );
    assert!(reader.check(place).await.is_err(), "still damaged");
    assert!(
        reader
            .check(&Place::Page { column: column.clone(), first_row: last_row + 1, last_row: last_row + 1 })
            .await
            .is_ok()
    );
    let matchers = [Matcher::equal("__name__", "metric_7")];
    let answer = select_plain(&reader, &matchers, TimeRange::ALL).await.expect("other pages");
    assert!(answer == scan(&series, &matchers, TimeRange::ALL));
    assert_eq!(reader.label_names(&[], &TimeRange::ALL).expect("the index is whole").iter().count(), 3);
}

/// Opens and asks: for everything, for one metric, for a part of the time.
async fn answers(built: &BuiltBlock) -> Result<Vec<Vec<PlainSeries>>, BlockError> {
    let reader = BlockReader::open(Arc::new(MemoryReader::of(built)), built.meta.clone()).await?;
    let mut answers = Vec::new();
    for (matchers, range) in questions() {
        answers.push(select_plain(&reader, &matchers, range).await?);
    }
    Ok(answers)
}

fn questions() -> [(Vec<Matcher>, TimeRange); 3] {
    [
        (vec![], TimeRange::ALL),
        (vec![Matcher::equal("__name__", "metric_3")], TimeRange::ALL),
        (vec![], TimeRange::new(9_000_000, 9_060_000)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Several bytes of either object at any places, and cut objects.
    #[test]
    fn answers_are_right_or_errors(
        flips in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), 1u8..), 1..4),
        cut in prop::option::weighted(0.1, (any::<bool>(), any::<prop::sample::Index>())),
    ) {
        static BLOCK: std::sync::LazyLock<(Vec<PlainSeries>, BuiltBlock)> = std::sync::LazyLock::new(|| {
            let series = cluster_series(5, 20, BlockRange::new(7_200_000, 9_600_000));
            let built = build_plain(&spec(HOURS_2), &series).expect("valid input");
            (series, built)
        });
        let (series, built) = &*BLOCK;
        let mut damaged = built.clone();
        for (in_series, position, bits) in flips {
            let object = if in_series { &mut damaged.series_bytes } else { &mut damaged.chunks_bytes };
            let mut bytes = object.to_vec();
            let position = position.index(bytes.len());
            bytes[position] ^= bits;
            *object = bytes.into();
        }
        if let Some((in_series, length)) = cut {
            let object = if in_series { &mut damaged.series_bytes } else { &mut damaged.chunks_bytes };
            *object = object.slice(..length.index(object.len()));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        match runtime.block_on(answers(&damaged)) {
            Ok(answers) => {
                let expected = questions().map(|(matchers, range)| scan(series, &matchers, range));
                prop_assert!(answers == expected, "a wrong answer");
            }
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
                let (object, _) = error.damage().expect("a place");
                prop_assert!(error.to_string().starts_with(object), "{}", error);
            }
        }
    }
}
