//! `--enable-feature`: Prometheus's names are known, whether or not they change anything here.
//!
//! Source of the names: Prometheus `cmd/prometheus/main.go`, versions 2.40 to 3.14.

use tracing::{info, warn};

/// Names that Prometheus knows or knew. Norn either does always what they ask for, or does not do it at all.
const KNOWN: [&str; 29] = [
    "agent",
    "auto-gomaxprocs",
    "auto-gomemlimit",
    "auto-reload-config",
    "concurrent-rule-eval",
    "created-timestamp-zero-ingestion",
    "delayed-compaction",
    "exemplar-storage",
    "expand-external-labels",
    "extra-scrape-metrics",
    "fast-startup",
    "memory-snapshot-on-shutdown",
    "metadata-wal-records",
    "native-histograms",
    "new-service-discovery-manager",
    "no-default-scrape-port",
    "old-ui",
    "otlp-deltatocumulative",
    "otlp-native-delta-ingestion",
    "otlp-write-receiver",
    "promql-delayed-name-removal",
    "promql-duration-expr",
    "promql-experimental-functions",
    "promql-extended-range-selectors",
    "promql-per-step-stats",
    "remote-write-receiver",
    "st-storage",
    "type-and-unit-labels",
    "use-uncached-io",
];

/// Says in the log what each name given means here; commas separate names.
pub(crate) fn report(options: &[String]) {
    for option in options.iter().flat_map(|option| option.split(',')).filter(|option| !option.is_empty()) {
        if KNOWN.contains(&option) {
            info!(option, "This option for --enable-feature is known and changes nothing in Norn");
        } else {
            warn!(option, "Unknown option for --enable-feature");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_stand_once() {
        assert!(KNOWN.is_sorted_by(|a, b| a < b));
    }
}
