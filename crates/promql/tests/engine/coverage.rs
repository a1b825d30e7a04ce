//! What of the language our own scripts evaluate: each function, aggregation, operator and modifier at least once, in a
//! case that expects a result. So a checkout without Prometheus's scripts is tested as well.

use std::collections::BTreeSet;
use std::path::Path;

use promql::ast::{AggregateOp, Binary, BinaryOp, Cardinality, NodeKind, RangeMode};
use promql::function::Function;
use promql::{ParserOptions, parse_with};

use crate::promqltest::script::{self, Command, Eval};
use crate::scripts::scripts_in;

const MODIFIERS: [&str; 12] = [
    "bool",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "fill_left",
    "fill_right",
    "offset",
    "@",
    "without",
    "anchored",
    "smoothed",
];

/// Returns what a query is made of.
fn parts_of(query: &str) -> BTreeSet<String> {
    let expr = parse_with(query, ParserOptions::everything()).expect("scripts hold queries");
    let mut parts = BTreeSet::new();
    let mut add = |part: &str, is_there: bool| {
        if is_there {
            parts.insert(part.to_owned());
        }
    };
    for (_, node) in expr.nodes() {
        match &node.kind {
            NodeKind::Call(function, _) => add(&format!("{}()", function.name), true),
            NodeKind::Aggregate(aggregate) => {
                add(aggregate.op.as_str(), true);
                add("without", aggregate.without);
            }
            NodeKind::Binary(binary) => parts_of_binary(binary, &mut add),
            NodeKind::Selector(selector) => {
                add("offset", selector.offset.is_some());
                add("@", selector.at.is_some());
                add("anchored", selector.mode == Some(RangeMode::Anchored));
                add("smoothed", selector.mode == Some(RangeMode::Smoothed));
            }
            _ => {}
        }
    }
    parts
}

fn parts_of_binary(binary: &Binary, add: &mut impl FnMut(&str, bool)) {
    let matching = &binary.matching;
    add(binary.op.as_str(), true);
    add("bool", binary.return_bool);
    add("on", matching.on);
    add("ignoring", !matching.on && !matching.labels.is_empty());
    add("group_left", matching.cardinality == Cardinality::ManyToOne);
    add("group_right", matching.cardinality == Cardinality::OneToMany);
    add("fill_left", matching.fill_left.is_some());
    add("fill_right", matching.fill_right.is_some());
}

fn expects_a_result(eval: &Eval) -> bool {
    eval.fail.is_none() && (!eval.series.is_empty() || eval.scalar.is_some() || eval.text.is_some())
}

#[test]
fn own_scripts_evaluate_the_whole_language() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut covered = BTreeSet::new();
    for path in ["stock", "delayed"].iter().flat_map(|mode| scripts_in(&folder.join(mode))) {
        let text = std::fs::read_to_string(&path).expect("readable");
        for command in script::parse(&text).expect("the script is well formed") {
            if let Command::Eval(eval) = command
                && expects_a_result(&eval)
            {
                covered.extend(parts_of(&eval.query));
            }
        }
    }
    let functions = Function::all().iter().map(|function| format!("{}()", function.name));
    let aggregations = AggregateOp::ALL.iter().map(|op| op.as_str().to_owned());
    let operators = BinaryOp::ALL.iter().map(|op| op.as_str().to_owned());
    let modifiers = MODIFIERS.iter().map(|modifier| (*modifier).to_owned());
    let all = functions.chain(aggregations).chain(operators).chain(modifiers);
    let missing: Vec<String> = all.filter(|part| !covered.contains(part)).collect();
    assert_eq!(missing, Vec::<String>::new(), "no case expects a result of these");
}
