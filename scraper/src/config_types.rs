//! What a scraper is told when it is built.

use std::time::Duration;

use config::ScrapeConfig;

/// How many samples may wait for an append, over all targets: about 100 MB.
const WAITING_SAMPLES_MAX: usize = 4_000_000;
/// How long a scrape's samples wait for an append: an outage of this length loses nothing, memory permitting.
const RETRY_FOR: Duration = Duration::from_secs(300);

/// A scraper's configuration.
#[derive(Clone, Debug)]
pub struct ScraperConfig {
    /// The jobs.
    pub jobs: Vec<ScrapeConfig>,
    /// How many samples may wait for an append, over all targets; beyond, whole scrapes are dropped and counted.
    pub waiting_samples_max: usize,
    /// How long samples wait for an append before they are dropped and counted.
    pub retry_for: Duration,
}

impl ScraperConfig {
    /// Returns the defaults for these jobs.
    pub fn new(jobs: Vec<ScrapeConfig>) -> Self {
        Self { jobs, waiting_samples_max: WAITING_SAMPLES_MAX, retry_for: RETRY_FOR }
    }
}
