//! The flags, in groups that commands share.
//!
//! A flag that the configuration file can say as well is optional here: given, it wins over the file. Where neither says
//! anything the default stands in the flag's help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use config::units::parse_size_bytes;
use model::time::{format_duration_ms, parse_duration_ms};

/// How the process logs.
#[derive(Args, Clone, Debug)]
pub(crate) struct LogFlags {
    /// Only log messages with the given severity or above
    #[arg(long = "log.level", value_name = "LEVEL", value_enum, default_value = "info")]
    pub(crate) level: LogLevel,
    /// Output format of log messages
    #[arg(long = "log.format", value_name = "FORMAT", value_enum, default_value = "logfmt")]
    pub(crate) format: LogFormat,
}

/// A severity.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

impl LogLevel {
    /// Returns its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// A format of log lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    Logfmt,
    Json,
}

impl LogFormat {
    /// Returns its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Logfmt => "logfmt",
            Self::Json => "json",
        }
    }
}

/// Where samples are kept, and how long.
#[derive(Args, Clone, Debug)]
pub(crate) struct StorageFlags {
    /// Directory of everything this process keeps; --storage.tsdb.path is the same flag
    #[arg(long = "data.dir", alias = "storage.tsdb.path", value_name = "DIR", default_value = "data")]
    pub(crate) data_dir: PathBuf,
    /// Length of a window that becomes one block a shard; fixed when the cluster starts first [default: 2h]
    #[arg(long = "storage.block-duration", value_name = "DURATION", value_parser = duration)]
    pub(crate) block_duration: Option<Duration>,
    #[command(flatten)]
    pub(crate) retention: RetentionFlags,
    #[command(flatten)]
    pub(crate) downsampling: DownsamplingFlags,
    /// Object store as in Thanos (type: S3 or FILESYSTEM) [default: a directory under --data.dir]
    #[arg(long = "objstore.config-file", value_name = "FILE")]
    pub(crate) objstore_file: Option<PathBuf>,
}

/// How long samples are kept: for compactors.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RetentionFlags {
    /// How long samples are kept [default: 15d]
    #[arg(
        long = "storage.tsdb.retention.time",
        alias = "retention.resolution-raw",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub(crate) time: Option<Duration>,
    /// How much room all blocks may take, replicas and heads not counted; the oldest go first [default: no limit]
    #[arg(long = "storage.tsdb.retention.size", value_name = "SIZE", value_parser = size_bytes)]
    pub(crate) size_bytes: Option<u64>,
    /// How long samples reduced to five minutes are kept, 0d for ever [default: as long as the samples themselves]
    #[arg(long = "retention.resolution-5m", value_name = "DURATION", value_parser = duration_or_zero)]
    pub(crate) five_minutes: Option<Duration>,
    /// How long samples reduced to an hour are kept, 0d for ever [default: as long as the samples themselves]
    #[arg(long = "retention.resolution-1h", value_name = "DURATION", value_parser = duration_or_zero)]
    pub(crate) hour: Option<Duration>,
}

/// When samples are reduced to slots: for compactors.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct DownsamplingFlags {
    /// How old samples are when they are reduced to five minutes, 0d for never [default: 40h]
    #[arg(long = "downsampling.5m-after", value_name = "DURATION", value_parser = duration_or_zero)]
    pub(crate) five_minutes_after: Option<Duration>,
    /// How old samples of five minutes are when they are reduced to an hour, 0d for never [default: 10d]
    #[arg(long = "downsampling.1h-after", value_name = "DURATION", value_parser = duration_or_zero)]
    pub(crate) hour_after: Option<Duration>,
}

/// What one query may cost.
#[derive(Args, Clone, Debug)]
pub(crate) struct QueryFlags {
    /// Maximum time a query may take before being aborted
    #[arg(long = "query.timeout", value_name = "DURATION", value_parser = duration, default_value = "2m")]
    pub(crate) timeout: Duration,
    /// Maximum number of samples a single query can load into memory
    #[arg(long = "query.max-samples", value_name = "COUNT", default_value_t = 50_000_000)]
    pub(crate) samples_max: u64,
    /// Maximum number of series a single selector can match
    #[arg(long = "query.max-series", value_name = "COUNT", default_value_t = 1_000_000)]
    pub(crate) series_max: usize,
    /// Maximum memory a single query can hold, as 500MB or in bytes [default: half of what all queries can hold]
    #[arg(long = "query.max-memory-bytes", value_name = "SIZE", value_parser = size_bytes)]
    pub(crate) memory_bytes_max: Option<u64>,
    /// Maximum memory all queries of this process can hold [default: 40 % of the memory this process may use]
    #[arg(long = "query.max-total-memory-bytes", value_name = "SIZE", value_parser = size_bytes)]
    pub(crate) memory_bytes_total_max: Option<u64>,
    /// Maximum number of queries executed concurrently
    #[arg(long = "query.max-concurrency", value_name = "COUNT", default_value_t = 20)]
    pub(crate) concurrency_max: usize,
    /// Maximum number of queries that wait for their turn, up to their timeout
    #[arg(long = "query.max-queued", value_name = "COUNT", default_value_t = 512)]
    pub(crate) queued_max: usize,
    /// How far back an instant looks for the latest sample
    #[arg(long = "query.lookback-delta", value_name = "DURATION", value_parser = duration, default_value = "5m")]
    pub(crate) lookback: Duration,
    /// Whether parts of queries are evaluated where the samples are; a request may set pushdown=false for itself
    #[arg(long = "query.pushdown", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) pushdown: bool,
}

impl QueryFlags {
    /// Returns the flags that hand this over to another process.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let ms = |duration: Duration| format_duration_ms(duration.as_millis() as u64);
        let mut arguments = vec![
            format!("--query.timeout={}", ms(self.timeout)),
            format!("--query.max-samples={}", self.samples_max),
            format!("--query.max-series={}", self.series_max),
            format!("--query.max-concurrency={}", self.concurrency_max),
            format!("--query.max-queued={}", self.queued_max),
            format!("--query.lookback-delta={}", ms(self.lookback)),
            format!("--query.pushdown={}", self.pushdown),
        ];
        let sizes = [
            ("query.max-memory-bytes", self.memory_bytes_max),
            ("query.max-total-memory-bytes", self.memory_bytes_total_max),
        ];
        arguments.extend(sizes.iter().filter_map(|(name, size)| Some(format!("--{name}={}", (*size)?))));
        arguments
    }
}

/// What every command that runs a process takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct ProcessFlags {
    #[command(flatten)]
    pub(crate) query: QueryFlags,
    #[command(flatten)]
    pub(crate) logs: LogFlags,
    /// Comma separated names; those that Prometheus knows are accepted
    #[arg(long = "enable-feature", value_name = "NAME")]
    pub(crate) features: Vec<String>,
    /// Enable API endpoints for admin control actions
    #[arg(long = "web.enable-admin-api")]
    pub(crate) admin_api: bool,
    /// Always on; accepted as Prometheus has it
    #[arg(long = "web.enable-remote-write-receiver", hide = true)]
    pub(crate) _remote_write_receiver: bool,
}

/// `norn standalone`.
#[derive(Args, Clone, Debug)]
pub(crate) struct StandaloneFlags {
    /// Prometheus configuration file; without it Norn scrapes itself
    #[arg(long = "config.file", value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
    /// Address of the HTTP API, remote write included
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "0.0.0.0:9090")]
    pub(crate) listen_address: String,
    /// Address of a gRPC server, by which norn import reaches this process [default: none]
    #[arg(long = "grpc.listen-address", value_name = "ADDRESS")]
    pub(crate) grpc_listen_address: Option<String>,
    #[command(flatten)]
    pub(crate) storage: StorageFlags,
    #[command(flatten)]
    pub(crate) process: ProcessFlags,
}

/// `norn cluster`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClusterFlags {
    /// Prometheus configuration file; without it Norn scrapes itself
    #[arg(long = "config.file", value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
    /// Address of the querier's HTTP API
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    pub(crate) listen_address: String,
    /// The other processes listen on 127.0.0.1 from this port on, two each
    #[arg(long = "cluster.base-port", value_name = "PORT", default_value_t = 19100)]
    pub(crate) base_port: u16,
    #[command(flatten)]
    pub(crate) storage: StorageFlags,
    #[command(flatten)]
    pub(crate) process: ProcessFlags,
}

/// `norn <role>`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RoleFlags {
    /// Configuration file; its section `norn` says which cluster and which node this is
    #[arg(long = "config.file", value_name = "FILE", required = true)]
    pub(crate) config_file: PathBuf,
    /// Take everything but the section `norn` from this Prometheus configuration file
    #[arg(long = "config.prometheus-file", value_name = "FILE")]
    pub(crate) prometheus_file: Option<PathBuf>,
    /// Address of the HTTP server [default: norn.node.http_listen_address, then 0.0.0.0:9090]
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    pub(crate) listen_address: Option<String>,
    /// Address of the gRPC server [default: norn.node.grpc_listen_address, then 0.0.0.0:9095]
    #[arg(long = "grpc.listen-address", value_name = "ADDRESS")]
    pub(crate) grpc_listen_address: Option<String>,
    /// Directory of everything this process keeps [default: norn.storage.path, then data]
    #[arg(long = "data.dir", alias = "storage.tsdb.path", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Ingester: length of a window that becomes one block a shard; fixed when the cluster starts first [default: 2h]
    #[arg(long = "storage.block-duration", value_name = "DURATION", value_parser = duration)]
    pub(crate) block_duration: Option<Duration>,
    #[command(flatten)]
    pub(crate) retention: RetentionFlags,
    #[command(flatten)]
    pub(crate) downsampling: DownsamplingFlags,
    /// Object store as in Thanos (type: S3 or FILESYSTEM) [default: norn.objstore]
    #[arg(long = "objstore.config-file", value_name = "FILE")]
    pub(crate) objstore_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) process: ProcessFlags,
    /// Set by `norn cluster`: die with the process of this id
    #[arg(long = "launcher.pid", hide = true)]
    pub(crate) launcher_pid: Option<u32>,
}

/// `norn import tsdb`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ImportFlags {
    /// Directory of blocks, directory of one block, or file that configures a bucket as Thanos does
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    /// Configuration file of the cluster: its section `norn` says where ingesters and objects are
    #[arg(long = "config.file", value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
    /// gRPC address of an ingester, or of norn standalone with --grpc.listen-address; may be repeated
    #[arg(long = "cluster.address", value_name = "ADDRESS")]
    pub(crate) cluster_addresses: Vec<String>,
    /// The cluster's name [default: norn.cluster.name, then norn]
    #[arg(long = "cluster.name", value_name = "NAME")]
    pub(crate) cluster_name: Option<String>,
    /// Object store of the cluster as in Thanos [default: norn.objstore]
    #[arg(long = "objstore.config-file", value_name = "FILE")]
    pub(crate) objstore_file: Option<PathBuf>,
    /// Directory of norn standalone, which keeps its objects there when nobody says otherwise
    #[arg(long = "data.dir", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Label for all series that have none of the name, such as an external label; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
    /// Say what would be imported, and do nothing
    #[arg(long = "dry-run")]
    pub(crate) dry_run: bool,
}

/// What to export, and from where.
#[derive(Args, Clone, Debug)]
pub(crate) struct ExportFlags {
    /// Server to read from
    #[arg(long = "url", value_name = "URL", default_value = "http://127.0.0.1:9090")]
    pub(crate) url: String,
    /// Series to export; may be repeated
    #[arg(long = "match", value_name = "SELECTOR", default_value = "{__name__=~\".+\"}")]
    pub(crate) selectors: Vec<String>,
    /// First sample, as RFC 3339 or in seconds since 1970
    #[arg(long = "start", value_name = "TIME", value_parser = time_ms)]
    pub(crate) start_ms: i64,
    /// Last sample
    #[arg(long = "end", value_name = "TIME", value_parser = time_ms, default_value = "now")]
    pub(crate) end_ms: i64,
}

/// `norn export openmetrics`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ExportTextFlags {
    #[command(flatten)]
    pub(crate) from: ExportFlags,
    /// File to write [default: standard output]
    #[arg(long = "output", value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// `norn export tsdb`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ExportBlocksFlags {
    #[command(flatten)]
    pub(crate) from: ExportFlags,
    /// Directory in which each block gets a directory
    #[arg(long = "output", value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Length of the window of one block
    #[arg(long = "block-duration", value_name = "DURATION", value_parser = duration, default_value = "2h")]
    pub(crate) block_duration: Duration,
}

/// Reads a time: `now`, seconds since 1970, or RFC 3339.
fn time_ms(text: &str) -> Result<i64, String> {
    if text == "now" {
        return Ok(jiff::Timestamp::now().as_millisecond());
    }
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = (seconds * 1000.0).round();
        let in_range = ms.abs() < 9e15;
        return if in_range { Ok(ms as i64) } else { Err("a time out of range".to_owned()) };
    }
    let time: Result<jiff::Timestamp, _> = text.parse();
    time.map(jiff::Timestamp::as_millisecond)
        .map_err(|_| "a time is RFC 3339 or seconds since 1970".to_owned())
}

/// Reads a label: a name, `=`, a value.
fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a label has the form name=value".to_owned()),
    }
}

/// Reads a size: a number of bytes, or a number with a unit.
fn size_bytes(text: &str) -> Result<u64, String> {
    text.parse().or_else(|_| parse_size_bytes(text))
}

fn duration_or_zero(text: &str) -> Result<Duration, String> {
    parse_duration_ms(text).map(Duration::from_millis)
}

fn duration(text: &str) -> Result<Duration, String> {
    match parse_duration_ms(text)? {
        0 => Err("a duration above zero is needed".to_owned()),
        ms => Ok(Duration::from_millis(ms)),
    }
}
