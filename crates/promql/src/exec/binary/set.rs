//! `and`, `or`, `unless`: presence decides, values and labels stay.

use super::super::Context;
use super::super::vector::{Collisions, Vector, is_absent};
use super::matching::match_groups;
use crate::ast::{Binary, BinaryOp};
use crate::error::QueryError;

/// Marks the steps at which any of some rows has a sample.
pub(super) fn presence(vector: &Vector, rows: &[u32]) -> Vec<bool> {
    let mut present = vec![false; vector.steps];
    for row in rows {
        for (present, value) in present.iter_mut().zip(vector.row(*row as usize)) {
            *present |= !is_absent(*value);
        }
        for (present, cell) in present.iter_mut().zip(vector.cells(*row as usize).unwrap_or_default()) {
            *present |= cell.is_some();
        }
    }
    present
}

/// Removes the samples at steps that are (or are not) marked.
fn mask(vector: &mut Vector, rows: &[u32], marks: &[bool], keep: bool) {
    rows.iter().for_each(|row| vector.mask(*row as usize, marks, keep));
}

impl Context<'_> {
    pub(super) fn set_operator(
        &self,
        binary: &Binary,
        mut left: Vector,
        mut right: Vector,
    ) -> Result<Vector, QueryError> {
        for group in match_groups(&binary.matching, &left, &right) {
            self.budget.check()?;
            match binary.op {
                BinaryOp::And => {
                    let marks = presence(&right, &group.right);
                    mask(&mut left, &group.left, &marks, true);
                }
                BinaryOp::Unless => {
                    let marks = presence(&right, &group.right);
                    mask(&mut left, &group.left, &marks, false);
                }
                _ => {
                    let marks = presence(&left, &group.left);
                    mask(&mut right, &group.right, &marks, false);
                }
            }
        }
        left.remove_empty_rows();
        if binary.op == BinaryOp::Or {
            right.remove_empty_rows();
            left.extend(right);
            left.join_equal(Collisions::Merge)?;
        }
        Ok(left)
    }
}
