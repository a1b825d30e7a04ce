//! The binary: command line, configuration file, which roles run in this process.
//!
//! 1. [`cli`] reads the flags, [`settings`] the files they name; every fault is one line on standard error and exit code 2.
//! 2. [`process`] makes the service context, binds the listeners, builds the roles, serves until SIGTERM or SIGINT, and
//!    stops gracefully within a deadline; a fault on the way is one line and exit code 1.
//! 3. [`launcher`] is `norn cluster`: it runs no role itself, it starts this executable once for each.
//! 4. [`tools`] are the commands that look at blocks and end.
//! 5. [`import`] brings the samples of other databases into a running cluster; it runs no role.
//! 6. [`export`] writes what a querier answers with as text, or as blocks of Prometheus.
//!
//! Not here: what the roles do.

mod cli;
mod data_dir;
mod export;
mod fault;
mod features;
mod import;
mod launcher;
mod listen;
mod memory;
mod process;
mod roles;
mod settings;
mod signals;
mod tools;

use std::process::ExitCode;

use crate::cli::{Command, CommandLine};
use crate::fault::Fault;

/// Fragmentation over weeks is what makes a time series database large; jemalloc keeps it low.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How jemalloc is set up, read by it at the start. A query's memory is taken and given back by threads of three pools: with
/// four arenas a CPU, as is its default, each keeps pages of its own that no query uses any more. Few arenas share them, and
/// pages that nobody takes within a second go back to the system.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub(crate) static MALLOC_CONF: &[u8; 47] = b"narenas:4,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

fn main() -> ExitCode {
    let line = match cli::parse(std::env::args_os()) {
        Ok(line) => line,
        Err(exit) => return exit.print(),
    };
    match run(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => fault.print(),
    }
}

fn run(line: CommandLine) -> Result<(), Fault> {
    match line.command {
        Command::Cluster(flags) => launcher::run(&flags),
        Command::Bucket(flags) => tools::bucket(&flags),
        Command::Block(flags) => tools::block(&flags),
        Command::Import(flags) => import::run(&flags),
        Command::ExportText(flags) => export::text(&flags),
        Command::ExportBlocks(flags) => export::blocks(&flags),
        Command::Standalone(flags) => {
            process::run(settings::standalone(&flags, line.shown)?, &flags.process.logs)
        }
        Command::Role(role, flags) => {
            if let Some(parent) = flags.launcher_pid {
                launcher::die_with_parent(parent)?;
            }
            process::run(settings::role(role, &flags, line.shown)?, &flags.process.logs)
        }
    }
}
