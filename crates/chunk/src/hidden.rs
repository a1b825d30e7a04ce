//! Samples that stand for more than themselves, as those of downsampled blocks may: a sealed chunk with a count beside each
//! sample. See "Hidden" in `docs/formats/chunk.md`.

use bytes::Bytes;
use model::Samples;
use model::varint::{Cursor, push_bytes};

use crate::container::{EncodedChunk, Encoding, finish, open_container};
use crate::{ChunkError, decode, ints};

/// Puts what its samples hide beside a sealed chunk.
pub(crate) fn wrap(chunk: EncodedChunk, hidden: &[u32]) -> EncodedChunk {
    let mut data = vec![Encoding::Hidden as u8];
    push_bytes(&mut data, &chunk.data);
    let hidden: Vec<i64> = hidden.iter().map(|hidden| i64::from(*hidden)).collect();
    ints::write(&hidden, &mut data);
    finish(&mut data, 0);
    EncodedChunk { data: Bytes::from(data), ..chunk }
}

/// Appends the samples of a payload, whose checksum was checked.
pub(crate) fn read_samples(body: &[u8], out: &mut Samples) -> Result<(), ChunkError> {
    let mut cursor = Cursor::new(body);
    // The encoding is known already.
    cursor.byte()?;
    let shown = cursor.bytes()?;
    let (encoding, _) = open_container(shown)?;
    if !matches!(encoding, Encoding::Sealed | Encoding::SealedWide) {
        return Err(cursor.malformed("what is wrapped is no sealed chunk").into());
    }
    let before = out.len();
    decode(shown, out)?;
    let mut hidden = Vec::new();
    ints::read(&mut cursor, out.len() - before, &mut hidden)?;
    let range = cursor.malformed("more is hidden than 32 bits hold");
    cursor.finish()?;
    let hidden: Vec<u32> =
        hidden.into_iter().map(u32::try_from).collect::<Result<_, _>>().map_err(|_| range)?;
    out.hidden.resize(before, 0);
    out.hidden.extend(hidden);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{encode_run, read_merged};

    fn samples() -> Samples {
        let mut samples = Samples::default();
        for (time_ms, hidden) in [(10, 19), (20, 0), (30, u32::MAX)] {
            samples.push(time_ms, time_ms as f64);
            samples.hide_last(hidden);
        }
        samples
    }

    #[test]
    fn what_is_hidden_comes_back() {
        let chunk = encode_run(&samples(), 0..3);
        assert_eq!(chunk.data[0], Encoding::Hidden as u8);
        let mut read = Samples::default();
        read.push(1, 1.0);
        decode(&chunk.data, &mut read).expect("undamaged");
        assert_eq!(read.hidden, [0, 19, 0, u32::MAX]);
        assert_eq!(encode_run(&samples(), 1..2).data[0], Encoding::Sealed as u8);
        let mut read = Samples::default();
        read_merged(&[chunk, crate::encode(&[40], &[4.0])], 20, 40, &mut read).expect("undamaged");
        assert_eq!(
            (read.timestamps.as_slice(), read.hidden.as_slice()),
            (&[20, 30, 40][..], &[0, u32::MAX, 0][..])
        );
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_refused() {
        let good = encode_run(&samples(), 0..3).data;
        for position in 0..good.len() {
            let mut damaged = good.to_vec();
            damaged[position] ^= 0x40;
            let mut read = samples();
            assert!(decode(&damaged, &mut read).is_err(), "byte {position}");
            assert!(decode(&good[..position], &mut read).is_err(), "cut at {position}");
            assert_eq!(read, samples());
        }
    }

    #[test]
    fn a_chunk_wrapped_twice_is_refused() {
        let twice = wrap(encode_run(&samples(), 0..3), &[1, 1, 1]);
        assert!(matches!(decode(&twice.data, &mut Samples::default()), Err(ChunkError::Malformed { .. })));
    }
}
