//! Aggregations that keep whole series: `topk bottomk limitk`. Of equal samples, those are kept whose labels come first.

use std::cmp::Ordering;

use super::super::Context;
use super::super::function::nan_last;
use super::super::vector::{Vector, is_absent};
use super::Groups;
use crate::ast::AggregateOp;
use crate::error::QueryError;
use crate::plan::Grid;

/// The samples of one step, best first; ties keep the order that they have.
fn rank(op: AggregateOp, candidates: &mut [(f64, u32)]) {
    let descending = |a: f64, b: f64| if a.is_nan() || b.is_nan() { nan_last(a, b) } else { nan_last(b, a) };
    let order = |a: &(f64, u32), b: &(f64, u32)| match op {
        AggregateOp::TopK => descending(a.0, b.0),
        AggregateOp::BottomK => nan_last(a.0, b.0),
        _ => Ordering::Equal,
    };
    candidates.sort_by(order);
}

fn check_counts(counts: &[f64]) -> Result<(), QueryError> {
    let fail = |message: String| Err(QueryError::Execution(message));
    if counts.iter().any(|k| k.is_nan()) {
        return fail("Parameter value is NaN".to_owned());
    }
    let bound = i64::MAX as f64;
    if let Some(k) = counts.iter().find(|k| **k <= -bound) {
        return fail(format!("Scalar value {} underflows int64", model::float::format_general(*k)));
    }
    if let Some(k) = counts.iter().find(|k| **k >= bound) {
        return fail(format!("Scalar value {} overflows int64", model::float::format_general(*k)));
    }
    Ok(())
}

impl Context<'_> {
    pub(super) fn ranked(
        &self,
        op: AggregateOp,
        counts: &[f64],
        mut input: Vector,
        groups: &Groups,
        grid: Grid,
    ) -> Result<Vector, QueryError> {
        check_counts(counts)?;
        let instant = self.plan.query.step_ms == 0 && grid.steps == 1;
        let labels = |row: u32| &input.series[row as usize].labels;
        // By group: the rows kept at each step, as pairs of step and row.
        let kept = self.blocks(groups.rows.len(), 1, |group| {
            let mut rows = groups.rows[group.start].clone();
            rows.sort_by(|a, b| labels(*a).cmp(labels(*b)));
            let mut kept: Vec<(u32, u32)> = Vec::new();
            let mut candidates = Vec::with_capacity(rows.len());
            for (step, count) in counts.iter().enumerate() {
                self.budget.check()?;
                let count = if *count < 1.0 { 0 } else { (*count as usize).min(rows.len()) };
                candidates.clear();
                let column = rows.iter().map(|row| (input.values[*row as usize * input.steps + step], *row));
                let limit = op == AggregateOp::LimitK && input.has_histograms();
                candidates.extend(column.filter(|(value, row)| {
                    !is_absent(*value) || limit && input.histogram(*row as usize, step).is_some()
                }));
                rank(op, &mut candidates);
                kept.extend(candidates.iter().take(count).map(|(_, row)| (step as u32, *row)));
            }
            Ok(kept)
        })?;
        if instant {
            let mut vector = Vector::new(1);
            for (_, row) in kept.into_iter().flatten() {
                let cells = input.cells(row as usize).map(Box::from);
                vector.push_with(input.series[row as usize].clone(), input.row(row as usize), cells);
            }
            return Ok(vector);
        }
        let mut marks = vec![false; input.values.len()];
        let steps = input.steps;
        kept.into_iter().flatten().for_each(|(step, row)| marks[row as usize * steps + step as usize] = true);
        input.retain_cells(|row, step| marks[row * steps + step]);
        Ok(input)
    }
}
