//! What only heads know: how their series are spread over names and values, and exemplars.

use model::{Cardinality, TimeRange};
use proto::connect::Channel;
use proto::convert::cardinality_from_wire;
use proto::store::CardinalityRequest;
use proto::store::store_client::StoreClient;
use storage::StorageError;

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
