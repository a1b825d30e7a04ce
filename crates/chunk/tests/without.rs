//! Leaving samples out, against a naive model.

use chunk::{EncodedChunk, encode_run, read_merged, runs, without};
use model::{Samples, TimeRange, TimeRanges};
use proptest::prelude::*;

fn chunks_of(samples: &Samples, length: usize) -> Vec<EncodedChunk> {
    let chunks = runs(samples).flat_map(|run| {
        let starts = run.clone().step_by(length);
        starts.map(move |from| (from, run.end.min(from + length)))
    });
    chunks.map(|(from, to)| encode_run(samples, from..to)).collect()
}

fn set(ranges: &[(i64, i64)]) -> TimeRanges {
    ranges.iter().map(|(start, length)| TimeRange::new(*start, start + length)).collect()
}

proptest! {
    #[test]
    fn the_rest_is_what_a_filter_leaves(
        count in 1usize..400,
        length in 1usize..150,
        ranges in prop::collection::vec((0i64..900, 0i64..300), 0..5),
        hidden in 0i64..50,
        wide in any::<bool>(),
    ) {
        let mut samples = Samples::default();
        for at in 0..count as i64 {
            samples.push(at * 2, at as f64 * 0.5);
            if wide && at % 3 == 0 {
                samples.start_last(at);
            }
        }
        let mut chunks = chunks_of(&samples, length);
        chunks.retain(|chunk| chunk.end_ms >= hidden);
        let chunks: Vec<EncodedChunk> = chunks.into_iter().map(|chunk| chunk.visible_from(hidden)).collect();
        let erased = set(&ranges);
        let left = without(chunks.clone(), &erased).expect("undamaged");
        let mut read = Samples::default();
        read_merged(&left, i64::MIN, i64::MAX, &mut read).expect("what was encoded can be read");
        let keep: Vec<usize> = (0..samples.len())
            .filter(|at| samples.timestamps[*at] >= hidden && !erased.contains(samples.timestamps[*at]))
            .collect();
        let mut expected = Samples::default();
        expected.extend_from(&samples, keep.iter().copied());
        prop_assert_eq!(&read.timestamps, &expected.timestamps);
        prop_assert_eq!(&read.floats, &expected.floats);
        for at in 0..read.len() {
            prop_assert_eq!(read.start(at), expected.start(at));
        }
        let untouched = |chunk: &&EncodedChunk| !erased.touches(&TimeRange::new(chunk.start_ms, chunk.end_ms));
        prop_assert!(chunks.iter().filter(untouched).all(|chunk| left.contains(chunk)), "copied as they are");
    }
}

#[test]
fn damage_shows_only_where_a_chunk_is_decoded() {
    let chunk = chunk::encode(&[10, 20, 30], &[1.0, 2.0, 3.0]);
    let mut data = chunk.data.to_vec();
    data[3] ^= 1;
    let damaged = EncodedChunk { data: data.into(), ..chunk };
    assert!(without(vec![damaged.clone()], &set(&[(20, 0)])).is_err());
    assert_eq!(without(vec![damaged.clone()], &set(&[(10, 20)])), Ok(Vec::new()));
    assert_eq!(without(vec![damaged.clone()], &set(&[(31, 9)])), Ok(vec![damaged]));
}
