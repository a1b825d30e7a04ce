//! States of `sum` and `avg` over native histograms: they travel in rows of their own, beside those of the floats.
//!
//! A frame's body: the task, the number of runs; each run is a flag for a name that is to go, labels, the number of states,
//! and each state with its step. A row that is long goes on in the next frame, under the same labels.

use std::collections::HashMap;

use bytes::Bytes;
use model::LabelSet;
use model::varint::{Cursor, push_bytes, push_unsigned};
use storage::Reservation;

use super::super::accumulate::{Accumulated, Layout};
use super::super::aggregate::histograms::Sums;
use super::super::vector::SeriesMeta;
use super::frame::{DROP_NAME, FRAME_BYTES, FrameError, SUMS};
use super::{Piece, Table};

/// The sums of a group's histograms.
#[derive(Debug)]
pub(in super::super) struct SumRow {
    pub(in super::super) series: SeriesMeta,
    /// One a step.
    pub(in super::super) sums: Sums,
}

impl SumRow {
    pub(super) fn size_bytes(&self) -> u64 {
        let states: usize = self.sums.iter().flatten().map(|sum| sum.size_bytes()).sum();
        (states + self.sums.capacity() * size_of::<Option<Box<Accumulated>>>()) as u64
    }
}

/// Appends the frames of a table's sums.
pub(super) fn encode(task: usize, rows: &[SumRow], frames: &mut Vec<Bytes>) {
    let mut open = Open::default();
    for row in rows {
        let (mut run, mut states) = (Vec::new(), 0);
        for (step, sum) in row.sums.iter().enumerate() {
            let Some(sum) = sum else { continue };
            push_unsigned(&mut run, step as u64);
            sum.push(&mut run);
            states += 1;
            if open.bytes.len() + run.len() >= FRAME_BYTES {
                open.add(&row.series, states, &std::mem::take(&mut run));
                states = 0;
                frames.extend(open.close(task));
            }
        }
        if states > 0 {
            open.add(&row.series, states, &run);
        }
    }
    frames.extend(open.close(task));
}

/// The runs of a frame that is being filled.
#[derive(Default)]
struct Open {
    runs: usize,
    bytes: Vec<u8>,
}

impl Open {
    fn add(&mut self, series: &SeriesMeta, states: usize, run: &[u8]) {
        self.runs += 1;
        self.bytes.push(if series.drop_name { DROP_NAME } else { 0 });
        push_bytes(&mut self.bytes, series.labels.as_bytes());
        push_unsigned(&mut self.bytes, states as u64);
        self.bytes.extend_from_slice(run);
    }

    fn close(&mut self, task: usize) -> Option<Bytes> {
        let Self { runs, bytes } = std::mem::take(self);
        if runs == 0 {
            return None;
        }
        let mut frame = vec![SUMS];
        push_unsigned(&mut frame, task as u64);
        push_unsigned(&mut frame, runs as u64);
        frame.extend(bytes);
        Some(frame.into())
    }
}

/// Reads a frame into the table of its task; `steps` is how many a task has, or 0 where no sums can be.
pub(super) fn read(
    cursor: &mut Cursor<'_>,
    tables: &mut [Table],
    steps: &[usize],
    held: &mut Reservation,
) -> Result<(), FrameError> {
    let task = cursor.unsigned()? as usize;
    let (Some(table), Some(steps)) = (tables.get_mut(task), steps.get(task)) else {
        return Err(cursor.malformed("no such task").into());
    };
    held.grow(cursor.remaining() as u64)?;
    for _ in 0..cursor.count(3)? {
        let drop_name = cursor.byte()? & DROP_NAME != 0;
        let labels = LabelSet::from_bytes(cursor.bytes()?);
        let labels = labels.map_err(|_| cursor.malformed("labels that are no label set"))?;
        if table.sums.last().is_none_or(|last| last.series.labels != labels) {
            held.grow((steps * size_of::<Option<Box<Accumulated>>>()) as u64)?;
            table.sums.push(SumRow { series: SeriesMeta { labels, drop_name }, sums: vec![None; *steps] });
        }
        let row = &mut table.sums.last_mut().expect("a row was pushed or was there").sums;
        for _ in 0..cursor.count(2)? {
            let step = cursor.unsigned()? as usize;
            if row.get(step).is_none_or(Option::is_some) {
                return Err(cursor.malformed("a sum where none can be").into());
            }
            held.grow(size_of::<Accumulated>() as u64)?;
            row[step] = Some(Box::new(Accumulated::read(cursor)?));
        }
    }
    Ok(())
}

/// Tells whether the sums of pieces depend on the order of all histograms of a group, which no piece knows.
pub(crate) fn heeds_order(pieces: &[Piece]) -> bool {
    let mut known: HashMap<(&LabelSet, usize), Layout> = HashMap::new();
    for Piece { first, table } in pieces {
        for row in &table.sums {
            for (step, sum) in row.sums.iter().enumerate() {
                let Some(sum) = sum else { continue };
                let mut layout = sum.layout();
                if let Some(before) = known.get(&(&row.series.labels, first + step)) {
                    layout.join(*before);
                    if layout.heeds_order() {
                        return true;
                    }
                }
                known.insert((&row.series.labels, first + step), layout);
            }
        }
    }
    false
}
