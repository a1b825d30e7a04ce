//! The cluster as a person looks at it: the control state that this process follows, and what each ingester says of its
//! replicas when asked. Nothing is kept between two requests.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use api::{
    BlockStatus, BlocksPage, ClusterSource, ClusterStatus, JobStatus, MemberStatus, RaftStatus,
    ReplicaStatus, ShardStatus,
};
use async_trait::async_trait;
use cluster::{BlockState, ControlState, Member, Role};
use futures::future::join_all;
use model::{NodeId, ShardId};
use proto::control::control_client::ControlClient;
use proto::control::{GroupStatus, StatusRequest};
use session::Session;
use storage::StorageError;

/// How long an ingester may take to tell of its replicas; a page that is refreshed each two seconds must not wait longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// The group number of the control group; others are shards.
const CONTROL_GROUP: u32 = 0;

/// Tells of the cluster that the session follows.
pub(crate) struct Overview {
    pub(crate) session: Arc<Session>,
}

/// What the ingesters said, by group and node.
type Told = HashMap<(u32, NodeId), RaftStatus>;

impl Overview {
    async fn ask(&self, ingester: &Member) -> Result<Vec<GroupStatus>, String> {
        let channel = self.session.connector().channel(&ingester.grpc_address)?;
        let mut client = ControlClient::new(channel);
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, client.status(StatusRequest {})).await;
        let answer = answer.map_err(|_| format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))?;
        Ok(answer.map_err(|status| status.message().to_owned())?.into_inner().groups)
    }

    /// Asks all live ingesters; returns what they told, and who told nothing.
    async fn ask_all(&self, state: &ControlState) -> (Told, Vec<String>) {
        let ingesters: Vec<&Member> = state.live(Role::Ingester).collect();
        let answers = join_all(ingesters.iter().map(|ingester| self.ask(ingester))).await;
        let (mut told, mut warnings) = (Told::new(), Vec::new());
        for (ingester, answer) in ingesters.into_iter().zip(answers) {
            match answer {
                Ok(groups) => {
                    let of_node = |group: GroupStatus| ((group.group, ingester.node), raft(group));
                    told.extend(groups.into_iter().map(of_node));
                }
                Err(reason) => {
                    let place = format!("ingester {} at {}", ingester.name, ingester.grpc_address);
                    warnings.push(format!("{place} does not tell of its replicas: {reason}"));
                }
            }
        }
        (told, warnings)
    }
}

#[async_trait]
impl ClusterSource for Overview {
    async fn cluster(&self) -> Result<ClusterStatus, StorageError> {
        let state = self.session.state();
        let (mut told, warnings) = self.ask_all(&state).await;
        let ingesters = state.members.values().filter(|member| member.role == Role::Ingester);
        let control =
            ingesters.map(|member| replica(&state, CONTROL_GROUP, member.node, &mut told)).collect();
        Ok(ClusterStatus {
            name: state.settings.as_ref().map(|settings| settings.name.clone()).unwrap_or_default(),
            version: state.version,
            members: state.members.values().map(member).collect(),
            control,
            shards: shards(&state, &mut told),
            jobs: jobs(&state),
            warnings,
        })
    }

    fn blocks(&self, offset: usize, limit: usize) -> BlocksPage {
        let state = self.session.state();
        let mut entries: Vec<_> = state.catalogue.iter().collect();
        entries.sort_by_key(|entry| std::cmp::Reverse((entry.meta.range.end, entry.meta.id)));
        let total = entries.len();
        let blocks = entries.into_iter().skip(offset).take(limit).map(|entry| BlockStatus {
            meta: entry.meta.clone(),
            tombstoned: match &entry.state {
                BlockState::Active => None,
                BlockState::Tombstoned { reason, .. } => Some(reason.clone()),
            },
            set_aside: entry.set_aside.clone(),
            deletes: entry.deletes.len(),
        });
        BlocksPage { total, blocks: blocks.collect() }
    }
}

fn raft(group: GroupStatus) -> RaftStatus {
    RaftStatus {
        state: group.state,
        term: group.term,
        leader: group.leader,
        last_log_index: group.last_log_index,
        applied_index: group.applied_index,
        series: group.series,
        samples: group.samples,
    }
}

fn member(member: &Member) -> MemberStatus {
    MemberStatus {
        node: member.node.0,
        name: member.name.clone(),
        role: member.role.to_string(),
        zone: member.zone.clone(),
        live: member.live,
        grpc_address: member.grpc_address.clone(),
        http_address: member.http_address.clone(),
    }
}

fn replica(state: &ControlState, group: u32, node: NodeId, told: &mut Told) -> ReplicaStatus {
    let member = state.members.get(&node);
    ReplicaStatus {
        node: node.0,
        name: member.map(|member| member.name.clone()).unwrap_or_default(),
        live: member.is_some_and(|member| member.live),
        raft: told.remove(&(group, node)),
    }
}

fn shards(state: &ControlState, told: &mut Told) -> Vec<ShardStatus> {
    let map = &state.shard_map;
    let mut slots = BTreeMap::<ShardId, u32>::new();
    let ends = map.runs.iter().skip(1).map(|(first, _)| *first).chain([model::ids::SLOT_COUNT]);
    for ((first, shard), end) in map.runs.iter().zip(ends) {
        *slots.entry(*shard).or_default() += u32::from(end - first);
    }
    let mut blocks = BTreeMap::<ShardId, (u64, u64)>::new();
    for meta in state.catalogue.active() {
        let (count, bytes) = blocks.entry(meta.shard).or_default();
        *count += 1;
        *bytes += meta.series_object.size_bytes + meta.chunks_object.size_bytes;
    }
    let status = |(id, shard): (&ShardId, &cluster::Shard)| {
        let (blocks, block_bytes) = blocks.get(id).copied().unwrap_or_default();
        ShardStatus {
            shard: id.0,
            slots: slots.get(id).copied().unwrap_or_default(),
            published_until_ms: Some(state.catalogue.published_until_ms(*id)).filter(|ms| *ms != i64::MIN),
            blocks,
            block_bytes,
            replicas: shard.replicas.iter().map(|node| replica(state, id.0, *node, told)).collect(),
        }
    };
    map.shards.iter().map(status).collect()
}

fn jobs(state: &ControlState) -> Vec<JobStatus> {
    let name = |node: &NodeId| state.members.get(node).map_or_else(|| node.to_string(), |m| m.name.clone());
    let status = |(id, job): (cluster::JobId, &cluster::Job)| JobStatus {
        id: id.to_string(),
        holder: name(&job.lease.holder),
        inputs: job.order.inputs.len() as u64,
        level: job.order.level,
        downsamples: job.order.downsample.is_some(),
    };
    state.catalogue.jobs().map(status).collect()
}
