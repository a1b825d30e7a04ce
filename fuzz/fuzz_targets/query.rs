//! Any text is refused or parsed; what is parsed prints and splits to texts that parse to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use promql::{ParserOptions, parse_selector, parse_with};

fuzz_target!(|query: &str| {
    let _ = parse_selector(query);
    let _ = parse_with(query, ParserOptions::default());
    let Ok(expr) = parse_with(query, ParserOptions::everything()) else { return };
    let printed = expr.to_string();
    for text in [Some(printed.clone()), expr.prettify()].into_iter().flatten() {
        let again = parse_with(&text, ParserOptions::everything());
        let again = again.unwrap_or_else(|error| panic!("{query:?} becomes {text:?}: {error}"));
        assert_eq!(again.to_string(), printed, "{query:?} as {text:?}");
    }
});
