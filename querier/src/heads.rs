//! What heads are asked alone: how their series are spread over names and values, exemplars, and what metric families say of
//! themselves, which a head keeps when it forgets their samples.

use std::collections::BTreeSet;

use model::{Cardinality, ErrorKind, MetricMetadata, SeriesExemplars, TimeRange};
use proto::connect::Channel;
use proto::convert::{cardinality_from_wire, exemplars_from_wire, metadata_from_wire};
use proto::store::store_client::StoreClient;
use proto::store::{CardinalityRequest, ExemplarsRequest, MetadataRequest};
use selection::External;
use storage::{LabelRequest, StorageError};

use crate::fleet::CallError;
use crate::plan::Plan;
use crate::select::in_time;
use crate::view::View;

/// How many times as many entries each shard is asked for as are wanted, and how many at least: what is large over all
/// shards is then hardly ever missing in the answer of one, since series are spread over shards by a hash.
const ENTRIES_FACTOR: usize = 4;
const ENTRIES_MIN: usize = 1000;

/// Returns a plan of all heads and no block.
fn all_heads(view: &View) -> Result<Plan, StorageError> {
    Ok(Plan { blocks: Vec::new(), ..view.plan(TimeRange::ALL)? })
}

/// Returns the exemplars of all shards, sorted by the labels of their series.
pub(crate) async fn exemplars(
    view: &View,
    request: &LabelRequest,
) -> Result<Vec<SeriesExemplars>, StorageError> {
    let base = ExemplarsRequest {
        scope: None,
        selectors: view.labels_request(request).selectors,
        start_ms: request.range.start.0,
        end_ms: request.range.end.0,
    };
    let call = |mut client: StoreClient<Channel>, scope| {
        let request = ExemplarsRequest { scope: Some(scope), ..base.clone() };
        async move {
            let answer = in_time(client.exemplars(request)).await?.into_inner();
            exemplars_from_wire(answer).map_err(|error| {
                let text = format!("a peer sent malformed labels: {error}");
                CallError::Local(StorageError::with_source(ErrorKind::Corrupt, text, error))
            })
        }
    };
    let plan = all_heads(view)?;
    let answer = view.fleet.ask(view.terms(), &plan, call).await;
    let mut found: Vec<SeriesExemplars> = view.settle(answer).await?.parts.into_iter().flatten().collect();
    found.iter_mut().for_each(|series| series.labels = view.external.attach(&series.labels));
    found.retain(|series| request.selectors.iter().any(|m| External::accepts(m, &series.labels)));
    found.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(found)
}

/// Adds up the spreads of all shards.
pub(crate) async fn cardinality(view: &View, entries_max: usize) -> Result<Cardinality, StorageError> {
    let asked = entries_max.saturating_mul(ENTRIES_FACTOR).max(ENTRIES_MIN) as u64;
    let call = |mut client: StoreClient<Channel>, scope| {
        let request = CardinalityRequest { scope: Some(scope), entries_max: asked };
        async move { Ok(cardinality_from_wire(in_time(client.cardinality(request)).await?.into_inner())) }
    };
    let plan = all_heads(view)?;
    let answer = view.fleet.ask(view.terms(), &plan, call).await;
    let mut total = Cardinality::default();
    view.settle(answer).await?.parts.into_iter().for_each(|part| total.merge(part));
    total.metrics.truncate(entries_max);
    total.pairs.truncate(entries_max);
    Ok(total)
}

/// Returns the metadata of one family or of all, sorted, each entry once.
pub(crate) async fn metadata(view: &View, family: Option<&str>) -> Result<Vec<MetricMetadata>, StorageError> {
    let family = family.unwrap_or_default();
    let call = |mut client: StoreClient<Channel>, scope| {
        let request = MetadataRequest { scope: Some(scope), family: family.to_owned() };
        async move { Ok(in_time(client.metadata(request)).await?.into_inner().metadata) }
    };
    let plan = all_heads(view)?;
    let answer = view.fleet.ask(view.terms(), &plan, call).await;
    let entries = view.settle(answer).await?.parts.into_iter().flatten();
    Ok(entries.map(metadata_from_wire).collect::<BTreeSet<_>>().into_iter().collect())
}
