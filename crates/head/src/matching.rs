//! Matchers against the index: which series satisfy all of them.
//!
//! A matcher that does not match the empty value selects: the union of its pairs' postings. One that does, removes the
//! series that have the label with any other value, so that series without the label stay, as in Prometheus. Values known
//! beforehand are looked up; other patterns run over the label's values, or over the series left when those are fewer.
//!
//! All of it goes in steps, so that a reader's view can let the writer in between. A series that comes on the way may be
//! found or not, but never against a matcher: what is to be removed is looked for after what it is removed from.

use model::Matcher;
use roaring::RoaringBitmap;

use crate::index::Index;
use crate::look::{Moved, STEP_ITEMS, View};
use crate::slots::Slots;

/// What a matcher does with the series of some pairs.
enum Step<'a> {
    /// Keep only series of one of these pairs.
    Keep(Vec<u32>),
    /// Remove the series of the pairs that the matcher names.
    Remove(&'a Matcher),
    /// Not known without running over the label's values.
    Scan(&'a Matcher),
}

/// Returns the slots of the series that satisfy all matchers; all series when there is none.
///
/// # Errors
/// Those of the view.
pub(crate) fn select(view: &mut impl View, matchers: &[Matcher]) -> Result<RoaringBitmap, Moved> {
    let (mut keeps, mut removes, mut scans) = (Vec::new(), Vec::new(), Vec::new());
    let index = &view.state().index;
    for matcher in matchers {
        match look_up(index, matcher) {
            Step::Keep(pairs) => keeps.push(pairs),
            Step::Remove(matcher) => removes.push(matcher),
            Step::Scan(matcher) => scans.push(matcher),
        }
    }
    keeps.sort_by_cached_key(|pairs| pairs.iter().map(|pair| index.postings(*pair).len()).sum::<u64>());
    let mut found: Option<RoaringBitmap> = None;
    for pairs in &keeps {
        keep(view, pairs, &mut found)?;
    }
    for matcher in removes {
        found.get_or_insert_with(|| view.state().index.all().clone());
        let pairs = literal_pairs(&view.state().index, matcher).unwrap_or_default();
        remove(view, &pairs, &mut found)?;
    }
    for matcher in scans {
        scan(view, matcher, &mut found)?;
    }
    Ok(found.unwrap_or_else(|| view.state().index.all().clone()))
}

/// Returns the pairs of the values that a matcher names, if it names its values.
fn literal_pairs(index: &Index, matcher: &Matcher) -> Option<Vec<u32>> {
    let values = matcher.literal_values()?;
    let mut pairs: Vec<u32> =
        values.into_iter().filter_map(|value| index.pair_id(&matcher.name, value)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    Some(pairs)
}

/// Resolves a matcher by looking values up, where that is possible.
fn look_up<'a>(index: &Index, matcher: &'a Matcher) -> Step<'a> {
    let Some(pairs) = literal_pairs(index, matcher) else { return Step::Scan(matcher) };
    match (matcher.is_negative(), matcher.matches_empty()) {
        (false, false) => Step::Keep(pairs),
        (true, true) => Step::Remove(matcher),
        // The empty value is among the literals: `a=""`, `a!=""`, `a=~"b|"`.
        (false, true) | (true, false) => Step::Scan(matcher),
    }
}

fn keep(view: &mut impl View, pairs: &[u32], found: &mut Option<RoaringBitmap>) -> Result<(), Moved> {
    if let (Some(found), [pair]) = (&mut *found, pairs) {
        view.state().index.postings(*pair).intersect(found);
        return view.pause();
    }
    let mut union = RoaringBitmap::new();
    for pairs in pairs.chunks(STEP_ITEMS) {
        let index = &view.state().index;
        pairs.iter().for_each(|pair| index.postings(*pair).add_to(&mut union));
        view.pause()?;
    }
    match found {
        Some(found) => *found &= union,
        None => *found = Some(union),
    }
    Ok(())
}

fn remove(view: &mut impl View, pairs: &[u32], found: &mut Option<RoaringBitmap>) -> Result<(), Moved> {
    let found = found.get_or_insert_with(|| view.state().index.all().clone());
    for pairs in pairs.chunks(STEP_ITEMS) {
        let index = &view.state().index;
        pairs.iter().for_each(|pair| index.postings(*pair).remove_from(found));
        view.pause()?;
    }
    Ok(())
}

fn scan(view: &mut impl View, matcher: &Matcher, found: &mut Option<RoaringBitmap>) -> Result<(), Moved> {
    let keeps = !matcher.matches_empty();
    if !keeps {
        // Before the values are gone through: what comes after has values of its own to be gone through.
        found.get_or_insert_with(|| view.state().index.all().clone());
    }
    let Some(name) = view.state().index.name_id(&matcher.name) else {
        if keeps {
            *found = Some(RoaringBitmap::new());
        }
        return Ok(());
    };
    // Values that come later are of series that came later: without an end here, a scan might never come to its own.
    let values = view.state().index.pairs_of_name(name).len();
    if let Some(found) = found.as_mut().filter(|found| found.len() < values as u64) {
        return scan_series(view, matcher, name, found);
    }
    let mut matching = Vec::new();
    for from in (0..values).step_by(STEP_ITEMS) {
        let index = &view.state().index;
        let step = &index.pairs_of_name(name)[from..values.min(from + STEP_ITEMS)];
        matching.extend(step.iter().copied().filter(|pair| matcher.matches(index.value(*pair)) == keeps));
        view.pause()?;
    }
    if keeps { keep(view, &matching, found) } else { remove(view, &matching, found) }
}

/// Keeps the series whose value matches.
fn scan_series(
    view: &mut impl View,
    matcher: &Matcher,
    name: u32,
    found: &mut RoaringBitmap,
) -> Result<(), Moved> {
    let slots: Vec<u32> = found.iter().collect();
    found.clear();
    for slots in slots.chunks(STEP_ITEMS) {
        let state = view.state();
        let matches = |slot: &u32| matcher.matches(value_of(&state.index, &state.slots, *slot, name));
        found.extend(slots.iter().copied().filter(matches));
        view.pause()?;
    }
    Ok(())
}

/// Returns the value that a series has for a label name, or `""`.
pub(crate) fn value_of<'a>(index: &'a Index, slots: &Slots, slot: u32, name: u32) -> &'a str {
    let series = slots.get(slot).expect("postings hold slots of series");
    let pair = series.pairs.iter().find(|pair| index.name_of_pair(**pair) == name);
    pair.map_or("", |pair| index.value(*pair))
}
