//! What can be wrong with a configuration, always with a place a person can go to.

use std::fmt;

/// A place in the text; both counted from 1, zero when unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

impl From<serde_saphyr::Location> for Position {
    fn from(location: serde_saphyr::Location) -> Self {
        Self { line: location.line(), column: location.column() }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// One fault of an otherwise readable configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key, like `scrape_configs[2].relabel_configs[0].regex`.
    pub path: String,
    /// Where its value stands, when it stands anywhere.
    pub position: Option<Position>,
    /// What is wrong, with the value.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)?;
        self.position.map_or(Ok(()), |position| write!(f, " ({position})"))
    }
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The text cannot be read at all: not YAML, an unknown key, a value of another type.
    #[error("{position}: {message}")]
    Syntax {
        /// Where reading stopped.
        position: Position,
        /// What was found there and what was expected.
        message: String,
    },
    /// The text can be read and says something that cannot be: all such faults, in the order of the checks.
    #[error("{}", list(.0))]
    Invalid(Vec<Fault>),
}

fn list(faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
    if let [line] = lines.as_slice() {
        return line.clone();
    }
    format!("{} faults:\n  {}", lines.len(), lines.join("\n  "))
}
