//! Which format an answer has, and how formats are asked for (Prometheus `model/textparse/interface.go`).

use config::{EscapingScheme, ScrapeProtocol};
use model::MetricType;
use model::labels::quote;

/// A format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The classic text format, versions 0.0.4 and 1.0.0.
    Text,
    /// OpenMetrics text, versions 0.0.1 and 1.0.0.
    OpenMetrics,
}

impl Format {
    /// Tells the format from the `Content-Type` header, `""` when there is none.
    ///
    /// # Errors
    /// Prometheus's sentence, when the header names no format that can be read and no other is configured.
    pub fn of_content_type(header: &str, fallback: Option<ScrapeProtocol>) -> Result<Self, String> {
        let media_type = header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match (media_type.as_str(), fallback) {
            ("text/plain", _) => Ok(Self::Text),
            ("application/openmetrics-text", _) => Ok(Self::OpenMetrics),
            (_, Some(ScrapeProtocol::OpenMetricsText0_0_1 | ScrapeProtocol::OpenMetricsText1_0_0)) => {
                Ok(Self::OpenMetrics)
            }
            (_, Some(_)) => Ok(Self::Text),
            ("", None) => Err("non-compliant scrape target sending blank Content-Type and no \
                               fallback_scrape_protocol specified for target"
                .to_owned()),
            (_, None) => Err(format!(
                "received unsupported Content-Type {} and no fallback_scrape_protocol specified for target",
                quote(header)
            )),
        }
    }

    /// Reads a type's name as the format allows it.
    pub(crate) fn metric_type(self, name: &[u8]) -> Option<MetricType> {
        match (self, name) {
            (Self::Text, b"counter" | b"gauge" | b"histogram" | b"summary" | b"untyped") => {}
            (Self::OpenMetrics, b"untyped") | (Self::Text, _) => return None,
            (Self::OpenMetrics, _) => {}
        }
        MetricType::parse(std::str::from_utf8(name).ok()?)
    }
}

/// The weight of the first format in an `Accept` header; the next ones weigh one tenth less each.
const FIRST_WEIGHT: usize = 6;

/// Returns the `Accept` header that asks for formats, most wanted first, and for anything else at last.
pub fn accept_header(protocols: &[ScrapeProtocol], escaping: EscapingScheme) -> String {
    let mut parts = Vec::with_capacity(protocols.len() + 1);
    let weight = |position: usize| FIRST_WEIGHT.saturating_sub(position).max(1);
    for (position, protocol) in protocols.iter().enumerate() {
        let escaping =
            if protocol.has_escaping() { format!(";escaping={}", escaping.as_str()) } else { String::new() };
        parts.push(format!("{}{escaping};q=0.{}", protocol.media_type(), weight(position)));
    }
    parts.push(format!("*/*;q=0.{}", weight(protocols.len())));
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        let text = Some(ScrapeProtocol::PrometheusText0_0_4);
        let cases = [
            ("text/plain; version=0.0.4; charset=utf-8", None, Ok(Format::Text)),
            ("Text/Plain", None, Ok(Format::Text)),
            ("application/openmetrics-text;version=1.0.0", None, Ok(Format::OpenMetrics)),
            ("text/html; charset=utf-8", text, Ok(Format::Text)),
            ("", Some(ScrapeProtocol::OpenMetricsText1_0_0), Ok(Format::OpenMetrics)),
            (
                "text/html; charset=utf-8",
                None,
                Err(
                    "received unsupported Content-Type \"text/html; charset=utf-8\" and no fallback_scrape_protocol specified for target",
                ),
            ),
            (
                "",
                None,
                Err(
                    "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target",
                ),
            ),
        ];
        for (header, fallback, expected) in cases {
            assert_eq!(
                Format::of_content_type(header, fallback),
                expected.map_err(str::to_owned),
                "{header}"
            );
        }
    }

    #[test]
    fn asks_as_prometheus_does() {
        assert_eq!(
            accept_header(&ScrapeProtocol::DEFAULT, EscapingScheme::AllowUtf8),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
    }
}
