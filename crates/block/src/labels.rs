//! Which label names and values some series of a block have.
//!
//! Answers borrow their text from the index, so that a caller who puts many blocks together copies only what is new. Whoever
//! asks for all series gets what the index lists, without a look at any of them.

use std::ops::Range;
use std::sync::Arc;

use model::{Matcher, TimeRange};
use roaring::RoaringBitmap;

use crate::error::BlockError;
use crate::index::LabelIndex;
use crate::reader::{BlockReader, OpenBlock};

/// After so many rows the search for label names looks whether any is left to be found.
const ROWS_BETWEEN_LOOKS: usize = 4096;

/// Names or values of labels, ascending, each once. Holds the block's index.
pub struct Labels {
    block: Arc<OpenBlock>,
    /// One pair that has each name, or each value.
    pairs: Pairs,
    part: Part,
}

#[derive(Clone, Copy)]
enum Part {
    Name,
    Value,
}

enum Pairs {
    All(Range<u32>),
    Some(Vec<u32>),
}

impl Labels {
    /// Returns the texts.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let index = &self.block.series.index;
        let (all, some) = match &self.pairs {
            Pairs::All(pairs) => (pairs.clone(), [].as_slice()),
            Pairs::Some(pairs) => (0..0, pairs.as_slice()),
        };
        let part = self.part;
        all.chain(some.iter().copied()).map(move |pair| match part {
            Part::Name => index.name_of(pair),
            Part::Value => index.value(pair),
        })
    }
}

impl BlockReader {
    /// Returns the names of all labels that the selected series have.
    ///
    /// CPU-bound, like the other look-ups: call it from a worker.
    ///
    /// # Errors
    /// Kind `Corrupt` when the index is damaged.
    pub fn label_names(&self, selectors: &[Vec<Matcher>], range: &TimeRange) -> Result<Labels, BlockError> {
        let block = Arc::clone(self.opened());
        let rows = block.rows_of_any(selectors, range)?;
        let pairs = Pairs::Some(first_pairs(&block.series.index, &rows));
        Ok(Labels { block, pairs, part: Part::Name })
    }

    /// Returns the values that one label has among the selected series; without series that lack it.
    ///
    /// # Errors
    /// Kind `Corrupt` when the index is damaged.
    pub fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        range: &TimeRange,
    ) -> Result<Labels, BlockError> {
        let block = Arc::clone(self.opened());
        let rows = block.rows_of_any(selectors, range)?;
        let index = &block.series.index;
        let wanted = index.pairs_of(name);
        let pairs = if rows.len() == u64::from(index.rows()) {
            Pairs::All(wanted)
        } else {
            Pairs::Some(values_of(index, &rows, wanted))
        };
        Ok(Labels { block, pairs, part: Part::Value })
    }
}

/// Pairs by number, as bits.
struct PairSet(Vec<u64>);

impl PairSet {
    fn new(pairs: u32) -> Self {
        Self(vec![0; (pairs as usize).div_ceil(64)])
    }

    /// Adds a pair; tells whether it is new.
    fn insert(&mut self, pair: u32) -> bool {
        let (word, bit) = (&mut self.0[pair as usize / 64], 1 << (pair % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Returns the first pair of a range.
    fn first_of(&self, range: &Range<u32>) -> Option<u32> {
        let mut from = range.start;
        while from < range.end {
            let rest = self.0[from as usize / 64] >> (from % 64);
            if rest != 0 {
                return Some(from + rest.trailing_zeros()).filter(|pair| *pair < range.end);
            }
            from = (from / 64 + 1) * 64;
        }
        None
    }
}

/// Returns, for each name that any of the rows has, one pair of it.
fn first_pairs(index: &LabelIndex, rows: &RoaringBitmap) -> Vec<u32> {
    if rows.len() == u64::from(index.rows()) {
        return index.name_pairs().map(|pairs| pairs.start).collect();
    }
    let mut found = PairSet::new(index.pairs());
    let firsts = |found: &PairSet| index.name_pairs().filter_map(|pairs| found.first_of(&pairs)).collect();
    let mut left = rows.iter();
    loop {
        let mut batch = left.by_ref().take(ROWS_BETWEEN_LOOKS).peekable();
        let is_last = batch.peek().is_none();
        for pair in batch.flat_map(|row| index.pairs_of_row(row)) {
            found.insert(*pair);
        }
        let names: Vec<u32> = firsts(&found);
        if is_last || names.len() == index.name_pairs().count() {
            return names;
        }
    }
}

/// Returns which of one label's pairs any of the rows has, ascending.
fn values_of(index: &LabelIndex, rows: &RoaringBitmap, wanted: Range<u32>) -> Vec<u32> {
    let mut found = PairSet::new(wanted.end - wanted.start);
    let mut left = wanted.end - wanted.start;
    for row in rows {
        if left == 0 {
            break;
        }
        let pairs = index.pairs_of_row(row);
        let position = pairs.partition_point(|pair| *pair < wanted.start);
        if let Some(pair) = pairs.get(position).filter(|pair| **pair < wanted.end)
            && found.insert(*pair - wanted.start)
        {
            left -= 1;
        }
    }
    let all = 0..wanted.end - wanted.start;
    let next = |from: &u32| found.first_of(&(*from + 1..all.end));
    std::iter::successors(found.first_of(&all), next).map(|pair| pair + wanted.start).collect()
}
