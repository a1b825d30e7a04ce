//! Which rows of the inputs make up each row of the output. In memory: labels of all series, and eight bytes an input row.

use hashbrown::HashMap;
use model::{LabelSet, SortRange, TimeRange};

use crate::erase::Erase;
use crate::error::BlockError;
use crate::order::LabelTable;
use crate::reader::BlockReader;

/// A row of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// Which input.
    pub(super) input: u16,
    /// Which of its rows.
    pub(super) row: u32,
}

/// The rows of the output, in their order.
pub(super) struct Rows {
    /// Labels of each.
    pub(super) labels: Vec<LabelSet>,
    /// Bits of what each holds: all that an input says.
    pub(super) kinds: Vec<u8>,
    /// Names of labels, as they sort the rows.
    pub(super) sort_names: Vec<String>,
    sources: Vec<Source>,
    /// Where the sources of each row begin, and where the last ones end.
    starts: Vec<usize>,
}

impl Rows {
    /// Joins those rows of all inputs that lie in a range of series on their labels, without rows whose samples are all erased.
    /// CPU-bound, linear in the number of labels of all rows.
    ///
    /// # Errors
    /// [`BlockError::Input`] when an input's index is damaged.
    pub(super) fn join(
        inputs: &[BlockReader],
        part: &SortRange,
        erase: &dyn Erase,
    ) -> Result<Self, BlockError> {
        let mut numbers: HashMap<LabelSet, u32> = HashMap::new();
        let mut kinds: Vec<u8> = Vec::new();
        let mut sources: Vec<(u32, Source)> = Vec::new();
        for (input, reader) in inputs.iter().enumerate() {
            let file = reader.series_file();
            for row in 0..file.index.rows() {
                let fault = |source| BlockError::Input { block: reader.meta().id, source: Box::new(source) };
                let labels = reader.labels(row).map_err(fault)?;
                if !part.contains(labels.metric_name(), || labels.stable_hash()) {
                    continue;
                }
                let held = TimeRange::new(file.first_ms[row as usize], file.last_ms[row as usize]);
                if !erase.is_nothing() && erase.erased(reader.meta().id, &labels).covers(&held) {
                    continue;
                }
                let number = *numbers.entry(labels).or_insert(kinds.len() as u32);
                if number as usize == kinds.len() {
                    kinds.push(0);
                }
                kinds[number as usize] |= file.kinds[row as usize];
                sources.push((number, Source { input: input as u16, row }));
            }
        }
        let mut labels: Vec<(u32, LabelSet)> =
            numbers.into_iter().map(|(labels, number)| (number, labels)).collect();
        labels.sort_unstable_by_key(|(number, _)| *number);
        Ok(Self::order(labels.into_iter().map(|(_, labels)| labels).collect(), &kinds, sources))
    }

    /// Brings rows, which are numbered by their first appearance, into the order of a block.
    fn order(mut labels: Vec<LabelSet>, kinds: &[u8], mut sources: Vec<(u32, Source)>) -> Self {
        let mut table = LabelTable::new(labels.iter());
        let sort_labels = table.sort_labels();
        let (order, _) = table.rows(&sort_labels);
        let sort_names = sort_labels.iter().map(|name| table.names[*name as usize].to_string()).collect();
        drop(table);
        let mut ranks = vec![0u32; order.len()];
        for (rank, number) in order.iter().enumerate() {
            ranks[*number as usize] = rank as u32;
        }
        // Sources were gathered by input, and a stable sort keeps that order within each row.
        sources.sort_by_key(|(number, _)| ranks[*number as usize]);
        let mut starts = vec![0; order.len() + 1];
        for (number, _) in &sources {
            starts[ranks[*number as usize] as usize + 1] += 1;
        }
        for row in 0..order.len() {
            starts[row + 1] += starts[row];
        }
        Self {
            labels: order.iter().map(|number| std::mem::take(&mut labels[*number as usize])).collect(),
            kinds: order.iter().map(|number| kinds[*number as usize]).collect(),
            sort_names,
            sources: sources.into_iter().map(|(_, source)| source).collect(),
            starts,
        }
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Returns what one row is made of, by input.
    pub(super) fn sources(&self, row: usize) -> &[Source] {
        &self.sources[self.starts[row]..self.starts[row + 1]]
    }
}
