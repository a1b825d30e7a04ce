//! Who evaluates parts of a query: for the samples of a shard's head its leader, for those in its blocks one gateway.
//!
//! Shards whose blocks end at the same time, and which the same ingester and the same gateway are asked for, are asked for
//! together: states of one group are then merged over there. Whoever does not answer is not waited for long: the engine
//! evaluates from samples instead, and what is wrong is found there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use model::{ErrorKind, NodeId, ShardId, TimeRange};
use proto::connect::Channel;
use proto::error::kind_of_status;
use proto::store::scope::Of;
use proto::store::store_client::StoreClient;
use proto::store::{EvaluateRequest, Scope, ShardScope, ShardsScope};
use storage::{Division, Evaluated, Evaluator, MemoryError, QueryMemory, Reservation, StorageError};

use crate::fleet::CallError;
use crate::plan::HeadScope;
use crate::select::in_time;
use crate::view::View;

/// How many gateways are asked before the engine reads samples instead.
const GATEWAYS_ASKED_MAX: usize = 2;

/// Divides a view; empty before its shards are placed.
pub(crate) fn divisions(view: &View) -> Vec<Division> {
    let Ok(plan) = view.plan(TimeRange::ALL) else { return Vec::new() };
    let none = BTreeSet::new();
    let mut groups: BTreeMap<(ShardId, i64), Group> = BTreeMap::new();
    for head in plan.heads {
        let leader = view.fleet.candidate(head.shard, 0);
        let gateways = view.fleet.owners.order(&view.state, &none, head.shard, view.turn);
        let fits = |group: &&mut Group| {
            group.heads[0].from_ms == head.from_ms
                && group.leader == leader
                && group.gateways.first() == gateways.first()
        };
        match groups.values_mut().find(fits) {
            Some(group) => group.heads.push(head),
            None => {
                let view = view.clone();
                let group = Group { view, heads: vec![head], leader, gateways };
                groups.insert((head.shard, head.from_ms), group);
            }
        }
    }
    groups.into_values().map(Group::division).collect()
}

/// Shards that are asked for together; never none.
#[derive(Clone)]
struct Group {
    view: View,
    heads: Vec<HeadScope>,
    /// Who is thought to lead all of them.
    leader: Option<String>,
    /// Best first.
    gateways: Vec<NodeId>,
}

impl Group {
    fn division(mut self) -> Division {
        let shards = Arc::new(self.heads.iter().map(|head| head.shard).collect::<BTreeSet<_>>());
        self.view.shards = Some(shards);
        let raw = Arc::new(self.view.clone());
        let (seam_ms, group) = (self.heads[0].from_ms, Arc::new(self));
        Division { seam_ms, before: Arc::new(Blocks(Arc::clone(&group))), after: Arc::new(Heads(group)), raw }
    }

    fn request(&self, fragment: Bytes, scope: Scope) -> EvaluateRequest {
        EvaluateRequest {
            scope: Some(scope),
            fragment,
            external_labels: self.view.external.labels().clone().into_iter().collect(),
            series_limit: self.view.series_max as u64,
        }
    }
}

/// What one peer evaluated; `None` when it does not know how.
type Answer = Option<(Vec<Bytes>, Reservation)>;

/// The leader of shards.
struct Heads(Arc<Group>);

#[async_trait]
impl Evaluator for Heads {
    fn name(&self) -> String {
        let leader = self.0.view.fleet.candidate(self.0.heads[0].shard, 0);
        leader.map_or_else(|| "an ingester".to_owned(), |leader| format!("ingester at {leader}"))
    }

    async fn evaluate(
        &self,
        fragment: Bytes,
        needed: TimeRange,
        memory: &QueryMemory,
    ) -> Result<Option<Evaluated>, StorageError> {
        let Group { view, heads, leader, .. } = &*self.0;
        // Imported blocks may reach beyond the seam: then no single evaluator has all samples of a series.
        if !view.plan(needed)?.blocks.is_empty() {
            return Ok(None);
        }
        let call = |client: StoreClient<Channel>, scope| {
            evaluate(client, self.0.request(fragment.clone(), scope), memory.clone())
        };
        if let (Some(leader), [_, _, ..]) = (leader, heads.as_slice()) {
            let shard = |head: &HeadScope| ShardScope { shard: head.shard.0, from_ms: head.from_ms };
            let of = Of::Shards(ShardsScope { shards: heads.iter().map(shard).collect() });
            let scope = Scope { catalogue_version: view.state.version, of: Some(of) };
            match call(view.fleet.client(leader)?, scope).await {
                Ok(answer) => return Ok(joined([answer])),
                Err(CallError::Local(error)) => return view.settle(Err(error)).await,
                // Another one leads some of them, or nobody is there: each by itself.
                Err(CallError::Status(_)) => {}
            }
        }
        let asked = heads.iter().map(|head| view.fleet.ask_head(view.state.version, *head, &call));
        let answers = futures::future::try_join_all(asked).await;
        Ok(joined(view.settle(answers).await?))
    }
}

/// The gateway that all blocks of some shards are asked of.
struct Blocks(Arc<Group>);

#[async_trait]
impl Evaluator for Blocks {
    fn name(&self) -> String {
        let Group { view, gateways, .. } = &*self.0;
        let member = gateways.first().and_then(|node| view.state.members.get(node));
        member.map_or_else(|| "a gateway".to_owned(), |member| format!("gateway {}", member.name))
    }

    async fn evaluate(
        &self,
        fragment: Bytes,
        needed: TimeRange,
        memory: &QueryMemory,
    ) -> Result<Option<Evaluated>, StorageError> {
        let Group { view, gateways, .. } = &*self.0;
        let blocks = view.plan(needed)?.blocks;
        if blocks.is_empty() {
            // Nothing to read: that is evaluated at once anywhere.
            return Ok(None);
        }
        let call = |client: StoreClient<Channel>, scope| {
            evaluate(client, self.0.request(fragment.clone(), scope), memory.clone())
        };
        let mut last = StorageError::new(ErrorKind::Unavailable, "no gateway is live");
        for node in gateways.iter().take(GATEWAYS_ASKED_MAX) {
            let state = view.fleet.session.state();
            let answer = view.fleet.ask_gateway(view.state.version, &state, *node, &blocks, &call).await;
            match view.settle(answer).await? {
                Ok(answer) => return Ok(joined([answer])),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Puts answers one behind the other; `None` when one is missing.
fn joined(answers: impl IntoIterator<Item = Answer>) -> Option<Evaluated> {
    let mut all: Option<(Vec<Bytes>, Reservation)> = None;
    for answer in answers {
        let (frames, memory) = answer?;
        match &mut all {
            Some((known, held)) => {
                known.extend(frames);
                held.absorb(memory);
            }
            None => all = Some((frames, memory)),
        }
    }
    all.map(|(frames, memory)| Evaluated { frames, memory: Some(Arc::new(memory)) })
}

/// Has a fragment evaluated by one peer. The engine's deadline bounds how long that may take; between frames, silence counts.
async fn evaluate(
    mut client: StoreClient<Channel>,
    request: EvaluateRequest,
    memory: QueryMemory,
) -> Result<Answer, CallError> {
    let mut stream = match client.evaluate(request).await {
        Ok(answer) => answer.into_inner(),
        // The query's own fault or limit: the text is for whoever asked, wherever it was found.
        Err(status) if kind_of_status(&status) == ErrorKind::LimitExceeded => {
            let error = StorageError::new(ErrorKind::LimitExceeded, status.message());
            return Err(CallError::Local(error));
        }
        Err(status) => return Err(status.into()),
    };
    let (mut frames, mut held) = (Vec::new(), memory.empty());
    while let Some(message) = in_time(stream.message()).await? {
        let refused = |error: MemoryError| CallError::Local(error.into());
        held.grow(message.frame.len() as u64).map_err(refused)?;
        frames.push(message.frame);
    }
    Ok((!frames.is_empty()).then_some((frames, held)))
}
