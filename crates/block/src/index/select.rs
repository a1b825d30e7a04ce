//! Matchers against the index.

use std::ops::Range;

use model::Matcher;
use roaring::RoaringBitmap;

use super::LabelIndex;

/// Which values of a matcher's label are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Those that satisfy the matcher.
    Accepted,
    /// Those that do not.
    Refused,
}

impl LabelIndex {
    /// Returns the rows that satisfy all matchers; without matchers every row.
    ///
    /// A matcher that the empty string satisfies removes the rows whose value it refuses, any other keeps the rows whose
    /// value it accepts; so absent labels need no list of their own. Matchers that keep come first, to leave little to do.
    ///
    /// # Errors
    /// A sentence that names the label when postings are damaged.
    pub(crate) fn select(&self, matchers: &[Matcher]) -> Result<RoaringBitmap, String> {
        let (remove, keep): (Vec<&Matcher>, Vec<&Matcher>) = matchers.iter().partition(|m| m.matches_empty());
        let mut rows: Option<RoaringBitmap> = None;
        for matcher in keep {
            let matching = self.union(matcher, Wanted::Accepted)?;
            let narrowed = match rows {
                Some(rows) => rows & matching,
                None => matching,
            };
            if narrowed.is_empty() {
                return Ok(narrowed);
            }
            rows = Some(narrowed);
        }
        let mut rows = rows.unwrap_or_else(|| self.all_rows());
        for matcher in remove {
            rows -= self.union(matcher, Wanted::Refused)?;
        }
        Ok(rows)
    }

    /// Returns every row.
    pub(crate) fn all_rows(&self) -> RoaringBitmap {
        let mut rows = RoaringBitmap::new();
        rows.insert_range(0..self.rows());
        rows
    }

    /// Returns the rows whose value of the matcher's label is one of those that are wanted; the label is present there.
    fn union(&self, matcher: &Matcher, wanted: Wanted) -> Result<RoaringBitmap, String> {
        let mut rows = RoaringBitmap::new();
        let Some(entry) = self.entry(&matcher.name) else { return Ok(rows) };
        let is_wanted = |pair: &u32| matcher.matches(self.value(*pair)) == (wanted == Wanted::Accepted);
        let mut add = |pair: u32| {
            let read = self.for_each_run(pair, |run| {
                rows.insert_range(run);
            });
            read.map_err(|e| format!("label {:?}: {e}", matcher.name))
        };
        // A matcher knows literals and a prefix of its positive form only.
        let positive = (wanted == Wanted::Accepted) != matcher.is_negative();
        match matcher.literal_values() {
            Some(mut literals) if positive => {
                literals.sort_unstable();
                literals.dedup();
                let found = literals.iter().filter_map(|value| self.find(&entry.pairs, value));
                found.filter(is_wanted).try_for_each(add)?;
            }
            _ => {
                let prefix = if positive { matcher.literal_prefix() } else { "" };
                self.with_prefix(&entry.pairs, prefix).filter(is_wanted).try_for_each(&mut add)?;
            }
        }
        Ok(rows)
    }

    /// Finds the pair with exactly this value.
    fn find(&self, pairs: &Range<u32>, value: &str) -> Option<u32> {
        let pair = self.first_at_least(pairs, value);
        (pair < pairs.end && self.value(pair) == value).then_some(pair)
    }

    /// Returns the pairs whose value begins with a prefix.
    fn with_prefix(&self, pairs: &Range<u32>, prefix: &str) -> impl Iterator<Item = u32> {
        (self.first_at_least(pairs, prefix)..pairs.end)
            .take_while(move |pair| self.value(*pair).starts_with(prefix))
    }

    /// Returns the first pair with this value or a later one, or the range's end.
    fn first_at_least(&self, pairs: &Range<u32>, value: &str) -> u32 {
        let (mut low, mut high) = (pairs.start, pairs.end);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.value(middle) < value {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}
