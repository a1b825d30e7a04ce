//! Vectors: a table of floats, one row a series, one column a step, and native histograms beside it.
//!
//! A cell without a float holds the staleness marker's bits: no other result has them, since selectors turn markers
//! into absence and arithmetic only yields NaNs of its own. Histograms lie in cells of their own, beside rows that have
//! any; where there is one, there is no float, so that what only knows floats passes over histograms. A vector without
//! histograms has no such cells at all. Rows without any sample are left out.

mod names;
mod row;

use std::sync::Arc;

use model::{FloatHistogram, LabelSet};

pub(super) use self::names::{Collisions, NAME_LABELS, labels_text};
pub(super) use self::row::{
    Cell, Cells, Row, cells_bytes, changed, histogram_samples, is_present, no_cells, normalized,
    unshared_bytes,
};

/// What a cell without a float holds.
pub(super) const ABSENT: f64 = f64::from_bits(model::STALE_NAN_BITS);

/// Tells whether a cell holds no float.
pub(super) fn is_absent(value: f64) -> bool {
    value.to_bits() == model::STALE_NAN_BITS
}

/// Who a row is.
#[derive(Clone, Debug)]
pub(super) struct SeriesMeta {
    pub(super) labels: LabelSet,
    /// The name is to be removed at the end.
    pub(super) drop_name: bool,
}

impl SeriesMeta {
    pub(super) fn new(labels: LabelSet) -> Self {
        Self { labels, drop_name: false }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vector {
    pub(super) series: Vec<SeriesMeta>,
    pub(super) steps: usize,
    pub(super) values: Vec<f64>,
    /// One a row, or empty when no row has a histogram.
    pub(super) histograms: Vec<Cells>,
}

impl Vector {
    pub(super) fn new(steps: usize) -> Self {
        Self { series: Vec::new(), steps, values: Vec::new(), histograms: Vec::new() }
    }

    pub(super) fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.steps..(index + 1) * self.steps]
    }

    pub(super) fn row_mut(&mut self, index: usize) -> &mut [f64] {
        &mut self.values[index * self.steps..(index + 1) * self.steps]
    }

    /// Returns the histograms of a row that has any.
    pub(super) fn cells(&self, index: usize) -> Option<&[Cell]> {
        self.histograms.get(index).and_then(Option::as_deref)
    }

    /// Returns the histogram of a row at a step.
    pub(super) fn histogram(&self, index: usize, step: usize) -> Option<&Arc<FloatHistogram>> {
        self.cells(index).and_then(|cells| cells[step].as_ref())
    }

    /// Tells whether a row, which is not empty, has a float.
    pub(super) fn has_floats(&self, index: usize) -> bool {
        self.cells(index).is_none() || self.row(index).iter().any(|value| !is_absent(*value))
    }

    pub(super) fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    /// Appends a row of floats, unless it is empty.
    pub(super) fn push(&mut self, series: SeriesMeta, row: &[f64]) {
        self.push_with(series, row, None);
    }

    /// Appends a row of floats and histograms, unless it is empty.
    pub(super) fn push_with(&mut self, series: SeriesMeta, row: &[f64], cells: Cells) {
        let cells = normalized(cells);
        if cells.is_none() && row.iter().all(|value| is_absent(*value)) {
            return;
        }
        self.append_cells(cells);
        self.series.push(series);
        self.values.extend_from_slice(row);
    }

    /// Appends the cells of a row whose meta is yet to be appended.
    fn append_cells(&mut self, cells: Cells) {
        if cells.is_some() || self.has_histograms() {
            self.histograms.resize(self.series.len(), None);
            self.histograms.push(cells);
        }
    }

    /// Tells whether there is a sample.
    pub(super) fn has(&self, row: usize, step: usize) -> bool {
        is_present(self.values[row * self.steps + step], self.cells(row), step)
    }

    /// Appends a row of another vector under other labels, with the cells of the chosen steps; nothing if none is left.
    pub(super) fn push_cells(
        &mut self,
        series: SeriesMeta,
        from: &Self,
        row: usize,
        choose: impl Fn(usize) -> bool,
    ) {
        let values = from.row(row).iter().enumerate();
        let values: Vec<f64> =
            values.map(|(step, value)| if choose(step) { *value } else { ABSENT }).collect();
        let cells = from.cells(row).map(|cells| {
            cells.iter().enumerate().map(|(step, cell)| cell.clone().filter(|_| choose(step))).collect()
        });
        self.push_with(series, &values, cells);
    }

    /// Appends the rows of a vector with as many steps.
    pub(super) fn extend(&mut self, part: Self) {
        if self.has_histograms() || part.has_histograms() {
            self.histograms.resize(self.series.len(), None);
            self.histograms.extend(part.histograms);
            self.histograms.resize(self.series.len() + part.series.len(), None);
        }
        self.series.extend(part.series);
        self.values.extend(part.values);
    }

    /// Returns how many samples there are; a histogram counts as many.
    pub(super) fn samples(&self) -> usize {
        let floats = self.values.iter().filter(|value| !is_absent(**value)).count();
        let cells = self.histograms.iter().flatten().flat_map(|cells| cells.iter().flatten());
        floats + cells.map(|histogram| histogram_samples(histogram)).sum::<usize>()
    }

    /// Removes the histograms, and rows that have nothing else.
    pub(super) fn remove_histograms(&mut self) {
        if self.has_histograms() {
            self.histograms.clear();
            self.remove_empty_rows();
        }
    }

    /// Returns what the table takes, labels and histograms that it shares left out.
    pub(super) fn size_bytes(&self) -> u64 {
        let labels: usize = self.series.iter().map(|series| series.labels.unshared_bytes()).sum();
        let rows =
            self.values.capacity() * size_of::<f64>() + self.histograms.capacity() * size_of::<Cells>();
        let histograms: usize = self.histograms.iter().map(unshared_bytes).sum();
        (labels + rows + histograms + self.series.capacity() * size_of::<SeriesMeta>()) as u64
    }

    /// Changes every float.
    pub(super) fn map(&mut self, change: impl Fn(f64) -> f64) {
        for value in &mut self.values {
            *value = if is_absent(*value) { ABSENT } else { change(*value) };
        }
    }

    /// Puts a float in the place of every sample, given its step.
    pub(super) fn replace_by(&mut self, value: impl Fn(usize) -> f64) {
        self.map_steps(|step, _| value(step));
        for (index, cells) in std::mem::take(&mut self.histograms).into_iter().enumerate() {
            for (step, _) in cells.iter().flatten().enumerate().filter(|(_, cell)| cell.is_some()) {
                self.row_mut(index)[step] = value(step);
            }
        }
    }

    /// Changes or removes every float, given its step.
    pub(super) fn map_steps(&mut self, change: impl Fn(usize, f64) -> f64) {
        if self.steps == 0 {
            return;
        }
        for row in self.values.chunks_exact_mut(self.steps) {
            for (step, value) in row.iter_mut().enumerate() {
                *value = if is_absent(*value) { ABSENT } else { change(step, *value) };
            }
        }
    }

    /// Changes or removes every histogram, given its step.
    pub(super) fn map_histograms(&mut self, mut change: impl FnMut(usize, &Arc<FloatHistogram>) -> Cell) {
        for cells in self.histograms.iter_mut().flatten() {
            for (step, cell) in cells.iter_mut().enumerate() {
                *cell = cell.as_ref().and_then(|histogram| change(step, histogram));
            }
        }
    }

    /// Leaves of a row only the samples at steps whose mark is `keep`.
    pub(super) fn mask(&mut self, index: usize, marks: &[bool], keep: bool) {
        for (value, mark) in self.row_mut(index).iter_mut().zip(marks) {
            if *mark != keep {
                *value = ABSENT;
            }
        }
        let cells = self.histograms.get_mut(index).and_then(Option::as_deref_mut).unwrap_or_default();
        for (cell, mark) in cells.iter_mut().zip(marks) {
            if *mark != keep {
                *cell = None;
            }
        }
    }

    /// Keeps the cells that a predicate of row and step chooses, and the rows that then have any.
    pub(super) fn retain_cells(&mut self, keep: impl Fn(usize, usize) -> bool) {
        for row in 0..self.series.len() {
            for (step, value) in self.row_mut(row).iter_mut().enumerate() {
                if !keep(row, step) {
                    *value = ABSENT;
                }
            }
            let cells = self.histograms.get_mut(row).and_then(Option::as_deref_mut).unwrap_or_default();
            for (step, cell) in cells.iter_mut().enumerate() {
                if !keep(row, step) {
                    *cell = None;
                }
            }
        }
        self.remove_empty_rows();
    }

    /// Leaves out rows that became empty.
    pub(super) fn remove_empty_rows(&mut self) {
        self.histograms.iter_mut().for_each(|cells| *cells = normalized(cells.take()));
        let empty = |index: usize| {
            self.cells(index).is_none() && self.row(index).iter().all(|value| is_absent(*value))
        };
        if (0..self.series.len()).any(empty) {
            let kept: Vec<usize> = (0..self.series.len()).filter(|index| !empty(*index)).collect();
            self.choose(&kept);
        }
        if self.histograms.iter().all(Option::is_none) {
            self.histograms.clear();
        }
    }

    /// Leaves only some rows, in a new order; no row twice.
    pub(super) fn choose(&mut self, order: &[usize]) {
        let mut chosen = Self::new(self.steps);
        chosen.values.reserve(order.len() * self.steps);
        for index in order {
            chosen.values.extend_from_slice(self.row(*index));
        }
        chosen.series = order.iter().map(|index| self.series[*index].clone()).collect();
        if self.has_histograms() {
            chosen.histograms = order.iter().map(|index| self.histograms[*index].take()).collect();
        }
        *self = chosen;
    }

    /// Returns the vector with its rows sorted by labels.
    pub(super) fn sorted(mut self) -> Self {
        let mut order: Vec<usize> = (0..self.series.len()).collect();
        order.sort_by(|a, b| self.series[*a].labels.cmp(&self.series[*b].labels));
        self.choose(&order);
        self
    }

    /// Returns the vector repeated over so many steps, when it has one.
    pub(super) fn spread(self, steps: usize) -> Self {
        if self.steps != 1 || steps == 1 {
            return self;
        }
        if steps == 0 {
            return Self::new(0);
        }
        let values = self.values.iter().flat_map(|value| std::iter::repeat_n(*value, steps)).collect();
        let repeat = |cells: Cells| cells.map(|cells| vec![cells[0].clone(); steps].into_boxed_slice());
        let histograms = self.histograms.into_iter().map(repeat).collect();
        Self { series: self.series, steps, values, histograms }
    }
}
