//! The flags of the commands that look at blocks.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Where blocks are.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PlaceFlags {
    /// Directory that is the object store; that of a standalone process is `<data dir>/objects`
    #[arg(long = "objstore.dir", value_name = "DIR", conflicts_with = "objstore_file")]
    pub(crate) objstore_dir: Option<PathBuf>,
    /// Object store as in Thanos (type: S3 or FILESYSTEM)
    #[arg(long = "objstore.config-file", value_name = "FILE")]
    pub(crate) objstore_file: Option<PathBuf>,
    /// gRPC address of an ingester of a running cluster, to ask for its catalogue; several may be given
    #[arg(long = "cluster.address", value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) addresses: Vec<String>,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Columns for people.
    #[default]
    Table,
    /// JSON for programs.
    Json,
}

/// `norn bucket`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BucketFlags {
    #[command(subcommand)]
    pub(crate) command: BucketCommand,
}

/// What to do with a bucket.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum BucketCommand {
    /// List blocks: of the catalogue, or by listing the bucket
    Ls(LsFlags),
    /// Show what a block is made of: metadata, columns, pages, sections, labels
    Inspect(InspectFlags),
    /// Read every byte of blocks and check it; exit code 1 and a line for each fault
    Verify(VerifyFlags),
}

/// `norn bucket ls`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LsFlags {
    #[command(flatten)]
    pub(crate) place: PlaceFlags,
    /// How to print
    #[arg(long = "output", value_enum, default_value = "table")]
    pub(crate) output: Output,
}

/// `norn bucket inspect`.
#[derive(Args, Clone, Debug)]
pub(crate) struct InspectFlags {
    /// The block's id
    #[arg(value_name = "ULID")]
    pub(crate) block: String,
    #[command(flatten)]
    pub(crate) place: PlaceFlags,
    /// How to print
    #[arg(long = "output", value_enum, default_value = "table")]
    pub(crate) output: Output,
}

/// `norn bucket verify`.
#[derive(Args, Clone, Debug)]
pub(crate) struct VerifyFlags {
    /// Ids of blocks
    #[arg(value_name = "ULID", required_unless_present = "all")]
    pub(crate) blocks: Vec<String>,
    /// All blocks
    #[arg(long = "all", conflicts_with = "blocks")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) place: PlaceFlags,
    /// How to print
    #[arg(long = "output", value_enum, default_value = "table")]
    pub(crate) output: Output,
}

/// `norn block`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BlockFlags {
    #[command(subcommand)]
    pub(crate) command: BlockCommand,
}

/// What to do with a block.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum BlockCommand {
    /// Print series and samples of a block
    Dump(DumpFlags),
}

/// `norn block dump`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DumpFlags {
    /// The block's id, or one of its two files on this machine, or the directory of both
    #[arg(value_name = "FILE|ULID")]
    pub(crate) block: String,
    /// Only series that match, as up{job="node"}
    #[arg(long = "match", value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// At most so many series; 0 for all
    #[arg(long = "limit", value_name = "COUNT", default_value_t = 20)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) place: PlaceFlags,
    /// How to print; JSON is one object a series and line
    #[arg(long = "output", value_enum, default_value = "table")]
    pub(crate) output: Output,
}
