//! The targets of the whole cluster: every live scraper is asked for its own.

use std::sync::Arc;
use std::time::Duration;

use api::{ActiveTarget, DroppedTarget, TargetMetadata, Targets, TargetsMetadata, TargetsSource};
use async_trait::async_trait;
use cluster::{Member, Role};
use futures::future::join_all;
use model::{Matcher, MetricMetadata, MetricType};
use proto::connect::{Channel, MESSAGE_BYTES_MAX};
use proto::convert::target_matchers_to_wire;
use proto::scrape::scrape_client::ScrapeClient;
use proto::scrape::{self as wire, TargetMetadataRequest, TargetsRequest, TargetsResponse};
use session::Session;
use storage::StorageError;
use tokio::time::error::Elapsed;
use tonic::{Response, Status};

/// How long a scraper may take to tell its targets.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the scrapers.
pub(crate) struct Scrapers {
    pub(crate) session: Arc<Session>,
}

impl Scrapers {
    async fn ask(&self, scraper: &Member) -> Result<TargetsResponse, String> {
        let mut client = self.client(scraper)?;
        told(tokio::time::timeout(ANSWER_TIMEOUT, client.targets(TargetsRequest {})).await)
    }

    fn client(&self, scraper: &Member) -> Result<ScrapeClient<Channel>, String> {
        let channel = self.session.connector().channel(&scraper.grpc_address)?;
        Ok(ScrapeClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }
}

/// Returns what a scraper told, or why it did not.
fn told<T>(answer: Result<Result<Response<T>, Status>, Elapsed>) -> Result<T, String> {
    let answer = answer.map_err(|_| format!("no answer within {} seconds", ANSWER_TIMEOUT.as_secs()))?;
    answer.map(Response::into_inner).map_err(|status| status.message().to_owned())
}

fn missing(scraper: &Member, reason: &str) -> String {
    let place = format!("scraper {} at {}", scraper.name, scraper.grpc_address);
    format!("partial result: {place} does not answer: {reason}")
}

fn target_metadata(entry: wire::TargetMetadata) -> TargetMetadata {
    TargetMetadata {
        labels: entry.labels.into_iter().collect(),
        metadata: MetricMetadata {
            metric_type: MetricType::parse(&entry.r#type).unwrap_or_default(),
            family: entry.family,
            help: entry.help,
            unit: entry.unit,
        },
    }
}

#[async_trait]
impl TargetsSource for Scrapers {
    async fn targets(&self) -> Result<Targets, StorageError> {
        let state = self.session.state();
        let scrapers: Vec<&Member> = state.live(Role::Scraper).collect();
        let answers = join_all(scrapers.iter().map(|scraper| self.ask(scraper))).await;
        let mut targets = Targets::default();
        for (scraper, answer) in scrapers.into_iter().zip(answers) {
            match answer {
                Ok(answer) => {
                    targets.active.extend(answer.active.into_iter().map(active));
                    targets.dropped.extend(answer.dropped.into_iter().map(dropped));
                }
                Err(reason) => targets.warnings.push(missing(scraper, &reason)),
            }
        }
        // Every scraper discovers everything, so each tells of the same dropped targets.
        let key = |target: &DroppedTarget| (target.scrape_pool.clone(), target.discovered_labels.clone());
        targets.dropped.sort_by_cached_key(key);
        targets.dropped.dedup();
        Ok(targets)
    }

    async fn metadata(
        &self,
        family: &str,
        matchers: &[Matcher],
        limit: Option<usize>,
    ) -> Result<TargetsMetadata, StorageError> {
        let request = TargetMetadataRequest {
            family: family.to_owned(),
            matchers: target_matchers_to_wire(matchers),
            limit: limit.unwrap_or_default() as u64,
        };
        let state = self.session.state();
        let scrapers: Vec<&Member> = state.live(Role::Scraper).collect();
        let ask = async |scraper: &Member| {
            let mut client = self.client(scraper)?;
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, client.metadata(request.clone())).await;
            told(answer)
        };
        let answers = join_all(scrapers.iter().map(|scraper| ask(scraper))).await;
        let mut found = TargetsMetadata::default();
        for (scraper, answer) in scrapers.into_iter().zip(answers) {
            match answer {
                Ok(answer) => found.entries.extend(answer.entries.into_iter().map(target_metadata)),
                Err(reason) => found.warnings.push(missing(scraper, &reason)),
            }
        }
        // Families of one target stay together.
        found.entries.sort_by(|a, b| (&a.labels, &a.metadata).cmp(&(&b.labels, &b.metadata)));
        Ok(found)
    }
}

fn active(target: wire::Target) -> ActiveTarget {
    ActiveTarget {
        scrape_pool: target.scrape_pool,
        discovered_labels: target.discovered_labels.into_iter().collect(),
        labels: target.labels.into_iter().collect(),
        scrape_url: target.scrape_url,
        global_url: target.global_url,
        last_error: target.last_error,
        last_scrape_ms: (target.last_scrape_ms != 0).then_some(target.last_scrape_ms),
        last_scrape_duration_seconds: target.last_scrape_duration_seconds,
        health: target.health,
        scrape_interval: target.scrape_interval,
        scrape_timeout: target.scrape_timeout,
        scraper: target.scraper,
    }
}

fn dropped(target: wire::DroppedTarget) -> DroppedTarget {
    DroppedTarget {
        scrape_pool: target.scrape_pool,
        discovered_labels: target.discovered_labels.into_iter().collect(),
    }
}
