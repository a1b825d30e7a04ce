//! A target: one URL that is asked, and the labels of what it says.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::ScrapeConfig;
use model::LabelSet;

/// A target that survived relabeling. Immutable; a changed target is another one.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its job.
    pub job: Arc<ScrapeConfig>,
    /// Labels before relabeling.
    pub discovered: LabelSet,
    /// The labels of its series: those after relabeling that do not begin with two underscores.
    pub labels: LabelSet,
    /// `http` or `https`.
    pub scheme: String,
    /// `host` or `host:port`.
    pub address: String,
    /// Escaped path and query, beginning with a slash.
    pub path_and_query: String,
    /// How often it is scraped.
    pub interval_ms: u64,
    /// How long a scrape may take.
    pub timeout_ms: u64,
    /// The same wherever and whenever the target is discovered with the same labels and URL.
    pub identity: u64,
    /// Set when the job has more targets than it may: scrapes fail without asking.
    pub over_target_limit: Option<usize>,
}

impl Target {
    /// Returns what is asked.
    pub fn url(&self) -> String {
        format!("{}://{}{}", self.scheme, self.address, self.path_and_query)
    }

    /// Returns the identity of a target with these parts. How often it is scraped is not among them: a target that is
    /// scraped at another pace is still the same.
    pub(crate) fn identity_of(labels: &LabelSet, url: &str) -> u64 {
        let labels = format!("{:016x}", labels.stable_hash());
        LabelSet::from_pairs([("labels", labels.as_str()), ("url", url)]).stable_hash()
    }

    /// Tells whether another discovery of this target is scraped in the same way.
    pub(crate) fn is_scraped_like(&self, other: &Self) -> bool {
        self.job == other.job
            && (self.interval_ms, self.timeout_ms) == (other.interval_ms, other.timeout_ms)
            && self.over_target_limit == other.over_target_limit
    }
}

/// Returns labels as a map.
pub(crate) fn label_map(labels: &LabelSet) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
