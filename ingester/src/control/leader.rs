//! What the leader of the control group does beside answering: founds, places, expires. A reconciler: each round looks at the
//! state and proposes what is missing; a proposal of a deposed leader fails, and one that comes twice changes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::command::FirstIngester;
use cluster::{ClusterSettings, Command, ControlState, Response, Role, ShardMap, placement};
use consensus::Group;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::feed::Feed;
use super::leases::LeaseTable;

/// How often the leader looks.
const ROUND: Duration = Duration::from_millis(250);

/// The reconciler; runs on every ingester and acts on the leader.
pub(crate) struct ControlLeader {
    pub(crate) group: Group,
    pub(crate) feed: Arc<Feed>,
    pub(crate) leases: Arc<LeaseTable>,
    pub(crate) lease: Duration,
    pub(crate) settings: ClusterSettings,
    pub(crate) first_ingesters: Vec<FirstIngester>,
}

impl ControlLeader {
    /// Runs until shutdown.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), crate::IngesterError> {
        let mut leadership = self.group.leadership();
        let mut term_led = None;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(ROUND) => {}
                _ = leadership.changed() => {}
            }
            if !self.group.is_leader() {
                term_led = None;
                continue;
            }
            let term = self.group.status().term;
            if term_led != Some(term) {
                term_led = Some(term);
                self.leases.clear();
                info!(term, "leading the control group");
            }
            // The barrier waits until this leader has applied all that was committed before it.
            if self.group.read_barrier().await.is_ok() {
                for command in self.plan(&self.feed.state(), Instant::now()) {
                    self.propose(command).await;
                }
            }
        }
    }

    /// Returns what is missing. Pure but for the lease table.
    fn plan(&self, state: &ControlState, now: Instant) -> Vec<Command> {
        let Some(settings) = &state.settings else {
            let establish = Command::Establish {
                settings: self.settings.clone(),
                ingesters: self.first_ingesters.clone(),
            };
            return vec![establish];
        };
        let mut commands = Vec::new();
        if state.shard_map.shards.is_empty() {
            commands.extend(self.first_placement(settings, state));
        }
        for (node, epoch) in self.leases.lapsed(state, self.lease, now) {
            if let Some(member) = state.members.get(&node) {
                warn!(role = %member.role, name = member.name, %node, %epoch, "membership lapsed");
            }
            commands.push(Command::Expire { node, epoch });
        }
        commands
    }

    /// Places the shards once all first ingesters have joined.
    fn first_placement(&self, settings: &ClusterSettings, state: &ControlState) -> Option<Command> {
        let live: Vec<_> = state.live(Role::Ingester).collect();
        if !self.first_ingesters.iter().all(|first| live.iter().any(|member| member.node == first.node)) {
            debug!(
                joined = live.len(),
                expected = self.first_ingesters.len(),
                "waiting for ingesters to place the shards"
            );
            return None;
        }
        let replicas = placement::place(settings.shards as usize, settings.replicas as usize, &live);
        Some(Command::PlaceShards { map: ShardMap::even(replicas) })
    }

    async fn propose(&self, command: Command) {
        match self.group.propose(command.encode().into()).await {
            Ok(applied) => match Response::decode(&applied.response) {
                Ok(Response::Refused(fault)) => warn!(%fault, ?command, "control command refused"),
                Ok(_) => {}
                Err(fault) => warn!(fault, "control command answered with bytes that are no answer"),
            },
            Err(error) => debug!(%error, "control command not committed; it is planned again"),
        }
    }
}
