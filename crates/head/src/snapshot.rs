//! Writing a head to a stream and reading it back. The bytes are specified in `docs/formats/head-snapshot.md`.
//!
//! A snapshot keeps everything that can be observed: refs, generations of free slots, chunk boundaries and bounds. A head
//! read back goes on as if nothing had happened, so replicas may be restored at different times. Equal heads write equal
//! bytes: replicas can be compared by a checksum.

mod fields;
mod frame;

use std::io::{self, Read, Write};
use std::path::Path;

use chunk::OpenRun;
use model::{Exemplar, LabelSet, MetricMetadata, MetricType, Samples, TimeRange, TimeRanges};
use parking_lot::RwLock;

use crate::chunk_log::{self, ChunkLog, ChunkStore};
use crate::late::Late;
use crate::series::Series;
use crate::spool::Spool;
use crate::state::State;
use crate::{Head, HeadConfig, HeadError};
use fields::{Fields, push_bytes, push_field, push_i64, push_u32};
use frame::{FrameKind, FrameReader, FrameWriter};

/// Records are gathered into frames of about this size.
const FRAME_BYTES_TARGET: usize = 1 << 20;

/// After how many slots the pages that were read of the head's files are given back.
const EVICT_AFTER_SLOTS: usize = 1 << 14;

/// What stands in a slot's record.
const SLOT_FREE: u8 = 0;
const SLOT_SERIES: u8 = 1;

impl Head {
    /// Writes a snapshot. Readers go on meanwhile; the writer of the head must wait.
    ///
    /// # Errors
    /// Those of `out`. What was written until then is no snapshot.
    pub fn write_snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        let state = self.state.read();
        let mut frames = FrameWriter::start(out)?;
        write_bounds(&state, &mut frames)?;
        for metadata in state.metadata.iter() {
            write_metadata(metadata, frames.record(FrameKind::Metadata)?);
        }
        let (pairs, places) = number_pairs(&state);
        for pair in pairs {
            push_bytes(frames.record(FrameKind::Pairs)?, state.index.pair_bytes(pair))?;
        }
        for (slot, (generation, series)) in state.slots.iter().enumerate() {
            if slot.is_multiple_of(EVICT_AFTER_SLOTS) {
                state.store.spool.files().evict();
            }
            let out = frames.record(FrameKind::Slots)?;
            push_u32(out, generation);
            match series {
                None => out.push(SLOT_FREE),
                Some(series) => write_series(series, &places, &state.store.spool, out)?,
            }
        }
        state.store.spool.files().evict();
        for (series, all, at_cut) in state.tombstones.iter() {
            let out = frames.record(FrameKind::Tombstones)?;
            push_u32(out, series.0 as u32);
            write_ranges(all, out)?;
            write_ranges(at_cut.unwrap_or(&TimeRanges::default()), out)?;
        }
        for (series, exemplar) in state.exemplars.iter() {
            write_exemplar(series, exemplar, frames.record(FrameKind::Exemplars)?)?;
        }
        push_u32(frames.record(FrameKind::End)?, state.slots.len());
        frames.finish()
    }

    /// Reads a snapshot. `config` is not part of it: all replicas take theirs from the same place.
    ///
    /// Memory stays in proportion to what `input` delivers. Every chunk is decoded once.
    ///
    /// # Errors
    /// [`HeadError::ReadSnapshot`], [`HeadError::DamagedSnapshot`], [`HeadError::UnknownSnapshotVersion`].
    pub fn read_snapshot(config: HeadConfig, input: &mut dyn Read) -> Result<Self, HeadError> {
        read(State::new(config, Spool::new(None)), input)
    }

    /// Reads a snapshot into a head as [`Head::in_directory`] makes it; see [`Head::read_snapshot`].
    ///
    /// # Errors
    /// As [`Head::read_snapshot`].
    pub fn read_snapshot_in(
        config: HeadConfig,
        directory: &Path,
        input: &mut dyn Read,
    ) -> Result<Self, HeadError> {
        read(State::new(config, Spool::new(Some(directory.to_owned()))), input)
    }
}

fn read(state: State, input: &mut dyn Read) -> Result<Head, HeadError> {
    let mut frames = FrameReader::start(input)?;
    let mut restore = Restore { state, pairs: Vec::new(), has_bounds: false };
    loop {
        let (kind, payload) = frames.next()?;
        let damaged = |what| HeadError::DamagedSnapshot { offset: frames.frame_offset(), what };
        if kind == FrameKind::End {
            let slots = Fields::new(&payload).u32();
            if slots != Some(restore.state.slots.len()) || !restore.has_bounds {
                return Err(damaged("a part of the snapshot is missing"));
            }
            return Ok(Head { state: RwLock::new(restore.state) });
        }
        restore.take(kind, &mut Fields::new(&payload)).map_err(damaged)?;
    }
}

/// Numbers the pairs in the order in which series use them, which does not depend on their ids in memory. Returns them
/// in that order, and each one's place by its id.
fn number_pairs(state: &State) -> (Vec<u32>, Vec<u32>) {
    let (mut pairs, mut places) = (Vec::new(), vec![u32::MAX; state.index.pair_ids_len()]);
    for pair in state.slots.iter().filter_map(|(_, series)| series).flat_map(|series| &series.pairs) {
        let place = &mut places[*pair as usize];
        if *place == u32::MAX {
            *place = pairs.len() as u32;
            pairs.push(*pair);
        }
    }
    (pairs, places)
}

fn write_bounds(state: &State, frames: &mut FrameWriter<'_>) -> io::Result<()> {
    let out = frames.record(FrameKind::Bounds)?;
    for bound in [state.sealed_until_ms, state.dropped_until_ms, state.newest_ms] {
        push_i64(out, bound);
    }
    Ok(())
}

fn write_metadata(metadata: &MetricMetadata, out: &mut Vec<u8>) {
    for text in [&metadata.family, metadata.metric_type.as_str(), &metadata.help, &metadata.unit] {
        push_bytes(out, text.as_bytes()).expect("metadata texts are bounded");
    }
}

fn write_ranges(ranges: &TimeRanges, out: &mut Vec<u8>) -> io::Result<()> {
    push_field(out, |out| {
        for range in ranges.as_slice() {
            push_i64(out, range.start.0);
            push_i64(out, range.end.0);
        }
    })
}

fn write_exemplar(series: &LabelSet, exemplar: &Exemplar, out: &mut Vec<u8>) -> io::Result<()> {
    push_bytes(out, series.as_bytes())?;
    push_bytes(out, exemplar.labels.as_bytes())?;
    push_i64(out, exemplar.value.to_bits() as i64);
    push_i64(out, exemplar.time_ms);
    Ok(())
}

fn write_series(series: &Series, places: &[u32], spool: &Spool, out: &mut Vec<u8>) -> io::Result<()> {
    out.push(SLOT_SERIES);
    push_u32(out, series.pairs.len() as u32);
    series.pairs.iter().for_each(|pair| push_u32(out, places[*pair as usize]));
    if series.open().is_empty() {
        push_bytes(out, &[])?;
    } else {
        push_bytes(out, &series.open().to_encoded().data)?;
    }
    let late = series.late();
    push_field(out, |out| series.sealed().write_to(out, spool))?;
    push_field(out, |out| chunk_log::write_samples(late.map_or(&Samples::default(), Late::waiting), out))?;
    push_field(out, |out| late.into_iter().for_each(|late| late.log().write_to(out, spool)))
}

/// A head being read. Faults are named by what is wrong; the caller adds the place.
struct Restore {
    state: State,
    /// The snapshot's pair ids are positions here.
    pairs: Vec<Box<[u8]>>,
    has_bounds: bool,
}

impl Restore {
    fn take(&mut self, kind: FrameKind, fields: &mut Fields<'_>) -> Result<(), &'static str> {
        while !fields.is_empty() {
            match kind {
                FrameKind::Bounds => self.take_bounds(fields).ok_or("the bounds are incomplete")?,
                FrameKind::Metadata => {
                    let metadata = read_metadata(fields).ok_or("metadata is malformed")?;
                    self.state.metadata.insert(&metadata);
                }
                FrameKind::Pairs => {
                    self.pairs.push(fields.bytes().ok_or("a label pair is malformed")?.into());
                }
                FrameKind::Slots => self.take_slot(fields)?,
                FrameKind::Tombstones => {
                    self.take_tombstones(fields).ok_or("what is deleted of a series is malformed")?;
                }
                FrameKind::Exemplars => {
                    let (series, exemplar) = read_exemplar(fields).ok_or("an exemplar is malformed")?;
                    self.state.exemplars.restore(series, exemplar);
                }
                FrameKind::End => return Err("the end is not the end"),
            }
        }
        Ok(())
    }

    fn take_bounds(&mut self, fields: &mut Fields<'_>) -> Option<()> {
        let state = &mut self.state;
        for bound in [&mut state.sealed_until_ms, &mut state.dropped_until_ms, &mut state.newest_ms] {
            *bound = fields.i64()?;
        }
        self.has_bounds = true;
        Some(())
    }

    fn take_slot(&mut self, fields: &mut Fields<'_>) -> Result<(), &'static str> {
        let generation = fields.u32().ok_or("a slot is incomplete")?;
        match fields.u8() {
            Some(SLOT_FREE) => {
                self.state.slots.push(generation, None);
                Ok(())
            }
            Some(SLOT_SERIES) => {
                let labels = self.read_labels(fields).ok_or("the labels of a series are malformed")?;
                let hash = labels.stable_hash();
                if self.state.find(hash, &labels).is_some() {
                    return Err("two series have the same labels");
                }
                let mut series = Series::new(hash, self.state.index.intern(&labels));
                read_chunks(fields, &mut series, &mut self.state.store)
                    .ok_or("a chunk of a series is malformed")?;
                self.state.restore(generation, series);
                Ok(())
            }
            _ => Err("a slot is neither free nor taken"),
        }
    }

    fn take_tombstones(&mut self, fields: &mut Fields<'_>) -> Option<()> {
        let series = self.state.slots.series_ref(fields.u32()?)?;
        let (all, at_cut) = (read_ranges(fields.bytes()?)?, read_ranges(fields.bytes()?)?);
        if all.is_empty() || self.state.tombstones.of(series).is_some() {
            return None;
        }
        self.state.tombstones.restore(series, all, at_cut);
        Some(())
    }

    fn read_labels(&self, fields: &mut Fields<'_>) -> Option<LabelSet> {
        let mut bytes = Vec::new();
        for _ in 0..fields.u32()? {
            bytes.extend_from_slice(self.pairs.get(fields.u32()? as usize)?);
        }
        LabelSet::from_bytes(&bytes).ok()
    }
}

fn read_chunks(fields: &mut Fields<'_>, series: &mut Series, store: &mut ChunkStore) -> Option<()> {
    let open = match fields.bytes()? {
        [] => OpenRun::default(),
        data => OpenRun::from_encoded(data).ok()?,
    };
    let sealed = ChunkLog::from_bytes(fields.bytes()?, store)?;
    let waiting = chunk_log::read_samples(fields.bytes()?, &mut store.scratch)?;
    let log = ChunkLog::from_bytes(fields.bytes()?, store)?;
    let late = Late::restore(waiting, log)?;
    let newest_ms = open.last_ms();
    let in_order = sealed.chunks().iter().all(|chunk| Some(chunk.end_ms()) < open.first_ms())
        && late.log().chunks().iter().all(|chunk| Some(chunk.end_ms()) < newest_ms)
        && late.waiting().timestamps.last().is_none_or(|last_ms| Some(*last_ms) < newest_ms);
    series.restore(open, sealed, (!late.is_empty()).then_some(late));
    in_order.then_some(())
}

/// Reads ranges, which must ascend and lie apart.
fn read_ranges(bytes: &[u8]) -> Option<TimeRanges> {
    let mut fields = Fields::new(bytes);
    let mut read = Vec::new();
    while !fields.is_empty() {
        read.push(TimeRange::new(fields.i64()?, fields.i64()?));
    }
    let ranges: TimeRanges = read.iter().copied().collect();
    (ranges.as_slice() == read).then_some(ranges)
}

fn read_exemplar(fields: &mut Fields<'_>) -> Option<(LabelSet, Exemplar)> {
    let series = LabelSet::from_bytes(fields.bytes()?).ok()?;
    let labels = LabelSet::from_bytes(fields.bytes()?).ok()?;
    let value = f64::from_bits(fields.i64()? as u64);
    Some((series, Exemplar { labels, value, time_ms: fields.i64()? }))
}

fn read_metadata(fields: &mut Fields<'_>) -> Option<MetricMetadata> {
    let family = fields.text()?;
    let metric_type = MetricType::parse(&fields.text()?)?;
    Some(MetricMetadata { family, metric_type, help: fields.text()?, unit: fields.text()? })
}
