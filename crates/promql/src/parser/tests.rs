//! Table tests of the parser and the printer.

use super::*;

/// Holds a query against its printed form.
fn check(query: &str, printed: &str) {
    let expr = parse_with(query, ParserOptions::everything()).unwrap_or_else(|e| panic!("{query}: {e}"));
    assert_eq!(expr.to_string(), printed, "{query}");
    let again = parse_with(printed, ParserOptions::everything()).unwrap_or_else(|e| panic!("{printed}: {e}"));
    assert_eq!(again.to_string(), printed, "printing is a fixpoint");
}

/// Holds a query against its error.
fn check_error(query: &str, message: &str) {
    match parse(query) {
        Ok(expr) => panic!("{query:?} parsed as {expr}"),
        Err(error) => assert_eq!(error.to_string(), message, "{query:?}"),
    }
}

#[test]
fn operators_bind_as_in_prometheus() {
    for (query, grouped) in [
        ("a + b * c ^ d", "a + b * c ^ d"),
        ("-2 ^ 2", "-2 ^ 2"),
        ("-a*b", "-a * b"),
        ("2^3^2", "2 ^ 3 ^ 2"),
        ("1 - -1", "1 - -1"),
        ("a and b or c unless d", "a and b or c unless d"),
        ("a == bool on(x, y,) group_left(z) b", "a == bool on (x, y) group_left (z) b"),
        ("a ATAN2 b", "a atan2 b"),
    ] {
        check(query, grouped);
    }
    let root = |query: &str| {
        let expr = parse(query).expect(query);
        expr.node(expr.root()).kind.clone()
    };
    assert!(matches!(root("-2 ^ 2"), NodeKind::Unary(..)), "the power binds tighter than the sign");
    assert!(
        matches!(root("-a * b"), NodeKind::Binary(b) if b.op.as_str() == "*"),
        "the sign binds tighter than times"
    );
    assert!(matches!(root("a or b and c"), NodeKind::Binary(b) if b.op.as_str() == "or"));
}

#[test]
fn prints_everything() {
    for (query, printed) in [
        ("1.50", "1.5"),
        ("0x1F", "31"),
        ("010", "8"),
        ("08", "8"),
        ("1_000", "1000"),
        ("inf", "+Inf"),
        ("-Inf", "-Inf"),
        ("inf ^ 2 ^ inf", "Inf ^ 2 ^ +Inf"),
        ("5m30s", "5m30s"),
        ("-90s + 1", "-1m30s + 1"),
        (r#""a\x41\u00e9\n""#, "\"aAé\\n\""),
        ("'it is'", "\"it is\""),
        ("`raw\\n`", "\"raw\\\\n\""),
        ("up{}", "up"),
        (r#"{"my.metric", job=~"a|b",}"#, r#"{__name__="my.metric",job=~"a|b"}"#),
        (r#"up{z="1",a!~"2"}"#, r#"up{a!~"2",z="1"}"#),
        (r#"up{"quoted label"!="x"}"#, r#"up{"quoted label"!="x"}"#),
        ("up[5m] offset -1h @ 1.5", "up[5m] @ 1.500 offset -1h"),
        ("up @ start() offset 90", "up @ start() offset 1m30s"),
        ("(a+b)[1h:] @ end()", "(a + b)[1h:] @ end()"),
        ("rate(up[5m:30s] offset 1w)[1d:5m]", "rate(up[5m:30s] offset 1w)[1d:5m]"),
        ("sum(x) by (a, by)", "sum by (a, by) (x)"),
        ("topk without() (5, x)", "topk without () (5, x)"),
        ("sum + by", "sum + by"),
        ("x[5m + step() * 2] offset -(1m)", "x[5m + step() * 2] offset -1m"),
        ("x[(5m)] offset -(+(90))", "x[5m] offset -1m30s"),
        ("x smoothed offset 5m @ 1", "x @ 1.000 smoothed offset 5m"),
        ("x[5m] offset 5m @ 1 smoothed", "x[5m] smoothed @ 1.000 offset 5m"),
        ("x[min_of(range(), 5m)]", "x[min_of(range(), 5m)]"),
        ("x[5m] anchored", "x[5m] anchored"),
        ("a + fill(0) b", "a + fill (0) b"),
        ("a + fill_left(1) fill_right(NaN) b", "a + fill_left (1) fill_right (NaN) b"),
        ("up # comment\n+ 1", "up + 1"),
        ("h </ 2 >/ 1", "h </ 2 >/ 1"),
    ] {
        check(query, printed);
    }
}

#[test]
fn errors_carry_the_place() {
    for (query, message) in [
        ("", "unknown position: parse error: no expression found in input"),
        (" # nothing", "1:1: parse error: no expression found in input"),
        ("sum(rate(x y))", "1:12: parse error: unexpected identifier \"y\" in aggregation"),
        ("sum(x) y", "1:8: parse error: unexpected identifier \"y\""),
        ("foo(bar(x)", "1:5: parse error: unknown function with name \"bar\""),
        ("round(x,, 1)", "1:8: parse error: trailing commas not allowed in function call args"),
        ("abs(rate(x), 1)", "1:1: parse error: expected 1 argument(s) in call to \"abs\", got 2"),
        ("abs(x, [5m])", "1:6: parse error: trailing commas not allowed in function call args"),
        ("1e", "1:1: parse error: bad number or duration syntax: \"1e\""),
        ("x )", "1:4: parse error: unexpected right parenthesis ')'"),
        ("x[5m)]", "1:6: parse error: unexpected right parenthesis ')'"),
        ("1 + on (a) 1", "1:1: parse error: vector matching only allowed between instant vectors"),
        ("1 +", "1:4: parse error: unexpected end of input"),
        ("foo\n  bar", "2:3: parse error: unexpected identifier \"bar\""),
        ("sum(", "1:5: parse error: unclosed left parenthesis"),
        (
            "rate(up)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        ("up[0s]", "1:4: parse error: duration must be greater than 0"),
        ("{a=\"\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("mad_over_time(up[5m])", "1:1: parse error: function \"mad_over_time\" is not enabled"),
        ("up @ Inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"),
        ("up offset Inf", "1:11: parse error: duration out of range"),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
    ] {
        check_error(query, message);
    }
}

#[test]
fn depth_is_bounded_and_chains_are_not() {
    let deep = format!("{}1{}", "(".repeat(20_000), ")".repeat(20_000));
    assert!(parse(&deep).expect_err("too deep").message.contains("nested"));
    let deep = format!("{}up", "sum(".repeat(20_000));
    assert!(parse(&deep).expect_err("too deep").message.contains("nested"));
    let chain = format!("up{}", " + up".repeat(20_000));
    assert_eq!(parse(&chain).expect("a chain").to_string(), chain);
    let durations = format!("up[1s{}]", " + 1s".repeat(20_000));
    assert_eq!(parse(&durations).expect("a chain").to_string(), durations);
}

#[test]
fn lists_that_every_series_is_held_against_are_bounded() {
    let labels = |count| vec!["a"; count].join(",");
    assert!(parse(&format!("sum by ({}) (up)", labels(LIST_MAX))).is_ok());
    let error = parse(&format!("sum by ({}) (up)", labels(LIST_MAX + 1))).expect_err("too many");
    assert!(error.message.contains("more than 1024 label names"), "{}", error.message);
    let matchers = |count| vec!["a!=\"b\""; count].join(",");
    assert!(parse(&format!("up{{{}}}", matchers(LIST_MAX))).is_ok());
    let error = parse(&format!("up{{{}}}", matchers(LIST_MAX + 1))).expect_err("too many");
    assert!(error.message.contains("more than 1024 matchers"), "{}", error.message);
}

#[test]
fn selectors_for_match_parameters() {
    let texts = |text: &str| -> Vec<String> {
        parse_selector(text).expect(text).iter().map(ToString::to_string).collect()
    };
    assert_eq!(texts(r#"up{job="x",}"#), ["__name__=\"up\"", "job=\"x\""]);
    assert_eq!(texts(r#"{__name__=~"a.+"}"#), ["__name__=~\"a.+\""]);
    for text in ["", "{}", "up[5m]", "sum(up)", "{a=\"\"}", "up offset 5m", "1"] {
        assert!(parse_selector(text).is_err(), "{text}");
    }
}
