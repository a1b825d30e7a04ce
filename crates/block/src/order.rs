//! The order of a block's rows, chosen so that what queries ask for together lies together.
//!
//! Rows sort by metric name first, then by the labels that identify targets (they occur in many metrics: `namespace`,
//! `job`, `pod`), fewest distinct values first, then by the labels of single metrics (`le`, `path`), again fewest distinct
//! values first. An absent label sorts before every value. With the alphabetical order a query for one namespace of one
//! metric would touch most of the metric's pages.

use std::borrow::Borrow;

use hashbrown::{HashSet, HashTable};
use model::LabelSet;
use model::labels::METRIC_NAME;
use xxhash_rust::xxh3::xxh3_64;

/// A label that occurs in this many metrics identifies targets ...
const TARGET_LABEL_METRICS_MIN: usize = 16;
/// ... and so does one that occurs in one metric of this many.
const TARGET_LABEL_METRICS_SHARE: usize = 5;

/// One label of one series: positions in [`LabelTable::names`] and in that name's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) name: u32,
    pub(crate) value: u32,
}

/// The labels of many series with every text numbered: eight bytes a label, and each text once.
pub(crate) struct LabelTable {
    /// Label names, ascending.
    pub(crate) names: Vec<Box<str>>,
    /// Values of each name, ascending.
    pub(crate) values: Vec<Vec<Box<str>>>,
    starts: Vec<usize>,
    cells: Vec<Cell>,
}

/// Texts in the order of their first appearance.
#[derive(Default)]
struct Interner {
    numbers: HashTable<u32>,
    texts: Vec<Box<str>>,
}

impl Interner {
    fn number(&mut self, text: &str) -> u32 {
        let (texts, hash_of) = (&mut self.texts, |text: &str| xxh3_64(text.as_bytes()));
        let is_same = |number: &u32| *texts[*number as usize] == *text;
        if let Some(number) = self.numbers.find(hash_of(text), is_same) {
            return *number;
        }
        let number = texts.len() as u32;
        texts.push(text.into());
        self.numbers.insert_unique(hash_of(text), number, |number| hash_of(&texts[*number as usize]));
        number
    }

    /// Returns the texts ascending, and for each number by appearance the number by order.
    fn sorted(mut self) -> (Vec<Box<str>>, Vec<u32>) {
        let mut by_text: Vec<u32> = (0..self.texts.len() as u32).collect();
        by_text.sort_unstable_by(|a, b| self.texts[*a as usize].cmp(&self.texts[*b as usize]));
        let mut ranks = vec![0; by_text.len()];
        for (rank, number) in by_text.iter().enumerate() {
            ranks[*number as usize] = rank as u32;
        }
        (by_text.iter().map(|number| std::mem::take(&mut self.texts[*number as usize])).collect(), ranks)
    }
}

/// Gathers the labels of series, one after the other, for a [`LabelTable`].
pub(crate) struct LabelTableBuilder {
    names: Interner,
    /// By name.
    values: Vec<Interner>,
    starts: Vec<usize>,
    cells: Vec<Cell>,
}

impl Default for LabelTableBuilder {
    fn default() -> Self {
        Self { names: Interner::default(), values: Vec::new(), starts: vec![0], cells: Vec::new() }
    }
}

impl LabelTableBuilder {
    /// Appends the labels of a series.
    pub(crate) fn push(&mut self, labels: &LabelSet) {
        for (name, value) in labels {
            let name = self.names.number(name);
            if name as usize == self.values.len() {
                self.values.push(Interner::default());
            }
            let value = self.values[name as usize].number(value);
            self.cells.push(Cell { name, value });
        }
        self.starts.push(self.cells.len());
    }

    /// Tells whether the labels of a series, by its number, are these.
    pub(crate) fn are_labels_of(&self, series: usize, labels: &LabelSet) -> bool {
        let text = |cell: &Cell| {
            let (name, values) = (cell.name as usize, &self.values[cell.name as usize].texts);
            (&*self.names.texts[name], &*values[cell.value as usize])
        };
        self.cells[self.starts[series]..self.starts[series + 1]].iter().map(text).eq(labels.iter())
    }

    /// Returns how many series there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Brings all texts into their order.
    pub(crate) fn finish(self) -> LabelTable {
        let Self { names, values, starts, mut cells } = self;
        let (sorted_names, name_ranks) = names.sorted();
        let mut sorted_values = vec![Vec::new(); sorted_names.len()];
        let mut value_ranks = Vec::with_capacity(values.len());
        for (number, interner) in values.into_iter().enumerate() {
            let (texts, ranks) = interner.sorted();
            sorted_values[name_ranks[number] as usize] = texts;
            value_ranks.push(ranks);
        }
        for cell in &mut cells {
            cell.value = value_ranks[cell.name as usize][cell.value as usize];
            cell.name = name_ranks[cell.name as usize];
        }
        LabelTable { names: sorted_names, values: sorted_values, starts, cells }
    }
}

impl LabelTable {
    /// Numbers the labels of series.
    pub(crate) fn new(series: impl Iterator<Item = impl Borrow<LabelSet>>) -> Self {
        let mut builder = LabelTableBuilder::default();
        series.for_each(|labels| builder.push(labels.borrow()));
        builder.finish()
    }

    /// Returns the label set of one series.
    pub(crate) fn label_set(&self, series: usize) -> LabelSet {
        let text = |cell: &Cell| (&*self.names[cell.name as usize], self.value(*cell));
        LabelSet::from_sorted(self.cells(series).iter().map(text)).expect("it was a label set")
    }

    /// Returns the value of a label.
    pub(crate) fn value(&self, cell: Cell) -> &str {
        &self.values[cell.name as usize][cell.value as usize]
    }

    /// Returns how many series there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Returns the labels of one series, by name.
    pub(crate) fn cells(&self, series: usize) -> &[Cell] {
        &self.cells[self.starts[series]..self.starts[series + 1]]
    }

    /// Returns how many series have each label name.
    pub(crate) fn frequencies(&self) -> Vec<usize> {
        let mut frequencies = vec![0; self.names.len()];
        for cell in &self.cells {
            frequencies[cell.name as usize] += 1;
        }
        frequencies
    }

    /// Returns the positions of all label names in the order in which they sort rows.
    pub(crate) fn sort_labels(&self) -> Vec<u32> {
        let metric_name = self
            .names
            .binary_search_by(|name| (**name).cmp(METRIC_NAME))
            .ok()
            .map(|position| position as u32);
        let mut seen = HashSet::new();
        let mut metrics_of_name = vec![0usize; self.names.len()];
        let mut metrics = HashSet::new();
        for series in 0..self.len() {
            let cells = self.cells(series);
            let metric = cells.iter().find(|cell| Some(cell.name) == metric_name).map(|cell| cell.value);
            metrics.insert(metric);
            for cell in cells {
                if seen.insert((cell.name, metric)) {
                    metrics_of_name[cell.name as usize] += 1;
                }
            }
        }
        let is_target_label = |name: u32| {
            let count = metrics_of_name[name as usize];
            count >= TARGET_LABEL_METRICS_MIN || count * TARGET_LABEL_METRICS_SHARE >= metrics.len()
        };
        let mut order: Vec<u32> = (0..self.names.len() as u32).collect();
        order.sort_by_key(|name| {
            (Some(*name) != metric_name, !is_target_label(*name), self.values[*name as usize].len(), *name)
        });
        order
    }

    /// Returns the positions of label names, in the order given, without those that no series has.
    pub(crate) fn positions<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<u32> {
        names
            .filter_map(|name| self.names.binary_search_by(|known| (**known).cmp(name)).ok())
            .map(|position| position as u32)
            .collect()
    }

    /// Returns the series in row order, and the positions of two series with the same labels, if there are any. The table is
    /// as it was after, and not while it lasts: its cells are compared where they stand.
    pub(crate) fn rows(&mut self, sort_labels: &[u32]) -> (Vec<u32>, Option<(u32, u32)>) {
        let mut rank_of_name = vec![0u32; self.names.len()];
        for (rank, name) in sort_labels.iter().enumerate() {
            rank_of_name[*name as usize] = rank as u32;
        }
        self.rename(&rank_of_name);
        let mut rows: Vec<u32> = (0..self.len() as u32).collect();
        let key = |series: u32| self.cells(series as usize);
        rows.sort_unstable_by(|a, b| compare(key(*a), key(*b)).then(a.cmp(b)));
        let twins = rows.windows(2).find(|pair| key(pair[0]) == key(pair[1])).map(|pair| (pair[0], pair[1]));
        self.rename(sort_labels);
        (rows, twins)
    }

    /// Gives names other numbers, and brings the cells of each series in their order.
    fn rename(&mut self, numbers: &[u32]) {
        for cell in &mut self.cells {
            cell.name = numbers[cell.name as usize];
        }
        for bounds in self.starts.windows(2) {
            self.cells[bounds[0]..bounds[1]].sort_unstable_by_key(|cell| cell.name);
        }
    }
}

/// Compares two rows by their labels in sort order; who lacks the label where they first differ comes first.
fn compare(a: &[Cell], b: &[Cell]) -> std::cmp::Ordering {
    for (a, b) in a.iter().zip(b) {
        let order = b.name.cmp(&a.name).then(a.value.cmp(&b.value));
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(series: &[LabelSet]) -> Vec<String> {
        let mut table = LabelTable::new(series.iter());
        let (rows, twins) = table.rows(&table.sort_labels());
        assert_eq!(twins, None);
        rows.iter().map(|row| series[*row as usize].to_string()).collect()
    }

    #[test]
    fn target_labels_sort_before_local_ones_and_few_values_before_many() {
        // `job` and `pod` occur in every metric, `path` in one of six; `path` has fewer values than `pod`.
        let mut series = Vec::new();
        for metric in ["a", "b", "c", "d", "e", "http"] {
            for (job, pod) in [("x", "1"), ("x", "2"), ("x", "3"), ("y", "4")] {
                let mut labels = vec![("__name__", metric), ("job", job), ("pod", pod)];
                if metric == "http" {
                    labels.push(("path", if pod == "3" || pod == "4" { "/a" } else { "/b" }));
                }
                series.push(LabelSet::from_pairs(labels));
            }
        }
        series.reverse();
        let table = LabelTable::new(series.iter());
        let names: Vec<&str> = table.sort_labels().iter().map(|name| &*table.names[*name as usize]).collect();
        assert_eq!(names, ["__name__", "job", "pod", "path"]);
        let http: Vec<String> =
            sorted(&series).into_iter().filter(|labels| labels.starts_with("http")).collect();
        assert_eq!(
            http,
            [
                r#"http{job="x", path="/b", pod="1"}"#,
                r#"http{job="x", path="/b", pod="2"}"#,
                r#"http{job="x", path="/a", pod="3"}"#,
                r#"http{job="y", path="/a", pod="4"}"#,
            ]
        );
    }

    #[test]
    fn an_absent_label_sorts_before_every_value() {
        let set = |pairs: &[(&str, &str)]| LabelSet::from_pairs(pairs.iter().copied());
        let series = [
            set(&[("__name__", "m"), ("a", "1"), ("b", "1")]),
            set(&[("__name__", "m"), ("b", "1")]),
            set(&[("__name__", "m"), ("a", "1")]),
            set(&[("__name__", "m")]),
            set(&[]),
        ];
        assert_eq!(sorted(&series), ["{}", "m", r#"m{b="1"}"#, r#"m{a="1"}"#, r#"m{a="1", b="1"}"#]);
    }

    #[test]
    fn twins_are_found() {
        let twin = LabelSet::from_pairs([("a", "1")]);
        let series = [twin.clone(), LabelSet::from_pairs([("a", "2")]), twin];
        let mut table = LabelTable::new(series.iter());
        assert_eq!(table.rows(&table.sort_labels()).1, Some((0, 2)));
    }
}
