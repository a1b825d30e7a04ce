//! `count_values`: one series for each different value, sorted by labels, so that ties above do not depend on the steps.

use std::collections::HashMap;

use super::super::Context;
use super::super::vector::{ABSENT, SeriesMeta, Vector, is_absent};
use super::Groups;
use crate::error::QueryError;
use crate::parser::text::quote_bytes;

impl Context<'_> {
    pub(super) fn count_values(
        &self,
        label: &[u8],
        input: &Vector,
        groups: Groups,
    ) -> Result<Vector, QueryError> {
        let label = std::str::from_utf8(label)
            .ok()
            .filter(|label| !label.is_empty())
            .ok_or_else(|| QueryError::Execution(format!("invalid label name {}", quote_bytes(label))))?;
        let mut vector = Vector::new(input.steps);
        for (rows, series) in groups.rows.iter().zip(groups.series) {
            self.budget.check()?;
            // All NaNs print alike, zero and minus zero do not.
            let mut row_of: HashMap<u64, usize> = HashMap::new();
            for row in rows {
                for (step, value) in input.row(*row as usize).iter().enumerate() {
                    if is_absent(*value) {
                        continue;
                    }
                    let key = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
                    let index = *row_of.entry(key).or_insert_with(|| {
                        let mut labels = series.labels.to_builder();
                        labels.set(label, model::float::format_plain(*value));
                        let meta = SeriesMeta { labels: labels.build(), drop_name: series.drop_name };
                        vector.series.push(meta);
                        vector.values.resize(vector.values.len() + vector.steps, ABSENT);
                        vector.series.len() - 1
                    });
                    let cell = &mut vector.row_mut(index)[step];
                    *cell = if is_absent(*cell) { 1.0 } else { *cell + 1.0 };
                }
            }
            self.budget.cells(vector.series.len(), vector.steps)?;
        }
        Ok(vector.sorted())
    }
}
