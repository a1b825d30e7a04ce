//! The state itself: applying commands, and the snapshot of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{BlockMeta, Epoch, NodeId, ShardId};
use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogue;
use crate::command::{Command, Fence, FirstIngester, Response};
use crate::delete::{DeleteOrder, ShardDelete};
use crate::import::{ImportState, ImportUnit};
use crate::job::{JobId, JobOrder};
use crate::lease::Lease;
use crate::member::{Member, Role};
use crate::shard_map::ShardMap;

/// The most members, dead ones included, that one cluster holds; a join beyond is refused.
const MEMBERS_MAX: usize = 10_000;
/// The most leases that stand at once.
const LEASES_MAX: usize = 100_000;

/// What holds for all members for the life of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSettings {
    /// The cluster's name.
    pub name: String,
    /// Random, made when the cluster was founded: 16 bytes in hexadecimal.
    pub uuid: String,
    /// Identity of the cluster's series.
    pub external_labels: BTreeMap<String, String>,
    /// Length of a head window and of a level 0 block.
    pub block_duration_ms: i64,
    /// How late a sample may come.
    pub out_of_order_window_ms: i64,
    /// How many shards there are at first.
    pub shards: u32,
    /// How many replicas a shard has, where there are as many nodes.
    pub replicas: u32,
    /// How many exemplars the heads of all shards keep together; 0 for none.
    pub exemplars_max: u32,
}

/// Why a command was not done. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum StateError {
    /// Nobody founded the cluster so far: ask again.
    #[error("the cluster is not founded yet")]
    NotFounded,
    /// The cluster is founded, or the shards are placed, otherwise.
    #[error("{0}")]
    Conflict(String),
    /// A deposed holder, or a member whose lease lapsed.
    #[error("{0}")]
    Fenced(String),
    /// A named limit was reached.
    #[error("{0}")]
    Limit(String),
}

/// What all roles agree on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ControlState {
    /// Grows by one with each command.
    pub version: u64,
    /// `None` before the cluster was founded.
    pub settings: Option<Arc<ClusterSettings>>,
    /// All members that ever joined and were not replaced.
    pub members: BTreeMap<NodeId, Member>,
    /// Slots, shards and replicas.
    pub shard_map: Arc<ShardMap>,
    /// Blocks.
    pub catalogue: Arc<Catalogue>,
    /// Leases by name.
    pub leases: BTreeMap<String, Lease>,
    next_node: u64,
    last_epoch: u64,
}

impl ControlState {
    /// Applies one command. The version grows also when the command is refused.
    pub fn apply(&mut self, command: Command) -> Response {
        self.version += 1;
        self.execute(command).unwrap_or_else(Response::Refused)
    }

    /// Returns the live members of a role, in the order of their ids.
    pub fn live(&self, role: Role) -> impl Iterator<Item = &Member> {
        self.members.values().filter(move |member| member.live && member.role == role)
    }

    /// Returns the address of a node's gRPC services, live or not.
    pub fn grpc_address(&self, node: NodeId) -> Option<&str> {
        let member = self.members.get(&node).filter(|member| !member.grpc_address.is_empty());
        member.map(|member| member.grpc_address.as_str())
    }

    /// Tells whether a membership stands.
    pub fn is_current(&self, node: NodeId, epoch: Epoch) -> bool {
        self.members.get(&node).is_some_and(|member| member.live && member.epoch == epoch)
    }

    /// Returns the ids of all shards.
    pub fn shard_ids(&self) -> impl Iterator<Item = ShardId> {
        self.shard_map.shards.keys().copied()
    }

    /// Returns the whole state's encoding, JSON like the commands'.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("all keys are text or numbers, and no serializer fails")
    }

    /// Reads a whole state.
    ///
    /// # Errors
    /// A sentence when the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|e| format!("not a control state of this version: {e}"))
    }

    fn execute(&mut self, command: Command) -> Result<Response, StateError> {
        match command {
            Command::Establish { settings, ingesters } => self.establish(settings, ingesters),
            Command::Join { name, role, zone, grpc_address, http_address, disk_id } => {
                let member = Member {
                    node: NodeId(0),
                    epoch: Epoch(0),
                    live: true,
                    name,
                    role,
                    zone,
                    grpc_address,
                    http_address,
                    disk_id,
                };
                self.join(member)
            }
            Command::Expire { node, epoch } => {
                self.expire(node, epoch);
                Ok(Response::Done)
            }
            Command::PlaceShards { map } => {
                if !self.shard_map.shards.is_empty() && *self.shard_map != map {
                    return Err(StateError::Conflict("the shards are placed already".to_owned()));
                }
                self.shard_map = Arc::new(map);
                Ok(Response::Done)
            }
            Command::PublishBlock { meta } => {
                let published = Arc::make_mut(&mut self.catalogue).publish(*meta);
                published.map(|_| Response::Done).map_err(StateError::Conflict)
            }
            Command::TombstoneBlocks { ids, at_ms, reason, fence } => {
                self.check(&fence)?;
                self.edit(|blocks, version| blocks.retire(&ids, at_ms, &reason, version))
            }
            Command::TakeBackBlocks { ids, fence } => {
                self.check(&fence)?;
                self.edit(|blocks, _| blocks.take_back(&ids))
            }
            Command::PurgeBlocks { ids, fence } => {
                self.check(&fence)?;
                self.edit(|blocks, _| blocks.purge(&ids))
            }
            Command::ClaimJob { order, node, member_epoch } => self.claim(order, node, member_epoch),
            Command::CommitJob { job, epoch, outputs, at_ms } => {
                self.try_edit(|blocks, version| blocks.commit_job(job, epoch, outputs, at_ms, version))
            }
            Command::AbortJob { job, epoch, bad } => {
                self.try_edit(|blocks, _| blocks.abort_job(job, epoch, bad))
            }
            Command::ClaimImport { unit, outputs, node, member_epoch } => {
                self.claim_import(&unit, outputs, node, member_epoch)
            }
            Command::CommitImport { unit, epoch, blocks: imported, at_ms } => {
                self.check_imported(&imported)?;
                self.try_edit(|blocks, version| blocks.commit_import(&unit, epoch, imported, at_ms, version))
            }
            Command::AcquireLease { lease, node, member_epoch } => self.acquire(lease, node, member_epoch),
            Command::ReleaseLease { fence } => {
                self.check(&fence)?;
                self.leases.remove(&fence.lease);
                Ok(Response::Done)
            }
            Command::RequestDelete { order, shards, at_ms } => self.request_delete(order, &shards, at_ms),
            Command::AssessDeletes { found } => self.edit(|blocks, _| blocks.assess_deletes(&found)),
            Command::CleanDeletes { .. } => self.edit(|blocks, _| blocks.clean_deletes()),
        }
    }

    /// Changes the catalogue, which is told the version of the state.
    fn edit(&mut self, change: impl FnOnce(&mut Catalogue, u64)) -> Result<Response, StateError> {
        change(Arc::make_mut(&mut self.catalogue), self.version);
        Ok(Response::Done)
    }

    /// As [`ControlState::edit`], for a change that may be refused.
    fn try_edit(
        &mut self,
        change: impl FnOnce(&mut Catalogue, u64) -> Result<(), StateError>,
    ) -> Result<Response, StateError> {
        change(Arc::make_mut(&mut self.catalogue), self.version)?;
        Ok(Response::Done)
    }

    fn establish(
        &mut self,
        settings: ClusterSettings,
        first: Vec<FirstIngester>,
    ) -> Result<Response, StateError> {
        if let Some(founded) = &self.settings {
            return Err(StateError::Conflict(format!("the cluster {:?} is founded already", founded.name)));
        }
        for FirstIngester { node, name, grpc_address } in first {
            let member = Member {
                node,
                epoch: Epoch(0),
                name,
                role: Role::Ingester,
                zone: String::new(),
                grpc_address,
                http_address: String::new(),
                disk_id: String::new(),
                live: false,
            };
            self.next_node = self.next_node.max(node.0);
            self.members.insert(node, member);
        }
        self.settings = Some(Arc::new(settings));
        Ok(Response::Done)
    }

    fn join(&mut self, mut member: Member) -> Result<Response, StateError> {
        if self.settings.is_none() {
            return Err(StateError::NotFounded);
        }
        let known =
            self.members.values().find(|known| known.role == member.role && known.name == member.name);
        match known {
            Some(known) if !known.disk_id.is_empty() && known.disk_id != member.disk_id => {
                return Err(StateError::Conflict(format!(
                    "{} {:?} is node {} with another disk: a node that lost its disk must join under a new name",
                    known.role, known.name, known.node
                )));
            }
            Some(known) => member.node = known.node,
            None if self.members.len() >= MEMBERS_MAX => {
                return Err(StateError::Limit(format!(
                    "the cluster has {MEMBERS_MAX} members, the most there may be"
                )));
            }
            None => {
                self.next_node += 1;
                member.node = NodeId(self.next_node);
            }
        }
        let (node, epoch) = (member.node, self.next_epoch());
        member.epoch = epoch;
        self.take_rights(node);
        self.members.insert(node, member);
        Ok(Response::Joined { node, epoch })
    }

    fn expire(&mut self, node: NodeId, epoch: Epoch) {
        if let Some(member) = self.members.get_mut(&node).filter(|member| member.epoch == epoch) {
            member.live = false;
            self.take_rights(node);
        }
    }

    /// Ends what a membership carried: its leases, and its jobs.
    fn take_rights(&mut self, node: NodeId) {
        self.leases.retain(|_, lease| lease.holder != node);
        if self.catalogue.jobs().any(|(_, job)| job.lease.holder == node) {
            Arc::make_mut(&mut self.catalogue).abort_jobs_of(node);
        }
        if self.catalogue.imports_of(node) {
            Arc::make_mut(&mut self.catalogue).abort_imports_of(node);
        }
    }

    fn claim(&mut self, order: JobOrder, node: NodeId, member_epoch: Epoch) -> Result<Response, StateError> {
        self.check_membership(node, member_epoch)?;
        let job = JobId::of(&order);
        if self.catalogue.claim_of(job, &order, node)?.is_none() {
            let lease = Lease { holder: node, epoch: self.next_epoch() };
            Arc::make_mut(&mut self.catalogue).open_job(job, order, lease);
        }
        let claimed = self.catalogue.job(job).expect("it was there or has been opened");
        let deletes = self.catalogue.job_deletes(claimed);
        Ok(Response::Claimed { job, epoch: claimed.lease.epoch, outputs: claimed.outputs.clone(), deletes })
    }

    fn request_delete(
        &mut self,
        order: DeleteOrder,
        shards: &[ShardDelete],
        at_ms: i64,
    ) -> Result<Response, StateError> {
        if let Some(missing) = self.shard_ids().find(|id| shards.iter().all(|taken| taken.shard != *id)) {
            return Err(StateError::Conflict(format!("the delete was not taken by shard {missing}")));
        }
        Arc::make_mut(&mut self.catalogue).request_delete(order, shards, at_ms)?;
        Ok(Response::Done)
    }

    fn claim_import(
        &mut self,
        unit: &ImportUnit,
        outputs: u32,
        node: NodeId,
        member_epoch: Epoch,
    ) -> Result<Response, StateError> {
        self.check_membership(node, member_epoch)?;
        match self.catalogue.import_of(unit, outputs, node)? {
            Some(ImportState::Done) => Ok(Response::ImportDone),
            Some(ImportState::Open { outputs, lease }) => {
                Ok(Response::ImportClaimed { epoch: lease.epoch, outputs: outputs.clone() })
            }
            None => {
                let lease = Lease { holder: node, epoch: self.next_epoch() };
                let epoch = lease.epoch;
                let outputs = Arc::make_mut(&mut self.catalogue).open_import(unit, outputs, lease);
                Ok(Response::ImportClaimed { epoch, outputs })
            }
        }
    }

    /// Tells whether blocks may be blocks of this cluster: its shards, its external labels, not cut from a head.
    fn check_imported(&self, blocks: &[BlockMeta]) -> Result<(), StateError> {
        let settings = self.settings.as_ref().ok_or(StateError::NotFounded)?;
        let is_ours = |block: &BlockMeta| {
            self.shard_map.shards.contains_key(&block.shard)
                && block.external_labels == settings.external_labels
                && block.cut_index == 0
                && block.resolution_ms == 0
        };
        match blocks.iter().find(|block| !is_ours(block)) {
            None => Ok(()),
            Some(block) => Err(StateError::Conflict(format!(
                "block {} has a shard or external labels that are not this cluster's",
                block.id
            ))),
        }
    }

    fn check_membership(&self, node: NodeId, epoch: Epoch) -> Result<(), StateError> {
        if self.is_current(node, epoch) {
            return Ok(());
        }
        Err(StateError::Fenced(format!("node {node} has no live membership with epoch {epoch}")))
    }

    fn acquire(&mut self, name: String, node: NodeId, member_epoch: Epoch) -> Result<Response, StateError> {
        self.check_membership(node, member_epoch)?;
        if let Some(lease) = self.leases.get(&name) {
            let own = lease.holder == node;
            let fault = || StateError::Conflict(format!("lease {name:?} is held by node {}", lease.holder));
            return if own { Ok(Response::Leased { epoch: lease.epoch }) } else { Err(fault()) };
        }
        if self.leases.len() >= LEASES_MAX {
            return Err(StateError::Limit(format!("{LEASES_MAX} leases stand, the most there may be")));
        }
        let epoch = self.next_epoch();
        self.leases.insert(name, Lease { holder: node, epoch });
        Ok(Response::Leased { epoch })
    }

    fn check(&self, fence: &Fence) -> Result<(), StateError> {
        match self.leases.get(&fence.lease) {
            Some(lease) if lease.epoch == fence.epoch => Ok(()),
            _ => Err(StateError::Fenced(format!(
                "lease {:?} is no longer held with epoch {}",
                fence.lease, fence.epoch
            ))),
        }
    }

    fn next_epoch(&mut self) -> Epoch {
        self.last_epoch += 1;
        Epoch(self.last_epoch)
    }
}
