//! Queries broken on purpose, the same ones each time: the parser refuses or accepts, and what it accepts prints, splits
//! and parses again to the same.

use promql::{Expr, NESTING_MAX, ParserOptions, parse, parse_selector, parse_with};

/// How many mutants each seed has.
const MUTANTS: usize = 400;

/// One query of every construct.
const SEEDS: &[&str] = &[
    "1_000 + 0x1F - .5e-3 * Inf ^ NaN % -2",
    "up{job=~\"a|b\",instance!=\"\",zone!~`x.*`} offset -5m @ 12.5",
    "{\"metric.with.dots\", 'label name'=\"\\u00e9\\x41\\101\\n\"}",
    "sum by (a, b,) (rate(x[5m])) / on (a) group_left (c) avg without (b) (y)",
    "topk(3, x) == bool 1 and on () z unless ignoring (q) w or v",
    "a + fill_left (1) fill_right (-2) b > bool fill (0) c",
    "max_over_time((a atan2 b)[1h:5m] offset 1d @ start())[2h:]",
    "rate(x[5m] anchored) + y smoothed offset step() - delta(z[1m + range() * 2] offset -(1m))",
    "histogram_quantile(0.9, sum(rate(b_bucket[min_of(5m, range())])) by (le)) # comment\n",
    "label_replace(info(x, {__name__=~\".+_info\", data=~\".+\"}), \"a\", \"$1\", \"b\", \"(.*)\")",
    "quantile(scalar(x), -(+(-y))) </ 2 >/ 3",
    "count_values(\"v\", limit_ratio(-0.5, clamp(x, 1d, 2w3d4h5m6s7ms)))",
    "absent(nonexistent{a=\"b\"}) * time() - 5m30s",
];

/// What is put into a query, or in place of a part of it.
const SPLICES: &[&str] = &[
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "::",
    "\"",
    "'",
    "`",
    "\\",
    "#",
    "\n",
    " ",
    "@",
    "offset",
    "by",
    "on",
    "bool",
    "fill(",
    "5m",
    "1e400",
    "0x",
    "08",
    "_",
    "-",
    "+",
    "=~\"(\"",
    "!=",
    "</",
    "step()",
    "\u{0}",
    "é",
    "99999999999999y",
];

/// A small generator of numbers (SplitMix64), so that a failure names its seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }

    /// Returns a place between two characters.
    fn place(&mut self, text: &str) -> usize {
        let mut at = self.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

fn mutate(text: &mut String, numbers: &mut Numbers) {
    let (a, b) = (numbers.place(text), numbers.place(text));
    let (from, to) = (a.min(b), a.max(b).min(a.min(b) + 12));
    let to = (from..=to).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(from);
    match numbers.below(4) {
        0 => text.replace_range(from..to, ""),
        1 => text.insert_str(from, SPLICES[numbers.below(SPLICES.len())]),
        2 => text.replace_range(from..to, SPLICES[numbers.below(SPLICES.len())]),
        _ => {
            let copy = text[from..to].to_owned();
            let at = numbers.place(text);
            text.insert_str(at, &copy);
        }
    }
}

/// Holds an accepted query against what it prints as.
fn check(query: &str, expr: &Expr) {
    let printed = expr.to_string();
    let pretty = expr.prettify().expect("short queries are formatted");
    for text in [&printed, &pretty] {
        let again = parse_with(text, ParserOptions::everything());
        let again = again.unwrap_or_else(|e| panic!("{query:?} becomes {text:?}: {e}"));
        assert_eq!(again.to_string(), printed, "{query:?} as {text:?}");
        assert_eq!(again.prettify().as_deref(), Some(pretty.as_str()), "{query:?} as {text:?}");
    }
}

#[test]
fn mutants_are_refused_or_read_back() {
    let (mut accepted, mut refused) = (0, 0);
    for (index, seed) in SEEDS.iter().enumerate() {
        parse_with(seed, ParserOptions::everything()).unwrap_or_else(|e| panic!("{seed}: {e}"));
        for mutant in 0..MUTANTS {
            let mut numbers = Numbers((index * MUTANTS + mutant) as u64);
            let mut query = (*seed).to_owned();
            for _ in 0..=numbers.below(4) {
                mutate(&mut query, &mut numbers);
            }
            let _ = parse_selector(&query);
            match parse_with(&query, ParserOptions::everything()) {
                Ok(expr) => {
                    accepted += 1;
                    check(&query, &expr);
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.line >= 1 && error.column >= 1, "{query:?}: {error}");
                }
            }
        }
    }
    assert!(accepted > 200 && refused > 1000, "{accepted} accepted, {refused} refused");
}

#[test]
fn deep_queries_are_refused_and_long_ones_are_not() {
    let deep =
        |open: &str, close: &str, count: usize| format!("{}x{}", open.repeat(count), close.repeat(count));
    for (open, close) in [("(", ")"), ("sum(", ")"), ("abs(", ")"), ("-(", ")"), ("2^", ""), ("x[", "")] {
        let error = parse(&deep(open, close, 20_000)).map(|_| ()).expect_err(open);
        assert!(
            error.message.contains("nested more than 200 levels deep") || open == "x[",
            "{open}: {error}"
        );
    }
    let allowed = deep("(", ")", NESTING_MAX - 1);
    assert!(parse(&allowed).is_ok_and(|expr| expr.to_string() == allowed));

    let chain = |operator: &str| vec!["a"; 100_000 / (operator.len() + 1)].join(operator);
    for operator in ["+", " and ", " == ", "* on() "] {
        let expr = parse(&chain(operator)).expect(operator);
        assert!(expr.nodes().count() >= 20_000, "{operator}");
    }
    let signs = format!("{}x", "-".repeat(100_000));
    assert!(parse(&signs).is_err_and(|error| error.message.contains("nested more than")));
    let selectors = |matcher: &str, count| {
        let selector = format!("x{{{}}}", vec![matcher; 1_000].join(","));
        vec![selector; count].join(" + ")
    };
    assert!(parse(&selectors("a=\"b\"", 16)).is_ok());
    let subqueries = format!("x{}", "[5m:1m]".repeat(14_000));
    assert!(parse(&subqueries).is_err(), "a subquery is no instant vector");
    let alternatives = format!("x{{a=~\"{}\"}}", vec!["web-1"; 16_000].join("|"));
    assert!(parse(&alternatives).is_ok());
    let error = parse(&selectors("a=~\"(x.{900})+y\"", 5)).map(|_| ()).expect_err("gigabytes");
    assert!(error.message.contains("64 MiB"), "{error}");
}
