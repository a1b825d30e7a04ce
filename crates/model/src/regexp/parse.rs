//! The parser: text in Go's dialect to the form that `regex-automata` compiles.
//!
//! One pass over the text with a stack of finished parts, as Go's own parser works, so that errors come in the same order
//! and name the same part of the text. No recursion: the depth of a pattern is a number that is checked.

use regex_syntax::hir::{Capture, ClassUnicode, ClassUnicodeRange, Hir, Look, Repetition};

use super::error::{Fault, RegexpError};
use super::measure::{CLASS_RANGES_MAX, Level, Measure, REPEAT_MAX};

/// What `(?ismU)` changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags {
    /// `i`
    pub(super) fold_case: bool,
    /// `m`
    pub(super) multi_line: bool,
    /// `s`
    pub(super) dot_newline: bool,
    /// `U`
    pub(super) lazy: bool,
}

/// What the stack holds.
enum Item {
    /// A character by itself, so that neighbours become one literal.
    Char(char),
    Part(Hir, Measure),
    /// `(`: the flags outside, and the number of the group.
    Open(Flags, Option<u32>),
    /// `|`
    Bar,
}

/// A parsed pattern.
pub(super) struct Parsed {
    pub(super) hir: Hir,
    /// By number, without the group of everything: the name of a group.
    pub(super) names: Vec<Option<String>>,
}

/// See the module.
pub(super) struct Parser<'p> {
    pattern: &'p str,
    /// What is still to be read.
    pub(super) rest: &'p str,
    pub(super) flags: Flags,
    stack: Vec<Item>,
    names: Vec<Option<String>>,
    class_ranges: usize,
}

/// Parses a pattern in which, as in matchers, `.` matches a newline unless a flag says otherwise.
pub(super) fn parse(pattern: &str) -> Result<Parsed, RegexpError> {
    let flags = Flags { fold_case: false, multi_line: false, dot_newline: true, lazy: false };
    let mut parser =
        Parser { pattern, rest: pattern, flags, stack: Vec::new(), names: Vec::new(), class_ranges: 0 };
    // The text from the last repetition on, when the part before ended with one.
    let mut repetition: Option<&str> = None;
    while let Some(first) = parser.peek() {
        repetition = parser.step(first, repetition)?;
    }
    let (hir, measure) = parser.alternatives();
    parser.push(hir, measure)?;
    if parser.stack.len() > 1 {
        return Err(parser.fault(Fault::MissingParen, pattern));
    }
    if measure.anchored().is_too_deep() {
        return Err(parser.fault(Fault::NestingDepth, &format!("^(?s:{pattern})$")));
    }
    match parser.stack.pop() {
        Some(Item::Part(hir, _)) => Ok(Parsed { hir, names: parser.names }),
        _ => unreachable!("a part was pushed"),
    }
}

impl<'p> Parser<'p> {
    pub(super) fn fault(&self, fault: Fault, part: &str) -> RegexpError {
        RegexpError { fault, part: part.to_owned() }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Takes the next character.
    pub(super) fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    /// Returns what was read since a point, which is the rest of then.
    pub(super) fn since(&self, start: &'p str) -> &'p str {
        &start[..start.len() - self.rest.len()]
    }

    /// Reads one element; returns the text from it on when it was a repetition.
    fn step(&mut self, first: char, repetition: Option<&'p str>) -> Result<Option<&'p str>, RegexpError> {
        let start = self.rest;
        match first {
            '(' if start.starts_with("(?") => self.perl_group()?,
            '(' => {
                self.bump();
                self.open(Some(None));
            }
            '|' => {
                self.bump();
                let (hir, measure) = self.sequence();
                self.push(hir, measure)?;
                self.stack.push(Item::Bar);
            }
            ')' => self.close()?,
            '^' => self.place(if self.flags.multi_line { Look::StartLF } else { Look::Start }, 1)?,
            '$' => self.place(if self.flags.multi_line { Look::EndLF } else { Look::End }, 1)?,
            '.' => {
                self.bump();
                let excluded = (!self.flags.dot_newline).then(|| ClassUnicodeRange::new('\n', '\n'));
                let mut class = ClassUnicode::new(excluded);
                class.negate();
                self.push_class(class)?;
            }
            '[' => self.bracket_class()?,
            '*' | '+' | '?' => {
                self.bump();
                let (least, most) = match first {
                    '*' => (0, None),
                    '+' => (1, None),
                    _ => (0, Some(1)),
                };
                self.repeat(start, repetition, least, most, |measure| measure.starred(first == '*'))?;
                return Ok(Some(start));
            }
            '{' => match self.counts() {
                Some((least, most)) => {
                    let (least, most) = self.checked_counts(start, least, most)?;
                    self.repeat(start, repetition, least, most, |measure| measure.repeated(least, most))?;
                    return Ok(Some(start));
                }
                None => {
                    self.bump();
                    self.char('{')?;
                }
            },
            '\\' => self.backslash()?,
            other => {
                self.bump();
                self.char(other)?;
            }
        }
        Ok(None)
    }

    /// Pushes a character; under `i` with all that differ from it in case only.
    pub(super) fn char(&mut self, c: char) -> Result<(), RegexpError> {
        if self.flags.fold_case {
            let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
            fold(&mut class);
            if class.ranges().len() > 1 || class.ranges()[0].len() > 1 {
                return self.push_class(class);
            }
        }
        self.stack.push(Item::Char(c));
        Ok(())
    }

    pub(super) fn push_class(&mut self, class: ClassUnicode) -> Result<(), RegexpError> {
        self.class_ranges += class.ranges().len();
        if self.class_ranges > CLASS_RANGES_MAX {
            return Err(self.fault(Fault::TooLarge, self.pattern));
        }
        let hir = Hir::class(regex_syntax::hir::Class::Unicode(class));
        self.push(hir, Measure::ATOM)
    }

    /// Pushes a condition on a place, written in so many bytes.
    pub(super) fn place(&mut self, look: Look, length: usize) -> Result<(), RegexpError> {
        self.rest = &self.rest[length..];
        self.push(Hir::look(look), Measure::ATOM)
    }

    fn push(&mut self, hir: Hir, measure: Measure) -> Result<(), RegexpError> {
        if measure.is_too_large() {
            return Err(self.fault(Fault::TooLarge, self.pattern));
        }
        if measure.is_too_deep() {
            return Err(self.fault(Fault::NestingDepth, self.pattern));
        }
        self.stack.push(Item::Part(hir, measure));
        Ok(())
    }

    /// Opens a group: one without number, or a numbered one with or without a name.
    pub(super) fn open(&mut self, group: Option<Option<&str>>) {
        let number = group.map(|name| {
            self.names.push(name.map(str::to_owned));
            self.names.len() as u32
        });
        self.stack.push(Item::Open(self.flags, number));
    }

    fn close(&mut self) -> Result<(), RegexpError> {
        self.bump();
        let (hir, measure) = self.alternatives();
        let Some(Item::Open(flags, number)) = self.stack.pop() else {
            return Err(self.fault(Fault::UnexpectedParen, self.pattern));
        };
        self.flags = flags;
        match number {
            None => self.push(hir, measure),
            Some(index) => {
                let group = Hir::capture(Capture { index, name: None, sub: Box::new(hir) });
                self.push(group, measure.captured())
            }
        }
    }

    /// Takes what lies above the last `(` or `|` as one sequence.
    fn sequence(&mut self) -> (Hir, Measure) {
        let is_mark = |item: &Item| matches!(item, Item::Open(..) | Item::Bar);
        let from = self.stack.iter().rposition(is_mark).map_or(0, |mark| mark + 1);
        let (mut parts, mut measures, mut text) = (Vec::new(), Vec::new(), String::new());
        let literal = |text: &mut String, parts: &mut Vec<Hir>, measures: &mut Vec<Measure>| {
            if !text.is_empty() {
                measures.push(Measure::literal(text.chars().count()));
                parts.push(Hir::literal(std::mem::take(text).into_bytes()));
            }
        };
        for item in self.stack.drain(from..) {
            match item {
                Item::Char(c) => text.push(c),
                Item::Part(hir, measure) => {
                    literal(&mut text, &mut parts, &mut measures);
                    parts.push(hir);
                    measures.push(measure);
                }
                Item::Open(..) | Item::Bar => unreachable!("the search stopped at the last of them"),
            }
        }
        literal(&mut text, &mut parts, &mut measures);
        match measures.as_slice() {
            [] => (Hir::empty(), Measure::ATOM),
            [one] => (parts.pop().expect("there is one part for each measure"), *one),
            _ => (Hir::concat(parts), Measure::of_parts(Level::Sequence, &measures)),
        }
    }

    /// Takes what lies above the last `(` as alternatives.
    fn alternatives(&mut self) -> (Hir, Measure) {
        let (hir, measure) = self.sequence();
        let (mut parts, mut measures) = (vec![hir], vec![measure]);
        while matches!(self.stack.last(), Some(Item::Bar)) {
            self.stack.pop();
            let Some(Item::Part(hir, measure)) = self.stack.pop() else {
                unreachable!("a sequence is pushed before each bar")
            };
            parts.push(hir);
            measures.push(measure);
        }
        if parts.len() == 1 {
            return (parts.pop().expect("there is one"), measure);
        }
        parts.reverse();
        (Hir::alternation(parts), Measure::of_parts(Level::Alternatives, &measures))
    }

    /// Repeats the last part. `start` is the text from the operator on, `repetition` that from the one just before.
    fn repeat(
        &mut self,
        start: &'p str,
        repetition: Option<&'p str>,
        least: u32,
        most: Option<u32>,
        measured: impl Fn(Measure) -> Measure,
    ) -> Result<(), RegexpError> {
        let lazy = self.rest.starts_with('?');
        if lazy {
            self.bump();
        }
        if let Some(before) = repetition {
            return Err(self.fault(Fault::NestedRepetition, self.since(before)));
        }
        let (sub, measure) = match self.stack.pop() {
            Some(Item::Char(c)) => (Hir::literal(c.to_string().into_bytes()), Measure::ATOM),
            Some(Item::Part(hir, measure)) => (hir, measure),
            _ => return Err(self.fault(Fault::MissingRepeatArgument, self.since(start))),
        };
        let greedy = lazy == self.flags.lazy;
        let measure = measured(measure);
        self.push(
            Hir::repetition(Repetition { min: least, max: most, greedy, sub: Box::new(sub) }),
            measure,
        )?;
        if start.starts_with('{') && (least >= 2 || most >= Some(2)) && measure.repeats_too_often() {
            return Err(self.fault(Fault::RepeatCount, self.since(start)));
        }
        Ok(())
    }

    /// Reads `{least}`, `{least,}` or `{least,most}`; nothing when the text is none of these, and a brace then stands for
    /// itself.
    fn counts(&mut self) -> Option<(u64, Option<u64>)> {
        let body = self.rest.strip_prefix('{')?;
        let (least, after) = number(body)?;
        let (most, after) = match after.strip_prefix(',') {
            None => (Some(least), after),
            Some(after) if after.starts_with('}') => (None, after),
            Some(after) => number(after).map(|(most, after)| (Some(most), after))?,
        };
        self.rest = after.strip_prefix('}')?;
        Some((least, most))
    }

    fn checked_counts(
        &self,
        start: &'p str,
        least: u64,
        most: Option<u64>,
    ) -> Result<(u32, Option<u32>), RegexpError> {
        let max = u64::from(REPEAT_MAX);
        if least > max || most.is_some_and(|most| most > max || most < least) {
            return Err(self.fault(Fault::RepeatCount, self.since(start)));
        }
        Ok((least as u32, most.map(|most| most as u32)))
    }
}

/// Reads a number without leading zeros; what is too large for anybody stays too large.
fn number(text: &str) -> Option<(u64, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(length);
    if digits.is_empty() || (length > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u64::MAX), rest))
}

/// Adds to a class what differs from its characters in case only.
pub(super) fn fold(class: &mut ClassUnicode) {
    class.try_case_fold_simple().expect("the tables of case folding are compiled in");
}
