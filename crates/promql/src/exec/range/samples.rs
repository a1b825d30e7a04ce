//! A series' samples for windows: staleness markers gone, floats and histograms apart.

use std::ops::Range;
use std::sync::Arc;

use model::histogram::CounterResetHint;
use model::{FloatHistogram, is_stale};
use storage::Samples;

use super::super::vector::Cell;
use super::start_time;
use crate::plan::Grid;

/// The native histograms of a series, in time order.
#[derive(Debug, Default)]
pub(in super::super) struct Histograms {
    pub(in super::super) times: Vec<i64>,
    pub(in super::super) values: Vec<Arc<FloatHistogram>>,
    /// Since when each has been counting, 0 for unknown; empty when that is unknown for all.
    pub(super) starts: Vec<i64>,
    /// What each stands for besides itself; empty when that is nothing for all.
    hidden: Vec<u32>,
    /// Whether each follows a counter reset after the one before it; empty when nobody asked.
    resets: Vec<bool>,
}

/// Those that a window sees.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct HistogramsSeen<'a> {
    pub(in super::super) times: &'a [i64],
    pub(in super::super) values: &'a [Arc<FloatHistogram>],
    pub(in super::super) starts: &'a [i64],
    /// What each stands for besides itself; empty when that is nothing for all.
    pub(in super::super) hidden: &'a [u32],
    /// Whether each follows a counter reset after the one before it, seen or not; empty when nobody asked.
    pub(in super::super) resets: &'a [bool],
}

impl Histograms {
    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    pub(super) fn seen(&self, range: Range<usize>) -> HistogramsSeen<'_> {
        HistogramsSeen {
            times: &self.times[range.clone()],
            values: &self.values[range.clone()],
            starts: self.starts.get(range.clone()).unwrap_or_default(),
            hidden: self.hidden.get(range.clone()).unwrap_or_default(),
            resets: self.resets.get(range).unwrap_or_default(),
        }
    }

    /// Looks for counter resets between neighbours, once for all windows.
    pub(super) fn find_resets(&mut self) {
        let is_reset = |index: usize| {
            index > 0
                && (start_time::is_reset(&self.times, &self.starts, index)
                    || self.values[index].detect_reset(&self.values[index - 1]))
        };
        self.resets = (0..self.times.len()).map(is_reset).collect();
    }
}

/// Removes staleness markers and takes the histograms out; `samples` keeps the floats.
pub(in super::super) fn split(samples: &mut Samples) -> Histograms {
    let found = std::mem::take(&mut samples.histograms);
    let mut histograms = Histograms::default();
    if found.is_empty() && !samples.floats.iter().any(|value| is_stale(*value)) {
        return histograms;
    }
    let mut found = found.into_iter().peekable();
    let mut kept = 0;
    for index in 0..samples.floats.len() {
        let time_ms = samples.timestamps[index];
        let start_ms = samples.start_timestamps.get(index).copied();
        let hidden = samples.hidden.get(index).copied();
        if let Some((_, histogram)) = found.next_if(|(position, _)| *position as usize == index) {
            if !histogram.is_stale() {
                histograms.times.push(time_ms);
                histograms.values.push(histogram);
                histograms.starts.extend(start_ms);
                histograms.hidden.extend(hidden);
            }
        } else if !is_stale(samples.floats[index]) {
            samples.timestamps[kept] = time_ms;
            samples.floats[kept] = samples.floats[index];
            if let Some(start_ms) = start_ms {
                samples.start_timestamps[kept] = start_ms;
            }
            if let Some(hidden) = hidden {
                samples.hidden[kept] = hidden;
            }
            kept += 1;
        }
    }
    samples.timestamps.truncate(kept);
    samples.floats.truncate(kept);
    samples.start_timestamps.truncate(kept);
    samples.hidden.truncate(kept);
    histograms
}

/// Returns the histograms of a subquery's row. Steps may skip samples, so what is known of resets between neighbours is not
/// true any more.
pub(super) fn cells_to_histograms(cells: &[Cell], grid: &Grid) -> Histograms {
    let present = || cells.iter().enumerate().filter_map(|(step, cell)| Some((step, cell.as_ref()?)));
    Histograms {
        times: present().map(|(step, _)| grid.time(step)).collect(),
        values: present().map(|(_, histogram)| without_hint(histogram)).collect(),
        ..Histograms::default()
    }
}

fn without_hint(histogram: &Arc<FloatHistogram>) -> Arc<FloatHistogram> {
    if matches!(histogram.reset_hint, CounterResetHint::Reset | CounterResetHint::NotReset) {
        let mut histogram = FloatHistogram::clone(histogram);
        histogram.reset_hint = CounterResetHint::Unknown;
        return Arc::new(histogram);
    }
    Arc::clone(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(sum: f64) -> Arc<FloatHistogram> {
        Arc::new(FloatHistogram { sum, ..FloatHistogram::default() })
    }

    #[test]
    fn markers_of_both_kinds_go_and_times_stay() {
        let mut samples = Samples::default();
        samples.push(1, 1.0);
        samples.push_histogram(2, histogram(2.0));
        samples.push(3, model::stale_nan());
        samples.push_histogram(4, histogram(model::stale_nan()));
        samples.push(5, 5.0);
        samples.start_last(3);
        samples.push_histogram(6, histogram(6.0));
        let histograms = split(&mut samples);
        assert_eq!((samples.timestamps, samples.floats), (vec![1, 5], vec![1.0, 5.0]));
        assert_eq!(samples.start_timestamps, [0, 3]);
        let sums: Vec<f64> = histograms.values.iter().map(|histogram| histogram.sum).collect();
        assert_eq!((histograms.times, sums, histograms.starts), (vec![2, 6], vec![2.0, 6.0], vec![0, 0]));
    }

    #[test]
    fn a_subquery_forgets_resets_but_not_gauges() {
        let hinted = |reset_hint| Some(Arc::new(FloatHistogram { reset_hint, ..FloatHistogram::default() }));
        let cells = [hinted(CounterResetHint::Reset), None, hinted(CounterResetHint::Gauge)];
        let histograms = cells_to_histograms(&cells, &Grid { start_ms: 10, step_ms: 5, steps: 3 });
        let hints: Vec<_> = histograms.values.iter().map(|histogram| histogram.reset_hint).collect();
        assert_eq!(histograms.times, [10, 20]);
        assert_eq!(hints, [CounterResetHint::Unknown, CounterResetHint::Gauge]);
    }
}
