//! `scrape_configs`: which targets there are and how they are scraped.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use model::labels::quote;

use crate::check::{Faults, Place, Text};
use crate::global::{Global, default_escaping, positive_duration, protocols};
use crate::http_client::{self, HttpClient};
use crate::raw;
use crate::relabel::{self, RelabelRule};
use crate::scrape_types::{EscapingScheme, NameValidation, ScrapeProtocol};
use crate::{labels, units};

/// Limits of one scrape; 0 means that there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Size of the answer, uncompressed.
    pub body_size_bytes: u64,
    /// Samples after relabeling.
    pub samples: u64,
    /// Labels of a series.
    pub labels: u64,
    /// Bytes of a label's name.
    pub label_name_length: u64,
    /// Bytes of a label's value.
    pub label_value_length: u64,
    /// Targets of the job.
    pub targets: u64,
    /// How many targets that relabeling dropped are remembered to be shown.
    pub dropped_targets_kept: u64,
}

/// Targets given by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaticConfig {
    /// Addresses.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: BTreeMap<String, String>,
}

/// One job, valid, with the global defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapeConfig {
    /// Unique name, the label `job`.
    pub job_name: String,
    /// How often each target is scraped.
    pub scrape_interval_ms: u64,
    /// How long one scrape may take, at most the interval.
    pub scrape_timeout_ms: u64,
    /// What to ask for, most wanted first; never empty.
    pub scrape_protocols: Vec<ScrapeProtocol>,
    /// How an answer without a known content type is read.
    pub fallback_scrape_protocol: Option<ScrapeProtocol>,
    /// Path, starting with a slash.
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// URL parameters.
    pub params: BTreeMap<String, Vec<String>>,
    /// Whether labels of the exposition win over those of the target.
    pub honor_labels: bool,
    /// Whether timestamps of the exposition are used.
    pub honor_timestamps: bool,
    /// How targets are asked.
    pub http: HttpClient,
    /// Limits of one scrape.
    pub limits: Limits,
    /// Which names are accepted.
    pub name_validation: NameValidation,
    /// How targets are asked to escape names.
    pub escaping: EscapingScheme,
    /// Whether three more series say something of each scrape.
    pub extra_scrape_metrics: bool,
    /// Applied to targets.
    pub relabel: Vec<RelabelRule>,
    /// Applied to series.
    pub metric_relabel: Vec<RelabelRule>,
    /// Targets.
    pub static_configs: Vec<StaticConfig>,
}

/// Turns all scrape configurations into typed ones.
pub(crate) fn build_all(
    raw: Option<Vec<raw::Scrape>>,
    global: &Global,
    base_dir: &Path,
    faults: &mut Faults,
) -> Vec<ScrapeConfig> {
    let mut names = HashSet::new();
    let mut configs = Vec::new();
    for (index, raw) in raw.into_iter().flatten().enumerate() {
        let place = Place::root().key("scrape_configs").index(index);
        if let Some(name) = &raw.job_name
            && !name.value.is_empty()
            && !names.insert(name.value.clone())
        {
            let message = format!("found multiple scrape configs with job name {}", quote(&name.value));
            faults.at(&place.key("job_name"), name, message);
        }
        configs.push(build(raw, global, &place, base_dir, faults));
    }
    configs
}

fn build(
    mut raw: raw::Scrape,
    global: &Global,
    place: &Place,
    base_dir: &Path,
    faults: &mut Faults,
) -> ScrapeConfig {
    raw.report(place, faults);
    let job_name = raw.job_name.take().map(|name| name.value).unwrap_or_default();
    if job_name.is_empty() {
        faults.add(&place.key("job_name"), "job_name is empty");
    }
    let http = http_client::build(&mut raw, place, base_dir, faults);
    let (scrape_interval_ms, scrape_timeout_ms) = timing(&raw, &job_name, global, place, faults);
    let (name_validation, escaping) = naming(&raw, global, place, faults);
    let limits = limits(&raw, global, place, faults);
    let fallback_place = place.key("fallback_scrape_protocol");
    let fallback = faults.convert(&fallback_place, raw.fallback_scrape_protocol.as_ref(), fallback_protocol);
    let metrics_path = metrics_path(raw.metrics_path, &place.key("metrics_path"), faults);
    let asked = protocols(raw.scrape_protocols, &place.key("scrape_protocols"), faults);
    let params = raw.params.unwrap_or_default();
    ScrapeConfig {
        job_name,
        scrape_interval_ms,
        scrape_timeout_ms,
        scrape_protocols: asked.unwrap_or_else(|| global.scrape_protocols.clone()),
        fallback_scrape_protocol: fallback,
        metrics_path,
        scheme: scheme(raw.scheme, &place.key("scheme"), faults),
        params: params.into_iter().map(|(name, values)| (name, values.unwrap_or_default())).collect(),
        honor_labels: raw.honor_labels.unwrap_or(false),
        honor_timestamps: raw.honor_timestamps.unwrap_or(true),
        http,
        limits,
        name_validation,
        escaping,
        extra_scrape_metrics: raw.extra_scrape_metrics.unwrap_or(global.extra_scrape_metrics),
        relabel: relabel::build_all(
            raw.relabel_configs,
            name_validation,
            &place.key("relabel_configs"),
            faults,
        ),
        metric_relabel: relabel::build_all(
            raw.metric_relabel_configs,
            name_validation,
            &place.key("metric_relabel_configs"),
            faults,
        ),
        static_configs: static_configs(raw.static_configs, name_validation, place, faults),
    }
}

/// Returns interval and timeout; a timeout that is not given is the global one, or the interval if that is shorter.
fn timing(raw: &raw::Scrape, job: &str, global: &Global, place: &Place, faults: &mut Faults) -> (u64, u64) {
    let interval = positive_duration(faults, &place.key("scrape_interval"), raw.scrape_interval.as_ref());
    let interval = interval.unwrap_or(global.scrape_interval_ms);
    let timeout_place = place.key("scrape_timeout");
    let timeout = positive_duration(faults, &timeout_place, raw.scrape_timeout.as_ref());
    if let (Some(ms), Some(text)) = (timeout, &raw.scrape_timeout)
        && ms > interval
    {
        let job = quote(job);
        let message = format!(
            "scrape timeout greater than scrape interval for scrape config with job name {job} ({} > {})",
            text.value,
            model::time::format_duration_ms(interval)
        );
        faults.at(&timeout_place, text, message);
    }
    (interval, timeout.unwrap_or(global.scrape_timeout_ms).min(interval))
}

fn naming(
    raw: &raw::Scrape,
    global: &Global,
    place: &Place,
    faults: &mut Faults,
) -> (NameValidation, EscapingScheme) {
    let validation_place = place.key("metric_name_validation_scheme");
    let validation = faults.convert(
        &validation_place,
        raw.metric_name_validation_scheme.as_ref(),
        str::parse::<NameValidation>,
    );
    let escaping_place = place.key("metric_name_escaping_scheme");
    let escaping = faults.convert(&escaping_place, raw.metric_name_escaping_scheme.as_ref(), str::parse);
    match (validation, escaping) {
        (None, None) => (global.name_validation, global.escaping),
        (None, Some(escaping)) => (global.name_validation, escaping),
        (Some(validation), escaping) => {
            (validation, escaping.unwrap_or_else(|| default_escaping(validation)))
        }
    }
}

fn limits(raw: &raw::Scrape, global: &Global, place: &Place, faults: &mut Faults) -> Limits {
    let body_place = place.key("body_size_limit");
    let body = faults.convert(&body_place, raw.body_size_limit.as_ref(), units::parse_size_bytes);
    let or_global = |own: Option<u64>, global: u64| own.filter(|limit| *limit > 0).unwrap_or(global);
    let all = &global.limits;
    Limits {
        body_size_bytes: or_global(body, all.body_size_bytes),
        samples: or_global(raw.sample_limit, all.samples),
        labels: or_global(raw.label_limit, all.labels),
        label_name_length: or_global(raw.label_name_length_limit, all.label_name_length),
        label_value_length: or_global(raw.label_value_length_limit, all.label_value_length),
        targets: or_global(raw.target_limit, all.targets),
        dropped_targets_kept: or_global(raw.keep_dropped_targets, all.dropped_targets_kept),
    }
}

fn fallback_protocol(text: &str) -> Result<ScrapeProtocol, String> {
    match text.parse().map_err(|error| format!("invalid fallback_scrape_protocol: {error}"))? {
        ScrapeProtocol::PrometheusProto => Err("PrometheusProto is not supported yet".to_owned()),
        protocol => Ok(protocol),
    }
}

fn metrics_path(raw: Option<Text>, place: &Place, faults: &mut Faults) -> String {
    let Some(path) = raw.filter(|path| !path.value.is_empty()) else {
        return "/metrics".to_owned();
    };
    if path.value.contains('?') || path.value.contains('#') {
        faults.at(
            place,
            &path,
            format!("{} must be a path, write parameters under params", quote(&path.value)),
        );
    }
    if path.value.starts_with('/') { path.value } else { format!("/{}", path.value) }
}

fn scheme(raw: Option<Text>, place: &Place, faults: &mut Faults) -> String {
    let Some(scheme) = raw.filter(|scheme| !scheme.value.is_empty()) else {
        return "http".to_owned();
    };
    match scheme.value.as_str() {
        "http" => {}
        "https" => faults.at(place, &scheme, "https is not supported yet"),
        other => faults.at(place, &scheme, format!("unknown scheme {}, expected http", quote(other))),
    }
    scheme.value
}

fn static_configs(
    raw: Option<Vec<raw::StaticGroup>>,
    validation: NameValidation,
    place: &Place,
    faults: &mut Faults,
) -> Vec<StaticConfig> {
    let place = place.key("static_configs");
    let mut configs = Vec::new();
    for (index, group) in raw.into_iter().flatten().enumerate() {
        let place = place.index(index);
        let mut targets = Vec::new();
        for (index, target) in group.targets.into_iter().flatten().enumerate() {
            if target.value.contains('/') {
                let message = format!("{} is not a valid hostname", quote(&target.value));
                faults.at(&place.key("targets").index(index), &target, message);
            }
            targets.push(target.value);
        }
        let labels = labels::check(group.labels, validation, &place.key("labels"), faults);
        configs.push(StaticConfig { targets, labels });
    }
    configs
}
