//! Puts the ruler together.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use config::rules::Rule;
use service::Context;
use session::Session;
use storage::Appender;
use tonic::service::Routes;
use tracing::warn;

use crate::group::Evaluator;
use crate::load::{Group, load};
use crate::metrics::RulerMetrics;
use crate::query::Queriers;
use crate::schedule::Schedule;
use crate::status::SharedStatus;
use crate::worker::Worker;
use crate::{GroupStatus, RulerConfig, RulerError};

/// One ruler.
pub struct Ruler {
    config: RulerConfig,
    context: Context,
    session: Arc<Session>,
    appender: Arc<dyn Appender>,
    metrics: RulerMetrics,
    groups: Vec<(Arc<Group>, SharedStatus)>,
}

impl Ruler {
    /// Reads the rule files and registers the metrics. The session need not have joined yet.
    ///
    /// # Errors
    /// [`RulerError::Pattern`], [`RulerError::Read`] or [`RulerError::Invalid`] when the rules cannot be used as they are.
    pub async fn build(
        config: RulerConfig,
        context: &Context,
        session: Arc<Session>,
        appender: Arc<dyn Appender>,
    ) -> Result<Self, RulerError> {
        let (config, groups) =
            tokio::task::spawn_blocking(move || load(&config).map(|groups| (config, groups)))
                .await
                .map_err(|_| RulerError::Worker("reading rule files"))??;
        let metrics = RulerMetrics::new();
        context.metrics().register(|registry| metrics.register(registry));
        let groups = groups.into_iter().map(|group| {
            let status = SharedStatus::new(&group);
            (Arc::new(group), status)
        });
        Ok(Self { groups: groups.collect(), config, context: context.clone(), session, appender, metrics })
    }

    /// Returns its own HTTP routes: none yet.
    pub fn http_routes(&self) -> Router {
        Router::new()
    }

    /// Returns its gRPC services: none, nobody asks a ruler anything.
    pub fn grpc_routes(&self) -> Option<Routes> {
        None
    }

    /// Returns all groups with how their rules fared here, in the order of file and position.
    pub fn groups(&self) -> Vec<GroupStatus> {
        self.groups.iter().map(|(_, status)| status.get()).collect()
    }

    /// Spawns a worker for each group that records something.
    pub fn start(&self) {
        self.warn_alerting();
        for (group, status) in self.groups.iter().filter(|(group, _)| group.records()) {
            let key = group.key();
            let queriers = Queriers {
                session: Arc::clone(&self.session),
                timeout: self.config.query_timeout,
                key: key.clone(),
            };
            let evaluator = Evaluator::new(
                Arc::clone(group),
                Arc::clone(&self.session),
                queriers,
                Arc::clone(&self.appender),
                self.metrics.group(group),
                status.clone(),
            );
            let schedule = Schedule::new(&group.file, &group.name, group.interval_ms);
            let worker = Worker { evaluator, schedule, lease: group.lease() };
            self.context.spawn(format!("rule group {key}"), worker.run(self.context.shutdown()));
        }
    }

    fn warn_alerting(&self) {
        let rules = self.groups.iter().flat_map(|(group, _)| &group.rules);
        let mut alerts = rules.filter_map(|rule| match rule {
            Rule::Alerting(rule) => Some(&rule.alert),
            Rule::Recording(_) => None,
        });
        if let Some(first) = alerts.next() {
            warn!(rules = alerts.count() + 1, first, "alerting rules are not evaluated yet");
        }
    }
}

/// Returns the wall clock, ms since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
