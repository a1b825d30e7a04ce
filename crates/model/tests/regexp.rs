//! Regular expressions: which patterns are refused and how, what matches, templates, hostile patterns.
//!
//! The tables were compared with a Prometheus once, pattern by pattern; the properties compare with the engine's own
//! dialect, where both mean the same.

use model::regexp::{Fault, Regexp};
use proptest::prelude::*;

/// Patterns that are refused, what is said, and the part that is named.
const REFUSED: &[(&str, &str, &str)] = &[
    ("(", "missing closing )", "("),
    ("(a|b", "missing closing )", "(a|b"),
    ("(?P<n>a", "missing closing )", "(?P<n>a"),
    ("a)", "unexpected )", "a)"),
    (")(", "unexpected )", ")("),
    ("[a-z", "missing closing ]", "[a-z"),
    ("x([a-z)", "missing closing ]", "[a-z)"),
    ("[]", "missing closing ]", "[]"),
    ("[^]", "missing closing ]", "[^]"),
    ("[b-a]", "invalid character class range", "b-a"),
    ("[a--b]", "invalid character class range", "a--"),
    ("[[:foo:]]", "invalid character class range", "[:foo:]"),
    (r"\p{Nope}", "invalid character class range", r"\p{Nope}"),
    (r"\p{Greek", "invalid character class range", r"\p{Greek"),
    (r"\p", "invalid character class range", r"\p"),
    (r"\p{Latn}x", "invalid character class range", r"\p{Latn}"),
    (r"\p{IsGreek}", "invalid character class range", r"\p{IsGreek}"),
    (r"\p{Alphabetic}", "invalid character class range", r"\p{Alphabetic}"),
    (r"a\q", "invalid escape sequence", r"\q"),
    (r"\C", "invalid escape sequence", r"\C"),
    (r"\1", "invalid escape sequence", r"\1"),
    (r"\8", "invalid escape sequence", r"\8"),
    (r"\Z", "invalid escape sequence", r"\Z"),
    (r"\é", "invalid escape sequence", r"\é"),
    (r"\x4", "invalid escape sequence", r"\x4"),
    (r"\xg1", "invalid escape sequence", r"\xg1"),
    (r"\x{}", "invalid escape sequence", r"\x{}"),
    (r"\x{110000}", "invalid escape sequence", r"\x{110000"),
    (r"[\b]", "invalid escape sequence", r"\b"),
    (r"[a-\d]", "invalid escape sequence", r"\d"),
    (r"a\", "trailing backslash at end of expression", ""),
    ("*", "missing argument to repetition operator", "*"),
    ("a|*", "missing argument to repetition operator", "*"),
    ("(+?)", "missing argument to repetition operator", "+?"),
    ("(?i)?", "missing argument to repetition operator", "?"),
    (r"\Q\E*", "missing argument to repetition operator", "*"),
    ("{2}", "missing argument to repetition operator", "{2}"),
    ("a**b", "invalid nested repetition operator", "**"),
    ("a+?*", "invalid nested repetition operator", "+?*"),
    ("a{2}{3}", "invalid nested repetition operator", "{2}{3}"),
    ("a{1001}", "invalid repeat count", "{1001}"),
    ("a{9876543210,}", "invalid repeat count", "{9876543210,}"),
    ("a{2,1}", "invalid repeat count", "{2,1}"),
    ("(a{2,500}){3}", "invalid repeat count", "{3}"),
    ("(?:[a-z]{4}){0,251}", "invalid repeat count", "{0,251}"),
    ("(?=a)", "invalid or unsupported Perl syntax", "(?="),
    ("(?!a)", "invalid or unsupported Perl syntax", "(?!"),
    ("(?x)a", "invalid or unsupported Perl syntax", "(?x"),
    ("(?i-)", "invalid or unsupported Perl syntax", "(?i-)"),
    ("(?", "invalid or unsupported Perl syntax", "(?"),
    ("(?P=n)", "invalid or unsupported Perl syntax", "(?P"),
    ("(?<=a)", "invalid named capture", "(?<=a)"),
    ("(?P<a b>x)", "invalid named capture", "(?P<a b>"),
    ("(?<>x)", "invalid named capture", "(?<>"),
];

/// Pattern, texts that match, texts that do not.
type Case = (&'static str, &'static [&'static str], &'static [&'static str]);

const MATCHED: &[Case] = &[
    ("", &[""], &["a"]),
    ("a|", &["a", ""], &["b"]),
    // Classes of Perl are ASCII, dots are not, and match a newline.
    (r"\d+", &["19"], &["٣", ""]),
    (r"\w", &["a", "_"], &["é"]),
    (r"\s", &[" ", "\n", "\x0c"], &["\x0b", "\u{a0}"]),
    (r"[[:space:]]", &["\x0b"], &["\u{a0}"]),
    (r"[^[:^alpha:]]", &["x"], &["1"]),
    (r"\S\D\W", &["éé-"], &["é1-"]),
    (".", &["é", "\n"], &["", "ab"]),
    ("(?-s).", &["é"], &["\n"]),
    ("[^a]", &["\n", "b"], &["a"]),
    (r"a\b.c", &["a c"], &["abc"]),
    (r"a\Bb", &["ab"], &["a b"]),
    (r"é\B-", &["é-"], &[]),
    // Brackets hold characters only.
    ("[a&&b]", &["a", "&", "b"], &["&&"]),
    ("[+--b]", &["+", ",", "-", "b"], &["a", "--"]),
    ("[a~~b]", &["~"], &["~~"]),
    ("[[a]]", &["[]", "a]"], &["a", "["]),
    ("[]a]", &["]", "a"], &[]),
    ("[a-]", &["a", "-"], &["b"]),
    ("[a-b-c]", &["-", "b", "c"], &["d"]),
    (r"[\012-\x7a\.]", &["\n", "z", "."], &["{"]),
    // Escapes.
    (r"\Qa.b\E+", &["a.b", "a.bb"], &["axb"]),
    (r"\Q*\", &["*\\"], &[]),
    (r"\<\>\_\-", &["<>_-"], &[]),
    (r"\07\x41\x{1F600}\t", &["\x07A😀\t"], &[]),
    (r"\x{D800}", &[], &["\u{fffd}", ""]),
    (r"\Aa\z", &["a"], &["a\n"]),
    ("^a$", &["a"], &["a\n"]),
    ("(?m)a$\n^b", &["a\nb"], &["a\n\nb"]),
    // Braces that are no repetition.
    ("a{,2}", &["a{,2}"], &["aa"]),
    ("a{01}{", &["a{01}{"], &[]),
    ("(a{2}){0,2}", &["", "aa", "aaaa"], &["a", "aaa"]),
    ("^*a$+", &["a"], &["", "aa"]),
    // Case.
    ("(?i)straSSe-1", &["STRASSE-1", "ſtrasse-1"], &["strasse-2", "straße-1"]),
    ("(?i)kelvin", &["KELVIN", "\u{212a}elvin"], &["kelvi"]),
    ("(?i)[j-l]", &["\u{212a}", "K"], &["m"]),
    (r"(?i)\W", &["é"], &["\u{17f}", "S"]),
    ("(?i:a)b", &["Ab"], &["AB"]),
    ("a(?i)b|c", &["aB", "C"], &["A"]),
    ("(?i)(?-i:a)É", &["aé"], &["Aé"]),
    // Unicode.
    (r"\pN\p{Greek}", &["٣α"], &["3a"]),
    (r"\P{Greek}\p{^Greek}", &["ab"], &["aα"]),
    (r"\p{upper case-letter}\p{Any}", &["Éx"], &["éx"]),
    (r"(?i)\p{Lu}", &["é", "É"], &["1"]),
    // Shapes that need no engine.
    (".*", &["", "x\ny"], &[]),
    (".+", &["é"], &[""]),
    ("pod-.*", &["pod-", "pod-é"], &["pod", "xpod-"]),
    ("pod-.+", &["pod-é"], &["pod-"]),
    (".*-(api)", &["-api", "é-api"], &["-api "]),
    (".*mid.*", &["mid", "amidé"], &["mi", "dim"]),
    (".+mid.+", &["émidé", "midmidmid", "xmidmid"], &["midx", "xmid"]),
    ("a.*b.*c", &["abc", "abbc", "a-b-c"], &["acb", "ab"]),
    ("a.*bb", &["abb", "abbb"], &["ab"]),
    ("ab.*bc", &["abbc"], &["abc"]),
    ("a|bc|d(e|f)|", &["a", "bc", "de", "df", ""], &["d", "b"]),
];

#[test]
fn refuses_in_the_words_of_go() {
    for (pattern, says, part) in REFUSED {
        let error = Regexp::new(pattern).expect_err(pattern).to_string();
        assert_eq!(error, format!("error parsing regexp: {says}: `{part}`"), "{pattern}");
    }
}

#[test]
fn matches_whole_texts() {
    for (pattern, yes, no) in MATCHED {
        let (fast, full) =
            (Regexp::for_matching(pattern).expect(pattern), Regexp::new(pattern).expect(pattern));
        let check = |text: &str, expected: bool| {
            assert_eq!(fast.is_match(text), expected, "{pattern} on {text:?}");
            assert_eq!(full.captures(text).is_some(), expected, "{pattern} on {text:?}, by the engine");
        };
        yes.iter().for_each(|text| check(text, true));
        no.iter().for_each(|text| check(text, false));
    }
}

#[test]
fn templates_follow_go() {
    let cases = [
        (r"(.*):(\d+)", "host:80", "$2-${1}", Some("80-host")),
        (r"(.*):(\d+)", "host:80", "$1x", Some("")),
        (r"(.*):(\d+)", "host:80", "${1}x", Some("hostx")),
        (r"(?P<h>.*):(?<p>\d+)", "host:80", "$p/$h/$nope", Some("80/host/")),
        ("(?P<x>a)|(?P<x>b)", "b", "$x$1$2", Some("bb")),
        ("a", "a", "$$1 $ ${ $0 ${0} $01 $9", Some("$1 $ ${ a a  ")),
        ("(a)", "a", "$1é $1-", Some(" a-")),
        ("a", "b", "x", None),
        ("a|b", "ab", "x", None),
        (".*", "a\nb", "$0", Some("a\nb")),
        ("(a)|b", "b", "[$1]", Some("[]")),
        ("(a+?)(a*)", "aaa", "$1.$2", Some("a.aa")),
        ("(?U)(a+)(a*)", "aaa", "$1.$2", Some("a.aa")),
        ("(?U)(a+?)(a*)", "aaa", "$1.$2", Some("aaa.")),
    ];
    for (pattern, text, template, expected) in cases {
        let pattern = Regexp::new(pattern).expect(pattern);
        let got = pattern.captures(text).map(|found| found.expand(template));
        assert_eq!(got.as_deref(), expected, "{pattern:?} on {text:?} with {template:?}");
    }
}

#[test]
fn indexes_learn_sets_and_prefixes() {
    let regexp = |pattern: &str| Regexp::for_matching(pattern).expect(pattern);
    let set = |pattern: &str| regexp(pattern).set_matches().map(<[String]>::to_vec);
    assert_eq!(set("b|a|b|d(e|f)"), Some(["a", "b", "de", "df"].map(str::to_owned).to_vec()));
    assert_eq!(set("^a?[xy]$"), Some(["ax", "ay", "x", "y"].map(str::to_owned).to_vec()));
    assert_eq!(set("(?i)a"), Some(["A", "a"].map(str::to_owned).to_vec()));
    for pattern in ["a*", "[a-z]", "a.", "(a|b|c|d|e){6}", r"\bab"] {
        assert_eq!(set(pattern), None, "{pattern}");
    }
    let prefixes =
        [("pod-7-.*", "pod-7-"), ("^(pod)-[0-9]", "pod-"), ("(?i)pod", ""), ("a|b", ""), ("ab(c|d)e.", "ab")];
    for (pattern, prefix) in prefixes {
        assert_eq!(regexp(pattern).prefix(), prefix, "{pattern}");
    }
}

#[test]
fn hostile_patterns_are_refused_or_linear() {
    let fault = |pattern: &str| Regexp::for_matching(pattern).err().map(|error| error.fault);
    assert_eq!(fault("(a{1000}){1000}"), Some(Fault::RepeatCount));
    assert_eq!(fault(&("(".repeat(20_000) + &")".repeat(20_000))), Some(Fault::NestingDepth));
    assert_eq!(fault(&("(?:".repeat(20_000) + "a" + &")*".repeat(20_000))), Some(Fault::NestingDepth));
    assert_eq!(fault(&"(".repeat(20_000)), Some(Fault::MissingParen));
    assert_eq!(fault(&("(".repeat(998) + &")".repeat(998))), None, "as deep as allowed");
    assert_eq!(
        fault(&("(?:".repeat(20_000) + &")".repeat(20_000))),
        None,
        "groups without effect are no depth"
    );
    assert_eq!(fault(&"(xx?){1000}".repeat(1000)), Some(Fault::TooLarge));
    assert_eq!(fault(&r"\pL".repeat(30_000)), Some(Fault::TooLarge));
    assert_eq!(fault(&r"(?i)[\pL\d]".repeat(10_000)), Some(Fault::TooLarge));
    assert_eq!(fault(r"\pL{1000}"), Some(Fault::TooLarge), "10 MiB compiled");
    assert_eq!(fault(&"|".repeat(100_000)), None);

    let names: Vec<String> = (0..15_000).map(|n| format!("pod-{n}")).collect();
    let alternation = Regexp::for_matching(&names.join("|")).expect("literals");
    assert_eq!(alternation.set_matches().map(<[String]>::len), Some(15_000));
    assert!(names.iter().all(|name| alternation.is_match(name)) && !alternation.is_match("pod-15000"));
}

#[test]
fn matching_is_linear_in_the_text() {
    // A backtracking engine would not come to an end.
    let text = "a".repeat(100_000) + "!";
    for pattern in ["(a|aa)+", "(a*)*b", "(a?){500}a{500}", ".*.*.*=.*", "(x+x+)+y"] {
        assert!(!Regexp::for_matching(pattern).expect(pattern).is_match(&text), "{pattern}");
    }
}

/// Builds patterns that Go and Rust read alike.
fn common() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a", "b", "ab", "é", ".", "[ab]", "[^a]", "[a-c]", r"\.", r"\n", "-", "^", "$", r"\x41", "", ".*",
        ".+", "1",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 3, |inner| {
        let operators = prop::sample::select(vec!["*", "+", "?", "*?", "{2}", "{1,3}", "{0,}"]);
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}{b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}|{b}")),
            (inner.clone(), operators).prop_map(|(a, op)| format!("(?:{a}){op}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.prop_map(|a| format!("(?i:{a})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn agrees_with_the_engine_where_both_mean_the_same(
        pattern in common(),
        texts in prop::collection::vec("[abcAéB1.\\-\n]{0,8}", 1..12),
    ) {
        let oracle = regex_automata::meta::Regex::new(&format!("^(?s:{pattern})$")).expect("common patterns are valid");
        let (fast, full) = (Regexp::for_matching(&pattern), Regexp::new(&pattern));
        let (Ok(fast), Ok(full)) = (fast, full) else { return Err(TestCaseError::fail(pattern)) };
        for text in &texts {
            let expected = oracle.is_match(text);
            prop_assert_eq!(fast.is_match(text), expected, "{} on {:?}", &pattern, text);
            prop_assert_eq!(full.captures(text).is_some(), expected, "{} on {:?}", &pattern, text);
            prop_assert!(!expected || text.starts_with(fast.prefix()), "{} on {:?}", &pattern, text);
        }
    }

    #[test]
    fn any_text_is_compiled_or_refused(pattern in r"[a-c()\[\]{}|*+?.^$\\0-9,:<>P=!pQExiUmsLN&~-]{0,24}", text in "[a-c]{0,4}") {
        match Regexp::new(&pattern) {
            Ok(regexp) => prop_assert_eq!(regexp.is_match(&text), regexp.captures(&text).is_some()),
            Err(error) => prop_assert!(pattern.contains(&error.part)),
        }
    }
}
