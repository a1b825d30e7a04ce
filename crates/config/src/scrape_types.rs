//! The closed lists of the scrape configuration: protocols, name validation, escaping.

use std::str::FromStr;

/// An exposition format that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScrapeProtocol {
    /// The delimited protobuf format: known, not supported yet.
    PrometheusProto,
    /// The classic text format.
    PrometheusText0_0_4,
    /// The text format with UTF-8 names.
    PrometheusText1_0_0,
    /// OpenMetrics draft.
    OpenMetricsText0_0_1,
    /// OpenMetrics.
    OpenMetricsText1_0_0,
}

impl ScrapeProtocol {
    /// What is asked for when nothing is configured, most wanted first.
    pub const DEFAULT: [Self; 4] = [
        Self::OpenMetricsText1_0_0,
        Self::OpenMetricsText0_0_1,
        Self::PrometheusText1_0_0,
        Self::PrometheusText0_0_4,
    ];

    const ALL: [(&'static str, Self); 5] = [
        ("OpenMetricsText0.0.1", Self::OpenMetricsText0_0_1),
        ("OpenMetricsText1.0.0", Self::OpenMetricsText1_0_0),
        ("PrometheusProto", Self::PrometheusProto),
        ("PrometheusText0.0.4", Self::PrometheusText0_0_4),
        ("PrometheusText1.0.0", Self::PrometheusText1_0_0),
    ];

    /// Returns the name as the configuration writes it.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, protocol)| *protocol == self).map_or("", |(name, _)| name)
    }

    /// Returns the media type with its version, as an `Accept` header names it.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            Self::PrometheusText0_0_4 => "text/plain;version=0.0.4",
            Self::PrometheusText1_0_0 => "text/plain;version=1.0.0",
            Self::OpenMetricsText0_0_1 => "application/openmetrics-text;version=0.0.1",
            Self::OpenMetricsText1_0_0 => "application/openmetrics-text;version=1.0.0",
        }
    }

    /// Tells whether the format can carry names beyond the legacy character set.
    pub fn has_escaping(self) -> bool {
        matches!(self, Self::PrometheusText1_0_0 | Self::OpenMetricsText1_0_0)
    }
}

impl FromStr for ScrapeProtocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
        let found = Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, protocol)| *protocol);
        found.ok_or_else(|| format!("unknown scrape protocol {text}, supported: [{}]", names.join(" ")))
    }
}

/// Which names of metrics and labels are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameValidation {
    /// Any UTF-8 text that is not empty.
    #[default]
    Utf8,
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`, labels without the colon.
    Legacy,
}

impl FromStr for NameValidation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "utf8" => Ok(Self::Utf8),
            "legacy" => Ok(Self::Legacy),
            _ => Err(format!(
                "unknown global name validation method specified, must be either '', 'legacy' or 'utf8', got {text}"
            )),
        }
    }
}

/// How a target is asked to write names that the legacy character set cannot hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EscapingScheme {
    /// As they are.
    #[default]
    AllowUtf8,
    /// With underscores for what is not allowed.
    Underscores,
    /// Reversibly, with dots as `_dot_`.
    Dots,
    /// Reversibly, with code points.
    Values,
}

impl EscapingScheme {
    /// Returns the name as configuration and `Accept` header write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }
}

impl FromStr for EscapingScheme {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values];
        all.into_iter().find(|scheme| scheme.as_str() == text).ok_or_else(|| {
            format!("unknown escaping scheme {text}, expected one of allow-utf-8, underscores, dots, values")
        })
    }
}
