//! Series copied out of the head: labels as symbols, chunks as stretches of one buffer. Filled under the lock, a slice of the
//! series at a time; put in order and made into label sets and chunks after, without it.
//!
//! A symbol stands for one label pair, each copied once however many series have it. Symbols are ranked when all are known,
//! so that series are sorted by comparing small numbers.

use chunk::EncodedChunk;
use hashbrown::HashMap;
use model::LabelSet;

use crate::index::Index;
use crate::series::{ChunkCopies, Series};

/// How many bits the packed part of a sort key has.
const KEY_BITS: u32 = u128::BITS;
/// The most labels of a packed key: more are not worth the packing.
const PACKED_MAX: usize = 16;

/// The label pairs of copied series.
#[derive(Default)]
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
        let sets = (0..self.ends.len() as u32)
            .map(|symbol| (LabelSet::from_parts([self.bytes(symbol)], &mut scratch), symbol));
        let mut sets: Vec<(LabelSet, u32)> = sets.collect();
        sets.sort_unstable();
        let (mut ranks, mut rank) = (vec![0; sets.len()], 0);
        for (at, (set, symbol)) in sets.iter().enumerate() {
            rank += u32::from(at == 0 || sets[at - 1].0 != *set);
            ranks[*symbol as usize] = rank;
        }
        ranks
    }
}

/// One copied series.
struct Copied {
    /// Where its symbols end.
    symbols_end: usize,
    chunks: Vec<EncodedChunk>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Copies {
    symbols: Symbols,
    /// The labels of all series, as symbols.
    labels: Vec<u32>,
    series: Vec<Copied>,
}

/// The copies of one slice: series whose chunks still lie in one buffer.
#[derive(Default)]
pub(crate) struct SliceCopies {
    chunks: ChunkCopies,
    /// For each series, where its symbols and its chunks end.
    ends: Vec<(usize, usize)>,
}

impl Copies {
    /// Copies what series have in the closed range; those that have nothing there are left out.
    pub(crate) fn copy<'a>(
        &mut self,
        index: &Index,
        series: impl Iterator<Item = &'a Series>,
        start_ms: i64,
        end_ms: i64,
    ) -> SliceCopies {
        if self.symbols.frees_seen != index.frees() {
            self.symbols.of_pair.clear();
            self.symbols.frees_seen = index.frees();
        }
        let mut slice = SliceCopies::default();
        for series in series {
            let before = slice.chunks.len();
            series.copy_chunks(start_ms, end_ms, &mut slice.chunks);
            if slice.chunks.len() > before {
                let symbols = series.pairs.iter().map(|pair| self.symbols.symbol(index, *pair));
                self.labels.extend(symbols);
                slice.ends.push((self.labels.len(), slice.chunks.len()));
            }
        }
        slice
    }

    /// Copies the labels of series alone.
    pub(crate) fn copy_labels<'a>(&mut self, index: &Index, series: impl Iterator<Item = &'a Series>) {
        for series in series {
            self.labels.extend(series.pairs.iter().map(|pair| self.symbols.symbol(index, *pair)));
            self.series.push(Copied { symbols_end: self.labels.len(), chunks: Vec::new() });
        }
    }

    /// Takes a slice's series over, with samples before a time hidden. No lock is needed any more.
    pub(crate) fn take(&mut self, slice: SliceCopies, visible_from_ms: i64) {
        let mut chunks = slice.chunks.into_chunks().map(|chunk| chunk.visible_from(visible_from_ms));
        let mut before = 0;
        for (symbols_end, chunks_end) in slice.ends {
            let chunks = chunks.by_ref().take(chunks_end - before).collect();
            self.series.push(Copied { symbols_end, chunks });
            before = chunks_end;
        }
    }

    /// Returns how many series were taken.
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    /// Returns the series in the order of their labels.
    pub(crate) fn into_sorted(mut self) -> Vec<(LabelSet, Vec<EncodedChunk>)> {
        let (mut scratch, mut sorted) = (Vec::new(), Vec::with_capacity(self.series.len()));
        for at in self.order() {
            let parts = self.labels_of(at).iter().map(|symbol| self.symbols.bytes(*symbol));
            let labels = LabelSet::from_parts(parts, &mut scratch);
            sorted.push((labels, std::mem::take(&mut self.series[at].chunks)));
        }
        sorted
    }

    fn labels_of(&self, at: usize) -> &[u32] {
        let start = at.checked_sub(1).map_or(0, |before| self.series[before].symbols_end);
        &self.labels[start..self.series[at].symbols_end]
    }

    /// Returns the places of the series in the order of their labels. The ranks of the first labels are packed into one
    /// number, which is all that most comparisons need.
    fn order(&self) -> Vec<usize> {
        let ranks = self.symbols.ranks();
        let rank = |symbol: &u32| ranks[*symbol as usize];
        let bits = (u32::BITS - (ranks.len() as u32).leading_zeros()).max(1);
        let packed = ((KEY_BITS / bits) as usize).min(PACKED_MAX);
        let key = |labels: &[u32]| {
            (0..packed)
                .fold(0, |key, at| key << bits | labels.get(at).map_or(0, |label| u128::from(rank(label))))
        };
        let mut order: Vec<(u128, usize)> =
            (0..self.series.len()).map(|at| (key(self.labels_of(at)), at)).collect();
        let rest = |at: usize| self.labels_of(at).iter().skip(packed).map(rank);
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| rest(a.1).cmp(rest(b.1))));
        order.into_iter().map(|(_, at)| at).collect()
    }
}
