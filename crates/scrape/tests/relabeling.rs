//! Relabeling rules as the configuration writes them, applied to labels.

use std::path::Path;

use config::{RelabelRule, Sources};
use model::LabelSet;
use proptest::prelude::*;
use scrape::{Verdict, relabel};

fn rules(text: &str) -> Vec<RelabelRule> {
    let text = format!("scrape_configs: [{{job_name: a, relabel_configs: [{text}]}}]");
    let sources = Sources { base_dir: Path::new(""), variable: &|_| None };
    let mut config = config::parse(&text, sources).unwrap_or_else(|error| panic!("{text}: {error}"));
    config.scrape_configs.remove(0).relabel
}

/// Labels are written `a=b c=d`; an expected `-` means dropped.
fn check(labels: &str, config: &str, expected: &str) {
    let pairs = |text: &str| {
        let pairs: Vec<_> = text.split_whitespace().filter_map(|pair| pair.split_once('=')).collect();
        LabelSet::from_pairs(pairs)
    };
    let mut builder = pairs(labels).to_builder();
    match relabel(&mut builder, &rules(config)) {
        Verdict::Drop => assert_eq!("-", expected, "{labels} by {config}"),
        Verdict::Keep => assert_eq!(builder.build(), pairs(expected), "{labels} by {config}"),
    }
}

#[test]
fn replace() {
    check(
        "a=foo b=bar",
        "{source_labels: [a], regex: 'f(.*)', target_label: d, replacement: 'ch${1}-ch$1'}",
        "a=foo b=bar d=choo-choo",
    );
    check(
        "a=foo b=bar",
        "{source_labels: [a, b], regex: '(f).*;(.*)r', target_label: a, replacement: 'b${1}${2}m'}",
        "a=bfbam b=bar",
    );
    check("a=foo", "{source_labels: [a], regex: 'oo', target_label: d, replacement: x}", "a=foo");
    check("a=foo", "{target_label: d, replacement: x}", "a=foo d=x");
    check("a=foo", "{source_labels: [a], target_label: d}", "a=foo d=foo");
    check("a=foo", "{source_labels: [a], target_label: a, replacement: ''}", "");
    check("a=foo", "{source_labels: [a], regex: 'bar', target_label: a, replacement: ''}", "a=foo");
    check(
        "a=some-name-value",
        "{source_labels: [a], regex: 'some-([^-]+)-([^,]+)', target_label: '${1}', replacement: '${2}'}",
        "a=some-name-value name=value",
    );
    check("a=foo", "{source_labels: [a], regex: '(x)?foo', target_label: '${1}', replacement: y}", "a=foo");
    check("a=x b=y", "{source_labels: [a, missing, b], separator: '/', target_label: c}", "a=x b=y c=x//y");
    check(
        "host=h:80",
        "{source_labels: [host], regex: '([^:]+)(?::\\d+)?', target_label: host, replacement: '$1:9100'}",
        "host=h:9100",
    );
}

#[test]
fn keep_and_drop() {
    check("a=foo", "{source_labels: [a], regex: 'fo', action: keep}", "-");
    check("a=foo", "{source_labels: [a], regex: 'fo.', action: keep}", "a=foo");
    check("a=foo", "{source_labels: [a], regex: 'fo.', action: drop}", "-");
    check("a=foo", "{source_labels: [missing], regex: '', action: drop}", "-");
    check(
        "a=foo",
        "{source_labels: [a], regex: f, action: drop}, {target_label: b, replacement: c}",
        "a=foo b=c",
    );
    check("p=1 q=1", "{source_labels: [p], target_label: q, action: keepequal}", "p=1 q=1");
    check("p=1 q=2", "{source_labels: [p], target_label: q, action: keepequal}", "-");
    check("p=1 q=1", "{source_labels: [p], target_label: q, action: dropequal}", "-");
    check("p=1 q=2", "{source_labels: [p], target_label: q, action: dropequal}", "p=1 q=2");
}

#[test]
fn labels_by_name() {
    check(
        "__meta_a_x=1 __meta_a_y=2 z=3",
        "{regex: '__meta_a_(.+)', action: labelmap}",
        "__meta_a_x=1 __meta_a_y=2 x=1 y=2 z=3",
    );
    check("a1=v", "{regex: 'a(\\d)', replacement: 'n_${1}_n', action: labelmap}", "a1=v n_1_n=v");
    check("a=1 ab=2 b=3", "{regex: 'a.*', action: labeldrop}", "b=3");
    check("a=1 ab=2 b=3", "{regex: 'a.*', action: labelkeep}", "a=1 ab=2");
}

#[test]
fn case_and_hash() {
    check("a=FooBar", "{source_labels: [a], target_label: b, action: lowercase}", "a=FooBar b=foobar");
    check("a=FooBar", "{source_labels: [a], target_label: b, action: uppercase}", "a=FooBar b=FOOBAR");
    // The values are those of Prometheus's own tests.
    check(
        "a=foo b=bar c=baz",
        "{source_labels: [c], target_label: d, modulus: 1000, action: hashmod}",
        "a=foo b=bar c=baz d=976",
    );
    check("a=foo\nbar", "{source_labels: [a], target_label: d, modulus: 1, action: HashMod}", "a=foo d=0");
}

proptest! {
    #[test]
    fn shards_by_hashmod_are_a_partition(value in ".{0,30}", modulus in 1u64..16) {
        let kept: Vec<u64> = (0..modulus).filter(|shard| {
            let rules = rules(&format!(
                "{{source_labels: [a], modulus: {modulus}, target_label: t, action: hashmod}}, \
                 {{source_labels: [t], regex: '{shard}', action: keep}}"
            ));
            let mut labels = LabelSet::from_pairs([("a", value.as_str())]).to_builder();
            relabel(&mut labels, &rules) == Verdict::Keep
        }).collect();
        prop_assert_eq!(kept.len(), 1, "{:?}", kept);
    }
}
