//! Reads the rule files: all of them, with all their faults.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use config::rules::{Rule, RuleFile, RuleGroup};
use service::chain;
use tracing::warn;

use crate::glob::expand;
use crate::{RulerConfig, RulerError};

/// A rule group, ready to be evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The file it stands in, as the configuration leads to it.
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) interval_ms: i64,
    pub(crate) query_offset_ms: i64,
    /// 0 for none.
    pub(crate) limit: u64,
    /// The group's labels are merged into each rule's.
    pub(crate) rules: Vec<Rule>,
}

impl Group {
    /// Returns the name of the group's lease, unique in the cluster.
    pub(crate) fn lease(&self) -> String {
        format!("ruler/{}/{}", self.file, self.name)
    }

    /// Returns how metrics name the group (Prometheus `rules/group.go`, `GroupKey`).
    pub(crate) fn key(&self) -> String {
        format!("{};{}", self.file, self.name)
    }

    /// Tells whether there is anything that this version evaluates.
    pub(crate) fn records(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule, Rule::Recording(_)))
    }
}

/// Reads every file that the patterns name.
///
/// # Errors
/// [`RulerError::Pattern`] and [`RulerError::Read`] for what cannot be read; [`RulerError::Invalid`] with the faults of
/// all files together.
pub(crate) fn load(config: &RulerConfig) -> Result<Vec<Group>, RulerError> {
    let mut files = BTreeSet::new();
    for pattern in &config.rule_files {
        let found = expand(pattern)?;
        if found.is_empty() {
            warn!(pattern = %pattern.display(), "no rule file matches");
        }
        files.extend(found);
    }
    let (mut groups, mut faults) = (Vec::new(), Vec::new());
    for path in files {
        let text =
            fs::read_to_string(&path).map_err(|source| RulerError::Read { path: path.clone(), source })?;
        match read(&path, &text) {
            Ok(file) => groups.extend(file.groups.into_iter().map(|group| resolve(&path, group, config))),
            Err(more) => faults.extend(more),
        }
    }
    if faults.is_empty() { Ok(groups) } else { Err(RulerError::Invalid(faults)) }
}

fn read(path: &Path, text: &str) -> Result<RuleFile, Vec<String>> {
    let file =
        config::rules::parse(text).map_err(|error| vec![format!("{}: {}", path.display(), chain(&error))])?;
    let mut faults = Vec::new();
    for group in &file.groups {
        for rule in &group.rules {
            let (name, expr, position) = match rule {
                Rule::Recording(rule) => (&rule.record, &rule.expr, rule.position),
                Rule::Alerting(rule) => (&rule.alert, &rule.expr, rule.position),
            };
            if let Err(error) = promql::parse(expr) {
                let place = format!("{}: {position}: group {:?}, rule {name:?}", path.display(), group.name);
                faults.push(format!("{place}: could not parse expression: {error}"));
            }
        }
    }
    if faults.is_empty() { Ok(file) } else { Err(faults) }
}

fn resolve(path: &Path, group: RuleGroup, config: &RulerConfig) -> Group {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let or_global = |own: Option<u64>, global: Duration| own.map_or_else(|| millis(global), |ms| ms as i64);
    let merge = |rule_labels: &mut BTreeMap<String, String>| {
        for (name, value) in &group.labels {
            rule_labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
    };
    let rules = group.rules.into_iter().map(|mut rule| {
        match &mut rule {
            Rule::Recording(rule) => merge(&mut rule.labels),
            Rule::Alerting(rule) => merge(&mut rule.labels),
        }
        rule
    });
    Group {
        file: path.display().to_string(),
        interval_ms: or_global(group.interval_ms, config.evaluation_interval).max(1),
        query_offset_ms: or_global(group.query_offset_ms, config.query_offset),
        limit: group.limit,
        rules: rules.collect(),
        name: group.name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_texts(texts: &[(&str, &str)]) -> Result<Vec<Group>, RulerError> {
        let dir = tempfile::tempdir().expect("a folder for the test");
        for (name, text) in texts {
            fs::write(dir.path().join(name), text).expect("the folder is writable");
        }
        load(&RulerConfig {
            rule_files: vec![dir.path().join("*.yml"), dir.path().join("a*")],
            evaluation_interval: Duration::from_secs(60),
            query_offset: Duration::from_secs(5),
            query_timeout: RulerConfig::QUERY_TIMEOUT,
        })
    }

    #[test]
    fn groups_take_what_they_do_not_say_from_the_configuration() {
        let text = "groups:\n- name: g\n  labels: {team: a, zone: z}\n  rules:\n  - record: r\n    expr: up\n    \
                    labels: {team: b}\n- name: h\n  interval: 10s\n  query_offset: 1s\n  limit: 3\n  rules: []\n";
        let groups = load_texts(&[("a.yml", text)]).unwrap();
        assert_eq!(groups.len(), 2, "a file that two patterns name is read once");
        let [g, h] = groups.as_slice() else { panic!("two groups") };
        assert_eq!((g.interval_ms, g.query_offset_ms, g.limit), (60_000, 5_000, 0));
        assert_eq!((h.interval_ms, h.query_offset_ms, h.limit), (10_000, 1_000, 3));
        let Rule::Recording(rule) = &g.rules[0] else { panic!("a recording rule") };
        assert_eq!(rule.labels, BTreeMap::from([("team".into(), "b".into()), ("zone".into(), "z".into())]));
        assert!(g.records() && !h.records());
        assert!(g.lease().starts_with("ruler//") && g.lease().ends_with("a.yml/g"), "{}", g.lease());
    }

    #[test]
    fn all_faults_of_all_files_are_reported_with_their_places() {
        let bad_expr =
            "groups:\n- name: g\n  rules:\n  - record: r\n    expr: sum(\n  - alert: a\n    expr: 1 +\n";
        let error = load_texts(&[("a.yml", bad_expr), ("b.yml", "groups: 7\n")]).unwrap_err();
        let RulerError::Invalid(faults) = &error else { panic!("{error}") };
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(
            faults[0].contains("a.yml: line 5, column 11: group \"g\", rule \"r\": could not parse"),
            "{faults:?}"
        );
        assert!(
            faults[1].contains("a.yml: line 7, column 11: group \"g\", rule \"a\": could not parse"),
            "{faults:?}"
        );
        assert!(faults[2].contains("b.yml: "), "{faults:?}");
    }

    #[test]
    fn no_file_is_no_fault() {
        assert!(load_texts(&[]).unwrap().is_empty());
    }
}
