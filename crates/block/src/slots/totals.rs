//! Adds up what each slot holds: how many samples, their sum, the least and the greatest.
//!
//! Where floats and histograms meet in a slot, what came last counts; so do histograms whose buckets cannot be added.

use std::sync::Arc;

use model::FloatHistogram;

use super::{Slots, slot_end};

/// What some floats of a slot add up to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floats {
    pub(super) count: u64,
    pub(super) sum: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Floats {
    /// Returns that of one sample.
    pub(super) fn one(value: f64) -> Self {
        Self { count: 1, sum: value, min: value, max: value }
    }
}

/// Neumaier's sum.
#[derive(Clone, Copy, Debug)]
struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.lost += if !sum.is_finite() {
            0.0
        } else if self.sum.abs() >= value.abs() {
            (self.sum - sum) + value
        } else {
            (value - sum) + self.sum
        };
        self.sum = sum;
    }

    fn value(self) -> f64 {
        if self.sum.is_finite() { self.sum + self.lost } else { self.sum }
    }
}

enum Total {
    None,
    Floats { count: u64, sum: Sum, min: f64, max: f64 },
    Histograms { count: u64, sum: FloatHistogram, lost: Option<Box<FloatHistogram>> },
}

/// The slot that is being added up.
pub(super) struct Totals {
    resolution_ms: i64,
    end_ms: i64,
    total: Total,
}

impl Totals {
    pub(super) fn new(resolution_ms: i64) -> Self {
        Self { resolution_ms, end_ms: i64::MIN, total: Total::None }
    }

    /// Adds floats of the slot that a time, not before the last one, lies in.
    pub(super) fn add_floats(&mut self, time_ms: i64, more: Floats, slots: &mut Slots) {
        self.go_to(time_ms, slots);
        match &mut self.total {
            Total::Floats { count, sum, min, max } => {
                *count += more.count;
                sum.add(more.sum);
                if more.min < *min || min.is_nan() {
                    *min = more.min;
                }
                if more.max > *max || max.is_nan() {
                    *max = more.max;
                }
            }
            other => {
                let Floats { count, sum, min, max } = more;
                *other = Total::Floats { count, sum: Sum { sum, lost: 0.0 }, min, max };
            }
        }
    }

    /// Adds a sum of histograms, or one, of the slot that a time, not before the last one, lies in.
    pub(super) fn add_histogram(
        &mut self,
        time_ms: i64,
        more: u64,
        histogram: &Arc<FloatHistogram>,
        slots: &mut Slots,
    ) {
        self.go_to(time_ms, slots);
        if let Total::Histograms { count, sum, lost } = &mut self.total
            && sum.add_compensated(histogram, lost).is_ok()
        {
            *count += more;
        } else {
            let sum = FloatHistogram::clone(histogram);
            self.total = Total::Histograms { count: more, sum, lost: None };
        }
    }

    pub(super) fn finish(&mut self, slots: &mut Slots) {
        let count = match std::mem::replace(&mut self.total, Total::None) {
            Total::None => return,
            Total::Floats { count, sum, min, max } => {
                slots.sum.push(self.end_ms, sum.value());
                slots.min.push(self.end_ms, min);
                slots.max.push(self.end_ms, max);
                count
            }
            Total::Histograms { count, mut sum, lost } => {
                sum.settle(lost);
                if !sum.is_storable() {
                    // More buckets than a histogram may have: there is no sum, and an average needs both.
                    return;
                }
                slots.sum.push_histogram(self.end_ms, Arc::new(sum));
                count
            }
        };
        slots.count.push(self.end_ms, count as f64);
    }

    fn go_to(&mut self, time_ms: i64, slots: &mut Slots) {
        let end_ms = slot_end(time_ms, self.resolution_ms);
        if end_ms != self.end_ms {
            self.finish(slots);
            self.end_ms = end_ms;
        }
    }
}
