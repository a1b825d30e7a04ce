//! `/api/v1/status/cluster` and `/api/v1/status/blocks`, ours: members, shards with their replicas, jobs; and the catalogue
//! of blocks.
//!
//! `cluster` takes no parameters and answers `name`, `version` (of the control state), `members`, `control` (replicas of the
//! control group), `shards` and `jobs`. Of a replica that did not answer only `node`, `name` and `live` are there, and
//! a warning names it. `blocks` takes `limit` (1 to 10,000, 1,000 unless told) and `offset`; it answers `total` and
//! `blocks`, those that end last first. Times are ms since the epoch.

use std::sync::Arc;

use async_trait::async_trait;
use model::BlockMeta;
use storage::StorageError;

use crate::ApiError;
use crate::endpoint::Answer;
use crate::json::{JsonWriter, Members};
use crate::params::Params;
use crate::query_api::QueryApi;

/// How many blocks are told when the caller does not say.
const BLOCKS_DEFAULT: usize = 1000;
/// The most blocks that are told at once.
const BLOCKS_MAX: usize = 10_000;
/// About how many JSON elements a member, a replica or a block has.
const ELEMENTS_PER_ENTRY: usize = 12;

/// One process of the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemberStatus {
    /// Its id.
    pub node: u64,
    /// Unique within its role.
    pub name: String,
    /// What it does.
    pub role: String,
    /// Where it runs; empty when nobody said.
    pub zone: String,
    /// Whether its lease stands.
    pub live: bool,
    /// `host:port` of its gRPC services.
    pub grpc_address: String,
    /// `host:port` of its HTTP server.
    pub http_address: String,
}

/// How one replica of a Raft group stands, as it says itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RaftStatus {
    /// `leader`, `follower`, `candidate`, `learner` or `failed`.
    pub state: String,
    /// Its term.
    pub term: u64,
    /// Whom it takes for the leader; 0 when it knows none.
    pub leader: u64,
    /// The last entry of its log.
    pub last_log_index: u64,
    /// The last entry that it applied.
    pub applied_index: u64,
    /// Series in its head.
    pub series: u64,
    /// Samples in its head.
    pub samples: u64,
}

/// A replica of a Raft group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplicaStatus {
    /// The node that holds it.
    pub node: u64,
    /// That node's name.
    pub name: String,
    /// Whether that node's lease stands.
    pub live: bool,
    /// `None` when it did not answer.
    pub raft: Option<RaftStatus>,
}

/// One shard.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShardStatus {
    /// Its id.
    pub shard: u32,
    /// How many of the 4,096 slots it owns.
    pub slots: u32,
    /// Where its blocks end and its head begins, ms; `None` before the first block.
    pub published_until_ms: Option<i64>,
    /// How many blocks of it queries read.
    pub blocks: u64,
    /// Their size in bytes.
    pub block_bytes: u64,
    /// Its replicas.
    pub replicas: Vec<ReplicaStatus>,
}

/// A compactor's job under way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobStatus {
    /// Its name.
    pub id: String,
    /// Who does it.
    pub holder: String,
    /// How many blocks it reads.
    pub inputs: u64,
    /// The level of what it writes.
    pub level: u8,
    /// Whether it makes coarser samples instead of replacing its inputs.
    pub downsamples: bool,
}

/// The cluster as of now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterStatus {
    /// Its name; empty before it was founded.
    pub name: String,
    /// The version of the control state that this tells.
    pub version: u64,
    /// All members, live or not.
    pub members: Vec<MemberStatus>,
    /// The replicas of the control group.
    pub control: Vec<ReplicaStatus>,
    /// All shards, by id.
    pub shards: Vec<ShardStatus>,
    /// Jobs under way.
    pub jobs: Vec<JobStatus>,
    /// Who did not answer, by name.
    pub warnings: Vec<String>,
}

/// A block of the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockStatus {
    /// What it is.
    pub meta: BlockMeta,
    /// Why no new query reads it, when none does.
    pub tombstoned: Option<String>,
    /// Why no job merges it, when it turned out to be damaged.
    pub set_aside: Option<String>,
    /// How many deletes readers leave out of it.
    pub deletes: usize,
}

/// Some of the blocks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlocksPage {
    /// How many blocks there are in all.
    pub total: usize,
    /// Those asked for, the ones that end last first.
    pub blocks: Vec<BlockStatus>,
}

/// Knows the cluster.
#[async_trait]
pub trait ClusterSource: Send + Sync {
    /// Returns the cluster as of now.
    ///
    /// # Errors
    /// When nobody could be asked.
    async fn cluster(&self) -> Result<ClusterStatus, StorageError>;

    /// Returns at most `limit` blocks from `offset` on. Sorts all of them: not for async threads.
    fn blocks(&self, offset: usize, limit: usize) -> BlocksPage;
}

/// See the module.
pub(crate) async fn cluster(served: Arc<QueryApi>, _: Params) -> Result<Answer, ApiError> {
    let mut status = served.cluster.cluster().await?;
    let warnings = std::mem::take(&mut status.warnings);
    let replicas: usize = status.shards.iter().map(|shard| 1 + shard.replicas.len()).sum();
    let weight = (status.members.len() + replicas + status.jobs.len()) * ELEMENTS_PER_ENTRY;
    let write = move |json: &mut JsonWriter| write_cluster(json, &status);
    Ok(Answer::new(weight, write).with_notices(warnings, Vec::new()))
}

/// See the module.
pub(crate) async fn blocks(served: Arc<QueryApi>, params: Params) -> Result<Answer, ApiError> {
    let limit = number(&params, "limit", 1, BLOCKS_MAX, BLOCKS_DEFAULT)?;
    let offset = number(&params, "offset", 0, usize::MAX, 0)?;
    // What sorts is part of the writing, which is done off the async threads when it weighs much.
    Ok(Answer::new(BLOCKS_MAX * ELEMENTS_PER_ENTRY, move |json| {
        let page = served.cluster.blocks(offset, limit);
        json.object(|json| {
            json.count("total", page.total);
            json.count("offset", offset);
            json.member("blocks")
                .array(&page.blocks, |json, block| json.object(|json| write_block(json, block)));
        });
    }))
}

fn number(
    params: &Params,
    name: &'static str,
    min: usize,
    max: usize,
    default: usize,
) -> Result<usize, ApiError> {
    let text = params.get(name);
    if text.is_empty() {
        return Ok(default);
    }
    let number = text.parse::<usize>().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| ApiError::parameter(name, format!("{text:?} is not a number of {min} to {max}")))
}

fn write_cluster(json: &mut JsonWriter, status: &ClusterStatus) {
    json.object(|json| {
        json.text("name", &status.name);
        json.count("version", status.version);
        json.member("members").array(&status.members, |json, member| {
            json.object(|json| {
                json.count("node", member.node);
                json.text("name", &member.name);
                json.text("role", &member.role);
                json.text("zone", &member.zone);
                json.member("live").boolean(member.live);
                json.text("grpcAddress", &member.grpc_address);
                json.text("httpAddress", &member.http_address);
            });
        });
        json.member("control").array(&status.control, write_replica);
        json.member("shards").array(&status.shards, |json, shard| {
            json.object(|json| {
                json.count("shard", shard.shard);
                json.count("slots", shard.slots);
                if let Some(until_ms) = shard.published_until_ms {
                    json.count("publishedUntil", until_ms);
                }
                json.count("blocks", shard.blocks);
                json.count("blockBytes", shard.block_bytes);
                json.member("replicas").array(&shard.replicas, write_replica);
            });
        });
        json.member("jobs").array(&status.jobs, |json, job| {
            json.object(|json| {
                json.text("id", &job.id);
                json.text("holder", &job.holder);
                json.text("kind", if job.downsamples { "downsample" } else { "merge" });
                json.count("inputs", job.inputs);
                json.count("level", job.level);
            });
        });
    });
}

fn write_replica(json: &mut JsonWriter, replica: &ReplicaStatus) {
    json.object(|json| {
        json.count("node", replica.node);
        json.text("name", &replica.name);
        json.member("live").boolean(replica.live);
        let Some(raft) = &replica.raft else { return };
        json.text("state", &raft.state);
        json.count("term", raft.term);
        json.count("leader", raft.leader);
        json.count("lastLogIndex", raft.last_log_index);
        json.count("appliedIndex", raft.applied_index);
        json.count("series", raft.series);
        json.count("samples", raft.samples);
    });
}

fn write_block(json: &mut Members<'_>, block: &BlockStatus) {
    let meta = &block.meta;
    json.text("id", &meta.id.to_string());
    json.count("shard", meta.shard.0);
    json.count("level", meta.level);
    json.member("resolution").integer(meta.resolution_ms);
    json.member("minTime").integer(meta.range.start.0);
    json.member("maxTime").integer(meta.range.end.0);
    json.count("series", meta.series);
    json.count("samples", meta.samples);
    json.count("seriesBytes", meta.series_object.size_bytes);
    json.count("chunksBytes", meta.chunks_object.size_bytes);
    json.text("key", &meta.chunks_object.key);
    json.member("parents").array(&meta.parents, |json, parent| json.text(&parent.to_string()));
    json.count("deletes", block.deletes);
    for (name, reason) in [("tombstoned", &block.tombstoned), ("setAside", &block.set_aside)] {
        if let Some(reason) = reason {
            json.text(name, reason);
        }
    }
}
