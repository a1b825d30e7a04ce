//! A cluster started by `norn cluster`, known from the table that it prints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proto::connect::Connector;
use proto::control::control_client::ControlClient;
use proto::control::{StatusRequest, StatusResponse};

use crate::harness::process::{print_end, send_signal};
use crate::harness::{Api, Norn, Remote, free_ports, until};

/// The processes that the table must show: ingesters, scrapers, querier, gateway, compactor, ruler.
const PROCESSES: usize = 9;

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) role: String,
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) grpc: String,
    pub(crate) http: String,
    log: PathBuf,
}

/// A running local cluster; all its processes end with it.
pub(crate) struct LocalCluster {
    launcher: Norn,
    dir: PathBuf,
    pub(crate) nodes: Vec<Node>,
    /// Nodes started again by hand, by name.
    again: BTreeMap<String, Norn>,
    connector: Connector,
}

impl LocalCluster {
    /// Starts a cluster with its data in `<dir>/data`, and waits until it says that it is ready.
    pub(crate) async fn start(dir: &Path, more: &[String]) -> Self {
        Self::start_at(dir, free_ports(19), more).await
    }

    /// Starts a cluster on the 19 ports from `first` on.
    pub(crate) async fn start_at(dir: &Path, first: u16, more: &[String]) -> Self {
        let address = format!("127.0.0.1:{first}");
        let mut arguments = vec!["cluster".to_owned(), format!("--web.listen-address={address}")];
        arguments.push(format!("--cluster.base-port={}", first + 1));
        arguments.push(format!("--data.dir={}", dir.join("data").display()));
        arguments.extend(more.iter().cloned());
        let mut launcher = Norn::start(dir, "launcher", &address, &arguments);
        until("the cluster's readiness", async || launcher.still_runs_without("ready in")).await;
        let nodes: Vec<Node> = launcher.log_text().lines().filter_map(|line| Node::read(dir, line)).collect();
        assert_eq!(nodes.len(), PROCESSES, "{}", launcher.log_text());
        Self { launcher, dir: dir.to_owned(), nodes, again: BTreeMap::new(), connector: Connector::default() }
    }

    /// Returns the querier's API.
    pub(crate) fn api(&self) -> Api {
        self.launcher.api()
    }

    /// Returns a sender to one ingester.
    pub(crate) fn remote(&self, name: &str) -> Remote {
        Remote::new(&self.node(name).http)
    }

    /// Returns the launcher.
    pub(crate) fn launcher(&mut self) -> &mut Norn {
        &mut self.launcher
    }

    /// Returns a node by its name.
    pub(crate) fn node(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.name == name).expect("the table shows it")
    }

    /// Kills a node as `kill -9` does, and waits until it is gone.
    pub(crate) async fn kill(&mut self, name: &str) {
        if let Some(mut norn) = self.again.remove(name) {
            norn.kill();
            return;
        }
        let pid = self.node(name).pid;
        send_signal(pid, "KILL");
        let line = format!("{name} (pid {pid}) was killed by signal 9");
        let launcher = &mut self.launcher;
        until("the launcher's line about the kill", async || launcher.still_runs_without(&line)).await;
    }

    /// Starts a killed node again and waits until it is ready.
    pub(crate) async fn start_again(&mut self, name: &str) {
        self.begin_again(name);
        self.wait_again(name).await;
    }

    /// Starts a killed node again with the command that the launcher printed.
    pub(crate) fn begin_again(&mut self, name: &str) {
        let text = self.launcher.log_text();
        let start = format!("{name} (pid ");
        let line = text.lines().rev().find(|line| line.starts_with(&start));
        let line = line.expect("the launcher says how");
        let (_, command) = line.split_once("Start it again: ").expect("the line ends with a command");
        let arguments: Vec<String> = command.split(' ').skip(1).map(str::to_owned).collect();
        let norn = Norn::start(&self.dir, &format!("{name}-again"), &self.node(name).http, &arguments);
        self.again.insert(name.to_owned(), norn);
    }

    /// Waits until a node that was started again is ready.
    pub(crate) async fn wait_again(&mut self, name: &str) {
        self.again.get_mut(name).expect("it was started again").ready().await;
    }

    /// Asks an ingester what it knows of its groups.
    pub(crate) async fn status(&self, name: &str) -> Result<StatusResponse, String> {
        let channel = self.connector.channel(&self.node(name).grpc)?;
        let answer = ControlClient::new(channel).status(StatusRequest {}).await;
        answer.map(tonic::Response::into_inner).map_err(|status| status.message().to_owned())
    }

    /// Returns the name of the ingester that leads the most shards of those that `asked` knows.
    pub(crate) async fn leader(&self, asked: &str) -> String {
        let node = until("a shard's leader", async || {
            let status = self.status(asked).await?;
            let leaders = status.groups.iter().filter(|group| group.group > 0 && group.leader > 0);
            let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
            leaders.for_each(|group| *counts.entry(group.leader).or_default() += 1);
            let most = counts.into_iter().max_by_key(|(_, count)| *count);
            most.map(|(node, _)| node).ok_or_else(|| "no shard has a leader".to_owned())
        })
        .await;
        // Node ids of the first ingesters are positions in the configuration, counted from 1.
        format!("ingester-{}", node - 1)
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.nodes.iter().for_each(|node| print_end(&node.log));
        }
    }
}

impl Norn {
    /// Returns whether its log has a line that starts with `start`; fails when it has ended.
    fn still_runs_without(&mut self, start: &str) -> Result<(), String> {
        let text = self.log_text();
        if text.lines().any(|line| line.starts_with(start)) {
            return Ok(());
        }
        assert!(self.runs(), "the launcher ended:\n{text}");
        Err(text)
    }
}

impl Node {
    fn read(dir: &Path, line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [role, name, pid, grpc, http, log] = words.as_slice() else { return None };
        let pid = pid.parse().ok()?;
        let own = |text: &str| text.to_owned();
        Some(Self {
            role: own(role),
            name: own(name),
            pid,
            grpc: own(grpc),
            http: own(http),
            log: dir.join(log),
        })
    }
}
