//! The inverted index: label pairs, interned, each with the slots of the series that have it.
//!
//! A pair is kept once, in the form in which a label set holds it, so that a series is a list of pair ids and its label
//! set is their concatenation. Pair and name ids are used again and never leave the head; nothing observable depends
//! on them.

use hashbrown::HashTable;
use model::{LabelSet, varint};
use roaring::RoaringBitmap;
use xxhash_rust::xxh3::xxh3_64;

use crate::postings::Postings;

/// One label of one value. An id that is free has no bytes.
#[derive(Debug)]
struct Pair {
    /// As in a label set: length and name, length and value.
    bytes: Box<[u8]>,
    name_id: u32,
    postings: Postings,
}

/// One label name. An id that is free has no pairs.
#[derive(Debug)]
struct Name {
    text: Box<str>,
    /// In no order.
    pairs: Vec<u32>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pairs: Vec<Pair>,
    free_pairs: Vec<u32>,
    pair_ids: HashTable<u32>,
    names: Vec<Name>,
    free_names: Vec<u32>,
    name_ids: HashTable<u32>,
    all: RoaringBitmap,
    size_bytes: usize,
    /// How many pair ids were freed so far.
    frees: u64,
}

/// What a pair costs beside its text and its postings: itself, its place in the table and its place in its name's list.
const PAIR_BYTES: usize = size_of::<Pair>() + 5 + 4;

/// Returns how many bytes a text takes within a label set: a varint for its length, and itself.
fn text_len(text: &str) -> usize {
    varint::unsigned_len(text.len() as u64) + text.len()
}

/// Splits a label set's bytes into those of its pairs.
fn pairs_of(labels: &LabelSet) -> impl Iterator<Item = (&str, &[u8])> {
    let mut rest = labels.as_bytes();
    labels.iter().map(move |(name, value)| {
        let (pair, after) = rest.split_at(text_len(name) + text_len(value));
        rest = after;
        (name, pair)
    })
}

/// Puts an item at a free id, or behind the others, and returns its id.
fn put<T>(items: &mut Vec<T>, free: &mut Vec<u32>, item: T) -> u32 {
    if let Some(id) = free.pop() {
        items[id as usize] = item;
        return id;
    }
    items.push(item);
    u32::try_from(items.len() - 1).expect("an index has fewer than 2^32 labels")
}

impl Index {
    /// Returns the ids of a label set's pairs, in label order; new pairs are added.
    pub(crate) fn intern(&mut self, labels: &LabelSet) -> Box<[u32]> {
        pairs_of(labels).map(|(name, bytes)| self.intern_pair(name, bytes)).collect()
    }

    fn intern_pair(&mut self, name: &str, bytes: &[u8]) -> u32 {
        if let Some(id) = self.find_pair(bytes) {
            return id;
        }
        let name_id = self.intern_name(name);
        let pair = Pair { bytes: bytes.into(), name_id, postings: Postings::default() };
        let id = put(&mut self.pairs, &mut self.free_pairs, pair);
        let pairs = &self.pairs;
        self.pair_ids.insert_unique(xxh3_64(bytes), id, |id| xxh3_64(&pairs[*id as usize].bytes));
        self.names[name_id as usize].pairs.push(id);
        self.size_bytes += bytes.len() + PAIR_BYTES;
        id
    }

    fn intern_name(&mut self, text: &str) -> u32 {
        if let Some(id) = self.name_id(text) {
            return id;
        }
        let name = Name { text: text.into(), pairs: Vec::new() };
        let id = put(&mut self.names, &mut self.free_names, name);
        let names = &self.names;
        let hash_of = |id: &u32| xxh3_64(names[*id as usize].text.as_bytes());
        self.name_ids.insert_unique(xxh3_64(text.as_bytes()), id, hash_of);
        id
    }

    /// Returns the id of a label name, if a series has it.
    pub(crate) fn name_id(&self, text: &str) -> Option<u32> {
        let is_same = |id: &u32| *self.names[*id as usize].text == *text;
        self.name_ids.find(xxh3_64(text.as_bytes()), is_same).copied()
    }

    fn find_pair(&self, bytes: &[u8]) -> Option<u32> {
        self.pair_ids.find(xxh3_64(bytes), |id| *self.pairs[*id as usize].bytes == *bytes).copied()
    }

    /// Returns the id of a pair, if a series has it.
    pub(crate) fn pair_id(&self, name: &str, value: &str) -> Option<u32> {
        self.find_pair(LabelSet::from_sorted([(name, value)]).ok()?.as_bytes())
    }

    /// Adds a series to the postings of its pairs.
    pub(crate) fn add(&mut self, slot: u32, pairs: &[u32]) {
        self.all.insert(slot);
        self.size_bytes += size_of_val(pairs);
        for id in pairs {
            let postings = &mut self.pairs[*id as usize].postings;
            let before = postings.size_bytes();
            postings.insert(slot);
            self.size_bytes = self.size_bytes + postings.size_bytes() - before;
        }
    }

    /// Removes series, and the pairs and names that no series has any more. `pairs` are those of the removed series.
    pub(crate) fn remove_all(&mut self, slots: &RoaringBitmap, mut pairs: Vec<u32>) {
        self.all -= slots;
        self.size_bytes -= size_of_val(pairs.as_slice());
        pairs.sort_unstable();
        pairs.dedup();
        let mut names = Vec::new();
        for id in pairs {
            let postings = &mut self.pairs[id as usize].postings;
            let before = postings.size_bytes();
            postings.remove_all(slots);
            self.size_bytes = self.size_bytes + postings.size_bytes() - before;
            if postings.is_empty() {
                names.push(self.remove_pair(id));
            }
        }
        names.sort_unstable();
        names.dedup();
        names.into_iter().for_each(|id| self.tidy_name(id));
    }

    /// Frees a pair without postings and returns its name, which still lists it.
    fn remove_pair(&mut self, id: u32) -> u32 {
        self.frees += 1;
        let pair = &mut self.pairs[id as usize];
        let (bytes, postings) = (std::mem::take(&mut pair.bytes), std::mem::take(&mut pair.postings));
        let entry = self.pair_ids.find_entry(xxh3_64(&bytes), |known| *known == id);
        entry.expect("every pair is in the table").remove();
        self.size_bytes -= bytes.len() + PAIR_BYTES + postings.size_bytes();
        self.free_pairs.push(id);
        self.pairs[id as usize].name_id
    }

    /// Takes freed pairs out of a name's list, and the name out of the index when none is left.
    fn tidy_name(&mut self, id: u32) {
        let name = &mut self.names[id as usize];
        name.pairs.retain(|pair| !self.pairs[*pair as usize].bytes.is_empty());
        if name.pairs.is_empty() {
            let text = std::mem::take(&mut name.text);
            let entry = self.name_ids.find_entry(xxh3_64(text.as_bytes()), |known| *known == id);
            entry.expect("every name is in the table").remove();
            self.free_names.push(id);
        }
    }

    /// Returns the slots of all series.
    pub(crate) fn all(&self) -> &RoaringBitmap {
        &self.all
    }

    /// Returns the label names, in no order, with their ids.
    pub(crate) fn names(&self) -> impl Iterator<Item = (u32, &str)> {
        let names = (0..).zip(&self.names);
        names.filter(|(_, name)| !name.pairs.is_empty()).map(|(id, name)| (id, &*name.text))
    }

    /// Returns the pairs of a label name, in no order.
    pub(crate) fn pairs_of_name(&self, id: u32) -> &[u32] {
        &self.names[id as usize].pairs
    }

    /// Returns a label name.
    pub(crate) fn name_text(&self, id: u32) -> &str {
        &self.names[id as usize].text
    }

    /// Returns the name id of a pair.
    pub(crate) fn name_of_pair(&self, pair: u32) -> u32 {
        self.pairs[pair as usize].name_id
    }

    /// Returns the value of a pair.
    pub(crate) fn value(&self, pair: u32) -> &str {
        let pair = &self.pairs[pair as usize];
        let value = &pair.bytes[text_len(&self.names[pair.name_id as usize].text)..];
        varint::Cursor::new(value).text().expect("a pair is taken from a label set")
    }

    /// Returns the series of a pair.
    pub(crate) fn postings(&self, pair: u32) -> &Postings {
        &self.pairs[pair as usize].postings
    }

    /// Returns the pair's form within a label set.
    pub(crate) fn pair_bytes(&self, pair: u32) -> &[u8] {
        &self.pairs[pair as usize].bytes
    }

    /// Changes whenever a pair id was freed, and so may come to mean another pair.
    pub(crate) fn frees(&self) -> u64 {
        self.frees
    }

    /// Returns how many pair ids there are, free ones included.
    pub(crate) fn pair_ids_len(&self) -> usize {
        self.pairs.len()
    }

    /// Tells whether pairs are those of a label set.
    pub(crate) fn is_label_set(&self, pairs: &[u32], labels: &LabelSet) -> bool {
        let rest =
            pairs.iter().try_fold(labels.as_bytes(), |rest, pair| rest.strip_prefix(self.pair_bytes(*pair)));
        rest.is_some_and(<[u8]>::is_empty)
    }

    /// Returns roughly how much memory the index takes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes + 2 * self.all.len() as usize
    }
}
