//! The frame of everything embedded in `series.parquet` besides Parquet's own bytes.
//!
//! ```text
//! magic [4] | version u8 | raw length u32 LE | zstd frame | crc32c u32 LE of all before
//! ```
//! Where a section lies is told by the file's key-value metadata; see `docs/formats/block.md`.

use serde::{Deserialize, Serialize};

/// zstd's level for sections; they are small against the samples, and read once.
const SECTION_ZSTD_LEVEL: i32 = 3;
const HEADER_BYTES: usize = 4 + 1 + 4;
const CRC_BYTES: usize = 4;
/// The largest section that is unpacked: far above the index of a full block, far below harm.
const RAW_BYTES_MAX: usize = 1 << 30;

/// What a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SectionKind {
    /// The inverted index.
    Index,
    /// Metadata of metric families.
    Metadata,
    /// Checksums of the pages of `chunks.parquet`.
    Pages,
}

impl SectionKind {
    fn magic(self) -> [u8; 4] {
        *match self {
            Self::Index => b"NBIX",
            Self::Metadata => b"NBMD",
            Self::Pages => b"NBPG",
        }
    }

    /// The only version of each kind so far.
    fn version(self) -> u8 {
        1
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Metadata => "metadata",
            Self::Pages => "pages",
        }
    }
}

/// Where a section lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SectionPlace {
    /// First byte.
    pub(crate) offset: u64,
    /// Bytes, frame included.
    pub(crate) length: u64,
    /// The version, which the frame repeats.
    pub(crate) version: u8,
}

impl SectionPlace {
    /// Returns the section's bytes within those of its file, unless it lies outside.
    pub(crate) fn bytes_of<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        let (start, length) = (usize::try_from(self.offset).ok()?, usize::try_from(self.length).ok()?);
        file.get(start..start.checked_add(length)?)
    }
}

/// Returns the framed bytes of a section.
///
/// # Errors
/// A sentence when it is larger than a reader would unpack, or zstd fails.
pub(crate) fn encode(kind: SectionKind, raw: &[u8]) -> Result<Vec<u8>, String> {
    if raw.len() > RAW_BYTES_MAX {
        return Err(format!(
            "the {} takes {} bytes, at most {RAW_BYTES_MAX} can be read",
            kind.name(),
            raw.len()
        ));
    }
    let packed = zstd::bulk::compress(raw, SECTION_ZSTD_LEVEL).map_err(|e| e.to_string())?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + packed.len() + CRC_BYTES);
    bytes.extend_from_slice(&kind.magic());
    bytes.push(kind.version());
    bytes.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&packed);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    Ok(bytes)
}

/// Returns where a section that was appended at `offset` lies.
pub(crate) fn place(kind: SectionKind, offset: usize, framed: &[u8]) -> SectionPlace {
    SectionPlace { offset: offset as u64, length: framed.len() as u64, version: kind.version() }
}

/// Checks a section's frame and unpacks it.
///
/// # Errors
/// A sentence that says what is wrong with the bytes.
pub(crate) fn decode(kind: SectionKind, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let (body, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or("too short for a checksum")?;
    let (stored, computed) = (u32::from_le_bytes(*crc), crc32c::crc32c(body));
    if stored != computed {
        return Err(format!("checksum {computed:08x}, expected {stored:08x}"));
    }
    let (magic, rest) = body.split_first_chunk::<4>().ok_or("too short for a header")?;
    if *magic != kind.magic() {
        return Err(format!("starts with {magic:?}, expected {:?}", kind.magic()));
    }
    let (version, rest) = rest.split_first().ok_or("too short for a header")?;
    if *version != kind.version() {
        return Err(format!("has version {version}, this program reads version {}", kind.version()));
    }
    let (raw_length, packed) = rest.split_first_chunk::<4>().ok_or("too short for a header")?;
    let raw_length = u32::from_le_bytes(*raw_length) as usize;
    if raw_length > RAW_BYTES_MAX {
        return Err(format!("unpacks to {raw_length} bytes, at most {RAW_BYTES_MAX} are read"));
    }
    let raw = zstd::bulk::decompress(packed, raw_length).map_err(|e| e.to_string())?;
    if raw.len() != raw_length {
        return Err(format!("unpacks to {} bytes, expected {raw_length}", raw.len()));
    }
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses_every_flipped_byte() {
        let raw = b"some postings, some postings, some postings".to_vec();
        let framed = encode(SectionKind::Index, &raw).expect("small");
        assert_eq!(decode(SectionKind::Index, &framed), Ok(raw));
        assert!(decode(SectionKind::Pages, &framed).is_err());
        for position in 0..framed.len() {
            let mut damaged = framed.clone();
            damaged[position] ^= 0x10;
            assert!(decode(SectionKind::Index, &damaged).is_err(), "byte {position}");
            assert!(decode(SectionKind::Index, &framed[..position]).is_err(), "cut at {position}");
        }
    }
}
