//! How large a part of a pattern is: what Go limits, so that the same patterns are refused.

/// The greatest count of a repetition, and the greatest product of repetitions in each other.
pub(super) const REPEAT_MAX: u32 = 1000;
/// The most levels of groups, repetitions, sequences and alternatives in each other.
const HEIGHT_MAX: u32 = 1000;
/// The most instructions that Go's compiled form may have: 128 MiB at 40 bytes each.
const INSTRUCTIONS_MAX: u64 = (128 << 20) / 40;
/// The most ranges in all character classes together: a hundred KiB of `\pL` must not become gigabytes.
pub(super) const CLASS_RANGES_MAX: usize = 1 << 18;

/// What a level of the pattern is, since a sequence within a sequence is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Other,
    Sequence,
    Alternatives,
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    pub(super) level: Level,
    height: u32,
    instructions: u64,
    /// The greatest product of repetitions in each other; at least 1.
    repeats: u64,
}

impl Measure {
    /// A character, a class, a place.
    pub(super) const ATOM: Self = Self { level: Level::Other, height: 1, instructions: 1, repeats: 1 };

    /// Measures a run of so many characters.
    pub(super) fn literal(chars: usize) -> Self {
        Self { instructions: chars as u64, ..Self::ATOM }
    }

    /// Measures parts side by side.
    pub(super) fn of_parts(level: Level, parts: &[Self]) -> Self {
        let flat = |part: &Self| if part.level == level { part.height } else { part.height + 1 };
        let between = if level == Level::Alternatives { parts.len().saturating_sub(1) as u64 } else { 0 };
        let instructions = parts.iter().fold(between, |sum, part| sum.saturating_add(part.instructions));
        Self {
            level,
            height: parts.iter().map(flat).max().unwrap_or(1),
            instructions: instructions.max(1),
            repeats: parts.iter().map(|part| part.repeats).max().unwrap_or(1),
        }
    }

    /// Measures the whole between its anchors.
    pub(super) fn anchored(self) -> Self {
        Self::of_parts(Level::Sequence, &[Self::ATOM, self, Self::ATOM])
    }

    /// Measures a capturing group.
    pub(super) fn captured(self) -> Self {
        self.wrapped(2)
    }

    /// Measures `*` (0), `+` and `?` (otherwise).
    pub(super) fn starred(self, is_star: bool) -> Self {
        self.wrapped(if is_star { 2 } else { 1 })
    }

    /// Measures `{least,most}`.
    pub(super) fn repeated(self, least: u32, most: Option<u32>) -> Self {
        let (sub, times) = (self.instructions, u64::from(most.unwrap_or(least)));
        let instructions = match most {
            None if least == 0 => sub.saturating_add(2),
            None => sub.saturating_mul(times).saturating_add(1),
            Some(most) => sub.saturating_mul(times).saturating_add(u64::from(most - least)),
        };
        // Nothing counts below a repetition of no times.
        let repeats = if most == Some(0) { 1 } else { self.repeats.saturating_mul(times.max(1)) };
        Self { level: Level::Other, height: self.height + 1, instructions: instructions.max(1), repeats }
    }

    fn wrapped(self, instructions: u64) -> Self {
        Self {
            level: Level::Other,
            height: self.height + 1,
            instructions: self.instructions.saturating_add(instructions),
            repeats: self.repeats,
        }
    }

    pub(super) fn is_too_deep(&self) -> bool {
        self.height > HEIGHT_MAX
    }

    pub(super) fn is_too_large(&self) -> bool {
        self.instructions > INSTRUCTIONS_MAX
    }

    pub(super) fn repeats_too_often(&self) -> bool {
        self.repeats > u64::from(REPEAT_MAX)
    }
}
