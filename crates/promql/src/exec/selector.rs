//! Selectors: samples read series by series and put on the grid.

use model::is_stale;
use storage::{Samples, Series, SeriesSet};

use super::vector::{ABSENT, SeriesMeta, Vector, is_absent};
use super::{Context, SERIES_BLOCK};
use crate::ast::NodeId;
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
                fill_instant(buffer, reference, &grid, what, row);
                Ok(())
            },
        )
    }

    /// Builds a vector row by row, in parallel blocks with one buffer each; empty rows are left out.
    pub(super) fn rows(
        &self,
        count: usize,
        steps: usize,
        meta: impl Fn(usize) -> SeriesMeta + Sync,
        fill: impl Fn(usize, &mut Samples, &mut [f64]) -> Result<(), QueryError> + Sync,
    ) -> Result<Vector, QueryError> {
        self.budget.cells(count, steps)?;
        let parts = self.blocks(count, SERIES_BLOCK, |block| {
            let mut part = Vector::new(steps);
            let mut buffer = Samples::default();
            let mut row = vec![ABSENT; steps];
            for index in block {
                row.fill(ABSENT);
                fill(index, &mut buffer, &mut row)?;
                if row.iter().any(|value| !is_absent(*value)) {
                    part.series.push(meta(index));
                    part.values.extend_from_slice(&row);
                }
            }
            Ok(part)
        })?;
        let mut parts = parts.into_iter();
        let mut vector = parts.next().unwrap_or_else(|| Vector::new(steps));
        for part in parts {
            vector.series.extend(part.series);
            vector.values.extend(part.values);
        }
        Ok(vector)
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
                let samples = buffer.timestamps.iter().copied().zip(buffer.floats.iter().copied());
                let points: Vec<_> = samples.filter(|(_, value)| !is_stale(*value)).collect();
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
            };
        }
    }
}
