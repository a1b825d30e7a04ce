//! The command line: Prometheus's flags where Prometheus has one, and faults in one line.
//!
//! The structs of flags are in [`flags`]; here is which command takes which, and what a wrong command line prints.

mod flags;
mod tools;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::styling::Styles;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use cluster::Role;

use crate::fault::Fault;
pub(crate) use flags::{
    ClusterFlags, DownsamplingFlags, ExportBlocksFlags, ExportFlags, ExportTextFlags, ImportFlags, LogFlags,
    QueryFlags, RetentionFlags, RoleFlags, StandaloneFlags,
};
pub(crate) use tools::{
    BlockCommand, BlockFlags, BucketCommand, BucketFlags, DumpFlags, InspectFlags, LsFlags, Output,
    PlaceFlags, VerifyFlags,
};

/// What `norn --help` says beyond the commands.
const EXAMPLES: &str = "\
Examples:
  norn standalone                                   scrape itself, store in ./data, answer on http://127.0.0.1:9090
  norn standalone --config.file=prometheus.yml      take an existing Prometheus configuration as it is
  norn cluster                                      nine processes on this machine, to try what happens when one dies
  curl 'http://127.0.0.1:9090/api/v1/query?query=up'

'norn <command> --help' lists a command's flags. Flags that Prometheus has are Prometheus's.";

#[derive(Parser)]
#[command(
    name = "norn",
    version,
    about = "Norn: a horizontally scalable, highly available time series database that speaks Prometheus.",
    after_help = EXAMPLES,
    styles = Styles::plain(),
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: RawCommand,
}

#[derive(Subcommand)]
enum RawCommand {
    /// Run all roles in one process: one replica, a local directory as disk and object store
    Standalone(StandaloneFlags),
    /// Start a local cluster: three ingesters, two scrapers, querier, gateway, compactor and ruler as processes
    Cluster(ClusterFlags),
    /// Discover targets, scrape those that fall to this process, append what they say
    Scraper(RoleFlags),
    /// Hold replicas of shards; take remote write; cut blocks
    Ingester(RoleFlags),
    /// Serve blocks from object storage
    Gateway(RoleFlags),
    /// Answer PromQL and the Prometheus HTTP API over everything
    Querier(RoleFlags),
    /// Merge blocks, enforce retention, collect garbage
    Compactor(RoleFlags),
    /// Evaluate recording rules
    Ruler(RoleFlags),
    /// List, inspect and verify the blocks in an object store
    Bucket(BucketFlags),
    /// Look into one block
    Block(BlockFlags),
    /// Bring blocks of another database into a running cluster
    #[command(subcommand)]
    Import(RawImport),
    /// Write samples of a querier, or of any server with remote read, to files
    #[command(subcommand)]
    Export(RawExport),
}

#[derive(Subcommand)]
enum RawExport {
    /// As OpenMetrics text, which promtool tsdb create-blocks-from reads
    Openmetrics(ExportTextFlags),
    /// As blocks of Prometheus
    Tsdb(ExportBlocksFlags),
}

#[derive(Subcommand)]
enum RawImport {
    /// Blocks of Prometheus or Thanos: a directory of blocks, one block, or a bucket
    Tsdb(ImportFlags),
}

/// What the process shall do.
#[derive(Debug)]
pub(crate) enum Command {
    /// `norn standalone`.
    Standalone(StandaloneFlags),
    /// `norn cluster`.
    Cluster(ClusterFlags),
    /// `norn import tsdb`.
    Import(ImportFlags),
    /// `norn export openmetrics`.
    ExportText(ExportTextFlags),
    /// `norn export tsdb`.
    ExportBlocks(ExportBlocksFlags),
    /// `norn <role>`.
    Role(Role, RoleFlags),
    /// `norn bucket`.
    Bucket(BucketFlags),
    /// `norn block`.
    Block(BlockFlags),
}

/// Why there is no command to run: a fault, or help that was asked for.
pub(crate) enum Exit {
    /// One line for standard error.
    Fault(Fault),
    /// Text for standard output.
    Text(clap::Error),
}

impl Exit {
    /// Prints it and returns the exit code.
    pub(crate) fn print(&self) -> ExitCode {
        match self {
            Self::Fault(fault) => fault.print(),
            Self::Text(text) => {
                // Nobody is left to tell when standard output is closed.
                let _ = text.print();
                ExitCode::SUCCESS
            }
        }
    }
}

/// A command with the flags as Prometheus shows them: names with values, defaults included.
pub(crate) struct CommandLine {
    pub(crate) command: Command,
    pub(crate) shown: BTreeMap<String, String>,
}

/// Reads a command line.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<CommandLine, Exit> {
    let matches = Cli::command().try_get_matches_from(arguments).map_err(explain)?;
    let cli = Cli::from_arg_matches(&matches).map_err(explain)?;
    let shown = matches.subcommand().map(|(name, given)| shown(name, given)).unwrap_or_default();
    let command = match cli.command {
        RawCommand::Standalone(flags) => Command::Standalone(flags),
        RawCommand::Cluster(flags) => Command::Cluster(flags),
        RawCommand::Scraper(flags) => Command::Role(Role::Scraper, flags),
        RawCommand::Ingester(flags) => Command::Role(Role::Ingester, flags),
        RawCommand::Gateway(flags) => Command::Role(Role::Gateway, flags),
        RawCommand::Querier(flags) => Command::Role(Role::Querier, flags),
        RawCommand::Compactor(flags) => Command::Role(Role::Compactor, flags),
        RawCommand::Ruler(flags) => Command::Role(Role::Ruler, flags),
        RawCommand::Bucket(flags) => Command::Bucket(flags),
        RawCommand::Block(flags) => Command::Block(flags),
        RawCommand::Import(RawImport::Tsdb(flags)) => Command::Import(flags),
        RawCommand::Export(RawExport::Openmetrics(flags)) => Command::ExportText(flags),
        RawCommand::Export(RawExport::Tsdb(flags)) => Command::ExportBlocks(flags),
    };
    Ok(CommandLine { command, shown })
}

/// Returns a command's flags with their values.
fn shown(command: &str, given: &ArgMatches) -> BTreeMap<String, String> {
    let definition = Cli::command();
    let flags = definition.find_subcommand(command).into_iter().flat_map(|command| command.get_arguments());
    let value = |flag: &clap::Arg| {
        let values = given.get_raw(flag.get_id().as_str()).into_iter().flatten();
        let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
        Some((flag.get_long()?.to_owned(), values.join(",")))
    };
    flags.filter(|flag| !flag.is_hide_set()).filter_map(value).collect()
}

fn explain(error: clap::Error) -> Exit {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    if matches!(error.kind(), DisplayHelp | DisplayVersion | DisplayHelpOnMissingArgumentOrSubcommand) {
        return Exit::Text(error);
    }
    Exit::Fault(Fault::usage(line(&error)))
}

/// Says in one line what is wrong with a command line and what to do.
fn line(error: &clap::Error) -> String {
    let argument = context(error, ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::UnknownArgument if !argument.iter().all(|given| given.starts_with('-')) => {
            format!("unexpected {:?}: see norn <command> --help", argument.join(" "))
        }
        ErrorKind::MissingRequiredArgument => {
            format!("missing {}: see norn <command> --help", argument.join(" "))
        }
        ErrorKind::InvalidValue if error.get(ContextKind::ValidValue).is_some() => {
            let given = context(error, ContextKind::InvalidValue).join(" ");
            let known = context(error, ContextKind::ValidValue).join(", ");
            format!("{given:?} is no value of {}: one of {known}", argument.join(" "))
        }
        ErrorKind::UnknownArgument => {
            let advice = match context(error, ContextKind::SuggestedArg).first() {
                Some(known) => format!("did you mean {known}?"),
                None => "see norn --help and norn <command> --help".to_owned(),
            };
            format!("unknown flag {}: {advice}", argument.join(" "))
        }
        ErrorKind::InvalidSubcommand => {
            let given = context(error, ContextKind::InvalidSubcommand).join(" ");
            let advice = match context(error, ContextKind::SuggestedSubcommand).first() {
                Some(known) => format!("did you mean {known:?}?"),
                None => "see norn --help".to_owned(),
            };
            format!("unknown command {given:?}: {advice}")
        }
        _ => {
            // The library's first line is a sentence; what follows is usage and advice to ask for help.
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            format!(
                "{}: see norn <command> --help",
                first.trim_start_matches("error: ").trim_end_matches(':')
            )
        }
    }
}

/// Returns the texts that the library attached to an error under `kind`.
fn context(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        Some(other) => vec![other.to_string()],
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<CommandLine, Exit> {
        parse(text.split(' ').map(OsString::from))
    }

    fn fault(text: &str) -> String {
        match parse_text(text) {
            Err(Exit::Fault(fault)) => fault.to_string(),
            _ => panic!("{text} has no fault"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn faults_are_one_line_that_says_what_to_do() {
        for (arguments, expected) in [
            (
                "norn standalone --web.listen-adress=:1",
                "unknown flag --web.listen-adress: did you mean --web.listen-address?",
            ),
            ("norn standalone --qqqq", "unknown flag --qqqq: see norn --help and norn <command> --help"),
            ("norn standalone now", "unexpected \"now\": see norn <command> --help"),
            ("norn ingester", "missing --config.file <FILE>: see norn <command> --help"),
            (
                "norn standalone --log.level=loud",
                "\"loud\" is no value of --log.level <LEVEL>: one of debug, info, warn, error",
            ),
            ("norn standalon", "unknown command \"standalon\": did you mean \"standalone\"?"),
            (
                "norn standalone --storage.block-duration=2x",
                "invalid value '2x' for '--storage.block-duration <DURATION>': not a valid duration string: \"2x\": see norn <command> --help",
            ),
        ] {
            assert_eq!(fault(arguments), expected, "{arguments}");
        }
    }

    #[test]
    fn flags_are_prometheus_s() {
        let text = "norn standalone --storage.tsdb.path=/x --web.listen-address=:1 --storage.tsdb.retention.time=30d \
                    --enable-feature=a,b --enable-feature=c --web.enable-remote-write-receiver --query.timeout=1m";
        let Ok(line) = parse(text.split_whitespace().map(OsString::from)) else { panic!("it parses") };
        let Command::Standalone(flags) = line.command else { panic!("it is standalone") };
        assert_eq!(line.shown["query.timeout"], "1m");
        assert_eq!(line.shown["log.level"], "info");
        assert_eq!(flags.storage.data_dir, std::path::PathBuf::from("/x"));
        assert_eq!(flags.listen_address, ":1");
        assert_eq!(flags.storage.retention.time, Some(std::time::Duration::from_secs(30 * 86_400)));
        assert_eq!(flags.process.features, ["a,b", "c"]);
        assert_eq!(flags.process.query.timeout, std::time::Duration::from_secs(60));
    }

    #[test]
    fn help_fits_one_screen() {
        let help = Cli::command().render_help().to_string();
        assert!(help.lines().count() <= 40, "{help}");
        assert!(help.lines().all(|line| line.len() <= 120), "{help}");
    }
}
