//! A head whose sealed chunks lie in files answers like one that keeps them in memory.

mod support;

use batch::{Batch, BatchBuilder, BatchOutcome};
use head::Head;
use model::{BlockRange, LabelSet, SeriesRef, TimeRange};
use support::{config, snapshot};

const SERIES: usize = 5;
/// So many samples of eight random bytes that some segments get full.
const SAMPLES: i64 = 130_000;

fn apply(head: &Head, stamp_ms: i64, builder: BatchBuilder) -> BatchOutcome {
    head.apply(stamp_ms, &Batch::decode(&builder.finish()).expect("a builder writes batches"))
}

/// Fills a head with floats that do not compress.
fn fill(head: &Head) -> Vec<SeriesRef> {
    let mut builder = BatchBuilder::new();
    for number in 0..SERIES {
        builder.declare(&LabelSet::from_pairs([("i", &number.to_string())]));
    }
    let refs = apply(head, 0, builder).declared_refs;
    let refs: Vec<SeriesRef> = refs.into_iter().map(|known| known.expect("below the limit")).collect();
    let mut bits = 1u64;
    for time_ms in 0..SAMPLES {
        let mut builder = BatchBuilder::new();
        for series in &refs {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            builder.push_ref(*series, time_ms, f64::from_bits(bits >> 2));
        }
        assert_eq!(apply(head, time_ms, builder).accepted, SERIES as u64);
    }
    refs
}

#[test]
fn files_hold_what_memory_held() {
    let directory = tempfile::tempdir().expect("the system has a directory for temporary files");
    let (files, memory) = (Head::in_directory(config(1000), directory.path()), Head::new(config(1000)));
    assert_eq!(fill(&files), fill(&memory));
    let stats = files.stats();
    assert!(stats.spooled_bytes > 2 << 20 && stats.spool_failures == 0, "{stats:?}");
    assert!(stats.bytes + stats.spooled_bytes / 2 < memory.stats().bytes, "files are not memory: {stats:?}");
    let all =
        |head: &Head| head.select(&[], TimeRange::ALL, head.dropped_until_ms(), 10).expect("few series");
    let window = |head: &Head| head.window(BlockRange::new(0, SAMPLES / 2)).collect::<Vec<_>>();
    let written = snapshot(&files);
    assert!(all(&files) == all(&memory) && window(&files) == window(&memory));
    assert!(written == snapshot(&memory), "equal heads write equal bytes");
    let restored =
        Head::read_snapshot_in(config(1000), directory.path(), &mut &*written).expect("just written");
    assert!(all(&restored) == all(&memory));
    let kept = all(&files);
    for head in [&files, &memory] {
        head.drop_before(SAMPLES - 10);
    }
    assert!(
        files.stats().spooled_bytes < 4 << 20,
        "files go when nothing in them is needed: {:?}",
        files.stats()
    );
    assert!(all(&files) == all(&memory));
    assert!(kept == all(&restored), "what a reader took stays readable");
}
