//! What is to be said of a query because of its native histograms; the texts are Prometheus's.

use model::histogram::{Combined, HistogramError};

use super::Context;
use crate::annotation::Level;
use crate::ast::Span;

/// What combined histograms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Addition,
    Subtraction,
    Aggregation,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Note {
    /// A window holds floats and histograms.
    MixedWindow,
    /// A group holds floats and histograms.
    MixedGroup,
    /// Exponential and custom buckets meet.
    MixedBuckets,
    /// A gauge where a counter is expected.
    NotCounter,
    /// A counter where a gauge is expected.
    NotGauge,
    /// Histograms of a window with floats were passed over.
    IgnoredInWindow,
    /// Histograms were passed over by an aggregation of this name.
    IgnoredInAggregation(&'static str),
    /// Custom bounds differed.
    Reconciled(Operation),
    /// One histogram follows a reset, another one does not.
    ResetCollision(Operation),
    /// A native histogram and classic buckets have the same labels.
    ClassicAndNative,
    /// The kinds of samples left and right of an operator.
    IncompatibleTypes(&'static str, &'static str, &'static str),
    /// Exponential and custom buckets meet at an operator.
    IncompatibleBuckets(&'static str),
}

impl Note {
    fn level(self) -> Level {
        match self {
            Self::IgnoredInWindow
            | Self::IgnoredInAggregation(_)
            | Self::Reconciled(_)
            | Self::IncompatibleTypes(..) => Level::Info,
            _ => Level::Warning,
        }
    }

    /// Returns the text, about a metric where the text names one.
    fn text(self, metric: &str) -> String {
        let quoted = model::labels::quote(metric);
        match self {
            Self::MixedWindow => {
                format!("encountered a mix of histograms and floats for metric name {quoted}")
            }
            Self::MixedGroup => "encountered a mix of histograms and floats for aggregation".to_owned(),
            Self::MixedBuckets => format!(
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {quoted}"
            ),
            Self::NotCounter => format!("this native histogram metric is not a counter: {quoted}"),
            Self::NotGauge => format!("this native histogram metric is not a gauge: {quoted}"),
            Self::IgnoredInWindow => format!(
                "ignored histograms in a range containing both floats and histograms for metric name {quoted}"
            ),
            Self::IgnoredInAggregation(name) => format!("ignored histogram in {name} aggregation"),
            Self::Reconciled(operation) => {
                format!("mismatched custom buckets were reconciled during {}", operation.name())
            }
            Self::ResetCollision(operation) => {
                format!("conflicting counter resets during histogram {}", operation.name())
            }
            Self::IncompatibleTypes(left, op, right) => {
                let quoted = model::labels::quote(op);
                format!(
                    "incompatible sample types encountered for binary operator {quoted}: {left} {op} {right}"
                )
            }
            Self::IncompatibleBuckets(op) => {
                format!("incompatible bucket layout encountered for binary operator {op}")
            }
            Self::ClassicAndNative => {
                let named =
                    if metric.is_empty() { String::new() } else { format!(" for metric name {quoted}") };
                format!("vector contains a mix of classic and native histograms{named}")
            }
        }
    }
}

/// Notes, each once.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Note>);

impl Notes {
    pub(super) fn add(&mut self, note: Note) {
        if !self.0.contains(&note) {
            self.0.push(note);
        }
    }

    /// Notes what is to be said of a combination; false when there was none, for exponential and custom buckets met.
    pub(super) fn combined(
        &mut self,
        outcome: Result<Combined, HistogramError>,
        operation: Operation,
    ) -> bool {
        match outcome {
            Ok(Combined { bounds_reconciled: false, .. }) => true,
            Ok(_) => {
                self.add(Note::Reconciled(operation));
                true
            }
            Err(_) => {
                self.add(Note::MixedBuckets);
                false
            }
        }
    }
}

impl Context<'_> {
    pub(super) fn note(&self, span: Span, note: Note, metric: &str) {
        self.annotate(note.level(), span, note.text(metric));
    }

    pub(super) fn notes(&self, span: Span, notes: Notes, metric: &str) {
        notes.0.into_iter().for_each(|note| self.note(span, note, metric));
    }
}
