//! Instant queries at the cluster's queriers.

use std::sync::Arc;
use std::time::Duration;

use cluster::{Role, rendezvous};
use model::varint::Cursor;
use model::{ErrorKind, FloatHistogram, LabelSet, SampleValue};
use proto::connect::{Connector, MESSAGE_BYTES_MAX};
use proto::error::{kind_of_status, row_of};
use proto::query::query_client::QueryClient;
use proto::query::{InstantRequest, InstantResponse};
use session::Session;
use tonic::{Code, Status};
use tracing::warn;

use crate::RulerError;

/// One sample of a result; all have the time that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct QuerySample {
    pub(crate) labels: LabelSet,
    pub(crate) value: SampleValue,
}

/// Asks one live querier after the other.
#[derive(Clone)]
pub(crate) struct Queriers {
    pub(crate) session: Arc<Session>,
    pub(crate) timeout: Duration,
    /// Spreads groups over queriers: each has its own order of preference.
    pub(crate) key: String,
}

impl Queriers {
    /// Evaluates a query at one time.
    ///
    /// # Errors
    /// [`RulerError::Query`]: a querier's refusal, or what the last one said when none could answer.
    pub(crate) async fn instant(&self, query: &str, time_ms: i64) -> Result<Vec<QuerySample>, RulerError> {
        let mut last =
            RulerError::Query { kind: ErrorKind::Unavailable, message: "no querier is live".to_owned() };
        for address in self.addresses() {
            let request = InstantRequest { query: query.to_owned(), time_ms };
            let status = match self.ask(&address, request).await {
                Ok(response) => return decode(&address, response),
                Err(status) => status,
            };
            let kind = kind_of_status(&status);
            let message = format!("{address}: {}", status.message());
            if !row_of(kind).retry {
                return Err(RulerError::Query { kind, message: status.message().to_owned() });
            }
            warn!(address, query, error = status.message(), "a querier does not answer; asking the next one");
            last = RulerError::Query { kind, message };
        }
        Err(last)
    }

    fn addresses(&self) -> Vec<String> {
        let state = self.session.state();
        let live = state.live(Role::Querier).map(|member| member.node);
        let preferred = rendezvous::preference(self.key.as_bytes(), live);
        preferred.into_iter().filter_map(|node| state.grpc_address(node).map(str::to_owned)).collect()
    }

    async fn ask(&self, address: &str, request: InstantRequest) -> Result<InstantResponse, Status> {
        let connector: &Connector = self.session.connector();
        let channel =
            connector.channel(address).map_err(|message| Status::new(Code::Unavailable, message))?;
        let mut client = QueryClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        match tokio::time::timeout(self.timeout, client.instant(request)).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(Status::new(Code::DeadlineExceeded, "no answer in time")),
        }
    }
}

fn decode(address: &str, response: InstantResponse) -> Result<Vec<QuerySample>, RulerError> {
    for warning in &response.warnings {
        warn!(address, warning, "a rule's query was answered with a warning");
    }
    let malformed = |what: &str, error: &dyn std::fmt::Display| RulerError::Query {
        kind: ErrorKind::Internal,
        message: format!("{address} sent a malformed {what}: {error}"),
    };
    let sample = |sample: proto::query::Sample| {
        let labels = LabelSet::from_bytes(&sample.labels).map_err(|error| malformed("label set", &error))?;
        if sample.histogram.is_empty() {
            return Ok(QuerySample { labels, value: SampleValue::Float(sample.value) });
        }
        let histogram = FloatHistogram::read_from(&mut Cursor::new(&sample.histogram));
        let histogram = histogram.map_err(|error| malformed("histogram", &error))?;
        Ok(QuerySample { labels, value: SampleValue::Histogram(Arc::new(histogram)) })
    };
    response.samples.into_iter().map(sample).collect()
}
