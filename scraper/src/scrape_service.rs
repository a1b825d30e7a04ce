//! Answers what is scraped here.

use std::sync::Arc;

use proto::scrape::scrape_server::Scrape;
use proto::scrape::{DroppedTarget, Target as WireTarget, TargetsRequest, TargetsResponse};
use tonic::{Request, Response, Status};

use crate::discovery::Dropped;
use crate::status::{Board, TargetStatus};
use crate::target::label_map;

/// The gRPC service.
pub(crate) struct ScrapeService {
    pub(crate) board: Arc<Board>,
    /// This scraper's name.
    pub(crate) name: String,
}

#[tonic::async_trait]
impl Scrape for ScrapeService {
    async fn targets(&self, _request: Request<TargetsRequest>) -> Result<Response<TargetsResponse>, Status> {
        let shown = self.board.shown();
        let mut active: Vec<WireTarget> = shown.active.values().map(|status| self.active(status)).collect();
        active.sort_by(|a, b| (&a.scrape_pool, &a.scrape_url).cmp(&(&b.scrape_pool, &b.scrape_url)));
        let dropped = shown.dropped.iter().map(dropped).collect();
        Ok(Response::new(TargetsResponse { active, dropped }))
    }
}

impl ScrapeService {
    fn active(&self, status: &TargetStatus) -> WireTarget {
        let (target, last) = (&status.target, status.last());
        WireTarget {
            scrape_pool: target.job.job_name.clone(),
            discovered_labels: label_map(&target.discovered).into_iter().collect(),
            labels: label_map(&target.labels).into_iter().collect(),
            scrape_url: target.url(),
            global_url: target.url(),
            last_error: last.error,
            last_scrape_ms: last.time_ms,
            last_scrape_duration_seconds: last.duration_seconds,
            health: last.health.as_str().to_owned(),
            scrape_interval: model::time::format_duration_ms(target.interval_ms),
            scrape_timeout: model::time::format_duration_ms(target.timeout_ms),
            scraper: self.name.clone(),
        }
    }
}

fn dropped(dropped: &Dropped) -> DroppedTarget {
    DroppedTarget {
        scrape_pool: dropped.job.clone(),
        discovered_labels: label_map(&dropped.discovered).into_iter().collect(),
    }
}
