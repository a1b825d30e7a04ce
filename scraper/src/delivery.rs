//! Appends what one target said, scrape by scrape in order, and waits out elections.
//!
//! Scraping goes on meanwhile: scrapes queue up, bounded by their number for each target and by their samples for all
//! targets together. What does not fit, or waits too long, is dropped and counted; nothing else is affected.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto::error::row_of;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::collect::Collected;
use crate::metrics::DropReason;
use crate::role::Shared;

/// How many scrapes of one target may wait.
const WAITING_SCRAPES_MAX: usize = 64;
/// The pause before an append is tried again; the writer itself waits out an election before it fails.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long the last appends of an ended loop may take.
const LAST_APPENDS: Duration = Duration::from_secs(2);

/// One scrape's samples, under way.
struct Load {
    collected: Collected,
    scraped: Instant,
    _permit: OwnedSemaphorePermit,
}

/// The end that takes scrapes. Dropping it ends the delivery after what waits was appended.
pub(crate) struct Outbox {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Load>,
    ended: CancellationToken,
    lost: Arc<AtomicBool>,
}

/// The end that appends.
pub(crate) struct Delivery {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Load>,
    ended: CancellationToken,
    lost: Arc<AtomicBool>,
}

/// Makes both ends for one target.
pub(crate) fn delivery(shared: &Arc<Shared>) -> (Outbox, Delivery) {
    let (sender, receiver) = mpsc::channel(WAITING_SCRAPES_MAX);
    let ended = CancellationToken::new();
    let lost = Arc::<AtomicBool>::default();
    let outbox = Outbox { shared: shared.clone(), queue: sender, ended: ended.clone(), lost: lost.clone() };
    (outbox, Delivery { shared: shared.clone(), queue: receiver, ended, lost })
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

impl Outbox {
    /// Takes a scrape's samples, or drops and counts them when too much waits already.
    pub(crate) fn push(&self, collected: Collected) {
        let samples = collected.samples.len();
        let weight = u32::try_from(samples).unwrap_or(u32::MAX);
        let permit = self.shared.waiting.clone().try_acquire_many_owned(weight);
        let load = permit.map(|permit| Load { collected, scraped: Instant::now(), _permit: permit });
        let taken = load.is_ok_and(|load| self.queue.try_send(load).is_ok());
        if taken {
            self.shared.metrics.waiting_samples.inc_by(samples as i64);
        } else {
            self.lost.store(true, Ordering::Relaxed);
            self.shared.metrics.count_dropped(DropReason::BufferFull, samples);
        }
    }

    /// Tells, once, whether something was dropped since it was last asked: metadata among it must be sent again.
    pub(crate) fn take_lost(&self) -> bool {
        self.lost.swap(false, Ordering::Relaxed)
    }
}

impl Delivery {
    /// Appends until the outbox is gone and the queue is empty; after the outbox's end only for a short time.
    pub(crate) async fn run(mut self) {
        let ended = self.ended.clone();
        let overdue = async {
            ended.cancelled().await;
            tokio::time::sleep(LAST_APPENDS).await;
        };
        let mut under_way = 0;
        tokio::select! {
            () = self.append_all(&mut under_way) => return,
            () = overdue => {}
        }
        self.gave_up(DropReason::Ended, under_way);
        while let Ok(load) = self.queue.try_recv() {
            self.gave_up(DropReason::Ended, load.collected.samples.len());
        }
    }

    async fn append_all(&mut self, under_way: &mut usize) {
        while let Some(load) = self.queue.recv().await {
            *under_way = load.collected.samples.len();
            match self.append(&load).await {
                None => {
                    self.shared.metrics.waiting_samples.dec_by(*under_way as i64);
                }
                Some(reason) => self.gave_up(reason, *under_way),
            }
            *under_way = 0;
        }
    }

    /// Appends one scrape; returns why it could not.
    async fn append(&self, load: &Load) -> Option<DropReason> {
        let Collected { samples, exemplars, metadata } = &load.collected;
        loop {
            let error = match self.shared.writer.append_samples(samples, exemplars, metadata).await {
                Ok(outcome) => {
                    self.shared.metrics.count_outcome(&outcome);
                    if let Some(refusal) = outcome.first_refusal {
                        debug!(refusal, "samples were refused");
                    }
                    return None;
                }
                Err(error) => error,
            };
            let kind = row_of(error.kind);
            // A full buffer empties; the error table is made for callers that are not asked to wait.
            if !kind.retry && error.kind != model::ErrorKind::LimitExceeded {
                warn!(%error, samples = samples.len(), "append failed");
                return Some(DropReason::Refused);
            }
            if load.scraped.elapsed() > self.shared.retry_for {
                warn!(%error, samples = samples.len(), "samples waited too long for an append");
                return Some(DropReason::TooOld);
            }
            self.shared.metrics.append_retries.inc();
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    fn gave_up(&self, reason: DropReason, samples: usize) {
        self.lost.store(true, Ordering::Relaxed);
        self.shared.metrics.waiting_samples.dec_by(samples as i64);
        self.shared.metrics.count_dropped(reason, samples);
    }
}
