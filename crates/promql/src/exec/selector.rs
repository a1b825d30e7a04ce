//! Selectors: samples read series by series and put on the grid.

mod counts;
mod smoothed;

use std::ops::Range;
use std::sync::Arc;

use model::{Aggregate, TimeRange, is_stale};
use storage::{Reservation, Samples, Series, SeriesSet};

use super::ledger::samples_bytes;
use super::range::{extended, split};
use super::vector::{Cells, Row, SeriesMeta, Vector, cells_bytes, histogram_samples, is_absent};
use super::{Context, SERIES_BLOCK};
use crate::ast::{NodeId, RangeMode};
use crate::error::QueryError;
use crate::plan::{Grid, Reference};
use crate::value::MatrixSeries;

/// What a selector yields for a sample.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Yield {
    /// Its value.
    Value,
    /// Its time in seconds.
    Timestamp,
    /// Since when it has been counting, in seconds; 0 for unknown.
    StartTimestamp,
}

impl Context<'_> {
    pub(super) fn set_of(&self, selector: NodeId) -> &SeriesSet {
        &self.sets[self.plan.select_of[selector.index()]]
    }

    /// Evaluates an instant selector.
    pub(super) fn selector(&self, id: NodeId) -> Result<Vector, QueryError> {
        self.selector_as(id, Yield::Value)
    }

    pub(super) fn selector_as(&self, id: NodeId, what: Yield) -> Result<Vector, QueryError> {
        let series = &self.set_of(id).series;
        self.rows(
            series.len(),
            self.grid(id).steps,
            |index| SeriesMeta::new(series[index].labels.clone()),
            |index, buffer, row| {
                self.read(id, &series[index], buffer)?;
                self.fill(id, &series[index], buffer, what, row);
                Ok(())
            },
        )
    }

    /// Builds a vector row by row; empty rows are left out.
    pub(super) fn rows(
        &self,
        count: usize,
        steps: usize,
        meta: impl Fn(usize) -> SeriesMeta,
        fill: impl Fn(usize, &mut Samples, &mut Row) -> Result<(), QueryError> + Sync,
    ) -> Result<Vector, QueryError> {
        self.budget.cells(count, steps)?;
        let filled = self.filled_rows(0..count, steps, fill)?;
        let series = filled.indexes.into_iter().map(|index| meta(index as usize)).collect();
        Ok(Vector { series, steps, values: filled.values, histograms: filled.histograms })
    }

    /// Fills one row for each index of a range, in parallel blocks with one buffer each.
    pub(super) fn filled_rows(
        &self,
        range: Range<usize>,
        steps: usize,
        fill: impl Fn(usize, &mut Samples, &mut Row) -> Result<(), QueryError> + Sync,
    ) -> Result<FilledRows, QueryError> {
        let parts = self.blocks(range.len(), SERIES_BLOCK, |block| {
            let mut part = FilledRows { indexes: Vec::with_capacity(block.len()), ..FilledRows::default() };
            let mut buffer = Samples::default();
            let (mut kept, mut passing) = (self.block_memory(), self.block_memory());
            let mut row = Row::new(steps);
            for index in block {
                let index = range.start + index;
                row.clear();
                fill(index, &mut buffer, &mut row)?;
                passing.resize(samples_bytes(&buffer))?;
                part.push(index, &mut row, &mut kept)?;
            }
            self.keep_block(kept);
            Ok(part)
        })?;
        let mut parts = parts.into_iter();
        let mut all = parts.next().unwrap_or_default();
        let rest = parts.as_slice().iter().map(|part| part.values.len()).sum::<usize>();
        self.charge(rest * size_of::<f64>())?;
        all.values.reserve_exact(rest);
        for part in parts {
            let freed = part.values.capacity() * size_of::<f64>();
            all.append(part);
            self.give_back(freed);
        }
        Ok(all)
    }

    /// Fills the row of a series with what an instant selector yields.
    pub(super) fn instant_row(
        &self,
        id: NodeId,
        series: &Series,
        buffer: &mut Samples,
        row: &mut Row,
    ) -> Result<(), QueryError> {
        self.read(id, series, buffer)?;
        self.fill(id, series, buffer, Yield::Value, row);
        Ok(())
    }

    /// Fills the row of an info series with the times, in seconds, of its samples, which must be floats.
    pub(super) fn info_row(
        &self,
        id: NodeId,
        series: &Series,
        buffer: &mut Samples,
        row: &mut Row,
    ) -> Result<(), QueryError> {
        self.read(id, series, buffer)?;
        let (reference, grid) = (&self.instant_reference(id), self.grid(id));
        if !buffer.histograms.is_empty() {
            fill_mixed(buffer, reference, &grid, Yield::Value, row);
            if row.cells.is_some() {
                let labels = &series.labels;
                let message = format!("this should be an info metric, with float samples: {labels}");
                return Err(QueryError::Execution(message));
            }
        }
        fill_instant(buffer, reference, &grid, Yield::Timestamp, row);
        Ok(())
    }

    /// Returns how far back an instant selector looks, slots included.
    fn instant_reference(&self, id: NodeId) -> Reference {
        Reference { coarse: self.set_of(id).coarse, ..*self.reference(id) }
    }

    /// Puts what a selector yields of a series on each step.
    fn fill(&self, id: NodeId, series: &Series, samples: &mut Samples, what: Yield, row: &mut Row) {
        let (grid, reference) = (self.grid(id), &self.instant_reference(id));
        if reference.mode == Some(RangeMode::Smoothed) && what == Yield::Value {
            let notes = smoothed::fill(samples, reference, &grid, row);
            self.notes(self.expr.node(id).span, notes, series.labels.metric_name());
        } else {
            fill_instant(samples, reference, &grid, what, row);
        }
    }

    /// Reads the samples of a series that a selector's steps look at.
    pub(super) fn read(
        &self,
        selector: NodeId,
        series: &Series,
        out: &mut Samples,
    ) -> Result<(), QueryError> {
        out.clear();
        let request = &self.plan.selects[self.plan.select_of[selector.index()]];
        self.room_to_read(series, out)?;
        // The slot that is the newest one of a step may end as long before it as it is long.
        let slack_ms = self.set_of(selector).coarse.map_or(0, |coarse| coarse.resolution_ms);
        let range = match request.aggregate {
            Aggregate::Last => {
                TimeRange::new(request.range.start.0.saturating_sub(slack_ms), request.range.end.0)
            }
            _ => request.range,
        };
        series.samples.read(range, out)?;
        if !self.config.use_start_timestamps {
            out.start_timestamps.clear();
        }
        if self.plan.counts_only[selector.index()] {
            counts::without_buckets(out);
        }
        self.count_steps(selector, out);
        let histograms = out.histograms.iter().map(|(_, histogram)| histogram_samples(histogram));
        self.budget.read(out.len() + histograms.sum::<usize>())
    }

    /// Returns the samples of a range selector that is the whole query, without staleness markers.
    pub(super) fn stored_range(&self, selector: NodeId) -> Result<Vec<MatrixSeries>, QueryError> {
        let series = &self.set_of(selector).series;
        let parts = self.blocks(series.len(), SERIES_BLOCK, |block| {
            let mut buffer = Samples::default();
            let mut kept = self.block_memory();
            let mut part = Vec::new();
            for one in &series[block] {
                self.read(selector, one, &mut buffer)?;
                let histograms = split(&mut buffer);
                if let Some(mode) = self.reference(selector).mode.filter(|_| !histograms.times.is_empty()) {
                    let message = format!("{} modifier is not supported with histograms", mode.as_str());
                    return Err(QueryError::Execution(message));
                }
                let points = range_points(&buffer, self.reference(selector), &self.grid(selector));
                let histograms: Vec<_> = histograms.times.into_iter().zip(histograms.values).collect();
                let samples = histograms.iter().map(|(_, histogram)| histogram_samples(histogram));
                self.budget.hold(points.len() + samples.sum::<usize>())?;
                if !points.is_empty() || !histograms.is_empty() {
                    let one = MatrixSeries { labels: one.labels.clone(), points, histograms };
                    kept.grow(one.size_bytes())?;
                    part.push(one);
                }
            }
            self.keep_block(kept);
            Ok(part)
        })?;
        Ok(parts.into_iter().flatten().collect())
    }
}

/// Returns the points of a range selector that is the whole query.
fn range_points(samples: &Samples, reference: &Reference, grid: &Grid) -> Vec<(i64, f64)> {
    match reference.mode {
        None => samples.timestamps.iter().copied().zip(samples.floats.iter().copied()).collect(),
        Some(mode) => extended::points(samples, reference, grid.start_ms, mode),
    }
}

/// Rows that are not empty, and the indexes they were filled for.
#[derive(Default)]
pub(super) struct FilledRows {
    pub(super) indexes: Vec<u32>,
    pub(super) values: Vec<f64>,
    /// One a row, or empty when no row has a histogram.
    pub(super) histograms: Vec<Cells>,
}

impl FilledRows {
    /// Returns the indexes of the rows that have a float.
    pub(super) fn with_floats(&self, steps: usize) -> impl Iterator<Item = u32> {
        let rows = self.indexes.iter().enumerate();
        rows.filter(move |(row, _)| {
            let values = || &self.values[row * steps..(row + 1) * steps];
            self.histograms.get(*row).is_none_or(Option::is_none)
                || values().iter().any(|value| !is_absent(*value))
        })
        .map(|(_, index)| *index)
    }

    /// Returns as how many samples the rows count: every cell, and histograms by their size.
    pub(super) fn samples(&self) -> usize {
        let cells = self.histograms.iter().flatten().flat_map(|cells| cells.iter().flatten());
        self.values.len() + cells.map(|histogram| histogram_samples(histogram)).sum::<usize>()
    }

    /// Appends a row, unless it is empty, after its bytes are reserved.
    fn push(&mut self, index: usize, row: &mut Row, memory: &mut Reservation) -> Result<(), QueryError> {
        if row.is_empty() {
            return Ok(());
        }
        memory.make_room(&mut self.values, row.values.len())?;
        let cells = row.cells.take();
        memory.grow(cells_bytes(&cells))?;
        if cells.is_some() || !self.histograms.is_empty() {
            self.histograms.resize(self.indexes.len(), None);
            self.histograms.push(cells);
        }
        self.indexes.push(index as u32);
        self.values.extend_from_slice(&row.values);
        Ok(())
    }

    /// Returns what was charged for the rows.
    pub(super) fn charged_bytes(&self) -> usize {
        let cells: u64 = self.histograms.iter().map(cells_bytes).sum();
        self.values.capacity() * size_of::<f64>() + cells as usize
    }

    fn append(&mut self, other: Self) {
        let any = !self.histograms.is_empty() || !other.histograms.is_empty();
        if any {
            self.histograms.resize(self.indexes.len(), None);
            self.histograms.extend(other.histograms);
        }
        self.indexes.extend(other.indexes);
        self.values.extend(other.values);
        if any {
            self.histograms.resize(self.indexes.len(), None);
        }
    }
}

/// Puts the newest sample of each step's window on the step, unless it is a staleness marker.
fn fill_instant(samples: &Samples, reference: &Reference, grid: &Grid, what: Yield, row: &mut Row) {
    if !samples.histograms.is_empty() {
        return fill_mixed(samples, reference, grid, what, row);
    }
    let values = &mut row.values;
    each_newest(samples, reference, grid, |step, newest| {
        let value = samples.floats[newest];
        if !is_stale(value) {
            values[step] = time_of(samples, newest, what).unwrap_or(value);
        }
    });
}

/// The same for a series that has histograms.
fn fill_mixed(samples: &Samples, reference: &Reference, grid: &Grid, what: Yield, row: &mut Row) {
    each_newest(samples, reference, grid, |step, newest| {
        let found = samples.histograms.binary_search_by_key(&(newest as u32), |(position, _)| *position);
        let histogram = found.ok().map(|index| &samples.histograms[index].1);
        let value = samples.floats[newest];
        if histogram.map_or_else(|| is_stale(value), |histogram| histogram.is_stale()) {
            return;
        }
        match (time_of(samples, newest, what), histogram) {
            (Some(time), _) => row.values[step] = time,
            (None, Some(histogram)) => row.put(step, Arc::clone(histogram)),
            (None, None) => row.values[step] = value,
        }
    });
}

/// Returns what is yielded of a sample when that is a time.
fn time_of(samples: &Samples, index: usize, what: Yield) -> Option<f64> {
    let time_ms = match what {
        Yield::Value => return None,
        Yield::Timestamp => samples.timestamps[index],
        Yield::StartTimestamp => samples.start_timestamps.get(index).copied().unwrap_or(0),
    };
    Some(time_ms as f64 / 1000.0)
}

/// Calls `visit` with each step whose window has a sample, and the index of the newest one.
fn each_newest(samples: &Samples, reference: &Reference, grid: &Grid, mut visit: impl FnMut(usize, usize)) {
    let mut next = 0;
    for step in 0..grid.steps {
        let end = reference.window_end(grid.time(step));
        while next < samples.timestamps.len() && samples.timestamps[next] <= end {
            next += 1;
        }
        let Some(newest) = next.checked_sub(1) else {
            continue;
        };
        if samples.timestamps[newest] > end.saturating_sub(reference.lookback_ms(end)) {
            visit(step, newest);
        }
    }
}
