//! Reads from the heads led here, and evaluations over them.

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use head::{Head, HeadError, HeadSeries, Selection};
use model::{ErrorKind, Exemplar, Matcher, SeriesExemplars, ShardId, TimeRange};
use promql::Engine;
use proto::convert::{cardinality_to_wire, exemplars_to_wire, matchers_from_wire, metadata_to_wire};
use proto::error::{not_leader, status};
use proto::frame::FrameBuilder;
use proto::store::scope::Of;
use proto::store::store_server::Store;
use proto::store::{
    CardinalityRequest, CardinalityResponse, EvaluateFrame, EvaluateRequest, ExemplarsRequest,
    ExemplarsResponse, LabelsRequest, MetadataRequest, MetadataResponse, Scope, SelectFrame, SelectRequest,
    SeriesResponse, ShardScope, StringsResponse,
};
use selection::{External, Selector};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::control::service::consensus_status;
use crate::evaluate::HeadsOfRequest;
use crate::shard::Shards;
use crate::transport::Addresses;

/// How many bytes a frame gathers before it is sent.
const FRAME_BYTES: usize = 1 << 20;
/// How many frames may wait for a slow reader.
const FRAMES_MAX: usize = 4;
/// The most series one select returns when the caller names no limit.
const SERIES_MAX: usize = 5_000_000;

/// The most entries of each list of a head's cardinality.
const CARDINALITY_ENTRIES_MAX: usize = 10_000;

/// The most bytes of exemplars in one answer.
const EXEMPLARS_BYTES_MAX: usize = 32 << 20;
/// What an exemplar takes on the wire beside its labels, at most.
const EXEMPLAR_OVERHEAD_BYTES: usize = 32;

/// Answers queriers.
pub(crate) struct StoreService {
    pub(crate) shards: Arc<Shards>,
    pub(crate) addresses: Arc<Addresses>,
    /// Evaluates parts of queries.
    pub(crate) engine: Engine,
}

impl StoreService {
    /// Returns the head of a shard once it is sure that this node leads it and has applied all that was acknowledged.
    async fn head(&self, scope: Option<Scope>) -> Result<(Arc<Head>, i64), Status> {
        match scope.and_then(|scope| scope.of) {
            Some(Of::Shard(shard)) => self.head_of(shard).await,
            _ => Err(status(ErrorKind::Invalid, "an ingester answers for a shard; the request names none")),
        }
    }

    /// Returns the heads of all shards that a request names.
    async fn heads(&self, scope: Option<Scope>) -> Result<Vec<(Arc<Head>, i64)>, Status> {
        let shards = match scope.and_then(|scope| scope.of) {
            Some(Of::Shard(shard)) => vec![shard],
            Some(Of::Shards(shards)) => shards.shards,
            _ => Vec::new(),
        };
        if shards.is_empty() || shards.len() > self.shards.list().len() {
            let text = "an ingester evaluates over shards that it has; the request names none or others";
            return Err(status(ErrorKind::Invalid, text));
        }
        futures::future::try_join_all(shards.into_iter().map(|shard| self.head_of(shard))).await
    }

    async fn head_of(&self, ShardScope { shard, from_ms }: ShardScope) -> Result<(Arc<Head>, i64), Status> {
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
pub(crate) async fn on_head<T: Send + 'static>(
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
    type EvaluateStream = Pin<Box<dyn Stream<Item = Result<EvaluateFrame, Status>> + Send>>;

    async fn select(&self, request: Request<SelectRequest>) -> Result<Response<Self::SelectStream>, Status> {
        let request = request.into_inner();
        let matchers = matchers_from_wire(&request.matchers)?;
        let (head, from_ms) = self.head(request.scope).await?;
        let range = TimeRange::new(request.start_ms, request.end_ms);
        let limit = limit_of(request.series_limit).unwrap_or(SERIES_MAX);
        let (frames, stream) = mpsc::channel(FRAMES_MAX);
        // The task ends when all is sent or the reader is gone.
        tokio::task::spawn_blocking(move || {
            let sent = head
                .selection(&matchers, range, from_ms)
                .map(|selection| if request.newest_only { selection.newest_only() } else { selection })
                .and_then(|selection| send_frames(&head, selection, limit, &frames));
            if let Err(error) = sent {
                // The reader may be gone; then nobody is interested.
                drop(frames.blocking_send(Err(head_status(error))));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn evaluate(
        &self,
        request: Request<EvaluateRequest>,
    ) -> Result<Response<Self::EvaluateStream>, Status> {
        let EvaluateRequest { scope, fragment, external_labels, series_limit } = request.into_inner();
        let data = HeadsOfRequest {
            heads: self.heads(scope).await?,
            external: Arc::new(External::new(&external_labels.into_iter().collect())),
            series_max: limit_of(series_limit).unwrap_or(SERIES_MAX),
        };
        let frames = self.engine.evaluate_fragment(Arc::new(Selector(data)), &fragment).await;
        let frames = frames.map_err(|error| status(error.kind(), error.to_string()))?;
        let frames = frames.into_iter().flatten().map(|frame| Ok(EvaluateFrame { frame }));
        Ok(Response::new(Box::pin(futures::stream::iter(frames))))
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

    async fn cardinality(
        &self,
        request: Request<CardinalityRequest>,
    ) -> Result<Response<CardinalityResponse>, Status> {
        let request = request.into_inner();
        let (head, _) = self.head(request.scope).await?;
        let entries_max = (request.entries_max as usize).min(CARDINALITY_ENTRIES_MAX);
        // It is about what the head holds now, whatever blocks hold.
        let cardinality = on_head(head, i64::MAX, move |head| Ok(head.cardinality(entries_max))).await?;
        Ok(Response::new(cardinality_to_wire(cardinality)))
    }

    async fn exemplars(
        &self,
        request: Request<ExemplarsRequest>,
    ) -> Result<Response<ExemplarsResponse>, Status> {
        let request = request.into_inner();
        let selectors: Result<Vec<_>, Status> =
            request.selectors.iter().map(|selector| matchers_from_wire(&selector.matchers)).collect();
        let (selectors, range) = (selectors?, TimeRange::new(request.start_ms, request.end_ms));
        let (head, _) = self.head(request.scope).await?;
        // Exemplars stay while there is room, whatever blocks hold.
        let found = on_head(head, i64::MAX, move |head| Ok(head.exemplars(&selectors, range))).await?;
        let exemplar_bytes = |exemplar: &Exemplar| exemplar.labels.as_bytes().len() + EXEMPLAR_OVERHEAD_BYTES;
        let series_bytes = |series: &SeriesExemplars| {
            let exemplars: usize = series.exemplars.iter().map(exemplar_bytes).sum();
            series.labels.as_bytes().len() + EXEMPLAR_OVERHEAD_BYTES + exemplars
        };
        let bytes: usize = found.iter().map(series_bytes).sum();
        if bytes > EXEMPLARS_BYTES_MAX {
            let text = format!(
                "exemplars take {bytes} bytes, more than {EXEMPLARS_BYTES_MAX}: ask for a shorter range"
            );
            return Err(status(ErrorKind::LimitExceeded, text));
        }
        Ok(Response::new(exemplars_to_wire(&found)))
    }
}

/// Sends a selection, a slice of it at a time, until all is sent or the reader is gone.
fn send_frames(
    head: &Head,
    mut selection: Selection,
    limit: usize,
    frames: &mpsc::Sender<Result<SelectFrame, Status>>,
) -> Result<(), HeadError> {
    let (mut frame, mut sent) = (FrameBuilder::default(), 0);
    while let Some(slice) = selection.next_slice(head)? {
        sent += slice.len();
        if sent > limit {
            return Err(HeadError::LimitExceeded { limit });
        }
        for HeadSeries { labels, chunks } in slice {
            frame.series(labels.as_bytes());
            for chunk in chunks {
                frame.chunk(chunk.start_ms, chunk.end_ms, chunk.samples, &chunk.data);
            }
            if frame.size_bytes() >= FRAME_BYTES && frames.blocking_send(Ok(frame.finish())).is_err() {
                return Ok(());
            }
        }
    }
    if !frame.is_empty() {
        // The reader may be gone; the last frame is then of no use.
        drop(frames.blocking_send(Ok(frame.finish())));
    }
    Ok(())
}
