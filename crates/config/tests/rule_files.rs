//! Reads rule files as people have them, and checks what is refused and how it is said.

use config::ConfigError;
use config::rules::{Rule, parse};

#[test]
fn recording_and_alerting_rules_are_typed() {
    let text = r#"
groups:
  - name: node
    interval: 30s
    query_offset: 1m
    limit: 10
    labels: {team: infra}
    rules:
      - record: job:up:sum
        expr: |
          sum by (job) (up)
        labels: {source: rule}
      - alert: Down
        expr: up == 0
        for: 5m
        keep_firing_for: 1m
        labels: {severity: page}
        annotations: {summary: "{{ $labels.instance }} is down"}
  - name: empty
"#;
    let file = parse(text).expect("valid");
    assert_eq!(file.groups.len(), 2);
    let group = &file.groups[0];
    assert_eq!((group.interval_ms, group.query_offset_ms, group.limit), (Some(30_000), Some(60_000), 10));
    assert_eq!(group.labels["team"], "infra");
    let Rule::Recording(recording) = &group.rules[0] else { panic!("{:?}", group.rules[0]) };
    assert_eq!((recording.record.as_str(), recording.expr.as_str()), ("job:up:sum", "sum by (job) (up)\n"));
    assert_eq!(recording.position.line, 11, "a block of text begins after its key");
    let Rule::Alerting(alerting) = &group.rules[1] else { panic!("{:?}", group.rules[1]) };
    assert_eq!(
        (alerting.alert.as_str(), alerting.for_ms, alerting.keep_firing_for_ms),
        ("Down", 300_000, 60_000)
    );
    assert_eq!(alerting.annotations["summary"], "{{ $labels.instance }} is down");
}

#[test]
fn all_faults_are_reported_together() {
    let text = r#"
groups:
  - name: a
    interval: 1x
    rules:
      - {record: x, alert: y, expr: up}
      - {expr: up}
      - {record: x}
      - {record: x, expr: up, for: 5m, annotations: {a: b}}
      - {record: 'sum(x{a="b"})', expr: up}
      - {record: x, expr: up, labels: {__name__: y}}
  - name: a
  - rules: []
"#;
    let Err(ConfigError::Invalid(faults)) = parse(text) else { panic!("accepted") };
    let faults: Vec<String> =
        faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect();
    let expected = [
        "groups[0].interval: not a valid duration string: \"1x\"",
        "groups[0].rules[0]: only one of 'record' and 'alert' must be set",
        "groups[0].rules[1]: one of 'record' or 'alert' must be set",
        "groups[0].rules[2]: field 'expr' must be set in rule",
        "groups[0].rules[3]: invalid field 'annotations' in recording rule",
        "groups[0].rules[3]: invalid field 'for' in recording rule",
        "groups[0].rules[4].record: braces present in the recording rule name; should it be in expr?: sum(x{a=\"b\"})",
        "groups[0].rules[5].labels: invalid label name: __name__",
        "groups[1].name: groupname: \"a\" is repeated in the same file",
        "groups[2].name: Groupname must not be empty",
    ];
    assert_eq!(faults, expected);
}

#[test]
fn an_unknown_key_names_its_place() {
    let error =
        parse("groups:\n- name: a\n  rules:\n  - record: x\n    expression: up\n").expect_err("refused");
    assert_eq!(
        error.to_string(),
        "line 5, column 5: unknown key \"expression\", expected one of record, alert, expr, for, keep_firing_for, labels, annotations"
    );
    assert!(parse("").expect("empty is valid").groups.is_empty());
}
