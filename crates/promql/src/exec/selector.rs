//! Selectors: samples read series by series and put on the grid.

use std::ops::Range;

use model::is_stale;
use storage::{Samples, Series, SeriesSet};

use super::range::{extended, remove_stale};
use super::vector::{ABSENT, SeriesMeta, Vector, is_absent};
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
        let (grid, reference) = (self.grid(id), self.reference(id));
        let series = &self.set_of(id).series;
        self.rows(
            series.len(),
            grid.steps,
            |index| SeriesMeta::new(series[index].labels.clone()),
            |index, buffer, row| {
                self.read(id, &series[index], buffer)?;
                fill(buffer, reference, &grid, what, row);
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
        fill: impl Fn(usize, &mut Samples, &mut [f64]) -> Result<(), QueryError> + Sync,
    ) -> Result<Vector, QueryError> {
        self.budget.cells(count, steps)?;
        let (indexes, values) = self.filled_rows(0..count, steps, fill)?;
        Ok(Vector { series: indexes.into_iter().map(|index| meta(index as usize)).collect(), steps, values })
    }

    /// Fills one row for each index of a range, in parallel blocks with one buffer each; returns the indexes of the rows
    /// that are not empty, and these rows.
    pub(super) fn filled_rows(
        &self,
        range: Range<usize>,
        steps: usize,
        fill: impl Fn(usize, &mut Samples, &mut [f64]) -> Result<(), QueryError> + Sync,
    ) -> Result<(Vec<u32>, Vec<f64>), QueryError> {
        let parts = self.blocks(range.len(), SERIES_BLOCK, |block| {
            let (mut indexes, mut values) = (Vec::with_capacity(block.len()), Vec::new());
            let mut buffer = Samples::default();
            let mut row = vec![ABSENT; steps];
            for index in block {
                let index = range.start + index;
                row.fill(ABSENT);
                fill(index, &mut buffer, &mut row)?;
                if row.iter().any(|value| !is_absent(*value)) {
                    indexes.push(index as u32);
                    values.extend_from_slice(&row);
                }
            }
            Ok((indexes, values))
        })?;
        let mut parts = parts.into_iter();
        let (mut indexes, mut values) = parts.next().unwrap_or_default();
        for part in parts {
            indexes.extend(part.0);
            values.extend(part.1);
        }
        Ok((indexes, values))
    }

    /// Fills the row of a series with what an instant selector yields.
    pub(super) fn instant_row(
        &self,
        id: NodeId,
        series: &Series,
        buffer: &mut Samples,
        row: &mut [f64],
    ) -> Result<(), QueryError> {
        self.read(id, series, buffer)?;
        fill(buffer, self.reference(id), &self.grid(id), Yield::Value, row);
        Ok(())
    }

    /// Fills the row of a series with the times, in seconds, of what an instant selector yields.
    pub(super) fn timestamp_row(
        &self,
        id: NodeId,
        series: &Series,
        buffer: &mut Samples,
        row: &mut [f64],
    ) -> Result<(), QueryError> {
        self.read(id, series, buffer)?;
        fill_instant(buffer, self.reference(id), &self.grid(id), Yield::Timestamp, row);
        Ok(())
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
        series.samples.read(request.range, out)?;
        if !self.config.use_start_timestamps {
            out.start_timestamps.clear();
        }
        self.budget.read(out.len())?;
        if !out.histograms.is_empty() {
            let labels = &series.labels;
            return Err(QueryError::Unsupported(format!("a native histogram sample (of {labels})")));
        }
        Ok(())
    }

    /// Returns the samples of a range selector that is the whole query, without staleness markers.
    pub(super) fn stored_range(&self, selector: NodeId) -> Result<Vec<MatrixSeries>, QueryError> {
        let series = &self.set_of(selector).series;
        let parts = self.blocks(series.len(), SERIES_BLOCK, |block| {
            let mut buffer = Samples::default();
            let mut part = Vec::new();
            for one in &series[block] {
                self.read(selector, one, &mut buffer)?;
                remove_stale(&mut buffer);
                let points = range_points(&buffer, self.reference(selector), &self.grid(selector));
                self.budget.hold(points.len())?;
                if !points.is_empty() {
                    part.push(MatrixSeries { labels: one.labels.clone(), points, histograms: Vec::new() });
                }
            }
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

/// Puts what a selector yields on each step.
fn fill(samples: &mut Samples, reference: &Reference, grid: &Grid, what: Yield, row: &mut [f64]) {
    if reference.mode == Some(RangeMode::Smoothed) && what == Yield::Value {
        remove_stale(samples);
        fill_smoothed(samples, reference, grid, row);
    } else {
        fill_instant(samples, reference, grid, what, row);
    }
}

/// Puts on each step the value between the samples before and after it, or else the one before it.
fn fill_smoothed(samples: &Samples, reference: &Reference, grid: &Grid, row: &mut [f64]) {
    let point = |index: usize| Some((*samples.timestamps.get(index)?, samples.floats[index]));
    let mut next = 0;
    for (step, cell) in row.iter_mut().enumerate() {
        let time_ms = reference.window_end(grid.time(step));
        while next < samples.timestamps.len() && samples.timestamps[next] <= time_ms {
            next += 1;
        }
        let Some(before) = next.checked_sub(1).and_then(point) else { continue };
        if before.0 <= time_ms.saturating_sub(reference.range_ms) {
            continue;
        }
        let after = point(next).filter(|after| after.0 <= time_ms.saturating_add(reference.after_ms));
        *cell = match after {
            Some(after) if before.0 < time_ms => extended::interpolate(before, after, time_ms, false),
            _ => before.1,
        };
    }
}

/// Puts the newest sample of each step's window on the step, unless it is a staleness marker.
fn fill_instant(samples: &Samples, reference: &Reference, grid: &Grid, what: Yield, row: &mut [f64]) {
    let mut next = 0;
    for (step, cell) in row.iter_mut().enumerate() {
        let end = reference.window_end(grid.time(step));
        while next < samples.timestamps.len() && samples.timestamps[next] <= end {
            next += 1;
        }
        let Some(newest) = next.checked_sub(1) else {
            continue;
        };
        let (time_ms, value) = (samples.timestamps[newest], samples.floats[newest]);
        if time_ms > end.saturating_sub(reference.range_ms) && !is_stale(value) {
            *cell = match what {
                Yield::Value => value,
                Yield::Timestamp => time_ms as f64 / 1000.0,
                Yield::StartTimestamp => {
                    samples.start_timestamps.get(newest).map_or(0.0, |start_ms| *start_ms as f64 / 1000.0)
                }
            };
        }
    }
}
