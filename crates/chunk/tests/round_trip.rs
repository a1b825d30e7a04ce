//! Property tests: every sample comes back bit for bit, and no bytes make a decoder panic.

mod support;

use bytes::Bytes;
use chunk::{CHUNK_SAMPLES_MAX, ChunkError, EncodedChunk, OpenChunk, OpenRun, decode, encode, read_merged};
use model::{SampleValue, Samples};
use proptest::prelude::*;

use support::float as value;

/// Whole series of one kind, as targets expose them, with a few intruders.
fn values(len: usize) -> impl Strategy<Value = Vec<f64>> {
    let steps = |max: i64| prop::collection::vec(0..max, len);
    let counter = (steps(1000), 0i64..1 << 40).prop_map(|(steps, start)| running(&steps, start, 1.0));
    let decimals = (steps(5000), -9999i64..9999).prop_map(|(steps, start)| running(&steps, start, 100.0));
    let pages = steps(64).prop_map(|steps| steps.iter().map(|step| (step * 4096) as f64).collect());
    let constant = value().prop_map(move |value| vec![value; len]);
    let any = prop::collection::vec(value(), len);
    let kinds = prop_oneof![counter, decimals, pages, constant, any];
    let intruders = prop::collection::vec((0..len, value()), 0..4);
    (kinds, intruders).prop_map(|(mut values, intruders): (Vec<f64>, _)| {
        intruders.into_iter().for_each(|(position, value)| values[position] = value);
        values
    })
}

fn running(steps: &[i64], start: i64, scale: f64) -> Vec<f64> {
    let sums = steps.iter().scan(start, |sum, step| {
        *sum += step;
        Some(*sum as f64 / scale)
    });
    sums.collect()
}

fn timestamps(len: usize) -> impl Strategy<Value = Vec<i64>> {
    let aligned = (any::<i32>(), 1i64..100_000)
        .prop_map(move |(start, step)| (0..len as i64).map(|i| i64::from(start) + i * step).collect());
    let jittered =
        prop::collection::vec(1i64..30_000, len).prop_map(|steps| times_of(&running(&steps, 1_700_000, 1.0)));
    let wild = prop::collection::btree_set(any::<i64>(), len).prop_map(|set| set.into_iter().collect());
    prop_oneof![aligned, jittered, wild]
}

fn times_of(values: &[f64]) -> Vec<i64> {
    values.iter().map(|value| *value as i64).collect()
}

fn samples() -> impl Strategy<Value = (Vec<i64>, Vec<f64>)> {
    prop_oneof![1usize..8, 1usize..300].prop_flat_map(|len| (timestamps(len), values(len)))
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn decoded(data: &[u8]) -> Result<(Vec<i64>, Vec<u64>), ChunkError> {
    let mut out = Samples::default();
    out.push(-7, -7.0);
    let result = decode(data, &mut out);
    assert_eq!((out.timestamps[0], out.floats[0]), (-7, -7.0), "decoding appends");
    assert_eq!(out.timestamps.len(), out.floats.len());
    result.inspect_err(|_| assert_eq!(out.len(), 1, "a failed decode leaves nothing behind"))?;
    Ok((out.timestamps[1..].to_vec(), bits(&out.floats[1..])))
}

fn open_chunk(timestamps: &[i64], values: &[f64]) -> OpenChunk {
    let mut chunk = OpenChunk::new();
    timestamps.iter().zip(values).for_each(|(time_ms, value)| chunk.append(*time_ms, *value));
    chunk
}

/// Gives damaged bytes a valid checksum, so that the damage reaches the decoder.
fn seal(mut body: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&body);
    body.extend_from_slice(&checksum.to_le_bytes());
    body
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn both_encodings_round_trip((timestamps, values) in samples()) {
        let sealed = encode(&timestamps, &values);
        let mut open = open_chunk(&timestamps, &values);
        for chunk in [&sealed, &open.to_encoded()] {
            prop_assert_eq!(decoded(&chunk.data)?, (timestamps.clone(), bits(&values)));
            prop_assert_eq!(chunk.start_ms, timestamps[0]);
            prop_assert_eq!(Some(&chunk.end_ms), timestamps.last());
            prop_assert_eq!(chunk.samples as usize, timestamps.len());
        }
        let mut again = OpenRun::from_encoded(&open.to_encoded().data)?;
        let last = again.last_value().map(|value| value.is_same(&SampleValue::Float(values[values.len() - 1])));
        prop_assert_eq!(last, Some(true));
        if open.last_ms() < Some(i64::MAX) {
            again.append(i64::MAX, 0, SampleValue::Float(1.5));
            open.append(i64::MAX, 1.5);
        }
        prop_assert_eq!(again.to_encoded(), open.to_encoded(), "a restored chunk goes on like the original");
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(encoding in 0u8..4, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut data = vec![encoding];
        data.extend(body);
        let _ = decoded(&data);
        if let Ok((timestamps, values)) = decoded(&seal(data)) {
            prop_assert!(timestamps.is_sorted_by(|a, b| a < b));
            prop_assert!(timestamps.len() == values.len() && timestamps.len() <= CHUNK_SAMPLES_MAX);
        }
    }

    #[test]
    fn no_mutation_makes_a_decoder_panic(
        (timestamps, values) in samples(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        for chunk in [encode(&timestamps, &values), open_chunk(&timestamps, &values).to_encoded()] {
            let body = &chunk.data[..chunk.data.len() - 4];
            let mut mutated = body.to_vec();
            mutations.iter().for_each(|(index, byte)| mutated[index.index(body.len())] = *byte);
            if let Ok((timestamps, _)) = decoded(&seal(mutated)) {
                prop_assert!(timestamps.is_sorted_by(|a, b| a < b) && timestamps.len() <= CHUNK_SAMPLES_MAX);
            }
            let cut = &body[..cut.index(body.len())];
            prop_assert!(decoded(&seal(cut.to_vec())).is_err(), "a chunk without its end is no chunk");
            prop_assert!(decoded(cut).is_err());
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed((timestamps, values) in samples(), index in any::<prop::sample::Index>()) {
        let mut data = encode(&timestamps, &values).data.to_vec();
        let bit = index.index(data.len() * 8);
        data[bit / 8] ^= 1 << (bit % 8);
        let is_checksum = matches!(decoded(&data), Err(ChunkError::Checksum { .. }));
        prop_assert!(is_checksum);
    }

    #[test]
    fn merging_equals_the_naive_model(
        runs in prop::collection::vec((prop::collection::btree_set(-50i64..50, 1..20), any::<bool>()), 0..6),
        start_ms in -60i64..60,
        length_ms in -20i64..80,
    ) {
        let (mut chunks, mut model) = (Vec::new(), std::collections::BTreeMap::new());
        for (index, (times, is_open)) in runs.into_iter().enumerate() {
            let timestamps: Vec<i64> = times.into_iter().collect();
            let values: Vec<f64> = timestamps.iter().map(|t| (*t * 10) as f64 + index as f64).collect();
            timestamps.iter().zip(&values).for_each(|(t, v)| { model.entry(*t).or_insert(*v); });
            let open = open_chunk(&timestamps, &values);
            chunks.push(if is_open { open.to_encoded() } else { encode(&timestamps, &values) });
        }
        let end_ms = start_ms + length_ms;
        let mut out = Samples::default();
        out.push(99, 9.0);
        read_merged(&chunks, start_ms, end_ms, &mut out)?;
        let found: Vec<(i64, f64)> = out.timestamps.into_iter().zip(out.floats).skip(1).collect();
        let expected: Vec<(i64, f64)> =
            model.into_iter().filter(|(t, _)| start_ms <= *t && *t <= end_ms).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn hidden_samples_are_not_read((timestamps, values) in samples(), at in any::<prop::sample::Index>()) {
        let from = at.index(timestamps.len());
        let chunk = encode(&timestamps, &values).visible_from(timestamps[from]);
        let mut out = Samples::default();
        out.push(i64::MIN, 9.0);
        read_merged(&[chunk], i64::MIN, i64::MAX, &mut out)?;
        prop_assert_eq!(&out.timestamps[1..], &timestamps[from..]);
        prop_assert_eq!(bits(&out.floats[1..]), bits(&values[from..]));
    }

    #[test]
    fn what_one_chunk_hides_another_may_hold((timestamps, values) in samples(), at in any::<prop::sample::Index>()) {
        let from = at.index(timestamps.len());
        let chunk = encode(&timestamps, &values);
        let before = encode(&timestamps[..=from], &values[..=from]);
        let mut out = Samples::default();
        let chunks = [chunk.visible_from(timestamps[from]), before];
        read_merged(&chunks, i64::MIN, i64::MAX, &mut out)?;
        prop_assert_eq!((out.timestamps, bits(&out.floats)), (timestamps, bits(&values)));
    }
}

#[test]
fn the_largest_chunk_round_trips_and_its_count_is_the_limit() {
    let timestamps: Vec<i64> = (0..CHUNK_SAMPLES_MAX as i64).collect();
    let chunk = encode(&timestamps, &vec![1.0; CHUNK_SAMPLES_MAX]);
    assert!(chunk.data.len() < 24, "a constant run takes a few bytes, so the limit is what bounds memory");
    assert_eq!(decoded(&chunk.data).map(|(times, _)| times.len()), Ok(CHUNK_SAMPLES_MAX));
    let mut body = chunk.data[..chunk.data.len() - 4].to_vec();
    assert_eq!(&body[1..4], &[0x80, 0x80, 0x04]);
    body[1] = 0x81;
    assert!(matches!(decoded(&seal(body)), Err(ChunkError::Malformed { .. })));
}

#[test]
fn a_wrong_description_is_an_error() {
    let chunk = encode(&[1, 2, 3], &[1.0, 2.0, 3.0]);
    let wrong = [
        EncodedChunk { start_ms: 0, ..chunk.clone() },
        EncodedChunk { end_ms: 4, ..chunk.clone() },
        EncodedChunk { samples: 2, ..chunk },
    ];
    for chunk in wrong {
        let mut out = Samples::default();
        out.push(7, 7.0);
        let before = out.clone();
        let result = read_merged(&[chunk], 0, 9, &mut out);
        assert_eq!(result, Err(ChunkError::Mismatch { samples: 3, start_ms: 1, end_ms: 3 }));
        assert_eq!(out, before);
    }
}

#[test]
fn bytes_without_a_container_are_refused() {
    for data in [&[][..], &[2], &[2, 0, 0], &seal(vec![])] {
        assert!(matches!(decoded(data), Err(ChunkError::Truncated { .. })), "{data:?}");
    }
    assert_eq!(decoded(&seal(vec![9, 1])), Err(ChunkError::UnknownEncoding { encoding: 9 }));
    assert!(OpenRun::from_encoded(&encode(&[1], &[1.0]).data).is_err());
    assert_eq!(Bytes::from(seal(vec![9])).len(), 5);
}
