//! What a local cluster consists of: a pure function of the flags and the data directory.
//!
//! Ports are fixed by `--cluster.base-port`, two a process in the order of the table, so that a process started again by
//! hand is found where it was.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use cluster::Role;
use model::time::format_duration_ms;

use crate::cli::ClusterFlags;
use crate::fault::Fault;
use crate::features::Features;

/// The directory under the data directory that holds all of a local cluster's processes.
pub(crate) const DIRECTORY: &str = "cluster";
/// The directory under [`DIRECTORY`] that is the object store: not the one of `norn standalone`, which is another cluster.
const OBJECTS: &str = "objects";
/// The name under which the local cluster is founded.
const CLUSTER_NAME: &str = "local";
/// One shard an ingester: fewer, larger groups are cheaper than many small ones.
const SHARDS: u32 = 3;
/// Who there is, in the order of the table. Ingesters first: the others ask them.
const PROCESSES: [(Role, &str); 9] = [
    (Role::Ingester, "ingester-0"),
    (Role::Ingester, "ingester-1"),
    (Role::Ingester, "ingester-2"),
    (Role::Scraper, "scraper-0"),
    (Role::Scraper, "scraper-1"),
    (Role::Querier, "querier"),
    (Role::Gateway, "gateway"),
    (Role::Compactor, "compactor"),
    (Role::Ruler, "ruler"),
];

/// One process.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) role: Role,
    pub(crate) name: String,
    /// `None` for roles that nobody calls.
    pub(crate) grpc_address: Option<String>,
    pub(crate) http_address: String,
    pub(crate) directory: PathBuf,
    pub(crate) log: PathBuf,
    /// Everything after the executable's name.
    pub(crate) arguments: Vec<String>,
}

/// All processes and files.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) nodes: Vec<Node>,
    /// Where a person asks.
    pub(crate) url: String,
    sections: BTreeMap<PathBuf, String>,
}

impl Plan {
    /// Plans a local cluster under `data_dir`, an absolute path.
    ///
    /// # Errors
    /// When the ports or a given file's path cannot be.
    pub(crate) fn new(flags: &ClusterFlags, data_dir: &Path) -> Result<Self, Fault> {
        let last = usize::from(flags.base_port) + 2 * PROCESSES.len();
        if last > usize::from(u16::MAX) {
            let highest = usize::from(u16::MAX) - 2 * PROCESSES.len();
            return Err(Fault::usage(format!(
                "--cluster.base-port {} is too high: at most {highest}",
                flags.base_port
            )));
        }
        let directory = data_dir.join(DIRECTORY);
        let own_config = directory.join("prometheus.yml");
        let prometheus = match &flags.config_file {
            Some(file) => absolute(file)?,
            None => own_config.clone(),
        };
        let nodes: Vec<Node> = (0u16..)
            .zip(PROCESSES)
            .map(|(index, process)| {
                node(flags, &directory, &prometheus, flags.base_port + 2 * index, process)
            })
            .collect();
        let objstore = objstore(flags, &directory)?;
        let mut sections: BTreeMap<PathBuf, String> = nodes
            .iter()
            .map(|node| (node.directory.join("norn.yml"), section(flags, node, &nodes, &objstore)))
            .collect();
        if flags.config_file.is_none() {
            sections.insert(own_config, scrape_itself(&nodes));
        }
        let querier = nodes.iter().find(|node| node.role == Role::Querier).expect("there is one");
        let url = format!("http://{}", querier.http_address.replace("0.0.0.0", "127.0.0.1"));
        Ok(Self { url, nodes, sections })
    }

    /// Returns the files to write, with their text.
    pub(crate) fn files(&self) -> impl Iterator<Item = (PathBuf, &str)> {
        self.sections.iter().map(|(path, text)| (path.clone(), text.as_str()))
    }

    /// Returns every address that a process will listen on, with the flag that moves it.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.nodes.iter().flat_map(|node| {
            let setting =
                if node.role == Role::Querier { "--web.listen-address" } else { "--cluster.base-port" };
            let grpc = node.grpc_address.as_deref().map(|address| (address, "--cluster.base-port"));
            grpc.into_iter().chain([(node.http_address.as_str(), setting)])
        })
    }

    /// Returns the command that starts a node by hand, as a shell takes it.
    pub(crate) fn command_line(&self, executable: &str, name: &str) -> Option<String> {
        let node = self.nodes.iter().find(|node| node.name == name)?;
        let words = std::iter::once(executable).chain(node.arguments.iter().map(String::as_str));
        Some(words.map(shell_word).collect::<Vec<_>>().join(" "))
    }

    /// Returns the names to stop, stage by stage: who uses the ingesters stops before them.
    pub(crate) fn stop_stages(&self) -> [Vec<String>; 3] {
        let of = |roles: &[Role]| {
            self.nodes
                .iter()
                .filter(|node| roles.contains(&node.role))
                .map(|node| node.name.clone())
                .collect()
        };
        [
            of(&[Role::Scraper, Role::Ruler, Role::Compactor]),
            of(&[Role::Querier, Role::Gateway]),
            of(&[Role::Ingester]),
        ]
    }
}

fn node(
    flags: &ClusterFlags,
    directory: &Path,
    prometheus: &Path,
    port: u16,
    (role, name): (Role, &str),
) -> Node {
    let directory = directory.join(name);
    let has_grpc = !matches!(role, Role::Compactor | Role::Ruler);
    let mut arguments = vec![
        role.to_string(),
        format!("--config.file={}", directory.join("norn.yml").display()),
        format!("--config.prometheus-file={}", prometheus.display()),
        format!("--log.level={}", flags.process.logs.level.as_str()),
        format!("--log.format={}", flags.process.logs.format.as_str()),
    ];
    // Ingesters and gateways evaluate parts of queries.
    if matches!(role, Role::Querier | Role::Ruler | Role::Ingester | Role::Gateway) {
        arguments.extend(flags.process.query.arguments());
        arguments.extend(Features::new(&flags.process.features).flag());
        arguments.extend(flags.process.admin_api.then(|| "--web.enable-admin-api".to_owned()));
    }
    Node {
        role,
        name: name.to_owned(),
        grpc_address: has_grpc.then(|| format!("127.0.0.1:{port}")),
        http_address: match role {
            Role::Querier => flags.listen_address.clone(),
            _ => format!("127.0.0.1:{}", port + 1),
        },
        log: directory.join("norn.log"),
        directory,
        arguments,
    }
}

/// Writes the section `norn` of one node's configuration.
fn section(flags: &ClusterFlags, node: &Node, nodes: &[Node], objstore: &str) -> String {
    let mut text =
        format!("# Written by norn cluster at every start.\nnorn:\n  cluster:\n    name: {CLUSTER_NAME}\n");
    let _ = writeln!(text, "    shards: {SHARDS}\n    ingesters:");
    for ingester in nodes.iter().filter(|node| node.role == Role::Ingester) {
        let address = ingester.grpc_address.as_deref().unwrap_or_default();
        let _ = writeln!(text, "      - {{name: {}, address: {}}}", ingester.name, quoted(address));
    }
    let _ = writeln!(text, "  node:\n    name: {}\n    zone: {}", node.name, node.name);
    if let Some(address) = &node.grpc_address {
        let _ = writeln!(text, "    grpc_listen_address: {}", quoted(address));
    }
    let _ = writeln!(text, "    http_listen_address: {}", quoted(&node.http_address));
    let _ = writeln!(
        text,
        "  storage:\n    path: {}",
        quoted(&node.directory.join("data").display().to_string())
    );
    let retention = &flags.storage.retention;
    if let Some(bytes) = retention.size_bytes {
        let _ = writeln!(text, "    retention_size: {bytes}B");
    }
    for (key, value) in [
        ("block_duration", flags.storage.block_duration),
        ("retention_time", retention.time),
        ("retention_5m", retention.five_minutes),
        ("retention_1h", retention.hour),
        ("downsample_5m_after", flags.storage.downsampling.five_minutes_after),
        ("downsample_1h_after", flags.storage.downsampling.hour_after),
    ] {
        if let Some(value) = value {
            let _ = writeln!(text, "    {key}: {}", format_duration_ms(value.as_millis() as u64));
        }
    }
    text + objstore
}

fn objstore(flags: &ClusterFlags, directory: &Path) -> Result<String, Fault> {
    Ok(match &flags.storage.objstore_file {
        Some(file) => format!("  objstore_file: {}\n", quoted(&absolute(file)?.display().to_string())),
        None => {
            let directory = quoted(&directory.join(OBJECTS).display().to_string());
            format!("  objstore:\n    type: FILESYSTEM\n    config:\n      directory: {directory}\n")
        }
    })
}

/// Writes a configuration that scrapes every process of the cluster.
fn scrape_itself(nodes: &[Node]) -> String {
    let targets: Vec<String> =
        nodes.iter().map(|node| quoted(&node.http_address.replace("0.0.0.0", "127.0.0.1"))).collect();
    format!(
        "# Written by norn cluster at every start without --config.file.\nglobal:\n  scrape_interval: 15s\n\
         scrape_configs:\n  - job_name: norn\n    static_configs:\n      - targets: [{}]\n",
        targets.join(", ")
    )
}

/// Quotes a word for a shell, when it needs to be.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// Writes a YAML scalar in double quotes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn absolute(file: &Path) -> Result<PathBuf, Fault> {
    file.canonicalize().map_err(|error| Fault::usage(format!("cannot read {}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use config::Sources;
    use config::objstore::ObjstoreSource;

    use super::*;
    use crate::cli::{self, Command};

    fn plan(arguments: &str) -> Result<Plan, Fault> {
        let line = cli::parse(arguments.split_whitespace().map(OsString::from));
        let Ok(Command::Cluster(flags)) = line.map(|line| line.command) else {
            panic!("{arguments} is not a cluster")
        };
        Plan::new(&flags, Path::new("/x/my data"))
    }

    #[test]
    fn every_file_is_a_valid_configuration() {
        let plan = plan("norn cluster --storage.block-duration=90s --enable-feature=a").expect("a plan");
        let sources = Sources { base_dir: Path::new("/"), variable: &|_| None };
        let parsed: BTreeMap<PathBuf, config::Config> = plan
            .files()
            .map(|(path, text)| {
                (path, config::parse(text, sources).unwrap_or_else(|error| panic!("{error}\n{text}")))
            })
            .collect();
        assert_eq!(parsed.len(), PROCESSES.len() + 1);
        let jobs = &parsed[Path::new("/x/my data/cluster/prometheus.yml")].scrape_configs;
        assert_eq!(jobs.len(), 1);
        assert_eq!(jobs[0].job_name, "norn");
        let norn = &parsed[Path::new("/x/my data/cluster/ingester-1/norn.yml")].norn;
        assert_eq!(norn.node.name.as_deref(), Some("ingester-1"));
        assert_eq!(norn.node.grpc_listen_address.as_deref(), Some("127.0.0.1:19102"));
        assert_eq!(norn.cluster.ingesters.len(), 3);
        assert_eq!(norn.cluster.ingesters[1].address, "127.0.0.1:19102");
        assert_eq!(norn.storage.block_duration_ms, Some(90_000));
        assert_eq!(norn.storage.path.as_deref(), Some(Path::new("/x/my data/cluster/ingester-1/data")));
        let Some(ObjstoreSource::Inline(objects)) = &norn.objstore else {
            panic!("objects are in a directory")
        };
        assert_eq!(objects.settings["directory"], "/x/my data/cluster/objects");
    }

    #[test]
    fn a_command_to_start_again_can_be_pasted() {
        let plan = plan("norn cluster --config.file=Cargo.toml").expect("a plan");
        let command = plan.command_line("target/norn", "gateway").expect("it is planned");
        let start = "target/norn gateway '--config.file=/x/my data/cluster/gateway/norn.yml' --config.prometheus-file=";
        assert!(command.starts_with(start), "{command}");
        assert_eq!(shell_word("it's"), "'it'\\''s'");
    }

    #[test]
    fn no_address_is_given_twice() {
        let plan = plan("norn cluster --web.listen-address=127.0.0.1:9090").expect("a plan");
        let mut addresses: Vec<&str> = plan.addresses().map(|(address, _)| address).collect();
        assert_eq!(addresses.len(), 7 + 9);
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), 7 + 9);
    }

    #[test]
    fn ports_stay_below_the_end() {
        let fault = plan("norn cluster --cluster.base-port=65530").expect_err("too high").to_string();
        assert_eq!(fault, "--cluster.base-port 65530 is too high: at most 65517");
    }
}
