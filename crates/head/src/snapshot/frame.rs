//! The frames of a snapshot: `[kind: u8][length: u32][payload][crc32c: u32]`, after a magic and a version.

use std::io::{self, Read, Write};

use super::FRAME_BYTES_TARGET;
use crate::HeadError;

const MAGIC: [u8; 8] = *b"NORNHEAD";
const VERSION: u32 = 4;
const HEADER_BYTES: usize = 5;

/// What a frame's records are. Frames come in this order, and each kind may fill any number of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum FrameKind {
    /// Once: the bounds of time and the number of samples.
    Bounds = 1,
    /// What metric families say of themselves.
    Metadata = 2,
    /// Label pairs; series name them by position, counted over all frames.
    Pairs = 3,
    /// Slots in order, free or with a series.
    Slots = 4,
    /// Deleted ranges of series.
    Tombstones = 5,
    /// Exemplars with the labels of their series, from old to new.
    Exemplars = 6,
    /// Once: the number of slots.
    End = 7,
}

impl FrameKind {
    fn of(byte: u8) -> Option<Self> {
        let all = [
            Self::Bounds,
            Self::Metadata,
            Self::Pairs,
            Self::Slots,
            Self::Tombstones,
            Self::Exemplars,
            Self::End,
        ];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Gathers records into frames.
pub(super) struct FrameWriter<'a> {
    out: &'a mut dyn Write,
    kind: FrameKind,
    payload: Vec<u8>,
}

impl<'a> FrameWriter<'a> {
    /// Writes the magic and the version.
    pub(super) fn start(out: &'a mut dyn Write) -> io::Result<Self> {
        out.write_all(&MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        Ok(Self { out, kind: FrameKind::Bounds, payload: Vec::new() })
    }

    /// Returns where to append the next record. A record never spans two frames.
    pub(super) fn record(&mut self, kind: FrameKind) -> io::Result<&mut Vec<u8>> {
        if kind != self.kind || self.payload.len() >= FRAME_BYTES_TARGET {
            self.flush()?;
            self.kind = kind;
        }
        Ok(&mut self.payload)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.payload.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(self.payload.len())
            .map_err(|_| io::Error::other("a record of the snapshot is larger than 4 GiB"))?;
        let header = header(self.kind as u8, length);
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&header), &self.payload);
        self.out.write_all(&header)?;
        self.out.write_all(&self.payload)?;
        self.out.write_all(&checksum.to_le_bytes())?;
        self.payload.clear();
        Ok(())
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.out.flush()
    }
}

fn header(kind: u8, length: u32) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = length.to_le_bytes();
    [kind, a, b, c, d]
}

/// Reads frames one by one and checks them.
pub(super) struct FrameReader<'a> {
    input: &'a mut dyn Read,
    offset: u64,
    frame_offset: u64,
    last: FrameKind,
}

impl<'a> FrameReader<'a> {
    /// Checks the magic and the version.
    pub(super) fn start(input: &'a mut dyn Read) -> Result<Self, HeadError> {
        let mut reader = Self { input, offset: 0, frame_offset: 0, last: FrameKind::Bounds };
        if reader.array::<8>()? != MAGIC {
            return Err(reader.damaged("it does not begin like a snapshot of a head"));
        }
        match u32::from_le_bytes(reader.array()?) {
            VERSION => Ok(reader),
            version => Err(HeadError::UnknownSnapshotVersion { version, known: VERSION }),
        }
    }

    /// Returns where the frame returned last begins.
    pub(super) fn frame_offset(&self) -> u64 {
        self.frame_offset
    }

    fn damaged(&self, what: &'static str) -> HeadError {
        HeadError::DamagedSnapshot { offset: self.frame_offset, what }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], HeadError> {
        let mut array = [0; N];
        let read = self.input.read_exact(&mut array);
        read.map_err(|source| HeadError::ReadSnapshot { offset: self.offset, source })?;
        self.offset += N as u64;
        Ok(array)
    }

    /// Reads the next frame. Memory grows with what arrives, not with what the length promises.
    pub(super) fn next(&mut self) -> Result<(FrameKind, Vec<u8>), HeadError> {
        self.frame_offset = self.offset;
        let [kind, a, b, c, d] = self.array()?;
        let length = u32::from_le_bytes([a, b, c, d]);
        let mut payload = Vec::new();
        let read = (&mut *self.input).take(u64::from(length)).read_to_end(&mut payload);
        read.map_err(|source| HeadError::ReadSnapshot { offset: self.offset, source })?;
        self.offset += payload.len() as u64;
        if payload.len() != length as usize {
            return Err(self.damaged("it ends within the frame"));
        }
        let stored = u32::from_le_bytes(self.array()?);
        if stored != crc32c::crc32c_append(crc32c::crc32c(&header(kind, length)), &payload) {
            return Err(self.damaged("the checksum does not fit"));
        }
        let kind = FrameKind::of(kind).filter(|kind| *kind >= self.last);
        self.last = kind.ok_or_else(|| self.damaged("frames are unknown or out of order"))?;
        Ok((self.last, payload))
    }
}
