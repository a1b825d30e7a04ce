//! An ingester or a gateway: serves series by shard and by block, keeps the rules of the protocol, and fails when told to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use chunk::EncodedChunk;
use futures::Stream;
use model::{ErrorKind, LabelSet, Matcher, MetricMetadata, TimeRange};
use parking_lot::Mutex;
use promql::{Engine, EngineConfig};
use proto::convert::{matchers_from_wire, metadata_to_wire};
use proto::frame::FrameBuilder;
use proto::store::scope::Of;
use proto::store::store_server::Store;
use proto::store::{
    CardinalityRequest, CardinalityResponse, EvaluateFrame, EvaluateRequest, ExemplarsRequest,
    ExemplarsResponse, LabelsRequest, MetadataRequest, MetadataResponse, Scope, SelectFrame, SelectRequest,
    SeriesResponse, ShardScope, StringsResponse,
};
use selection::{External, PartSeries, Select, Selector, merge_series};
use storage::{QueryMemory, SeriesSet, StorageError};
use tokio::sync::mpsc::UnboundedSender;
use tonic::{Request, Response, Status};

type Samples = Vec<(i64, f64)>;
type Pairs<'a> = &'a [(&'a str, &'a str)];
type Fault = Box<dyn FnMut() -> Option<Status> + Send>;

/// What a shard's head or a block holds.
#[derive(Clone, Default)]
pub(crate) struct Part {
    pub(crate) series: Vec<(LabelSet, Samples)>,
    /// A head answers only queries whose catalogue reaches at least this far.
    pub(crate) dropped_until_ms: Option<i64>,
    pub(crate) metadata: Vec<MetricMetadata>,
}

impl Part {
    /// Makes a part of series written as `(pairs, samples)`.
    pub(crate) fn of(series: &[(Pairs<'_>, &[(i64, f64)])]) -> Self {
        let series = series
            .iter()
            .map(|(pairs, samples)| (LabelSet::from_pairs(pairs.iter().copied()), samples.to_vec()));
        let mut series: Vec<_> = series.collect();
        series.sort_by(|a, b| a.0.cmp(&b.0));
        Self { series, ..Self::default() }
    }
}

/// One process.
#[derive(Default)]
pub(crate) struct Peer {
    pub(crate) shards: Mutex<BTreeMap<u32, Part>>,
    pub(crate) blocks: Mutex<BTreeMap<String, Part>>,
    /// Each is asked once, first come first, before the peer answers; `None` lets the call pass.
    pub(crate) faults: Mutex<VecDeque<Fault>>,
    /// Fails every call while it is set.
    pub(crate) down: Mutex<Option<Status>>,
    /// Selects and evaluations never end while it is set; it is told when one began, and when its stream was dropped.
    pub(crate) endless: Mutex<Option<UnboundedSender<&'static str>>>,
    /// The scopes of all calls.
    pub(crate) asked: Mutex<Vec<String>>,
    /// How many fragments were evaluated.
    pub(crate) evaluations: AtomicUsize,
}

impl Peer {
    pub(crate) fn with_shard(self, shard: u32, part: Part) -> Self {
        self.shards.lock().insert(shard, part);
        self
    }

    pub(crate) fn with_block(self, id: u128, part: Part) -> Self {
        self.blocks.lock().insert(model::BlockId(id).to_string(), part);
        self
    }

    /// Fails the next call with a status.
    pub(crate) fn fail_once(&self, status: Status) {
        let mut status = Some(status);
        self.faults.lock().push_back(Box::new(move || status.take()));
    }

    /// Returns the scopes of the calls since the last time.
    pub(crate) fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock())
    }

    /// Returns what a scope names, with the first ms that the answer may hold.
    fn parts(&self, scope: Option<Scope>) -> Result<Vec<(Part, i64)>, Status> {
        let of = scope.and_then(|scope| scope.of).expect("a querier names a scope");
        let shard = |shard: &ShardScope| format!("shard {} from {}", shard.shard, shard.from_ms);
        self.asked.lock().extend(match &of {
            Of::Shard(one) => vec![shard(one)],
            Of::Shards(several) => several.shards.iter().map(shard).collect(),
            Of::Blocks(blocks) => vec![format!("blocks {}", blocks.ids.len())],
        });
        let fault = self.faults.lock().pop_front();
        if let Some(status) = fault.and_then(|mut fault| fault()) {
            return Err(status);
        }
        if let Some(status) = &*self.down.lock() {
            return Err(status.clone());
        }
        let head = |shard: &ShardScope| {
            let part = self.shards.lock().get(&shard.shard).cloned();
            let part = part.ok_or_else(|| proto::error::not_leader(None))?;
            if part.dropped_until_ms.is_some_and(|until_ms| shard.from_ms < until_ms) {
                return Err(Status::aborted("the head has dropped what the query needs"));
            }
            Ok((part, shard.from_ms))
        };
        match of {
            Of::Shard(shard) => Ok(vec![head(&shard)?]),
            Of::Shards(several) => several.shards.iter().map(head).collect(),
            Of::Blocks(blocks) => {
                let known = self.blocks.lock();
                let part = |id: &String| known.get(id).cloned().map(|part| (part, i64::MIN));
                blocks.ids.iter().map(|id| part(id).ok_or_else(|| Status::not_found(id.clone()))).collect()
            }
        }
    }

    fn series_of(&self, request: &LabelsRequest) -> Result<BTreeSet<LabelSet>, Status> {
        let selectors: Result<Vec<_>, _> =
            request.selectors.iter().map(|selector| matchers_from_wire(&selector.matchers)).collect();
        let (selectors, range) = (selectors?, TimeRange::new(request.start_ms, request.end_ms));
        let mut found = BTreeSet::new();
        for (part, from_ms) in self.parts(request.scope.clone())? {
            let is_in = |samples: &Samples| samples.iter().any(|(t, _)| range.contains(*t) && *t >= from_ms);
            let is_selected =
                |labels: &LabelSet| selectors.is_empty() || selectors.iter().any(|s| matches(s, labels));
            let kept =
                part.series.into_iter().filter(|(labels, samples)| is_selected(labels) && is_in(samples));
            found.extend(kept.map(|(labels, _)| labels));
        }
        Ok(found)
    }
}

fn matches(matchers: &[Matcher], labels: &LabelSet) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name)))
}

fn first<T>(values: BTreeSet<T>, limit: u64) -> Vec<T> {
    values.into_iter().take(if limit == 0 { usize::MAX } else { limit as usize }).collect()
}

/// Encodes the samples of a closed range, two a chunk.
fn chunks(samples: &Samples, start_ms: i64, end_ms: i64) -> Vec<EncodedChunk> {
    let kept: Vec<(i64, f64)> =
        samples.iter().copied().filter(|(t, _)| (start_ms..=end_ms).contains(t)).collect();
    let encode = |run: &[(i64, f64)]| {
        let (times, values): (Vec<i64>, Vec<f64>) = run.iter().copied().unzip();
        chunk::encode(&times, &values)
    };
    kept.chunks(2).map(encode).collect()
}

/// A stream without frames and without an end.
struct Endless<T>(UnboundedSender<&'static str>, PhantomData<fn() -> T>);

impl<T> Endless<T> {
    fn begin(events: UnboundedSender<&'static str>) -> Self {
        events.send("begun").expect("the test listens");
        Self(events, PhantomData)
    }
}

impl<T> Stream for Endless<T> {
    type Item = Result<T, Status>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Pending
    }
}

impl<T> Drop for Endless<T> {
    fn drop(&mut self) {
        // The test may be over.
        let _ = self.0.send("dropped");
    }
}

/// The parts of one request, as the engine reads them.
struct PartsOfRequest {
    parts: Vec<(Part, i64)>,
    external: Arc<External>,
    series_max: u64,
    endless: Option<UnboundedSender<&'static str>>,
}

#[async_trait]
impl Select for PartsOfRequest {
    async fn select(
        &self,
        request: &storage::SelectRequest,
        _: &QueryMemory,
    ) -> Result<SeriesSet, StorageError> {
        if let Some(events) = self.endless.clone() {
            let _evaluation = Endless::<()>::begin(events);
            return std::future::pending().await;
        }
        let (localized, range) = (self.external.localize(&request.matchers), request.range);
        let part = |(part, from_ms): &(Part, i64)| {
            let kept = part.series.iter().filter(|(labels, _)| matches(&localized, labels));
            let encoded = kept.map(|(labels, samples)| PartSeries {
                labels: labels.clone(),
                chunks: chunks(samples, range.start.0.max(*from_ms), range.end.0),
            });
            encoded.filter(|series| !series.chunks.is_empty()).collect()
        };
        let parts = self.parts.iter().map(part).collect();
        let series = merge_series(parts, &self.external, &request.matchers).await?;
        if series.len() as u64 > self.series_max {
            let text =
                format!("the query matches {} series in blocks, more than {}", series.len(), self.series_max);
            return Err(StorageError::new(ErrorKind::LimitExceeded, text));
        }
        Ok(SeriesSet { series, warnings: Vec::new(), memory: None, coarse: None })
    }
}

#[tonic::async_trait]
impl Store for Peer {
    type EvaluateStream = Pin<Box<dyn Stream<Item = Result<EvaluateFrame, Status>> + Send>>;
    type SelectStream = Pin<Box<dyn Stream<Item = Result<SelectFrame, Status>> + Send>>;

    async fn evaluate(
        &self,
        request: Request<EvaluateRequest>,
    ) -> Result<Response<Self::EvaluateStream>, Status> {
        let request = request.into_inner();
        let (parts, endless) = (self.parts(request.scope)?, self.endless.lock().clone());
        self.evaluations.fetch_add(1, Ordering::Relaxed);
        let external = Arc::new(External::new(&request.external_labels.into_iter().collect()));
        let series_max = request.series_limit;
        let data = Arc::new(Selector(PartsOfRequest { parts, external, series_max, endless }));
        let engine = Engine::new(EngineConfig::default());
        let frames = engine.evaluate_fragment(data, &request.fragment).await;
        let frames = frames.map_err(|error| proto::error::status(error.kind(), error.to_string()))?;
        let frames: Vec<_> = frames.into_iter().flatten().map(|frame| Ok(EvaluateFrame { frame })).collect();
        Ok(Response::new(Box::pin(futures::stream::iter(frames))))
    }

    async fn select(&self, request: Request<SelectRequest>) -> Result<Response<Self::SelectStream>, Status> {
        let request = request.into_inner();
        if let Some(events) = self.endless.lock().clone() {
            let stream = Endless::begin(events);
            return Ok(Response::new(Box::pin(stream)));
        }
        let matchers = matchers_from_wire(&request.matchers)?;
        let mut selected: BTreeMap<LabelSet, Vec<EncodedChunk>> = BTreeMap::new();
        for (part, from_ms) in self.parts(request.scope)? {
            for (labels, samples) in part.series.iter().filter(|(labels, _)| matches(&matchers, labels)) {
                let chunks = chunks(samples, from_ms.max(request.start_ms), request.end_ms);
                if !chunks.is_empty() {
                    selected.entry(labels.clone()).or_default().extend(chunks);
                }
            }
        }
        if selected.len() as u64 > request.series_limit {
            return Err(Status::resource_exhausted(format!(
                "more than {} results in one head",
                request.series_limit
            )));
        }
        let frames: Vec<_> = selected
            .into_iter()
            .map(|(labels, chunks)| {
                let mut frame = FrameBuilder::default();
                frame.series(labels.as_bytes());
                for chunk in chunks {
                    frame.chunk(chunk.start_ms, chunk.end_ms, chunk.samples, &chunk.data);
                }
                Ok(frame.finish())
            })
            .collect();
        Ok(Response::new(Box::pin(futures::stream::iter(frames))))
    }

    async fn label_names(
        &self,
        request: Request<LabelsRequest>,
    ) -> Result<Response<StringsResponse>, Status> {
        let request = request.into_inner();
        let series = self.series_of(&request)?;
        let names = series.iter().flat_map(LabelSet::iter).map(|(name, _)| name.to_owned()).collect();
        Ok(Response::new(StringsResponse { values: first(names, request.limit) }))
    }

    async fn label_values(
        &self,
        request: Request<LabelsRequest>,
    ) -> Result<Response<StringsResponse>, Status> {
        let request = request.into_inner();
        let series = self.series_of(&request)?;
        let values = series.iter().map(|labels| labels.get(&request.name).to_owned());
        let values = values.filter(|value| !value.is_empty()).collect();
        Ok(Response::new(StringsResponse { values: first(values, request.limit) }))
    }

    async fn series(&self, request: Request<LabelsRequest>) -> Result<Response<SeriesResponse>, Status> {
        let request = request.into_inner();
        let series = first(self.series_of(&request)?, request.limit);
        let labels = series.iter().map(|labels| Bytes::copy_from_slice(labels.as_bytes())).collect();
        Ok(Response::new(SeriesResponse { labels }))
    }

    async fn metadata(
        &self,
        request: Request<MetadataRequest>,
    ) -> Result<Response<MetadataResponse>, Status> {
        let request = request.into_inner();
        let parts = self.parts(request.scope)?;
        let entries = parts.iter().flat_map(|(part, _)| &part.metadata);
        let entries = entries.filter(|entry| request.family.is_empty() || request.family == entry.family);
        Ok(Response::new(MetadataResponse { metadata: entries.map(metadata_to_wire).collect() }))
    }

    async fn cardinality(
        &self,
        request: Request<CardinalityRequest>,
    ) -> Result<Response<CardinalityResponse>, Status> {
        let parts = self.parts(request.into_inner().scope)?;
        let series = parts.iter().map(|(part, _)| part.series.len() as u64).sum();
        Ok(Response::new(CardinalityResponse { series, ..CardinalityResponse::default() }))
    }

    async fn exemplars(
        &self,
        request: Request<ExemplarsRequest>,
    ) -> Result<Response<ExemplarsResponse>, Status> {
        self.parts(request.into_inner().scope)?;
        Ok(Response::new(ExemplarsResponse::default()))
    }
}
