//! Sorted lists of many blocks into one: what most blocks have in common is compared, not copied.

use std::cmp::Ordering;

/// A sorted list without doubles.
pub(crate) struct Union<T> {
    values: Vec<T>,
    limit: usize,
    bytes_of: fn(&T) -> usize,
    bytes: usize,
}

impl<T> Union<T> {
    /// Makes an empty list that keeps the first `limit` values, each of which takes `bytes_of` it.
    pub(crate) fn new(limit: usize, bytes_of: fn(&T) -> usize) -> Self {
        Self { values: Vec::new(), limit, bytes_of, bytes: 0 }
    }

    /// Adds what is not there yet of values that ascend; `own` is asked for those only. Linear in both lists.
    pub(crate) fn add<U>(
        &mut self,
        ascending: impl IntoIterator<Item = U>,
        compare: impl Fn(&T, &U) -> Ordering,
        own: impl Fn(U) -> T,
    ) {
        let (mut position, mut new) = (0, Vec::new());
        for value in ascending {
            while self.values.get(position).is_some_and(|known| compare(known, &value).is_lt()) {
                position += 1;
            }
            if position + new.len() >= self.limit {
                break;
            }
            if self.values.get(position).is_none_or(|known| compare(known, &value).is_gt()) {
                let value = own(value);
                self.bytes += (self.bytes_of)(&value);
                new.push((position, value));
            }
        }
        if new.is_empty() {
            return;
        }
        let mut merged = Vec::with_capacity(self.values.len() + new.len());
        let (mut known, mut taken) = (std::mem::take(&mut self.values).into_iter(), 0);
        for (position, value) in new {
            merged.extend(known.by_ref().take(position - taken));
            taken = position;
            merged.push(value);
        }
        merged.extend(known);
        self.bytes -= merged.iter().skip(self.limit).map(self.bytes_of).sum::<usize>();
        merged.truncate(self.limit);
        self.values = merged;
    }

    /// Returns how many bytes the values take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the list.
    pub(crate) fn into_values(self) -> Vec<T> {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn lists_are_united_like_sets() {
        let mut seed = 7u64;
        let mut draw = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for _ in 0..500 {
            let limit = 1 + draw(12) as usize;
            let (mut union, mut naive) = (Union::new(limit, |value: &u64| *value as usize), BTreeSet::new());
            for _ in 0..draw(6) {
                let list: BTreeSet<u64> = (0..draw(8)).map(|_| draw(20)).collect();
                union.add(&list, |known: &u64, value| known.cmp(value), |value| *value);
                naive.extend(list);
            }
            let naive: Vec<u64> = naive.into_iter().take(limit).collect();
            assert_eq!(union.bytes() as u64, naive.iter().sum::<u64>());
            assert_eq!(union.into_values(), naive);
        }
    }
}
