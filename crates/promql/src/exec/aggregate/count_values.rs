//! `count_values`: one series for each different value, sorted by labels, so that ties above do not depend on the steps.

use std::collections::HashMap;

use model::LabelSet;

use super::super::Context;
use super::super::vector::{ABSENT, SeriesMeta, Vector, is_absent};
use super::{Groups, keeps};
use crate::ast::Aggregate;
use crate::error::QueryError;
use crate::parser::text::quote_bytes;

impl Context<'_> {
    pub(super) fn count_values(
        &self,
        aggregate: &Aggregate,
        label: &[u8],
        input: &Vector,
    ) -> Result<Vector, QueryError> {
        let label = std::str::from_utf8(label)
            .ok()
            .filter(|label| !label.is_empty())
            .ok_or_else(|| QueryError::Execution(format!("invalid label name {}", quote_bytes(label))))?;
        // The value is put in before series are grouped: it hides a label of the same name, and `without` may drop it.
        let groups = Groups::new(input, |name| name != label && keeps(aggregate, name));
        let is_kept = !aggregate.without || keeps(aggregate, label);
        let mut vector = Vector::new(input.steps);
        let mut known: HashMap<LabelSet, usize> = HashMap::new();
        let mut kept = self.block_memory();
        for (rows, series) in groups.rows.iter().zip(groups.series) {
            self.budget.check()?;
            // All NaNs print alike, zero and minus zero do not.
            let mut row_of: HashMap<u64, usize> = HashMap::new();
            let mut row_of_text: HashMap<String, usize> = HashMap::new();
            for row in rows {
                for (step, value) in input.row(*row as usize).iter().enumerate() {
                    if is_absent(*value) {
                        continue;
                    }
                    let key = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
                    if !row_of.contains_key(&key) {
                        kept.make_room(&mut vector.values, vector.steps)?;
                    }
                    let index = *row_of.entry(key).or_insert_with(|| {
                        let text = if is_kept { model::float::format_plain(*value) } else { String::new() };
                        row_for(&mut vector, &mut known, &series, label, text)
                    });
                    count(&mut vector, index, step);
                }
                for (step, cell) in input.cells(*row as usize).unwrap_or_default().iter().enumerate() {
                    let Some(cell) = cell else { continue };
                    let text = if is_kept { cell.to_string() } else { String::new() };
                    if !row_of_text.contains_key(&text) {
                        // Here, in the labels, and where labels are found.
                        kept.grow(3 * text.len() as u64)?;
                        kept.make_room(&mut vector.values, vector.steps)?;
                    }
                    let index = *row_of_text.entry(text).or_insert_with_key(|text| {
                        row_for(&mut vector, &mut known, &series, label, text.clone())
                    });
                    count(&mut vector, index, step);
                }
            }
            self.budget.cells(vector.series.len(), vector.steps)?;
        }
        self.keep_block(kept);
        self.charge(vector.values.len() * size_of::<f64>())?;
        Ok(vector.sorted())
    }
}

/// Returns the row for a value of a group; values that are not kept share one.
fn row_for(
    vector: &mut Vector,
    known: &mut HashMap<LabelSet, usize>,
    group: &SeriesMeta,
    label: &str,
    value: String,
) -> usize {
    let mut labels = group.labels.to_builder();
    labels.set(label, value);
    *known.entry(labels.build()).or_insert_with_key(|labels| {
        vector.series.push(SeriesMeta { labels: labels.clone(), drop_name: group.drop_name });
        vector.values.resize(vector.values.len() + vector.steps, ABSENT);
        vector.series.len() - 1
    })
}

fn count(vector: &mut Vector, row: usize, step: usize) {
    let cell = &mut vector.row_mut(row)[step];
    *cell = if is_absent(*cell) { 1.0 } else { *cell + 1.0 };
}
