//! Windows that hold histograms: which function does what with them.

use std::ops::Range;
use std::sync::Arc;

use model::FloatHistogram;
use storage::Samples;

use super::super::Context;
use super::super::note::{Note, Notes};
use super::super::vector::Row;
use super::over_time::total;
use super::pace::Pace;
use super::samples::{Histograms, HistogramsSeen};
use super::transitions::{self, Started};
use super::{RangeCall, Window, each_window, histogram, start_time};
use crate::error::QueryError;
use crate::function::FunctionKind as K;

/// The result of a function of a window.
pub(super) enum Sample {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// One of a window's samples.
#[derive(Clone, Copy)]
pub(super) enum Point<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

impl Point<'_> {
    fn sample(self) -> Sample {
        match self {
            Self::Float(value) => Sample::Float(value),
            Self::Histogram(histogram) => Sample::Histogram(Arc::clone(histogram)),
        }
    }
}

impl<'a> Window<'a> {
    /// Returns all samples with their start timestamps, in time order.
    pub(super) fn started(&self) -> Vec<Started<'a>> {
        self.some_started(|len| 0..len)
    }

    /// Returns the first sample of each kind.
    fn first_started(&self) -> Vec<Started<'a>> {
        self.some_started(|len| 0..len.min(1))
    }

    /// Returns the last two samples of each kind.
    fn last_started(&self) -> Vec<Started<'a>> {
        self.some_started(|len| len.saturating_sub(2)..len)
    }

    /// Returns a range of the floats and of the histograms, given how many there are.
    fn some_started(&self, range: impl Fn(usize) -> Range<usize>) -> Vec<Started<'a>> {
        let start = |starts: &[i64], index: usize| starts.get(index).copied().unwrap_or(0);
        let floats = range(self.values.len()).map(|index| Started {
            time_ms: self.times[index],
            start_ms: start(self.starts, index),
            point: Point::Float(self.values[index]),
        });
        let HistogramsSeen { times, values, starts, .. } = self.histograms;
        let histograms = range(values.len()).map(|index| Started {
            time_ms: times[index],
            start_ms: start(starts, index),
            point: Point::Histogram(&values[index]),
        });
        let mut points: Vec<_> = floats.chain(histograms).collect();
        points.sort_by_key(|point| point.time_ms);
        points
    }
}

impl RangeCall {
    /// Fills the row of a series that has histograms.
    pub(super) fn fill_mixed(
        &self,
        context: &Context<'_>,
        metric: &str,
        floats: &Samples,
        mut histograms: Histograms,
        row: &mut Row,
    ) -> Result<(), QueryError> {
        let (mut notes, mut pace) = (Notes::default(), Pace::new(context.budget));
        if self.reference.mode.is_some() {
            self.fill_extended(floats, &histograms, row, &mut notes, &mut pace);
            context.notes(self.matrix_span, notes, metric);
            return pace.end();
        }
        if matches!(self.kind, K::Rate | K::Increase) {
            histograms.find_resets();
        }
        each_window(floats, &histograms, &self.reference, &self.grid, &self.scalars, |step, window| {
            if !pace.goes_on(window.values.len(), window.histograms.values.len()) {
                return;
            }
            let sample = if window.histograms.values.is_empty() {
                (self.compute)(window).map(Sample::Float)
            } else {
                self.sample(window, &mut notes)
            };
            match sample {
                Some(Sample::Float(value)) => row.values[step] = value,
                Some(Sample::Histogram(histogram)) => row.put(step, histogram),
                None => {}
            }
        });
        pace.end()?;
        let span = match self.kind {
            K::QuantileOverTime => self.scalars[0].0,
            _ => self.matrix_span,
        };
        context.notes(span, notes, metric);
        let starts =
            [(&floats.timestamps, &floats.start_timestamps), (&histograms.times, &histograms.starts)];
        if matches!(self.kind, K::Rate | K::Increase)
            && starts
                .iter()
                .any(|(times, starts)| start_time::overlap_within(times, starts, &self.reference, &self.grid))
        {
            self.warn_of_overlap(context, metric);
        }
        Ok(())
    }

    /// Evaluates the function for a window that holds a histogram.
    fn sample(&self, window: &Window<'_>, notes: &mut Notes) -> Option<Sample> {
        let seconds = |time_ms: i64| Some(Sample::Float(time_ms as f64 / 1000.0));
        match self.kind {
            K::Rate | K::Increase | K::Delta => histogram::extrapolated(self.kind, window, notes),
            K::Irate | K::Idelta => match window.last_started().last_chunk()? {
                [Started { point: Point::Float(_), .. }, Started { point: Point::Float(_), .. }] => {
                    (self.compute)(window).map(Sample::Float)
                }
                pair => histogram::instant(self.kind, pair, notes),
            },
            K::SumOverTime | K::AvgOverTime => histogram::accumulated(self.kind, window, notes),
            K::CountOverTime => {
                let count = window.values.len() + window.histograms.values.len();
                Some(Sample::Float(count as f64 + total(window.hidden) + total(window.histograms.hidden)))
            }
            K::Resets => {
                let hidden = |hidden: &[u32]| total(hidden.get(1..).unwrap_or_default());
                let hidden = hidden(window.hidden) + hidden(window.histograms.hidden);
                Some(Sample::Float(transitions::count(self.kind, &window.started()) + hidden))
            }
            K::Changes => Some(Sample::Float(transitions::count(self.kind, &window.started()))),
            K::PresentOverTime | K::AbsentOverTime => Some(Sample::Float(1.0)),
            K::FirstOverTime => window.first_started().first().map(|first| first.point.sample()),
            K::LastOverTime => window.last_started().last().map(|last| last.point.sample()),
            K::TsOfFirstOverTime => seconds(window.first_started().first()?.time_ms),
            K::TsOfLastOverTime => seconds(window.last_started().last()?.time_ms),
            _ if window.values.is_empty() => None,
            _ => {
                notes.add(Note::IgnoredInWindow);
                (self.compute)(window).map(Sample::Float)
            }
        }
    }
}
