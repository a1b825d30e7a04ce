//! Asking shards and gateways: finds a shard's leader, falls back from one gateway to the next, tries again within limits,
//! and names who did not answer.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cluster::ControlState;
use futures::future::{join_all, try_join_all};
use model::{ErrorKind, NodeId, ShardId};
use parking_lot::Mutex;
use proto::connect::{Channel, MESSAGE_BYTES_MAX};
use proto::error::{kind_of_status, leader_address};
use proto::store::scope::Of;
use proto::store::store_client::StoreClient;
use proto::store::{BlockScope, Scope, ShardScope};
use session::Session;
use storage::{MemoryError, StorageError};
use tokio::time::Instant;
use tonic::Status;

use crate::metrics::QuerierMetrics;
use crate::owners::{Owners, Turn};
use crate::plan::{HeadScope, Plan, ShardBlock, assign};

/// The pause before the next attempt when nobody knew a leader, or no gateway was left.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// After so many attempts at a shard there is a pause even when a leader is named: two nodes may name each other.
const ATTEMPTS_WITHOUT_PAUSE: usize = 3;
/// How often every gateway is tried for a block.
const GATEWAY_ROUNDS: usize = 2;
/// How many gateways must find a block damaged before it counts as that: what one cannot read, another may.
const DAMAGE_FINDS_MAX: usize = 2;
/// How long a peer may be silent within one answer.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long a view waits for a newer catalogue version before it says that it is too old.
const NEWER_STATE_PATIENCE: Duration = Duration::from_secs(1);

/// Why one attempt has no answer.
pub(crate) enum CallError {
    /// The peer said so, or did not answer.
    Status(Status),
    /// This side gave up: trying elsewhere does not help.
    Local(StorageError),
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// Everyone who holds data.
pub(crate) struct Fleet {
    pub(crate) session: Arc<Session>,
    pub(crate) metrics: QuerierMetrics,
    pub(crate) owners: Owners,
    leader_patience: Duration,
    /// Who led a shard when it was last asked.
    leaders: Mutex<HashMap<ShardId, String>>,
}

/// What all questions of one view have in common.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    /// The catalogue's.
    pub(crate) version: u64,
    pub(crate) turn: Turn,
    /// Whether parts that do not answer become warnings.
    pub(crate) partial: bool,
}

/// The answers to one question, and what is missing when that is allowed.
pub(crate) struct Answers<T> {
    /// Blocks first, then heads in the order of shards.
    pub(crate) parts: Vec<T>,
    pub(crate) warnings: Vec<String>,
}

/// What becomes of a part that does not answer.
type PartResult<T> = Result<Result<Vec<T>, String>, StorageError>;

impl Fleet {
    pub(crate) fn new(
        session: Arc<Session>,
        metrics: QuerierMetrics,
        owners: Owners,
        leader_patience: Duration,
    ) -> Self {
        Self { session, metrics, owners, leader_patience, leaders: Mutex::default() }
    }

    /// Asks everyone of a plan at once.
    ///
    /// # Errors
    /// The first part's that failed, unless it may be missing.
    pub(crate) async fn ask<T, F, Fut>(
        &self,
        terms: Terms,
        plan: &Plan,
        call: F,
    ) -> Result<Answers<T>, StorageError>
    where
        T: Send,
        F: Fn(StoreClient<Channel>, Scope) -> Fut + Sync,
        Fut: Future<Output = Result<T, CallError>> + Send,
    {
        let Terms { version, partial, .. } = terms;
        let heads = plan.heads.iter().map(|head| async {
            let answer = self.ask_head(version, *head, &call).await.map(|part| vec![part]);
            allow_missing(answer, partial)
        });
        let blocks = async { allow_missing(self.ask_blocks(terms, &plan.blocks, &call).await, partial) };
        let (blocks, heads) = futures::future::try_join(blocks, try_join_all(heads)).await?;
        let mut answers = Answers { parts: Vec::new(), warnings: Vec::new() };
        for part in std::iter::once(blocks).chain(heads) {
            match part {
                Ok(parts) => answers.parts.extend(parts),
                Err(warning) => answers.warnings.push(warning),
            }
        }
        if !answers.warnings.is_empty() {
            self.metrics.partial.inc();
        }
        Ok(answers)
    }

    /// Waits until this process knows a newer state than `version`; gives up after a while.
    pub(crate) async fn await_newer(&self, version: u64) {
        self.metrics.conflicts.inc();
        let mut states = self.session.watch();
        let newer = states.wait_for(|state| state.version > version);
        // Whether it came in time or not, the next view tells.
        drop(tokio::time::timeout(NEWER_STATE_PATIENCE, newer).await);
    }

    /// Asks a shard's leader, wherever it is.
    pub(crate) async fn ask_head<T, F, Fut>(
        &self,
        version: u64,
        head: HeadScope,
        call: &F,
    ) -> Result<T, StorageError>
    where
        F: Fn(StoreClient<Channel>, Scope) -> Fut,
        Fut: Future<Output = Result<T, CallError>>,
    {
        let HeadScope { shard, from_ms } = head;
        let of = Of::Shard(ShardScope { shard: shard.0, from_ms });
        let call =
            |channel| call(store_client(channel), Scope { catalogue_version: version, of: Some(of.clone()) });
        self.ask_leader(shard, call).await
    }

    /// Asks a shard's leader, wherever it is, anything that may be asked twice.
    pub(crate) async fn ask_leader<T, F, Fut>(&self, shard: ShardId, call: F) -> Result<T, StorageError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<T, CallError>>,
    {
        let deadline = Instant::now() + self.leader_patience;
        let mut last = "no replica is known".to_owned();
        let mut attempt = 0;
        while let Some(address) = self.candidate(shard, attempt) {
            attempt += 1;
            let status = match call(self.channel(&address)?).await {
                Ok(answer) => {
                    self.leaders.lock().insert(shard, address);
                    return Ok(answer);
                }
                Err(CallError::Local(error)) => return Err(error),
                Err(CallError::Status(status)) => status,
            };
            if !is_worth_another_try(&status) {
                let text = format!("shard {shard} at {address}: {}", status.message());
                return Err(StorageError::with_source(kind_of(&status), text, status));
            }
            self.metrics.retries.inc();
            last = format!("{address}: {}", status.message());
            tracing::debug!(%shard, attempt, reason = last, "a shard is asked again");
            if Instant::now() >= deadline {
                break;
            }
            let named = leader_address(&status).filter(|leader| *leader != address);
            if named.is_none() || attempt % ATTEMPTS_WITHOUT_PAUSE == 0 {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            let mut leaders = self.leaders.lock();
            match named {
                Some(leader) => leaders.insert(shard, leader),
                None => leaders.remove(&shard),
            };
        }
        let text = format!("shard {shard} has no leader that answers (last: {last})");
        Err(StorageError::new(ErrorKind::Unavailable, text))
    }

    /// Returns whom to ask for a shard: its last known leader, else one replica after the other, live ones first.
    pub(crate) fn candidate(&self, shard: ShardId, attempt: usize) -> Option<String> {
        if let Some(leader) = self.leaders.lock().get(&shard) {
            return Some(leader.clone());
        }
        let state = self.session.state();
        let mut replicas = state.shard_map.shards.get(&shard)?.replicas.clone();
        replicas.sort_by_key(|node| !state.members.get(node).is_some_and(|member| member.live));
        let addresses: Vec<&str> = replicas.iter().filter_map(|node| state.grpc_address(*node)).collect();
        addresses.get(attempt % addresses.len().max(1)).map(|address| (*address).to_owned())
    }

    /// Asks the owners of blocks, and others for those whose owner does not answer.
    async fn ask_blocks<T, F, Fut>(
        &self,
        terms: Terms,
        blocks: &[ShardBlock],
        call: &F,
    ) -> Result<Vec<T>, StorageError>
    where
        F: Fn(StoreClient<Channel>, Scope) -> Fut,
        Fut: Future<Output = Result<T, CallError>>,
    {
        let (mut pending, mut parts) = (blocks.to_vec(), Vec::new());
        let (mut last, mut damage, mut finds) = ("no gateway is live".to_owned(), None, 0);
        for round in 0..GATEWAY_ROUNDS {
            if round > 0 && !pending.is_empty() {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            let mut failed = BTreeSet::new();
            while !pending.is_empty() {
                let state = self.session.state();
                let gateway_of =
                    |shard| self.owners.order(&state, &failed, shard, terms.turn).first().copied();
                let shares = assign(&pending, gateway_of);
                match damage.take() {
                    Some(error) if shares.is_empty() || finds >= DAMAGE_FINDS_MAX => return Err(error),
                    _ if shares.is_empty() => break,
                    _ => {}
                }
                let asked = shares
                    .iter()
                    .map(|(node, ids)| self.ask_gateway(terms.version, &state, *node, ids, call));
                let answers = join_all(asked).await;
                pending.clear();
                for ((node, ids), answer) in shares.into_iter().zip(answers) {
                    match answer? {
                        Ok(part) => parts.push(part),
                        Err(error) => {
                            self.metrics.retries.inc();
                            tracing::debug!(blocks = ids.len(), %error, "blocks are asked of other gateways");
                            last.clone_from(&error.message);
                            damage = damage.or((error.kind == ErrorKind::Corrupt).then_some(error));
                            failed.insert(node);
                            pending.extend(ids);
                        }
                    }
                }
                finds += usize::from(damage.is_some());
            }
        }
        if pending.is_empty() {
            return Ok(parts);
        }
        let text = format!("{} of {} blocks cannot be read (last: {last})", pending.len(), blocks.len());
        Err(StorageError::new(ErrorKind::Unavailable, text))
    }

    /// Asks one gateway. The inner error is worth another gateway.
    pub(crate) async fn ask_gateway<T, F, Fut>(
        &self,
        version: u64,
        state: &ControlState,
        node: NodeId,
        blocks: &[ShardBlock],
        call: &F,
    ) -> Result<Result<T, StorageError>, StorageError>
    where
        F: Fn(StoreClient<Channel>, Scope) -> Fut,
        Fut: Future<Output = Result<T, CallError>>,
    {
        let Some(member) = state.members.get(&node) else {
            return Ok(Err(StorageError::new(ErrorKind::Unavailable, format!("node {node} left"))));
        };
        let ids = blocks.iter().map(|block| block.id.to_string()).collect();
        let scope = Scope { catalogue_version: version, of: Some(Of::Blocks(BlockScope { ids })) };
        let name = || format!("gateway {} at {}", member.name, member.grpc_address);
        match call(self.client(&member.grpc_address)?, scope).await {
            Ok(answer) => Ok(Ok(answer)),
            Err(CallError::Local(error)) => Err(error),
            Err(CallError::Status(status)) => {
                let text = format!("{}: {}", name(), status.message());
                match kind_of(&status) {
                    _ if is_worth_another_try(&status) => {
                        self.owners.failed(node);
                        Ok(Err(StorageError::new(ErrorKind::Unavailable, text)))
                    }
                    // Bytes may have rotted in that machine alone.
                    ErrorKind::Corrupt => {
                        Ok(Err(StorageError::with_source(ErrorKind::Corrupt, text, status)))
                    }
                    // A gateway answers at this catalogue version or a later one: the block is gone for good since.
                    ErrorKind::NotFound => Err(StorageError::with_source(ErrorKind::Conflict, text, status)),
                    kind => Err(StorageError::with_source(kind, text, status)),
                }
            }
        }
    }

    pub(crate) fn client(&self, address: &str) -> Result<StoreClient<Channel>, StorageError> {
        self.channel(address).map(store_client)
    }

    pub(crate) fn channel(&self, address: &str) -> Result<Channel, StorageError> {
        let channel = self.session.connector().channel(address);
        channel.map_err(|text| StorageError::new(ErrorKind::Internal, text))
    }
}

fn store_client(channel: Channel) -> StoreClient<Channel> {
    StoreClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// Turns the error of a part that does not answer into a warning, where that is allowed.
fn allow_missing<T>(answer: Result<Vec<T>, StorageError>, partial: bool) -> PartResult<T> {
    match answer {
        Ok(parts) => Ok(Ok(parts)),
        Err(error)
            if partial
                && matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Timeout)
                && !MemoryError::caused(&error) =>
        {
            Ok(Err(format!("partial result: {error}")))
        }
        Err(error) => Err(error),
    }
}

/// Returns the kind of a status; one that the transport made has a source, and means that the peer is away.
fn kind_of(status: &Status) -> ErrorKind {
    if std::error::Error::source(status).is_some() { ErrorKind::Unavailable } else { kind_of_status(status) }
}

fn is_worth_another_try(status: &Status) -> bool {
    matches!(
        kind_of(status),
        ErrorKind::NotLeader | ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Cancelled
    )
}
