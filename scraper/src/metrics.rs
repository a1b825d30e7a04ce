//! What a scraper counts, under Prometheus's names where it has one.

use model::time::format_duration_ms;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use storage::AppendOutcome;

use crate::ScraperError;

/// Bounds of the measured intervals, in seconds.
const INTERVAL_BUCKETS: [f64; 12] = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IntervalLabels {
    interval: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    scrape_job: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DiscoveryLabels {
    name: &'static str,
    config: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DropLabels {
    reason: &'static str,
}

/// Why samples were dropped that were scraped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DropReason {
    /// Too many samples wait already.
    BufferFull,
    /// They waited too long.
    TooOld,
    /// The append failed in a way that trying again does not mend.
    Refused,
    /// The target's loop ended before they were appended.
    Ended,
}

impl DropReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::BufferFull => "buffer_full",
            Self::TooOld => "too_old",
            Self::Refused => "refused",
            Self::Ended => "ended",
        }
    }
}

/// Handles to all metrics of a scraper.
#[derive(Clone)]
pub(crate) struct ScraperMetrics {
    interval_length: Family<IntervalLabels, Histogram, fn() -> Histogram>,
    pool_targets: Family<JobLabels, Gauge>,
    discovered: Family<DiscoveryLabels, Gauge>,
    body_limit: Counter,
    sample_limit: Counter,
    label_limit: Counter,
    target_limit: Counter,
    duplicate: Counter,
    out_of_order: Counter,
    out_of_bounds: Counter,
    over_limit: Counter,
    dropped: Family<DropLabels, Counter>,
    pub(crate) append_retries: Counter,
    pub(crate) waiting_samples: Gauge,
    pub(crate) fenced: Counter,
}

impl ScraperMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let new_histogram: fn() -> Histogram = || Histogram::new(INTERVAL_BUCKETS);
        let metrics = Self {
            interval_length: Family::new_with_constructor(new_histogram),
            pool_targets: Family::default(),
            discovered: Family::default(),
            body_limit: Counter::default(),
            sample_limit: Counter::default(),
            label_limit: Counter::default(),
            target_limit: Counter::default(),
            duplicate: Counter::default(),
            out_of_order: Counter::default(),
            out_of_bounds: Counter::default(),
            over_limit: Counter::default(),
            dropped: Family::default(),
            append_retries: Counter::default(),
            waiting_samples: Gauge::default(),
            fenced: Counter::default(),
        };
        metrics.register_prometheus(registry);
        metrics.register_own(registry);
        metrics
    }

    fn register_prometheus(&self, registry: &mut Registry) {
        registry.register(
            "prometheus_target_interval_length_seconds",
            "Actual intervals between scrapes",
            self.interval_length.clone(),
        );
        registry.register(
            "prometheus_target_scrape_pool_targets",
            "Current number of targets of a job that this scraper owns",
            self.pool_targets.clone(),
        );
        registry.register(
            "prometheus_sd_discovered_targets",
            "Current number of discovered targets",
            self.discovered.clone(),
        );
        let counters = [
            ("exceeded_body_size_limit", "Scrapes that hit the body size limit", &self.body_limit),
            ("exceeded_sample_limit", "Scrapes that hit the sample limit", &self.sample_limit),
            (
                "sample_duplicate_timestamp",
                "Samples refused for another value at the timestamp",
                &self.duplicate,
            ),
            ("sample_out_of_order", "Samples refused because they were out of order", &self.out_of_order),
            (
                "sample_out_of_bounds",
                "Samples refused because they were too old or too new",
                &self.out_of_bounds,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(format!("prometheus_target_scrapes_{name}"), help, counter.clone());
        }
        registry.register(
            "prometheus_target_scrape_pool_exceeded_label_limits",
            "Scrapes that hit the label limits",
            self.label_limit.clone(),
        );
        registry.register(
            "prometheus_target_scrape_pool_exceeded_target_limit",
            "Scrapes of jobs with more targets than allowed",
            self.target_limit.clone(),
        );
    }

    fn register_own(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("norn_scraper");
        registry.register(
            "samples_dropped",
            "Scraped samples that were never appended",
            self.dropped.clone(),
        );
        registry.register(
            "samples_over_limit",
            "Samples refused by a limit on series",
            self.over_limit.clone(),
        );
        registry.register(
            "append_retries",
            "Appends that had to be tried again",
            self.append_retries.clone(),
        );
        registry.register("waiting_samples", "Samples that wait for an append", self.waiting_samples.clone());
        registry.register(
            "fenced_scrapes",
            "Scrapes left out because the membership's lease may have lapsed",
            self.fenced.clone(),
        );
    }

    /// Notes the time between the beginnings of two scrapes.
    pub(crate) fn observe_interval(&self, interval_ms: u64, actual_seconds: f64) {
        let labels = IntervalLabels { interval: format_duration_ms(interval_ms) };
        self.interval_length.get_or_create(&labels).observe(actual_seconds);
    }

    /// Notes how many targets a job has, discovered and owned.
    pub(crate) fn set_targets(&self, job: &str, discovered: usize, owned: usize) {
        let labels = DiscoveryLabels { name: "scrape", config: job.to_owned() };
        self.discovered.get_or_create(&labels).set(discovered as i64);
        self.pool_targets.get_or_create(&JobLabels { scrape_job: job.to_owned() }).set(owned as i64);
    }

    /// Forgets jobs that are no longer configured.
    pub(crate) fn forget_jobs(&self) {
        self.discovered.clear();
        self.pool_targets.clear();
    }

    pub(crate) fn count_failure(&self, error: &ScraperError) {
        let counter = match error {
            ScraperError::BodyTooLarge => &self.body_limit,
            ScraperError::SampleLimit => &self.sample_limit,
            ScraperError::LabelLimit(_) => &self.label_limit,
            ScraperError::TargetLimit { .. } => &self.target_limit,
            _ => return,
        };
        counter.inc();
    }

    pub(crate) fn count_outcome(&self, outcome: &AppendOutcome) {
        self.duplicate.inc_by(outcome.conflicting);
        self.out_of_order.inc_by(outcome.out_of_order);
        self.out_of_bounds.inc_by(outcome.too_old + outcome.too_new);
        self.over_limit.inc_by(outcome.over_limit);
    }

    pub(crate) fn count_dropped(&self, reason: DropReason, samples: usize) {
        self.dropped.get_or_create(&DropLabels { reason: reason.as_str() }).inc_by(samples as u64);
    }
}
