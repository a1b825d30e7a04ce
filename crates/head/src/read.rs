//! The head's labels as queries see them.

use model::{LabelSet, Matcher, MetricMetadata, SeriesExemplars, TimeRange};
use roaring::RoaringBitmap;

use crate::label_table::LabelTable;
use crate::look::{Moved, STEP_ITEMS, View};
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
        let names = self.look(|look| {
            let found = find(look, selectors, range)?;
            let ids: Vec<u32> = look.state().index.names().map(|(id, _)| id).collect();
            let mut names = Vec::new();
            for id in ids {
                if any_of_name(look, &found, id)? {
                    names.push(look.state().index.name_text(id).to_owned());
                }
            }
            Ok(names)
        });
        bounded(names, limit)
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
        let values = self.look(|look| {
            let Some(name) = look.state().index.name_id(name) else { return Ok(Vec::new()) };
            let found = find(look, selectors, range)?;
            let pairs = look.state().index.pairs_of_name(name).to_vec();
            let mut values = Vec::new();
            match found {
                Found::Some(found) if found.len() < pairs.len() as u64 => {
                    for slots in found.iter().collect::<Vec<u32>>().chunks(STEP_ITEMS) {
                        let State { index, slots: series, .. } = look.state();
                        let value_of = |slot: &u32| matching::value_of(index, series, *slot, name);
                        let held = slots.iter().map(value_of).filter(|value| !value.is_empty());
                        values.extend(held.map(str::to_owned));
                        look.pause()?;
                    }
                }
                found => {
                    for pairs in pairs.chunks(STEP_ITEMS) {
                        let index = &look.state().index;
                        let has_series = |pair: &&u32| found.touches(index.postings(**pair));
                        values.extend(
                            pairs.iter().filter(has_series).map(|pair| index.value(*pair).to_owned()),
                        );
                        look.pause()?;
                    }
                }
            }
            Ok(values)
        });
        bounded(values, limit)
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
        let mut table = self.look(|look| {
            let found = match find(look, selectors, range)? {
                Found::Some(found) => found,
                Found::All => {
                    let all = look.state().index.all().clone();
                    keep_in_range(look, all, range)?
                }
            };
            let mut table = LabelTable::default();
            for slots in found.iter().collect::<Vec<u32>>().chunks(STEP_ITEMS) {
                let state = look.state();
                for slot in slots {
                    let series = state.slots.get(*slot).expect("postings hold slots of series");
                    table.push(&state.index, &series.pairs);
                }
                look.pause()?;
            }
            Ok(table)
        });
        let count = table.len().min(limit.unwrap_or(usize::MAX));
        check_count(count)?;
        Ok(table.order().into_iter().take(count).map(|place| table.label_set(place as usize)).collect())
    }

    /// Returns the exemplars within a range of series that satisfy all matchers of one of the selectors, sorted by labels.
    /// Goes in small steps: those that come or go meanwhile may be missing.
    pub fn exemplars(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Vec<SeriesExemplars> {
        let mut series: Vec<LabelSet> = self.state.read().exemplars.series().cloned().collect();
        let meets =
            |labels: &LabelSet, matchers: &[Matcher]| matchers.iter().all(|m| m.matches(labels.get(&m.name)));
        series.retain(|labels| selectors.iter().any(|matchers| meets(labels, matchers)));
        series.sort_unstable();
        let mut found = Vec::new();
        for step in series.chunks(STEP_ITEMS) {
            let state = self.state.read();
            found.extend(step.iter().filter_map(|labels| state.exemplars.of(labels, range)));
        }
        found
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

/// Tells whether a series that is looked for has a label name.
fn any_of_name(view: &mut impl View, found: &Found, name: u32) -> Result<bool, Moved> {
    let values = view.state().index.pairs_of_name(name).len();
    for from in (0..values).step_by(STEP_ITEMS) {
        let index = &view.state().index;
        let step = &index.pairs_of_name(name)[from..values.min(from + STEP_ITEMS)];
        if step.iter().any(|pair| found.touches(index.postings(*pair))) {
            return Ok(true);
        }
        view.pause()?;
    }
    Ok(false)
}

/// Finds the series that satisfy one of the selectors and may have a sample in the range; without selectors all series,
/// when the head may have a sample in the range.
fn find(view: &mut impl View, selectors: &[Vec<Matcher>], range: TimeRange) -> Result<Found, Moved> {
    let state = view.state();
    let held = TimeRange::new(state.oldest_ms, state.newest_ms);
    if state.samples == 0 || held.intersect(&range).is_empty() {
        return Ok(Found::Some(RoaringBitmap::new()));
    }
    if selectors.is_empty() {
        return Ok(Found::All);
    }
    let mut found = RoaringBitmap::new();
    for matchers in selectors {
        found |= matching::select(view, matchers)?;
    }
    keep_in_range(view, found, range).map(Found::Some)
}

/// Removes series that have no sample in the range, as far as their first and last and what is deleted tell.
fn keep_in_range(
    view: &mut impl View,
    found: RoaringBitmap,
    range: TimeRange,
) -> Result<RoaringBitmap, Moved> {
    let mut kept = RoaringBitmap::new();
    for slots in found.iter().collect::<Vec<u32>>().chunks(STEP_ITEMS) {
        let state = view.state();
        let held = |slot| state.slots.get(slot)?.held(state.dropped_until_ms);
        let deleted = |slot| state.slots.series_ref(slot).and_then(|series| state.tombstones.of(series));
        let is_kept = |slot: &u32| {
            let held = held(*slot).map(|held| held.intersect(&range)).filter(|held| !held.is_empty());
            held.is_some_and(|held| deleted(*slot).is_none_or(|deleted| !deleted.covers(&held)))
        };
        kept.extend(slots.iter().copied().filter(is_kept));
        view.pause()?;
    }
    Ok(kept)
}

/// Sorts results, cuts them at the caller's limit, and refuses to return more than the crate's.
fn bounded(mut results: Vec<String>, limit: Option<usize>) -> Result<Vec<String>, HeadError> {
    results.sort_unstable();
    results.dedup();
    results.truncate(limit.unwrap_or(usize::MAX));
    check_count(results.len())?;
    Ok(results)
}

fn check_count(count: usize) -> Result<(), HeadError> {
    if count > RESULTS_MAX { Err(HeadError::LimitExceeded { limit: RESULTS_MAX }) } else { Ok(()) }
}
