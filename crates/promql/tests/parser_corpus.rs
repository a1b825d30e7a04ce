//! The parser against 2,210 expressions with Prometheus's verdict, when the corpus lies beside the checkout.
//!
//! The corpus is not part of the project. The counts are printed, and a floor holds them.

use std::path::Path;

use promql::{ParserOptions, parse_with};

/// How many verdicts must agree; raise it when more do.
const VERDICTS_MIN: usize = 2210;
/// How many error texts must hold the expected one.
const MESSAGES_MIN: usize = 145;

/// Tells whether a message holds an expected text, in which `%f` stands for any number.
fn says(message: &str, expected: &str) -> bool {
    let mut rest = message;
    expected.split("%f").all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

#[test]
fn verdicts_agree_with_prometheus() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/promql/parser_corpus.jsonl");
    let Ok(corpus) = std::fs::read_to_string(&path) else {
        println!("SKIPPED: no parser corpus at {}", path.display());
        return;
    };
    let (mut total, mut agree, mut messages, mut with_message) = (0, 0, 0, 0);
    for line in corpus.lines() {
        let case: serde_json::Value = serde_json::from_str(line).expect("the corpus is JSON lines");
        let input = case["input"].as_str().expect("input");
        let fail = case["fail"].as_bool().expect("fail");
        total += 1;
        let result = parse_with(input, ParserOptions::everything());
        if result.is_err() == fail {
            agree += 1;
        } else {
            println!("verdict differs: {input:?}: must fail: {fail}, got {:?}", result.as_ref().err());
        }
        if let (Some(expected), Err(error)) = (case["err"].as_str(), &result) {
            with_message += 1;
            if says(&error.message, expected) {
                messages += 1;
            } else {
                println!("message differs: {input:?}\n  expected: {expected}\n  got:      {error}");
            }
        }
        if let Ok(expr) = &result {
            let printed = expr.to_string();
            let again = parse_with(&printed, ParserOptions::everything())
                .unwrap_or_else(|e| panic!("{input:?} prints as {printed:?}: {e}"));
            assert_eq!(again.to_string(), printed, "printing {input:?} is a fixpoint");
        }
    }
    println!("parser corpus: {agree}/{total} verdicts, {messages}/{with_message} messages");
    assert!(agree >= VERDICTS_MIN, "{agree} of {total} verdicts agree, the floor is {VERDICTS_MIN}");
    assert!(messages >= MESSAGES_MIN, "{messages} messages agree, the floor is {MESSAGES_MIN}");
}
