//! One row of a vector while it is made, and the native histograms that lie beside a row's floats.

use std::sync::Arc;

use model::FloatHistogram;

use super::{ABSENT, is_absent};
use crate::value;

/// A native histogram at a step, or none.
pub(in super::super) type Cell = Option<Arc<FloatHistogram>>;

/// The native histograms of a row, one cell a step; `None` when it has none at all.
pub(in super::super) type Cells = Option<Box<[Cell]>>;

/// How many bytes of a native histogram count as one sample.
const BYTES_PER_SAMPLE: usize = 16;

/// Returns as how many samples a native histogram counts.
pub(in super::super) fn histogram_samples(histogram: &FloatHistogram) -> usize {
    histogram.size_bytes().div_ceil(BYTES_PER_SAMPLE)
}

/// Returns a histogram with something done to it.
pub(in super::super) fn changed(
    histogram: &FloatHistogram,
    change: impl FnOnce(&mut FloatHistogram),
) -> Arc<FloatHistogram> {
    let mut changed = histogram.clone();
    change(&mut changed);
    Arc::new(changed)
}

/// Returns what the cells of a row take.
pub(in super::super) fn cells_bytes(cells: &Cells) -> u64 {
    let histograms = cells.iter().flat_map(|cells| cells.iter().flatten());
    let heap: usize = histograms.map(|histogram| histogram.size_bytes()).sum();
    (heap + cells.as_ref().map_or(0, |cells| size_of_val(&**cells))) as u64
}

/// Returns what is freed when the cells of a row go.
pub(in super::super) fn unshared_bytes(cells: &Cells) -> usize {
    let histograms = cells.iter().flat_map(|cells| cells.iter().flatten());
    let heap: usize = histograms.map(value::unshared_bytes).sum();
    heap + cells.as_ref().map_or(0, |cells| size_of_val(&**cells))
}

/// Tells whether there is a sample of either kind.
pub(in super::super) fn is_present(value: f64, cells: Option<&[Cell]>, step: usize) -> bool {
    !is_absent(value) || cells.is_some_and(|cells| cells[step].is_some())
}

/// A row being filled. A step has a float, a histogram, or neither.
#[derive(Clone, Debug)]
pub(in super::super) struct Row {
    pub(in super::super) values: Vec<f64>,
    pub(in super::super) cells: Cells,
}

impl Row {
    pub(in super::super) fn new(steps: usize) -> Self {
        Self { values: vec![ABSENT; steps], cells: None }
    }

    pub(in super::super) fn clear(&mut self) {
        self.values.fill(ABSENT);
        self.cells = None;
    }

    /// Puts a histogram on a step that has nothing yet.
    pub(in super::super) fn put(&mut self, step: usize, histogram: Arc<FloatHistogram>) {
        let steps = self.values.len();
        self.cells.get_or_insert_with(|| no_cells(steps))[step] = Some(histogram);
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.cells.is_none() && self.values.iter().all(|value| is_absent(*value))
    }
}

/// Returns cells without histograms.
pub(in super::super) fn no_cells(steps: usize) -> Box<[Cell]> {
    vec![None; steps].into_boxed_slice()
}

/// Returns the cells, or `None` when none of them has a histogram.
pub(in super::super) fn normalized(cells: Cells) -> Cells {
    cells.filter(|cells| cells.iter().any(Option::is_some))
}
