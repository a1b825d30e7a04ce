//! The labels of some series, copied out of the head: filled under the lock, sorted and made into label sets after, without it.
//!
//! A symbol stands for one label pair, each copied once however many series have it. Symbols are ranked when all are known,
//! so that series are sorted by comparing small numbers.

use hashbrown::HashMap;
use model::LabelSet;

use crate::index::Index;

/// How many bits the packed part of a sort key has.
const KEY_BITS: u32 = u128::BITS;
/// The most labels of a packed key: more are not worth the packing.
const PACKED_MAX: usize = 16;

/// The label pairs of the series in a table.
#[derive(Debug, Default)]
struct Symbols {
    /// The pairs' stored forms, one after the other.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// By the index's pair id; true as long as the index has freed none since.
    of_pair: HashMap<u32, u32>,
    frees_seen: u64,
}

impl Symbols {
    /// Returns the symbol of a pair. Two symbols may stand for the same pair, when its id was freed in between.
    fn symbol(&mut self, index: &Index, pair: u32) -> u32 {
        *self.of_pair.entry(pair).or_insert_with(|| {
            self.bytes.extend_from_slice(index.pair_bytes(pair));
            self.ends.push(self.bytes.len());
            (self.ends.len() - 1) as u32
        })
    }

    fn bytes(&self, symbol: u32) -> &[u8] {
        let symbol = symbol as usize;
        let start = symbol.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[symbol]]
    }

    /// Returns each symbol's place in the order of labels, from 1; equal pairs have the same.
    fn ranks(&self) -> Vec<u32> {
        let mut scratch = Vec::new();
        let set = |symbol| (LabelSet::from_parts([self.bytes(symbol)], &mut scratch), symbol);
        let mut sets: Vec<(LabelSet, u32)> = (0..self.ends.len() as u32).map(set).collect();
        sets.sort_unstable();
        let (mut ranks, mut rank) = (vec![0; sets.len()], 0);
        for (at, (set, symbol)) in sets.iter().enumerate() {
            rank += u32::from(at == 0 || sets[at - 1].0 != *set);
            ranks[*symbol as usize] = rank;
        }
        ranks
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct LabelTable {
    symbols: Symbols,
    /// The labels of all series, as symbols.
    labels: Vec<u32>,
    /// For each series, where its labels end.
    ends: Vec<usize>,
    scratch: Vec<u8>,
}

impl LabelTable {
    /// Prepares for more series of an index, which may have changed since.
    pub(crate) fn resume(&mut self, index: &Index) {
        if self.symbols.frees_seen != index.frees() {
            self.symbols.of_pair.clear();
            self.symbols.frees_seen = index.frees();
        }
    }

    /// Appends the labels of a series.
    pub(crate) fn push(&mut self, index: &Index, pairs: &[u32]) {
        self.labels.extend(pairs.iter().map(|pair| self.symbols.symbol(index, *pair)));
        self.ends.push(self.labels.len());
    }

    /// Returns how many series there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the label set of a series, by its place.
    pub(crate) fn label_set(&mut self, place: usize) -> LabelSet {
        let mut scratch = std::mem::take(&mut self.scratch);
        let parts = self.symbols_of(place).iter().map(|symbol| self.symbols.bytes(*symbol));
        let labels = LabelSet::from_parts(parts, &mut scratch);
        self.scratch = scratch;
        labels
    }

    fn symbols_of(&self, place: usize) -> &[u32] {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.labels[start..self.ends[place]]
    }

    /// Returns the places of the series in the order of their labels. The ranks of the first labels are packed into one
    /// number, which is all that most comparisons need.
    pub(crate) fn order(&self) -> Vec<u32> {
        let ranks = self.symbols.ranks();
        let rank = |symbol: &u32| ranks[*symbol as usize];
        let bits = (u32::BITS - (ranks.len() as u32).leading_zeros()).max(1);
        let packed = ((KEY_BITS / bits) as usize).min(PACKED_MAX);
        let key = |symbols: &[u32]| {
            let at = |position| symbols.get(position).map_or(0, |symbol| u128::from(rank(symbol)));
            (0..packed).fold(0, |key, position| key << bits | at(position))
        };
        let keyed = |place: u32| (key(self.symbols_of(place as usize)), place);
        let mut order: Vec<(u128, u32)> = (0..self.len() as u32).map(keyed).collect();
        let rest = |place: u32| self.symbols_of(place as usize).iter().skip(packed).map(rank);
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| rest(a.1).cmp(rest(b.1))));
        order.into_iter().map(|(_, place)| place).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_label_sets(
            sets in prop::collection::vec(prop::collection::btree_map("[a-z]", "[ab]{1,2}", 0..20), 0..30),
            removed in prop::sample::select(vec![false, true]),
        ) {
            let (mut index, mut table) = (Index::default(), LabelTable::default());
            let sets: Vec<LabelSet> = sets.into_iter().map(LabelSet::from_pairs).collect();
            for (slot, set) in sets.iter().enumerate() {
                let pairs = index.intern(set);
                index.add(slot as u32, &pairs);
                table.resume(&index);
                table.push(&index, &pairs);
                if removed && slot % 3 == 0 {
                    index.remove_all(&[slot as u32].into_iter().collect(), pairs.to_vec());
                }
            }
            let sorted: Vec<LabelSet> =
                table.order().into_iter().map(|place| table.label_set(place as usize)).collect();
            let mut expected = sets;
            expected.sort();
            prop_assert_eq!(sorted, expected);
        }
    }
}
