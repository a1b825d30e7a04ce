//! The handle to one replica: what services use.

use std::sync::Arc;

use batch::Batch;
use bytes::Bytes;
use consensus::Group;
use head::Head;
use model::{ErrorKind, ShardId};
use proto::ingest::Failure;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::machine::{SealedWindow, Shared};

/// How many bytes of batches may wait for one shard's log; beyond, writers are told to come back.
pub(crate) const QUEUE_BYTES_MAX: usize = 32 << 20;
/// How many batches may wait; the bytes are the real bound.
pub(crate) const QUEUE_BATCHES_MAX: usize = 4096;

/// One batch on its way into the log.
pub(crate) struct Submission {
    pub(crate) batch: Bytes,
    pub(crate) answer: oneshot::Sender<Result<Bytes, Failure>>,
    /// Gives the bytes back when the batch is answered.
    pub(crate) _room: OwnedSemaphorePermit,
}

/// A replica on this node.
pub(crate) struct Replica {
    pub(crate) shard: ShardId,
    pub(crate) group: Group,
    shared: Arc<Shared>,
    queue: mpsc::Sender<Submission>,
    room: Arc<Semaphore>,
}

impl Replica {
    /// Makes the handle and the receiving end of its queue.
    pub(crate) fn new(
        shard: ShardId,
        group: Group,
        shared: Arc<Shared>,
    ) -> (Arc<Self>, mpsc::Receiver<Submission>) {
        let (queue, submissions) = mpsc::channel(QUEUE_BATCHES_MAX);
        let room = Arc::new(Semaphore::new(QUEUE_BYTES_MAX));
        (Arc::new(Self { shard, group, shared, queue, room }), submissions)
    }

    /// Returns the head as it is now; a snapshot may replace it later.
    pub(crate) fn head(&self) -> Arc<Head> {
        self.shared.head.load_full()
    }

    /// Returns a receiver of the frozen window.
    pub(crate) fn sealed(&self) -> watch::Receiver<Option<SealedWindow>> {
        self.shared.sealed.subscribe()
    }

    /// Returns a receiver that wakes after each dropped window.
    pub(crate) fn drops(&self) -> watch::Receiver<u64> {
        self.shared.drops.subscribe()
    }

    /// Queues a batch and returns where its outcome will arrive; waits only for a place in the queue.
    ///
    /// # Errors
    /// A [`Failure`] when the batch is malformed or its shard's queue is full.
    pub(crate) async fn submit(
        &self,
        batch: Bytes,
    ) -> Result<oneshot::Receiver<Result<Bytes, Failure>>, Failure> {
        if let Err(fault) = Batch::decode(&batch) {
            return Err(failure(ErrorKind::Invalid, fault.to_string()));
        }
        let full = || {
            failure(
                ErrorKind::LimitExceeded,
                format!("{QUEUE_BYTES_MAX} bytes wait for shard {}", self.shard),
            )
        };
        let size = batch.len().clamp(1, QUEUE_BYTES_MAX) as u32;
        let room = self.room.clone().try_acquire_many_owned(size).map_err(|_| full())?;
        let (answer, outcome) = oneshot::channel();
        let submission = Submission { batch, answer, _room: room };
        self.queue
            .send(submission)
            .await
            .map_err(|_| failure(ErrorKind::Unavailable, "this node is stopping"))?;
        Ok(outcome)
    }
}

/// Makes a wire failure without a leader.
pub(crate) fn failure(kind: ErrorKind, message: impl Into<String>) -> Failure {
    let name = proto::error::row_of(kind).name;
    Failure { kind: name.to_owned(), message: message.into(), leader_address: String::new() }
}
