//! Slots: the samples of one series as one value for each stretch of time, in seven columns.
//!
//! [`of_samples`] makes them of raw samples and [`of_slots`] of finer ones, both by two passes that know nothing of one
//! another: `totals` adds up, `thin` keeps what counters need. [`view()`] is what a query gets of them. All of it is a pure
//! function of one series; the columns are specified in `docs/formats/downsampled.md`.

mod thin;
mod totals;
mod view;

use bytes::Bytes;
use model::{BlockRange, SampleValue, Samples};

use crate::chunks::{join_value, seal_chunks};
use crate::layout::Content;
use thin::Thinner;
use totals::{Floats, Totals};
pub(crate) use view::{contents_of, view};

/// The columns of one series, all in time order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Slots {
    pub(crate) last: Samples,
    pub(crate) counter: Samples,
    pub(crate) resets: Samples,
    pub(crate) count: Samples,
    pub(crate) sum: Samples,
    pub(crate) min: Samples,
    pub(crate) max: Samples,
}

impl Slots {
    /// Returns a column.
    pub(crate) fn column_mut(&mut self, content: Content) -> &mut Samples {
        match content {
            Content::Samples | Content::Last => &mut self.last,
            Content::Counter => &mut self.counter,
            Content::Resets => &mut self.resets,
            Content::Count => &mut self.count,
            Content::Sum => &mut self.sum,
            Content::Min => &mut self.min,
            Content::Max => &mut self.max,
        }
    }

    /// Returns all, in the order of the file.
    pub(crate) fn columns(&self) -> [&Samples; 7] {
        [&self.last, &self.counter, &self.resets, &self.count, &self.sum, &self.min, &self.max]
    }

    /// Encodes the values of all columns in the windows between `bounds`, in the order of the file.
    pub(crate) fn values(&self, bounds: &[i64]) -> Vec<Bytes> {
        let values = self.columns().into_iter().flat_map(|column| {
            bounds.windows(2).map(|bounds| value(column, BlockRange::new(bounds[0], bounds[1])))
        });
        values.collect()
    }
}

/// Encodes what a column has in a window.
fn value(column: &Samples, window: BlockRange) -> Bytes {
    let before = |time_ms: i64| column.timestamps.partition_point(|time| *time < time_ms);
    let within = before(window.start.0)..before(window.end.0);
    if within.is_empty() {
        return join_value(window.start.0, &[]);
    }
    let mut samples = Samples::default();
    samples.extend_from(column, within);
    join_value(window.start.0, &seal_chunks(&samples))
}

/// Returns the last millisecond of the slot that a time lies in.
pub(crate) fn slot_end(time_ms: i64, resolution_ms: i64) -> i64 {
    time_ms - time_ms.rem_euclid(resolution_ms) + (resolution_ms - 1)
}

/// Makes slots of raw samples.
pub(crate) fn of_samples(samples: &Samples, resolution_ms: i64) -> Slots {
    let mut slots = Slots::default();
    let mut totals = Totals::new(resolution_ms);
    for (at, time_ms) in samples.timestamps.iter().enumerate() {
        match samples.value(at) {
            value if value.is_stale() => {}
            SampleValue::Histogram(histogram) => totals.add_histogram(*time_ms, 1, &histogram, &mut slots),
            SampleValue::Float(value) => totals.add_floats(*time_ms, Floats::one(value), &mut slots),
        }
    }
    totals.finish(&mut slots);
    thin(samples, resolution_ms, &mut slots);
    slots
}

/// Makes slots of finer ones.
pub(crate) fn of_slots(finer: &Slots, resolution_ms: i64) -> Slots {
    let mut slots = Slots::default();
    let mut totals = Totals::new(resolution_ms);
    for (time_ms, count) in finer.count.timestamps.iter().zip(&finer.count.floats) {
        let at = |column: &Samples| column.timestamps.binary_search(time_ms).ok();
        let float = |column: &Samples| at(column).map_or(f64::NAN, |at| column.floats[at]);
        let count = *count as u64;
        match at(&finer.sum).map(|at| finer.sum.value(at)) {
            Some(SampleValue::Histogram(sum)) => totals.add_histogram(*time_ms, count, &sum, &mut slots),
            Some(SampleValue::Float(sum)) => {
                let (min, max) = (float(&finer.min), float(&finer.max));
                totals.add_floats(*time_ms, Floats { count, sum, min, max }, &mut slots);
            }
            None => {}
        }
    }
    totals.finish(&mut slots);
    thin(&view::thinned(finer), resolution_ms, &mut slots);
    slots
}

fn thin(samples: &Samples, resolution_ms: i64, slots: &mut Slots) {
    let mut thinner = Thinner::new(resolution_ms);
    for (at, time_ms) in samples.timestamps.iter().enumerate() {
        thinner.push(*time_ms, samples.value(at), samples.hidden(at), slots);
    }
    thinner.finish(slots);
}

#[cfg(test)]
mod tests;
