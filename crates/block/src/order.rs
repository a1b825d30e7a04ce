//! The order of a block's rows, chosen so that what queries ask for together lies together.
//!
//! Rows sort by metric name first, then by the labels that identify targets (they occur in many metrics: `namespace`,
//! `job`, `pod`), fewest distinct values first, then by the labels of single metrics (`le`, `path`), again fewest distinct
//! values first. An absent label sorts before every value. With the alphabetical order a query for one namespace of one
//! metric would touch most of the metric's pages.

use hashbrown::{HashMap, HashSet};
use model::LabelSet;
use model::labels::METRIC_NAME;

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

/// The labels of many series with every text numbered.
pub(crate) struct LabelTable<'a> {
    /// Label names, ascending.
    pub(crate) names: Vec<&'a str>,
    /// Values of each name, ascending.
    pub(crate) values: Vec<Vec<&'a str>>,
    starts: Vec<usize>,
    cells: Vec<Cell>,
}

/// Texts in the order of their first appearance.
#[derive(Default)]
struct Interner<'a> {
    numbers: HashMap<&'a str, u32>,
    texts: Vec<&'a str>,
}

impl<'a> Interner<'a> {
    fn number(&mut self, text: &'a str) -> u32 {
        *self.numbers.entry(text).or_insert_with(|| {
            self.texts.push(text);
            (self.texts.len() - 1) as u32
        })
    }

    /// Returns the texts ascending, and for each number by appearance the number by order.
    fn sorted(self) -> (Vec<&'a str>, Vec<u32>) {
        let mut by_text: Vec<u32> = (0..self.texts.len() as u32).collect();
        by_text.sort_unstable_by_key(|number| self.texts[*number as usize]);
        let mut ranks = vec![0; by_text.len()];
        for (rank, number) in by_text.iter().enumerate() {
            ranks[*number as usize] = rank as u32;
        }
        (by_text.iter().map(|number| self.texts[*number as usize]).collect(), ranks)
    }
}

impl<'a> LabelTable<'a> {
    /// Numbers the labels of series.
    pub(crate) fn new(series: impl Iterator<Item = &'a LabelSet>) -> Self {
        let mut names = Interner::default();
        let mut values: Vec<Interner<'a>> = Vec::new();
        let (mut starts, mut cells) = (vec![0], Vec::new());
        for labels in series {
            for (name, value) in labels {
                let name = names.number(name);
                if name as usize == values.len() {
                    values.push(Interner::default());
                }
                let value = values[name as usize].number(value);
                cells.push(Cell { name, value });
            }
            starts.push(cells.len());
        }
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
        Self { names: sorted_names, values: sorted_values, starts, cells }
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
        let metric_name = self.names.binary_search(&METRIC_NAME).ok().map(|position| position as u32);
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
            .filter_map(|name| self.names.binary_search(&name).ok())
            .map(|position| position as u32)
            .collect()
    }

    /// Returns the series in row order, and the positions of two series with the same labels, if there are any.
    pub(crate) fn rows(&self, sort_labels: &[u32]) -> (Vec<u32>, Option<(u32, u32)>) {
        let mut rank_of_name = vec![0u32; self.names.len()];
        for (rank, name) in sort_labels.iter().enumerate() {
            rank_of_name[*name as usize] = rank as u32;
        }
        let mut keys = self.cells.clone();
        for cell in &mut keys {
            cell.name = rank_of_name[cell.name as usize];
        }
        for series in 0..self.len() {
            keys[self.starts[series]..self.starts[series + 1]].sort_unstable_by_key(|cell| cell.name);
        }
        let key = |series: u32| &keys[self.starts[series as usize]..self.starts[series as usize + 1]];
        let mut rows: Vec<u32> = (0..self.len() as u32).collect();
        rows.sort_unstable_by(|a, b| compare(key(*a), key(*b)).then(a.cmp(b)));
        let twins = rows.windows(2).find(|pair| key(pair[0]) == key(pair[1])).map(|pair| (pair[0], pair[1]));
        (rows, twins)
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
        let table = LabelTable::new(series.iter());
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
        let names: Vec<&str> = table.sort_labels().iter().map(|name| table.names[*name as usize]).collect();
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
        let table = LabelTable::new(series.iter());
        assert_eq!(table.rows(&table.sort_labels()).1, Some((0, 2)));
    }
}
