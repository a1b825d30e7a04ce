//! Reads from the heads led here.

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use head::{Head, HeadError, HeadSeries};
use model::{ErrorKind, Matcher, ShardId, TimeRange};
use proto::convert::{matchers_from_wire, metadata_to_wire};
use proto::error::{not_leader, status};
use proto::store::scope::Of;
use proto::store::store_server::Store;
use proto::store::{
    Chunk, LabelsRequest, MetadataRequest, MetadataResponse, Scope, SelectFrame, SelectRequest,
    SelectedSeries, SeriesResponse, ShardScope, StringsResponse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::control::service::consensus_status;
use crate::shard::Shards;
use crate::transport::Addresses;

/// How many bytes a frame gathers before it is sent.
const FRAME_BYTES: usize = 1 << 20;
/// How many frames may wait for a slow reader.
const FRAMES_MAX: usize = 4;
/// The most series one select returns when the caller names no limit.
const SERIES_MAX: usize = 5_000_000;

/// Answers queriers.
pub(crate) struct StoreService {
    pub(crate) shards: Arc<Shards>,
    pub(crate) addresses: Arc<Addresses>,
}

impl StoreService {
    /// Returns the head of a shard once it is sure that this node leads it and has applied all that was acknowledged.
    async fn head(&self, scope: Option<Scope>) -> Result<(Arc<Head>, i64), Status> {
        let Some(Of::Shard(ShardScope { shard, from_ms })) = scope.and_then(|scope| scope.of) else {
            return Err(status(ErrorKind::Invalid, "an ingester answers for shards; the request names none"));
        };
        let replica = self.shards.get(ShardId(shard)).ok_or_else(|| not_leader(None))?;
        let barrier = replica.group.read_barrier().await;
        barrier.map_err(|error| consensus_status(&error, |node| self.addresses.get(node)))?;
        Ok((replica.head(), from_ms))
    }
}

fn head_status(error: HeadError) -> Status {
    status(error.kind(), error.to_string())
}

/// Runs CPU-bound work on a head away from the async threads. Fails when the head no longer holds all from `from_ms` on: a
/// window that was dropped meanwhile is in blocks that the caller's view does not know.
async fn on_head<T: Send + 'static>(
    head: Arc<Head>,
    from_ms: i64,
    work: impl FnOnce(&Head) -> Result<T, HeadError> + Send + 'static,
) -> Result<T, Status> {
    let checked = move || {
        let result = work(&head)?;
        let dropped_until_ms = head.dropped_until_ms();
        if dropped_until_ms > from_ms {
            Err(HeadError::Stale { from_ms, dropped_until_ms })
        } else {
            Ok(result)
        }
    };
    let result = tokio::task::spawn_blocking(checked).await;
    let result =
        result.map_err(|error| status(ErrorKind::Internal, format!("reading the head failed: {error}")))?;
    result.map_err(head_status)
}

fn selectors_from_wire(request: &LabelsRequest) -> Result<Vec<Vec<Matcher>>, Status> {
    request.selectors.iter().map(|selector| matchers_from_wire(&selector.matchers)).collect()
}

fn limit_of(limit: u64) -> Option<usize> {
    (limit > 0).then_some(limit as usize)
}

#[tonic::async_trait]
impl Store for StoreService {
    type SelectStream = Pin<Box<dyn Stream<Item = Result<SelectFrame, Status>> + Send>>;

    async fn select(&self, request: Request<SelectRequest>) -> Result<Response<Self::SelectStream>, Status> {
        let request = request.into_inner();
        let matchers = matchers_from_wire(&request.matchers)?;
        let (head, from_ms) = self.head(request.scope).await?;
        let range = TimeRange::new(request.start_ms, request.end_ms);
        let limit = limit_of(request.series_limit).unwrap_or(SERIES_MAX);
        let series =
            on_head(head, from_ms, move |head| head.select(&matchers, range, from_ms, limit)).await?;
        let (frames, stream) = mpsc::channel(FRAMES_MAX);
        // The task ends when all is sent or the reader is gone.
        tokio::spawn(send_frames(series, frames));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn label_names(
        &self,
        request: Request<LabelsRequest>,
    ) -> Result<Response<StringsResponse>, Status> {
        let request = request.into_inner();
        let selectors = selectors_from_wire(&request)?;
        let (head, from_ms) = self.head(request.scope).await?;
        let (range, limit) = (TimeRange::new(request.start_ms, request.end_ms), limit_of(request.limit));
        let values = on_head(head, from_ms, move |head| head.label_names(&selectors, range, limit)).await?;
        Ok(Response::new(StringsResponse { values }))
    }

    async fn label_values(
        &self,
        request: Request<LabelsRequest>,
    ) -> Result<Response<StringsResponse>, Status> {
        let request = request.into_inner();
        let selectors = selectors_from_wire(&request)?;
        let (head, from_ms) = self.head(request.scope).await?;
        let (range, limit) = (TimeRange::new(request.start_ms, request.end_ms), limit_of(request.limit));
        let values =
            on_head(head, from_ms, move |head| head.label_values(&request.name, &selectors, range, limit))
                .await?;
        Ok(Response::new(StringsResponse { values }))
    }

    async fn series(&self, request: Request<LabelsRequest>) -> Result<Response<SeriesResponse>, Status> {
        let request = request.into_inner();
        let selectors = selectors_from_wire(&request)?;
        let (head, from_ms) = self.head(request.scope).await?;
        let (range, limit) = (TimeRange::new(request.start_ms, request.end_ms), limit_of(request.limit));
        let series = on_head(head, from_ms, move |head| head.series(&selectors, range, limit)).await?;
        let labels = series.iter().map(|labels| bytes::Bytes::copy_from_slice(labels.as_bytes())).collect();
        Ok(Response::new(SeriesResponse { labels }))
    }

    async fn metadata(
        &self,
        request: Request<MetadataRequest>,
    ) -> Result<Response<MetadataResponse>, Status> {
        let request = request.into_inner();
        let (head, _) = self.head(request.scope).await?;
        let family = (!request.family.is_empty()).then_some(request.family.as_str());
        let metadata = head.metadata(family).iter().map(metadata_to_wire).collect();
        Ok(Response::new(MetadataResponse { metadata }))
    }
}

async fn send_frames(series: Vec<HeadSeries>, frames: mpsc::Sender<Result<SelectFrame, Status>>) {
    let (mut frame, mut bytes) = (SelectFrame::default(), 0);
    for HeadSeries { labels, chunks } in series {
        bytes += labels.as_bytes().len() + chunks.iter().map(|chunk| chunk.data.len() + 16).sum::<usize>();
        let chunks = chunks.into_iter().map(|chunk| Chunk {
            start_ms: chunk.start_ms,
            end_ms: chunk.end_ms,
            samples: chunk.samples,
            data: chunk.data,
        });
        let labels = bytes::Bytes::copy_from_slice(labels.as_bytes());
        frame.series.push(SelectedSeries { labels, chunks: chunks.collect() });
        if bytes >= FRAME_BYTES {
            if frames.send(Ok(std::mem::take(&mut frame))).await.is_err() {
                return;
            }
            bytes = 0;
        }
    }
    // The reader may be gone; the last frame is then of no use.
    drop(frames.send(Ok(frame)).await);
}
