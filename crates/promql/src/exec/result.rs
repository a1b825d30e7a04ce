//! Tables to results.

use model::LabelSet;

use super::vector::{Vector, is_absent};
use crate::plan::Grid;
use crate::value::{MatrixSeries, Value, VectorSample};

/// Returns what the result of a table takes.
pub(super) fn size_bytes(vector: &Vector) -> usize {
    let points = vector.samples() * size_of::<(i64, f64)>();
    points + vector.series.len() * size_of::<MatrixSeries>().max(size_of::<VectorSample>())
}

/// Returns the result of an instant query, in the table's order.
pub(super) fn vector(vector: Vector, time_ms: i64) -> Value {
    let present = (0..vector.series.len()).filter(|row| vector.has(*row, 0));
    Value::Vector(
        present
            .map(|row| {
                let histogram = vector.histogram(row, 0).cloned();
                let value = if histogram.is_some() { 0.0 } else { vector.values[row] };
                VectorSample { labels: vector.series[row].labels.clone(), time_ms, value, histogram }
            })
            .collect(),
    )
}

/// Returns the result of a range query, sorted by labels.
pub(super) fn matrix(mut vector: Vector, grid: Grid) -> Value {
    let metas = std::mem::take(&mut vector.series);
    let mut series: Vec<MatrixSeries> = metas
        .into_iter()
        .enumerate()
        .map(|(index, meta)| {
            let row = vector.row(index).iter().enumerate().filter(|(_, value)| !is_absent(**value));
            let points = row.map(|(step, value)| (grid.time(step), *value)).collect();
            let cells = vector.cells(index).unwrap_or_default().iter().enumerate();
            let histograms =
                cells.filter_map(|(step, cell)| Some((grid.time(step), cell.clone()?))).collect();
            MatrixSeries { labels: meta.labels, points, histograms }
        })
        .collect();
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    Value::Matrix(series)
}

/// Returns the result of a range query over a scalar.
pub(super) fn scalar_matrix(values: &[f64], grid: Grid) -> Value {
    let points = values.iter().enumerate().map(|(step, value)| (grid.time(step), *value)).collect();
    Value::Matrix(vec![MatrixSeries { labels: LabelSet::empty(), points, histograms: Vec::new() }])
}
