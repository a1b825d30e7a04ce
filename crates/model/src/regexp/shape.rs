//! Patterns that need no engine: a set of literals, and literals with `.*` or `.+` between them.

use regex_syntax::hir::{Class, ClassUnicode, Hir, HirKind, Literal, Look};

/// How many texts a set may have.
const SET_MAX: usize = 1 << 16;
/// How many texts a set may have that does not write each of them out: `[ab][cd]`.
const PRODUCT_MAX: usize = 1024;
/// How many bytes the texts of a set may have together.
const SET_BYTES_MAX: usize = 4 << 20;
/// How many characters a class may have and still count as alternatives.
const CLASS_CHARS_MAX: usize = 16;

/// What is known of a pattern.
#[derive(Debug)]
pub(super) enum Shape {
    /// Exactly these texts, sorted.
    Set(Vec<String>),
    /// Literals with gaps.
    Gaps(Gaps),
    /// This ASCII text, in small letters, in any case; what else it matches is not ASCII.
    AnyCase(String),
    /// Nothing.
    Other,
}

/// A gap and the literal after it.
#[derive(Debug)]
struct Piece {
    /// The gap holds at least so many bytes: 0 for `.*`, 1 for `.+`.
    least: usize,
    /// May be empty at the end.
    literal: String,
}

/// `head.*middle.+tail`
#[derive(Debug)]
pub(super) struct Gaps {
    head: String,
    middle: Vec<Piece>,
    tail: Piece,
}

impl Shape {
    pub(super) fn of(hir: &Hir) -> Self {
        let parts = parts(hir);
        if let Some(mut set) = product(&parts) {
            set.sort_unstable();
            set.dedup();
            return Self::Set(set);
        }
        if let Some(gaps) = Gaps::of(&parts) {
            return Self::Gaps(gaps);
        }
        any_case(&parts).map_or(Self::Other, Self::AnyCase)
    }

    /// Tells whether [`Shape::matches`] always has an answer.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self, Self::Set(_) | Self::Gaps(_))
    }

    /// Tells whether a text matches, when the shape knows.
    pub(super) fn matches(&self, text: &str) -> Option<bool> {
        match self {
            Self::Set(set) => Some(set.binary_search_by(|known| known.as_str().cmp(text)).is_ok()),
            Self::Gaps(gaps) => Some(gaps.matches(text)),
            Self::AnyCase(small) => text.is_ascii().then(|| text.eq_ignore_ascii_case(small)),
            Self::Other => None,
        }
    }
}

impl Gaps {
    fn of(parts: &[&Hir]) -> Option<Self> {
        let (mut head, mut pieces): (String, Vec<Piece>) = (String::new(), Vec::new());
        for part in parts {
            match (gap(part), part.kind(), pieces.last_mut()) {
                (Some(least), _, Some(last)) if last.literal.is_empty() => last.least += least,
                (Some(least), _, _) => pieces.push(Piece { least, literal: String::new() }),
                (None, HirKind::Literal(Literal(bytes)), last) => {
                    let literal = std::str::from_utf8(bytes).ok()?;
                    last.map_or(&mut head, |piece| &mut piece.literal).push_str(literal);
                }
                _ => return None,
            }
        }
        // One gap of two or more characters would have to count characters.
        if pieces.iter().any(|piece| piece.least > 1) {
            return None;
        }
        let tail = pieces.pop()?;
        Some(Self { head, middle: pieces, tail })
    }

    /// Places each literal as early as it can stand, which leaves the most to the others.
    fn matches(&self, text: &str) -> bool {
        let Some(mut rest) = text.strip_prefix(self.head.as_str()) else { return false };
        for piece in &self.middle {
            // A gap's least byte may be the first of a longer character, in which no literal begins.
            let from = (piece.least..=rest.len()).find(|at| rest.is_char_boundary(*at));
            let Some(found) = from.and_then(|from| Some(from + rest[from..].find(&piece.literal)?)) else {
                return false;
            };
            rest = &rest[found + piece.literal.len()..];
        }
        rest.strip_suffix(self.tail.literal.as_str()).is_some_and(|gap| gap.len() >= self.tail.least)
    }
}

/// Returns the least length of `.*` and `.+`, when that is what a part is.
fn gap(hir: &Hir) -> Option<usize> {
    let HirKind::Repetition(repetition) = strip_groups(hir).kind() else { return None };
    let HirKind::Class(Class::Unicode(class)) = strip_groups(&repetition.sub).kind() else { return None };
    let is_all = class.ranges().len() == 1 && class.ranges()[0].len() == ALL_CHARS;
    (is_all && repetition.max.is_none() && repetition.min <= 1).then_some(repetition.min as usize)
}

/// How many characters there are, with the hole of the surrogates counted as Unicode's ranges do.
const ALL_CHARS: usize = char::MAX as usize + 1;

fn strip_groups(mut hir: &Hir) -> &Hir {
    while let HirKind::Capture(capture) = hir.kind() {
        hir = &capture.sub;
    }
    hir
}

/// Returns the parts of a sequence, without anchors at its ends: the whole text is matched anyway.
fn parts(hir: &Hir) -> Vec<&Hir> {
    let hir = strip_groups(hir);
    let all = match hir.kind() {
        HirKind::Concat(parts) => parts.iter().collect(),
        _ => vec![hir],
    };
    let is = |look: Look| move |part: &&&Hir| *part.kind() == HirKind::Look(look);
    let from = all.iter().take_while(is(Look::Start)).count();
    let after = all[from..].iter().rev().take_while(is(Look::End)).count();
    all[from..all.len() - after].to_vec()
}

/// Returns all texts that a sequence matches, unless they are too many.
fn product(parts: &[&Hir]) -> Option<Vec<String>> {
    let mut heads = vec![String::new()];
    for part in parts {
        let tails = literals(part)?;
        let count = heads.len() * tails.len();
        let allowed = if heads.len() > 1 && tails.len() > 1 { PRODUCT_MAX } else { SET_MAX };
        let bytes = |texts: &[String]| texts.iter().map(String::len).sum::<usize>();
        let size = bytes(&heads) * tails.len() + bytes(&tails) * heads.len();
        if count > allowed || size > SET_BYTES_MAX {
            return None;
        }
        let joined = heads.iter().flat_map(|head| tails.iter().map(move |tail| format!("{head}{tail}")));
        heads = joined.collect();
    }
    Some(heads)
}

/// Returns all texts that a part matches, unless they are too many.
fn literals(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(Literal(bytes)) => Some(vec![std::str::from_utf8(bytes).ok()?.to_owned()]),
        HirKind::Capture(capture) => literals(&capture.sub),
        HirKind::Concat(parts) => product(&parts.iter().collect::<Vec<_>>()),
        HirKind::Alternation(parts) => {
            let (mut all, mut bytes) = (Vec::new(), 0);
            for part in parts {
                let texts = literals(part)?;
                bytes += texts.iter().map(String::len).sum::<usize>();
                all.extend(texts);
                if all.len() > SET_MAX || bytes > SET_BYTES_MAX {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Class(Class::Unicode(class)) => {
            let chars = || class.iter().flat_map(|range| range.start()..=range.end());
            let count: usize = class.iter().map(|range| range.len()).sum();
            (count <= CLASS_CHARS_MAX).then(|| chars().map(String::from).collect())
        }
        HirKind::Repetition(repetition) if (repetition.min, repetition.max) == (0, Some(1)) => {
            let mut texts = literals(&repetition.sub)?;
            texts.push(String::new());
            Some(texts)
        }
        HirKind::Class(Class::Bytes(_)) | HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

/// Returns what every match begins with.
pub(super) fn prefix(hir: &Hir) -> String {
    let mut prefix = String::new();
    for part in parts(hir) {
        match strip_groups(part).kind() {
            HirKind::Literal(Literal(bytes)) => prefix.push_str(std::str::from_utf8(bytes).unwrap_or("")),
            HirKind::Concat(_) => {
                prefix.push_str(&self::prefix(part));
                break;
            }
            _ => break,
        }
    }
    prefix
}

/// Returns a text that is matched in any case, in small letters.
fn any_case(parts: &[&Hir]) -> Option<String> {
    let mut text = String::new();
    for part in parts {
        match strip_groups(part).kind() {
            HirKind::Literal(Literal(bytes)) => {
                let literal = std::str::from_utf8(bytes).ok()?;
                let is_caseless = literal.bytes().all(|b| b.is_ascii() && !b.is_ascii_alphabetic());
                text.push_str(is_caseless.then_some(literal)?);
            }
            HirKind::Class(Class::Unicode(class)) => text.push(cased_letter(class)?),
            _ => return None,
        }
    }
    Some(text)
}

/// Returns the small letter when the ASCII part of a class is one letter in both cases.
fn cased_letter(class: &ClassUnicode) -> Option<char> {
    let in_ascii = class.iter().filter(|range| range.start().is_ascii());
    let chars: Vec<char> = in_ascii.flat_map(|range| range.start()..=range.end()).take(3).collect();
    match chars.as_slice() {
        [upper, lower] if upper.is_ascii_uppercase() && upper.to_ascii_lowercase() == *lower => Some(*lower),
        _ => None,
    }
}
