//! What this process shall be: the command line and the files it names, checked and merged.
//!
//! A flag wins over the file. Nothing is opened here but the configuration files; what a role cannot do without is asked
//! for by the name of its key.

mod node;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use block::ObjectStoreConfig;
use cluster::Role;
use cluster::command::FirstIngester;
use config::objstore::ObjstoreSource;
use config::{Config, NornConfig, Sources};
use model::NodeId;
use tracing::warn;

use crate::cli::{DownsamplingFlags, QueryFlags, RetentionFlags, RoleFlags, StandaloneFlags};
use crate::fault::Fault;
use crate::features::Features;
pub(crate) use node::Node;

/// The length of a window when nobody says.
const BLOCK_DURATION_MS: u64 = 2 * 3_600_000;
/// The out-of-order allowance when nobody says, as a part of a window: writers whose clocks or queues lag a little must
/// not lose samples whenever a window is cut.
const OUT_OF_ORDER_PART: u64 = 4;
/// How many exemplars a cluster keeps, as with Prometheus.
const EXEMPLARS_MAX: u32 = 100_000;
/// How long samples are kept when nobody says.
const RETENTION_MS: u64 = 15 * 86_400_000;
/// When samples are reduced to five minutes and to an hour: forty hours and ten days, as in Thanos.
const DOWNSAMPLE_5M_AFTER_MS: u64 = 40 * 3_600_000;
const DOWNSAMPLE_1H_AFTER_MS: u64 = 10 * 86_400_000;
/// How many shards a cluster of processes is founded with when nobody says.
const SHARDS: u32 = 4;
/// How many replicas a shard of a cluster has.
const REPLICAS: u32 = 3;
/// The name of a cluster when nobody says.
pub(crate) const CLUSTER_NAME: &str = "norn";
/// Where a standalone process keeps its objects when nobody says, below its data directory.
pub(crate) const OBJECTS_DIR: &str = "objects";
/// The name of the one process of a standalone cluster, and its address in place of a socket's.
pub(crate) const STANDALONE: &str = "standalone";

/// Which roles run in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All of them.
    Standalone,
    /// One.
    Role(Role),
}

impl Mode {
    /// Returns the name for metrics and logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Standalone => STANDALONE,
            Self::Role(role) => role.as_str(),
        }
    }
}

/// How long samples are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetentionSettings {
    /// As they came.
    pub(crate) time_ms: u64,
    /// Reduced to five minutes; `None` for ever.
    pub(crate) five_minutes_ms: Option<u64>,
    /// Reduced to an hour; `None` for ever.
    pub(crate) hour_ms: Option<u64>,
    /// How many bytes all blocks take together at the most.
    pub(crate) size_bytes: Option<u64>,
}

/// When samples are reduced to slots, ms; `None` for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DownsamplingSettings {
    pub(crate) five_minutes_after_ms: Option<u64>,
    pub(crate) hour_after_ms: Option<u64>,
}

/// What one process shall be.
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    /// The Prometheus part of the configuration.
    pub(crate) config: Config,
    /// Whether there is no configuration file, and the process scrapes itself.
    pub(crate) scrapes_itself: bool,
    pub(crate) cluster: ClusterSettings,
    pub(crate) node: Node,
    pub(crate) data_dir: PathBuf,
    pub(crate) retention: RetentionSettings,
    pub(crate) downsampling: DownsamplingSettings,
    /// `None` for roles that touch no objects.
    pub(crate) objects: Option<ObjectStoreConfig>,
    pub(crate) cache_dir: PathBuf,
    pub(crate) gateway: config::norn::GatewayConfig,
    pub(crate) query: QueryFlags,
    pub(crate) features: Features,
    /// Whether series may be deleted over HTTP.
    pub(crate) admin_api: bool,
    /// The command line, to be shown.
    pub(crate) flags: BTreeMap<String, String>,
}

/// What the cluster is founded with.
pub(crate) struct ClusterSettings {
    pub(crate) name: String,
    pub(crate) shards: u32,
    pub(crate) replicas: u32,
    pub(crate) block_duration_ms: u64,
    pub(crate) out_of_order_window_ms: u64,
    pub(crate) exemplars_max: u32,
    pub(crate) first_ingesters: Vec<FirstIngester>,
}

/// Reads a configuration file and logs what in it has no effect.
///
/// # Errors
/// The file's name, the place and the fault.
pub(crate) fn read(file: &Path) -> Result<Config, Fault> {
    let text = fs::read_to_string(file).map_err(|error| {
        Fault::usage(format!(
            "cannot read the configuration file {}: {error}: correct --config.file",
            file.display()
        ))
    })?;
    let base_dir = file.parent().unwrap_or(Path::new("."));
    let variable = |name: &str| std::env::var(name).ok();
    let config = config::parse(&text, Sources { base_dir, variable: &variable });
    config.map_err(|error| Fault::usage(format!("configuration file {}: {error}", file.display())))
}

/// Says in the log what in a configuration has no effect.
pub(crate) fn report(config: &Config) {
    for warning in &config.warnings {
        warn!(warning, "configuration");
    }
}

/// Makes the settings of `norn standalone`.
pub(crate) fn standalone(
    flags: &StandaloneFlags,
    shown: BTreeMap<String, String>,
) -> Result<Settings, Fault> {
    let config = flags.config_file.as_deref().map(read).transpose()?.unwrap_or_default();
    let norn = config.norn.clone();
    if !norn.cluster.ingesters.is_empty() {
        return Err(Fault::usage(
            "norn.cluster.ingesters: norn standalone is its own ingester: remove the key, or run norn ingester",
        ));
    }
    let storage = &flags.storage;
    let objects = match objstore(storage.objstore_file.as_deref(), &norn)? {
        Some(objects) => objects,
        None => ObjectStoreConfig::Local { dir: storage.data_dir.join(OBJECTS_DIR) },
    };
    let block_duration_ms =
        ms(storage.block_duration).or(norn.storage.block_duration_ms).unwrap_or(BLOCK_DURATION_MS);
    let itself =
        FirstIngester { node: NodeId(1), name: STANDALONE.to_owned(), grpc_address: STANDALONE.to_owned() };
    Ok(Settings {
        mode: Mode::Standalone,
        scrapes_itself: flags.config_file.is_none(),
        cluster: ClusterSettings {
            name: norn.cluster.name.clone().unwrap_or_else(|| CLUSTER_NAME.to_owned()),
            shards: norn.cluster.shards.unwrap_or(1),
            replicas: 1,
            block_duration_ms,
            out_of_order_window_ms: out_of_order_window_ms(&config, block_duration_ms),
            exemplars_max: config.exemplars_max.unwrap_or(EXEMPLARS_MAX),
            first_ingesters: vec![itself],
        },
        node: Node::standalone(&flags.listen_address, flags.grpc_listen_address.as_deref()),
        data_dir: storage.data_dir.clone(),
        retention: RetentionSettings::new(&storage.retention, &config),
        downsampling: DownsamplingSettings::new(storage.downsampling, &config),
        objects: Some(objects),
        cache_dir: norn.gateway.cache_path.clone().unwrap_or_else(|| storage.data_dir.join("cache")),
        gateway: norn.gateway,
        query: flags.process.query.clone(),
        features: Features::new(&flags.process.features),
        admin_api: flags.process.admin_api,
        flags: shown,
        config,
    })
}

/// Makes the settings of `norn <role>`.
pub(crate) fn role(
    role: Role,
    flags: &RoleFlags,
    shown: BTreeMap<String, String>,
) -> Result<Settings, Fault> {
    let file = flags.config_file.as_path();
    let mut config = read(file)?;
    let norn = std::mem::take(&mut config.norn);
    if let Some(file) = &flags.prometheus_file {
        config = read(file)?;
    }
    config.norn = norn.clone();
    let missing =
        |key: &str, advice: &str| Fault::usage(format!("{}: {key} is missing: {advice}", file.display()));
    if norn.cluster.ingesters.is_empty() {
        return Err(missing(
            "norn.cluster.ingesters",
            "name the first ingesters of the cluster, each as {name, address}",
        ));
    }
    let objects = objstore(flags.objstore_file.as_deref(), &norn)?;
    if objects.is_none() && matches!(role, Role::Ingester | Role::Gateway | Role::Compactor) {
        return Err(missing("norn.objstore", "say where blocks are kept, or give --objstore.config-file"));
    }
    let data_dir =
        flags.data_dir.clone().or_else(|| norn.storage.path.clone()).unwrap_or_else(|| PathBuf::from("data"));
    let block_duration_ms =
        ms(flags.block_duration).or(norn.storage.block_duration_ms).unwrap_or(BLOCK_DURATION_MS);
    Ok(Settings {
        mode: Mode::Role(role),
        scrapes_itself: false,
        cluster: ClusterSettings {
            name: norn.cluster.name.clone().unwrap_or_else(|| CLUSTER_NAME.to_owned()),
            shards: norn.cluster.shards.unwrap_or(SHARDS),
            replicas: REPLICAS,
            block_duration_ms,
            out_of_order_window_ms: out_of_order_window_ms(&config, block_duration_ms),
            exemplars_max: config.exemplars_max.unwrap_or(EXEMPLARS_MAX),
            first_ingesters: first_ingesters(&norn),
        },
        node: Node::of_role(role, flags, &norn.node).map_err(|(key, advice)| missing(key, advice))?,
        cache_dir: norn.gateway.cache_path.clone().unwrap_or_else(|| data_dir.join("cache")),
        data_dir,
        retention: RetentionSettings::new(&flags.retention, &config),
        downsampling: DownsamplingSettings::new(flags.downsampling, &config),
        objects,
        gateway: norn.gateway,
        query: flags.process.query.clone(),
        features: Features::new(&flags.process.features),
        admin_api: flags.process.admin_api,
        flags: shown,
        config,
    })
}

/// Makes a configuration that scrapes the process at `address`.
pub(crate) fn scrape_itself(address: &str) -> Config {
    let text = format!(
        "global:\n  scrape_interval: 15s\nscrape_configs:\n  - job_name: norn\n    static_configs:\n      - targets: ['{address}']\n"
    );
    let sources = Sources { base_dir: Path::new("."), variable: &|_| None };
    config::parse(&text, sources).expect("an address of a bound socket has no character that breaks the text")
}

fn first_ingesters(norn: &NornConfig) -> Vec<FirstIngester> {
    let numbered = (1u64..).zip(&norn.cluster.ingesters);
    let first = |(node, ingester): (u64, &config::norn::IngesterConfig)| FirstIngester {
        node: NodeId(node),
        name: ingester.name.clone(),
        grpc_address: ingester.address.clone(),
    };
    numbered.map(first).collect()
}

/// Reads where objects are: the flag's file, else the configuration's own settings or file.
pub(crate) fn objstore(flag: Option<&Path>, norn: &NornConfig) -> Result<Option<ObjectStoreConfig>, Fault> {
    let given = match &norn.objstore {
        Some(ObjstoreSource::File(file)) => Some(file.as_path()),
        _ => None,
    };
    let (place, text) = match (flag.or(given), &norn.objstore) {
        (Some(file), _) => {
            let text = fs::read_to_string(file);
            let cannot = |error| {
                Fault::usage(format!("cannot read the object store's file {}: {error}", file.display()))
            };
            (file.display().to_string(), text.map_err(cannot)?)
        }
        (None, Some(ObjstoreSource::Inline(objstore))) => {
            ("norn.objstore".to_owned(), objstore.thanos_yaml())
        }
        (None, _) => return Ok(None),
    };
    let objects = ObjectStoreConfig::from_thanos_yaml(&text);
    objects.map(Some).map_err(|error| Fault::usage(format!("{place}: {error}")))
}

fn out_of_order_window_ms(config: &Config, block_duration_ms: u64) -> u64 {
    let given = config.norn.storage.out_of_order_window_ms.or(config.tsdb.out_of_order_window_ms);
    given.unwrap_or(block_duration_ms / OUT_OF_ORDER_PART)
}

impl RetentionSettings {
    fn new(flags: &RetentionFlags, config: &Config) -> Self {
        let storage = &config.norn.storage;
        let time_ms =
            ms(flags.time).or(storage.retention_ms).or(config.tsdb.retention_ms).unwrap_or(RETENTION_MS);
        // Nothing is kept longer than samples are unless somebody says so; zero says for ever, as in Thanos.
        let reduced = |given: Option<u64>| Some(given.unwrap_or(time_ms)).filter(|ms| *ms > 0);
        Self {
            time_ms,
            five_minutes_ms: reduced(ms(flags.five_minutes).or(storage.retention_5m_ms)),
            hour_ms: reduced(ms(flags.hour).or(storage.retention_1h_ms)),
            size_bytes: flags.size_bytes.or(storage.retention_size_bytes),
        }
    }
}

impl DownsamplingSettings {
    fn new(flags: DownsamplingFlags, config: &Config) -> Self {
        let storage = &config.norn.storage;
        let after = |given: Option<u64>, default: u64| Some(given.unwrap_or(default)).filter(|ms| *ms > 0);
        let five_minutes = ms(flags.five_minutes_after).or(storage.downsample_5m_after_ms);
        let hour = ms(flags.hour_after).or(storage.downsample_1h_after_ms);
        Self {
            five_minutes_after_ms: after(five_minutes, DOWNSAMPLE_5M_AFTER_MS),
            hour_after_ms: after(hour, DOWNSAMPLE_1H_AFTER_MS),
        }
    }
}

fn ms(duration: Option<std::time::Duration>) -> Option<u64> {
    duration.map(|duration| duration.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::cli::{self, Command};

    /// Makes settings from a command line, with `text` as the file `norn.yml` in a directory of its own.
    fn settings(arguments: &str, text: &str) -> Result<Settings, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("norn.yml");
        fs::write(&file, text).expect("a file");
        let arguments = arguments.replace("FILE", &file.display().to_string());
        let line = cli::parse(arguments.split_whitespace().map(OsString::from));
        let made = match line.map(|line| line.command) {
            Ok(Command::Standalone(flags)) => standalone(&flags, BTreeMap::new()),
            Ok(Command::Role(name, flags)) => role(name, &flags, BTreeMap::new()),
            _ => panic!("{arguments} runs no role"),
        };
        made.map_err(|fault| fault.to_string().replace(&file.display().to_string(), "FILE"))
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let text = "storage: {tsdb: {out_of_order_time_window: 1m}}\nnorn:\n  storage: {block_duration: 1h, retention_time: 3d}\n";
        let made =
            settings("norn standalone --config.file=FILE --storage.block-duration=10m", text).expect("valid");
        assert_eq!(made.cluster.block_duration_ms, 600_000);
        assert_eq!(made.cluster.out_of_order_window_ms, 60_000);
        let three_days_ms = 3 * 86_400_000;
        assert_eq!(made.retention.time_ms, three_days_ms);
        assert_eq!(made.retention.hour_ms, Some(three_days_ms), "not longer unless somebody says so");
        let made = settings("norn standalone", "").expect("valid");
        assert_eq!(made.cluster.block_duration_ms, BLOCK_DURATION_MS);
        assert_eq!(made.cluster.out_of_order_window_ms, BLOCK_DURATION_MS / OUT_OF_ORDER_PART);
        assert_eq!(made.retention.time_ms, RETENTION_MS);
        let (five_minutes_after_ms, hour_after_ms) = (Some(144_000_000), Some(864_000_000));
        assert_eq!(made.downsampling, DownsamplingSettings { five_minutes_after_ms, hour_after_ms });
        let text = "norn:\n  storage: {retention_time: 3d, retention_5m: 90d, retention_size: 10GB}\n";
        let line = "norn standalone --config.file=FILE --retention.resolution-1h=0d";
        let made = settings(line, text).expect("valid");
        let (five_minutes_ms, hour_ms) = (Some(30 * three_days_ms), None);
        let (time_ms, size_bytes) = (three_days_ms, Some(10 << 30));
        let expected = RetentionSettings { time_ms, five_minutes_ms, hour_ms, size_bytes };
        assert_eq!(made.retention, expected);
        let made = settings("norn standalone", "").expect("valid");
        assert!(made.scrapes_itself);
    }

    #[test]
    fn a_role_says_which_key_it_misses() {
        let ingesters = "norn:\n  cluster: {ingesters: [{name: i, address: 'a:1'}]}\n";
        let named = format!("{ingesters}  node: {{name: x}}\n");
        let advertised = format!("{ingesters}  node: {{name: x, advertise_address: here}}\n");
        for (role, text, expected) in [
            (
                "querier",
                String::new(),
                "FILE: norn.cluster.ingesters is missing: name the first ingesters of the cluster, each as {name, address}",
            ),
            (
                "querier",
                ingesters.to_owned(),
                "FILE: norn.node.name is missing: give this process a name of its own among those of its role",
            ),
            (
                "querier",
                named,
                "FILE: norn.node.advertise_address is missing: say under which host the others reach this process",
            ),
            (
                "ingester",
                advertised.clone(),
                "FILE: norn.objstore is missing: say where blocks are kept, or give --objstore.config-file",
            ),
        ] {
            let fault = settings(&format!("norn {role} --config.file=FILE"), &text).err();
            assert_eq!(fault.as_deref(), Some(expected), "{role}");
        }
        let made = settings("norn querier --config.file=FILE", &advertised).expect("valid");
        let grpc = made.node.grpc.as_ref().expect("a querier is called");
        assert_eq!(grpc.address, "0.0.0.0:9095");
        assert_eq!(made.node.advertised("0.0.0.0:9095".parse().expect("an address")), "here:9095");
        assert!(made.objects.is_none());
    }
}
