//! Vectors: a table of floats, one row a series, one column a step.
//!
//! A cell without a sample holds the staleness marker's bits: no other result has them, since selectors turn markers
//! into absence and arithmetic only yields NaNs of its own. Rows without any sample are left out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use model::LabelSet;
use model::labels::METRIC_NAME;

use crate::error::QueryError;

/// The labels that go when a metric's name goes.
pub(super) const NAME_LABELS: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// What a cell without a sample holds.
pub(super) const ABSENT: f64 = f64::from_bits(model::STALE_NAN_BITS);

/// Tells whether a cell holds no sample.
pub(super) fn is_absent(value: f64) -> bool {
    value.to_bits() == model::STALE_NAN_BITS
}

/// Who a row is.
#[derive(Clone, Debug)]
pub(super) struct SeriesMeta {
    pub(super) labels: LabelSet,
    /// The name is to be removed at the end.
    pub(super) drop_name: bool,
}

impl SeriesMeta {
    pub(super) fn new(labels: LabelSet) -> Self {
        Self { labels, drop_name: false }
    }
}

/// What becomes of rows with equal labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collisions {
    /// They become one row, unless both have a sample at one step.
    Merge,
    /// They are an error.
    Refuse,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Vector {
    pub(super) series: Vec<SeriesMeta>,
    pub(super) steps: usize,
    pub(super) values: Vec<f64>,
}

impl Vector {
    pub(super) fn new(steps: usize) -> Self {
        Self { series: Vec::new(), steps, values: Vec::new() }
    }

    pub(super) fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.steps..(index + 1) * self.steps]
    }

    pub(super) fn row_mut(&mut self, index: usize) -> &mut [f64] {
        &mut self.values[index * self.steps..(index + 1) * self.steps]
    }

    /// Appends a row, unless it is empty.
    pub(super) fn push(&mut self, series: SeriesMeta, row: &[f64]) {
        if row.iter().any(|value| !is_absent(*value)) {
            self.series.push(series);
            self.values.extend_from_slice(row);
        }
    }

    /// Tells whether there is a sample.
    pub(super) fn has(&self, row: usize, step: usize) -> bool {
        !is_absent(self.values[row * self.steps + step])
    }

    /// Appends a row of another vector under other labels, with the cells of the chosen steps; nothing if none is left.
    pub(super) fn push_cells(
        &mut self,
        series: SeriesMeta,
        from: &Self,
        row: usize,
        choose: impl Fn(usize) -> bool,
    ) {
        if !(0..self.steps).any(|step| choose(step) && from.has(row, step)) {
            return;
        }
        self.series.push(series);
        let cells = from.row(row).iter().enumerate();
        self.values.extend(cells.map(|(step, value)| if choose(step) { *value } else { ABSENT }));
    }

    /// Appends the rows of a vector with as many steps.
    pub(super) fn extend(&mut self, part: Self) {
        self.series.extend(part.series);
        self.values.extend(part.values);
    }

    /// Returns how many samples there are.
    pub(super) fn samples(&self) -> usize {
        self.values.iter().filter(|value| !is_absent(**value)).count()
    }

    /// Changes every sample.
    pub(super) fn map(&mut self, change: impl Fn(f64) -> f64) {
        for value in &mut self.values {
            *value = if is_absent(*value) { ABSENT } else { change(*value) };
        }
    }

    /// Changes or removes every sample, given its step.
    pub(super) fn map_steps(&mut self, change: impl Fn(usize, f64) -> f64) {
        if self.steps == 0 {
            return;
        }
        for row in self.values.chunks_exact_mut(self.steps) {
            for (step, value) in row.iter_mut().enumerate() {
                *value = if is_absent(*value) { ABSENT } else { change(step, *value) };
            }
        }
    }

    /// Keeps the cells that a predicate of row and step chooses, and the rows that then have any.
    pub(super) fn retain_cells(&mut self, keep: impl Fn(usize, usize) -> bool) {
        for row in 0..self.series.len() {
            for (step, value) in self.row_mut(row).iter_mut().enumerate() {
                if !keep(row, step) {
                    *value = ABSENT;
                }
            }
        }
        self.remove_empty_rows();
    }

    /// Leaves out rows that became empty.
    pub(super) fn remove_empty_rows(&mut self) {
        let empty = |row: &[f64]| row.iter().all(|value| is_absent(*value));
        if !(0..self.series.len()).any(|index| empty(self.row(index))) {
            return;
        }
        let mut kept = Self::new(self.steps);
        for (index, series) in std::mem::take(&mut self.series).into_iter().enumerate() {
            kept.push(series, self.row(index));
        }
        *self = kept;
    }

    /// Returns the vector with its rows sorted by labels.
    pub(super) fn sorted(self) -> Self {
        let mut order: Vec<usize> = (0..self.series.len()).collect();
        order.sort_by(|a, b| self.series[*a].labels.cmp(&self.series[*b].labels));
        let mut sorted = Self::new(self.steps);
        for index in order {
            sorted.push(self.series[index].clone(), self.row(index));
        }
        sorted
    }

    /// Returns the vector repeated over so many steps, when it has one.
    pub(super) fn spread(self, steps: usize) -> Self {
        if self.steps != 1 || steps == 1 {
            return self;
        }
        let values = self.values.iter().flat_map(|value| std::iter::repeat_n(*value, steps)).collect();
        let series = if steps == 0 { Vec::new() } else { self.series };
        Self { series, steps, values }
    }

    /// Removes the names of chosen rows.
    pub(super) fn remove_names(
        &mut self,
        choose: impl Fn(&SeriesMeta) -> bool,
        collisions: Collisions,
    ) -> Result<(), QueryError> {
        // Rows that differ in more than their names cannot collide; those are all of one name, as a rule.
        let mut names_differ = false;
        let mut first: Option<String> = None;
        for series in &mut self.series {
            if !choose(series) {
                names_differ = true;
                continue;
            }
            let name = series.labels.metric_name();
            match &first {
                Some(first) => names_differ |= first != name,
                None => first = Some(name.to_owned()),
            }
            let extra = series.labels.iter().any(|(n, _)| n == NAME_LABELS[1] || n == NAME_LABELS[2]);
            names_differ |= extra;
            if !name.is_empty() || extra {
                series.labels = series.labels.without(&NAME_LABELS);
            }
            series.drop_name = false;
        }
        if names_differ && first.is_some() { self.join_equal(collisions) } else { Ok(()) }
    }

    /// Makes labels unique.
    pub(super) fn join_equal(&mut self, collisions: Collisions) -> Result<(), QueryError> {
        let mut first_of: HashMap<&LabelSet, usize> = HashMap::with_capacity(self.series.len());
        let mut joins: Vec<(usize, usize)> = Vec::new();
        for (index, series) in self.series.iter().enumerate() {
            match first_of.entry(&series.labels) {
                Entry::Vacant(slot) => {
                    slot.insert(index);
                }
                Entry::Occupied(_) if collisions == Collisions::Refuse => {
                    return Err(QueryError::same_labelset());
                }
                Entry::Occupied(first) => joins.push((*first.get(), index)),
            }
        }
        if joins.is_empty() {
            return Ok(());
        }
        for (into, from) in joins {
            for step in 0..self.steps {
                let value = self.values[from * self.steps + step];
                if is_absent(value) {
                    continue;
                }
                let slot = &mut self.values[into * self.steps + step];
                if !is_absent(*slot) {
                    return Err(QueryError::same_labelset());
                }
                *slot = value;
                self.values[from * self.steps + step] = ABSENT;
            }
            self.series[into].drop_name |= self.series[from].drop_name;
        }
        self.remove_empty_rows();
        Ok(())
    }
}

/// Prints labels in braces, the name among them, as some error texts do.
pub(super) fn labels_text(labels: &LabelSet) -> String {
    let parts: Vec<String> = labels
        .iter()
        .map(|(name, value)| {
            let name = if model::labels::is_legacy_label_name(name) {
                name.to_owned()
            } else {
                model::labels::quote(name)
            };
            format!("{name}={}", model::labels::quote(value))
        })
        .collect();
    format!("{{{}}}", parts.join(", "))
}
