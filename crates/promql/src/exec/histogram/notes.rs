//! What is to be said of a query because of what quantiles and fractions found; the texts are Prometheus's.

use std::collections::BTreeMap;

use model::float::{format_general, format_general_digits};

use super::classic::Raised;
use super::native::NanNote;
use crate::exec::function::date;

/// The page that explains why counts are raised.
const MONOTONICITY_LINK: &str =
    "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile";
/// How exactly the largest difference is told.
const DIFFERENCE_DIGITS: usize = 2;

/// Something about one sample.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said {
    Raised(Raised),
    Nan(NanNote),
}

/// What was said of the histograms of one name.
#[derive(Debug, Default)]
struct Named {
    raised: Option<RaisedSamples>,
    nan: Vec<NanNote>,
}

/// Where counts were raised, in all samples of a name.
#[derive(Clone, Copy, Debug)]
struct RaisedSamples {
    raised: Raised,
    samples: u64,
    first_ms: i64,
    last_ms: i64,
}

/// What was said, by metric name.
#[derive(Debug, Default)]
pub(super) struct Notes(BTreeMap<String, Named>);

impl Notes {
    pub(super) fn add(&mut self, name: &str, said: Said, time_ms: i64) {
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), Named::default());
        }
        let named = self.0.get_mut(name).expect("it has just been put there");
        match said {
            Said::Nan(note) if !named.nan.contains(&note) => named.nan.push(note),
            Said::Nan(_) => {}
            Said::Raised(raised) => {
                let all = named.raised.get_or_insert(RaisedSamples {
                    raised,
                    samples: 0,
                    first_ms: time_ms,
                    last_ms: time_ms,
                });
                all.raised = all.raised.and(raised);
                all.samples += 1;
                all.first_ms = all.first_ms.min(time_ms);
                all.last_ms = all.last_ms.max(time_ms);
            }
        }
    }

    /// Returns the infos.
    pub(super) fn texts(self) -> Vec<String> {
        let mut texts = Vec::new();
        for (name, said) in self.0 {
            let suffix = of_metric(&name);
            texts.extend(said.nan.into_iter().map(|note| format!("{}{suffix}", note.text())));
            texts.extend(said.raised.map(|raised| raised.text(&suffix)));
        }
        texts
    }
}

impl RaisedSamples {
    fn text(&self, of_metric: &str) -> String {
        let [lowest, highest] = [self.raised.bound_min, self.raised.bound_max].map(format_general);
        let difference = format_general_digits(self.raised.difference_max, DIFFERENCE_DIGITS);
        let [first, last] = [self.first_ms, self.last_ms].map(date::text);
        format!(
            "input to histogram_quantile needed to be fixed for monotonicity (see {MONOTONICITY_LINK}){of_metric}, from \
             buckets {lowest} to {highest}, with a max diff of {difference}, over {} samples from {first} to {last}",
            self.samples
        )
    }
}

/// Returns the warning of a label that is no bound.
pub(super) fn bad_bound(bound: &str, name: &str) -> String {
    let bound = model::labels::quote(bound);
    format!("bucket label \"le\" is missing or has a malformed value of {bound}{}", of_metric(name))
}

fn of_metric(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" for metric name {}", model::labels::quote(name)) }
}
