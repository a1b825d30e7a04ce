//! Expositions: what they say, and how malformed ones are refused.

use proptest::prelude::*;
use scrape::{Entry, Format, ParseError, Parser};

/// Prints all entries, one a line.
fn read(format: Format, body: &[u8]) -> Result<Vec<String>, ParseError> {
    let mut parser = Parser::new(format, body);
    let mut lines = Vec::new();
    while let Some(entry) = parser.next_entry()? {
        lines.push(match entry {
            Entry::Type { family, metric_type } => format!("TYPE {family} {}", metric_type.as_str()),
            Entry::Help { family, help } => format!("HELP {family} {help:?}"),
            Entry::Unit { family, unit } => format!("UNIT {family} {unit}"),
            Entry::Comment => "COMMENT".to_owned(),
            Entry::Sample(sample) => {
                let time = sample.time_ms.map(|ms| format!(" @{ms}")).unwrap_or_default();
                let exemplar = parser.exemplar().map(|exemplar| {
                    let time = exemplar.time_ms.map(|ms| format!(" @{ms}")).unwrap_or_default();
                    format!(" # {} {}{time}", exemplar.labels, model::float::format_plain(exemplar.value))
                });
                let value = model::float::format_plain(sample.value);
                format!("{} {value}{time}{}", parser.labels().build(), exemplar.unwrap_or_default())
            }
        });
    }
    assert_eq!(parser.next_entry(), Ok(None), "the end stays the end");
    Ok(lines)
}

fn check(format: Format, body: &str, expected: &[&str]) {
    assert_eq!(read(format, body.as_bytes()).map_err(|e| e.to_string()), Ok(strings(expected)), "{body}");
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn the_classic_format() {
    check(
        Format::Text,
        "# HELP go_gc_duration_seconds A summary of the \\\\ GC\\ninvocation \\\"durations\\\".\n\
         # TYPE go_gc_duration_seconds summary\n\
         go_gc_duration_seconds{quantile=\"0\"} 4.9351e-05\n\
         go_gc_duration_seconds{quantile=\"0.25\",} 7.424100000000001e-05\n\
         go_gc_duration_seconds{ quantile = \"1\" , a = \"b\" } 8.3835e-05\t1520879607789\n\
         \n\
         # just a comment\n\
         #HELP is no metadata\n\
         # TYPE\n\
         # TYPE h histogram\n\
         h_bucket{le=\"1\"} 1\n\
         h_bucket{le=\"+Inf\"} 2\n\
         \t some:thing_1{a=\"\\\\x\\n\\\"y\\\"\\z\"}1 -5\n\
         nothing NaN\n\
         # HELP empty\n\
         # HELP spaces   two\n\
         {\"http.status\",\"a.b\"=\"c\",x=\"\u{e4}\"} +Inf\n\
         last 1",
        &[
            "HELP go_gc_duration_seconds \"A summary of the \\\\ GC\\ninvocation \\\\\\\"durations\\\\\\\".\"",
            "TYPE go_gc_duration_seconds summary",
            "go_gc_duration_seconds{quantile=\"0.0\"} 0.000049351",
            "go_gc_duration_seconds{quantile=\"0.25\"} 0.00007424100000000001",
            "go_gc_duration_seconds{a=\"b\", quantile=\"1.0\"} 0.000083835 @1520879607789",
            "COMMENT",
            "COMMENT",
            "COMMENT",
            "TYPE h histogram",
            "h_bucket{le=\"1.0\"} 1",
            "h_bucket{le=\"+Inf\"} 2",
            "some:thing_1{a=\"\\\\x\\n\\\"y\\\"\\\\z\"} 1 @-5",
            "nothing NaN",
            "HELP empty \"\"",
            "HELP spaces \"  two\"",
            "{\"http.status\", \"a.b\"=\"c\", x=\"\u{e4}\"} +Inf",
            "last 1",
        ],
    );
    for empty in ["", "\n", "\n\n \n", "# nothing"] {
        assert!(read(Format::Text, empty.as_bytes()).is_ok(), "{empty:?}");
    }
}

#[test]
fn openmetrics() {
    check(
        Format::OpenMetrics,
        "# HELP foo_seconds Helpful \\\"text\\\"\\\\\n\
         # TYPE foo_seconds counter\n\
         # UNIT foo_seconds seconds\n\
         foo_seconds_total{a=\"b\"} 17.0 1520879607.789 # {id=\"x\",\"y.z\"=\"1\"} 5 1520879607\n\
         foo_seconds_created 1520872607.123\n\
         # TYPE hh histogram\n\
         hh_bucket{le=\"1e6\"} 1 # {} 4\n\
         # TYPE \"u.v\" stateset\n\
         # UNIT u \n\
         {\"u.v\",s=\"a\"} 1\n\
         # EOF\n",
        &[
            "HELP foo_seconds \"Helpful \\\"text\\\"\\\\\"",
            "TYPE foo_seconds counter",
            "UNIT foo_seconds seconds",
            "foo_seconds_total{a=\"b\"} 17 @1520879607789 # {id=\"x\", \"y.z\"=\"1\"} 5 @1520879607000",
            "foo_seconds_created 1520872607.123",
            "TYPE hh histogram",
            "hh_bucket{le=\"1e+06\"} 1 # {} 4",
            "TYPE u.v stateset",
            "UNIT u ",
            "{\"u.v\", s=\"a\"} 1",
        ],
    );
    check(Format::OpenMetrics, "# EOF", &[]);
}

#[test]
fn the_series_bytes_are_the_line_without_value() {
    let mut parser = Parser::new(Format::Text, b"a{b=\"c\"} 1\n{\"d\"} 2\ne 3\n");
    let mut series = Vec::new();
    while let Some(Entry::Sample(sample)) = parser.next_entry().expect("valid") {
        series.push(String::from_utf8_lossy(sample.series).into_owned());
    }
    assert_eq!(series, ["a{b=\"c\"}", "{\"d\"}", "e"]);
}

#[test]
fn a_label_given_twice_is_named() {
    let mut parser = Parser::new(Format::Text, b"a{b=\"1\",c=\"2\",b=\"3\"} 1\n");
    parser.next_entry().expect("valid");
    assert_eq!(parser.repeated_label().as_deref(), Some("b"));
}

/// Prometheus's messages (`promparse_test.go`), with our line after them.
#[test]
fn malformed_classic_lines() {
    let cases: &[(&[u8], &str)] = &[
        (b"a", r#"expected value after metric, got "\n" ("INVALID") while parsing: "a\n" (line 1)"#),
        (
            b"x 1\na{b='c'} 1\n",
            r#"expected label value, got "'" ("INVALID") while parsing: "a{b='" (line 2)"#,
        ),
        (b"a{b=\n", r#"expected label value, got "\n" ("INVALID") while parsing: "a{b=\n" (line 1)"#),
        (
            b"a{\xff=\"foo\"} 1\n",
            r#"expected label name, got "\xff" ("INVALID") while parsing: "a{\xff" (line 1)"#,
        ),
        (b"a{b=\"\xff\"} 1\n", r#"invalid UTF-8 label value: "\"\xff\"" (line 1)"#),
        (
            br#"{"a", "b = "c"}"#,
            r#"expected equal, got "c\"" ("LNAME") while parsing: "{\"a\", \"b = \"c\"" (line 1)"#,
        ),
        (
            br#"{"a",b\nc="d"} 1"#,
            r#"expected equal, got "\\" ("INVALID") while parsing: "{\"a\",b\\" (line 1)"#,
        ),
        (
            b"a true\n",
            r#"strconv.ParseFloat: parsing "true": invalid syntax while parsing: "a true" (line 1)"#,
        ),
        (
            b"something_weird{problem=\"",
            r#"expected label value, got "\"\n" ("INVALID") while parsing: "something_weird{problem=\"\n" (line 1)"#,
        ),
        (
            b"empty_label_name{=\"\"} 0",
            r#"expected label name, got "=\"" ("EQUAL") while parsing: "empty_label_name{=\"" (line 1)"#,
        ),
        (b"foo 1_2\n", r#"unsupported character in float while parsing: "foo 1_2" (line 1)"#),
        (b"foo 0x1p-3\n", r#"unsupported character in float while parsing: "foo 0x1p-3" (line 1)"#),
        (
            b"foo 0 1_2\n",
            r#"expected next entry after timestamp, got "_" ("INVALID") while parsing: "foo 0 1_" (line 1)"#,
        ),
        (br#"{a="ok"} 1"#, r#"metric name not set while parsing: "{a=\"ok\"} 1" (line 1)"#),
        (
            b"\n# TYPE #\n#EOF\n",
            r##"expected metric name after TYPE, got "#" ("INVALID") while parsing: "# TYPE #" (line 2)"##,
        ),
        (b"# TYPE a b\n", r#"invalid metric type "b" (line 1)"#),
        (
            b"a\x00{b=\"ddd\"} 1",
            r#"expected value after metric, got "\x00" ("INVALID") while parsing: "a\x00" (line 1)"#,
        ),
        (
            b"<!DOCTYPE html>\n<html>",
            r#"expected a valid start token, got "<" ("INVALID") while parsing: "<" (line 1)"#,
        ),
        (
            b"a 1 99999999999999999999\n",
            r#"strconv.ParseInt: parsing "99999999999999999999": value out of range while parsing: "a 1 99999999999999999999" (line 1)"#,
        ),
        (
            b"a 1 2 3\n",
            r#"expected next entry after timestamp, got "3\n" ("TIMESTAMP") while parsing: "a 1 2 3\n" (line 1)"#,
        ),
    ];
    for (body, expected) in cases {
        let error = read(Format::Text, body).expect_err(expected);
        assert_eq!(error.to_string(), *expected, "{:?}", String::from_utf8_lossy(body));
    }
}

/// Prometheus's messages (`openmetricsparse_test.go`), with our line after them.
#[test]
fn malformed_openmetrics_lines() {
    let cases = [
        ("", "data does not end with # EOF"),
        ("\n", r#"expected a valid start token, got "\n" ("INVALID") while parsing: "\n""#),
        ("metric", r#"expected value after metric, got "metric" ("EOF") while parsing: "metric""#),
        ("metric 1", "data does not end with # EOF"),
        ("metric_total 1 # {aa=\"bb\"} 4", "data does not end with # EOF"),
        ("a\n#EOF\n", r#"expected value after metric, got "\n" ("INVALID") while parsing: "a\n""#),
        (" a 1\n# EOF\n", r#"expected a valid start token, got " " ("INVALID") while parsing: " ""#),
        ("9\n# EOF\n", r#"expected a valid start token, got "9" ("INVALID") while parsing: "9""#),
        ("# TYPE u untyped\n# EOF\n", r#"invalid metric type "untyped""#),
        ("# TYPE c counter \n# EOF\n", r#"invalid metric type "counter ""#),
        (
            "#  TYPE c counter\n# EOF\n",
            r##"expected a valid start token, got "#  " ("INVALID") while parsing: "#  ""##,
        ),
        (
            "# TYPE \n# EOF\n",
            r##"expected metric name after TYPE, got "\n" ("INVALID") while parsing: "# TYPE \n""##,
        ),
        ("# TYPE m\n# EOF\n", "expected text in TYPE"),
        ("# UNIT metric suffix\n# EOF\n", r#"unit "suffix" not a suffix of metric "metric""#),
        ("# UNIT metricsuffix suffix\n# EOF\n", r#"unit "suffix" not a suffix of metric "metricsuffix""#),
        ("# UNIT suffix suffix\n# EOF\n", r#"unit "suffix" not a suffix of metric "suffix""#),
        ("a\t1\n# EOF\n", r#"expected value after metric, got "\t" ("INVALID") while parsing: "a\t""#),
        ("a 1\t2\n# EOF\n", r#"strconv.ParseFloat: parsing "1\t2": invalid syntax while parsing: "a 1\t2""#),
        (
            "a 1 2 \n# EOF\n",
            r#"expected next entry after timestamp, got " \n" ("INVALID") while parsing: "a 1 2 \n""#,
        ),
        (
            "a 1 2 #\n# EOF\n",
            r#"expected next entry after timestamp, got " #\n" ("TIMESTAMP") while parsing: "a 1 2 #\n""#,
        ),
        ("a 1 1z\n# EOF\n", r#"strconv.ParseFloat: parsing "1z": invalid syntax while parsing: "a 1 1z""#),
        ("# EOF\na 1", "unexpected data after # EOF"),
        ("# EOF\n\n", "unexpected data after # EOF"),
        (
            "#\tTYPE c counter\n",
            r##"expected a valid start token, got "#\t" ("INVALID") while parsing: "#\t""##,
        ),
        ("a{,b=\"c\"} 1\n# EOF\n", r#"expected label name, got ",b" ("COMMA") while parsing: "a{,b""#),
        (
            "a{b=\"c\"d=\"e\"} 1\n# EOF\n",
            r#"expected comma or brace close, got "d=" ("LNAME") while parsing: "a{b=\"c\"d=""#,
        ),
        (
            "custom_metric_total 1 # {aa=bb}\n# EOF\n",
            r#"expected label value, got "b" ("INVALID") while parsing: "custom_metric_total 1 # {aa=b""#,
        ),
        (
            "custom_metric_total 1 # {aa=\"bb\"}\n# EOF\n",
            r#"expected value after exemplar labels, got "\n" ("INVALID") while parsing: "custom_metric_total 1 # {aa=\"bb\"}\n""#,
        ),
        (
            "custom_metric_total 1 # {bb}",
            r#"expected label name, got "}" ("BCLOSE") while parsing: "custom_metric_total 1 # {bb}""#,
        ),
        (
            "custom_metric_total 1 # {aa=\"bb\"} true",
            r#"strconv.ParseFloat: parsing "true": invalid syntax while parsing: "custom_metric_total 1 # {aa=\"bb\"} true""#,
        ),
        ("{b=\"c\",} 1", r#"metric name not set while parsing: "{b=\"c\",} 1""#),
        ("a 1 NaN", "invalid timestamp NaN"),
        ("a 1 -Inf", "invalid timestamp -Inf"),
        ("hhh_bucket{le=\"+Inf\"} 1 # {aa=\"bb\"} 4 NaN", "invalid exemplar timestamp NaN"),
        ("# H", r##"expected a valid start token, got "# H" ("INVALID") while parsing: "# H""##),
    ];
    for (body, expected) in cases {
        let error = read(Format::OpenMetrics, body.as_bytes()).expect_err(body);
        assert_eq!(error.message, expected, "{body:?}");
    }
    let error = read(Format::OpenMetrics, b"a 1\nb 2\nc\n# EOF\n").expect_err("line 3");
    assert_eq!(error.line, 3);
}

/// A text that is close enough to an exposition to get deep into the parser.
fn almost_exposition() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("# HELP ".to_owned()),
        Just("# TYPE ".to_owned()),
        Just("# UNIT a_b b\n".to_owned()),
        Just("# EOF".to_owned()),
        Just(" # {".to_owned()),
        Just("counter\n".to_owned()),
        "[a-z]{1,3}",
        "[ {}=,\"\\\\\n#\t]",
        "[0-9]{1,20}",
        Just("NaN".to_owned()),
        ".",
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::Text, Format::OpenMetrics] {
            if let Err(error) = read(format, &body) {
                prop_assert!(error.line >= 1 && !error.message.is_empty());
            }
        }
    }

    #[test]
    fn almost_expositions_do_not_panic(body in almost_exposition(), cut in 0usize..100, odd in any::<u8>()) {
        let mut broken = body.clone();
        if !broken.is_empty() {
            let at = cut % broken.len();
            broken[at] = odd;
        }
        for format in [Format::Text, Format::OpenMetrics] {
            for body in [&body, &broken] {
                let lines = body.iter().filter(|b| **b == b'\n').count() as u64 + 1;
                if let Err(error) = read(format, body) {
                    prop_assert!(error.line <= lines);
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_read(
        name in "[a-zA-Z_:][a-zA-Z0-9_:]{0,8}",
        labels in prop::collection::btree_map("[a-z]{1,4}", ".{1,12}", 0..5),
        value in any::<f64>(),
        time_ms in prop::option::of(any::<i32>()),
    ) {
        let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let pairs: Vec<String> = labels.iter().map(|(n, v)| format!("{n}=\"{}\"", escape(v))).collect();
        let value = if value.is_nan() { f64::from_bits(model::sample::NORMAL_NAN_BITS) } else { value };
        let printed = model::float::format_plain(value);
        let (ms, seconds) = time_ms.map(|t| (format!(" {t}"), format!(" {t}"))).unwrap_or_default();
        let text = format!("{name}{{{}}} {printed}{ms}", pairs.join(","));
        let open = format!("{name}{{{}}} {printed}{seconds}\n# EOF\n", pairs.join(","));
        let expected = model::LabelSet::from_pairs(
            labels.iter().map(|(n, v)| (n.clone(), v.clone())).chain([("__name__".to_owned(), name.clone())]),
        );
        for (format, body, scale) in [(Format::Text, text, 1), (Format::OpenMetrics, open, 1000)] {
            let mut parser = Parser::new(format, body.as_bytes());
            let Some(Entry::Sample(sample)) = parser.next_entry().expect("valid") else { panic!("a sample") };
            prop_assert_eq!(parser.labels().build(), expected.clone());
            prop_assert_eq!(sample.value.to_bits(), value.to_bits());
            prop_assert_eq!(sample.time_ms, time_ms.map(|t| i64::from(t) * scale));
            prop_assert_eq!(parser.next_entry(), Ok(None));
        }
    }
}
