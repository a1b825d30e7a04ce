//! What a metric family says of itself: type, help and unit.

use serde::{Deserialize, Serialize};

/// The type of a metric family, with the names that the HTTP API prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricType {
    /// Not said, or not understood.
    #[default]
    Unknown,
    /// Only grows, but for resets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets, sum and count.
    Histogram,
    /// Buckets that may shrink.
    GaugeHistogram,
    /// Precomputed quantiles, sum and count.
    Summary,
    /// Constant 1 with the facts in labels.
    Info,
    /// A set of states, one series each.
    StateSet,
}

impl MetricType {
    /// Returns the name as the HTTP API and the exposition formats print it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }

    /// Returns the type of a printed name; `untyped` is the old text format's word for unknown.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "unknown" | "untyped" => Self::Unknown,
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "histogram" => Self::Histogram,
            "gaugehistogram" => Self::GaugeHistogram,
            "summary" => Self::Summary,
            "info" => Self::Info,
            "stateset" => Self::StateSet,
            _ => return None,
        })
    }
}

/// Metadata of one metric family.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MetricMetadata {
    /// The family's name, without `_bucket`, `_sum` and the like.
    pub family: String,
    /// Its type.
    pub metric_type: MetricType,
    /// Its help text, unescaped.
    pub help: String,
    /// Its unit, empty if not said.
    pub unit: String,
}
