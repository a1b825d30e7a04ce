//! An ingester without heads: it accepts everything, gives references, and records samples with their labels.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use batch::{Batch, BatchOutcome, SeriesSlot};
use futures::{Stream, StreamExt};
use model::{LabelSet, MetricMetadata, SeriesRef};
use parking_lot::Mutex;
use proto::ingest::append_response::Result as Answer;
use proto::ingest::ingest_server::Ingest;
use proto::ingest::{AppendRequest, AppendResponse, DeleteRequest, DeleteResponse, Failure};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use super::Record;

/// The series of one shard, by reference.
#[derive(Default)]
struct Shard {
    labels: Vec<LabelSet>,
    references: HashMap<LabelSet, SeriesRef>,
}

pub(crate) struct FakeIngest {
    inner: Arc<Inner>,
}

struct Inner {
    shards: Mutex<HashMap<u32, Shard>>,
    records: mpsc::UnboundedSender<Record>,
    metadata: mpsc::UnboundedSender<MetricMetadata>,
    fail: Arc<AtomicBool>,
}

impl FakeIngest {
    pub(crate) fn new(
        records: mpsc::UnboundedSender<Record>,
        metadata: mpsc::UnboundedSender<MetricMetadata>,
        fail: Arc<AtomicBool>,
    ) -> Self {
        Self { inner: Arc::new(Inner { shards: Mutex::default(), records, metadata, fail }) }
    }
}

#[tonic::async_trait]
impl Ingest for FakeIngest {
    type AppendStream = Pin<Box<dyn Stream<Item = Result<AppendResponse, Status>> + Send>>;

    async fn append(
        &self,
        requests: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let inner = self.inner.clone();
        let answers = requests.into_inner().map(move |request| request.map(|request| inner.answer(&request)));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn delete(&self, _: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        Err(Status::unimplemented("scrapers delete nothing"))
    }
}

impl Inner {
    fn answer(&self, request: &AppendRequest) -> AppendResponse {
        let result = if self.fail.load(Ordering::SeqCst) {
            Answer::Failure(Failure {
                kind: "not_leader".to_owned(),
                message: "an election is held".to_owned(),
                leader_address: String::new(),
            })
        } else {
            Answer::Outcome(self.apply(request).encode())
        };
        AppendResponse { sequence: request.sequence, result: Some(result) }
    }

    fn apply(&self, request: &AppendRequest) -> BatchOutcome {
        let batch = Batch::decode(&request.batch).expect("a valid batch");
        let mut shards = self.shards.lock();
        let shard = shards.entry(request.shard).or_default();
        let declared: Vec<SeriesRef> =
            batch.declared().iter().map(|labels| shard.reference(labels)).collect();
        for sample in batch.samples() {
            let reference = match sample.series {
                SeriesSlot::Ref(reference) => reference,
                SeriesSlot::Declared(index) => declared[index as usize],
            };
            let series = shard.labels[reference.0 as usize].to_string();
            let record = Record { series, time_ms: sample.time_ms, value: sample.value, node: request.node };
            // A test that has seen enough does not listen any more.
            let _ = self.records.send(record);
        }
        for metadata in batch.metadata() {
            let _ = self.metadata.send(metadata.clone());
        }
        BatchOutcome {
            accepted: batch.samples().len() as u64,
            declared_refs: declared.into_iter().map(Some).collect(),
            ..BatchOutcome::default()
        }
    }
}

impl Shard {
    fn reference(&mut self, labels: &LabelSet) -> SeriesRef {
        let next = SeriesRef(self.labels.len() as u64);
        let reference = *self.references.entry(labels.clone()).or_insert(next);
        if reference == next {
            self.labels.push(labels.clone());
        }
        reference
    }
}
