//! From a job's configuration to its targets (Prometheus `scrape/target.go`, `PopulateLabels`).

use std::collections::HashSet;
use std::sync::Arc;

use config::ScrapeConfig;
use model::time::{format_duration_ms, parse_duration_ms};
use model::{LabelSet, LabelSetBuilder};
use scrape::{Verdict, relabel};
use tracing::warn;

use crate::http_target::path_and_query;
use crate::target::Target;

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PARAM_PREFIX: &str = "__param_";

/// A target that relabeling dropped, kept to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) job: String,
    pub(crate) discovered: LabelSet,
}

/// All targets of all jobs, in the order of the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct TargetList {
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) dropped: Vec<Dropped>,
    /// Names of the jobs, with the number of their targets before relabeling.
    pub(crate) jobs: Vec<(String, usize)>,
}

/// Makes the targets of all jobs. A target that cannot be made is logged and left out, like in Prometheus.
pub(crate) fn discover(jobs: &[ScrapeConfig]) -> TargetList {
    let mut list = TargetList::default();
    for job in jobs {
        discover_job(&Arc::new(job.clone()), &mut list);
    }
    list
}

fn discover_job(job: &Arc<ScrapeConfig>, list: &mut TargetList) {
    let mut identities = HashSet::new();
    let mut targets = Vec::new();
    let (mut discovered, mut dropped) = (0, Vec::new());
    for group in &job.static_configs {
        for address in &group.targets {
            discovered += 1;
            let mut labels = LabelSetBuilder::default();
            group.labels.iter().for_each(|(name, value)| {
                labels.set(name, value);
            });
            labels.set(ADDRESS, address);
            match populate(job, labels) {
                Ok(Populated::Target(target)) if identities.insert(target.identity) => targets.push(*target),
                Ok(Populated::Target(_)) => {}
                Ok(Populated::Dropped(discovered)) => {
                    dropped.push(Dropped { job: job.job_name.clone(), discovered });
                }
                Err(reason) => warn!(job = job.job_name, target = address, reason, "target is left out"),
            }
        }
    }
    if let kept @ 1.. = job.limits.dropped_targets_kept {
        dropped.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
    }
    list.dropped.extend(dropped);
    let limit = job.limits.targets;
    let over = (limit > 0 && targets.len() as u64 > limit).then_some(targets.len());
    list.jobs.push((job.job_name.clone(), discovered));
    list.targets
        .extend(targets.into_iter().map(|target| Arc::new(Target { over_target_limit: over, ..target })));
}

enum Populated {
    Target(Box<Target>),
    Dropped(LabelSet),
}

/// Fills in the job's labels, relabels, and takes the result apart.
fn populate(job: &Arc<ScrapeConfig>, mut labels: LabelSetBuilder) -> Result<Populated, String> {
    let defaults = [
        ("job", job.job_name.clone()),
        (INTERVAL, format_duration_ms(job.scrape_interval_ms)),
        (TIMEOUT, format_duration_ms(job.scrape_timeout_ms)),
        (METRICS_PATH, job.metrics_path.clone()),
        (SCHEME, job.scheme.clone()),
    ];
    for (name, value) in defaults {
        if labels.get(name).is_empty() {
            labels.set(name, value);
        }
    }
    for (name, values) in &job.params {
        if let Some(first) = values.first() {
            labels.set(format!("{PARAM_PREFIX}{name}"), first);
        }
    }
    let discovered = labels.build();
    if relabel(&mut labels, &job.relabel) == Verdict::Drop {
        return Ok(Populated::Dropped(discovered));
    }
    let address = labels.get(ADDRESS).to_owned();
    if address.is_empty() {
        return Err("no address".to_owned());
    }
    if address.contains('/') {
        return Err(format!("{} is not a valid hostname", model::labels::quote(&address)));
    }
    let (interval_ms, timeout_ms) = timing(&labels)?;
    if labels.get("instance").is_empty() {
        labels.set("instance", &address);
    }
    let all = labels.build();
    let scheme = if all.get(SCHEME).is_empty() { "http".to_owned() } else { all.get(SCHEME).to_owned() };
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(format!("invalid scheme: {}", model::labels::quote(&scheme)));
    }
    let path_and_query = path_and_query(all.get(METRICS_PATH), &params(job, &all));
    let public = all.filtered(|name| !name.starts_with("__"));
    let url = format!("{scheme}://{address}{path_and_query}");
    Ok(Populated::Target(Box::new(Target {
        identity: Target::identity_of(&public, &url),
        job: job.clone(),
        discovered,
        labels: public,
        scheme,
        address,
        path_and_query,
        interval_ms,
        timeout_ms,
        over_target_limit: None,
    })))
}

/// Reads interval and timeout, which relabeling may have changed.
fn timing(labels: &LabelSetBuilder) -> Result<(u64, u64), String> {
    let (interval, timeout) = (labels.get(INTERVAL), labels.get(TIMEOUT));
    let interval_ms =
        parse_duration_ms(interval).map_err(|e| format!("error parsing scrape interval: {e}"))?;
    let timeout_ms = parse_duration_ms(timeout).map_err(|e| format!("error parsing scrape timeout: {e}"))?;
    match (interval_ms, timeout_ms) {
        (0, _) => Err("scrape interval cannot be 0".to_owned()),
        (_, 0) => Err("scrape timeout cannot be 0".to_owned()),
        _ if timeout_ms > interval_ms => {
            Err(format!("scrape timeout cannot be greater than scrape interval ({timeout:?} > {interval:?})"))
        }
        _ => Ok((interval_ms, timeout_ms)),
    }
}

/// Returns the URL's parameters: the job's, the first of each name as relabeling left it.
fn params(job: &ScrapeConfig, labels: &LabelSet) -> Vec<(String, String)> {
    let mut params = job.params.clone();
    for (name, value) in labels.iter() {
        let Some(name) = name.strip_prefix(PARAM_PREFIX) else { continue };
        match params.entry(name.to_owned()).or_default().first_mut() {
            Some(first) => *first = value.to_owned(),
            None => params.entry(name.to_owned()).or_default().push(value.to_owned()),
        }
    }
    params.into_iter().flat_map(|(name, values)| values.into_iter().map(move |v| (name.clone(), v))).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn list(text: &str) -> TargetList {
        let sources = config::Sources { base_dir: Path::new(""), variable: &|_| None };
        let config = config::parse(text, sources).unwrap_or_else(|error| panic!("{text}: {error}"));
        discover(&config.scrape_configs)
    }

    fn urls(list: &TargetList) -> Vec<String> {
        list.targets.iter().map(|target| format!("{} {}", target.url(), target.labels)).collect()
    }

    #[test]
    fn labels_and_url_come_from_the_job_and_relabeling() {
        let list = list(
            r#"
scrape_configs:
  - job_name: node
    static_configs: [{targets: ["a:9100", "b:9100", "b:9100"], labels: {zone: x, __meta_y: z}}]
  - job_name: probe
    metrics_path: /probe me
    params: {module: [http, other], q: ["a b&c"]}
    static_configs: [{targets: ["https://example.org", "drop:1"]}]
    relabel_configs:
      - {source_labels: [__address__], target_label: __param_target}
      - {source_labels: [__address__], regex: drop.*, action: drop}
      - {source_labels: [__param_target], target_label: instance}
      - {target_label: __address__, replacement: "127.0.0.1:9115"}
      - {target_label: __scrape_interval__, replacement: 90s}
"#
            .replace("https://example.org", "example.org")
            .as_str(),
        );
        let expected = [
            r#"http://a:9100/metrics {instance="a:9100", job="node", zone="x"}"#,
            r#"http://b:9100/metrics {instance="b:9100", job="node", zone="x"}"#,
            r#"http://127.0.0.1:9115/probe%20me?module=http&module=other&q=a+b%26c&target=example.org {instance="example.org", job="probe"}"#,
        ];
        assert_eq!(urls(&list), expected);
        assert_eq!((list.targets[2].interval_ms, list.targets[2].timeout_ms), (90_000, 10_000));
        assert_eq!(list.targets[0].discovered.get("__scrape_interval__"), "1m");
        let dropped: Vec<_> =
            list.dropped.iter().map(|d| (d.job.as_str(), d.discovered.get("__address__"))).collect();
        assert_eq!(dropped, [("probe", "drop:1")]);
        assert_eq!(list.jobs, [("node".to_owned(), 3), ("probe".to_owned(), 2)]);
    }

    #[test]
    fn what_makes_no_target_is_left_out() {
        let list = list(
            r#"
scrape_configs:
  - job_name: a
    static_configs: [{targets: ["a:1"]}]
    relabel_configs: [{target_label: __address__, replacement: ""}]
  - job_name: b
    static_configs: [{targets: ["a:1"]}]
    relabel_configs: [{target_label: __scrape_timeout__, replacement: 2m}]
  - job_name: c
    static_configs: [{targets: ["a:1"]}]
    relabel_configs: [{target_label: __scheme__, replacement: ftp}]
"#,
        );
        assert_eq!(urls(&list), Vec::<String>::new());
    }

    #[test]
    fn a_job_with_too_many_targets_is_marked() {
        let list = list(
            "scrape_configs: [{job_name: a, target_limit: 1, static_configs: [{targets: ['a:1', 'b:1']}]}]",
        );
        assert!(list.targets.iter().all(|target| target.over_target_limit == Some(2)));
    }

    #[test]
    fn dropped_targets_are_remembered_within_the_limit() {
        let drop = "relabel_configs: [{action: drop}], static_configs: [{targets: ['a:1', 'b:1', 'c:1']}]";
        let all = list(&format!("scrape_configs: [{{job_name: a, {drop}}}]"));
        let few = list(&format!("scrape_configs: [{{job_name: a, keep_dropped_targets: 2, {drop}}}]"));
        assert_eq!((all.dropped.len(), few.dropped.len()), (3, 2));
    }

    #[test]
    fn the_identity_follows_labels_and_url() {
        let one = list("scrape_configs: [{job_name: a, static_configs: [{targets: ['a:1']}]}]");
        let same =
            list("scrape_configs: [{job_name: a, static_configs: [{targets: ['a:1']}], honor_labels: true}]");
        let other =
            list("scrape_configs: [{job_name: a, metrics_path: /x, static_configs: [{targets: ['a:1']}]}]");
        let slower = list(
            "scrape_configs: [{job_name: a, scrape_interval: 2m, static_configs: [{targets: ['a:1']}]}]",
        );
        assert_eq!(one.targets[0].identity, same.targets[0].identity);
        assert_eq!(one.targets[0].identity, slower.targets[0].identity);
        assert!(!one.targets[0].is_scraped_like(&slower.targets[0]));
        assert_ne!(one.targets[0].identity, other.targets[0].identity);
    }
}
