//! Puts the scraper together.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use config::ScrapeConfig;
use proto::scrape::scrape_server::ScrapeServer;
use service::Context;
use session::{Session, Writer};
use tokio::sync::{Semaphore, watch};
use tonic::service::Routes;

use crate::discovery::{TargetList, discover};
use crate::metrics::ScraperMetrics;
use crate::reconciler::Reconciler;
use crate::scrape_service::ScrapeService;
use crate::status::Board;
use crate::{ScraperConfig, ScraperError};

/// What all loops share.
pub(crate) struct Shared {
    pub(crate) session: Arc<Session>,
    pub(crate) writer: Arc<Writer>,
    pub(crate) metrics: ScraperMetrics,
    /// Turns at a processor.
    pub(crate) cpu: Semaphore,
    /// Room for samples that wait for an append.
    pub(crate) waiting: Arc<Semaphore>,
    /// How long they may wait.
    pub(crate) retry_for: Duration,
}

/// One scraper.
pub struct Scraper {
    context: Context,
    shared: Arc<Shared>,
    board: Arc<Board>,
    targets: watch::Sender<Arc<TargetList>>,
}

impl Scraper {
    /// Makes a scraper. It appends through `writer`, which somebody else runs, as the session.
    ///
    /// # Errors
    /// [`ScraperError::BadTarget`] when the configuration leaves no room for even one sample.
    pub async fn build(
        config: ScraperConfig,
        context: &Context,
        session: Arc<Session>,
        writer: Arc<Writer>,
    ) -> Result<Self, ScraperError> {
        if config.waiting_samples_max == 0 {
            return Err(ScraperError::BadTarget("waiting_samples_max must not be 0".to_owned()));
        }
        let metrics = context.metrics().register(ScraperMetrics::register);
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let shared = Arc::new(Shared {
            session,
            writer,
            metrics,
            cpu: Semaphore::new(processors),
            waiting: Arc::new(Semaphore::new(config.waiting_samples_max.min(Semaphore::MAX_PERMITS))),
            retry_for: config.retry_for,
        });
        let targets = watch::Sender::new(Arc::new(discover(&config.jobs)));
        Ok(Self { context: context.clone(), shared, board: Arc::default(), targets })
    }

    /// Replaces the jobs. Targets that stay the same go on undisturbed; those that are gone leave staleness markers.
    pub fn set_jobs(&self, jobs: &[ScrapeConfig]) {
        self.targets.send_replace(Arc::new(discover(jobs)));
    }

    /// Returns no routes: a scraper has none beyond those of every process.
    pub fn http_routes(&self) -> Router {
        Router::new()
    }

    /// Returns the gRPC service that tells of the targets.
    pub fn grpc_routes(&self) -> Option<Routes> {
        let name = self.shared.session.config().name.clone();
        let service = ScrapeService { board: self.board.clone(), name };
        Some(Routes::new(ScrapeServer::new(service)))
    }

    /// Spawns the workers. Keep the scraper: dropping it ends them.
    pub fn start(&self) {
        let reconciler =
            Reconciler::new(self.shared.clone(), self.board.clone(), self.targets.subscribe(), &self.context);
        self.context.spawn("scraper", reconciler.run(self.context.shutdown()));
    }
}
