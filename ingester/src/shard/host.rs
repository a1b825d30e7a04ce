//! Starts the replicas that the control state places on this node.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cluster::{ClusterSettings, ControlState};
use consensus::{GroupId, Leadership, RaftHost};
use head::HeadConfig;
use model::{NodeId, ShardId};
use object_store::ObjectStore;
use parking_lot::RwLock;
use selection::External;
use service::Context;
use session::Session;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::cutter::Cutter;
use super::machine::ShardMachine;
use super::replica::Replica;
use super::{proposer, snapshotter};
use crate::control::feed::Feed;
use crate::metrics::IngesterMetrics;
use crate::transport::Addresses;

/// The replicas on this node.
#[derive(Default)]
pub(crate) struct Shards {
    replicas: RwLock<BTreeMap<ShardId, Arc<Replica>>>,
}

impl Shards {
    pub(crate) fn get(&self, shard: ShardId) -> Option<Arc<Replica>> {
        self.replicas.read().get(&shard).cloned()
    }

    pub(crate) fn list(&self) -> Vec<Arc<Replica>> {
        self.replicas.read().values().cloned().collect()
    }
}

/// The reconciler between the shard map and what runs here.
pub(crate) struct ShardHost {
    pub(crate) node: NodeId,
    pub(crate) context: Context,
    pub(crate) host: Arc<RaftHost>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) session: Arc<Session>,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) shards: Arc<Shards>,
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// A directory for the heads' files.
    pub(crate) chunks_dir: PathBuf,
    pub(crate) metrics: IngesterMetrics,
    pub(crate) series_max: u64,
    pub(crate) future_ms_max: i64,
    pub(crate) publish_grace: Duration,
}

impl ShardHost {
    /// Runs until shutdown; ready once the shards placed here have a leader.
    ///
    /// # Errors
    /// When a group cannot be started: its log is damaged, or does not belong here.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), crate::IngesterError> {
        let gate = self.context.gate("shards have leaders");
        let mut states = self.feed.subscribe();
        loop {
            let state = states.borrow_and_update().clone();
            self.addresses.update(state.members.values().map(|m| (m.node, m.grpc_address.clone())));
            self.start_missing(&state).await?;
            let replicas = self.shards.list();
            // Taken before the leaders are looked at, so that no change between the two is missed.
            let leaderships: Vec<_> = replicas.iter().map(|replica| replica.group.leadership()).collect();
            if !replicas.is_empty() && replicas.iter().all(|replica| replica.group.leader().is_some()) {
                gate.open();
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                changed = states.changed() => if changed.is_err() { return Ok(()) },
                () = any_change(leaderships), if !replicas.is_empty() => {}
            }
        }
    }

    async fn start_missing(&self, state: &ControlState) -> Result<(), crate::IngesterError> {
        let Some(settings) = &state.settings else { return Ok(()) };
        for (shard, placed) in state.shard_map.replicas_on(self.node) {
            if self.shards.get(shard).is_none() {
                let voters: BTreeSet<NodeId> = placed.replicas.iter().copied().collect();
                self.start(shard, &voters, settings).await?;
            }
        }
        Ok(())
    }

    async fn start(
        &self,
        shard: ShardId,
        voters: &BTreeSet<NodeId>,
        settings: &Arc<ClusterSettings>,
    ) -> Result<(), crate::IngesterError> {
        let config = HeadConfig {
            out_of_order_window_ms: settings.out_of_order_window_ms,
            future_ms_max: self.future_ms_max,
            series_max: self.series_max,
            exemplars_max: settings.exemplars_max.div_ceil(settings.shards.max(1)),
        };
        let external = External::new(&settings.external_labels);
        let (machine, shared) =
            ShardMachine::new(config, settings.block_duration_ms, self.chunks_dir.clone(), external);
        let group = self.host.start_group(GroupId(shard.0), Box::new(machine), voters).await?;
        let (replica, submissions) = Replica::new(shard, group, shared);
        self.shards.replicas.write().insert(shard, replica.clone());
        info!(%shard, voters = ?voters, "replica started");
        let shutdown = || self.context.shutdown();
        self.context.spawn(format!("leadership of shard {shard}"), log_leaders(replica.clone(), shutdown()));
        let propose = proposer::run(replica.clone(), self.addresses.clone(), submissions, shutdown());
        self.context.spawn(format!("proposer of shard {shard}"), propose);
        self.context
            .spawn(format!("snapshotter of shard {shard}"), snapshotter::run(replica.clone(), shutdown()));
        let cutter = Cutter {
            replica,
            session: self.session.clone(),
            objects: self.objects.clone(),
            settings: settings.clone(),
            spool_dir: self.chunks_dir.clone(),
            publish_grace: self
                .publish_grace
                .min(Duration::from_millis(settings.block_duration_ms as u64 / 4)),
            metrics: self.metrics.cutter.clone(),
        };
        self.context.spawn(format!("cutter of shard {shard}"), cutter.run(shutdown()));
        Ok(())
    }
}

/// Returns when the first of several groups, of which there is at least one, changes its leader.
async fn any_change(leaderships: Vec<watch::Receiver<Leadership>>) {
    let wait = |mut leadership: watch::Receiver<Leadership>| {
        // An error means that the group has stopped, which is a change too.
        Box::pin(async move { leadership.changed().await.is_ok() })
    };
    futures::future::select_all(leaderships.into_iter().map(wait)).await;
}

/// Logs who leads a shard, at each change.
async fn log_leaders(replica: Arc<Replica>, shutdown: CancellationToken) -> Result<(), crate::IngesterError> {
    let mut leadership = replica.group.leadership();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            changed = leadership.changed() => if changed.is_err() { return Ok(()) },
        }
        let seen = *leadership.borrow_and_update();
        match seen.leader {
            Some(leader) => {
                info!(shard = %replica.shard, %leader, term = seen.term, here = replica.group.is_leader(), "shard has a leader")
            }
            None => info!(shard = %replica.shard, term = seen.term, "shard has no leader"),
        }
    }
}
