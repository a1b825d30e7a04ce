//! The commands of the control group and their answers, with their one encoding.
//!
//! Commands are JSON: few a second, kept for ever in logs and manifests, read by people when something is wrong. Fields
//! are only ever added, with defaults.

use model::{BlockId, BlockMeta, Epoch, NodeId};
use serde::{Deserialize, Serialize};

use crate::delete::{Assessment, DeleteOrder, JobDelete, ShardDelete};
use crate::import::ImportUnit;
use crate::job::{BadBlock, JobId, JobOrder};
use crate::member::Role;
use crate::shard_map::ShardMap;
use crate::state::{ClusterSettings, StateError};

/// The right under which a command is proposed: refused when the lease has another holder or epoch by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// Which lease.
    pub lease: String,
    /// The epoch it was taken with.
    pub epoch: Epoch,
}

/// One ingester of the first hour: voters of the control group before there is a state to look them up in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstIngester {
    /// Its id, by its position in the configuration.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// `host:port` of its gRPC services.
    pub grpc_address: String,
}

/// A change of the control state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Founds the cluster; once.
    Establish {
        /// What holds for all members.
        settings: ClusterSettings,
        /// The first voters.
        ingesters: Vec<FirstIngester>,
    },
    /// Makes or renews a member. The same name in the same role is the same node with a new epoch.
    Join {
        /// Unique within the role.
        name: String,
        /// What it does.
        role: Role,
        /// Where it runs.
        zone: String,
        /// `host:port`.
        grpc_address: String,
        /// `host:port`.
        http_address: String,
        /// In hexadecimal; empty without a disk.
        disk_id: String,
    },
    /// Ends a membership whose lease lapsed or that says goodbye, and all its leases.
    Expire {
        /// Which member.
        node: NodeId,
        /// Only if this is still its epoch.
        epoch: Epoch,
    },
    /// Sets the first shard map; once.
    PlaceShards {
        /// The map.
        map: ShardMap,
    },
    /// Adds a block that a shard's leader cut from its head.
    PublishBlock {
        /// The block.
        meta: Box<BlockMeta>,
    },
    /// Ends the life of blocks.
    TombstoneBlocks {
        /// Which.
        ids: Vec<BlockId>,
        /// The proposer's wall clock, ms.
        at_ms: i64,
        /// Why, for people.
        reason: String,
        /// Under which lease.
        fence: Fence,
    },
    /// Forgets tombstoned blocks whose objects were deleted.
    PurgeBlocks {
        /// Which.
        ids: Vec<BlockId>,
        /// Under which lease.
        fence: Fence,
    },
    /// Takes a job: its inputs belong to this member until it commits or aborts, or its membership ends. Again by the
    /// same membership, it confirms the claim.
    ClaimJob {
        /// What is to be done.
        order: JobOrder,
        /// For whom.
        node: NodeId,
        /// The membership it hangs on.
        member_epoch: Epoch,
    },
    /// Ends a job: its outputs become active and its inputs tombstoned, at once.
    CommitJob {
        /// Which.
        job: JobId,
        /// The epoch it was claimed with.
        epoch: Epoch,
        /// What was uploaded; none when nothing was left of the inputs.
        outputs: Vec<BlockMeta>,
        /// The proposer's wall clock, ms.
        at_ms: i64,
    },
    /// Gives a job up: its inputs are as before.
    AbortJob {
        /// Which.
        job: JobId,
        /// The epoch it was claimed with.
        epoch: Epoch,
        /// Inputs that no further job shall read.
        bad: Vec<BadBlock>,
    },
    /// Takes a part of a foreign block: nobody else imports it until this member commits or its membership ends. Again by
    /// the same membership, it confirms the claim; of a part that is done, it says so.
    ClaimImport {
        /// Which part.
        unit: ImportUnit,
        /// How many blocks come out at the most.
        outputs: u32,
        /// For whom.
        node: NodeId,
        /// The membership it hangs on.
        member_epoch: Epoch,
    },
    /// Ends an import: its blocks become active at once, and it is noted as done.
    CommitImport {
        /// Which part.
        unit: ImportUnit,
        /// The epoch it was claimed with.
        epoch: Epoch,
        /// What was uploaded; none when the part holds no samples.
        blocks: Vec<BlockMeta>,
        /// The proposer's wall clock, ms.
        #[serde(default)]
        at_ms: i64,
    },
    /// Takes a lease that nobody live holds, or confirms one's own.
    AcquireLease {
        /// Which.
        lease: String,
        /// For whom.
        node: NodeId,
        /// The membership it hangs on.
        member_epoch: Epoch,
    },
    /// Gives a lease back.
    ReleaseLease {
        /// Which, and its epoch.
        fence: Fence,
    },
    /// Deletes samples that the heads of all shards have masked already, from the blocks cut before that. Again, it changes
    /// nothing.
    RequestDelete {
        /// What is deleted.
        order: DeleteOrder,
        /// Where each shard's log took it.
        shards: Vec<ShardDelete>,
        /// The proposer's wall clock, ms.
        at_ms: i64,
    },
    /// Tells how many samples of blocks are deleted; facts of blocks that never change, so that anyone may tell them.
    AssessDeletes {
        /// What was found.
        found: Vec<Assessment>,
    },
    /// Has blocks rewritten for all deletes that there are.
    CleanDeletes {
        /// The proposer's wall clock, ms.
        at_ms: i64,
    },
    /// Lets jobs merge blocks again that were set aside as damaged and whose objects were found whole since.
    TakeBackBlocks {
        /// Which.
        ids: Vec<BlockId>,
        /// Under which lease.
        fence: Fence,
    },
}

/// What a command's apply said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// Done, or done before.
    Done,
    /// The membership.
    Joined {
        /// The member's id.
        node: NodeId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// The lease.
    Leased {
        /// Its epoch, to be named in every [`Fence`].
        epoch: Epoch,
    },
    /// The job.
    Claimed {
        /// Its name.
        job: JobId,
        /// Its epoch, to be named when it ends.
        epoch: Epoch,
        /// Names for what it writes.
        outputs: Vec<BlockId>,
        /// What it has to leave out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        deletes: Vec<JobDelete>,
    },
    /// The import.
    ImportClaimed {
        /// Its epoch, to be named when it ends.
        epoch: Epoch,
        /// Names for what it writes.
        outputs: Vec<BlockId>,
    },
    /// The import was done before.
    ImportDone,
    /// Not done.
    Refused(StateError),
}

impl Command {
    /// Returns the command's encoding.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("commands hold no map with non-text keys and no fallible serializer")
    }

    /// Reads a command.
    ///
    /// # Errors
    /// A sentence when the bytes are none, such as one of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|e| format!("not a control command of this version: {e}"))
    }
}

impl Response {
    /// Returns the response's encoding.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("responses hold no map with non-text keys and no fallible serializer")
    }

    /// Reads a response.
    ///
    /// # Errors
    /// A sentence when the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|e| format!("not a control response of this version: {e}"))
    }
}
