//! Character classes: `[...]`, `\d`, `[:alpha:]`, `\p{Greek}`.
//!
//! Inside brackets nothing but these is special: `&&`, `--`, `~~` and `[` are characters. Perl's classes are ASCII.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

use super::error::{Fault, RegexpError};
use super::parse::{Parser, fold};

type Ranges = &'static [(char, char)];

const DIGIT: Ranges = &[('0', '9')];
const SPACE_PERL: Ranges = &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')];
const WORD: Ranges = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

/// The classes between `[:` and `:]`.
const NAMED: [(&str, Ranges); 14] = [
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\x7f')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\x1f'), ('\x7f', '\x7f')]),
    ("digit", DIGIT),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", WORD),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

/// The scripts whose whole name has four letters; other names of four letters are abbreviations, which Go does not know.
const SCRIPTS_OF_FOUR: [&str; 8] = ["ahom", "cham", "kawi", "lisu", "modi", "newa", "thai", "toto"];

impl Parser<'_> {
    /// Reads `[...]`.
    pub(super) fn bracket_class(&mut self) -> Result<(), RegexpError> {
        let whole = self.rest;
        self.bump();
        let negative = self.rest.starts_with('^');
        if negative {
            self.bump();
        }
        let mut class = ClassUnicode::empty();
        let mut ranges: Vec<ClassUnicodeRange> = Vec::new();
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if let Some(part) = self.class_in_brackets()? {
                class.union(&part);
                continue;
            }
            let start = self.rest;
            let low = self.class_code(whole)?;
            let mut high = low;
            // A dash before the end is a dash.
            let mut ahead = self.rest.chars();
            if ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']') {
                self.bump();
                high = self.class_code(whole)?;
                if high < low {
                    return Err(self.fault(Fault::CharClassRange, self.since(start)));
                }
            }
            ranges.extend(range_without_surrogates(low, high));
        }
        self.bump();
        // One union at the end: each would sort.
        let mut chars = ClassUnicode::new(ranges);
        if self.flags.fold_case {
            fold(&mut chars);
        }
        class.union(&chars);
        if negative {
            class.negate();
        }
        self.push_class(class)
    }

    /// Reads a class that stands within brackets, if there is one.
    fn class_in_brackets(&mut self) -> Result<Option<ClassUnicode>, RegexpError> {
        if self.rest.starts_with("[:")
            && let Some(end) = self.rest[2..].find(":]")
        {
            let (name, rest) = self.rest.split_at(end + 4);
            let bare = &name[2..name.len() - 2];
            let (bare, negative) = bare.strip_prefix('^').map_or((bare, false), |bare| (bare, true));
            let Some((_, ranges)) = NAMED.iter().find(|(known, _)| *known == bare) else {
                return Err(self.fault(Fault::CharClassRange, name));
            };
            self.rest = rest;
            return Ok(Some(self.ascii_class(ranges, negative)));
        }
        match self.unicode_class()? {
            Some(class) => Ok(Some(class)),
            None => Ok(self.perl_class()),
        }
    }

    /// Reads one character of a bracketed class, as a code point.
    fn class_code(&mut self, whole: &str) -> Result<u32, RegexpError> {
        match self.peek() {
            None => Err(self.fault(Fault::MissingBracket, whole)),
            Some('\\') => self.escaped_code(),
            Some(c) => {
                self.bump();
                Ok(c as u32)
            }
        }
    }

    /// Reads `\d`, `\s`, `\w` or the opposite of one, if one is there.
    pub(super) fn perl_class(&mut self) -> Option<ClassUnicode> {
        let letter = *self.rest.strip_prefix('\\')?.as_bytes().first()?;
        let ranges = match letter.to_ascii_lowercase() {
            b'd' => DIGIT,
            b's' => SPACE_PERL,
            b'w' => WORD,
            _ => return None,
        };
        self.rest = &self.rest[2..];
        Some(self.ascii_class(ranges, letter.is_ascii_uppercase()))
    }

    fn ascii_class(&self, ranges: Ranges, negative: bool) -> ClassUnicode {
        let ranges = ranges.iter().map(|(low, high)| ClassUnicodeRange::new(*low, *high));
        self.finished(ClassUnicode::new(ranges), negative)
    }

    /// Folds before it negates, as the flags say.
    fn finished(&self, mut class: ClassUnicode, negative: bool) -> ClassUnicode {
        if self.flags.fold_case {
            fold(&mut class);
        }
        if negative {
            class.negate();
        }
        class
    }

    /// Reads `\pN`, `\p{Greek}`, `\P...` or `\p{^...}`, if one is there.
    pub(super) fn unicode_class(&mut self) -> Result<Option<ClassUnicode>, RegexpError> {
        let start = self.rest;
        if !start.starts_with("\\p") && !start.starts_with("\\P") {
            return Ok(None);
        }
        let mut negative = start.starts_with("\\P");
        self.rest = &start[2..];
        let name = match self.bump() {
            Some('{') => {
                let Some(end) = start.find('}') else {
                    return Err(self.fault(Fault::CharClassRange, start));
                };
                self.rest = &start[end + 1..];
                &start[3..end]
            }
            _ => &self.since(start)[2..],
        };
        let name = match name.strip_prefix('^') {
            Some(name) => {
                negative = !negative;
                name
            }
            None => name,
        };
        match unicode_table(name) {
            Some(class) => Ok(Some(self.finished(class, negative))),
            None => Err(self.fault(Fault::CharClassRange, self.since(start))),
        }
    }
}

/// Returns the characters of a range of code points.
fn range_without_surrogates(low: u32, high: u32) -> Option<ClassUnicodeRange> {
    let low = char::from_u32(low).unwrap_or('\u{e000}');
    let high = char::from_u32(high).unwrap_or('\u{d7ff}');
    (low <= high).then(|| ClassUnicodeRange::new(low, high))
}

/// Returns the characters of a general category or a script, by its name in any case, without regard to spaces, dashes
/// and underscores.
fn unicode_table(name: &str) -> Option<ClassUnicode> {
    let mut canonical = name.to_ascii_lowercase();
    canonical.retain(|c| !matches!(c, ' ' | '-' | '_'));
    if canonical.is_empty() || !canonical.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    match canonical.as_str() {
        "any" => return Some(ClassUnicode::new([ClassUnicodeRange::new('\0', char::MAX)])),
        // Surrogates: no text has any.
        "cs" | "surrogate" => return Some(ClassUnicode::empty()),
        // `is` before a name is a habit of others; these are no scripts of Go.
        "unknown" | "katakanaorhiragana" => return None,
        name if name.starts_with("is") => return None,
        _ => {}
    }
    if let Some(class) = look_up(&format!("\\p{{gc={canonical}}}")) {
        return Some(class);
    }
    let is_abbreviation = canonical.len() == 4 && !SCRIPTS_OF_FOUR.contains(&canonical.as_str());
    if is_abbreviation { None } else { look_up(&format!("\\p{{sc={canonical}}}")) }
}

fn look_up(class: &str) -> Option<ClassUnicode> {
    match regex_syntax::parse(class).ok()?.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        // A class of one character.
        HirKind::Literal(literal) => {
            let chars = std::str::from_utf8(&literal.0).ok()?.chars();
            Some(ClassUnicode::new(chars.map(|c| ClassUnicodeRange::new(c, c))))
        }
        _ => None,
    }
}
