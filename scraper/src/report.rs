//! The series that say how a scrape went.

use model::LabelSet;
use model::labels::METRIC_NAME;
use session::{HandleSample, SeriesHandle};

use crate::collect::{Counts, markers};
use crate::status::Health;
use crate::target::Target;

/// The report's series of one target.
pub(crate) struct Report {
    up: SeriesHandle,
    duration: SeriesHandle,
    scraped: SeriesHandle,
    kept: SeriesHandle,
    added: SeriesHandle,
    extra: Option<Extra>,
}

/// What a job may ask for in addition.
struct Extra {
    timeout: SeriesHandle,
    sample_limit: SeriesHandle,
    body_bytes: SeriesHandle,
}

impl Report {
    pub(crate) fn new(target: &Target) -> Self {
        let series = |name: &str| {
            let mut labels = target.labels.to_builder();
            labels.set(METRIC_NAME, name);
            let labels: LabelSet = labels.build();
            SeriesHandle::new(labels)
        };
        Self {
            up: series("up"),
            duration: series("scrape_duration_seconds"),
            scraped: series("scrape_samples_scraped"),
            kept: series("scrape_samples_post_metric_relabeling"),
            added: series("scrape_series_added"),
            extra: target.job.extra_scrape_metrics.then(|| Extra {
                timeout: series("scrape_timeout_seconds"),
                sample_limit: series("scrape_sample_limit"),
                body_bytes: series("scrape_body_size_bytes"),
            }),
        }
    }

    /// Returns the samples of one scrape.
    pub(crate) fn samples(
        &self,
        target: &Target,
        time_ms: i64,
        health: Health,
        duration_seconds: f64,
        counts: Counts,
    ) -> Vec<HandleSample> {
        let mut values = vec![
            (&self.up, f64::from(u8::from(health == Health::Up))),
            (&self.duration, duration_seconds),
            (&self.scraped, counts.scraped as f64),
            (&self.kept, counts.kept as f64),
            (&self.added, counts.added as f64),
        ];
        if let Some(extra) = &self.extra {
            values.extend([
                (&extra.timeout, target.timeout_ms as f64 / 1000.0),
                (&extra.sample_limit, target.job.limits.samples as f64),
                (&extra.body_bytes, counts.body_bytes as f64),
            ]);
        }
        values
            .into_iter()
            .map(|(series, value)| HandleSample::float(series.clone(), time_ms, value))
            .collect()
    }

    /// Returns the markers that end the report.
    pub(crate) fn markers(&self, time_ms: i64) -> impl Iterator<Item = HandleSample> {
        let mut all = vec![&self.up, &self.duration, &self.scraped, &self.kept, &self.added];
        if let Some(extra) = &self.extra {
            all.extend([&extra.timeout, &extra.sample_limit, &extra.body_bytes]);
        }
        markers(all.into_iter().cloned().collect(), time_ms)
    }
}
