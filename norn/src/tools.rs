//! Commands that look at blocks: they read, and change nothing.
//!
//! Each is a function from flags to text on standard output, or a fault in one line. They may list the bucket, which nothing
//! that serves ever does.

mod dump;
mod inspect;
mod ls;
mod place;
mod progress;
mod table;
#[cfg(test)]
mod tests;
mod verify;

use std::io::{self, Write};

use crate::cli::{BlockCommand, BlockFlags, BucketCommand, BucketFlags};
use crate::fault::Fault;

/// Runs `norn bucket`.
///
/// # Errors
/// One line: what cannot be read, or that blocks are damaged.
pub(crate) fn bucket(flags: &BucketFlags) -> Result<(), Fault> {
    print(async |out| match &flags.command {
        BucketCommand::Ls(flags) => ls::run(flags, out).await,
        BucketCommand::Inspect(flags) => inspect::run(flags, out).await,
        BucketCommand::Verify(flags) => verify::run(flags, out).await,
    })
}

/// Runs `norn block`.
///
/// # Errors
/// One line that says what cannot be read.
pub(crate) fn block(flags: &BlockFlags) -> Result<(), Fault> {
    print(async |out| match &flags.command {
        BlockCommand::Dump(flags) => dump::run(flags, out).await,
    })
}

/// Why a command ended early.
#[derive(Debug)]
enum Stop {
    Fault(Fault),
    /// Standard output cannot be written.
    Output(io::Error),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<block::BlockError> for Stop {
    fn from(error: block::BlockError) -> Self {
        Self::Fault(Fault::failed(service::chain(&error)))
    }
}

/// Runs a command with standard output. That its reader left early, as `head` does, is no fault.
fn print(command: impl AsyncFnOnce(&mut dyn Write) -> Result<(), Stop>) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Fault::failed(format!("cannot start the runtime: {error}")))?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = runtime.block_on(command(&mut out));
    let flushed = out.flush();
    match done.and_then(|()| Ok(flushed?)) {
        Err(Stop::Fault(fault)) => Err(fault),
        Err(Stop::Output(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Fault::failed(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a value as indented JSON.
fn print_json(out: &mut dyn Write, value: &impl serde::Serialize) -> Result<(), Stop> {
    serde_json::to_writer_pretty(&mut *out, value).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}
