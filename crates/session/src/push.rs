//! Pushes: writes whose series come by labels, of which a writer remembers where they are kept.
//!
//! A scraper keeps handles of its series; a push brings labels each time. Here they become handles, in the order sent.

use std::sync::Arc;

use model::FloatHistogram;
use parking_lot::Mutex;
use storage::{AppendOutcome, SeriesWrite};

use crate::handle::{HandleExemplar, HandleSample, Place, SeriesHandle, WideValue};
use crate::known::{Fingerprint, Known, KnownSeries, fingerprint};

/// What is remembered between pushes.
pub(crate) struct Pushes {
    known: Mutex<KnownSeries>,
    /// Of the fingerprints in `known`.
    seed: u64,
}

impl Default for Pushes {
    fn default() -> Self {
        let known = KnownSeries::default();
        Self { seed: known.seed(), known: Mutex::new(known) }
    }
}

/// What a push holds, its series found.
pub(crate) struct Push {
    pub(crate) samples: Vec<HandleSample>,
    pub(crate) exemplars: Vec<HandleExemplar>,
    /// Of each series that has labels.
    pushed: Vec<Pushed>,
}

/// A series of one push.
struct Pushed {
    fingerprint: Fingerprint,
    handle: SeriesHandle,
    /// Where it was, as far as was known before.
    known: Option<Place>,
}

impl Pushes {
    /// Finds the handles of pushed series; counts those whose labels cannot be stored.
    pub(crate) fn resolve(&self, series: Vec<SeriesWrite>, outcome: &mut AppendOutcome) -> Push {
        let fingerprints: Vec<Fingerprint> =
            series.iter().map(|series| fingerprint(&series.labels, self.seed)).collect();
        let count = |series: &SeriesWrite| series.samples.len() + series.histograms.len();
        let mut samples = Vec::with_capacity(series.iter().map(count).sum());
        let (mut pushed, mut exemplars) = (Vec::with_capacity(series.len()), Vec::new());
        let mut remembered = self.known.lock();
        let known: Vec<Option<Known>> = fingerprints.iter().map(|series| remembered.find(*series)).collect();
        drop(remembered);
        for (series, (fingerprint, known)) in series.into_iter().zip(fingerprints.into_iter().zip(known)) {
            let SeriesWrite { labels, samples: floats, histograms, starts, exemplars: own } = series;
            match Known::handle(known, labels) {
                Ok(handle) => {
                    push_samples(&mut samples, &handle, floats, histograms, &starts);
                    let exemplar = |exemplar| HandleExemplar { series: handle.clone(), exemplar };
                    exemplars.extend(own.into_iter().map(exemplar));
                    pushed.push(Pushed { fingerprint, handle, known: known.map(|known| known.place) });
                }
                Err(reason) => {
                    outcome.invalid_series += 1;
                    outcome.first_invalid.get_or_insert(reason);
                }
            }
        }
        Push { samples, exemplars, pushed }
    }

    /// Remembers the places that an append has told.
    pub(crate) fn learn(&self, push: &Push) {
        let mut learned =
            push.pushed.iter().filter(|pushed| pushed.handle.place() != pushed.known).peekable();
        if learned.peek().is_none() {
            return;
        }
        let mut known = self.known.lock();
        learned.for_each(|pushed| known.learn(pushed.fingerprint, &pushed.handle));
    }
}

/// Appends the samples of one series.
fn push_samples(
    samples: &mut Vec<HandleSample>,
    handle: &SeriesHandle,
    floats: Vec<(i64, f64)>,
    histograms: Vec<(i64, Arc<FloatHistogram>)>,
    starts: &[(i64, i64)],
) {
    let before = samples.len();
    let float = |(time_ms, value)| HandleSample::float(handle.clone(), time_ms, value);
    samples.extend(floats.into_iter().map(float));
    let histogram = |(time_ms, histogram)| HandleSample {
        wide: Some(Box::new(WideValue { start_ms: 0, histogram: Some(histogram) })),
        ..HandleSample::float(handle.clone(), time_ms, 0.0)
    };
    samples.extend(histograms.into_iter().map(histogram));
    set_starts(&mut samples[before..], starts);
}

/// Gives samples of one series their start timestamps, found by time.
fn set_starts(samples: &mut [HandleSample], starts: &[(i64, i64)]) {
    if starts.is_empty() {
        return;
    }
    for sample in samples {
        if let Ok(at) = starts.binary_search_by_key(&sample.time_ms, |(time_ms, _)| *time_ms) {
            sample.wide.get_or_insert_default().start_ms = starts[at].1;
        }
    }
}
