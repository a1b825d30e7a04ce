//! Thins the samples of a series to the last one of each slot, and what a counter needs between two of those.
//!
//! Between two points that are left the counter was not reset, or it was reset once and the later one is below: so whoever
//! adds up increases gets what all samples would have given.

use model::SampleValue;

use super::{Slots, slot_end};

#[derive(Clone, Debug)]
struct Point {
    time_ms: i64,
    value: SampleValue,
}

/// What is left of a slot's resets.
#[derive(Debug)]
struct Reset {
    /// The sample before the last one, raised by what was lost at those before.
    before: Point,
    /// The sample after the last one.
    after: Point,
}

/// One series on its way through the slots.
pub(super) struct Thinner {
    resolution_ms: i64,
    end_ms: i64,
    is_new: bool,
    /// The last sample; none when it is of the other kind.
    sample: Option<Point>,
    /// What `sample` was when the slot began.
    before_slot: Option<SampleValue>,
    /// The slot's first sample, when nothing says what it follows.
    first: Option<Point>,
    reset: Option<Reset>,
    /// How many resets the slot had.
    resets: u64,
    has_samples: bool,
    /// The staleness marker that ends the slot.
    marker: Option<SampleValue>,
}

impl Thinner {
    pub(super) fn new(resolution_ms: i64) -> Self {
        Self {
            resolution_ms,
            end_ms: i64::MIN,
            is_new: true,
            sample: None,
            before_slot: None,
            first: None,
            reset: None,
            resets: 0,
            has_samples: false,
            marker: None,
        }
    }

    /// Takes the next sample; `hidden` resets lie between it and the one before and do not show.
    pub(super) fn push(&mut self, time_ms: i64, value: SampleValue, hidden: u32, slots: &mut Slots) {
        let end_ms = slot_end(time_ms, self.resolution_ms);
        if end_ms != self.end_ms {
            self.finish(slots);
            self.end_ms = end_ms;
        }
        if value.is_stale() {
            self.marker = Some(value);
            return;
        }
        let point = Point { time_ms, value };
        (self.marker, self.has_samples) = (None, true);
        if self.sample.as_ref().is_some_and(|sample| !is_like(&sample.value, &point.value)) {
            // No function looks at counters across kinds: the slot is about the later one.
            (self.sample, self.before_slot, self.reset, self.resets) = (None, None, None, 0);
            self.is_new = true;
        }
        if std::mem::take(&mut self.is_new) {
            self.first = Some(point.clone());
        }
        self.resets += u64::from(hidden);
        if let Some(sample) = self.sample.take().filter(|sample| is_reset(&sample.value, &point.value)) {
            self.resets += 1;
            self.reset = Some(Reset { before: self.raised(sample, &point.value), after: point.clone() });
        }
        self.sample = Some(point);
    }

    /// Raises a sample, which a reset follows, by what was lost at the resets of the slot before it, as long as it is not below
    /// what comes before it then, nor what follows above it.
    fn raised(&self, sample: Point, after: &SampleValue) -> Point {
        let Some(earlier) = &self.reset else { return sample };
        let follows = self.first.as_ref().map(|first| &first.value).or(self.before_slot.as_ref());
        let fits = |raised: &SampleValue| {
            is_reset(raised, after) && follows.is_none_or(|before| !is_reset(before, raised))
        };
        match sum(&sample.value, &earlier.before.value).filter(fits) {
            Some(value) => Point { value, ..sample },
            None => sample,
        }
    }

    /// Ends the slot: writes what is left of it.
    pub(super) fn finish(&mut self, slots: &mut Slots) {
        let (has_samples, marker) = (std::mem::take(&mut self.has_samples), self.marker.take());
        if let Some(sample) = self.sample.clone().filter(|_| has_samples) {
            let reset = self.reset.take().map(|reset| [reset.before, reset.after]);
            let points = self.first.take().into_iter().chain(reset.into_iter().flatten()).chain([sample]);
            // What a slot's first sample fell from is the last one of a slot before.
            let before_ms = self.end_ms - self.resolution_ms;
            self.write(points.filter(|point| point.time_ms > before_ms).collect(), marker.is_none(), slots);
        }
        if let Some(marker) = marker {
            slots.last.push_value(self.end_ms, 0, marker);
        }
        self.before_slot = self.sample.as_ref().map(|sample| sample.value.clone());
    }

    /// Writes points, of which the last one is the slot's last sample, and how many resets they do not show.
    fn write(&mut self, mut points: Vec<Point>, lives: bool, slots: &mut Slots) {
        points.dedup_by_key(|point| point.time_ms);
        let values = self.before_slot.iter().chain(points.iter().map(|point| &point.value));
        let pairs = values.clone().zip(values.skip(1));
        let shown = pairs.filter(|(before, after)| is_reset(before, after)).count() as u64;
        let last = points.pop().expect("the slot has a sample");
        for Point { time_ms, value } in points {
            slots.counter.push_value(time_ms, 0, value);
        }
        let (column, time_ms) =
            if lives { (&mut slots.last, self.end_ms) } else { (&mut slots.counter, last.time_ms) };
        column.push_value(time_ms, 0, last.value);
        let hidden = std::mem::take(&mut self.resets).saturating_sub(shown);
        if hidden > 0 {
            slots.resets.push(time_ms, hidden as f64);
        }
    }
}

/// Tells whether both are floats, or both are histograms.
fn is_like(a: &SampleValue, b: &SampleValue) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

/// Tells whether a counter began again between two samples.
fn is_reset(before: &SampleValue, after: &SampleValue) -> bool {
    match (before, after) {
        (SampleValue::Float(before), SampleValue::Float(after)) => after < before,
        (SampleValue::Histogram(before), SampleValue::Histogram(after)) => after.detect_reset(before),
        _ => false,
    }
}

/// Adds two values of one kind; `None` when they cannot be added.
fn sum(a: &SampleValue, b: &SampleValue) -> Option<SampleValue> {
    match (a, b) {
        (SampleValue::Float(a), SampleValue::Float(b)) => Some(SampleValue::Float(a + b)),
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => {
            let mut sum = model::FloatHistogram::clone(a);
            sum.add(b).ok()?;
            sum.is_storable().then(|| SampleValue::Histogram(sum.into()))
        }
        _ => None,
    }
}
