//! Which rows of the inputs make up each row of the output. In memory: labels of all series as numbers ([`LabelTable`]), and
//! a few bytes an input row.

use hashbrown::HashTable;
use model::{LabelSet, SortRange, TimeRange};

use crate::erase::Erase;
use crate::error::BlockError;
use crate::order::{LabelTable, LabelTableBuilder};
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
    /// Labels of all, in the order of their first appearance.
    table: LabelTable,
    /// Where the labels of each stand in `table`.
    order: Vec<u32>,
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
        let (mut numbers, mut table) = (HashTable::new(), LabelTableBuilder::default());
        let (mut kinds, mut hashes): (Vec<u8>, Vec<u64>) = (Vec::new(), Vec::new());
        let mut sources: Vec<(u32, Source)> = Vec::new();
        for (input, reader) in inputs.iter().enumerate() {
            let file = reader.series_file();
            for row in 0..file.index.rows() {
                let fault = |source| BlockError::Input { block: reader.meta().id, source: Box::new(source) };
                let labels = reader.labels(row).map_err(fault)?;
                let hash = labels.stable_hash();
                if !part.contains(labels.metric_name(), || hash) {
                    continue;
                }
                let held = TimeRange::new(file.first_ms[row as usize], file.last_ms[row as usize]);
                if !erase.is_nothing() && erase.erased(reader.meta().id, &labels).covers(&held) {
                    continue;
                }
                let is_same = |number: &u32| table.are_labels_of(*number as usize, &labels);
                let number = numbers.find(hash, is_same).copied().unwrap_or_else(|| {
                    let number = kinds.len() as u32;
                    table.push(&labels);
                    kinds.push(0);
                    hashes.push(hash);
                    numbers.insert_unique(hash, number, |number| hashes[*number as usize]);
                    number
                });
                kinds[number as usize] |= file.kinds[row as usize];
                sources.push((number, Source { input: input as u16, row }));
            }
        }
        drop((numbers, hashes));
        Ok(Self::order(table.finish(), &kinds, sources))
    }

    /// Brings rows, which are numbered by their first appearance, into the order of a block.
    fn order(mut table: LabelTable, kinds: &[u8], mut sources: Vec<(u32, Source)>) -> Self {
        let sort_labels = table.sort_labels();
        let (order, _) = table.rows(&sort_labels);
        let sort_names = sort_labels.iter().map(|name| table.names[*name as usize].to_string()).collect();
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
            kinds: order.iter().map(|number| kinds[*number as usize]).collect(),
            table,
            order,
            sort_names,
            sources: sources.into_iter().map(|(_, source)| source).collect(),
            starts,
        }
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Returns the labels of one row. Linear in their length.
    pub(super) fn labels(&self, row: usize) -> LabelSet {
        self.table.label_set(self.order[row] as usize)
    }

    /// Returns what one row is made of, by input.
    pub(super) fn sources(&self, row: usize) -> &[Source] {
        &self.sources[self.starts[row]..self.starts[row + 1]]
    }
}
