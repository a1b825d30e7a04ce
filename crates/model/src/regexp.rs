//! Regular expressions in the dialect of Go's `regexp` (RE2), always for a whole text: `^(?s:PATTERN)$`.
//!
//! 1. `parse` reads the pattern, refuses what Go refuses, in Go's words, and gives the syntax that Rust's engine compiles.
//! 2. `shape` sees what needs no engine: a few literals, and literals with anything between.
//! 3. `regex-automata` compiles the rest. Matching is linear in the text; the compiled form has a limit.
//!
//! What differs from Go: classes of many characters count for what they take here, so a pattern of thousands of `\pL` is
//! too large; and the tables are those of a newer Unicode. Not here: searching within a text.

mod class;
mod error;
mod escape;
mod group;
mod measure;
mod parse;
mod shape;
mod template;

use std::fmt;
use std::sync::Arc;

use regex_automata::meta::Regex;
use regex_syntax::hir::{Hir, Look};

pub use self::error::{Fault, RegexpError};
use self::shape::Shape;
pub use self::template::Match;

/// How much memory one compiled pattern may take; a larger one is refused as too large.
const COMPILED_BYTES_MAX: usize = 10 << 20;
/// How much memory one thread may keep of a pattern's automaton while it is built as texts come.
const CACHE_BYTES_MAX: usize = 2 << 20;

/// A compiled pattern. Clones share it.
#[derive(Clone)]
pub struct Regexp(Arc<Inner>);

struct Inner {
    source: Box<str>,
    shape: Shape,
    /// What every match begins with.
    prefix: String,
    /// Absent when the shape says all and groups do not matter.
    program: Option<Regex>,
    /// By number: the name of a group.
    names: Vec<Option<String>>,
}

impl Regexp {
    /// Compiles a pattern whose groups may be asked for.
    ///
    /// # Errors
    /// [`RegexpError`], in Go's words.
    pub fn new(pattern: &str) -> Result<Self, RegexpError> {
        Self::build(pattern, true)
    }

    /// Compiles a pattern that is only to be matched; [`Regexp::captures`] finds nothing.
    ///
    /// # Errors
    /// [`RegexpError`], in Go's words.
    pub fn for_matching(pattern: &str) -> Result<Self, RegexpError> {
        Self::build(pattern, false)
    }

    fn build(pattern: &str, with_groups: bool) -> Result<Self, RegexpError> {
        let parsed = parse::parse(pattern)?;
        let shape = Shape::of(&parsed.hir);
        let prefix = shape::prefix(&parsed.hir);
        let program = if with_groups || !shape.is_complete() {
            let anchored = Hir::concat(vec![Hir::look(Look::Start), parsed.hir, Hir::look(Look::End)]);
            Some(
                compile(&anchored)
                    .ok_or_else(|| RegexpError { fault: Fault::TooLarge, part: pattern.to_owned() })?,
            )
        } else {
            None
        };
        let names = if with_groups { parsed.names } else { Vec::new() };
        Ok(Self(Arc::new(Inner { source: pattern.into(), shape, prefix, program, names })))
    }

    /// Returns the pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0.source
    }

    /// Tells whether the whole text matches.
    pub fn is_match(&self, text: &str) -> bool {
        let inner = &*self.0;
        let engine = || inner.program.as_ref().is_some_and(|program| program.is_match(text));
        match inner.shape.matches(text) {
            Some(known) => known,
            None => text.starts_with(&inner.prefix) && engine(),
        }
    }

    /// Matches the whole text; the result fills templates.
    pub fn captures<'t>(&'t self, text: &'t str) -> Option<Match<'t>> {
        let program = self.0.program.as_ref()?;
        let mut captures = program.create_captures();
        program.captures(text, &mut captures);
        captures.is_match().then(|| Match::new(text, captures, &self.0.names))
    }

    /// Returns all texts that match, sorted and each once, when they are few enough to be looked up one by one.
    pub fn set_matches(&self) -> Option<&[String]> {
        match &self.0.shape {
            Shape::Set(set) => Some(set),
            _ => None,
        }
    }

    /// Returns about how many bytes the compiled pattern takes, at most 10 MiB and a little.
    pub fn size_bytes(&self) -> usize {
        let texts =
            self.set_matches().unwrap_or_default().iter().map(|text| text.len() + size_of::<String>());
        let program = self.0.program.as_ref().map_or(0, Regex::memory_usage);
        size_of::<Inner>() + self.0.source.len() + self.0.prefix.len() + texts.sum::<usize>() + program
    }

    /// Returns what every match begins with; may be empty.
    pub fn prefix(&self) -> &str {
        &self.0.prefix
    }
}

fn compile(hir: &Hir) -> Option<Regex> {
    let config = Regex::config()
        .nfa_size_limit(Some(COMPILED_BYTES_MAX))
        .hybrid_cache_capacity(CACHE_BYTES_MAX)
        .utf8_empty(true);
    // Nothing but its size can be wrong with a syntax that was parsed.
    Regex::builder().configure(config).build_from_hir(hir).ok()
}

impl PartialEq for Regexp {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl Eq for Regexp {}

impl fmt::Debug for Regexp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.source, f)
    }
}
