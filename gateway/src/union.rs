//! Sorted lists of many blocks into one: what most blocks have in common is compared, not copied.

use std::cmp::Ordering;

/// A sorted list without doubles.
pub(crate) struct Union<T> {
    values: Vec<T>,
    limit: usize,
}

impl<T> Union<T> {
    /// Makes an empty list that keeps the first `limit` values.
    pub(crate) fn new(limit: usize) -> Self {
        Self { values: Vec::new(), limit }
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
                new.push((position, own(value)));
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
        merged.truncate(self.limit);
        self.values = merged;
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
            let (mut union, mut naive) = (Union::new(limit), BTreeSet::new());
            for _ in 0..draw(6) {
                let list: BTreeSet<u64> = (0..draw(8)).map(|_| draw(20)).collect();
                union.add(&list, |known: &u64, value| known.cmp(value), |value| *value);
                naive.extend(list);
            }
            assert_eq!(union.into_values(), naive.into_iter().take(limit).collect::<Vec<_>>());
        }
    }
}
