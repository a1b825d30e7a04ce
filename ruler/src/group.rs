//! Evaluates one group at one time: rule after rule, each result stored before the next rule is asked.
//!
//! Invariant: `previous` holds, for each rule, the series that were written and have not been ended by a staleness marker.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use config::rules::{RecordingRule, Rule};
use model::{LabelSet, SampleValue, stale_nan};
use service::chain;
use session::{Membership, Session};
use storage::{AppendOutcome, Appender, SeriesWrite, StorageError, WriteRequest};
use tracing::warn;

use crate::RulerError;
use crate::load::Group;
use crate::metrics::GroupMetrics;
use crate::query::Queriers;
use crate::record::name_results;
use crate::role::now_ms;
use crate::status::SharedStatus;

/// One group with what it remembers between evaluations.
pub(crate) struct Evaluator {
    pub(crate) group: Arc<Group>,
    pub(crate) session: Arc<Session>,
    pub(crate) queriers: Queriers,
    pub(crate) appender: Arc<dyn Appender>,
    pub(crate) metrics: GroupMetrics,
    pub(crate) status: SharedStatus,
    previous: Vec<HashSet<LabelSet>>,
}

/// Whether an evaluation ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evaluated {
    Whole,
    /// The membership under which the group is held ended on the way.
    Stopped,
}

impl Evaluator {
    pub(crate) fn new(
        group: Arc<Group>,
        session: Arc<Session>,
        queriers: Queriers,
        appender: Arc<dyn Appender>,
        metrics: GroupMetrics,
        status: SharedStatus,
    ) -> Self {
        let previous = vec![HashSet::new(); group.rules.len()];
        Self { group, session, queriers, appender, metrics, status, previous }
    }

    /// Forgets what was written: somebody else may have written since.
    pub(crate) fn forget(&mut self) {
        self.previous.iter_mut().for_each(HashSet::clear);
    }

    /// Evaluates all recording rules for one slot, as long as the membership stands.
    ///
    /// Cancel-safe: what is stored stays stored, and storing it again changes nothing.
    pub(crate) async fn evaluate(&mut self, slot_ms: i64, membership: Membership) -> Evaluated {
        let group = Arc::clone(&self.group);
        let (began, began_ms) = (Instant::now(), now_ms());
        let time_ms = slot_ms - group.query_offset_ms;
        let mut samples = 0;
        for (index, rule) in group.rules.iter().enumerate() {
            let Rule::Recording(rule) = rule else { continue };
            if self.session.membership() != Some(membership) {
                return Evaluated::Stopped;
            }
            samples += self.evaluate_rule(index, rule, time_ms).await;
        }
        let took = began.elapsed();
        self.status.note_group(began_ms, took);
        self.metrics.samples.set(samples as i64);
        self.metrics.last_evaluation.set(began_ms as f64 / 1000.0);
        self.metrics.last_duration.set(took.as_secs_f64());
        self.metrics.group_durations.observe(took.as_secs_f64());
        Evaluated::Whole
    }

    /// Evaluates one rule, with everything that is counted and said about it; returns the number of its series.
    async fn evaluate_rule(&mut self, index: usize, rule: &RecordingRule, time_ms: i64) -> usize {
        let (began, began_ms) = (Instant::now(), now_ms());
        let result = self.record(index, rule, time_ms).await;
        let took = began.elapsed();
        self.metrics.evaluations.inc();
        self.metrics.rule_durations.observe(took.as_secs_f64());
        let error = result.as_ref().err().map(|error| chain(error));
        if let Some(error) = &error {
            self.metrics.failures.inc();
            let (file, group) = (&self.group.file, &self.group.name);
            warn!(file, group, rule = rule.record, time_ms, error, "evaluating a rule failed");
        }
        self.status.note_rule(index, began_ms, took, error);
        result.unwrap_or(0)
    }

    async fn record(
        &mut self,
        index: usize,
        rule: &RecordingRule,
        time_ms: i64,
    ) -> Result<usize, RulerError> {
        let result = self.queriers.instant(&rule.expr, time_ms).await?;
        let named = self.name(result, rule).await?;
        let series = named.len();
        let returned: HashSet<LabelSet> = named.iter().map(|(labels, _)| labels.clone()).collect();
        let outcome = self.append(named, time_ms).await.map_err(RulerError::Append)?;
        self.warn_refused(rule, &outcome);
        let vanished = self.previous[index].iter().filter(|labels| !returned.contains(labels));
        let vanished: Vec<_> =
            vanished.map(|labels| (labels.clone(), SampleValue::Float(stale_nan()))).collect();
        // Until their markers are stored, vanished series are remembered, so that the next evaluation marks them.
        self.previous[index].extend(returned.iter().cloned());
        if !vanished.is_empty() {
            // Refused markers are no fault: another rule may write the same series by now.
            self.append(vanished, time_ms).await.map_err(RulerError::AppendStale)?;
        }
        self.previous[index] = returned;
        Ok(series)
    }

    /// Names the result's series on the CPU pool; results may have many.
    async fn name(
        &self,
        result: Vec<crate::query::QuerySample>,
        rule: &RecordingRule,
    ) -> Result<Vec<(LabelSet, SampleValue)>, RulerError> {
        let (rule, limit, state) = (rule.clone(), self.group.limit, self.session.state());
        let work = move || {
            let settings = state.settings.as_deref();
            let external = settings.map(|settings| settings.external_labels.clone()).unwrap_or_default();
            name_results(result, &rule, &external, limit)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| RulerError::Worker("naming a rule's result"))?
    }

    async fn append(
        &self,
        series: Vec<(LabelSet, SampleValue)>,
        time_ms: i64,
    ) -> Result<AppendOutcome, StorageError> {
        if series.is_empty() {
            return Ok(AppendOutcome::default());
        }
        let write = |(labels, value)| match value {
            SampleValue::Float(value) => {
                SeriesWrite { samples: vec![(time_ms, value)], ..SeriesWrite::new(labels) }
            }
            SampleValue::Histogram(value) => {
                SeriesWrite { histograms: vec![(time_ms, value)], ..SeriesWrite::new(labels) }
            }
        };
        let request = WriteRequest { series: series.into_iter().map(write).collect(), metadata: Vec::new() };
        self.appender.append(request).await
    }

    fn warn_refused(&self, rule: &RecordingRule, outcome: &AppendOutcome) {
        if outcome.refused() > 0 {
            warn!(
                file = self.group.file,
                group = self.group.name,
                rule = rule.record,
                refused = outcome.refused(),
                first = outcome.first_refusal.as_deref().unwrap_or_default(),
                "samples of a rule's result were refused"
            );
        }
    }
}
