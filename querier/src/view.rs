//! A view of all data at one catalogue version: the [`Queryable`] that a query reads from.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{Completeness, TRUNCATED, ViewSource};
use async_trait::async_trait;
use cluster::ControlState;
use model::{
    BlockId, Cardinality, ErrorKind, LabelSet, MatchOp, Matcher, MetricMetadata, SeriesExemplars, ShardId,
    TimeRange,
};
use proto::connect::Channel;
use proto::convert::matchers_to_wire;
use proto::store::store_client::StoreClient;
use proto::store::{self as wire, LabelsRequest};
use selection::{External, choose, coarse_of, merge_series};
use storage::{
    Coarse, Division, LabelRequest, Labelled, QueryMemory, Queryable, SelectRequest, SeriesSet, StorageError,
    Wanted,
};

use crate::fleet::{Answers, CallError, Fleet, Terms};
use crate::merge::{merge_values, truncate};
use crate::owners::Turn;
use crate::plan::{Plan, plan};
use crate::select::{Selected, in_time, labels_from_wire, select};
use crate::{heads, push};

/// Pins the control state as it is when a query asks for a view.
pub(crate) struct Views {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) series_max: usize,
}

impl ViewSource for Views {
    fn view(&self, completeness: Completeness) -> Arc<dyn Queryable> {
        let (state, pin) = self.fleet.session.pin();
        let external = external_of(&state);
        Arc::new(View {
            fleet: Arc::clone(&self.fleet),
            series_max: self.series_max,
            state,
            _pin: Arc::new(pin),
            external: Arc::new(external),
            partial: completeness == Completeness::Partial,
            shards: None,
            turn: self.fleet.owners.turn(),
        })
    }
}

/// Returns the external labels of a cluster; none before it was founded.
pub(crate) fn external_of(state: &ControlState) -> External {
    state.settings.as_ref().map(|settings| External::new(&settings.external_labels)).unwrap_or_default()
}

/// One pinned view.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) series_max: usize,
    pub(crate) state: Arc<ControlState>,
    /// Keeps the blocks of this version from being deleted.
    pub(crate) _pin: Arc<session::Pin>,
    pub(crate) external: Arc<External>,
    pub(crate) partial: bool,
    /// Only these, when not all.
    pub(crate) shards: Option<Arc<BTreeSet<ShardId>>>,
    pub(crate) turn: Turn,
}

/// Which of the two list calls.
#[derive(Clone, Copy)]
enum List<'a> {
    Names,
    Values(&'a str),
}

impl View {
    /// Asks everyone; when the view turns out to be too old, a newer state is there by the time that is answered.
    pub(crate) async fn settle<T>(&self, answer: Result<T, StorageError>) -> Result<T, StorageError> {
        if let Err(error) = &answer
            && error.kind == ErrorKind::Conflict
        {
            self.fleet.await_newer(self.state.version).await;
        }
        answer.map_err(|error| self.name_limit(error))
    }

    /// Returns what all questions of the view have in common.
    pub(crate) fn terms(&self) -> Terms {
        Terms { version: self.state.version, turn: self.turn, partial: self.partial }
    }

    /// Returns whom to ask.
    pub(crate) fn plan(&self, range: TimeRange) -> Result<Plan, StorageError> {
        let mut plan = plan(&self.state, range)?;
        self.shards.iter().for_each(|shards| plan.retain(shards));
        Ok(plan)
    }

    /// Leaves only the blocks that a select reads; returns what of them is coarse. Gateways choose alike.
    fn choose(&self, plan: &mut Plan, request: &SelectRequest) -> Option<Coarse> {
        let metas: Vec<_> = plan
            .blocks
            .iter()
            .filter_map(|block| self.state.catalogue.get(block.id))
            .map(|e| &e.meta)
            .collect();
        let chosen = choose(metas.iter().copied(), request.range, request.resolution);
        let ids: BTreeSet<BlockId> = chosen.iter().map(|chosen| chosen.meta.id).collect();
        plan.blocks.retain(|block| ids.contains(&block.id));
        coarse_of(&chosen)
    }

    /// Puts our own words in the place of a peer's refusal that follows from a flag here.
    fn name_limit(&self, error: StorageError) -> StorageError {
        let is_ours = error.message.contains(&format!("more than {} ", self.series_max))
            || error.message.ends_with(&format!("more than {}", self.series_max));
        if error.kind == ErrorKind::LimitExceeded && is_ours {
            return StorageError::too_many_series(self.series_max);
        }
        error
    }

    pub(crate) fn labels_request(&self, request: &LabelRequest) -> LabelsRequest {
        let selector = |matchers: &Vec<Matcher>| wire::Selector {
            matchers: matchers_to_wire(&self.external.localize(matchers)),
        };
        LabelsRequest {
            scope: None,
            selectors: request.selectors.iter().map(selector).collect(),
            start_ms: request.range.start.0,
            end_ms: request.range.end.0,
            // One more than wanted tells whether there is more.
            limit: request.limit.map_or(0, |limit| limit as u64 + 1),
            name: String::new(),
        }
    }

    async fn list(
        &self,
        list: List<'_>,
        request: &LabelRequest,
    ) -> Result<Answers<Vec<String>>, StorageError> {
        let base = self.labels_request(request);
        let call = |mut client: StoreClient<Channel>, scope| {
            let mut request = LabelsRequest { scope: Some(scope), ..base.clone() };
            async move {
                let answer = match list {
                    List::Names => in_time(client.label_names(request)).await?,
                    List::Values(name) => {
                        request.name = name.to_owned();
                        in_time(client.label_values(request)).await?
                    }
                };
                Ok(answer.into_inner().values)
            }
        };
        let plan = self.plan(request.range)?;
        let answer = self.fleet.ask(self.terms(), &plan, call).await;
        self.settle(answer).await
    }

    async fn label_sets(&self, request: &LabelRequest) -> Result<Answers<Vec<LabelSet>>, StorageError> {
        let base = self.labels_request(request);
        let call = |mut client: StoreClient<Channel>, scope| {
            let request = LabelsRequest { scope: Some(scope), ..base.clone() };
            async move {
                let labels = in_time(client.series(request)).await?.into_inner().labels;
                let labels: Result<Vec<LabelSet>, _> =
                    labels.iter().map(|bytes| labels_from_wire(bytes)).collect();
                labels.map_err(CallError::Local)
            }
        };
        let plan = self.plan(request.range)?;
        let answer = self.fleet.ask(self.terms(), &plan, call).await;
        self.settle(answer).await
    }

    /// Tells whether any series that a request selects lacks a label of its own by this name.
    async fn any_without(&self, name: &str, request: &LabelRequest) -> Result<bool, StorageError> {
        let absent = Matcher::equal(name, "");
        let mut selectors: Vec<Vec<Matcher>> = request
            .selectors
            .iter()
            .filter(|matchers| matchers.iter().all(|m| *m.name != *name || self.matches_external(m)))
            .map(|matchers| matchers.iter().filter(|m| *m.name != *name).cloned().collect())
            .collect();
        if selectors.is_empty() && !request.selectors.is_empty() {
            return Ok(false);
        }
        if selectors.is_empty() {
            selectors.push(Vec::new());
        }
        // Past the external labels' rewriting: `absent` is meant of what is stored.
        let named =
            Matcher::new(MatchOp::NotEqual, model::labels::METRIC_NAME, "").expect("no pattern to compile");
        selectors.iter_mut().for_each(|matchers| matchers.extend([named.clone()]));
        let request = LabelRequest { selectors, range: request.range, limit: Some(1) };
        let mut wire_request = self.labels_request(&request);
        let absent = proto::convert::matcher_to_wire(&absent);
        wire_request.selectors.iter_mut().for_each(|selector| selector.matchers.push(absent.clone()));
        let call = |mut client: StoreClient<Channel>, scope| {
            let request = LabelsRequest { scope: Some(scope), ..wire_request.clone() };
            async move { Ok(!in_time(client.series(request)).await?.into_inner().labels.is_empty()) }
        };
        let plan = self.plan(request.range)?;
        let answer = self.fleet.ask(self.terms(), &plan, call).await;
        Ok(self.settle(answer).await?.parts.contains(&true))
    }

    fn matches_external(&self, matcher: &Matcher) -> bool {
        matcher.matches(self.external.get(&matcher.name).unwrap_or_default())
    }
}

#[async_trait]
impl Queryable for View {
    async fn select(&self, request: &SelectRequest, memory: &QueryMemory) -> Result<SeriesSet, StorageError> {
        let series_max = request.series_limit.unwrap_or(usize::MAX).min(self.series_max);
        let base = wire::SelectRequest {
            scope: None,
            matchers: matchers_to_wire(&self.external.localize(&request.matchers)),
            start_ms: request.range.start.0,
            end_ms: request.range.end.0,
            series_limit: series_max as u64,
            newest_only: request.wanted == Wanted::Newest,
            aggregate: request.aggregate.code(),
            resolution_wish_ms: request.resolution.wish_ms,
            resolution_most_ms: request.resolution.most_ms,
        };
        let call = |client: StoreClient<Channel>, scope| {
            select(client, wire::SelectRequest { scope: Some(scope), ..base.clone() }, memory.clone())
        };
        let mut plan = self.plan(request.range)?;
        let coarse = self.choose(&mut plan, request);
        let answer = self.fleet.ask(self.terms(), &plan, call).await;
        let Answers { parts, warnings } = self.settle(answer).await?;
        let mut held = memory.empty();
        let mut lists = Vec::with_capacity(parts.len());
        for Selected { series, memory } in parts {
            held.absorb(memory);
            lists.push(series);
        }
        let series = merge_series(lists, &self.external, &request.matchers).await?;
        self.fleet.metrics.select_bytes.inc_by(held.bytes());
        self.fleet.metrics.select_series.inc_by(series.len() as u64);
        if series.len() > series_max {
            return Err(StorageError::too_many_series(series_max));
        }
        Ok(SeriesSet { series, warnings, memory: Some(Arc::new(held)), coarse })
    }

    async fn cardinality(&self, entries_max: usize) -> Result<Cardinality, StorageError> {
        heads::cardinality(self, entries_max).await
    }

    async fn exemplars(&self, request: &LabelRequest) -> Result<Vec<SeriesExemplars>, StorageError> {
        heads::exemplars(self, request).await
    }

    fn series_max(&self) -> usize {
        self.series_max
    }

    fn divisions(&self) -> Vec<Division> {
        push::divisions(self)
    }

    async fn label_names(&self, request: &LabelRequest) -> Result<Labelled<String>, StorageError> {
        let Answers { parts, warnings } = self.list(List::Names, request).await?;
        let mut values = merge_values(parts);
        if !self.external.is_empty() && !values.is_empty() {
            values = merge_values([values, self.external.names().map(str::to_owned).collect()]);
        }
        Ok(labelled(values, request.limit, warnings))
    }

    async fn label_values(
        &self,
        name: &str,
        request: &LabelRequest,
    ) -> Result<Labelled<String>, StorageError> {
        let Answers { mut parts, warnings } = self.list(List::Values(name), request).await?;
        if let Some(value) = self.external.get(name)
            && self.any_without(name, request).await?
        {
            parts.push(vec![value.to_owned()]);
        }
        Ok(labelled(merge_values(parts), request.limit, warnings))
    }

    async fn series(&self, request: &LabelRequest) -> Result<Labelled<LabelSet>, StorageError> {
        let Answers { mut parts, warnings } = self.label_sets(request).await?;
        if !self.external.is_empty() {
            parts.iter_mut().flatten().for_each(|labels| *labels = self.external.attach(labels));
            let is_meant = |labels: &LabelSet| {
                request.selectors.is_empty() || request.selectors.iter().any(|m| External::accepts(m, labels))
            };
            parts.iter_mut().for_each(|part| part.retain(is_meant));
        }
        Ok(labelled(merge_values(parts), request.limit, warnings))
    }

    async fn metadata(&self, family: Option<&str>) -> Result<Vec<MetricMetadata>, StorageError> {
        heads::metadata(self, family).await
    }
}

fn labelled<T>(mut values: Vec<T>, limit: Option<usize>, mut warnings: Vec<String>) -> Labelled<T> {
    if truncate(&mut values, limit) {
        warnings.push(TRUNCATED.to_owned());
    }
    Labelled { values, warnings }
}
