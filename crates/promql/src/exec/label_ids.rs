//! Dense ids of label sets: groups of aggregations, match groups of binary operators, equal rows.
//!
//! Ids count from 0 in the order of first appearance. A set is only made when it is new: what is left of a series' labels is
//! looked up as bytes.

use hashbrown::HashTable;
use model::LabelSet;
use xxhash_rust::xxh3::xxh3_64;

/// See the module.
#[derive(Default)]
pub(super) struct LabelIds {
    ids: HashTable<u32>,
    sets: Vec<LabelSet>,
    scratch: Vec<u8>,
    /// Found last: rows come sorted, so neighbours are often of one group.
    last: u32,
}

impl LabelIds {
    /// Returns the id of those labels of a set whose names are kept.
    pub(super) fn project(&mut self, labels: &LabelSet, keep: impl Fn(&str) -> bool) -> u32 {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        labels.filter_into(keep, &mut bytes);
        let id = self.find(&bytes, |scratch| LabelSet::from_parts([bytes.as_slice()], scratch));
        self.scratch = bytes;
        id
    }

    /// Returns the id of a set.
    pub(super) fn id(&mut self, labels: &LabelSet) -> u32 {
        self.find(labels.as_bytes(), |_| labels.clone())
    }

    fn find(&mut self, bytes: &[u8], make: impl FnOnce(&mut Vec<u8>) -> LabelSet) -> u32 {
        if self.sets.get(self.last as usize).is_some_and(|last| last.as_bytes() == bytes) {
            return self.last;
        }
        let sets = &mut self.sets;
        let hash = xxh3_64(bytes);
        let found = self.ids.find(hash, |id| sets[*id as usize].as_bytes() == bytes);
        self.last = match found {
            Some(id) => *id,
            None => {
                let id = sets.len() as u32;
                sets.push(make(&mut self.scratch));
                self.ids.insert_unique(hash, id, |id| xxh3_64(sets[*id as usize].as_bytes()));
                id
            }
        };
        self.last
    }

    /// Returns how many different sets there were.
    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    /// Returns the sets by id.
    pub(super) fn into_sets(self) -> Vec<LabelSet> {
        self.sets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_different_sets_in_order() {
        let set = |pairs: &[(&str, &str)]| LabelSet::from_pairs(pairs.iter().copied());
        let mut ids = LabelIds::default();
        let by_job = |name: &str| name == "job";
        assert_eq!(ids.project(&set(&[("__name__", "up"), ("job", "a")]), by_job), 0);
        assert_eq!(ids.project(&set(&[("job", "b"), ("pod", "x")]), by_job), 1);
        assert_eq!(ids.project(&set(&[("pod", "x")]), by_job), 2);
        assert_eq!(ids.project(&set(&[("job", "a"), ("pod", "x")]), by_job), 0);
        assert_eq!(ids.id(&set(&[("job", "b")])), 1);
        assert_eq!(ids.len(), 3);
        let sets: Vec<String> = ids.into_sets().iter().map(ToString::to_string).collect();
        assert_eq!(sets, [r#"{job="a"}"#, r#"{job="b"}"#, "{}"]);
    }
}
