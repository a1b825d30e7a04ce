//! Deletes of series: through every shard's log, into the catalogue, and to every querier.
//!
//! 1. The leader of each shard takes the order into its log and masks what its head holds; its answer tells the entry's index.
//! 2. The catalogue takes the order with these indexes, and so knows which blocks were cut before.
//! 3. Every live querier has reached that version of the catalogue; gateways wait for the version of a query by themselves.
//!
//! Only then is it acknowledged: no query that begins from then on sees the samples, wherever it is asked. All steps may be
//! done again under the same id. A request that fails on the way may have been done in part; sent again, it is done whole.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::Admin;
use async_trait::async_trait;
use cluster::{
    Command, ControlState, DeleteId, DeleteOrder, MatcherText, Role, ShardDelete, StateError, delete,
};
use model::{ErrorKind, Matcher, NodeId, ShardId, TimeRange};
use proto::ingest::ingest_client::IngestClient;
use proto::ingest::{DeleteRequest, DeleteResponse};
use proto::query::ReachRequest;
use proto::query::query_client::QueryClient;
use session::{Membership, SessionError};
use storage::StorageError;
use tonic::Request;

use crate::fleet::Fleet;
use crate::select::in_time;

/// How long the other queriers have to reach the catalogue's new version: longer than the lease of one that is gone.
const REACH_PATIENCE: Duration = Duration::from_secs(30);
/// How long one attempt at one querier takes at the most.
const REACH_ATTEMPT: Duration = Duration::from_secs(2);
/// The pause before a querier that did not answer is asked again.
const REACH_PAUSE: Duration = Duration::from_millis(200);

/// Deletes series.
pub(crate) struct Deletes {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) now_ms: fn() -> i64,
    /// How many orders this process has made.
    pub(crate) orders: AtomicU64,
}

fn unavailable(text: impl Into<String>) -> StorageError {
    StorageError::new(ErrorKind::Unavailable, text)
}

impl Deletes {
    fn membership(&self) -> Result<Membership, StorageError> {
        let membership = self.fleet.session.membership();
        membership.ok_or_else(|| unavailable("this querier is not a member of the cluster at the moment"))
    }

    /// Makes an order, unless it would surely be refused later. Epochs of memberships are given once, so the name is new.
    fn order(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Result<DeleteOrder, StorageError> {
        let count = self.orders.fetch_add(1, Ordering::Relaxed);
        let id = DeleteId(u128::from(self.membership()?.epoch.0) << 64 | u128::from(count));
        let selectors =
            selectors.iter().map(|matchers| matchers.iter().map(MatcherText::from).collect()).collect();
        let order = DeleteOrder { id, selectors, start_ms: range.start.0, end_ms: range.end.0 };
        order.check().map_err(|text| StorageError::new(ErrorKind::Invalid, text))?;
        if self.fleet.session.state().catalogue.deletes().count() >= delete::DELETES_MAX {
            let max = delete::DELETES_MAX;
            return Err(unavailable(format!(
                "{max} deletes wait to be folded into blocks, the most there may be: try again later"
            )));
        }
        Ok(order)
    }

    /// Has one shard take the order.
    async fn take(&self, shard: ShardId, order: &DeleteOrder) -> Result<ShardDelete, StorageError> {
        let request = DeleteRequest { shard: shard.0, order: order.encode().into() };
        let call = |channel| {
            let (mut client, request) = (IngestClient::new(channel), request.clone());
            async move { Ok(in_time(client.delete(request)).await?.into_inner()) }
        };
        let taken = self.fleet.ask_leader(shard, call).await;
        let DeleteResponse { index, frozen_until_ms } = taken.map_err(|error| match error.kind {
            ErrorKind::LimitExceeded => StorageError { kind: ErrorKind::Unavailable, ..error },
            _ => error,
        })?;
        Ok(ShardDelete { shard, index, frozen_until_ms })
    }

    /// Waits until this process knows a state; returns its version.
    async fn known(&self, is_known: impl FnMut(&Arc<ControlState>) -> bool) -> Result<u64, StorageError> {
        let mut states = self.fleet.session.watch();
        let known = tokio::time::timeout(REACH_PATIENCE, states.wait_for(is_known)).await;
        match known {
            Ok(Ok(state)) => Ok(state.version),
            _ => Err(unavailable("this querier does not hear of the control group's commands")),
        }
    }

    /// Waits until every other live querier has reached a version, or is live no more.
    async fn reached_by_all(&self, version: u64) -> Result<(), StorageError> {
        let own = self.membership()?.node;
        let mut reached = BTreeSet::from([own]);
        let ask_all = async {
            while let Some((node, address)) = self.next_querier(&reached) {
                if self.reached_by(&address, version).await {
                    reached.insert(node);
                } else {
                    tokio::time::sleep(REACH_PAUSE).await;
                }
            }
        };
        let asked = tokio::time::timeout(REACH_PATIENCE, ask_all).await;
        asked.map_err(|_| {
            let missing = self.next_querier(&reached).map_or_else(String::new, |(_, address)| address);
            unavailable(format!("the samples are deleted, but querier {missing} may not know it: try again"))
        })
    }

    fn next_querier(&self, reached: &BTreeSet<NodeId>) -> Option<(NodeId, String)> {
        let state = self.fleet.session.state();
        let mut queriers = state.live(Role::Querier);
        let next = queriers.find(|member| !reached.contains(&member.node));
        next.map(|member| (member.node, member.grpc_address.clone()))
    }

    async fn reached_by(&self, address: &str, version: u64) -> bool {
        let Ok(channel) = self.fleet.channel(address) else { return false };
        let mut client = QueryClient::new(channel);
        let asked = client.reach(Request::new(ReachRequest { version }));
        matches!(tokio::time::timeout(REACH_ATTEMPT, asked).await, Ok(Ok(_)))
    }
}

#[async_trait]
impl Admin for Deletes {
    async fn delete_series(
        &self,
        selectors: Vec<Vec<Matcher>>,
        range: TimeRange,
    ) -> Result<(), StorageError> {
        let order = self.order(&selectors, range)?;
        let id = order.id;
        let shards: Vec<ShardId> = self.fleet.session.state().shard_ids().collect();
        if shards.is_empty() {
            return Err(unavailable("the cluster is not ready yet: its shards are not placed"));
        }
        let taken = futures::future::try_join_all(shards.iter().map(|shard| self.take(*shard, &order)));
        let command =
            Command::RequestDelete { order: order.clone(), shards: taken.await?, at_ms: (self.now_ms)() };
        self.fleet.session.propose(&command).await.map_err(|error| match error {
            SessionError::Refused(StateError::Limit(text)) => unavailable(text),
            error => error.into(),
        })?;
        let version = self.known(|state| state.catalogue.knows_delete(id)).await?;
        self.reached_by_all(version).await?;
        tracing::info!(%id, selectors = order.selectors.len(), start_ms = order.start_ms, end_ms = order.end_ms, "series deleted");
        Ok(())
    }

    async fn clean_tombstones(&self) -> Result<(), StorageError> {
        self.fleet.session.propose(&Command::CleanDeletes { at_ms: (self.now_ms)() }).await?;
        Ok(())
    }
}
