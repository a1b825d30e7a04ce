//! Property tests of samples of any kind: every field comes back bit for bit, and no bytes make a decoder panic.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use chunk::{CHUNK_SAMPLES_MAX, ChunkError, EncodedChunk, OpenRun, decode, encode_run, read_merged, runs};
use model::histogram::Span;
use model::{FloatHistogram, SampleValue, Samples};
use proptest::prelude::*;

use support::{Fact, facts, samples};

/// Seals every run of samples.
fn sealed(samples: &Samples) -> Vec<EncodedChunk> {
    runs(samples).map(|run| encode_run(samples, run)).collect()
}

/// Appends samples one by one, as a head does.
fn opened(samples: &Samples) -> Vec<OpenRun> {
    let mut all = vec![OpenRun::default()];
    for (at, time_ms) in samples.timestamps.iter().enumerate() {
        let (start_ms, value) = (samples.start(at), samples.value(at));
        if !all[all.len() - 1].takes(start_ms, &value) {
            all.push(OpenRun::default());
        }
        let last = all.last_mut().expect("there is one");
        last.append(*time_ms, start_ms, value);
    }
    all
}

fn decoded(data: &[u8]) -> Result<Samples, ChunkError> {
    let mut out = Samples::default();
    out.push_value(i64::MIN, 5, SampleValue::Histogram(Arc::new(FloatHistogram::stale())));
    let before = facts(&out);
    let result = decode(data, &mut out);
    assert_eq!(facts(&out)[..1], before, "decoding appends");
    result.inspect_err(|_| assert_eq!(out.len(), 1, "a failed decode leaves nothing behind"))?;
    out.remove(0..1);
    Ok(out)
}

/// Gives damaged bytes a valid checksum, so that the damage reaches the decoder.
fn seal(mut body: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&body);
    body.extend_from_slice(&checksum.to_le_bytes());
    body
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn both_encodings_round_trip(samples in samples()) {
        let open = opened(&samples);
        for chunks in [sealed(&samples), open.iter().map(OpenRun::to_encoded).collect()] {
            let mut all = Vec::new();
            for chunk in chunks {
                let part = decoded(&chunk.data)?;
                prop_assert_eq!(Some(&chunk.start_ms), part.timestamps.first());
                prop_assert_eq!(Some(&chunk.end_ms), part.timestamps.last());
                prop_assert_eq!(chunk.samples as usize, part.len());
                all.extend(facts(&part));
            }
            prop_assert_eq!(all, facts(&samples));
        }
        for mut open in open {
            let mut again = OpenRun::from_encoded(&open.to_encoded().data)?;
            let (last, start_ms) = (open.last_value().expect("it has a sample"), 77);
            for run in [&mut open, &mut again] {
                if run.takes(start_ms, &last) {
                    run.append(i64::MAX, start_ms, last.clone());
                }
            }
            prop_assert_eq!(again.to_encoded(), open.to_encoded(), "a restored chunk goes on like the original");
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(encoding in 3u8..5, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut data = vec![encoding];
        data.extend(body);
        if let Ok(samples) = decoded(&seal(data)) {
            prop_assert!(samples.timestamps.is_sorted_by(|a, b| a < b) && samples.len() <= CHUNK_SAMPLES_MAX);
        }
    }

    #[test]
    fn no_mutation_makes_a_decoder_panic(
        samples in samples(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let open = opened(&samples).into_iter().map(|run| run.to_encoded());
        for chunk in sealed(&samples).into_iter().chain(open) {
            let body = &chunk.data[..chunk.data.len() - 4];
            let mut mutated = body.to_vec();
            mutations.iter().for_each(|(index, byte)| mutated[index.index(body.len())] = *byte);
            if let Ok(samples) = decoded(&seal(mutated)) {
                prop_assert!(samples.timestamps.is_sorted_by(|a, b| a < b) && samples.len() <= CHUNK_SAMPLES_MAX);
                prop_assert_eq!(facts(&samples).len(), samples.len());
            }
            let cut = &body[..cut.index(body.len())];
            prop_assert!(decoded(&seal(cut.to_vec())).is_err(), "a chunk without its end is no chunk");
        }
    }

    #[test]
    fn merging_equals_the_naive_model(
        all in prop::collection::vec((samples(), any::<bool>()), 1..4),
        start_ms in 0i64..600_000,
        length_ms in -20i64..900_000,
    ) {
        let (mut chunks, mut model) = (Vec::new(), BTreeMap::<i64, Fact>::new());
        let origin_ms = all[0].0.timestamps[0];
        for (mut samples, is_open) in all {
            // All begin close together, so that they overlap.
            let shift_ms = samples.timestamps[0] - origin_ms;
            samples.timestamps.iter_mut().for_each(|time_ms| *time_ms -= shift_ms);
            facts(&samples).into_iter().for_each(|fact| { model.entry(fact.0).or_insert(fact); });
            let open = opened(&samples);
            let open = open.iter().map(OpenRun::to_encoded);
            chunks.extend(if is_open { open.collect() } else { sealed(&samples) });
        }
        let (start_ms, end_ms) = (origin_ms + start_ms, origin_ms + start_ms + length_ms);
        let mut out = Samples::default();
        out.push(i64::MIN, 1.0);
        read_merged(&chunks, start_ms, end_ms, &mut out)?;
        out.remove(0..1);
        let in_range = |fact: &Fact| (start_ms..=end_ms).contains(&fact.0);
        prop_assert_eq!(facts(&out), model.into_values().filter(in_range).collect::<Vec<_>>());
    }
}

fn histogram(buckets: u32, count: f64) -> SampleValue {
    let spans = vec![Span { offset: 0, length: buckets }];
    let counts = vec![count; buckets as usize];
    let histogram =
        FloatHistogram { positive_spans: spans, positive_buckets: counts, ..FloatHistogram::default() };
    SampleValue::Histogram(Arc::new(histogram))
}

#[test]
fn large_histograms_are_split_where_a_reader_would_refuse_them() {
    let mut samples = Samples::default();
    (0..40).for_each(|time_ms| samples.push_value(time_ms, 0, histogram(65_536, 1.0)));
    let chunks = sealed(&samples);
    assert_eq!(chunks.iter().map(|chunk| chunk.samples).collect::<Vec<_>>(), [15, 15, 10]);
    let open: Vec<usize> = opened(&samples).iter().map(OpenRun::len).collect();
    assert_eq!(open, [15, 15, 10]);
    assert_eq!(facts(&decoded(&chunks[2].data).unwrap()).len(), 10);
}

#[test]
fn an_unchanged_bucket_takes_three_bytes_and_a_marker_joins_any_layout() {
    let size = |buckets: u32| {
        let mut samples = Samples::default();
        (0..100).for_each(|time_ms| samples.push_value(time_ms, 0, histogram(buckets, 5.0)));
        samples.push_value(100, 0, SampleValue::Histogram(Arc::new(FloatHistogram::stale())));
        let [chunk] = &sealed(&samples)[..] else { panic!("one layout makes one chunk") };
        chunk.data.len()
    };
    assert_eq!(size(90) - size(70), 3 * 20);
}
