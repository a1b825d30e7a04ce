//! The append streams' receiving end, and deletes.

use std::pin::Pin;
use std::sync::Arc;

use batch::BatchOutcome;
use bytes::Bytes;
use cluster::DeleteOrder;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt};
use model::{Epoch, ErrorKind, NodeId, ShardId};
use proto::error::{not_leader, status};
use proto::ingest::append_response::Result as Answer;
use proto::ingest::ingest_server::Ingest;
use proto::ingest::{AppendRequest, AppendResponse, DeleteRequest, DeleteResponse, Failure};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::control::feed::Feed;
use crate::control::service::consensus_status;
use crate::metrics::IngesterMetrics;
use crate::shard::Shards;
use crate::shard::command::ShardCommand;
use crate::shard::deletes::{TakenDelete, decode_answer};
use crate::shard::proposer::now_ms;
use crate::shard::replica::failure;
use crate::transport::Addresses;

/// How many batches of one stream may be under way; beyond, the stream is not read.
const STREAM_IN_FLIGHT_MAX: usize = 64;

/// Takes appends for the shards led here.
#[derive(Clone)]
pub(crate) struct IngestService {
    pub(crate) shards: Arc<Shards>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) metrics: IngesterMetrics,
    pub(crate) shutdown: CancellationToken,
}

type Outcome = Result<Bytes, Failure>;

#[tonic::async_trait]
impl Ingest for IngestService {
    type AppendStream = Pin<Box<dyn Stream<Item = Result<AppendResponse, Status>> + Send>>;

    async fn append(
        &self,
        request: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let (answers, stream) = mpsc::channel(STREAM_IN_FLIGHT_MAX);
        // The task ends with its stream, or with the process. The headers go out at once: a writer waits for them.
        tokio::spawn(self.clone().serve(request.into_inner(), answers));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        let DeleteRequest { shard, order } = request.into_inner();
        let checked = DeleteOrder::decode(&order).and_then(|order| order.check());
        checked.map_err(|reason| status(ErrorKind::Invalid, reason))?;
        let replica = self.shards.get(ShardId(shard)).ok_or_else(|| not_leader(None))?;
        let entry = ShardCommand::Delete { stamp_ms: now_ms(), order }.encode();
        let applied = replica.group.propose(entry).await;
        let applied = applied.map_err(|error| consensus_status(&error, |node| self.addresses.get(node)))?;
        let unknown = || status(ErrorKind::Internal, "apply answered a delete with something else");
        let taken = decode_answer(&applied.response).ok_or_else(unknown)?;
        let taken = taken.map_err(|reason| status(ErrorKind::LimitExceeded, reason))?;
        let TakenDelete { index, frozen_until_ms } = taken;
        Ok(Response::new(DeleteResponse { index, frozen_until_ms }))
    }
}

impl IngestService {
    async fn serve(
        self,
        mut requests: Streaming<AppendRequest>,
        answers: mpsc::Sender<Result<AppendResponse, Status>>,
    ) {
        let mut under_way: FuturesUnordered<BoxFuture<'static, AppendResponse>> = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                Some(answer) = under_way.next() => if answers.send(Ok(answer)).await.is_err() { return },
                request = requests.message(), if under_way.len() < STREAM_IN_FLIGHT_MAX => {
                    // A broken stream and an ended one are the same: its writer is gone.
                    let Ok(Some(request)) = request else { return };
                    let sequence = request.sequence;
                    let submitted = self.submit(request).await;
                    under_way.push(Box::pin(self.clone().answer(sequence, submitted)));
                }
            }
        }
    }

    /// Checks a request and queues its batch, in the order of the stream.
    async fn submit(&self, request: AppendRequest) -> Result<oneshot::Receiver<Outcome>, Failure> {
        let (node, epoch) = (NodeId(request.node), Epoch(request.epoch));
        if self.is_deposed(node, epoch) {
            return Err(failure(
                ErrorKind::Conflict,
                format!("membership of node {node} with epoch {epoch} has ended"),
            ));
        }
        let shard = ShardId(request.shard);
        let Some(replica) = self.shards.get(shard) else {
            return Err(failure(ErrorKind::NotLeader, format!("shard {shard} has no replica here")));
        };
        if !replica.group.is_leader() {
            let leader_address =
                replica.group.leader().and_then(|node| self.addresses.get(node)).unwrap_or_default();
            let refusal = failure(ErrorKind::NotLeader, format!("shard {shard} is not led here"));
            return Err(Failure { leader_address, ..refusal });
        }
        replica.submit(request.batch).await
    }

    /// Tells whether a member's rights have surely ended. A membership that this node has not heard of yet is a newer one.
    fn is_deposed(&self, node: NodeId, epoch: Epoch) -> bool {
        let state = self.feed.state();
        let member = state.members.get(&node).filter(|_| node.0 != 0);
        member.is_some_and(|member| member.epoch > epoch || (member.epoch == epoch && !member.live))
    }

    async fn answer(
        self,
        sequence: u64,
        submitted: Result<oneshot::Receiver<Outcome>, Failure>,
    ) -> AppendResponse {
        let unknown =
            || failure(ErrorKind::Unavailable, "this node is stopping; the batch's fate is unknown");
        let outcome = match submitted {
            Ok(outcome) => outcome.await.unwrap_or_else(|_| Err(unknown())),
            Err(refusal) => Err(refusal),
        };
        if let Some(outcome) = outcome.as_ref().ok().and_then(|bytes| BatchOutcome::decode(bytes).ok()) {
            self.metrics.count(&outcome);
        }
        let result = match outcome {
            Ok(bytes) => Answer::Outcome(bytes),
            Err(refusal) => Answer::Failure(refusal),
        };
        AppendResponse { sequence, result: Some(result) }
    }
}
