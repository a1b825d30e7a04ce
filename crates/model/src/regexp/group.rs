//! Groups that begin with `(?`: names and flags. Look-around and what else Perl has is refused.

use super::error::{Fault, RegexpError};
use super::parse::{Flags, Parser};

impl Parser<'_> {
    /// Reads `(?P<name>`, `(?<name>`, `(?flags)` or `(?flags:`.
    pub(super) fn perl_group(&mut self) -> Result<(), RegexpError> {
        let start = self.rest;
        // A name needs at least one byte after its opening.
        for opening in ["(?P<", "(?<"] {
            if start.starts_with(opening) && start.len() > opening.len() {
                return self.named_group(opening.len());
            }
        }
        self.rest = &start[2..];
        let (mut flags, mut negative, mut seen) = (self.flags, false, false);
        while let Some(c) = self.bump() {
            match c {
                ':' | ')' if !negative || seen => {
                    if c == ':' {
                        self.open(None);
                    }
                    self.flags = flags;
                    return Ok(());
                }
                '-' if !negative => (negative, seen) = (true, false),
                _ => match flag(&mut flags, c) {
                    Some(flag) => (*flag, seen) = (!negative, true),
                    None => break,
                },
            }
        }
        Err(self.fault(Fault::PerlOperator, self.since(start)))
    }

    fn named_group(&mut self, opening: usize) -> Result<(), RegexpError> {
        let start = self.rest;
        let Some(end) = start.find('>') else {
            return Err(self.fault(Fault::NamedCapture, start));
        };
        let name = &start[opening..end];
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(self.fault(Fault::NamedCapture, &start[..=end]));
        }
        self.open(Some(Some(name)));
        self.rest = &start[end + 1..];
        Ok(())
    }
}

fn flag(flags: &mut Flags, c: char) -> Option<&mut bool> {
    match c {
        'i' => Some(&mut flags.fold_case),
        'm' => Some(&mut flags.multi_line),
        's' => Some(&mut flags.dot_newline),
        'U' => Some(&mut flags.lazy),
        _ => None,
    }
}
