//! How the process ends when something is wrong: one line on standard error that says what to do, and an exit code.

use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;

/// Exit code for what a person gave: flags, files, addresses, directories.
const USAGE: u8 = 2;
/// Exit code for what went wrong afterwards.
const FAILED: u8 = 1;

/// A reason to end.
#[derive(Debug)]
pub(crate) struct Fault {
    line: String,
    code: u8,
}

impl Fault {
    /// Makes a fault of what a person gave.
    pub(crate) fn usage(line: impl Display) -> Self {
        Self { line: line.to_string(), code: USAGE }
    }

    /// Makes a fault of what happened afterwards.
    pub(crate) fn failed(line: impl Display) -> Self {
        Self { line: line.to_string(), code: FAILED }
    }

    /// Makes a fault of an error with everything that caused it, in one line.
    pub(crate) fn of(what: &str, error: &dyn Error) -> Self {
        Self::failed(format!("{what}: {}", service::chain(error)))
    }

    /// Prints the line and returns the exit code.
    pub(crate) fn print(&self) -> ExitCode {
        eprintln!("norn: {}", self.line);
        ExitCode::from(self.code)
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.line)
    }
}
