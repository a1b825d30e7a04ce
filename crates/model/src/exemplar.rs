//! An exemplar: one measurement that stands for those behind a sample, usually with the id of a trace.

use crate::LabelSet;

/// How many characters the names and values of an exemplar's labels may have together, as OpenMetrics prescribes.
pub const LABEL_CHARS_MAX: usize = 128;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// What identifies the measurement; may be empty.
    pub labels: LabelSet,
    /// What was measured.
    pub value: f64,
    /// When, ms since the epoch.
    pub time_ms: i64,
}

/// The exemplars of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesExemplars {
    /// The labels of the series.
    pub labels: LabelSet,
    /// In time order.
    pub exemplars: Vec<Exemplar>,
}

impl Exemplar {
    /// Tells whether its labels are no longer than [`LABEL_CHARS_MAX`].
    pub fn has_short_labels(&self) -> bool {
        let chars = |(name, value): (&str, &str)| name.chars().count() + value.chars().count();
        self.labels.iter().map(chars).sum::<usize>() <= LABEL_CHARS_MAX
    }
}
