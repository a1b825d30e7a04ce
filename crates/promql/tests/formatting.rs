//! The prettifier: what is split and how, and that nothing else changes.

use promql::{ParserOptions, parse_with};

fn check(query: &str, lines: &[&str]) {
    let expr = parse_with(query, ParserOptions::everything()).unwrap_or_else(|e| panic!("{query}: {e}"));
    assert_eq!(expr.prettify().as_deref(), Some(lines.join("\n").as_str()), "{query}");
}

#[test]
fn short_queries_stay_on_one_line() {
    check("sum( rate(x{b='1',a=\"2\"}[300s] )) by(job)", &[r#"sum by (job) (rate(x{a="2",b="1"}[5m]))"#]);
    check("a # comment\n + 0x10", &["a + 16"]);
    let ninety = format!("foo{{bar=\"{}\"}}", "x".repeat(89));
    assert_eq!(ninety.len(), 100);
    check(&ninety, &[&ninety]);
    let call = format!("abs({ninety})");
    check(&call, &["abs(", &format!("  {ninety}"), ")"]);
}

#[test]
fn long_queries_are_split_where_they_are_long() {
    check(
        concat!(
            r#"sum by (job, namespace) (rate(http_requests_total{code=~"5..",job="api-server",namespace="production"}[5m]))"#,
            " / on (job) group_left () sum by (job) (rate(http_requests_total[5m]))"
        ),
        &[
            "  sum by (job, namespace) (",
            r#"    rate(http_requests_total{code=~"5..",job="api-server",namespace="production"}[5m])"#,
            "  )",
            "/ on (job) group_left ()",
            "  sum by (job) (rate(http_requests_total[5m]))",
        ],
    );
    check(
        concat!(
            r#"topk(5, -(label_replace(max_over_time((some_rather_long_metric_name{cluster="one"} + 1)[1h:5m] offset 1d),"#,
            r#" "destination", "$1", "source", "(.*)")))"#
        ),
        &[
            "topk(",
            "  5,",
            "  -(",
            "    label_replace(",
            r#"      max_over_time((some_rather_long_metric_name{cluster="one"} + 1)[1h:5m] offset 1d),"#,
            r#"      "destination","#,
            r#"      "$1","#,
            r#"      "source","#,
            r#"      "(.*)""#,
            "    )",
            "  )",
            ")",
        ],
    );
    check(
        concat!(
            r#"(some_rather_long_metric_name{cluster="one",zone="somewhere"} and bool_like_metric_name{cluster="two"})"#,
            "[1h:5m] @ end()"
        ),
        &[
            "(",
            r#"    some_rather_long_metric_name{cluster="one",zone="somewhere"}"#,
            "  and",
            r#"    bool_like_metric_name{cluster="two"}"#,
            ")[1h:5m] @ end()",
        ],
    );
}

#[test]
fn indentation_without_bound_is_refused() {
    let chain = vec!["a"; 50_000].join("+");
    let expr = parse_with(&chain, ParserOptions::everything()).expect("a chain is not nested");
    assert_eq!(expr.to_string().len(), chain.len() + 2 * 49_999);
    assert_eq!(expr.prettify(), None, "2 bytes a level, 50,000 levels");
}
