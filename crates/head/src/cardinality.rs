//! How the head's series are spread over names and values, for people who look for what costs memory.

use model::cardinality::{Distinct, LabelCount, NameCount, sort_counts};
use model::labels::METRIC_NAME;
use model::{Cardinality, TimeRange};
use xxhash_rust::xxh3::xxh3_64;

use crate::Head;
use crate::index::Index;
use crate::look::{Moved, STEP_ITEMS, View};
use crate::state::State;

/// How many series are looked at before waiting writers are let in.
const SLICE_SERIES: u32 = 4096;
/// How many hashes of values one answer holds; labels with few values come first.
const ANSWER_HASHES_MAX: usize = 1 << 18;
/// The most label names of one answer.
const LABELS_MAX: usize = 10_000;

impl Head {
    /// Counts series, at most `entries_max` metrics and pairs. Linear in series and label pairs; CPU-bound.
    pub fn cardinality(&self, entries_max: usize) -> Cardinality {
        let chunks = self.chunks();
        let mut cardinality = self.look(|look| count(look, entries_max));
        cardinality.chunks = chunks;
        cardinality.labels.sort_unstable_by_key(|label| (label.values.count(), label.name.clone()));
        let mut hashes = 0;
        for label in &mut cardinality.labels {
            hashes += label.values.hashes().len();
            if hashes > ANSWER_HASHES_MAX {
                label.values.forget_hashes();
            }
        }
        cardinality.labels.reverse();
        cardinality.labels.truncate(LABELS_MAX);
        cardinality
    }

    fn chunks(&self) -> u64 {
        let (mut chunks, mut next) = (0, 0);
        loop {
            let state = self.state.read();
            if next >= state.slots.len() {
                return chunks;
            }
            let slots = next..state.slots.len().min(next + SLICE_SERIES);
            next = slots.end;
            chunks +=
                slots.filter_map(|slot| state.slots.get(slot)).map(|series| series.chunks()).sum::<u64>();
        }
    }
}

/// A pair, behind the number of its series.
type Counted = (u64, u32);

/// Counts all but chunks; labels come in no order.
pub(crate) fn count(view: &mut impl View, entries_max: usize) -> Result<Cardinality, Moved> {
    let State { index, samples, oldest_ms, newest_ms, .. } = view.state();
    let mut out = Cardinality {
        series: index.all().len(),
        range: (*samples > 0).then(|| TimeRange::new(*oldest_ms, *newest_ms)),
        ..Cardinality::default()
    };
    let names: Vec<u32> = index.names().map(|(id, _)| id).collect();
    let mut all: Vec<Counted> = Vec::new();
    for id in names {
        let (label, mut pairs) = count_name(view, id)?;
        keep_largest(&mut pairs, entries_max);
        if label.name == METRIC_NAME {
            out.metrics = named(view, &pairs, |index, pair| index.value(pair).to_owned())?;
        }
        all.append(&mut pairs);
        out.labels.push(label);
    }
    keep_largest(&mut all, entries_max);
    let text =
        |index: &Index, pair| format!("{}={}", index.name_text(index.name_of_pair(pair)), index.value(pair));
    out.pairs = named(view, &all, text)?;
    Ok(out)
}

/// Counts one label name; returns its pairs, too.
fn count_name(view: &mut impl View, id: u32) -> Result<(LabelCount, Vec<Counted>), Moved> {
    let index = &view.state().index;
    let (name, count) = (index.name_text(id).to_owned(), index.pairs_of_name(id).len());
    let (mut pairs, mut hashes, mut value_bytes) = (Vec::with_capacity(count), Vec::with_capacity(count), 0);
    for from in (0..count).step_by(STEP_ITEMS) {
        let index = &view.state().index;
        for pair in &index.pairs_of_name(id)[from..count.min(from + STEP_ITEMS)] {
            let (value, series) = (index.value(*pair).as_bytes(), index.postings(*pair).len());
            value_bytes += value.len() as u64 * series;
            hashes.push(xxh3_64(value));
            pairs.push((series, *pair));
        }
        view.pause()?;
    }
    Ok((LabelCount { name, values: Distinct::new(count as u64, hashes), value_bytes }, pairs))
}

/// Leaves the pairs with the most series, in no order.
fn keep_largest(pairs: &mut Vec<Counted>, entries_max: usize) {
    if pairs.len() > entries_max {
        pairs.select_nth_unstable_by_key(entries_max, |(series, _)| std::cmp::Reverse(*series));
        pairs.truncate(entries_max);
    }
}

/// Names pairs; those with the most series come first.
fn named(
    view: &mut impl View,
    pairs: &[Counted],
    text: impl Fn(&Index, u32) -> String,
) -> Result<Vec<NameCount>, Moved> {
    let mut counts = Vec::with_capacity(pairs.len());
    for step in pairs.chunks(STEP_ITEMS) {
        let index = &view.state().index;
        let count = |(series, pair): &Counted| NameCount { name: text(index, *pair), series: *series };
        counts.extend(step.iter().map(count));
        view.pause()?;
    }
    sort_counts(&mut counts);
    Ok(counts)
}
