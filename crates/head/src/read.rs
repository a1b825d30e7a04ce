//! The head's labels as queries see them.

use std::collections::BTreeSet;

use model::{LabelSet, Matcher, MetricMetadata, SeriesExemplars, TimeRange};
use roaring::RoaringBitmap;

use crate::label_table::LabelTable;
use crate::postings::Postings;
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
        let found = find(&state, selectors, range);
        let has_series = |name: u32| {
            state.index.pairs_of_name(name).iter().any(|pair| found.touches(state.index.postings(*pair)))
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
        let found = find(&state, selectors, range);
        let pairs = state.index.pairs_of_name(name);
        let values: BTreeSet<&str> = match found {
            Found::Some(found) if found.len() < pairs.len() as u64 => {
                let value_of = |slot| matching::value_of(&state.index, &state.slots, slot, name);
                found.iter().map(value_of).filter(|value| !value.is_empty()).collect()
            }
            found => {
                let has_series = |pair: &&u32| found.touches(state.index.postings(**pair));
                pairs.iter().filter(has_series).map(|pair| state.index.value(*pair)).collect()
            }
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
            let found = match find(&state, selectors, range) {
                Found::Some(found) => found,
                Found::All => keep_in_range(&state, state.index.all().clone(), range),
            };
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

    /// Returns the exemplars within a range of series that satisfy one of the selectors, sorted by labels.
    pub fn exemplars(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Vec<SeriesExemplars> {
        self.state.read().exemplars.select(selectors, range)
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

/// The series that a label request is about.
enum Found {
    All,
    Some(RoaringBitmap),
}

impl Found {
    /// Tells whether any of a pair's series is among them; every pair has series.
    fn touches(&self, postings: &Postings) -> bool {
        match self {
            Self::All => true,
            Self::Some(found) => postings.touches(found),
        }
    }
}

/// Finds the series that satisfy one of the selectors and may have a sample in the range; without selectors all series,
/// when the head may have a sample in the range.
fn find(state: &State, selectors: &[Vec<Matcher>], range: TimeRange) -> Found {
    let held = TimeRange::new(state.oldest_ms, state.newest_ms);
    if state.samples == 0 || held.intersect(&range).is_empty() {
        return Found::Some(RoaringBitmap::new());
    }
    if selectors.is_empty() {
        return Found::All;
    }
    let mut found = RoaringBitmap::new();
    selectors.iter().for_each(|matchers| found |= matching::select(&state.index, &state.slots, matchers));
    Found::Some(keep_in_range(state, found, range))
}

/// Removes series that have no sample in the range, as far as their first and last and what is deleted tell.
fn keep_in_range(state: &State, found: RoaringBitmap, range: TimeRange) -> RoaringBitmap {
    let held = |slot| state.slots.get(slot)?.held(state.dropped_until_ms);
    let deleted = |slot| state.slots.series_ref(slot).and_then(|series| state.tombstones.of(series));
    let is_kept = |slot: &u32| {
        let held = held(*slot).map(|held| held.intersect(&range)).filter(|held| !held.is_empty());
        held.is_some_and(|held| deleted(*slot).is_none_or(|deleted| !deleted.covers(&held)))
    };
    found.iter().filter(is_kept).collect()
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
