//! Which characters are of which kind, as Go's `unicode` and `strconv` have it.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, ClassUnicode, HirKind};

/// A set of characters, looked up by binary search.
struct Table(ClassUnicode);

impl Table {
    /// Makes the table of a character class, which is a constant.
    fn new(class: &str) -> Self {
        match regex_syntax::parse(class).map(regex_syntax::hir::Hir::into_kind) {
            Ok(HirKind::Class(Class::Unicode(class))) => Self(class),
            _ => unreachable!("{class} is a class of several characters"),
        }
    }

    fn has(&self, c: char) -> bool {
        let ranges = self.0.ranges();
        let after = ranges.partition_point(|range| range.start() <= c);
        after > 0 && ranges[after - 1].end() >= c
    }
}

/// Tells whether a character is a letter or a decimal digit.
pub(crate) fn is_letter_or_digit(c: char) -> bool {
    static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(r"[\p{L}\p{Nd}]"));
    if c.is_ascii() { c.is_ascii_alphanumeric() } else { TABLE.has(c) }
}

/// Tells whether a character shows: letters, marks, numbers, punctuation, symbols and the ASCII space.
pub(crate) fn is_printable(c: char) -> bool {
    static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(r"[\p{L}\p{M}\p{N}\p{P}\p{S}]"));
    if c.is_ascii() { (' '..='~').contains(&c) } else { TABLE.has(c) }
}
