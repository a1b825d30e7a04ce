//! `--enable-feature`: Prometheus's names are known, whether or not they change anything here.
//!
//! Source of the names: Prometheus `cmd/prometheus/main.go`, versions 2.40 to 3.14.

use promql::{Gate, ParserOptions};
use tracing::{info, warn};

const EXPERIMENTAL_FUNCTIONS: &str = "promql-experimental-functions";
const EXTENDED_RANGE_SELECTORS: &str = "promql-extended-range-selectors";
const FILL_MODIFIERS: &str = "promql-binop-fill-modifiers";
const DELAYED_NAME_REMOVAL: &str = "promql-delayed-name-removal";

const START_TIMESTAMPS: &str = "use-start-timestamps";
const PER_STEP_STATS: &str = "promql-per-step-stats";

/// Names that change what this process does.
const EFFECTIVE: [&str; 6] = [
    EXPERIMENTAL_FUNCTIONS,
    EXTENDED_RANGE_SELECTORS,
    FILL_MODIFIERS,
    DELAYED_NAME_REMOVAL,
    START_TIMESTAMPS,
    PER_STEP_STATS,
];

/// Names that Prometheus knows or knew; Norn either does always what they ask for, or does not do it at all.
const WITHOUT_EFFECT: [&str; 27] = [
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
    "promql-at-modifier",
    "promql-duration-expr",
    "promql-negative-offset",
    "remote-write-receiver",
    "st-storage",
    "type-and-unit-labels",
    "use-uncached-io",
];

/// The names given; commas separate names within one flag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features(Vec<String>);

impl Features {
    /// Reads what the flags say.
    pub(crate) fn new(options: &[String]) -> Self {
        let names = options.iter().flat_map(|option| option.split(',')).filter(|name| !name.is_empty());
        Self(names.map(str::to_owned).collect())
    }

    /// Says in the log which names change nothing, or are not known at all.
    pub(crate) fn report(&self) {
        for option in self.0.iter().filter(|option| !EFFECTIVE.contains(&option.as_str())) {
            if WITHOUT_EFFECT.contains(&option.as_str()) {
                info!(option, "This option for --enable-feature is known and changes nothing in Norn");
            } else {
                warn!(option, "Unknown option for --enable-feature");
            }
        }
    }

    /// Returns which parts of PromQL are open.
    pub(crate) fn parser(&self) -> ParserOptions {
        let gate = |name| if self.has(name) { Gate::Open } else { Gate::Closed };
        ParserOptions {
            experimental_functions: gate(EXPERIMENTAL_FUNCTIONS),
            extended_range_selectors: gate(EXTENDED_RANGE_SELECTORS),
            fill_modifiers: gate(FILL_MODIFIERS),
        }
    }

    /// Tells whether rates heed since when samples have been counting.
    pub(crate) fn use_start_timestamps(&self) -> bool {
        self.has(START_TIMESTAMPS)
    }

    /// Tells whether statistics may tell the samples of each step.
    pub(crate) fn per_step_stats(&self) -> bool {
        self.has(PER_STEP_STATS)
    }

    /// Tells whether metric names that operations drop are removed only at the end.
    pub(crate) fn delayed_name_removal(&self) -> bool {
        self.has(DELAYED_NAME_REMOVAL)
    }

    /// Returns the flag that hands the names to another process; `None` when there are none.
    pub(crate) fn flag(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| format!("--enable-feature={}", self.0.join(",")))
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|given| given == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_once() {
        assert!(WITHOUT_EFFECT.is_sorted_by(|a, b| a < b));
        assert!(EFFECTIVE.iter().all(|name| !WITHOUT_EFFECT.contains(name)));
    }

    #[test]
    fn gates_open_by_name() {
        let features = Features::new(&["agent,promql-experimental-functions".to_owned(), "x".to_owned()]);
        assert_eq!(features.parser().experimental_functions, Gate::Open);
        assert_eq!(features.parser().fill_modifiers, Gate::Closed);
        assert!(!features.delayed_name_removal() && !features.use_start_timestamps());
        assert!(Features::new(&["use-start-timestamps".to_owned()]).use_start_timestamps());
        assert!(Features::new(&["x,promql-per-step-stats".to_owned()]).per_step_stats());
        let flag = features.flag();
        assert_eq!(flag.as_deref(), Some("--enable-feature=agent,promql-experimental-functions,x"));
    }
}
