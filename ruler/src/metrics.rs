//! What a ruler counts, with Prometheus's names (`rules/group.go`, `NewGroupMetrics`).

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::load::Group;

/// Seconds; Prometheus has summaries of the same names, whose quantiles cannot be added up over rulers.
const DURATION_BUCKETS: [f64; 9] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0];

/// One group, `file;name`; bounded by the rule files.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GroupLabel {
    rule_group: String,
}

type Seconds = Gauge<f64, AtomicU64>;

/// Everything a ruler counts.
#[derive(Clone)]
pub(crate) struct RulerMetrics {
    evaluations: Family<GroupLabel, Counter>,
    failures: Family<GroupLabel, Counter>,
    iterations: Family<GroupLabel, Counter>,
    missed: Family<GroupLabel, Counter>,
    last_evaluation: Family<GroupLabel, Seconds>,
    last_duration: Family<GroupLabel, Seconds>,
    interval: Family<GroupLabel, Seconds>,
    rules: Family<GroupLabel, Gauge>,
    samples: Family<GroupLabel, Gauge>,
    held: Gauge,
    rule_durations: Histogram,
    group_durations: Histogram,
}

/// One group's handles.
pub(crate) struct GroupMetrics {
    pub(crate) evaluations: Counter,
    pub(crate) failures: Counter,
    pub(crate) iterations: Counter,
    pub(crate) missed: Counter,
    pub(crate) last_evaluation: Seconds,
    pub(crate) last_duration: Seconds,
    pub(crate) samples: Gauge,
    /// How many groups this process holds; shared by all.
    pub(crate) held: Gauge,
    pub(crate) rule_durations: Histogram,
    pub(crate) group_durations: Histogram,
}

impl RulerMetrics {
    pub(crate) fn new() -> Self {
        Self {
            evaluations: Family::default(),
            failures: Family::default(),
            iterations: Family::default(),
            missed: Family::default(),
            last_evaluation: Family::default(),
            last_duration: Family::default(),
            interval: Family::default(),
            rules: Family::default(),
            samples: Family::default(),
            held: Gauge::default(),
            rule_durations: Histogram::new(DURATION_BUCKETS),
            group_durations: Histogram::new(DURATION_BUCKETS),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let own = registry.sub_registry_with_prefix("norn_ruler");
        own.register("groups_held", "Rule groups that this process evaluates", self.held.clone());
        let rule = registry.sub_registry_with_prefix("prometheus_rule");
        rule.register("evaluations", "The total number of rule evaluations.", self.evaluations.clone());
        rule.register(
            "evaluation_failures",
            "The total number of rule evaluation failures.",
            self.failures.clone(),
        );
        rule.register(
            "evaluation_duration_seconds",
            "The duration for a rule to execute.",
            self.rule_durations.clone(),
        );
        rule.register(
            "group_duration_seconds",
            "The duration of rule group evaluations.",
            self.group_durations.clone(),
        );
        rule.register(
            "group_iterations",
            "The total number of scheduled rule group evaluations, whether executed or missed.",
            self.iterations.clone(),
        );
        rule.register(
            "group_iterations_missed",
            "The total number of rule group evaluations missed due to slow rule group evaluation.",
            self.missed.clone(),
        );
        rule.register(
            "group_last_evaluation_timestamp_seconds",
            "The timestamp of the last rule group evaluation in seconds.",
            self.last_evaluation.clone(),
        );
        rule.register(
            "group_last_duration_seconds",
            "The duration of the last rule group evaluation.",
            self.last_duration.clone(),
        );
        rule.register("group_interval_seconds", "The interval of a rule group.", self.interval.clone());
        rule.register("group_rules", "The number of rules.", self.rules.clone());
        rule.register(
            "group_last_evaluation_samples",
            "The number of samples returned during the last rule group evaluation.",
            self.samples.clone(),
        );
    }

    /// Resolves a group's handles and sets what never changes.
    pub(crate) fn group(&self, group: &Group) -> GroupMetrics {
        let label = GroupLabel { rule_group: group.key() };
        self.interval.get_or_create(&label).set(group.interval_ms as f64 / 1000.0);
        self.rules.get_or_create(&label).set(group.rules.len() as i64);
        GroupMetrics {
            evaluations: self.evaluations.get_or_create(&label).clone(),
            failures: self.failures.get_or_create(&label).clone(),
            iterations: self.iterations.get_or_create(&label).clone(),
            missed: self.missed.get_or_create(&label).clone(),
            last_evaluation: self.last_evaluation.get_or_create(&label).clone(),
            last_duration: self.last_duration.get_or_create(&label).clone(),
            samples: self.samples.get_or_create(&label).clone(),
            held: self.held.clone(),
            rule_durations: self.rule_durations.clone(),
            group_durations: self.group_durations.clone(),
        }
    }
}
