//! Reads configuration files as people have them, and checks what is refused and how it is said.

use std::path::Path;

use config::{Authentication, Secret, Source};
use config::{Config, ConfigError, RelabelAction, ScrapeProtocol, Sources};
use proptest::prelude::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    let variable = |name: &str| (name == "ZONE").then(|| "eu-1a".to_owned());
    config::parse(text, Sources { base_dir: Path::new("/etc/norn"), variable: &variable })
}

/// Every line of the error, trimmed, without the count.
fn faults(text: &str) -> Vec<String> {
    match parse(text) {
        Err(ConfigError::Invalid(faults)) => faults.iter().map(ToString::to_string).collect(),
        Err(error) => vec![error.to_string()],
        Ok(_) => Vec::new(),
    }
}

#[test]
fn the_file_that_comes_with_prometheus_is_accepted() {
    let config = parse(
        r#"# my global config
global:
  scrape_interval: 15s # Set the scrape interval to every 15 seconds. Default is every 1 minute.
  evaluation_interval: 15s

# Alertmanager configuration
alerting:
  alertmanagers:
    - static_configs:
        - targets:
          # - alertmanager:9093

rule_files:
  # - "first_rules.yml"
  # - "second_rules.yml"

scrape_configs:
  - job_name: "prometheus"
    # metrics_path defaults to '/metrics'
    # scheme defaults to 'http'.
    static_configs:
      - targets: ["localhost:9090"]
        labels:
          app: "prometheus"
"#,
    )
    .expect("accepted");
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(config.global.evaluation_interval_ms, 15_000);
    let job = &config.scrape_configs[0];
    assert_eq!((job.scrape_interval_ms, job.scrape_timeout_ms), (15_000, 10_000));
    assert_eq!((job.metrics_path.as_str(), job.scheme.as_str()), ("/metrics", "http"));
    assert!(job.honor_timestamps && !job.honor_labels && job.http.enable_compression);
    assert_eq!(job.scrape_protocols, ScrapeProtocol::DEFAULT);
    assert_eq!(job.static_configs[0].targets, ["localhost:9090"]);
    assert_eq!(job.static_configs[0].labels["app"], "prometheus");
}

#[test]
fn nothing_at_all_is_a_configuration() {
    for text in ["", "# only a comment\n", "global:\nscrape_configs:\n", "{}"] {
        let config = parse(text).expect(text);
        assert_eq!((config.global.scrape_interval_ms, config.global.scrape_timeout_ms), (60_000, 10_000));
        assert!(config.scrape_configs.is_empty());
    }
}

#[test]
fn all_faults_are_reported_together_with_their_places() {
    let text = r#"
global:
  scrape_interval: 10
  external_labels: {"": x, cluster: a}
scrape_configs:
  - job_name: a
    scrape_interval: 10s
    scrape_timeout: 20s
    relabel_configs:
      - {source_labels: [x], regex: "(", action: keep}
      - {action: rename}
      - {action: hashmod, target_label: x}
  - job_name: a
    kubernetes_sd_configs: [{role: pod}]
    static_configs:
      - targets: ["http://host/metrics"]
  - scheme: https
    job_name: c
    body_size_limit: 10
"#;
    let expected = [
        "global.scrape_interval: not a valid duration string: \"10\" (line 3, column 20)",
        "global.external_labels.: \"\" is not a valid label name (line 4, column 25)",
        "scrape_configs[0].scrape_timeout: scrape timeout greater than scrape interval for scrape config with job name \"a\" (20s > 10s) (line 8, column 21)",
        "scrape_configs[0].relabel_configs[0].regex: error parsing regexp: missing closing ): `^(?s:()$` (line 10, column 37)",
        "scrape_configs[0].relabel_configs[1].action: unknown relabel action \"rename\" (line 11, column 18)",
        "scrape_configs[0].relabel_configs[2]: relabel configuration for hashmod requires non-zero modulus (line 12, column 18)",
        "scrape_configs[1].job_name: found multiple scrape configs with job name \"a\" (line 13, column 15)",
        "scrape_configs[1].kubernetes_sd_configs: not supported yet (line 14, column 28)",
        "scrape_configs[1].static_configs[0].targets[0]: \"http://host/metrics\" is not a valid hostname (line 16, column 19)",
        "scrape_configs[2].body_size_limit: not a valid size: \"10\", expected a number with a unit like 64MB (line 19, column 22)",
        "scrape_configs[2].scheme: https is not supported yet (line 17, column 13)",
    ];
    assert_eq!(faults(text), expected);
}

#[test]
fn what_cannot_be_read_names_line_column_and_what_was_meant() {
    let cases = [
        ("globl:\n  x: 1\n", "line 1, column 1: unknown key \"globl\", did you mean \"global\"?"),
        (
            "scrape_configs:\n  - job_name: a\n    scrape_intervall: 5s\n",
            "line 3, column 5: unknown key \"scrape_intervall\", did you mean \"scrape_interval\"?",
        ),
        (
            "global: {scrape_interval: 1s, scrape_interval: 2s}",
            "line 1, column 31: key \"scrape_interval\" is given twice",
        ),
        (
            "norn:\n  gateway: {size: 1}\n",
            "line 2, column 13: unknown key \"size\", expected one of cache_path, cache_size, cache_memory, index_memory, replication_factor",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(faults(text), [expected], "{text}");
    }
    for text in
        ["global: [", "\tx: 1", "scrape_configs: 5", "- a\n- b", "global: {sample_limit: -1}", "a: *b"]
    {
        let error = parse(text).expect_err(text);
        let ConfigError::Syntax { position, message } = &error else { panic!("{error}") };
        assert!(position.line >= 1 && !message.is_empty() && !message.contains('\n'), "{text}: {error:?}");
    }
}

#[test]
fn what_would_be_lost_is_refused_and_what_changes_nothing_is_not() {
    let refused = [
        ("remote_write: [{url: http://x}]", "remote_write: not supported yet (line 1, column 15)"),
        (
            "alerting: {alertmanagers: [{static_configs: [{targets: ['am:9093']}]}]}",
            "alerting.alertmanagers[0].static_configs: alerting is not supported yet, so \"am:9093\" would get no alerts (line 1, column 57)",
        ),
        (
            "alerting: {alertmanagers: [{kubernetes_sd_configs: [{role: pod}]}]}",
            "alerting.alertmanagers[0].kubernetes_sd_configs: not supported yet (line 1, column 52)",
        ),
        ("tracing: {endpoint: x}", "tracing: not supported yet (line 1, column 10)"),
        (
            "scrape_configs: [{job_name: a, track_timestamps_staleness: true}]",
            "scrape_configs[0].track_timestamps_staleness: not supported yet (line 1, column 60)",
        ),
    ];
    for (text, expected) in refused {
        assert_eq!(faults(text), [expected], "{text}");
    }
    let harmless = "remote_write: []\nremote_read:\nruntime: {gogc: 75}\nalerting: {alert_relabel_configs: []}\n\
                    scrape_configs: [{job_name: a, track_timestamps_staleness: false, tls_config: {}}]\n";
    let config = parse(harmless).expect("accepted");
    assert_eq!(config.warnings, ["runtime: has no effect in Norn (line 3, column 10)"]);
}

#[test]
fn external_labels_are_expanded_and_nothing_else_is() {
    let config = parse(
        "global: {external_labels: {cluster: 'c-${ZONE}', gone: '$NONE', money: '$$5'}}\n\
         scrape_configs: [{job_name: '${ZONE}'}]\n",
    )
    .expect("accepted");
    let labels: Vec<_> =
        config.global.external_labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(labels, [("cluster", "c-eu-1a"), ("money", "$5")]);
    assert_eq!(config.scrape_configs[0].job_name, "${ZONE}");
    assert_eq!(config.warnings, ["global.external_labels.gone: empty environment variable NONE"]);
}

#[test]
fn scrape_settings_are_typed() {
    let config = parse(
        r#"
global: {scrape_interval: 5s, sample_limit: 10, metric_name_validation_scheme: legacy}
scrape_configs:
  - job_name: a
    honor_labels: yes
    honor_timestamps: false
    metrics_path: probe
    params: {module: [http, tcp], "match[]": ['{a="b"}']}
    basic_auth: {username: u, password_file: secrets/pw}
    follow_redirects: false
    enable_compression: off
    body_size_limit: 64MB
    label_limit: 30
    scrape_protocols: [PrometheusText0.0.4]
    fallback_scrape_protocol: PrometheusText0.0.4
    relabel_configs:
      - {source_labels: [__address__], regex: '(.*):\d+', target_label: host, replacement: 1.10}
    metric_relabel_configs:
      - {regex: go_.*, action: LabelDrop}
"#,
    )
    .expect("accepted");
    let job = &config.scrape_configs[0];
    assert_eq!(
        (job.scrape_interval_ms, job.scrape_timeout_ms),
        (5000, 5000),
        "the timeout follows the interval"
    );
    assert!(job.honor_labels && !job.honor_timestamps);
    assert_eq!(job.metrics_path, "/probe");
    assert_eq!(job.params["module"], ["http", "tcp"]);
    assert_eq!((job.limits.samples, job.limits.labels, job.limits.body_size_bytes), (10, 30, 64 << 20));
    assert_eq!(job.relabel[0].replacement, "1.10", "a number keeps its digits where text is expected");
    assert_eq!(job.metric_relabel[0].action, RelabelAction::LabelDrop);
    assert_eq!(job.escaping, config::EscapingScheme::Underscores);
    let expected = Authentication::Basic {
        username: Source::Inline(Secret::new("u")),
        password: Source::File("/etc/norn/secrets/pw".into()),
    };
    assert_eq!(job.http.authentication, Some(expected));
    assert!(!format!("{config:?}").contains("\"u\""), "secrets are not printed");
}

#[test]
fn contradicting_credentials_are_refused() {
    let text =
        "scrape_configs:\n- job_name: a\n  bearer_token: x\n  authorization: {type: Basic, credentials: y}\n";
    let expected = [
        "scrape_configs[0].authorization.type: authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
        "scrape_configs[0]: authorization is not compatible with bearer_token & bearer_token_file",
    ];
    assert_eq!(faults(text), expected);
}

#[test]
fn relabel_rules_are_checked_as_prometheus_does() {
    let cases = [
        (
            "{action: replace, source_labels: [a]}",
            "relabel configuration for replace action requires 'target_label' value",
        ),
        ("{action: replace, target_label: '${}'}", ""),
        ("{action: replace, target_label: 'x${1}y'}", ""),
        (
            "{action: lowercase, target_label: a, replacement: b}",
            "'replacement' can not be set for lowercase action",
        ),
        (
            "{action: keepequal, target_label: a, regex: b}",
            "keepequal action requires only 'source_labels' and `target_label`, and no other fields",
        ),
        (
            "{action: labeldrop, source_labels: [a], regex: b}",
            "labeldrop action requires only 'regex', and no other fields",
        ),
        ("{action: labelmap, regex: 'x_(.+)'}", ""),
        (
            "{action: labelmap, regex: 'x_(.+)', replacement: ''}",
            "\"\" is invalid 'replacement' for labelmap action",
        ),
        ("{source_labels: [''], target_label: a}", "\"\" is not a valid label name"),
    ];
    for (rule, expected) in cases {
        let found = faults(&format!("scrape_configs: [{{job_name: a, relabel_configs: [{rule}]}}]"));
        assert_eq!(found.is_empty(), expected.is_empty(), "{rule}: {found:?}");
        assert!(found.iter().all(|fault| fault.contains(expected)), "{rule}: {found:?}");
    }
}

#[test]
fn norns_own_section() {
    let config = parse(
        r#"
norn:
  cluster:
    name: prod
    shards: 6
    ingesters:
      - {name: ingester-0, address: "10.0.0.1:10901"}
      - {name: ingester-1, address: "[::1]:10901"}
  node: {name: ingester-0, zone: a, grpc_listen_address: ":10901", http_listen_address: "0.0.0.0:9090"}
  storage: {path: data, block_duration: 2h, retention_time: 15d}
  objstore:
    type: s3
    config: {bucket: "b", endpoint: "127.0.0.1:9000", insecure: true, secret_key: 007, part_size: 64}
    prefix: norn
  gateway: {cache_path: /cache, cache_size: 10GB, cache_memory: 1GB, replication_factor: 3}
storage: {tsdb: {out_of_order_time_window: 30m, retention: {time: 30d}}, exemplars: {max_exemplars: 500}}
"#,
    )
    .expect("accepted");
    assert_eq!(config.norn.cluster.ingesters[1].address, "[::1]:10901");
    assert_eq!(config.norn.storage.path.as_deref(), Some(Path::new("/etc/norn/data")));
    assert_eq!(config.norn.storage.block_duration_ms, Some(7_200_000));
    assert_eq!(config.norn.gateway.cache_size_bytes, Some(10 << 30));
    assert_eq!(config.norn.gateway.cache_memory_bytes, Some(1 << 30));
    assert_eq!(config.norn.gateway.replication_factor, Some(3));
    assert_eq!(config.tsdb.out_of_order_window_ms, Some(1_800_000));
    assert_eq!(config.exemplars_max, Some(500));
    let Some(config::objstore::ObjstoreSource::Inline(objstore)) = &config.norn.objstore else {
        panic!("inline")
    };
    let expected = "type: S3\nconfig:\n  bucket: \"b\"\n  endpoint: \"127.0.0.1:9000\"\n  insecure: true\n  \
                    part_size: 64\n  secret_key: 007\nprefix: \"norn\"\n";
    assert_eq!(objstore.thanos_yaml(), expected);
    assert!(!format!("{objstore:?}").contains("007"), "secrets are not printed");

    let text = "norn: {cluster: {shards: 0, ingesters: [{name: a, address: x}]}, storage: {block_duration: 5ms}, \
                objstore: {type: GCS}}";
    let expected = [
        "norn.cluster.shards: 0 shards, expected 1 to 256 (line 1, column 26)",
        "norn.cluster.ingesters[0].address: \"x\" is not an address, expected host:port (line 1, column 60)",
        "norn.storage.block_duration: 5ms is too short, expected at least 1s (line 1, column 92)",
        "norn.objstore.type: object store \"GCS\" is not supported, expected S3 or FILESYSTEM (line 1, column 115)",
    ];
    assert_eq!(faults(text), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_text_panics(text in ".{0,200}") {
        if let Err(error) = parse(&text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn no_damaged_configuration_panics(at in 0usize..4096, replacement in "[ -~\n\t]{0,4}", length in 0usize..8) {
        let text = include_str!("damaged.yml");
        let start = at % text.len();
        let end = (start + length).min(text.len());
        let damaged = format!("{}{replacement}{}", &text[..start], &text[end..]);
        match parse(&damaged) {
            Ok(_) => {}
            Err(ConfigError::Invalid(faults)) => prop_assert!(faults.iter().all(|fault| !fault.message.is_empty())),
            Err(ConfigError::Syntax { message, .. }) => prop_assert!(!message.is_empty()),
        }
    }
}
