//! From a line's labels to a series' labels: the target's labels, metric relabeling, limits (Prometheus `scrape/scrape.go`,
//! `mutateSampleLabels` and `verifyLabelLimits`).

use config::{Limits, NameValidation, ScrapeConfig};
use model::labels::{METRIC_NAME, is_legacy_label_name, is_legacy_metric_name};
use model::{LabelSet, LabelSetBuilder};
use scrape::{Verdict, relabel};

use crate::ScraperError;
use crate::target::Target;

/// What a label of the exposition is called when the target has a label of the same name.
const EXPORTED_PREFIX: &str = "exported_";
/// How much of a name or value a message shows.
const SHOWN_CHARS_MAX: usize = 50;

/// Returns the labels of a series; `None` when metric relabeling drops it.
///
/// # Errors
/// [`ScraperError::Labels`] when the result has no name or an invalid one, [`ScraperError::LabelLimit`] when it breaks a limit:
/// the scrape fails as a whole.
pub(crate) fn series_labels(
    mut labels: LabelSetBuilder,
    target: &Target,
) -> Result<Option<LabelSet>, ScraperError> {
    if target.job.honor_labels {
        for (name, value) in target.labels.iter() {
            // An empty label of the exposition counts: it keeps the target's label away.
            if !labels.iter().any(|(present, _)| present == name) {
                labels.set(name, value);
            }
        }
    } else {
        add_target_labels(&mut labels, &target.labels);
    }
    if relabel(&mut labels, &target.job.metric_relabel) == Verdict::Drop {
        return Ok(None);
    }
    let labels = labels.build();
    check(&labels, &target.job)?;
    Ok(Some(labels))
}

/// Sets the target's labels; labels of the exposition that are in the way are renamed until they are not.
fn add_target_labels(labels: &mut LabelSetBuilder, target: &LabelSet) {
    let mut displaced = Vec::new();
    for (name, value) in target.iter() {
        let present = labels.get(name).to_owned();
        if !present.is_empty() {
            displaced.push((name.to_owned(), present));
        }
        labels.set(name, value);
    }
    displaced.sort_by_key(|(name, _)| name.len());
    for (mut name, value) in displaced {
        while !labels.get(&name).is_empty() {
            name.insert_str(0, EXPORTED_PREFIX);
        }
        labels.set(name, value);
    }
}

fn check(labels: &LabelSet, job: &ScrapeConfig) -> Result<(), ScraperError> {
    let fault = |message: String| Err(ScraperError::Labels(message));
    let metric = labels.metric_name();
    if metric.is_empty() {
        return fault("missing metric name (__name__ label)".to_owned());
    }
    let legacy = job.name_validation == NameValidation::Legacy;
    let odd = |name: &str| legacy && !is_legacy_label_name(name);
    if (legacy && !is_legacy_metric_name(metric)) || labels.iter().any(|(name, _)| odd(name)) {
        return fault(format!("invalid metric name or label names: {labels}"));
    }
    check_limits(labels, &job.limits)
}

fn check_limits(labels: &LabelSet, limits: &Limits) -> Result<(), ScraperError> {
    let fault = |message: String| Err(ScraperError::LabelLimit(message));
    let count = labels.len() as u64;
    let metric = shown(labels.metric_name());
    if limits.labels > 0 && count > limits.labels {
        let limit = limits.labels;
        return fault(format!(
            "label_limit exceeded (metric: {metric}, number of labels: {count}, limit: {limit})"
        ));
    }
    for (name, value) in labels.iter() {
        let (name_limit, value_limit) = (limits.label_name_length, limits.label_value_length);
        if name != METRIC_NAME && name_limit > 0 && name.len() as u64 > name_limit {
            let (shown, length) = (shown(name), name.len());
            return fault(format!(
                "label_name_length_limit exceeded (metric: {metric}, label name: {shown}, length: {length}, limit: {name_limit})"
            ));
        }
        if value_limit > 0 && value.len() as u64 > value_limit {
            let (name, value, length) = (shown(name), model::labels::quote(&shown(value)), value.len());
            return fault(format!(
                "label_value_length_limit exceeded (metric: {metric}, label name: {name}, value: {value}, length: {length}, limit: {value_limit})"
            ));
        }
    }
    Ok(())
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::discover;

    fn check_labels(job: &str, line: &[(&str, &str)], expected: Result<Option<&str>, &str>) {
        let text = format!(
            "scrape_configs: [{{job_name: j, static_configs: [{{targets: ['t:1'], labels: {{zone: z}}}}]{job}}}]"
        );
        let sources = config::Sources { base_dir: std::path::Path::new(""), variable: &|_| None };
        let config = config::parse(&text, sources).unwrap_or_else(|error| panic!("{text}: {error}"));
        let target = discover(&config.scrape_configs).targets.remove(0);
        let mut labels = LabelSetBuilder::default();
        line.iter().for_each(|(name, value)| {
            labels.set(*name, *value);
        });
        let got = series_labels(labels, &target);
        let got =
            got.map(|labels| labels.map(|labels| labels.to_string())).map_err(|error| error.to_string());
        assert_eq!(
            got,
            expected.map(|labels| labels.map(str::to_owned)).map_err(str::to_owned),
            "{job} {line:?}"
        );
    }

    #[test]
    fn target_labels_win_and_displaced_ones_are_renamed() {
        let line = [("__name__", "m"), ("job", "own"), ("exported_job", "older"), ("a", "b")];
        check_labels(
            "",
            &line,
            Ok(Some(
                r#"m{a="b", exported_exported_job="own", exported_job="older", instance="t:1", job="j", zone="z"}"#,
            )),
        );
        check_labels(
            ", honor_labels: true",
            &line,
            Ok(Some(r#"m{a="b", exported_job="older", instance="t:1", job="own", zone="z"}"#)),
        );
        check_labels(
            ", honor_labels: true",
            &[("__name__", "m"), ("instance", "")],
            Ok(Some(r#"m{job="j", zone="z"}"#)),
        );
    }

    #[test]
    fn metric_relabeling_drops_and_renames() {
        let drop = ", metric_relabel_configs: [{source_labels: [__name__], regex: 'go_.*', action: drop}]";
        check_labels(drop, &[("__name__", "go_x")], Ok(None));
        let unnamed = ", metric_relabel_configs: [{regex: __name__, action: labeldrop}]";
        check_labels(unnamed, &[("__name__", "m")], Err("missing metric name (__name__ label)"));
    }

    #[test]
    fn limits_name_the_series() {
        let line = [("__name__", "m"), ("abc", "defg")];
        check_labels(
            ", label_limit: 5",
            &line,
            Ok(Some(r#"m{abc="defg", instance="t:1", job="j", zone="z"}"#)),
        );
        check_labels(
            ", label_limit: 4",
            &line,
            Err("label_limit exceeded (metric: m, number of labels: 5, limit: 4)"),
        );
        check_labels(
            ", label_name_length_limit: 7",
            &line,
            Err("label_name_length_limit exceeded (metric: m, label name: instance, length: 8, limit: 7)"),
        );
        check_labels(
            ", label_value_length_limit: 3",
            &line,
            Err(
                "label_value_length_limit exceeded (metric: m, label name: abc, value: \"defg\", length: 4, limit: 3)",
            ),
        );
        check_labels(
            ", metric_name_validation_scheme: legacy",
            &[("__name__", "m.x")],
            Err(r#"invalid metric name or label names: {"m.x", instance="t:1", job="j", zone="z"}"#),
        );
    }
}
