//! The decoders beneath the checksums, with bytes that nobody wrote: for the fuzz targets, and for the smoke tests below. In
//! use, nothing but a faulty writer gets that far.
//!
//! Each function takes any bytes and returns; what is decoded is used as a reader would use it.

use model::varint::Cursor;
use model::{MatchOp, Matcher, Samples, TimeRange};
use parquet::file::metadata::KeyValue;

use crate::chunks::{decode_value, join_value};
use crate::describe::entry;
use crate::index::{self, LabelIndex};
use crate::section::{self, SectionKind};

/// Rows of an index that a few bytes may claim; a reader takes as many as the catalogue says.
const ROWS_MAX: u32 = 1000;

/// A value of `chunks.parquet` without its checksum: what is decoded is written to bytes that are decoded to the same.
///
/// # Panics
/// When it is not.
pub fn value(body: &[u8]) {
    let mut bytes = body.to_vec();
    bytes.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
    let Ok(chunks) = decode_value(0, &bytes, &TimeRange::ALL) else { return };
    let again = decode_value(0, &join_value(0, &chunks), &TimeRange::ALL);
    assert_eq!(again.as_ref(), Ok(&chunks), "what was written is read");
    for chunk in chunks {
        let mut samples = Samples::default();
        let _ = chunk::decode(&chunk.data, &mut samples);
    }
}

/// The content of the index section.
///
/// # Panics
/// When rows beyond the last are found.
pub fn index(raw: &[u8]) {
    let _ = index::sizes(raw);
    let Ok(rows) = Cursor::new(raw).u32() else { return };
    let Ok(index) = LabelIndex::decode(raw, rows.min(ROWS_MAX)) else { return };
    for row in 0..index.rows() {
        let _ = index.labels(row);
    }
    let names: Vec<String> = index.names().map(str::to_owned).collect();
    for name in names {
        for (op, value) in [(MatchOp::Regex, "a.*|b"), (MatchOp::NotEqual, ""), (MatchOp::NotRegex, "x?")] {
            let matcher = Matcher::new(op, name.as_str(), value).expect("a valid pattern");
            let selected = index.select(&[matcher]);
            assert!(selected.is_err() || selected.is_ok_and(|rows| rows.max() < Some(index.rows())));
        }
    }
}

/// A framed section without its checksum.
///
/// # Panics
/// Never on purpose.
pub fn framed(body: &[u8]) {
    let mut bytes = body.to_vec();
    bytes.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
    for kind in [SectionKind::Index, SectionKind::Metadata, SectionKind::Pages] {
        let Ok(raw) = section::decode(kind, &bytes) else { continue };
        match kind {
            SectionKind::Index => index(&raw),
            SectionKind::Metadata => drop(serde_json::from_slice::<Vec<model::MetricMetadata>>(&raw)),
            SectionKind::Pages => drop(crate::series::decode_page_crcs(&raw)),
        }
    }
}

/// Key-value metadata, as lines of a key, an equals sign and a value.
///
/// # Panics
/// Never on purpose.
pub fn key_values(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let entries: Vec<KeyValue> =
        lines.map(|(key, value)| crate::layout::key_value(key, value.to_owned())).collect();
    if let Ok(meta) = entry(&entries, "series.parquet", "chunks.parquet", 1 << 20) {
        assert!(meta.series_object.tail_bytes <= 1 << 20);
    }
}

#[cfg(test)]
mod tests {
    use model::LabelSet;
    use proptest::prelude::*;

    use super::*;
    use crate::order::LabelTable;

    fn good_value() -> Vec<u8> {
        let chunks = [chunk::encode(&[5, 9, 17], &[1.0, 2.5, -0.0]), chunk::encode(&[20], &[f64::NAN])];
        let value = join_value(3, &chunks);
        value[..value.len() - 4].to_vec()
    }

    fn good_index() -> Vec<u8> {
        let series = [
            LabelSet::from_pairs([("__name__", "up"), ("job", "a")]),
            LabelSet::from_pairs([("__name__", "up"), ("job", "b")]),
            LabelSet::from_pairs([("__name__", "x")]),
        ];
        let table = LabelTable::new(series.iter());
        index::encode(&table, &[0, 1, 2]).expect("valid")
    }

    fn good_frame() -> Vec<u8> {
        let framed = section::encode(SectionKind::Index, &good_index()).expect("small");
        framed[..framed.len() - 4].to_vec()
    }

    const GOOD_METADATA: &str = "norn.format=1\nnorn.block=000006VQ80000000000000001A\nnorn.shard=3\nnorn.level=0\n\
        norn.mint=7200000\nnorn.maxt=14400000\nnorn.cut_index=99\nnorn.ext_labels={\"cluster\":\"eu\"}\n\
        norn.stats={\"series\":3,\"samples\":6}\nnorn.pages={\"offset\":784,\"length\":27,\"version\":1}\n\
        norn.chunks={\"size_bytes\":583,\"tail_bytes\":448,\"crc32c\":2823800596,\"tail_crc32c\":2812084935}";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn bytes_never_change() {
        let golden = [
            "040c03190203060a08081106141e1d0102000000000000008087999297220001110201042800000000000000f87fd087c914",
            "0302085f5f6e616d655f5f022f0300000000000000000000000000000000108903000001787511020200000000000000\
             1a00000000000000f59d6d0e050101000104036a6f62022c030000000000000000000000000000000200000062611102\
             02000000000000001700000000000000d7e3da0f0401000102",
            "4e424958017900000028b52ffd20796d020094030302085f5f6e616d655f5f022f03001089030000017875110202001a\
             00f59d6d0e050101000104036a6f62022c626117d7e3da0f04010001020700208bad16a7b202afd002038321e9401d",
        ];
        assert_eq!([hex(&good_value()), hex(&good_index()), hex(&good_frame())], golden);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_survived() {
        let seeds = [good_value(), good_index(), good_frame(), GOOD_METADATA.as_bytes().to_vec()];
        for (seed, decode) in seeds.iter().zip([value, index, framed, key_values] as [fn(&[u8]); 4]) {
            decode(seed);
            for bit in 0..seed.len() * 8 {
                let mut flipped = seed.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                decode(&flipped);
            }
            (0..seed.len()).for_each(|length| decode(&seed[..length]));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            value(&bytes);
            index(&bytes);
            framed(&bytes);
            key_values(&bytes);
        }

        #[test]
        fn seeds_with_other_bytes_are_survived(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            for (seed, decode) in [(good_value(), value as fn(&[u8])), (good_index(), index), (good_frame(), framed)] {
                let mut bytes = seed;
                for (position, byte) in &changes {
                    let position = position.index(bytes.len());
                    bytes[position] = *byte;
                }
                decode(&bytes);
            }
        }
    }
}
