//! Matchers against the index: which series satisfy all of them.
//!
//! A matcher that does not match the empty value selects: the union of its pairs' postings. One that does, removes the
//! series that have the label with any other value, so that series without the label stay, as in Prometheus. Values known
//! beforehand are looked up; other patterns run over the label's values, or over the series left when those are fewer.

use model::Matcher;
use roaring::RoaringBitmap;

use crate::index::Index;
use crate::slots::Slots;

/// What a matcher does with the series of some pairs.
enum Step<'a> {
    /// Keep only series of one of these pairs.
    Keep(Vec<u32>),
    /// Remove the series of these pairs.
    Remove(Vec<u32>),
    /// Not known without running over the label's values.
    Scan(&'a Matcher),
}

/// Returns the slots of the series that satisfy all matchers; all series when there is none.
pub(crate) fn select(index: &Index, slots: &Slots, matchers: &[Matcher]) -> RoaringBitmap {
    let (mut keeps, mut removes, mut scans) = (Vec::new(), Vec::new(), Vec::new());
    for matcher in matchers {
        match look_up(index, matcher) {
            Step::Keep(pairs) => keeps.push(pairs),
            Step::Remove(pairs) => removes.push(pairs),
            Step::Scan(matcher) => scans.push(matcher),
        }
    }
    keeps.sort_by_cached_key(|pairs| pairs.iter().map(|pair| index.postings(*pair).len()).sum::<u64>());
    let mut found: Option<RoaringBitmap> = None;
    keeps.iter().for_each(|pairs| keep(index, pairs, &mut found));
    removes.iter().for_each(|pairs| remove(index, pairs, &mut found));
    scans.into_iter().for_each(|matcher| scan(index, slots, matcher, &mut found));
    found.unwrap_or_else(|| index.all().clone())
}

/// Resolves a matcher by looking values up, where that is possible.
fn look_up<'a>(index: &Index, matcher: &'a Matcher) -> Step<'a> {
    let Some(values) = matcher.literal_values() else { return Step::Scan(matcher) };
    let mut pairs: Vec<u32> =
        values.into_iter().filter_map(|value| index.pair_id(&matcher.name, value)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    match (matcher.is_negative(), matcher.matches_empty()) {
        (false, false) => Step::Keep(pairs),
        (true, true) => Step::Remove(pairs),
        // The empty value is among the literals: `a=""`, `a!=""`, `a=~"b|"`.
        (false, true) | (true, false) => Step::Scan(matcher),
    }
}

fn keep(index: &Index, pairs: &[u32], found: &mut Option<RoaringBitmap>) {
    if let (Some(found), [pair]) = (&mut *found, pairs) {
        return index.postings(*pair).intersect(found);
    }
    let mut union = RoaringBitmap::new();
    pairs.iter().for_each(|pair| index.postings(*pair).add_to(&mut union));
    match found {
        Some(found) => *found &= union,
        None => *found = Some(union),
    }
}

fn remove(index: &Index, pairs: &[u32], found: &mut Option<RoaringBitmap>) {
    let found = found.get_or_insert_with(|| index.all().clone());
    pairs.iter().for_each(|pair| index.postings(*pair).remove_from(found));
}

fn scan(index: &Index, slots: &Slots, matcher: &Matcher, found: &mut Option<RoaringBitmap>) {
    let Some(name) = index.name_id(&matcher.name) else {
        if !matcher.matches_empty() {
            *found = Some(RoaringBitmap::new());
        }
        return;
    };
    let pairs = index.pairs_of_name(name);
    if let Some(found) = found.as_mut().filter(|found| found.len() < pairs.len() as u64) {
        let matches = |slot: &u32| matcher.matches(value_of(index, slots, *slot, name));
        *found = found.iter().filter(matches).collect();
        return;
    }
    let keeps = !matcher.matches_empty();
    let pairs = pairs.iter().copied().filter(|pair| matcher.matches(index.value(*pair)) == keeps);
    let pairs: Vec<u32> = pairs.collect();
    if keeps { keep(index, &pairs, found) } else { remove(index, &pairs, found) }
}

/// Returns the value that a series has for a label name, or `""`.
pub(crate) fn value_of<'a>(index: &'a Index, slots: &Slots, slot: u32, name: u32) -> &'a str {
    let series = slots.get(slot).expect("postings hold slots of series");
    let pair = series.pairs.iter().find(|pair| index.name_of_pair(**pair) == name);
    pair.map_or("", |pair| index.value(*pair))
}
