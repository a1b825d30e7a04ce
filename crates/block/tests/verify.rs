//! What the tools for people say of a block: that it is whole, where it is not, and what it is made of.

mod support;

use std::sync::Mutex;

use block::{BuiltBlock, Place, Verification, describe, inspect, verify};
use bytes::Bytes;
use model::{BlockMeta, BlockRange};
use support::{MemoryReader, build_plain, cluster_series, spec};

const HOURS_2: BlockRange =
    BlockRange { start: model::TimestampMs(7_200_000), end: model::TimestampMs(14_400_000) };

fn block(metrics: usize, pods: usize) -> BuiltBlock {
    build_plain(&spec(HOURS_2), &cluster_series(metrics, pods, HOURS_2)).expect("valid input")
}

async fn verified(built: &BuiltBlock, meta: &BlockMeta) -> Verification {
    verify(&MemoryReader::of(built), meta, &|_| ()).await.expect("memory answers")
}

fn texts(found: &Verification) -> Vec<String> {
    found.faults.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_whole_block_has_no_fault_and_every_byte_was_read() {
    let built = block(20, 50);
    let read = Mutex::new(0);
    let count = |bytes| *read.lock().expect("not poisoned") += bytes;
    let found = verify(&MemoryReader::of(&built), &built.meta, &count).await.expect("memory answers");
    assert_eq!(texts(&found), [""; 0]);
    assert_eq!((found.series, found.samples), (1000, 480_000));
    let size = built.meta.series_object.size_bytes + built.meta.chunks_object.size_bytes;
    assert_eq!((found.bytes, *read.lock().expect("not poisoned")), (size, size));
    let empty = build_plain(&spec(HOURS_2), &[]).expect("valid input");
    assert_eq!(texts(&verified(&empty, &empty.meta).await), [""; 0]);
}

#[tokio::test]
async fn a_block_describes_itself_as_the_catalogue_does() {
    for metrics in [0, 2] {
        let built = block(metrics, 3);
        let (series, chunks) = (&built.meta.series_object, &built.meta.chunks_object);
        let reader = MemoryReader::of(&built);
        let mut own = describe(&reader, &series.key, &chunks.key, series.size_bytes).await.expect("a block");
        assert_eq!(texts(&verified(&built, &own).await), [""; 0]);
        own.series_object.crc32c = series.crc32c;
        assert_eq!(own, built.meta);
    }
    let built = block(1, 1);
    let (series, chunks) = (&built.meta.series_object, &built.meta.chunks_object);
    let reader = MemoryReader::of(&built);
    let error =
        describe(&reader, &chunks.key, &chunks.key, chunks.size_bytes).await.expect_err("the other file");
    assert!(error.to_string().contains("norn.chunks"), "{error}");
    let error = describe(&reader, &series.key, &chunks.key, 100).await.expect_err("no file at all");
    assert!(matches!(error.damage(), Some((_, Place::Footer))), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_flipped_byte_is_found() {
    let built = build_plain(&spec(HOURS_2), &cluster_series(2, 3, BlockRange::new(7_200_000, 7_300_000)));
    let built = built.expect("valid input");
    let flipped = |bytes: &Bytes, position: usize| {
        let mut damaged = bytes.to_vec();
        damaged[position] ^= 1 << (position % 8);
        Bytes::from(damaged)
    };
    for position in 0..built.series_bytes.len() {
        let series_bytes = flipped(&built.series_bytes, position);
        let found = verified(&BuiltBlock { series_bytes, ..built.clone() }, &built.meta).await;
        assert!(!found.faults.is_empty(), "byte {position} of series.parquet");
    }
    for position in 0..built.chunks_bytes.len() {
        let chunks_bytes = flipped(&built.chunks_bytes, position);
        let found = verified(&BuiltBlock { chunks_bytes, ..built.clone() }, &built.meta).await;
        let object = found.faults.iter().filter(|fault| matches!(fault.damage(), Some((_, Place::Object))));
        assert_eq!(object.count(), 1, "byte {position} of chunks.parquet: {:?}", found.faults);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_fault_has_its_line() {
    let built = block(20, 50);
    let mut chunks = built.chunks_bytes.to_vec();
    let tail_start = chunks.len() - built.meta.chunks_object.tail_bytes as usize;
    chunks[100] ^= 1;
    chunks[tail_start - 100] ^= 1;
    let damaged = BuiltBlock { chunks_bytes: chunks.into(), ..built.clone() };
    let found = verified(&damaged, &built.meta).await;
    let pages: Vec<&Place> = found.faults.iter().filter_map(|fault| Some(fault.damage()?.1)).collect();
    assert!(
        matches!(
            pages[..],
            [Place::Page { first_row: 0, .. }, Place::Page { last_row: 999, .. }, Place::Object]
        ),
        "{pages:?}"
    );
    assert!((900..1000).contains(&found.series), "the others were read: {}", found.series);

    let other = BlockMeta { samples: built.meta.samples, level: 3, cut_index: 7, ..built.meta.clone() };
    let text = texts(&verified(&built, &other).await).join("\n");
    assert!(text.contains("cut_index is 99, in the catalogue 7; level is 0, in the catalogue 3"), "{text}");
}

#[tokio::test]
async fn an_inspection_adds_up() {
    let built = block(20, 50);
    let seen = inspect(&MemoryReader::of(&built), &built.meta).await.expect("a block");
    assert_eq!((seen.series.rows, seen.chunks.rows), (1000, 1000));
    let names: Vec<&str> = seen.series.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["l___name__", "l_namespace", "l_pod", "s_kinds", "s_mint", "s_maxt", "s_samples"]);
    let labels: Vec<(&str, u32)> =
        seen.labels.iter().map(|label| (label.name.as_str(), label.values)).collect();
    assert_eq!(labels, [("__name__", 20), ("namespace", 5), ("pod", 50)]);
    let sections: Vec<&str> = seen.sections.iter().map(|section| section.name).collect();
    assert_eq!(sections, ["index", "metadata", "pages"]);
    // Magic, columns, sections, tail: nothing else is in the file.
    let columns: i64 = seen.series.columns.iter().map(|column| column.bytes).sum();
    let sections: u64 = seen.sections.iter().map(|section| section.bytes).sum();
    assert_eq!(4 + columns as u64 + sections + seen.series.tail_bytes, seen.series.size_bytes);
    let [column] = &seen.chunks.columns[..] else { panic!("{:?}", seen.chunks.columns) };
    assert_eq!(4 + column.bytes as u64 + seen.chunks.tail_bytes, seen.chunks.size_bytes);
    assert!(column.pages > 10 && column.name == "c0", "{column:?}");
}
