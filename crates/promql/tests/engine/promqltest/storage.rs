//! What scripts load: series in memory behind the reading port.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;

use model::{FloatHistogram, LabelSet, TimeRange};
use storage::{Queryable, SampleSource, Samples, Series, SeriesSet, StorageError};

use super::hints::hinted;
use super::script::LoadedSeries;
use super::values::Point;
use crate::data::answers;

type Points = BTreeMap<i64, Point>;

/// Series by labels.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    series: BTreeMap<LabelSet, Arc<Stored>>,
}

#[derive(Clone, Default)]
struct Stored {
    points: Points,
    /// The histograms among them, as they read.
    histograms: BTreeMap<i64, Arc<FloatHistogram>>,
    /// Start timestamps by the times of their points.
    starts: BTreeMap<i64, i64>,
}

impl Memory {
    pub(crate) fn load(&mut self, loaded: Vec<LoadedSeries>) {
        for one in loaded {
            let stored = Arc::make_mut(self.series.entry(one.line.labels).or_default());
            for (index, point) in one.line.points.into_iter().enumerate() {
                let time_ms = index as i64 * one.interval_ms;
                if point != Point::Absent {
                    stored.points.insert(time_ms, point);
                    match one.starts.get(index) {
                        Some(Some(start)) => stored.starts.insert(time_ms, time_ms + start),
                        _ => stored.starts.remove(&time_ms),
                    };
                }
            }
            stored.hint();
        }
    }

    /// Returns the present content for a query.
    pub(crate) fn snapshot(&self) -> Arc<dyn Queryable> {
        let stored = self.series.clone();
        answers(move |request| {
            let matches = |labels: &LabelSet| request.matchers.iter().all(|m| m.matches(labels.get(&m.name)));
            let series = stored.iter().filter(|(labels, _)| matches(labels));
            let series =
                series.map(|(labels, stored)| Series { labels: labels.clone(), samples: stored.clone() });
            ready(Ok(SeriesSet { series: series.collect(), ..SeriesSet::default() }))
        })
    }
}

impl Stored {
    fn hint(&mut self) {
        self.histograms.clear();
        let mut previous = None;
        for (time_ms, point) in &self.points {
            let Point::Histogram(literal) = point else {
                previous = None;
                continue;
            };
            self.histograms.insert(*time_ms, hinted(previous, &literal.histogram));
            previous = Some(&literal.histogram);
        }
    }
}

impl SampleSource for Stored {
    fn read(&self, range: TimeRange, out: &mut Samples) -> Result<(), StorageError> {
        if range.is_empty() {
            return Ok(());
        }
        for (time_ms, point) in self.points.range(range.start.0..=range.end.0) {
            match point {
                Point::Float(value) => out.push(*time_ms, *value),
                Point::Histogram(_) => out.push_histogram(*time_ms, Arc::clone(&self.histograms[time_ms])),
                Point::Absent => {}
            }
            if let Some(start_ms) = self.starts.get(time_ms) {
                out.start_last(*start_ms);
            }
        }
        Ok(())
    }

    fn sample_count_max(&self) -> usize {
        self.points.len()
    }
}
