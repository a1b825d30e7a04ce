//! Any text is refused as a pattern or compiled; with and without groups, by its shape or by the engine, it matches the
//! same texts, and they begin with its prefix and are in its set.

#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Regexp;

fuzz_target!(|input: (&str, &str, &str)| {
    let (pattern, text, template) = input;
    match (Regexp::new(pattern), Regexp::for_matching(pattern)) {
        (Ok(full), Ok(fast)) => {
            let found = full.captures(text);
            assert_eq!(found.is_some(), full.is_match(text), "{pattern:?} on {text:?}");
            assert_eq!(found.is_some(), fast.is_match(text), "{pattern:?} on {text:?}");
            assert!(found.is_none() || text.starts_with(fast.prefix()), "{pattern:?} on {text:?}");
            for known in fast.set_matches().unwrap_or_default().iter().take(100) {
                assert!(full.captures(known).is_some(), "{pattern:?} on {known:?}");
            }
            if let Some(found) = found {
                let _ = found.expand(template);
            }
        }
        // A set of literals needs no engine, and so no room for one.
        (Err(_), Ok(fast)) => assert!(fast.set_matches().is_some(), "{pattern:?}"),
        (full, Err(error)) => assert!(full.is_err(), "{pattern:?}: {error}"),
    }
});
