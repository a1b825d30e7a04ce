//! Checks source files one by one: the `//!` at the top, the length of the production part, the length of functions.
//!
//! The production part ends where `#[cfg(test)]` opens the module of tests. Files of tests (in a folder `tests`, or named
//! `tests.rs`) are not production code: they only must say what they are. A function's length is that of its body, braces included, without blank lines and
//! lines that are only a comment.

use std::fs;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// How long things may be, in lines.
pub(crate) struct Limits {
    pub(crate) file_lines_max: usize,
    pub(crate) file_lines_noted: usize,
    pub(crate) function_lines_max: usize,
}

/// A function that may be longer than the limit.
pub(crate) struct LongFunction {
    pub(crate) file: &'static str,
    pub(crate) function: &'static str,
    pub(crate) reason: &'static str,
}

/// A function that is longer than the limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FoundFunction {
    pub(crate) file: String,
    pub(crate) function: String,
    pub(crate) lines: usize,
}

/// What one file is like.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) faults: Vec<String>,
    /// Files that are long and not yet too long.
    pub(crate) noted: Vec<String>,
    pub(crate) long_functions: Vec<FoundFunction>,
}

/// Returns all Rust files of a package, sorted; build output and hidden folders are passed over.
pub(crate) fn source_files(dir: &Path) -> Vec<PathBuf> {
    let (mut files, mut pending) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).expect("a package's folder is readable") {
            let path = entry.expect("a package's folder is readable").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or(".");
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    pending.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Checks one file.
pub(crate) fn check(name: &str, text: &str, limits: &Limits) -> Report {
    let mut report = Report::default();
    if !text.starts_with("//!") {
        report.faults.push(format!("{name}: does not open with //! and what it is"));
    }
    if is_test_file(name) {
        return report;
    }
    let lines = production_lines(text);
    if lines > limits.file_lines_max {
        report.faults.push(format!("{name}: {lines} lines, the limit is {}", limits.file_lines_max));
    } else if lines > limits.file_lines_noted {
        report.noted.push(format!("{name}: {lines}"));
    }
    match syn::parse_file(text) {
        Ok(file) => {
            let mut finder = Finder { text: text.lines().collect(), functions: Vec::new() };
            finder.visit_file(&file);
            let long = finder.functions.into_iter().filter(|(_, lines)| *lines > limits.function_lines_max);
            let found = |(function, lines)| FoundFunction { file: name.to_owned(), function, lines };
            report.long_functions.extend(long.map(found));
        }
        Err(error) => report.faults.push(format!("{name}: is not Rust: {error}")),
    }
    report
}

/// Holds the long functions against those that may be long; either without the other is a fault.
pub(crate) fn check_long_functions(found: &[FoundFunction], allowed: &[LongFunction]) -> Vec<String> {
    let is = |found: &FoundFunction, allowed: &LongFunction| {
        found.file == allowed.file && found.function == allowed.function
    };
    let unlisted = found.iter().filter(|f| !allowed.iter().any(|a| is(f, a)));
    let unlisted = unlisted.map(|f| format!("{}: fn {} has {} lines", f.file, f.function, f.lines));
    let stale = allowed.iter().filter(|a| !found.iter().any(|f| is(f, a)));
    let stale = stale.map(|a| format!("{}: fn {} is listed as long and is not", a.file, a.function));
    let silent = allowed.iter().filter(|a| a.reason.is_empty());
    let silent = silent.map(|a| format!("{}: fn {} is listed as long without a reason", a.file, a.function));
    unlisted.chain(stale).chain(silent).collect()
}

fn is_test_file(name: &str) -> bool {
    // The first `tests` may be the package of that name, whose library is production code.
    let folders: Vec<_> = Path::new(name).components().map(|part| part.as_os_str().to_owned()).collect();
    folders.iter().skip(1).any(|folder| folder == "tests" || folder == "tests.rs")
}

fn production_lines(text: &str) -> usize {
    let lines: Vec<_> = text.lines().collect();
    let opens_tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests");
    lines.windows(2).position(opens_tests).unwrap_or(lines.len())
}

/// Collects the production functions of a file with the lengths of their bodies.
struct Finder<'a> {
    text: Vec<&'a str>,
    functions: Vec<(String, usize)>,
}

impl Finder<'_> {
    fn note(&mut self, name: &syn::Ident, body: &syn::Block) {
        let span = body.span();
        let lines = &self.text[span.start().line - 1..span.end().line];
        let counts = |line: &&&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        self.functions.push((name.to_string(), lines.iter().filter(counts).count()));
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            self.note(&item.sig.ident, &item.block);
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            self.note(&item.sig.ident, &item.block);
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.note(&item.sig.ident, body);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { file_lines_max: 12, file_lines_noted: 8, function_lines_max: 4 };

    fn faults(name: &str, text: &str) -> Vec<String> {
        check(name, text, &LIMITS).faults
    }

    fn long(text: &str) -> Vec<(String, usize)> {
        let report = check("a.rs", text, &LIMITS);
        assert!(report.faults.is_empty(), "{:?}", report.faults);
        report.long_functions.into_iter().map(|found| (found.function, found.lines)).collect()
    }

    #[test]
    fn every_file_says_what_it_is() {
        assert_eq!(faults("a.rs", "//! A.\n"), Vec::<String>::new());
        assert_eq!(faults("a.rs", "// A.\n"), ["a.rs: does not open with //! and what it is"]);
        assert_eq!(
            faults("a/tests/b.rs", "\n//! A.\n"),
            ["a/tests/b.rs: does not open with //! and what it is"]
        );
    }

    #[test]
    fn only_production_lines_count() {
        let consts = "const A: u8 = 0;\n";
        let head = |lines: usize| format!("//! A.\n{}", consts.repeat(lines - 1));
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", consts.repeat(20));
        assert_eq!(faults("a.rs", &(head(12) + &tests)), Vec::<String>::new());
        assert_eq!(faults("a.rs", &(head(13) + &tests)), ["a.rs: 13 lines, the limit is 12"]);
        assert_eq!(
            faults("a.rs", &(head(10) + "#[cfg(test)]\n" + consts + consts)),
            ["a.rs: 13 lines, the limit is 12"]
        );
        assert_eq!(faults("crates/a/tests/b.rs", &head(13)), Vec::<String>::new());
        assert_eq!(faults("tests/src/b.rs", &head(13)), ["tests/src/b.rs: 13 lines, the limit is 12"]);
        assert_eq!(faults("tests/tests/b.rs", &head(13)), Vec::<String>::new());
        assert_eq!(faults("crates/a/src/b/tests.rs", &head(13)), Vec::<String>::new());
        assert_eq!(check("a.rs", &head(9), &LIMITS).noted, ["a.rs: 9"]);
        assert_eq!(check("a.rs", &head(8), &LIMITS).noted, Vec::<String>::new());
    }

    #[test]
    fn long_functions_are_found_wherever_they_stand() {
        let body = "{\n1;\n\n// a comment\n2;\n3;\n}\n";
        let short = "{\n1;\n\n// a comment\n2;\n}\n";
        assert_eq!(long(&format!("//! A.\nfn a() {short}")), []);
        assert_eq!(long(&format!("//! A.\nfn a() {body}")), [("a".into(), 5)]);
        assert_eq!(long(&format!("//! A.\nimpl X {{ async fn b() {body} }}")), [("b".into(), 5)]);
        assert_eq!(long(&format!("//! A.\ntrait X {{ fn c() {body} fn d(); }}")), [("c".into(), 5)]);
        assert_eq!(long(&format!("//! A.\nmod m {{ fn e() {body} }}")), [("e".into(), 5)]);
        assert_eq!(long(&format!("//! A.\n#[cfg(test)]\nmod t {{ fn f() {body} }}")), []);
        assert_eq!(long(&format!("//! A.\n#[cfg(unix)]\nmod t {{ fn g() {body} }}")), [("g".into(), 5)]);
    }

    #[test]
    fn what_is_not_rust_is_a_fault() {
        assert_eq!(faults("a.rs", "//! A.\nfn").len(), 1);
    }

    #[test]
    fn long_functions_are_listed_and_listed_ones_are_long() {
        let found =
            |function: &str| FoundFunction { file: "a.rs".into(), function: function.into(), lines: 9 };
        let allowed = |function, reason| LongFunction { file: "a.rs", function, reason };
        assert_eq!(check_long_functions(&[found("a")], &[allowed("a", "one table")]), Vec::<String>::new());
        assert_eq!(check_long_functions(&[found("a")], &[]), ["a.rs: fn a has 9 lines"]);
        assert_eq!(
            check_long_functions(&[], &[allowed("a", "one table")]),
            ["a.rs: fn a is listed as long and is not"]
        );
        assert_eq!(
            check_long_functions(&[found("a")], &[allowed("a", "")]),
            ["a.rs: fn a is listed as long without a reason"]
        );
    }
}
