//! The writer: routes samples to the leaders of their shards, and waits out elections.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use batch::{BatchBuilder, BatchOutcome, Existing, RefusalKind};
use cluster::ControlState;
use futures::future::{BoxFuture, join_all};
use model::{ErrorKind, LabelSet, MetricMetadata, ShardId, Slot};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use proto::error::kind_of_name;
use proto::ingest::append_response::Result as Answer;
use proto::ingest::{AppendRequest, Failure};
use storage::{AppendOutcome, Appender, StorageError, WriteRequest};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::handle::{HandleExemplar, HandleSample, SeriesHandle};
use crate::lane::Lane;
use crate::membership::Session;
use crate::push::Pushes;

/// How many samples one batch carries at the most. A histogram counts as one more for each of its numbers.
const BATCH_SAMPLES_MAX: usize = 20_000;
/// How many floats an exemplar weighs in a batch: its series and its own labels are texts.
const EXEMPLAR_WEIGHT: usize = 20;
/// How long one attempt waits for an answer before another replica is asked.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause before asking again while no leader is known.
const ELECTION_PAUSE: Duration = Duration::from_millis(50);

/// Limits of a writer.
#[derive(Clone, Copy, Debug)]
pub struct WriterConfig {
    /// How long an append is tried, elections included, before it fails with kind `Unavailable`.
    pub deadline: Duration,
    /// How many bytes of batches may be under way; beyond, appends wait, and fail with `LimitExceeded` at the deadline.
    pub in_flight_bytes_max: usize,
}

impl Default for WriterConfig {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(30), in_flight_bytes_max: 64 << 20 }
    }
}

/// What a writer counts.
#[derive(Clone, Debug, Default)]
pub struct WriterMetrics {
    /// Samples stored or already there.
    pub samples: Counter,
    /// Samples refused for good.
    pub refused: Counter,
    /// Attempts that had to be made again.
    pub retries: Counter,
    /// Batches sent again with labels, since the shard did not know a reference.
    pub relabelled: Counter,
    /// Bytes of batches under way.
    pub in_flight_bytes: Gauge,
}

impl WriterMetrics {
    /// Registers everything under `norn_writer_`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("norn_writer");
        registry.register("samples", "Samples appended to shards", self.samples.clone());
        registry.register("samples_refused", "Samples that shards refused for good", self.refused.clone());
        registry.register("retries", "Append attempts that had to be made again", self.retries.clone());
        registry.register("batches_relabelled", "Batches sent again with labels", self.relabelled.clone());
        registry.register("in_flight_bytes", "Bytes of batches under way", self.in_flight_bytes.clone());
    }
}

/// Appends to all shards. One a process, shared.
pub struct Writer {
    session: Arc<Session>,
    config: WriterConfig,
    metrics: WriterMetrics,
    lanes: Mutex<HashMap<String, Lane>>,
    drives: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
    pending_drives: Mutex<Option<mpsc::UnboundedReceiver<BoxFuture<'static, ()>>>>,
    leaders: Mutex<HashMap<ShardId, String>>,
    in_flight: Semaphore,
    pushes: Pushes,
}

/// The part of an append that goes to one shard.
struct Part<'a> {
    shard: ShardId,
    samples: Vec<&'a HandleSample>,
    /// What counts towards [`BATCH_SAMPLES_MAX`].
    weight: usize,
    exemplars: Vec<&'a HandleExemplar>,
    metadata: Vec<&'a MetricMetadata>,
}

impl Part<'_> {
    fn empty(shard: ShardId) -> Self {
        Self { shard, samples: Vec::new(), weight: 0, exemplars: Vec::new(), metadata: Vec::new() }
    }
}

impl Writer {
    /// Makes a writer; [`Writer::run`] drives its streams.
    pub fn new(session: Arc<Session>, config: WriterConfig, metrics: WriterMetrics) -> Arc<Self> {
        let (drives, pending) = mpsc::unbounded_channel();
        Arc::new(Self {
            session,
            in_flight: Semaphore::new(config.in_flight_bytes_max),
            config,
            metrics,
            lanes: Mutex::default(),
            drives,
            pending_drives: Mutex::new(Some(pending)),
            leaders: Mutex::default(),
            pushes: Pushes::default(),
        })
    }

    /// Drives the append streams, one an ingester, until shutdown.
    ///
    /// # Panics
    /// When called twice.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut pending = self.pending_drives.lock().take().expect("a writer is run once");
        let mut drives = JoinSet::new();
        loop {
            tokio::select! {
                Some(drive) = pending.recv() => { drives.spawn(drive); }
                Some(_) = drives.join_next() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Appends samples of known series, durably. Samples of one series must be in time order, and so
    /// must exemplars.
    ///
    /// # Errors
    /// As [`Appender::append`]. Cancel-safe in the sense that the same samples may be appended again.
    pub async fn append_samples(
        &self,
        samples: &[HandleSample],
        exemplars: &[HandleExemplar],
        metadata: &[MetricMetadata],
    ) -> Result<AppendOutcome, StorageError> {
        let deadline = Instant::now() + self.config.deadline;
        let parts = self.split(samples, exemplars, metadata)?;
        let results = join_all(parts.into_iter().map(|part| self.append_part(part, deadline))).await;
        let mut total = AppendOutcome::default();
        for result in results {
            total.merge(result?);
        }
        self.metrics.samples.inc_by(total.accepted + total.duplicate);
        self.metrics.refused.inc_by(total.refused());
        Ok(total)
    }

    fn split<'a>(
        &self,
        samples: &'a [HandleSample],
        exemplars: &'a [HandleExemplar],
        metadata: &'a [MetricMetadata],
    ) -> Result<Vec<Part<'a>>, StorageError> {
        let state = self.session.state();
        let shard_of = |hash: u64| {
            let unplaced =
                || StorageError::new(ErrorKind::Unavailable, "the cluster has not placed its shards yet");
            state.shard_map.shard_of_slot(Slot::of_hash(hash)).ok_or_else(unplaced)
        };
        let mut open: BTreeMap<ShardId, Part<'a>> = BTreeMap::new();
        let mut parts = Vec::new();
        for sample in samples {
            let shard = shard_of(sample.series.hash())?;
            let part = open.entry(shard).or_insert_with(|| Part::empty(shard));
            part.samples.push(sample);
            part.weight += sample.weight();
            if part.weight >= BATCH_SAMPLES_MAX {
                parts.extend(open.remove(&shard));
            }
        }
        for exemplar in exemplars {
            let shard = shard_of(exemplar.series.hash())?;
            let part = open.entry(shard).or_insert_with(|| Part::empty(shard));
            part.exemplars.push(exemplar);
            part.weight += EXEMPLAR_WEIGHT;
            if part.weight >= BATCH_SAMPLES_MAX {
                parts.extend(open.remove(&shard));
            }
        }
        for entry in metadata {
            let shard = shard_of(
                LabelSet::from_pairs([(model::labels::METRIC_NAME, entry.family.as_str())]).stable_hash(),
            )?;
            open.entry(shard).or_insert_with(|| Part::empty(shard)).metadata.push(entry);
        }
        parts.extend(open.into_values());
        Ok(parts)
    }

    async fn append_part(&self, part: Part<'_>, deadline: Instant) -> Result<AppendOutcome, StorageError> {
        let Part { shard, mut samples, mut exemplars, mut metadata, .. } = part;
        let mut total = AppendOutcome::default();
        // The second round sends labels for references that the shard had forgotten; a third would mean that it lies.
        for _round in 0..3 {
            let (bytes, declared) = encode(shard, &samples, &exemplars, &metadata);
            let outcome = self.send(shard, bytes, deadline).await?;
            for (handle, reference) in declared.iter().zip(&outcome.declared_refs) {
                handle.set_place(reference.map(|reference| (shard, reference)));
            }
            let unknown: Vec<&HandleSample> =
                outcome.unknown_samples.iter().filter_map(|at| samples.get(*at as usize).copied()).collect();
            total.merge(summarize(&outcome, &samples));
            if unknown.is_empty() {
                return Ok(total);
            }
            unknown.iter().for_each(|sample| sample.series.set_place(None));
            self.metrics.relabelled.inc();
            // Their exemplars came before the shard knew the series.
            let series: HashSet<u64> = unknown.iter().map(|sample| sample.series.hash()).collect();
            exemplars.retain(|exemplar| series.contains(&exemplar.series.hash()));
            (samples, metadata) = (unknown, Vec::new());
        }
        Err(StorageError::new(ErrorKind::Internal, format!("shard {shard} does not accept declared series")))
    }

    /// Sends one batch until a leader answers or the deadline passes.
    async fn send(
        &self,
        shard: ShardId,
        batch: bytes::Bytes,
        deadline: Instant,
    ) -> Result<BatchOutcome, StorageError> {
        let size = batch.len().clamp(1, self.config.in_flight_bytes_max);
        let permit = self.in_flight.acquire_many(size as u32);
        let permit = tokio::time::timeout_at(deadline.into(), permit).await;
        let _permit = permit.map_err(|_| buffers_full(shard))?.expect("the semaphore is never closed");
        self.metrics.in_flight_bytes.inc_by(size as i64);
        let result = self.send_until(shard, batch, deadline).await;
        self.metrics.in_flight_bytes.dec_by(size as i64);
        result
    }

    async fn send_until(
        &self,
        shard: ShardId,
        batch: bytes::Bytes,
        deadline: Instant,
    ) -> Result<BatchOutcome, StorageError> {
        let mut last = "no replica is known".to_owned();
        let mut attempt = 0usize;
        while Instant::now() < deadline {
            let Some(address) = self.target(shard, &self.session.state(), attempt) else { break };
            let failure = match self.attempt(&address, shard, batch.clone()).await? {
                Ok(outcome) => {
                    self.leaders.lock().insert(shard, address);
                    return Ok(outcome);
                }
                Err(failure) => failure,
            };
            self.metrics.retries.inc();
            attempt += 1;
            last = format!("{address}: {}", failure.message);
            if failure.leader_address.is_empty() || failure.leader_address == address {
                self.leaders.lock().remove(&shard);
                tokio::time::sleep(ELECTION_PAUSE).await;
            } else {
                self.leaders.lock().insert(shard, failure.leader_address);
            }
        }
        Err(StorageError::new(
            ErrorKind::Unavailable,
            format!("shard {shard} has no leader that answers (last: {last})"),
        ))
    }

    /// Makes one attempt. The inner error is worth another one.
    async fn attempt(
        &self,
        address: &str,
        shard: ShardId,
        batch: bytes::Bytes,
    ) -> Result<Result<BatchOutcome, Failure>, StorageError> {
        let again = |message: &str| Failure {
            kind: String::new(),
            message: message.to_owned(),
            leader_address: String::new(),
        };
        let membership = self.session.membership();
        let (node, epoch) = membership.map_or((0, 0), |m| (m.node.0, m.epoch.0));
        let request = AppendRequest { sequence: 0, shard: shard.0, node, epoch, batch };
        let lane = self.lane(address)?;
        let answer = tokio::time::timeout(ATTEMPT_TIMEOUT, lane.call(request)).await;
        let answer = match answer {
            Ok(Some(answer)) => answer,
            Ok(None) => return Ok(Err(again("the connection broke"))),
            Err(_) => return Ok(Err(again("no answer in time"))),
        };
        match answer.result {
            Some(Answer::Outcome(bytes)) => {
                let fault = |e| {
                    StorageError::with_source(
                        ErrorKind::Internal,
                        format!("{address} sent a malformed outcome"),
                        e,
                    )
                };
                BatchOutcome::decode(&bytes).map(Ok).map_err(fault)
            }
            Some(Answer::Failure(failure)) => match kind_of_name(&failure.kind) {
                ErrorKind::NotLeader
                | ErrorKind::Unavailable
                | ErrorKind::Timeout
                | ErrorKind::LimitExceeded => Ok(Err(failure)),
                kind => Err(StorageError::new(kind, format!("shard {shard}: {}", failure.message))),
            },
            None => Ok(Err(again("an empty answer"))),
        }
    }

    /// Returns whom to ask: the known leader, else one replica after the other.
    fn target(&self, shard: ShardId, state: &ControlState, attempt: usize) -> Option<String> {
        if let Some(leader) = self.leaders.lock().get(&shard) {
            return Some(leader.clone());
        }
        let replicas = &state.shard_map.shards.get(&shard)?.replicas;
        let node = replicas.get(attempt % replicas.len().max(1))?;
        state.grpc_address(*node).map(str::to_owned)
    }

    fn lane(&self, address: &str) -> Result<Lane, StorageError> {
        let mut lanes = self.lanes.lock();
        if let Some(lane) = lanes.get(address).filter(|lane| !lane.is_dead()) {
            return Ok(lane.clone());
        }
        let invalid = |message| StorageError::new(ErrorKind::Internal, message);
        let channel = self.session.connector().channel(address).map_err(invalid)?;
        let (lane, drive) = Lane::new(address.to_owned(), channel);
        self.drives
            .send(drive)
            .map_err(|_| StorageError::new(ErrorKind::Cancelled, "the writer has stopped"))?;
        lanes.insert(address.to_owned(), lane.clone());
        Ok(lane)
    }
}

#[async_trait]
impl Appender for Writer {
    async fn append(&self, request: WriteRequest) -> Result<AppendOutcome, StorageError> {
        let WriteRequest { series, metadata } = request;
        let mut outcome = AppendOutcome::default();
        let push = self.pushes.resolve(series, &mut outcome);
        let appended = self.append_samples(&push.samples, &push.exemplars, &metadata).await;
        // Parts of a failed append may have told places as well.
        self.pushes.learn(&push);
        outcome.merge(appended?);
        Ok(outcome)
    }
}

fn buffers_full(shard: ShardId) -> StorageError {
    StorageError::new(
        ErrorKind::LimitExceeded,
        format!("too many bytes are under way to shard {shard} and others"),
    )
}

/// Encodes one batch; returns it with the handles whose labels it declares, in the order of declaration.
fn encode(
    shard: ShardId,
    samples: &[&HandleSample],
    exemplars: &[&HandleExemplar],
    metadata: &[&MetricMetadata],
) -> (bytes::Bytes, Vec<SeriesHandle>) {
    let mut builder = BatchBuilder::new();
    let mut declared: Vec<SeriesHandle> = Vec::new();
    for sample in samples {
        match sample.series.reference_in(shard) {
            Some(reference) => builder.push_ref(reference, sample.time_ms, sample.value),
            None => {
                // Samples of one series follow one another, so only the last declaration needs a look.
                let index = match declared.last() {
                    Some(last) if last.is_same(&sample.series) => declared.len() as u32 - 1,
                    _ => {
                        declared.push(sample.series.clone());
                        builder.declare(&sample.series.labels())
                    }
                };
                builder.push_declared(index, sample.time_ms, sample.value);
            }
        }
        if let Some(wide) = &sample.wide {
            builder.widen_last(wide.start_ms, wide.histogram.as_deref());
        }
    }
    exemplars.iter().for_each(|of| builder.push_exemplar(&of.series.labels(), &of.exemplar));
    metadata.iter().for_each(|entry| builder.push_metadata(entry));
    (builder.finish(), declared)
}

/// Says in Prometheus's words, where it has some (`storage/interface.go`), why a sample was refused.
fn refusal_text(kind: RefusalKind, sample: &HandleSample, existing: Option<Existing>) -> String {
    let text = match kind {
        RefusalKind::Conflicting => return conflict_text(sample, existing),
        RefusalKind::OutOfOrder => "out of order sample",
        RefusalKind::TooOld => "too old sample",
        RefusalKind::TooNew => "out of bounds: timestamp is too far in the future",
        RefusalKind::OverLimit => "per-shard series limit reached",
    };
    text.to_owned()
}

fn conflict_text(sample: &HandleSample, existing: Option<Existing>) -> String {
    let text = "duplicate sample for timestamp";
    let is_histogram = sample.wide.as_ref().is_some_and(|wide| wide.histogram.is_some());
    // Prometheus does not say what a histogram is in conflict with.
    let existing = match existing.filter(|_| !is_histogram) {
        None => return text.to_owned(),
        Some(Existing::Float(float)) => model::float::format_general(float),
        Some(Existing::Histogram) => "is a histogram".to_owned(),
    };
    let (time_ms, value) = (sample.time_ms, model::float::format_general(sample.value));
    format!("{text} {time_ms}; overrides not allowed: existing {existing}, new value {value}")
}

/// Turns the shard's counts into the port's, with the first refusal as a sentence.
fn summarize(outcome: &BatchOutcome, samples: &[&HandleSample]) -> AppendOutcome {
    let refusal = outcome.first_refusal.as_ref().and_then(|(position, kind)| {
        let sample = samples.get(*position as usize)?;
        let text = refusal_text(*kind, sample, outcome.first_existing);
        Some(format!("{text}: series {}, timestamp {}", sample.series.labels(), sample.time_ms))
    });
    AppendOutcome {
        accepted: outcome.accepted,
        duplicate: outcome.duplicate,
        conflicting: outcome.conflicting,
        out_of_order: outcome.out_of_order,
        too_old: outcome.too_old,
        too_new: outcome.too_new,
        over_limit: outcome.over_limit,
        first_refusal: refusal,
        ..AppendOutcome::default()
    }
}
