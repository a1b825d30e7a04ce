//! Answers what is scraped here.

use std::sync::Arc;

use model::{LabelSet, MetricMetadata};
use proto::convert::target_matchers_from_wire;
use proto::scrape::scrape_server::Scrape;
use proto::scrape::{
    DroppedTarget, Target as WireTarget, TargetMetadata, TargetMetadataRequest, TargetMetadataResponse,
    TargetsRequest, TargetsResponse,
};
use tonic::{Request, Response, Status};

use crate::discovery::Dropped;
use crate::status::{Board, TargetStatus};
use crate::target::label_map;

/// From this number of families on no further targets' are told.
const METADATA_MAX: usize = 100_000;

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

    async fn metadata(
        &self,
        request: Request<TargetMetadataRequest>,
    ) -> Result<Response<TargetMetadataResponse>, Status> {
        let TargetMetadataRequest { family, matchers, limit } = request.into_inner();
        let matchers = target_matchers_from_wire(&matchers)?;
        let limit = if limit == 0 { METADATA_MAX } else { METADATA_MAX.min(limit as usize) };
        let mut shown: Vec<Arc<TargetStatus>> = self.board.shown().active.into_values().collect();
        let is_meant = |labels: &LabelSet| matchers.iter().all(|m| m.matches(labels.get(&m.name)));
        shown.retain(|status| is_meant(&status.target.labels));
        shown.sort_by(|a, b| a.target.labels.cmp(&b.target.labels));
        let mut entries = Vec::new();
        for status in shown {
            // A target's families are told all or not at all.
            if entries.len() >= limit {
                break;
            }
            let all = status.metadata();
            let told = all.iter().filter(|known| family.is_empty() || known.family == family);
            entries.extend(told.map(|known| told_metadata(&status, known)));
        }
        Ok(Response::new(TargetMetadataResponse { entries }))
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

fn told_metadata(status: &TargetStatus, known: &MetricMetadata) -> TargetMetadata {
    TargetMetadata {
        labels: label_map(&status.target.labels).into_iter().collect(),
        family: known.family.clone(),
        r#type: known.metric_type.as_str().to_owned(),
        help: known.help.clone(),
        unit: known.unit.clone(),
    }
}

fn dropped(dropped: &Dropped) -> DroppedTarget {
    DroppedTarget {
        scrape_pool: dropped.job.clone(),
        discovered_labels: label_map(&dropped.discovered).into_iter().collect(),
    }
}
