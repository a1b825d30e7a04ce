//! Scrapes one target for as long as this process owns it.
//!
//! Life cycle: 1. wait for the next planned time; 2. ask, unless the membership's lease may have lapsed; 3. collect samples
//! on a CPU thread; 4. hand them to the delivery; and so on until told how to end. A loop that ends because the target is
//! gone leaves staleness markers; one whose target another scraper takes over leaves none.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;
use tracing::debug;

use crate::ScraperError;
use crate::collect::{Collected, Counts, collect, markers};
use crate::delivery::{Outbox, delivery};
use crate::fetch::{Answer, Fetcher};
use crate::report::Report;
use crate::role::Shared;
use crate::schedule::Schedule;
use crate::series_cache::SeriesCache;
use crate::status::{Health, LastScrape, TargetStatus};
use crate::target::Target;

/// Why a loop ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Another scraper takes over, or this process may not act any more.
    HandedOver,
    /// The target is gone.
    Removed,
}

/// One target's scraping.
struct TargetLoop {
    shared: Arc<Shared>,
    status: Arc<TargetStatus>,
    fetcher: Fetcher,
    report: Report,
    outbox: Outbox,
    /// `None` only while a CPU thread has it.
    cache: Option<Box<SeriesCache>>,
    last_start: Option<Instant>,
}

/// Scrapes until told to end, and appends what is left. A dropped sender counts as a hand-over.
pub(crate) async fn run(shared: Arc<Shared>, status: Arc<TargetStatus>, end: oneshot::Receiver<End>) {
    let (outbox, delivery) = delivery(&shared);
    let target_loop = TargetLoop {
        fetcher: Fetcher::new(&status.target),
        report: Report::new(&status.target),
        cache: Some(Box::default()),
        last_start: None,
        shared,
        status,
        outbox,
    };
    futures::future::join(target_loop.run(end), delivery.run()).await;
}

impl TargetLoop {
    async fn run(mut self, mut end: oneshot::Receiver<End>) {
        let target = self.status.target.clone();
        let schedule = Schedule::new(target.interval_ms, target.identity);
        let mut planned = schedule.next_after(now_ms());
        let reason = loop {
            tokio::select! {
                biased;
                reason = &mut end => break reason,
                () = tokio::time::sleep(schedule.wait(planned, now_ms())) => {}
            }
            if self.shared.session.membership().is_none() {
                self.shared.metrics.fenced.inc();
                planned = schedule.following(planned, now_ms());
                continue;
            }
            let time_ms = schedule.timestamp(planned, now_ms());
            let started = Instant::now();
            self.observe_interval(&target, started);
            let answer = tokio::select! {
                biased;
                reason = &mut end => break reason,
                answer = fetch(&mut self.fetcher, &target) => answer,
            };
            self.finish(answer, &target, time_ms, started).await;
            planned = schedule.following(planned, now_ms());
        };
        if reason == Ok(End::Removed) {
            self.leave_markers();
        }
    }

    fn observe_interval(&mut self, target: &Target, started: Instant) {
        if let Some(last) = self.last_start.replace(started) {
            self.shared.metrics.observe_interval(target.interval_ms, (started - last).as_secs_f64());
        }
    }

    /// Collects, reports and hands over one scrape.
    async fn finish(
        &mut self,
        answer: Result<Answer, ScraperError>,
        target: &Arc<Target>,
        time_ms: i64,
        started: Instant,
    ) {
        let (mut collected, counts, result) = self.collect(answer, target.clone(), time_ms).await;
        let duration_seconds = started.elapsed().as_secs_f64();
        let health = if result.is_ok() { Health::Up } else { Health::Down };
        let error = result.err().map(|error| {
            self.shared.metrics.count_failure(&error);
            debug!(job = target.job.job_name, url = target.url(), %error, "scrape failed");
            error.to_string()
        });
        self.status.set(LastScrape { health, error: error.unwrap_or_default(), time_ms, duration_seconds });
        collected.samples.extend(self.report.samples(target, time_ms, health, duration_seconds, counts));
        self.outbox.push(collected);
    }

    /// Runs the collection on a CPU thread; at most as many at a time as there are processors.
    async fn collect(
        &mut self,
        answer: Result<Answer, ScraperError>,
        target: Arc<Target>,
        time_ms: i64,
    ) -> (Collected, Counts, Result<(), ScraperError>) {
        let _turn = self.shared.cpu.acquire().await.expect("the semaphore is never closed");
        let mut cache = self.cache.take().expect("the cache is put back after each collection");
        if self.outbox.take_lost() {
            cache.forget_sent();
        }
        let work = tokio::task::spawn_blocking(move || {
            let done = collect(answer, &target, time_ms, &mut cache);
            let families = (!done.0.metadata.is_empty()).then(|| cache.families());
            (cache, done, families)
        });
        match work.await {
            Ok((cache, done, families)) => {
                families.into_iter().for_each(|families| self.status.set_metadata(families));
                self.cache = Some(cache);
                done
            }
            Err(fault) => {
                self.cache = Some(Box::default());
                let error = ScraperError::Internal(format!("collecting samples failed: {fault}"));
                (Collected::default(), Counts::default(), Err(error))
            }
        }
    }

    /// Ends all series of the target.
    fn leave_markers(&self) {
        let Some(cache) = &self.cache else { return };
        // Nothing was ever appended for a target that was never scraped.
        if self.last_start.is_none() {
            return;
        }
        let time_ms = now_ms();
        let samples = markers(cache.current(), time_ms).chain(self.report.markers(time_ms)).collect();
        self.outbox.push(Collected { samples, ..Collected::default() });
    }
}

/// Asks the target, unless its job has too many.
async fn fetch(fetcher: &mut Fetcher, target: &Target) -> Result<Answer, ScraperError> {
    match target.over_target_limit {
        Some(found) => Err(ScraperError::TargetLimit { found, limit: target.job.limits.targets }),
        None => fetcher.fetch(target).await,
    }
}

/// Milliseconds since the epoch by this machine's clock.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
