//! Readers beside the writer: what was applied before a query began is in its answer, each sample once.

use std::sync::atomic::{AtomicI64, Ordering};

use batch::{Batch, BatchBuilder};
use head::{Head, HeadConfig, HeadError};
use model::{LabelSet, Matcher, Samples, SeriesRef, TimeRange};

const SERIES: u64 = 3000;
const ROUNDS: i64 = 150;
/// Every so many rounds the head forgets what is older than as many rounds.
const DROP_ROUNDS: i64 = 30;

fn declare(head: &Head) -> Vec<SeriesRef> {
    let mut builder = BatchBuilder::new();
    for i in 0..SERIES {
        builder.declare(&LabelSet::from_pairs([("__name__", "m"), ("i", &format!("{i:05}"))]));
    }
    let outcome = head.apply(0, &Batch::decode(&builder.finish()).expect("a builder writes batches"));
    outcome.declared_refs.into_iter().map(|series| series.expect("below the limit")).collect()
}

/// Writes one sample a series each round; `applied` tells the rounds that are complete.
fn write(head: &Head, refs: &[SeriesRef], applied: &AtomicI64) {
    for round in 0..ROUNDS {
        let mut builder = BatchBuilder::new();
        refs.iter().for_each(|series| builder.push_ref(*series, round, round as f64));
        let outcome = head.apply(0, &Batch::decode(&builder.finish()).expect("a builder writes batches"));
        assert_eq!(outcome.accepted, SERIES);
        applied.store(round, Ordering::Release);
        if round % DROP_ROUNDS == DROP_ROUNDS - 1 {
            head.drop_before(round - DROP_ROUNDS);
        }
    }
}

/// Reads once and returns the first round that the writer had completed before; the answer is checked on the way.
fn read(head: &Head, applied: &AtomicI64) -> i64 {
    let before = applied.load(Ordering::Acquire);
    let from_ms = head.dropped_until_ms().max(0);
    let series = match head.select(&[Matcher::equal("__name__", "m")], TimeRange::ALL, from_ms, usize::MAX) {
        Err(HeadError::Stale { dropped_until_ms, .. }) => {
            assert!(dropped_until_ms > from_ms, "refused only when something was dropped meanwhile");
            return before;
        }
        selected => selected.expect("nothing else can go wrong"),
    };
    assert!(before < 0 || series.len() as u64 == SERIES, "no series is missing");
    for series in series {
        let mut samples = Samples::default();
        chunk::read_merged(&series.chunks, i64::MIN, i64::MAX, &mut samples).expect("chunks are sound");
        let timestamps = samples.timestamps;
        let last = timestamps[timestamps.len() - 1];
        assert!(last >= before, "{} ends at {last}, {before} was applied before", series.labels);
        assert_eq!(timestamps, (from_ms..=last).collect::<Vec<_>>());
        assert_eq!(samples.floats, timestamps.iter().map(|t| *t as f64).collect::<Vec<_>>());
    }
    before
}

#[test]
fn readers_see_all_that_was_applied_before() {
    let config = HeadConfig {
        out_of_order_window_ms: 0,
        future_ms_max: i64::MAX,
        series_max: SERIES,
        exemplars_max: 0,
    };
    let (head, applied) = (Head::new(config), AtomicI64::new(-1));
    let refs = declare(&head);
    std::thread::scope(|scope| {
        scope.spawn(|| write(&head, &refs, &applied));
        for _ in 0..2 {
            scope.spawn(|| while read(&head, &applied) < ROUNDS - 1 {});
        }
    });
    assert_eq!(head.stats().max_ms, Some(ROUNDS - 1));
}

#[test]
fn the_writer_needs_nothing_of_a_reader_that_holds_a_selection() {
    let config = HeadConfig {
        out_of_order_window_ms: 0,
        future_ms_max: i64::MAX,
        series_max: SERIES,
        exemplars_max: 0,
    };
    let head = Head::new(config);
    let refs = declare(&head);
    let append = |time_ms: i64| {
        let mut builder = BatchBuilder::new();
        refs.iter().for_each(|series| builder.push_ref(*series, time_ms, 1.0));
        head.apply(0, &Batch::decode(&builder.finish()).expect("a builder writes batches")).accepted
    };
    assert_eq!(append(1), SERIES);
    let mut selection = head.selection(&[], TimeRange::ALL, i64::MIN).expect("nothing was dropped");
    let mut read = 0;
    while let Some(slice) = selection.next_slice(&head).expect("nothing was dropped") {
        read += slice.len() as u64;
        // On this very thread: it would wait for ever for a lock that the selection held.
        assert_eq!(append(1 + read as i64), SERIES);
    }
    assert_eq!(read, SERIES);
}
