//! A map bounded by weight that forgets what was not used for longest.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

struct Slot<V> {
    value: V,
    weight: u64,
    /// Position in the order of use.
    used: u64,
}

/// Values by key, each with a weight. The sum of weights stays within the limit, but for a single entry above it.
pub(crate) struct Lru<K, V> {
    slots: HashMap<K, Slot<V>>,
    /// Keys by time of use, oldest first.
    order: BTreeMap<u64, K>,
    clock: u64,
    weight: u64,
    weight_max: u64,
}

impl<K: Clone + Eq + Hash, V> Lru<K, V> {
    pub(crate) fn new(weight_max: u64) -> Self {
        Self { slots: HashMap::new(), order: BTreeMap::new(), clock: 0, weight: 0, weight_max }
    }

    /// Returns a value and counts this as a use of it.
    pub(crate) fn get(&mut self, key: &K) -> Option<&V> {
        let slot = self.slots.get_mut(key)?;
        self.order.remove(&slot.used);
        self.clock += 1;
        slot.used = self.clock;
        self.order.insert(self.clock, key.clone());
        Some(&slot.value)
    }

    /// Adds or replaces a value; returns what had to go, oldest first, also what it replaced. Never drops the new entry.
    pub(crate) fn insert(&mut self, key: K, value: V, weight: u64) -> Vec<(K, V)> {
        let mut gone: Vec<(K, V)> = self.remove(&key).map(|old| (key.clone(), old)).into_iter().collect();
        self.clock += 1;
        self.weight += weight;
        self.order.insert(self.clock, key.clone());
        self.slots.insert(key, Slot { value, weight, used: self.clock });
        self.shrink(1, &mut gone);
        gone
    }

    /// Changes the limit; returns what had to go, oldest first.
    pub(crate) fn set_weight_max(&mut self, weight_max: u64) -> Vec<(K, V)> {
        self.weight_max = weight_max;
        let mut gone = Vec::new();
        self.shrink(0, &mut gone);
        gone
    }

    fn shrink(&mut self, keep_min: usize, gone: &mut Vec<(K, V)>) {
        while self.weight > self.weight_max && self.slots.len() > keep_min {
            let Some((_, oldest)) = self.order.first_key_value() else { break };
            let oldest = oldest.clone();
            gone.extend(self.remove(&oldest).map(|value| (oldest, value)));
        }
    }

    /// Adds entries behind all that are there, the newest of them first, while there is room; returns the keys of those
    /// for which there is none. What is there already stays as it is.
    pub(crate) fn insert_oldest(&mut self, newest_first: Vec<(K, V, u64)>) -> Vec<K> {
        // The clock counts up from here; uses of an earlier time get numbers below all others.
        let mut used = self.order.first_key_value().map_or(self.clock + 1, |(used, _)| *used);
        if used <= newest_first.len() as u64 {
            self.shift(newest_first.len() as u64);
            used += newest_first.len() as u64;
        }
        let mut gone = Vec::new();
        for (key, value, weight) in newest_first {
            if self.slots.contains_key(&key) {
                continue;
            }
            if self.weight + weight > self.weight_max {
                gone.push(key);
                continue;
            }
            used -= 1;
            self.weight += weight;
            self.order.insert(used, key.clone());
            self.slots.insert(key, Slot { value, weight, used });
        }
        gone
    }

    /// Makes room for numbers below all that are in use.
    fn shift(&mut self, by: u64) {
        self.clock += by;
        self.slots.values_mut().for_each(|slot| slot.used += by);
        self.order =
            std::mem::take(&mut self.order).into_iter().map(|(used, key)| (used + by, key)).collect();
    }

    /// Tells whether a value is there, without counting this as a use of it.
    pub(crate) fn contains(&self, key: &K) -> bool {
        self.slots.contains_key(key)
    }

    /// Takes a value out.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let slot = self.slots.remove(key)?;
        self.order.remove(&slot.used);
        self.weight -= slot.weight;
        Some(slot.value)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut lru = Lru::new(10);
        assert_eq!(lru.insert("a", 1, 4), []);
        assert_eq!(lru.insert("b", 2, 4), []);
        assert_eq!(lru.get(&"a"), Some(&1));
        assert_eq!(lru.insert("c", 3, 4), [("b", 2)]);
        assert_eq!((lru.len(), lru.weight()), (2, 8));
        assert_eq!(lru.insert("a", 9, 1), [("a", 1)]);
        assert_eq!((lru.len(), lru.weight()), (2, 5));
        assert_eq!(lru.insert("huge", 4, 100), [("c", 3), ("a", 9)]);
        assert_eq!((lru.len(), lru.weight()), (1, 100));
        assert_eq!(lru.insert("d", 5, 1), [("huge", 4)]);
        assert_eq!(lru.remove(&"d"), Some(5));
        assert_eq!((lru.len(), lru.weight(), lru.get(&"d")), (0, 0, None));
    }

    #[test]
    fn entries_of_an_earlier_time_go_before_all_others() {
        let mut lru = Lru::new(10);
        lru.insert("new", 1, 4);
        let gone = lru.insert_oldest(vec![("b", 2, 3), ("new", 9, 1), ("c", 3, 5), ("d", 4, 2)]);
        assert_eq!((gone, lru.weight(), lru.get(&"new")), (vec!["c"], 9, Some(&1)));
        assert_eq!(lru.insert("e", 5, 2), [("d", 4)]);
        assert_eq!(lru.insert("f", 6, 2), [("b", 2)]);
        assert!(lru.contains(&"new"));
        assert_eq!(lru.set_weight_max(6), [("new", 1)]);
        assert_eq!((lru.set_weight_max(0).len(), lru.weight()), (2, 0));
    }
}
