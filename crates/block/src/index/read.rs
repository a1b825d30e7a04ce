//! The index in memory.

use std::ops::Range;

use fst::Streamer;
use model::LabelSet;
use model::varint::{Cursor, ReadError};

use super::postings;

/// What each name takes at least: its length, how many values it has, and the lengths of the two lists.
pub(super) const NAME_BYTES_MIN: usize = 4;

/// A label name with the range of its pairs; a pair is a name with one of its values.
pub(super) struct NameEntry {
    pub(super) name: String,
    pub(super) pairs: Range<u32>,
}

/// The labels of all rows, searchable. Pairs are numbered by name, then by value, both ascending.
pub(crate) struct LabelIndex {
    rows: u32,
    names: Vec<NameEntry>,
    /// Texts of all values, one after the other.
    text: String,
    /// Where the value of each pair starts in `text`; one more at the end.
    text_starts: Vec<u32>,
    /// Postings of all pairs, encoded.
    postings: Vec<u8>,
    /// Where the list of each pair starts in `postings`.
    posting_starts: Vec<u32>,
    /// Where the pairs of each row start in `row_pairs`; one more at the end.
    row_starts: Vec<u32>,
    /// Pairs of all rows, ascending within a row.
    row_pairs: Vec<u32>,
}

impl LabelIndex {
    /// Reads an index. Linear in the number of labels of all rows.
    ///
    /// # Errors
    /// A sentence that says where the bytes are wrong; also when they are of another number of rows.
    pub(crate) fn decode(bytes: &[u8], rows: u32) -> Result<Self, String> {
        let mut cursor = Cursor::new(bytes);
        let malformed = |e: ReadError| format!("index {e}");
        let stored_rows = cursor.u32().map_err(malformed)?;
        if stored_rows != rows {
            return Err(format!("index of {stored_rows} rows, the file has {rows}"));
        }
        let mut index = Self {
            rows,
            names: Vec::new(),
            text: String::new(),
            text_starts: Vec::new(),
            postings: Vec::new(),
            posting_starts: Vec::new(),
            row_starts: Vec::new(),
            row_pairs: Vec::new(),
        };
        let names = cursor.count(NAME_BYTES_MIN).map_err(malformed)?;
        for _ in 0..names {
            let name = cursor.text().map_err(malformed)?;
            let values = cursor.u32().map_err(malformed)?;
            let fst = cursor.bytes().map_err(malformed)?;
            let lists = cursor.bytes().map_err(malformed)?;
            index.add_name(name, values, fst, lists).map_err(|e| format!("index of label {name:?}: {e}"))?;
        }
        if !cursor.is_at_end() {
            return Err(format!("index has trailing bytes at byte {}", cursor.offset()));
        }
        index.text_starts.push(u32::try_from(index.text.len()).map_err(|_| "values exceed 4 GiB")?);
        index.fill_rows()?;
        Ok(index)
    }

    fn add_name(&mut self, name: &str, values: u32, fst: &[u8], lists: &[u8]) -> Result<(), String> {
        if self.names.last().is_some_and(|last| last.name.as_str() >= name) {
            return Err("names are not ascending".to_owned());
        }
        let fst = fst::Map::new(fst).map_err(|e| e.to_string())?;
        fst.as_fst().verify().map_err(|e| e.to_string())?;
        let first = self.posting_starts.len() as u32;
        let base = self.postings.len();
        let mut stream = fst.stream();
        while let Some((value, offset)) = stream.next() {
            let value = std::str::from_utf8(value).map_err(|_| "a value is not UTF-8")?;
            if value.is_empty() || offset >= lists.len() as u64 {
                return Err(format!("value {value:?} is empty or has no postings"));
            }
            self.text_starts.push(u32::try_from(self.text.len()).map_err(|_| "values exceed 4 GiB")?);
            self.text.push_str(value);
            let start = u32::try_from(base + offset as usize).map_err(|_| "postings exceed 4 GiB")?;
            self.posting_starts.push(start);
        }
        self.postings.extend_from_slice(lists);
        let end = u32::try_from(self.posting_starts.len()).map_err(|_| "more than 2^32 values")?;
        if end - first != values {
            return Err(format!("{} values, expected {values}", end - first));
        }
        self.names.push(NameEntry { name: name.to_owned(), pairs: first..end });
        Ok(())
    }

    /// Turns postings around: which pairs each row has.
    fn fill_rows(&mut self) -> Result<(), String> {
        let mut counts = vec![0u32; self.rows as usize + 1];
        let mut total = 0u64;
        for pair in 0..self.posting_starts.len() as u32 {
            self.for_each_run(pair, |run| {
                total += u64::from(run.end - run.start);
                run.for_each(|row| counts[row as usize] += 1);
            })?;
        }
        if total > u64::from(u32::MAX) {
            return Err("more than 2^32 labels".to_owned());
        }
        let mut sum = 0;
        for count in &mut counts {
            (*count, sum) = (sum, sum + *count);
        }
        let mut next = counts.clone();
        let mut row_pairs = vec![0u32; total as usize];
        for pair in 0..self.posting_starts.len() as u32 {
            self.for_each_run(pair, |run| {
                for row in run {
                    row_pairs[next[row as usize] as usize] = pair;
                    next[row as usize] += 1;
                }
            })?;
        }
        (self.row_starts, self.row_pairs) = (counts, row_pairs);
        Ok(())
    }

    /// Hands each run of rows that have a pair to `visit`.
    pub(super) fn for_each_run(&self, pair: u32, visit: impl FnMut(Range<u32>)) -> Result<(), String> {
        let bytes = &self.postings[self.posting_starts[pair as usize] as usize..];
        let read = postings::for_each_run(bytes, self.rows, visit);
        read.map(|_| ()).map_err(|e| format!("postings of {:?}: {e}", self.value(pair)))
    }

    /// Returns how many rows there are.
    pub(crate) fn rows(&self) -> u32 {
        self.rows
    }

    /// Returns all label names, ascending.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|entry| entry.name.as_str())
    }

    /// Returns the pairs of each name, in the order of names; none is empty.
    pub(crate) fn name_pairs(&self) -> impl Iterator<Item = Range<u32>> {
        self.names.iter().map(|entry| entry.pairs.clone()).filter(|pairs| !pairs.is_empty())
    }

    /// Returns how many pairs there are.
    pub(crate) fn pairs(&self) -> u32 {
        self.posting_starts.len() as u32
    }

    /// Returns the entry of a name, if any row has it.
    pub(super) fn entry(&self, name: &str) -> Option<&NameEntry> {
        let position = self.names.binary_search_by(|entry| entry.name.as_str().cmp(name)).ok()?;
        Some(&self.names[position])
    }

    /// Returns the pairs of a name, as a range of positions for [`LabelIndex::value`]; empty for an unknown name.
    pub(crate) fn pairs_of(&self, name: &str) -> Range<u32> {
        self.entry(name).map_or(0..0, |entry| entry.pairs.clone())
    }

    /// Returns the value of a pair.
    pub(crate) fn value(&self, pair: u32) -> &str {
        let pair = pair as usize;
        &self.text[self.text_starts[pair] as usize..self.text_starts[pair + 1] as usize]
    }

    /// Returns the pairs of a row, ascending.
    pub(crate) fn pairs_of_row(&self, row: u32) -> &[u32] {
        let row = row as usize;
        &self.row_pairs[self.row_starts[row] as usize..self.row_starts[row + 1] as usize]
    }

    /// Returns the name of a pair.
    pub(crate) fn name_of(&self, pair: u32) -> &str {
        let position = self.names.partition_point(|entry| entry.pairs.end <= pair);
        &self.names[position].name
    }

    /// Returns the labels of a row.
    ///
    /// # Errors
    /// A sentence when a row has two values of one label.
    pub(crate) fn labels(&self, row: u32) -> Result<LabelSet, String> {
        let pairs = self.pairs_of_row(row).iter().map(|pair| (self.name_of(*pair), self.value(*pair)));
        LabelSet::from_sorted(pairs).map_err(|e| format!("row {row}: {e}"))
    }

    /// Returns about how many bytes the index takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let names: usize = self.names.iter().map(|entry| size_of::<NameEntry>() + entry.name.len()).sum();
        let numbers =
            self.text_starts.len() + self.posting_starts.len() + self.row_starts.len() + self.row_pairs.len();
        names + self.text.len() + self.postings.len() + 4 * numbers
    }
}
