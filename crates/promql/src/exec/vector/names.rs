//! What a vector's rows are called: names removed, equal labels made one row.

use model::LabelSet;
use model::labels::METRIC_NAME;

use super::row::no_cells;
use super::{ABSENT, SeriesMeta, Vector};
use crate::error::QueryError;
use crate::exec::label_ids::LabelIds;

/// The labels that go when a metric's name goes.
pub(in super::super) const NAME_LABELS: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// What becomes of rows with equal labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Collisions {
    /// They become one row, unless both have a sample at one step.
    Merge,
    /// They are an error.
    Refuse,
}

impl Vector {
    /// Removes the names of chosen rows.
    pub(in super::super) fn remove_names(
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
            let extra = NAME_LABELS[1..].iter().any(|label| !series.labels.get(label).is_empty());
            names_differ |= extra;
            if !name.is_empty() || extra {
                series.labels = series.labels.without(&NAME_LABELS);
            }
            series.drop_name = false;
        }
        if names_differ && first.is_some() { self.join_equal(collisions) } else { Ok(()) }
    }

    /// Makes labels unique.
    pub(in super::super) fn join_equal(&mut self, collisions: Collisions) -> Result<(), QueryError> {
        let mut ids = LabelIds::default();
        let mut firsts: Vec<usize> = Vec::with_capacity(self.series.len());
        let mut joins: Vec<(usize, usize)> = Vec::new();
        for (index, series) in self.series.iter().enumerate() {
            match firsts.get(ids.id(&series.labels) as usize) {
                None => firsts.push(index),
                Some(_) if collisions == Collisions::Refuse => return Err(QueryError::same_labelset()),
                Some(first) => joins.push((*first, index)),
            }
        }
        if joins.is_empty() {
            return Ok(());
        }
        for (into, from) in joins {
            for step in 0..self.steps {
                if !self.has(from, step) {
                    continue;
                }
                if self.has(into, step) {
                    return Err(QueryError::same_labelset());
                }
                let value = std::mem::replace(&mut self.values[from * self.steps + step], ABSENT);
                self.values[into * self.steps + step] = value;
            }
            self.join_cells(into, from);
            self.series[into].drop_name |= self.series[from].drop_name;
        }
        self.remove_empty_rows();
        Ok(())
    }

    /// Moves the histograms of one row to another, which has nothing at their steps.
    fn join_cells(&mut self, into: usize, from: usize) {
        let Some(cells) = self.histograms.get_mut(from).and_then(Option::take) else { return };
        let target = self.histograms[into].get_or_insert_with(|| no_cells(self.steps));
        for (slot, cell) in target.iter_mut().zip(cells) {
            if cell.is_some() {
                *slot = cell;
            }
        }
    }
}

/// Prints labels in braces, the name among them, as some error texts do.
pub(in super::super) fn labels_text(labels: &LabelSet) -> String {
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
