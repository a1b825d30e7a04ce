//! The gRPC service `Store` for scopes that name blocks.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use block::{BlockError, BlockReader, Erase, Labels, SelectedSeries};
use bytes::Bytes;
use cluster::ControlState;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use model::{Aggregate, BlockId, ErrorKind, LabelSet, Matcher, SortRange, TimeRange};
use parking_lot::Mutex;
use promql::Engine;
use proto::connect::MESSAGE_BYTES_MAX;
use proto::convert::matchers_from_wire;
use proto::error::status;
use proto::store::scope::Of;
use proto::store::store_server::Store;
use proto::store::{
    CardinalityRequest, CardinalityResponse, EvaluateFrame, EvaluateRequest, ExemplarsRequest,
    ExemplarsResponse, LabelsRequest, MetadataRequest, MetadataResponse, Scope, SelectFrame, SelectRequest,
    SeriesResponse, StringsResponse,
};
use selection::{External, Selector};
use storage::Resolution;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tonic::{Request, Response, Status};

use crate::blocks::Blocks;
use crate::deletes::{AskedBlock, CompiledDeletes, OfOneBlock};
use crate::evaluate::BlocksOfRequest;
use crate::fault::Faults;
use crate::frames::{Frames, size_bytes};
use crate::metrics::{GatewayMetrics, MethodLabel};
use crate::select::{BLOCKS_IN_FLIGHT_MAX, Selection};
use crate::union::Union;

/// How long a request waits for the gateway's catalogue to reach the version that the request was made with.
const CATALOGUE_WAIT: Duration = Duration::from_secs(5);
/// How many blocks one request may name.
const REQUEST_BLOCKS_MAX: usize = 100_000;
/// What one answer that is not a stream may take: the message limit less some room for its frame.
const ANSWER_BYTES_MAX: usize = MESSAGE_BYTES_MAX - (1 << 20);

/// Answers queriers.
#[derive(Clone)]
pub(crate) struct StoreService {
    pub(crate) catalogue: watch::Receiver<Arc<ControlState>>,
    pub(crate) blocks: Arc<Blocks>,
    pub(crate) deletes: Arc<CompiledDeletes>,
    pub(crate) selects: Arc<Semaphore>,
    pub(crate) select_bytes_max: u64,
    pub(crate) select_series_max: usize,
    pub(crate) metrics: GatewayMetrics,
    /// Evaluates parts of queries.
    pub(crate) engine: Engine,
}

/// What all label requests have in common.
struct LabelQuery {
    selectors: Vec<Vec<Matcher>>,
    range: TimeRange,
    limit: usize,
    name: String,
}

impl LabelQuery {
    /// Tells whether any selector may match a series of a range.
    fn may_match(&self, range: &SortRange) -> bool {
        self.selectors.is_empty() || self.selectors.iter().any(|matchers| range.may_match(matchers))
    }

    fn from_wire(request: &LabelsRequest) -> Result<Self, Status> {
        let selectors = request.selectors.iter().map(|selector| matchers_from_wire(&selector.matchers));
        Ok(Self {
            selectors: selectors.collect::<Result<_, _>>()?,
            range: TimeRange::new(request.start_ms, request.end_ms),
            limit: if request.limit == 0 { usize::MAX } else { request.limit as usize },
            name: request.name.clone(),
        })
    }
}

/// Holds a select's place until its stream has ended.
struct InFlight {
    metrics: GatewayMetrics,
    _permit: OwnedSemaphorePermit,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.metrics.selects_in_flight.dec();
    }
}

#[allow(clippy::result_large_err, reason = "tonic's own error type")]
fn aggregate_from_wire(code: u32) -> Result<Aggregate, Status> {
    let unknown = || status(ErrorKind::Invalid, format!("aggregate {code} is unknown"));
    Aggregate::of_code(code).ok_or_else(unknown)
}

impl StoreService {
    /// Looks the named blocks up, at the request's version of the catalogue or a later one, so that each comes with every
    /// delete that the request may know of. A tombstoned block is still served: queries that began earlier may read it.
    async fn asked(&self, scope: Option<Scope>) -> Result<Vec<AskedBlock>, Status> {
        let Some(Scope { catalogue_version, of: Some(Of::Blocks(scope)) }) = scope else {
            return Err(status(ErrorKind::Invalid, "a gateway answers for blocks; the request names none"));
        };
        if scope.ids.len() > REQUEST_BLOCKS_MAX {
            let message =
                format!("the request names {} blocks, more than {REQUEST_BLOCKS_MAX}", scope.ids.len());
            return Err(status(ErrorKind::LimitExceeded, message));
        }
        let ids: BTreeSet<BlockId> = scope
            .ids
            .iter()
            .map(|id| id.parse().map_err(|e: String| status(ErrorKind::Invalid, e)))
            .collect::<Result<_, _>>()?;
        let mut catalogue = self.catalogue.clone();
        let reached = catalogue.wait_for(|state| state.version >= catalogue_version);
        let state = match tokio::time::timeout(CATALOGUE_WAIT, reached).await {
            Ok(Ok(state)) => Arc::clone(&state),
            _ => {
                let version = self.catalogue.borrow().version;
                let message = format!(
                    "this gateway's catalogue has version {version}, the query's {catalogue_version}"
                );
                return Err(status(ErrorKind::Unavailable, message));
            }
        };
        let gone = |id: &BlockId| status(ErrorKind::NotFound, format!("block {id} is not in the catalogue"));
        let asked = |id: &BlockId| {
            let entry = state.catalogue.get(*id).ok_or_else(|| gone(id))?;
            self.deletes.asked(&state, &entry.meta)
        };
        ids.iter().map(asked).collect()
    }

    fn faults(&self) -> Faults {
        Faults { catalogue: self.catalogue.clone() }
    }

    async fn place(&self) -> InFlight {
        let permit = Arc::clone(&self.selects).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        self.metrics.selects_in_flight.inc();
        InFlight { metrics: self.metrics.clone(), _permit: permit }
    }

    async fn select_frames(&self, request: SelectRequest) -> Result<SelectStream, Status> {
        let selection = Selection {
            matchers: matchers_from_wire(&request.matchers)?,
            range: TimeRange::new(request.start_ms, request.end_ms),
            aggregate: aggregate_from_wire(request.aggregate)?,
            resolution: Resolution {
                wish_ms: request.resolution_wish_ms,
                most_ms: request.resolution_most_ms,
            },
            series_max: if request.series_limit == 0 {
                self.select_series_max
            } else {
                request.series_limit as usize
            },
            bytes_max: self.select_bytes_max,
        };
        let asked = self.asked(request.scope).await?;
        let in_flight = self.place().await;
        // The select's own limit on bytes has been named; together, selects and queries share the process's memory.
        let memory = self.engine.memory().query(u64::MAX);
        let SelectedSeries { series, mut memory } =
            selection.run(&self.blocks, &self.faults(), asked, &memory).await?;
        self.metrics.series.inc_by(series.len() as u64);
        self.metrics.chunk_bytes.inc_by(series.iter().map(|series| size_bytes(series) as u64).sum());
        let frames = Frames::new(series).map(move |frame| {
            let _held_until_the_last_frame = &in_flight;
            memory.shrink(frame.data.len() as u64);
            Ok(frame)
        });
        Ok(Box::pin(stream::iter(frames)))
    }

    async fn evaluate_frames(&self, request: EvaluateRequest) -> Result<EvaluateStream, Status> {
        let EvaluateRequest { scope, fragment, external_labels, series_limit } = request;
        let data = BlocksOfRequest {
            asked: self.asked(scope).await?,
            blocks: Arc::clone(&self.blocks),
            faults: self.faults(),
            external: Arc::new(External::new(&external_labels.into_iter().collect())),
            series_max: if series_limit == 0 { self.select_series_max } else { series_limit as usize },
            bytes_max: self.select_bytes_max,
        };
        let in_flight = self.place().await;
        let frames = self.engine.evaluate_fragment(Arc::new(Selector(data)), &fragment).await;
        let frames = frames.map_err(|error| status(error.kind(), error.to_string()))?;
        let frames = frames.into_iter().flatten().map(move |frame| {
            let _held_until_the_last_frame = &in_flight;
            Ok(EvaluateFrame { frame })
        });
        Ok(Box::pin(stream::iter(frames)))
    }

    /// Asks every block on a blocking thread, some at a time, and returns the union of the answers, cut to the limit. What
    /// would not fit into one message is refused as soon as that is known.
    async fn gather<T: Send + 'static>(
        &self,
        request: LabelsRequest,
        bytes_of: fn(&T) -> usize,
        ask: Ask<T>,
    ) -> Result<Vec<T>, Status> {
        let query = Arc::new(LabelQuery::from_wire(&request)?);
        let mut asked = self.asked(request.scope).await?;
        asked.retain(|asked| query.may_match(&asked.meta.sort_range));
        let union = Arc::new(Mutex::new(Union::new(query.limit, bytes_of)));
        let answers = stream::iter(asked).map(|AskedBlock { meta, deletes }| {
            let (query, faults, union) = (Arc::clone(&query), self.faults(), Arc::clone(&union));
            async move {
                let reader = self.blocks.get(&meta).await.map_err(|e| faults.status(&meta, &e))?;
                let gathered = Arc::clone(&union);
                let ask = move || ask(&reader, &query, &OfOneBlock(deletes), &union);
                let asked = tokio::task::spawn_blocking(ask).await;
                let asked = asked
                    .map_err(|e| status(ErrorKind::Internal, format!("reading the index ended: {e}")))?;
                self.blocks.note(&meta, asked).map_err(|e| faults.status(&meta, &e))?;
                fit(gathered.lock().bytes())
            }
        });
        answers.buffer_unordered(BLOCKS_IN_FLIGHT_MAX).try_collect::<()>().await?;
        let union = std::mem::replace(&mut *union.lock(), Union::new(0, bytes_of));
        Ok(union.into_values())
    }

    fn count<T>(&self, method: &'static str, result: Result<T, Status>) -> Result<Response<T>, Status> {
        let label = match &result {
            Ok(_) => "ok",
            Err(error) => proto::error::row_of(proto::error::kind_of_status(error)).name,
        };
        self.metrics.requests.get_or_create(&MethodLabel { method, result: label }).inc();
        result.map(Response::new)
    }
}

/// Refuses an answer that does not fit into one message.
fn fit(bytes: usize) -> Result<(), Status> {
    if bytes <= ANSWER_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "the answer takes {bytes} bytes, more than {ANSWER_BYTES_MAX}: ask with a limit or a selector"
    );
    Err(status(ErrorKind::LimitExceeded, message))
}

/// What a text takes in an answer.
const TEXT_BYTES: fn(&String) -> usize = |text| text.len() + 4;

/// Adds what one block answers to what others did.
type Ask<T> = fn(&BlockReader, &LabelQuery, &dyn Erase, &Mutex<Union<T>>) -> Result<(), BlockError>;

fn add_labels(union: &Mutex<Union<String>>, labels: &Labels) {
    union.lock().add(labels.iter(), |known, value| known.as_str().cmp(value), str::to_owned);
}

type EvaluateStream = Pin<Box<dyn Stream<Item = Result<EvaluateFrame, Status>> + Send>>;
type SelectStream = Pin<Box<dyn Stream<Item = Result<SelectFrame, Status>> + Send>>;

#[tonic::async_trait]
impl Store for StoreService {
    type EvaluateStream = EvaluateStream;
    type SelectStream = SelectStream;

    async fn select(&self, request: Request<SelectRequest>) -> Result<Response<SelectStream>, Status> {
        let frames = self.select_frames(request.into_inner()).await;
        self.count("select", frames)
    }

    async fn evaluate(&self, request: Request<EvaluateRequest>) -> Result<Response<EvaluateStream>, Status> {
        let frames = self.evaluate_frames(request.into_inner()).await;
        self.count("evaluate", frames)
    }

    async fn label_names(
        &self,
        request: Request<LabelsRequest>,
    ) -> Result<Response<StringsResponse>, Status> {
        let names = self.gather(request.into_inner(), TEXT_BYTES, |block, query, _, union| {
            add_labels(union, &block.label_names(&query.selectors, &query.range)?);
            Ok(())
        });
        self.count("label_names", names.await.map(|values| StringsResponse { values }))
    }

    async fn label_values(
        &self,
        request: Request<LabelsRequest>,
    ) -> Result<Response<StringsResponse>, Status> {
        let values = self.gather(request.into_inner(), TEXT_BYTES, |block, query, _, union| {
            add_labels(union, &block.label_values(&query.name, &query.selectors, &query.range)?);
            Ok(())
        });
        self.count("label_values", values.await.map(|values| StringsResponse { values }))
    }

    async fn series(&self, request: Request<LabelsRequest>) -> Result<Response<SeriesResponse>, Status> {
        let bytes_of = |labels: &LabelSet| labels.as_bytes().len() + 4;
        let sets = self.gather(request.into_inner(), bytes_of, |block, query, erase, union| {
            let sets = block.series(&query.selectors, &query.range, Some(query.limit), erase)?;
            union.lock().add(sets, LabelSet::cmp, |set| set);
            Ok(())
        });
        let response = sets.await.map(|sets| {
            let labels = sets.iter().map(|labels| Bytes::copy_from_slice(labels.as_bytes()));
            SeriesResponse { labels: labels.collect() }
        });
        self.count("series", response)
    }

    async fn metadata(&self, _: Request<MetadataRequest>) -> Result<Response<MetadataResponse>, Status> {
        self.count("metadata", Err(status(ErrorKind::Invalid, "a gateway has no metadata of families")))
    }

    async fn cardinality(
        &self,
        _: Request<CardinalityRequest>,
    ) -> Result<Response<CardinalityResponse>, Status> {
        self.count("cardinality", Err(status(ErrorKind::Invalid, "a gateway has no heads")))
    }

    async fn exemplars(&self, _: Request<ExemplarsRequest>) -> Result<Response<ExemplarsResponse>, Status> {
        self.count("exemplars", Err(status(ErrorKind::Invalid, "a gateway has no exemplars")))
    }
}
