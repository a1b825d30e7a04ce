//! The samples of one series, decoded: what encodings yield and evaluation reads.

use std::ops::Range;
use std::sync::Arc;

use crate::FloatHistogram;
use crate::sample::is_stale;

/// The value of one sample.
#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

impl SampleValue {
    /// Tells whether it is a staleness marker.
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Float(value) => is_stale(*value),
            Self::Histogram(histogram) => histogram.is_stale(),
        }
    }

    /// Tells whether writing the one over the other changes nothing: the same bits of a float, an equal histogram, or two
    /// staleness markers.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Histogram(a), Self::Histogram(b)) => a.equals(b),
            _ => self.is_stale() && other.is_stale(),
        }
    }
}

/// Decoded samples of one series, column by column, in time order.
///
/// `floats[i]` belongs to `timestamps[i]` (ms). Where `histograms` holds an entry for position `i`, the sample is a
/// native histogram and `floats[i]` has no meaning. A float with the staleness marker's bits ends the series; so does a
/// histogram whose `sum` has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Milliseconds, strictly ascending.
    pub timestamps: Vec<i64>,
    /// One a timestamp.
    pub floats: Vec<f64>,
    /// `(position, histogram)`, positions strictly ascending.
    pub histograms: Vec<(u32, Arc<FloatHistogram>)>,
    /// Since when each sample has been counting (ms), one a timestamp, 0 for unknown. Empty when all are unknown.
    pub start_timestamps: Vec<i64>,
    /// What each sample stands for besides itself, one a timestamp: how many samples of its slot, or how many counter resets
    /// that do not show, as was asked for. Empty when all stand for themselves, as raw ones do.
    pub hidden: Vec<u32>,
}

impl Samples {
    /// Empties the columns and keeps their memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.floats.clear();
        self.histograms.clear();
        self.start_timestamps.clear();
        self.hidden.clear();
    }

    /// Appends a float sample; `time_ms` must be later than the last one.
    pub fn push(&mut self, time_ms: i64, value: f64) {
        debug_assert!(
            self.timestamps.last().is_none_or(|last| *last < time_ms),
            "samples come in time order"
        );
        self.timestamps.push(time_ms);
        self.floats.push(value);
        self.complete_columns();
    }

    /// Appends a histogram sample; `time_ms` must be later than the last one.
    pub fn push_histogram(&mut self, time_ms: i64, histogram: Arc<FloatHistogram>) {
        self.histograms.push((self.timestamps.len() as u32, histogram));
        self.push(time_ms, 0.0);
    }

    /// Says since when the last sample has been counting; 0 for unknown.
    ///
    /// # Panics
    /// When there is no sample.
    pub fn start_last(&mut self, start_ms: i64) {
        if start_ms != 0 || !self.start_timestamps.is_empty() {
            self.start_timestamps.resize(self.timestamps.len(), 0);
            *self.start_timestamps.last_mut().expect("there is a sample") = start_ms;
        }
    }

    /// Returns the sample at a position.
    ///
    /// # Panics
    /// When there is none.
    pub fn value(&self, position: usize) -> SampleValue {
        match self.histogram(position) {
            Some(histogram) => SampleValue::Histogram(Arc::clone(histogram)),
            None => SampleValue::Float(self.floats[position]),
        }
    }

    /// Returns the histogram at a position, `None` for a float.
    pub fn histogram(&self, position: usize) -> Option<&Arc<FloatHistogram>> {
        let at = self.histograms.binary_search_by_key(&position, |(at, _)| *at as usize).ok()?;
        Some(&self.histograms[at].1)
    }

    /// Returns since when the sample at a position has been counting; 0 for unknown.
    pub fn start(&self, position: usize) -> i64 {
        self.start_timestamps.get(position).copied().unwrap_or(0)
    }

    /// Says what the last sample stands for besides itself.
    ///
    /// # Panics
    /// When there is no sample.
    pub fn hide_last(&mut self, hidden: u32) {
        if hidden != 0 || !self.hidden.is_empty() {
            self.hidden.resize(self.timestamps.len(), 0);
            *self.hidden.last_mut().expect("there is a sample") = hidden;
        }
    }

    /// Returns what the sample at a position stands for besides itself.
    pub fn hidden(&self, position: usize) -> u32 {
        self.hidden.get(position).copied().unwrap_or(0)
    }

    /// Appends a sample; `time_ms` must be later than the last one.
    pub fn push_value(&mut self, time_ms: i64, start_ms: i64, value: SampleValue) {
        match value {
            SampleValue::Float(value) => self.push(time_ms, value),
            SampleValue::Histogram(histogram) => self.push_histogram(time_ms, histogram),
        }
        self.start_last(start_ms);
    }

    /// Puts a sample between others, at a position up to their number.
    ///
    /// # Panics
    /// When the position is greater.
    pub fn insert(&mut self, position: usize, time_ms: i64, start_ms: i64, value: SampleValue) {
        let at = self.histograms.partition_point(|(at, _)| (*at as usize) < position);
        self.histograms[at..].iter_mut().for_each(|(at, _)| *at += 1);
        self.timestamps.insert(position, time_ms);
        self.floats.insert(position, if let SampleValue::Float(value) = value { value } else { 0.0 });
        if let SampleValue::Histogram(histogram) = value {
            self.histograms.insert(at, (position as u32, histogram));
        }
        if start_ms != 0 || !self.start_timestamps.is_empty() {
            self.start_timestamps.resize(self.timestamps.len() - 1, 0);
            self.start_timestamps.insert(position, start_ms);
        }
        if !self.hidden.is_empty() {
            self.hidden.insert(position, 0);
        }
    }

    /// Appends samples of another run, by their positions there, in the order given.
    pub fn extend_from(&mut self, other: &Self, positions: impl Iterator<Item = usize> + Clone) {
        let before = self.len();
        self.timestamps.extend(positions.clone().map(|at| other.timestamps[at]));
        self.floats.extend(positions.clone().map(|at| other.floats[at]));
        if !other.histograms.is_empty() {
            let places = (before as u32..).zip(positions.clone());
            let histograms = places.filter_map(|(to, at)| Some((to, Arc::clone(other.histogram(at)?))));
            self.histograms.extend(histograms);
        }
        if !other.start_timestamps.is_empty() {
            self.start_timestamps.resize(before, 0);
            self.start_timestamps.extend(positions.clone().map(|at| other.start_timestamps[at]));
        }
        if !other.hidden.is_empty() {
            self.hidden.resize(before, 0);
            self.hidden.extend(positions.map(|at| other.hidden[at]));
        }
        self.complete_columns();
    }

    /// Makes the columns that may be empty as long as the others, after samples that have nothing there were appended to these.
    pub fn complete_columns(&mut self) {
        if !self.start_timestamps.is_empty() {
            self.start_timestamps.resize(self.timestamps.len(), 0);
        }
        if !self.hidden.is_empty() {
            self.hidden.resize(self.timestamps.len(), 0);
        }
    }

    /// Returns how much heap memory it holds, its histograms included.
    pub fn size_bytes(&self) -> usize {
        let numbers = self.timestamps.capacity() + self.floats.capacity() + self.start_timestamps.capacity();
        let histograms = self.histograms.iter().map(|(_, histogram)| histogram.size_bytes());
        8 * numbers
            + size_of::<u32>() * self.hidden.capacity()
            + self.histograms.capacity() * size_of::<(u32, Arc<FloatHistogram>)>()
            + histograms.sum::<usize>()
    }

    /// Forgets the samples from a position on.
    pub fn truncate(&mut self, len: usize) {
        self.timestamps.truncate(len);
        self.floats.truncate(len);
        self.start_timestamps.truncate(len);
        self.hidden.truncate(len);
        let kept = self.histograms.partition_point(|(at, _)| (*at as usize) < len);
        self.histograms.truncate(kept);
    }

    /// Forgets the samples at some positions.
    ///
    /// # Panics
    /// When the range is not one of positions.
    pub fn remove(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        self.timestamps.drain(range.clone());
        self.floats.drain(range.clone());
        if !self.start_timestamps.is_empty() {
            self.start_timestamps.drain(range.clone());
        }
        if !self.hidden.is_empty() {
            self.hidden.drain(range.clone());
        }
        self.histograms.retain_mut(|(at, _)| {
            let position = *at as usize;
            if position >= range.end {
                *at -= range.len() as u32;
            }
            !range.contains(&position)
        });
    }

    /// Returns how many samples there are.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_timestamps_are_there_for_all_samples_or_for_none() {
        let mut samples = Samples::default();
        samples.push(10, 1.0);
        samples.start_last(0);
        assert_eq!(samples.start_timestamps, []);
        samples.push(20, 2.0);
        samples.start_last(15);
        samples.push_histogram(30, Arc::default());
        assert_eq!(samples.start_timestamps, [0, 15, 0]);
        samples.start_last(25);
        samples.start_last(0);
        assert_eq!(samples.start_timestamps, [0, 15, 0]);
        samples.clear();
        assert_eq!(samples, Samples::default());
    }
    #[test]
    fn what_is_hidden_goes_with_its_sample() {
        let mut samples = Samples::default();
        samples.push(10, 1.0);
        samples.hide_last(0);
        assert_eq!(samples.hidden, []);
        samples.push(20, 2.0);
        samples.hide_last(7);
        samples.push(40, 4.0);
        samples.insert(2, 30, 0, SampleValue::Float(3.0));
        assert_eq!((samples.hidden.as_slice(), samples.hidden(1)), (&[0, 7, 0, 0][..], 7));
        let mut other = Samples::default();
        other.push(1, 1.0);
        other.extend_from(&samples, [1, 3].into_iter());
        assert_eq!(other.hidden, [0, 7, 0]);
        other.remove(0..1);
        other.truncate(1);
        assert_eq!((other.timestamps.as_slice(), other.hidden.as_slice()), (&[20][..], &[7][..]));
    }

    #[test]
    fn positions_of_histograms_follow_what_is_removed() {
        let mut samples = Samples::default();
        for time_ms in 0..10 {
            match time_ms % 2 {
                0 => samples.push(time_ms, time_ms as f64),
                _ => samples.push_histogram(
                    time_ms,
                    Arc::new(FloatHistogram { count: time_ms as f64, ..Default::default() }),
                ),
            }
            samples.start_last(time_ms);
        }
        samples.remove(2..5);
        samples.truncate(6);
        assert_eq!(samples.timestamps, [0, 1, 5, 6, 7, 8]);
        assert_eq!(samples.start_timestamps, samples.timestamps);
        let histograms = samples.histograms.iter().map(|(at, histogram)| (*at, histogram.count));
        assert_eq!(histograms.collect::<Vec<_>>(), [(1, 1.0), (2, 5.0), (4, 7.0)]);
        assert_eq!(samples.value(3), SampleValue::Float(6.0));
        let value = |count| SampleValue::Histogram(Arc::new(FloatHistogram { count, ..Default::default() }));
        let mut other = Samples::default();
        other.extend_from(&samples, [4, 0].into_iter());
        other.insert(1, 77, 0, value(9.0));
        other.insert(3, 78, 6, SampleValue::Float(5.0));
        assert_eq!(
            (other.timestamps.as_slice(), other.start_timestamps.as_slice()),
            (&[7, 77, 0, 78][..], &[7, 0, 0, 6][..])
        );
        let histograms = other.histograms.iter().map(|(at, histogram)| (*at, histogram.count));
        assert_eq!(histograms.collect::<Vec<_>>(), [(0, 7.0), (1, 9.0)]);
        samples.remove(0..2);
        assert_eq!((samples.histogram(0).map(|histogram| histogram.count), samples.start(1)), (Some(5.0), 6));
    }
}
