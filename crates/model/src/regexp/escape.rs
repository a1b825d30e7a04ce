//! What a backslash begins: places, classes, quotations and characters.

use regex_syntax::hir::Look;

use super::error::{Fault, RegexpError};
use super::parse::Parser;

impl Parser<'_> {
    /// Reads an escape outside of brackets.
    pub(super) fn backslash(&mut self) -> Result<(), RegexpError> {
        let start = self.rest;
        match start.as_bytes().get(1) {
            Some(b'A') => return self.place(Look::Start, 2),
            Some(b'z') => return self.place(Look::End, 2),
            Some(b'b') => return self.place(Look::WordAscii, 2),
            Some(b'B') => return self.place(Look::WordAsciiNegate, 2),
            // Any one byte: values are UTF-8.
            Some(b'C') => return Err(self.fault(Fault::Escape, &start[..2])),
            Some(b'Q') => {
                let (quoted, rest) = start[2..].split_once("\\E").unwrap_or((&start[2..], ""));
                self.rest = rest;
                return quoted.chars().try_for_each(|c| self.char(c));
            }
            _ => {}
        }
        if let Some(class) = self.unicode_class()? {
            return self.push_class(class);
        }
        if let Some(class) = self.perl_class() {
            return self.push_class(class);
        }
        match self.escaped()? {
            Some(c) => self.char(c),
            // A surrogate: no text has it.
            None => self.push_class(regex_syntax::hir::ClassUnicode::empty()),
        }
    }

    /// Reads an escape that stands for one character, as a code point: `None` for a surrogate.
    pub(super) fn escaped(&mut self) -> Result<Option<char>, RegexpError> {
        self.escaped_code().map(char::from_u32)
    }

    /// Reads an escape that stands for one code point, 0 to 10FFFF.
    pub(super) fn escaped_code(&mut self) -> Result<u32, RegexpError> {
        let start = self.rest;
        self.bump();
        let Some(c) = self.bump() else {
            return Err(self.fault(Fault::TrailingBackslash, ""));
        };
        let next_is_octal = matches!(self.peek(), Some('0'..='7'));
        let code = match c {
            // A single digit other than zero would refer back to a group.
            '1'..='7' if !next_is_octal => None,
            '0'..='7' => Some(self.octal(c)),
            'x' => self.hexadecimal(),
            'a' => Some(0x07),
            'f' => Some(0x0c),
            'n' => Some(0x0a),
            'r' => Some(0x0d),
            't' => Some(0x09),
            'v' => Some(0x0b),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c as u32),
            _ => None,
        };
        code.ok_or_else(|| self.fault(Fault::Escape, self.since(start)))
    }

    /// Reads up to two more octal digits.
    fn octal(&mut self, first: char) -> u32 {
        let mut code = first.to_digit(8).unwrap_or(0);
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else { break };
            self.bump();
            code = code * 8 + digit;
        }
        code
    }

    /// Reads `{1F600}` or two digits; all that was looked at is read also when it is neither.
    fn hexadecimal(&mut self) -> Option<u32> {
        let first = self.bump()?;
        if first != '{' {
            let second = self.bump();
            return Some(first.to_digit(16)? * 16 + second?.to_digit(16)?);
        }
        let mut code = None;
        loop {
            match self.bump()? {
                '}' => return code,
                c => {
                    let next = code.unwrap_or(0) * 16 + c.to_digit(16)?;
                    code = Some(next).filter(|code| *code <= char::MAX as u32);
                    code?;
                }
            }
        }
    }
}
