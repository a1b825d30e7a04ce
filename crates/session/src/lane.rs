//! A lane: the one append stream from this process to one ingester.
//!
//! Requests of all shards share it. Results are matched by sequence number. When the stream breaks, everything that
//! waits on it fails at once and its senders try elsewhere; the next request opens a new stream.

use std::collections::HashMap;

use futures::future::BoxFuture;
use proto::connect::{Channel, MESSAGE_BYTES_MAX};
use proto::ingest::ingest_client::IngestClient;
use proto::ingest::{AppendRequest, AppendResponse};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tracing::debug;

/// How many requests may wait in a lane before its senders wait themselves.
const LANE_QUEUE_MAX: usize = 64;

/// One request and who waits for its answer.
struct Waiting {
    request: AppendRequest,
    answer: oneshot::Sender<AppendResponse>,
}

/// The sending end. Clones share the stream.
#[derive(Clone)]
pub(crate) struct Lane {
    queue: mpsc::Sender<Waiting>,
}

impl Lane {
    /// Makes a lane and the future that drives it; the lane is dead once the future ends.
    pub(crate) fn new(address: String, channel: Channel) -> (Self, BoxFuture<'static, ()>) {
        let (queue, requests) = mpsc::channel(LANE_QUEUE_MAX);
        let drive = async move {
            if let Err(reason) = drive(channel, requests).await {
                debug!(address, reason, "append stream broke");
            }
        };
        (Self { queue }, Box::pin(drive))
    }

    /// Tells whether the stream broke.
    pub(crate) fn is_dead(&self) -> bool {
        self.queue.is_closed()
    }

    /// Sends one request and waits for its answer; `None` when the stream broke, and its fate is unknown.
    pub(crate) async fn call(&self, request: AppendRequest) -> Option<AppendResponse> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(Waiting { request, answer }).await.ok()?;
        answered.await.ok()
    }
}

async fn drive(channel: Channel, mut requests: mpsc::Receiver<Waiting>) -> Result<(), String> {
    let (outgoing, stream) = mpsc::channel(LANE_QUEUE_MAX);
    let mut client = IngestClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let answer = client.append(ReceiverStream::new(stream)).await;
    let mut answers = answer.map_err(|status| status.message().to_owned())?.into_inner();
    let (mut waiting, mut sequence) = (HashMap::new(), 0u64);
    loop {
        tokio::select! {
            // Taking a request and having room to send it go together, so that answers are read meanwhile.
            (permit, request) = async { (outgoing.reserve().await, requests.recv().await) } => {
                let (Ok(permit), Some(Waiting { mut request, answer })) = (permit, request) else { return Ok(()) };
                sequence += 1;
                request.sequence = sequence;
                waiting.insert(sequence, answer);
                permit.send(request);
            }
            response = answers.message() => {
                let response = response.map_err(|status| status.message().to_owned())?;
                let Some(response) = response else { return Ok(()) };
                if let Some(answer) = waiting.remove(&response.sequence) {
                    // A sender that gave up does not wait any more; its answer is of no use to anybody else.
                    drop(answer.send(response));
                }
            }
        }
    }
}
