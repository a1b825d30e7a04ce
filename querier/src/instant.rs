//! The gRPC service by which roles without data, such as the ruler, evaluate instant queries. They take turns with those
//! that come over HTTP.

use std::sync::Arc;

use api::{ApiError, Completeness, Queries};
use model::ErrorKind;
use promql::{QueryOptions, Value, VectorSample};
use proto::error::status;
use proto::query::query_server::Query;
use proto::query::{InstantRequest, InstantResponse, ReachRequest, ReachResponse, Sample};
use session::Session;
use tonic::{Request, Response, Status};

use selection::External;

use crate::view::external_of;

/// Answers instant queries, complete or not at all: a rule must not record a part of the truth.
///
/// External labels are taken off again: what is recorded goes back into this cluster, where they are kept once.
pub(crate) struct InstantService {
    pub(crate) queries: Arc<Queries>,
    pub(crate) session: Arc<Session>,
}

#[tonic::async_trait]
impl Query for InstantService {
    async fn instant(&self, request: Request<InstantRequest>) -> Result<Response<InstantResponse>, Status> {
        let InstantRequest { query, time_ms } = request.into_inner();
        let run =
            async |data, options| Ok(self.queries.engine().instant(data, &query, time_ms, &options).await?);
        let result = self.queries.run(&query, Completeness::Strict, QueryOptions::default(), run).await;
        let (result, _) = result.map_err(|error: ApiError| status(error.kind(), error.to_string()))?;
        let external = external_of(&self.session.state());
        let samples = samples(result.value, &external)?;
        Ok(Response::new(InstantResponse { samples, warnings: result.warnings }))
    }

    async fn reach(&self, request: Request<ReachRequest>) -> Result<Response<ReachResponse>, Status> {
        let version = request.into_inner().version;
        let mut states = self.session.watch();
        // Whoever asks goes away after a while, and this future with it.
        let reached = states.wait_for(|state| state.version >= version).await;
        reached.map_err(|_| status(ErrorKind::Unavailable, "this querier is stopping"))?;
        Ok(Response::new(ReachResponse {}))
    }
}

#[allow(clippy::result_large_err, reason = "tonic's own error type")]
fn samples(value: Value, external: &External) -> Result<Vec<Sample>, Status> {
    match value {
        Value::Scalar { time_ms, value } => Ok(vec![Sample { time_ms, value, ..Sample::default() }]),
        Value::Vector(samples) => samples.into_iter().map(|one| sample(one, external)).collect(),
        Value::String { .. } => Err(status(ErrorKind::Invalid, "the query yields a string, not samples")),
        Value::Matrix(_) => Err(status(ErrorKind::Invalid, "the query yields a range vector, not samples")),
    }
}

#[allow(clippy::result_large_err, reason = "tonic's own error type")]
fn sample(sample: VectorSample, external: &External) -> Result<Sample, Status> {
    let VectorSample { labels, time_ms, value, histogram } = sample;
    let mut stored = Vec::new();
    if let Some(histogram) = histogram {
        if !histogram.is_storable() {
            return Err(status(
                ErrorKind::LimitExceeded,
                format!("the histogram of {labels} has too many buckets"),
            ));
        }
        histogram.write_to(&mut stored);
    }
    let labels = bytes::Bytes::copy_from_slice(external.detach(&labels).as_bytes());
    Ok(Sample { labels, time_ms, value, histogram: stored.into() })
}
