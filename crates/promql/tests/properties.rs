//! Properties of the parser on any text, and of the printer on any query.

use promql::{ParserOptions, parse_selector, parse_with};
use proptest::prelude::*;

/// Pieces of queries, so that random texts get far into the grammar.
const PIECES: &[&str] = &[
    "up",
    "a:b",
    "sum",
    "by",
    "without",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "5m",
    "1h30m",
    "0x1f",
    "1_0",
    "Inf",
    "NaN",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "==",
    "!=",
    "<",
    "<=",
    "</",
    ">/",
    "and",
    "or",
    "unless",
    "atan2",
    "bool",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "fill",
    "offset",
    "@",
    "start",
    "end",
    "step",
    "range",
    "min_of",
    ",",
    ":",
    "=",
    "=~",
    "!~",
    "!",
    "\"x\"",
    "'y'",
    "`z`",
    "\"\\x41\"",
    "\"\\",
    "rate",
    "label_replace",
    "topk",
    "quantile",
    "anchored",
    "smoothed",
    "#",
    "\n",
    " ",
    ".",
    "é",
    "1e400",
    "99999999999y",
    "__name__",
];

/// Builds random well-formed vector expressions.
fn vector() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("up".to_owned()),
        Just("{job=~\"a|b\",x!=\"\"}".to_owned()),
        Just("m offset -5m @ 12.5".to_owned()),
        "[a-z]{1,4}".prop_map(|name| format!("m{name}{{l=\"{name}\"}}")),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let operators = prop::sample::select(vec![
            "+",
            "-",
            "*",
            "/",
            "%",
            "^",
            "atan2",
            "and",
            "or",
            "unless",
            "==",
            "!=",
            "> bool",
            "<= on(a)",
            "* on(a, b) group_left(c)",
            "/ ignoring(x) group_right()",
            "- fill(0)",
        ]);
        prop_oneof![
            (inner.clone(), operators, inner.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("-({a})")),
            inner.clone().prop_map(|a| format!("sum by (a, b) ({a})")),
            inner.clone().prop_map(|a| format!("topk without (c) (3, {a})")),
            inner.clone().prop_map(|a| format!("max_over_time(({a})[1h:5m] offset 1d)")),
            inner.clone().prop_map(|a| format!("clamp({a}, -1, scalar({a}))")),
            inner.prop_map(|a| format!("label_replace({a}, \"x\", \"$1\", \"y\", \"(.*)\")")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_text_is_parsed_or_refused(text in ".{0,60}") {
        let parsed = parse_with(&text, ParserOptions::everything());
        prop_assert!(parsed.is_ok() || parsed.is_err_and(|error| text.is_empty() || error.line >= 1 && error.column >= 1));
        let _ = parse_selector(&text);
    }

    #[test]
    fn any_pieces_are_parsed_or_refused(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..24),
        spaced in any::<bool>(),
    ) {
        let text = pieces.join(if spaced { " " } else { "" });
        if let Ok(expr) = parse_with(&text, ParserOptions::everything()) {
            let printed = expr.to_string();
            let again = parse_with(&printed, ParserOptions::everything());
            prop_assert_eq!(again.map(|e| e.to_string()), Ok(printed));
        }
    }

    #[test]
    fn printing_is_a_fixpoint(query in vector()) {
        let expr = parse_with(&query, ParserOptions::everything());
        prop_assert!(expr.is_ok(), "{}: {:?}", query, expr);
        let printed = expr.expect("checked").to_string();
        let again = parse_with(&printed, ParserOptions::everything());
        prop_assert_eq!(again.map(|e| e.to_string()), Ok(printed));
    }
}
