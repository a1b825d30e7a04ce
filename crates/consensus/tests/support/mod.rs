//! A cluster in one process: hosts over a network in memory, logs on disks in memory that lose power.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use consensus::{
    Applied, ConsensusError, Group, GroupId, HostConfig, NodeId, RaftHost, StateMachine, Transport,
    TransportError, WalConfig,
};
use futures::future::select_all;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::watch;
use wal::memory::MemoryDisk;

pub(crate) const GROUP: GroupId = GroupId(1);

/// Remembers every command in order; tests see a copy after each change.
pub(crate) struct Ledger {
    entries: Vec<(u64, Bytes)>,
    seen: watch::Sender<Vec<(u64, Bytes)>>,
}

impl StateMachine for Ledger {
    fn apply(&mut self, index: u64, command: &[u8]) -> Bytes {
        self.entries.push((index, Bytes::copy_from_slice(command)));
        self.seen.send_replace(self.entries.clone());
        Bytes::from((self.entries.len() as u64).to_le_bytes().to_vec())
    }

    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        for (index, command) in &self.entries {
            out.write_all(&index.to_le_bytes())?;
            out.write_all(&(command.len() as u64).to_le_bytes())?;
            out.write_all(command)?;
        }
        Ok(())
    }

    fn restore(&mut self, input: &mut dyn Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        let mut rest = Bytes::from(bytes);
        self.entries.clear();
        while !rest.is_empty() {
            let index = u64::from_le_bytes(rest.split_to(8)[..].try_into().unwrap());
            let length = u64::from_le_bytes(rest.split_to(8)[..].try_into().unwrap());
            self.entries.push((index, rest.split_to(length as usize)));
        }
        self.seen.send_replace(self.entries.clone());
        Ok(())
    }
}

/// The hosts that can be reached, and the pairs (from, to) that are cut.
#[derive(Default)]
pub(crate) struct Net {
    hosts: Mutex<BTreeMap<u64, Arc<RaftHost>>>,
    cut: Mutex<BTreeSet<(u64, u64)>>,
}

struct Line {
    net: Arc<Net>,
    me: u64,
}

#[async_trait]
impl Transport for Line {
    async fn call(
        &self,
        to: NodeId,
        group: GroupId,
        kind: u32,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, TransportError> {
        let is_cut = self.net.cut.lock().contains(&(self.me, to.0));
        let host = self.net.hosts.lock().get(&to.0).cloned().filter(|_| !is_cut);
        let unreachable = || TransportError::Unreachable { node: to, reason: "it is cut off".to_owned() };
        let host = host.ok_or_else(unreachable)?;
        // A task of its own, as on another machine: it goes on when the caller gives up.
        let handled = tokio::spawn(async move { host.handle(group, kind, body).await });
        let answer = tokio::time::timeout(timeout, handled).await;
        let answer = answer.map_err(|_| TransportError::Timeout { node: to })?.map_err(|_| unreachable())?;
        if self.net.cut.lock().contains(&(to.0, self.me)) {
            return Err(TransportError::Timeout { node: to });
        }
        answer.map_err(|error| TransportError::Refused { node: to, reason: error.to_string() })
    }
}

pub(crate) struct Node {
    pub(crate) host: Arc<RaftHost>,
    pub(crate) group: Group,
    pub(crate) ledger: watch::Receiver<Vec<(u64, Bytes)>>,
}

pub(crate) struct Cluster {
    pub(crate) net: Arc<Net>,
    pub(crate) nodes: BTreeMap<u64, Node>,
    pub(crate) disks: BTreeMap<u64, MemoryDisk>,
    pub(crate) directory: TempDir,
    pub(crate) voters: BTreeSet<NodeId>,
    pub(crate) adjust: fn(&mut HostConfig),
}

impl Cluster {
    pub(crate) async fn start(count: u64, adjust: fn(&mut HostConfig)) -> Self {
        let mut cluster = Self {
            net: Arc::default(),
            nodes: BTreeMap::new(),
            disks: BTreeMap::new(),
            directory: tempfile::tempdir().unwrap(),
            voters: (1..=count).map(NodeId).collect(),
            adjust,
        };
        for node in 1..=count {
            cluster.bring_up(node).await;
        }
        cluster
    }

    pub(crate) fn config(&self, node: u64) -> HostConfig {
        let mut config = HostConfig::new(NodeId(node), self.directory.path().join(node.to_string()));
        config.heartbeat = Duration::from_millis(100);
        config.election_min = Duration::from_millis(300);
        config.election_max = Duration::from_millis(600);
        config.retry = (Duration::from_millis(20), Duration::from_millis(200));
        config.wal = WalConfig {
            segment_bytes: 1 << 20,
            queue_bytes_max: 512 << 10,
            cache_bytes_max: 64 << 10,
            ..WalConfig::default()
        };
        (self.adjust)(&mut config);
        config
    }

    /// Starts a node on its disk as it is.
    pub(crate) async fn bring_up(&mut self, node: u64) {
        let disk = self.disks.entry(node).or_default().clone();
        let line = Line { net: Arc::clone(&self.net), me: node };
        let host = RaftHost::open_on(self.config(node), Arc::new(disk), Arc::new(line)).await.unwrap();
        let (seen, ledger) = watch::channel(Vec::new());
        let machine = Box::new(Ledger { entries: Vec::new(), seen });
        let group = host.start_group(GROUP, machine, &self.voters).await.unwrap();
        let host = Arc::new(host);
        self.net.hosts.lock().insert(node, Arc::clone(&host));
        self.nodes.insert(node, Node { host, group, ledger });
    }

    /// Takes the power from a node: what it had not synced is lost, each sector as `keep` says.
    pub(crate) async fn kill(&mut self, node: u64, keep: impl FnMut() -> bool) {
        // What still runs there reaches nobody, and makes nothing durable any more.
        self.net.hosts.lock().remove(&node);
        let others: Vec<u64> = self.voters.iter().map(|voter| voter.0).collect();
        let cut = others.iter().flat_map(|other| [(node, *other), (*other, node)]);
        self.net.cut.lock().extend(cut);
        let disk = self.disks[&node].after_power_failure(keep);
        self.disks.insert(node, disk);
        self.nodes.remove(&node).unwrap().host.stop().await;
        self.net.cut.lock().retain(|(from, to)| *from != node && *to != node);
    }

    /// Cuts everything that a node sends and receives.
    pub(crate) fn isolate(&self, node: u64) {
        let mut cut = self.net.cut.lock();
        for other in self.voters.iter().map(|voter| voter.0).filter(|other| *other != node) {
            cut.extend([(node, other), (other, node)]);
        }
    }

    pub(crate) fn cut_inbound(&self, node: u64) {
        let others = self.voters.iter().map(|voter| (voter.0, node));
        self.net.cut.lock().extend(others);
    }

    pub(crate) fn heal(&self) {
        self.net.cut.lock().clear();
    }

    /// Waits until a node other than these believes to lead.
    pub(crate) async fn leader_other_than(&self, excluded: &[u64]) -> u64 {
        let live = || self.nodes.iter().filter(|(node, _)| !excluded.contains(node));
        let mut watches: Vec<_> = live().map(|(_, node)| node.group.leadership()).collect();
        loop {
            for ((node, _), leadership) in live().zip(&mut watches) {
                if leadership.borrow_and_update().leader == Some(NodeId(*node)) {
                    return *node;
                }
            }
            let changes = watches.iter_mut().map(|leadership| Box::pin(leadership.changed()));
            select_all(changes).await.0.unwrap();
        }
    }

    pub(crate) async fn leader(&self) -> u64 {
        self.leader_other_than(&[]).await
    }

    /// Proposes to whoever leads until it is acknowledged.
    pub(crate) async fn propose(&self, command: &str) -> Applied {
        propose_on(&self.groups(), command).await
    }

    pub(crate) fn groups(&self) -> BTreeMap<u64, Group> {
        self.nodes.iter().map(|(node, running)| (*node, running.group.clone())).collect()
    }

    /// Waits until every node has applied the last of these commands, which were acknowledged in this order; asserts
    /// that each then has them all, and that the states are equal.
    pub(crate) async fn agree_on(&mut self, commands: &[String]) -> Vec<(u64, Bytes)> {
        let last = commands.last().unwrap().as_bytes();
        let mut states = Vec::new();
        for (number, node) in &mut self.nodes {
            let has_last = |entries: &Vec<(u64, Bytes)>| entries.iter().any(|(_, command)| command == last);
            let state = node.ledger.wait_for(has_last).await.unwrap().clone();
            let found: BTreeSet<&[u8]> = state.iter().map(|(_, command)| &command[..]).collect();
            let lost = commands.iter().find(|command| !found.contains(command.as_bytes()));
            assert_eq!(lost, None, "acknowledged and lost on node {number}");
            states.push(state);
        }
        let shortest = states.iter().map(Vec::len).min().unwrap();
        for state in &states {
            assert_eq!(state[..shortest], states[0][..shortest]);
        }
        states.swap_remove(0)
    }
}

/// Proposes to whichever of the groups leads until it is acknowledged.
pub(crate) async fn propose_on(groups: &BTreeMap<u64, Group>, command: &str) -> Applied {
    let mut watches: Vec<_> = groups.values().map(Group::leadership).collect();
    loop {
        for (node, group) in groups {
            if group.leader() != Some(NodeId(*node)) {
                continue;
            }
            match group.propose(Bytes::from(command.to_owned())).await {
                Ok(applied) => return applied,
                Err(
                    ConsensusError::NotLeader { .. }
                    | ConsensusError::Timeout { .. }
                    | ConsensusError::OutcomeUnknown { .. }
                    | ConsensusError::Stopped { .. },
                ) => {}
                Err(error) => panic!("{error}"),
            }
        }
        // Whoever believes to lead may have lost its lease, which no watch tells.
        let changes = watches.iter_mut().map(|leadership| Box::pin(leadership.changed()));
        let _ = tokio::time::timeout(Duration::from_millis(20), select_all(changes)).await;
    }
}
