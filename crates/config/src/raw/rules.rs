//! A rule file as Prometheus's `rulefmt` defines it.

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::check::Text;
use crate::labels::RawLabels;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RuleFile {
    pub(crate) groups: Option<Vec<Group>>,
}

/// A rule group.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) name: Option<Text>,
    pub(crate) interval: Option<Text>,
    pub(crate) query_offset: Option<Text>,
    pub(crate) limit: Option<u64>,
    pub(crate) labels: Option<RawLabels>,
    pub(crate) rules: Option<Vec<Spanned<Rule>>>,
}

/// A rule: recording or alerting.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) record: Option<Text>,
    pub(crate) alert: Option<Text>,
    pub(crate) expr: Option<Text>,
    pub(crate) r#for: Option<Text>,
    pub(crate) keep_firing_for: Option<Text>,
    pub(crate) labels: Option<RawLabels>,
    pub(crate) annotations: Option<RawLabels>,
}
