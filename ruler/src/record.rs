//! From a query's result to the series that a recording rule writes. Pure.

use std::collections::{BTreeMap, HashSet};

use config::rules::RecordingRule;
use model::labels::METRIC_NAME;
use model::{LabelSet, SampleValue};

use crate::RulerError;
use crate::query::QuerySample;

/// Names a result's series as the rule says. Source: Prometheus `rules/recording.go`, `Eval`.
///
/// External labels are taken off where a series has them as the cluster has them: they are not stored on series, and
/// queries put them back.
///
/// # Errors
/// [`RulerError::SameLabelset`] when two series become one; [`RulerError::Limit`] when there are more than `limit`, if
/// that is not 0.
pub(crate) fn name_results(
    samples: Vec<QuerySample>,
    rule: &RecordingRule,
    external_labels: &BTreeMap<String, String>,
    limit: u64,
) -> Result<Vec<(LabelSet, SampleValue)>, RulerError> {
    let mut seen = HashSet::with_capacity(samples.len());
    let mut named = Vec::with_capacity(samples.len());
    for QuerySample { labels, value } in samples {
        let mut builder = labels.to_builder();
        builder.set(METRIC_NAME, rule.record.as_str());
        for (name, value) in &rule.labels {
            builder.set(name.as_str(), value.as_str());
        }
        for (name, value) in external_labels {
            if builder.get(name) == value {
                builder.remove(name);
            }
        }
        let labels = builder.build();
        if !seen.insert(labels.clone()) {
            return Err(RulerError::SameLabelset);
        }
        named.push((labels, value));
    }
    if limit > 0 && named.len() as u64 > limit {
        return Err(RulerError::Limit { limit, series: named.len() });
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn check(result: &[Pairs<'_>], rule_labels: Pairs<'_>, limit: u64, expected: Result<&[Pairs<'_>], &str>) {
        let rule = RecordingRule {
            record: "job:x".into(),
            expr: "x".into(),
            labels: rule_labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            position: Default::default(),
        };
        let set = |pairs: &Pairs<'_>| LabelSet::from_pairs(pairs.iter().copied());
        let samples = result
            .iter()
            .map(|pairs| QuerySample { labels: set(pairs), value: SampleValue::Float(1.5) })
            .collect();
        let external = BTreeMap::from([("cluster".to_owned(), "eu".to_owned())]);
        let named = name_results(samples, &rule, &external, limit);
        match expected {
            Ok(expected) => {
                let expected: Vec<_> =
                    expected.iter().map(|pairs| (set(pairs), SampleValue::Float(1.5))).collect();
                assert_eq!(named.expect("a result"), expected);
            }
            Err(expected) => assert_eq!(named.expect_err("an error").to_string(), expected),
        }
    }

    #[test]
    fn results_get_the_rules_name_and_labels() {
        check(&[&[]], &[], 0, Ok(&[&[("__name__", "job:x")]]));
        check(
            &[&[("__name__", "x"), ("a", "1"), ("b", "2")]],
            &[("a", "new"), ("b", ""), ("c", "3")],
            0,
            Ok(&[&[("__name__", "job:x"), ("a", "new"), ("c", "3")]]),
        );
    }

    #[test]
    fn external_labels_are_not_stored() {
        check(
            &[&[("cluster", "eu"), ("a", "1")], &[("cluster", "us"), ("a", "1")]],
            &[],
            0,
            Ok(&[
                &[("__name__", "job:x"), ("a", "1")],
                &[("__name__", "job:x"), ("a", "1"), ("cluster", "us")],
            ]),
        );
        let same = "vector contains metrics with the same labelset after applying rule labels";
        check(&[&[("cluster", "eu")], &[]], &[], 0, Err(same));
    }

    #[test]
    fn two_series_that_become_one_are_an_error() {
        let same = "vector contains metrics with the same labelset after applying rule labels";
        check(&[&[("__name__", "a")], &[("__name__", "b")]], &[], 0, Err(same));
        check(&[&[("a", "1")], &[("a", "2")]], &[("a", "")], 0, Err(same));
    }

    #[test]
    fn more_series_than_the_limit_are_an_error() {
        check(&[&[("a", "1")], &[("a", "2")]], &[], 1, Err("exceeded limit of 1 with 2 series"));
        check(&[&[("a", "1")]], &[], 1, Ok(&[&[("__name__", "job:x"), ("a", "1")]]));
    }
}
