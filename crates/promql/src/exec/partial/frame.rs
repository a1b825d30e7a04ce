//! Tables as frames: bytes of bounded size, column by column.
//!
//! A frame is a kind and a body. `ROWS`: the task, the number of cells and of rows; then the rows' labels, each with a
//! flag for a name that is to go; then, row by row, which cells are there, these cells as eight bytes each, and the native
//! histograms with their cells. `SUMS`: see [`super::sums`]. `END`, the last: statistics, warnings, annotations. Several evaluations may follow one another.
//!
//! Bytes of a peer are not trusted: what does not fit the tasks is an error.

use std::sync::Arc;

use bytes::Bytes;
use model::LabelSet;
use model::varint::{Cursor, ReadError, push_bytes, push_unsigned};
use storage::{MemoryError, QueryMemory, Reservation};

use super::super::vector::{ABSENT, Cell, Cells, SeriesMeta, Vector, is_absent, no_cells};
use super::{Part, Table, cells_of, histogram, sums};
use crate::annotation::{Annotations, Level};
use crate::ast::{Aggregate, AggregateOp, Expr, NodeId, NodeKind, Span};
use crate::plan::Task;
use crate::value::QueryStats;

const ROWS: u8 = 1;
const END: u8 = 2;
pub(super) const SUMS: u8 = 3;
/// A frame is closed once it has so many bytes; one row of `ROWS` is never divided.
pub(super) const FRAME_BYTES: usize = 1 << 20;
/// All cells of a row are there.
const FULL: u8 = 0;
/// A bitmap says which.
const SPARSE: u8 = 1;
/// Native histograms follow the floats; added to one of the others.
const HISTOGRAMS: u8 = 2;
/// The flag of a row whose name is to go.
pub(super) const DROP_NAME: u8 = 1;

/// Why frames are no answer to a fragment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame is damaged: {0}")]
    Read(#[from] ReadError),
    #[error("the frames end before the evaluation does")]
    Unfinished,
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// Returns the frames of an evaluation.
pub(crate) fn encode(part: &Part) -> Vec<Bytes> {
    let mut frames = Vec::new();
    for (task, Table { rows: table, sums }) in part.tables.iter().enumerate() {
        let mut first = 0;
        while first < table.series.len() {
            let rows = rows_of_frame(table, first);
            frames.push(rows_frame(task, table, first..first + rows));
            first += rows;
        }
        sums::encode(task, sums, &mut frames);
    }
    frames.push(end_frame(part));
    frames
}

fn rows_of_frame(table: &Vector, first: usize) -> usize {
    let mut bytes = 0;
    let left = &table.series[first..];
    let full = left.iter().enumerate().position(|(index, series)| {
        let histograms = table.cells(first + index).unwrap_or_default().iter().flatten();
        bytes += histograms.map(|histogram| histogram.size_bytes()).sum::<usize>();
        bytes += series.labels.as_bytes().len() + table.steps * 8;
        bytes >= FRAME_BYTES
    });
    full.map_or(left.len(), |last| last + 1)
}

fn rows_frame(task: usize, table: &Vector, rows: std::ops::Range<usize>) -> Bytes {
    let mut out = vec![ROWS];
    push_unsigned(&mut out, task as u64);
    push_unsigned(&mut out, table.steps as u64);
    push_unsigned(&mut out, rows.len() as u64);
    for series in &table.series[rows.clone()] {
        out.push(if series.drop_name { DROP_NAME } else { 0 });
        push_bytes(&mut out, series.labels.as_bytes());
    }
    for index in rows {
        let (row, cells) = (table.row(index), table.cells(index));
        let histograms = if cells.is_some() { HISTOGRAMS } else { 0 };
        if row.iter().any(|value| is_absent(*value)) {
            out.push(SPARSE | histograms);
            let bits = |eight: &[f64]| {
                let bit = |(at, value): (usize, &f64)| u8::from(!is_absent(*value)) << at;
                eight.iter().enumerate().map(bit).fold(0, |a, b| a | b)
            };
            out.extend(row.chunks(8).map(bits));
        } else {
            out.push(FULL | histograms);
        }
        let present = row.iter().filter(|value| !is_absent(**value));
        present.for_each(|value| out.extend_from_slice(&value.to_bits().to_le_bytes()));
        if let Some(cells) = cells {
            let held = cells.iter().enumerate().filter_map(|(cell, held)| Some((cell, held.as_ref()?)));
            push_unsigned(&mut out, held.clone().count() as u64);
            for (cell, held) in held {
                push_unsigned(&mut out, cell as u64);
                histogram::push(&mut out, held);
            }
        }
    }
    out.into()
}

fn end_frame(part: &Part) -> Bytes {
    let mut out = vec![END, u8::from(part.unmergeable)];
    push_unsigned(&mut out, part.stats.series);
    push_unsigned(&mut out, part.stats.samples_read);
    push_unsigned(&mut out, part.selected.len() as u64);
    part.selected.iter().for_each(|series| push_unsigned(&mut out, *series));
    push_unsigned(&mut out, part.warnings.len() as u64);
    part.warnings.iter().for_each(|warning| push_bytes(&mut out, warning.as_bytes()));
    let annotations: Vec<_> = part.annotations.iter().collect();
    push_unsigned(&mut out, annotations.len() as u64);
    for (level, text, span) in annotations {
        out.push(u8::from(level == Level::Info));
        push_unsigned(&mut out, u64::from(span.start));
        push_unsigned(&mut out, u64::from(span.end));
        push_bytes(&mut out, text.as_bytes());
    }
    out.into()
}

/// Tells whether a node's table has sums of histograms.
fn sums_histograms(expr: &Expr, node: NodeId) -> bool {
    let sums = |aggregate: &Aggregate| matches!(aggregate.op, AggregateOp::Sum | AggregateOp::Avg);
    matches!(&expr.node(node).kind, NodeKind::Aggregate(aggregate) if sums(aggregate))
}

/// Reads the frames of one or more evaluations of the same tasks.
///
/// # Errors
/// [`FrameError`] when they are damaged, incomplete, or of other tasks, and when there is no memory for the tables.
pub(crate) fn decode(
    frames: &[Bytes],
    expr: &Expr,
    tasks: &[Task],
    memory: &QueryMemory,
) -> Result<Vec<Part>, FrameError> {
    let widths: Vec<usize> = tasks.iter().map(|task| task.steps * cells_of(expr, task.node)).collect();
    let table = |width: &usize| Table { rows: Vector::new(*width), ..Table::default() };
    let empty = || -> Vec<Table> { widths.iter().map(table).collect() };
    let sums_steps: Vec<usize> =
        tasks.iter().map(|task| if sums_histograms(expr, task.node) { task.steps } else { 0 }).collect();
    let (mut parts, mut tables, mut open) = (Vec::new(), empty(), false);
    let mut held = memory.empty();
    for frame in frames {
        let mut cursor = Cursor::new(frame);
        match cursor.byte()? {
            ROWS => {
                read_rows(&mut cursor, &mut tables, &mut held)?;
                open = true;
            }
            SUMS => {
                sums::read(&mut cursor, &mut tables, &sums_steps, &mut held)?;
                open = true;
            }
            END => {
                let tables = std::mem::replace(&mut tables, empty());
                let mut part = read_end(&mut cursor, tables)?;
                part.memory = Some(std::mem::replace(&mut held, memory.empty()));
                parts.push(part);
                open = false;
            }
            _ => return Err(cursor.malformed("an unknown kind of frame").into()),
        }
        if !cursor.is_at_end() {
            return Err(cursor.malformed("a frame is longer than what it holds").into());
        }
    }
    if open || parts.is_empty() { Err(FrameError::Unfinished) } else { Ok(parts) }
}

fn read_rows(
    cursor: &mut Cursor<'_>,
    tables: &mut [Table],
    held: &mut Reservation,
) -> Result<(), FrameError> {
    let task = cursor.unsigned()? as usize;
    let Some(Table { rows: table, .. }) = tables.get_mut(task) else {
        return Err(cursor.malformed("no such task").into());
    };
    if cursor.unsigned()? != table.steps as u64 {
        return Err(cursor.malformed("another number of cells than the task has").into());
    }
    let rows = cursor.count(3)?;
    let cells = rows.saturating_mul(table.steps).saturating_mul(size_of::<f64>());
    held.grow(cells.saturating_add(cursor.remaining()) as u64)?;
    table.series.reserve(rows);
    for _ in 0..rows {
        let drop_name = cursor.byte()? & DROP_NAME != 0;
        let labels = LabelSet::from_bytes(cursor.bytes()?);
        let labels = labels.map_err(|_| cursor.malformed("labels that are no label set"))?;
        table.series.push(SeriesMeta { labels, drop_name });
    }
    for _ in 0..rows {
        let form = cursor.byte()?;
        let bitmap = match form & !HISTOGRAMS {
            FULL => None,
            SPARSE => Some(cursor.take(table.steps.div_ceil(8))?),
            _ => return Err(cursor.malformed("an unknown form of row").into()),
        };
        let is_there = |cell: usize| bitmap.is_none_or(|bits| bits[cell / 8] >> (cell % 8) & 1 == 1);
        let present = (0..table.steps).filter(|cell| is_there(*cell)).count();
        let mut values = cursor.take(present * 8)?.chunks_exact(8);
        table.values.extend((0..table.steps).map(|cell| {
            let next = if is_there(cell) { values.next() } else { None };
            next.map_or(ABSENT, |bytes| f64::from_le_bytes(bytes.try_into().expect("chunks of eight")))
        }));
        if form & HISTOGRAMS != 0 {
            read_histograms(cursor, table, held)?;
        }
    }
    if table.has_histograms() {
        table.histograms.resize(table.series.len(), None);
    }
    Ok(())
}

/// Reads the histograms of the row whose floats were read last.
fn read_histograms(
    cursor: &mut Cursor<'_>,
    table: &mut Vector,
    held: &mut Reservation,
) -> Result<(), FrameError> {
    // The task has steps, and the row has been read.
    let row = table.values.len() / table.steps - 1;
    held.grow((table.steps * size_of::<Cell>() + size_of::<Cells>()) as u64)?;
    let mut cells = no_cells(table.steps);
    for _ in 0..cursor.count(2)? {
        let cell = cursor.unsigned()? as usize;
        if cell >= table.steps || !is_absent(table.row(row)[cell]) {
            return Err(cursor.malformed("a histogram where none can be").into());
        }
        cells[cell] = Some(Arc::new(histogram::read(cursor)?));
    }
    table.histograms.resize(row, None);
    table.histograms.push(Some(cells));
    Ok(())
}

fn read_end(cursor: &mut Cursor<'_>, tables: Vec<Table>) -> Result<Part, ReadError> {
    let unmergeable = cursor.byte()? != 0;
    let (series, samples_read) = (cursor.unsigned()?, cursor.unsigned()?);
    let stats = QueryStats { series, samples_read, ..QueryStats::default() };
    let selected = (0..cursor.count(1)?).map(|_| cursor.unsigned()).collect::<Result<_, _>>()?;
    let mut warnings = Vec::new();
    for _ in 0..cursor.count(1)? {
        warnings.push(cursor.text()?.to_owned());
    }
    let mut annotations = Annotations::default();
    for _ in 0..cursor.count(4)? {
        let level = if cursor.byte()? == 0 { Level::Warning } else { Level::Info };
        let span = Span { start: cursor.u32()?, end: cursor.u32()? };
        annotations.add(level, cursor.text()?.to_owned(), span);
    }
    Ok(Part { tables, annotations, selected, warnings, stats, unmergeable, memory: None })
}

#[cfg(test)]
mod tests {
    use model::FloatHistogram;
    use model::histogram::{CounterResetHint, Span};

    use super::super::SumRow;
    use super::*;
    use crate::exec::accumulate::Accumulated;
    use crate::parser::parse;

    fn part(expr: &Expr) -> Part {
        let meta =
            |name: &str| SeriesMeta { labels: LabelSet::from_pairs([("pod", name)]), drop_name: name == "b" };
        let mut cells = no_cells(10);
        let held = FloatHistogram {
            reset_hint: CounterResetHint::Gauge,
            schema: -2,
            count: 3.5,
            sum: -1.0,
            positive_spans: vec![Span { offset: -3, length: 1 }, Span { offset: 2, length: 1 }],
            positive_buckets: vec![1.5, 2.0],
            ..FloatHistogram::default()
        };
        cells[4] = Some(Arc::new(held));
        let rows = Vector {
            series: vec![meta("a"), meta("b")],
            steps: 10,
            values: (0..20).map(|i| if i % 7 == 3 || i < 10 { f64::from(i) } else { ABSENT }).collect(),
            histograms: vec![None, Some(cells)],
        };
        let sum = Accumulated::new(&FloatHistogram { sum: 7.0, ..FloatHistogram::default() });
        let sums = SumRow { series: meta("b"), sums: vec![None, Some(Box::new(sum)), None, None, None] };
        let mut annotations = Annotations::default();
        annotations.add(Level::Info, "mind".to_owned(), expr.node(expr.root()).span);
        let stats = QueryStats { series: 2, samples_read: 99, ..QueryStats::default() };
        let warnings = vec!["partial".to_owned()];
        Part {
            tables: vec![Table { rows, sums: vec![sums] }],
            annotations,
            selected: vec![2, 300],
            warnings,
            stats,
            unmergeable: true,
            memory: None,
        }
    }

    #[test]
    fn reads_what_it_writes_and_nothing_damaged() {
        let expr = parse("sum by (pod) (a)").expect("parses");
        let tasks = [Task { node: expr.root(), first: 3, steps: 5 }];
        let (sent, memory) = (part(&expr), QueryMemory::unlimited());
        let frames = encode(&sent);
        let parts =
            decode(&[frames.clone(), frames.clone()].concat(), &expr, &tasks, &memory).expect("reads");
        assert_eq!(parts.len(), 2);
        for got in parts {
            let bits =
                |part: &Part| part.tables[0].rows.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&got), bits(&sent));
            assert_eq!(got.tables[0].rows.histograms, sent.tables[0].rows.histograms);
            let metas = |part: &Part| -> Vec<_> {
                part.tables[0].rows.series.iter().map(|s| (s.labels.clone(), s.drop_name)).collect()
            };
            assert_eq!(metas(&got), metas(&sent));
            let [sums] = got.tables[0].sums.as_slice() else { panic!("one row of sums") };
            assert_eq!((sums.series.labels.get("pod"), sums.series.drop_name), ("b", true));
            let at: Vec<bool> = sums.sums.iter().map(Option::is_some).collect();
            assert_eq!(at, [false, true, false, false, false]);
            let notes = |part: &Part| -> Vec<_> {
                part.annotations.iter().map(|(level, text, span)| (level, text.to_owned(), span)).collect()
            };
            assert_eq!(notes(&got), notes(&sent));
            assert_eq!((got.warnings, got.stats, got.unmergeable), (sent.warnings.clone(), sent.stats, true));
            assert_eq!(got.selected, sent.selected);
        }
        assert!(matches!(decode(&frames[..1], &expr, &tasks, &memory), Err(FrameError::Unfinished)));
        for frame in 0..frames.len() {
            for end in 0..frames[frame].len() {
                let mut cut = frames.clone();
                cut[frame] = cut[frame].slice(..end);
                assert!(decode(&cut, &expr, &tasks, &memory).is_err(), "frame {frame} cut at {end}");
            }
        }
        let fewer = [Task { node: NodeId(expr.root().index() as u32), first: 3, steps: 4 }];
        assert!(decode(&frames, &expr, &fewer, &memory).is_err());
    }
}
