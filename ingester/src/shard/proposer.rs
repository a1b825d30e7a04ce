//! Gathers waiting batches into log entries and proposes them.
//!
//! There is no artificial delay: while entries are under way, batches gather by themselves, and the log's fsync sets the
//! pace. Entries are proposed in the order in which batches were taken.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use consensus::ConsensusError;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use model::ErrorKind;
use proto::ingest::Failure;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::command::{BATCHES_MAX, ShardCommand, decode_outcomes};
use super::replica::{Replica, Submission, failure};
use crate::transport::Addresses;

/// How many bytes of batches one entry gathers at the most (a single larger batch is an entry of its own).
const ENTRY_BYTES_MAX: usize = 1 << 20;
/// How many entries of a shard are under way at once.
const ENTRIES_IN_FLIGHT_MAX: usize = 4;

/// Runs until shutdown; what then waits is answered with a failure by dropping it.
pub(crate) async fn run(
    replica: Arc<Replica>,
    addresses: Arc<Addresses>,
    mut submissions: mpsc::Receiver<Submission>,
    shutdown: CancellationToken,
) -> Result<(), crate::IngesterError> {
    let mut under_way: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            Some(()) = under_way.next() => {}
            first = submissions.recv(), if under_way.len() < ENTRIES_IN_FLIGHT_MAX => {
                let Some(first) = first else { return Ok(()) };
                let gathered = gather(first, &mut submissions);
                under_way.push(Box::pin(propose(replica.clone(), addresses.clone(), gathered)));
            }
        }
    }
}

fn gather(first: Submission, submissions: &mut mpsc::Receiver<Submission>) -> Vec<Submission> {
    let mut bytes = first.batch.len();
    let mut gathered = vec![first];
    while bytes < ENTRY_BYTES_MAX && gathered.len() < BATCHES_MAX {
        let Ok(next) = submissions.try_recv() else { break };
        bytes += next.batch.len();
        gathered.push(next);
    }
    gathered
}

async fn propose(replica: Arc<Replica>, addresses: Arc<Addresses>, gathered: Vec<Submission>) {
    let batches = gathered.iter().map(|submission| submission.batch.clone()).collect();
    let entry = ShardCommand::Append { stamp_ms: now_ms(), batches }.encode();
    match replica.group.propose(entry).await {
        Ok(applied) => answer_all(gathered, decode_outcomes(applied.response)),
        Err(error) => {
            let refusal = consensus_failure(&error, &addresses);
            for submission in gathered {
                // Nobody waits for it any more when the client's stream broke.
                drop(submission.answer.send(Err(refusal.clone())));
            }
        }
    }
}

fn answer_all(gathered: Vec<Submission>, outcomes: Option<Vec<Bytes>>) {
    let outcomes = outcomes.filter(|outcomes| outcomes.len() == gathered.len());
    let outcomes = outcomes.expect("apply answers an append with one outcome a batch");
    for (submission, outcome) in gathered.into_iter().zip(outcomes) {
        drop(submission.answer.send(Ok(outcome)));
    }
}

/// Turns a consensus error into a wire failure that names the leader when it is known.
pub(crate) fn consensus_failure(error: &ConsensusError, addresses: &Addresses) -> Failure {
    let mut refusal = failure(error.kind(), error.to_string());
    if let ConsensusError::NotLeader { leader, .. } = error {
        refusal.kind = proto::error::row_of(ErrorKind::NotLeader).name.to_owned();
        refusal.leader_address = leader.and_then(|node| addresses.get(node)).unwrap_or_default();
    }
    refusal
}

/// Returns the wall clock in milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock stands after 1970");
    since.as_millis() as i64
}
