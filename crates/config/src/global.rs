//! `global`: defaults of all scrape configurations, and the cluster's identity.

use std::collections::BTreeMap;

use crate::Sources;
use crate::check::{Faults, Place, Text};
use crate::labels;
use crate::raw;
use crate::scrape_config::Limits;
use crate::scrape_types::{EscapingScheme, NameValidation, ScrapeProtocol};
use crate::units::parse_size_bytes;

/// How often targets are scraped and rules evaluated when nothing is configured.
const INTERVAL_MS: u64 = 60_000;
/// How long a scrape may take when nothing is configured.
const SCRAPE_TIMEOUT_MS: u64 = 10_000;

/// Defaults and identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// How often a target is scraped.
    pub scrape_interval_ms: u64,
    /// How long one scrape may take, at most the interval.
    pub scrape_timeout_ms: u64,
    /// What to ask targets for, most wanted first.
    pub scrape_protocols: Vec<ScrapeProtocol>,
    /// How often rules are evaluated.
    pub evaluation_interval_ms: u64,
    /// How far in the past rules are evaluated.
    pub rule_query_offset_ms: u64,
    /// The cluster's identity, with variables replaced.
    pub external_labels: BTreeMap<String, String>,
    /// Limits of one scrape.
    pub limits: Limits,
    /// Which names are accepted.
    pub name_validation: NameValidation,
    /// How targets are asked to escape names.
    pub escaping: EscapingScheme,
    /// Whether three more series say something of each scrape.
    pub extra_scrape_metrics: bool,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            scrape_interval_ms: INTERVAL_MS,
            scrape_timeout_ms: SCRAPE_TIMEOUT_MS,
            scrape_protocols: ScrapeProtocol::DEFAULT.to_vec(),
            evaluation_interval_ms: INTERVAL_MS,
            rule_query_offset_ms: 0,
            external_labels: BTreeMap::new(),
            limits: Limits::default(),
            name_validation: NameValidation::Utf8,
            escaping: EscapingScheme::AllowUtf8,
            extra_scrape_metrics: false,
        }
    }
}

impl raw::Global {
    pub(crate) fn build(self, place: &Place, sources: Sources<'_>, faults: &mut Faults) -> Global {
        self.report(place, faults);
        let default = Global::default();
        let interval =
            positive_duration(faults, &place.key("scrape_interval"), self.scrape_interval.as_ref());
        let scrape_interval_ms = interval.unwrap_or(default.scrape_interval_ms);
        let timeout_place = place.key("scrape_timeout");
        let timeout = positive_duration(faults, &timeout_place, self.scrape_timeout.as_ref());
        if let (Some(ms), Some(text)) = (timeout, &self.scrape_timeout)
            && ms > scrape_interval_ms
        {
            faults.at(&timeout_place, text, "global scrape timeout greater than scrape interval");
        }
        let validation_place = place.key("metric_name_validation_scheme");
        let validation = self.metric_name_validation_scheme.as_ref();
        let name_validation = faults.convert(&validation_place, validation, str::parse).unwrap_or_default();
        let escaping_place = place.key("metric_name_escaping_scheme");
        let escaping = faults.convert(&escaping_place, self.metric_name_escaping_scheme.as_ref(), str::parse);
        let evaluation_place = place.key("evaluation_interval");
        let evaluation = positive_duration(faults, &evaluation_place, self.evaluation_interval.as_ref());
        let offset = faults.duration(&place.key("rule_query_offset"), self.rule_query_offset.as_ref());
        let limits = self.limits(place, faults);
        Global {
            scrape_interval_ms,
            scrape_timeout_ms: timeout.unwrap_or(default.scrape_timeout_ms).min(scrape_interval_ms),
            scrape_protocols: protocols(self.scrape_protocols, &place.key("scrape_protocols"), faults)
                .unwrap_or(default.scrape_protocols),
            evaluation_interval_ms: evaluation.unwrap_or(default.evaluation_interval_ms),
            rule_query_offset_ms: offset.unwrap_or(0),
            external_labels: external_labels(self.external_labels, place, name_validation, sources, faults),
            limits,
            name_validation,
            escaping: escaping.unwrap_or_else(|| default_escaping(name_validation)),
            extra_scrape_metrics: self.extra_scrape_metrics.unwrap_or(false),
        }
    }

    fn limits(&self, place: &Place, faults: &mut Faults) -> Limits {
        let place = place.key("body_size_limit");
        let body = faults.convert(&place, self.body_size_limit.as_ref(), parse_size_bytes);
        Limits {
            body_size_bytes: body.unwrap_or(0),
            samples: self.sample_limit.unwrap_or(0),
            labels: self.label_limit.unwrap_or(0),
            label_name_length: self.label_name_length_limit.unwrap_or(0),
            label_value_length: self.label_value_length_limit.unwrap_or(0),
            targets: self.target_limit.unwrap_or(0),
            dropped_targets_kept: self.keep_dropped_targets.unwrap_or(0),
        }
    }
}

/// Returns how names are escaped when only the validation is configured.
pub(crate) fn default_escaping(validation: NameValidation) -> EscapingScheme {
    match validation {
        NameValidation::Utf8 => EscapingScheme::AllowUtf8,
        NameValidation::Legacy => EscapingScheme::Underscores,
    }
}

/// Reads a duration that means "not given" when it is zero.
pub(crate) fn positive_duration(faults: &mut Faults, place: &Place, value: Option<&Text>) -> Option<u64> {
    faults.duration(place, value).filter(|ms| *ms > 0)
}

/// Reads a list of protocols; `None` when it is not given or empty.
pub(crate) fn protocols(
    raw: Option<Vec<Text>>,
    place: &Place,
    faults: &mut Faults,
) -> Option<Vec<ScrapeProtocol>> {
    let mut protocols = Vec::new();
    let mut refused = false;
    for (index, text) in raw.into_iter().flatten().enumerate() {
        let place = place.index(index);
        let Some(protocol) = faults.convert(&place, Some(&text), str::parse::<ScrapeProtocol>) else {
            refused = true;
            continue;
        };
        if protocol == ScrapeProtocol::PrometheusProto {
            faults.warn(format!(
                "{}: PrometheusProto is not supported yet, targets are asked for text",
                text.value
            ));
            refused = true;
        } else if protocols.contains(&protocol) {
            faults.at(&place, &text, format!("duplicated protocol {}", protocol.as_str()));
        } else {
            protocols.push(protocol);
        }
    }
    if protocols.is_empty() && refused {
        faults.add(place, "no protocol is left that is supported");
    }
    (!protocols.is_empty()).then_some(protocols)
}

fn external_labels(
    raw: Option<labels::RawLabels>,
    place: &Place,
    validation: NameValidation,
    sources: Sources<'_>,
    faults: &mut Faults,
) -> BTreeMap<String, String> {
    let place = place.key("external_labels");
    let mut external = labels::check(raw, validation, &place, faults);
    for (name, value) in &mut external {
        let (expanded, unset) = labels::expand(value, sources.variable);
        for variable in unset {
            faults.warn(format!("global.external_labels.{name}: empty environment variable {variable}"));
        }
        *value = expanded;
    }
    external.retain(|_, value| !value.is_empty());
    external
}
