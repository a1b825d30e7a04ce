//! The head's labels as queries see them.

use std::collections::BTreeSet;

use model::{LabelSet, Matcher, MetricMetadata, TimeRange};
use roaring::RoaringBitmap;

use crate::label_table::LabelTable;
use crate::state::State;
use crate::{Head, HeadError, matching};

/// The most label names, values or label sets that one call returns.
pub const RESULTS_MAX: usize = 5_000_000;

impl Head {
    /// Returns the names of labels, sorted, at most `limit`: of series that satisfy a selector and may have a sample in
    /// `range`; without selectors of all series, when the head has samples in `range`.
    ///
    /// # Errors
    /// [`HeadError::LimitExceeded`] for more than [`RESULTS_MAX`].
    pub fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: Option<usize>,
    ) -> Result<Vec<String>, HeadError> {
        let state = self.state.read();
        let found = select_any(&state, selectors, range);
        let has_series = |name: u32| {
            state.index.pairs_of_name(name).iter().any(|pair| state.index.postings(*pair).touches(&found))
        };
        let names = state.index.names().filter(|(id, _)| has_series(*id)).map(|(_, name)| name);
        bounded(names.collect(), limit, str::to_owned)
    }

    /// Returns the values of one label, sorted, at most `limit`; of which series, see [`Head::label_names`].
    ///
    /// # Errors
    /// [`HeadError::LimitExceeded`] for more than [`RESULTS_MAX`].
    pub fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: Option<usize>,
    ) -> Result<Vec<String>, HeadError> {
        let state = self.state.read();
        let Some(name) = state.index.name_id(name) else { return Ok(Vec::new()) };
        let found = select_any(&state, selectors, range);
        let pairs = state.index.pairs_of_name(name);
        let values: BTreeSet<&str> = if found.len() < pairs.len() as u64 {
            let values = found.iter().map(|slot| matching::value_of(&state.index, &state.slots, slot, name));
            values.filter(|value| !value.is_empty()).collect()
        } else {
            let has_series = |pair: &&u32| state.index.postings(**pair).touches(&found);
            pairs.iter().filter(has_series).map(|pair| state.index.value(*pair)).collect()
        };
        bounded(values, limit, str::to_owned)
    }

    /// Returns label sets, sorted, at most `limit`, of series that satisfy a selector, or of all without selectors, and
    /// may have a sample in `range`.
    ///
    /// # Errors
    /// [`HeadError::LimitExceeded`] for more than [`RESULTS_MAX`].
    pub fn series(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: Option<usize>,
    ) -> Result<Vec<LabelSet>, HeadError> {
        let mut table = LabelTable::default();
        {
            let state = self.state.read();
            let mut found = select_any(&state, selectors, range);
            if selectors.is_empty() {
                keep_in_range(&state, &mut found, range);
            }
            table.resume(&state.index);
            for slot in &found {
                let series = state.slots.get(slot).expect("postings hold slots of series");
                table.push(&state.index, &series.pairs);
            }
        }
        let count = table.len().min(limit.unwrap_or(usize::MAX));
        check_count(count)?;
        Ok(table.order().into_iter().take(count).map(|place| table.label_set(place as usize)).collect())
    }

    /// Returns metadata of one family or of all, families in order.
    pub fn metadata(&self, family: Option<&str>) -> Vec<MetricMetadata> {
        self.state.read().metadata.get(family)
    }
}

/// Refuses a caller whose blocks end before what has been dropped here. As long as they do not, a series that is removed
/// while a query runs had no sample for it.
pub(crate) fn check_fresh(state: &State, from_ms: i64) -> Result<(), HeadError> {
    let dropped_until_ms = state.dropped_until_ms;
    if from_ms < dropped_until_ms { Err(HeadError::Stale { from_ms, dropped_until_ms }) } else { Ok(()) }
}

/// Returns the series that satisfy one of the selectors and may have a sample in the range; without selectors all
/// series, when the head may have a sample in the range.
fn select_any(state: &State, selectors: &[Vec<Matcher>], range: TimeRange) -> RoaringBitmap {
    let held = TimeRange::new(state.oldest_ms, state.newest_ms);
    if state.samples == 0 || held.intersect(&range).is_empty() {
        return RoaringBitmap::new();
    }
    if selectors.is_empty() {
        return state.index.all().clone();
    }
    let mut found = RoaringBitmap::new();
    selectors.iter().for_each(|matchers| found |= matching::select(&state.index, &state.slots, matchers));
    keep_in_range(state, &mut found, range);
    found
}

/// Removes series that have no sample in the range, as far as their first and last tell.
fn keep_in_range(state: &State, found: &mut RoaringBitmap, range: TimeRange) {
    let held = |slot| {
        let series = state.slots.get(slot)?;
        Some(TimeRange::new(series.first_ms()?.max(state.dropped_until_ms), series.newest_ms()?))
    };
    let is_kept = |slot: &u32| held(*slot).is_some_and(|held| !held.intersect(&range).is_empty());
    *found = found.iter().filter(is_kept).collect();
}

/// Cuts sorted results at the caller's limit and refuses to return more than the crate's.
fn bounded<T, U>(
    results: BTreeSet<T>,
    limit: Option<usize>,
    convert: impl Fn(T) -> U,
) -> Result<Vec<U>, HeadError> {
    let count = results.len().min(limit.unwrap_or(usize::MAX));
    check_count(count)?;
    Ok(results.into_iter().take(count).map(convert).collect())
}

fn check_count(count: usize) -> Result<(), HeadError> {
    if count > RESULTS_MAX { Err(HeadError::LimitExceeded { limit: RESULTS_MAX }) } else { Ok(()) }
}
