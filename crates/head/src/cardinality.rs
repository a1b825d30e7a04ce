//! How the head's series are spread over names and values, for people who look for what costs memory.

use model::cardinality::{Distinct, LabelCount, NameCount, sort_counts};
use model::labels::METRIC_NAME;
use model::{Cardinality, TimeRange};
use xxhash_rust::xxh3::xxh3_64;

use crate::Head;
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
        let state = self.state.read();
        let has_samples = state.samples > 0;
        let mut cardinality = Cardinality {
            series: state.index.all().len(),
            chunks,
            range: has_samples.then(|| TimeRange::new(state.oldest_ms, state.newest_ms)),
            ..Cardinality::default()
        };
        count(&state, entries_max, &mut cardinality);
        drop(state);
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

fn count(state: &State, entries_max: usize, out: &mut Cardinality) {
    let mut all_pairs = Vec::with_capacity(state.index.pair_ids_len());
    for (id, name) in state.index.names() {
        let pairs = state.index.pairs_of_name(id);
        let hashes = pairs.iter().map(|pair| xxh3_64(state.index.value(*pair).as_bytes()));
        let values = Distinct::new(pairs.len() as u64, hashes);
        let counted = pairs.iter().map(|pair| (state.index.postings(*pair).len(), *pair));
        let begin = all_pairs.len();
        all_pairs.extend(counted);
        let value_bytes = |(series, pair): &(u64, u32)| state.index.value(*pair).len() as u64 * series;
        let value_bytes = all_pairs[begin..].iter().map(value_bytes).sum();
        if name == METRIC_NAME {
            let named = |pair| state.index.value(pair).to_owned();
            out.metrics = largest(all_pairs[begin..].to_vec(), entries_max, named);
        }
        out.labels.push(LabelCount { name: name.to_owned(), values, value_bytes });
    }
    let shown = |pair| {
        let name = state.index.name_text(state.index.name_of_pair(pair));
        format!("{name}={}", state.index.value(pair))
    };
    out.pairs = largest(all_pairs, entries_max, shown);
}

/// Returns the pairs with the most series, those first.
fn largest(mut pairs: Vec<(u64, u32)>, entries_max: usize, name: impl Fn(u32) -> String) -> Vec<NameCount> {
    if pairs.len() > entries_max {
        pairs.select_nth_unstable_by_key(entries_max, |(series, _)| std::cmp::Reverse(*series));
        pairs.truncate(entries_max);
    }
    let mut counts: Vec<NameCount> =
        pairs.into_iter().map(|(series, pair)| NameCount { name: name(pair), series }).collect();
    sort_counts(&mut counts);
    counts
}
