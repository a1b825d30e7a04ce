//! Binary operators: between scalars, between a vector and a scalar, and between vectors.

mod histogram;
mod matching;
mod set;

use self::histogram::Operator;
use super::vector::{ABSENT, Collisions, Vector};
use super::{Context, Data};
use crate::ast::{Binary, BinaryOp, Span};
use crate::error::QueryError;

/// Computes arithmetic; comparisons yield 0 or 1.
fn compute(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Atan2 => left.atan2(right),
        comparison => f64::from(u8::from(holds(comparison, left, right))),
    }
}

fn holds(op: BinaryOp, left: f64, right: f64) -> bool {
    match op {
        BinaryOp::Equal => left == right,
        BinaryOp::NotEqual => left != right,
        BinaryOp::Less => left < right,
        BinaryOp::LessEqual => left <= right,
        BinaryOp::Greater => left > right,
        BinaryOp::GreaterEqual => left >= right,
        _ => unreachable!("only comparisons hold or not"),
    }
}

/// Returns the result of two samples; a filter that does not hold leaves none, one that holds leaves `kept`.
fn element(binary: &Binary, left: f64, right: f64, kept: f64) -> f64 {
    if binary.op.is_comparison() && !binary.return_bool {
        if holds(binary.op, left, right) { kept } else { ABSENT }
    } else {
        compute(binary.op, left, right)
    }
}

impl Context<'_> {
    /// Evaluates a binary operator.
    pub(super) fn binary(
        &self,
        binary: &Binary,
        span: Span,
        lhs: Data,
        rhs: Data,
    ) -> Result<Data, QueryError> {
        Ok(match (lhs, rhs) {
            (Data::Scalar(_), Data::Scalar(_)) if binary.op.is_trim() => {
                let op = model::labels::quote(binary.op.as_str());
                let message = format!("operator {op} not allowed for Scalar operations");
                return Err(QueryError::Execution(message));
            }
            (Data::Scalar(left), Data::Scalar(right)) => {
                let pairs = left.iter().zip(&right);
                Data::Scalar(pairs.map(|(left, right)| compute(binary.op, *left, *right)).collect())
            }
            (Data::Vector(mut vector), Data::Scalar(scalar)) => {
                if !binary.op.is_trim() {
                    vector.map_steps(|step, value| element(binary, value, scalar[step], value));
                }
                Data::Vector(self.after_scalar(binary, span, vector, &scalar, false)?)
            }
            (Data::Scalar(scalar), Data::Vector(mut vector)) => {
                if !binary.op.is_trim() {
                    vector.map_steps(|step, value| element(binary, scalar[step], value, value));
                }
                Data::Vector(self.after_scalar(binary, span, vector, &scalar, true)?)
            }
            (Data::Vector(left), Data::Vector(right)) if binary.op.is_set() => {
                Data::Vector(self.set_operator(binary, left, right)?)
            }
            (Data::Vector(left), Data::Vector(right)) => {
                Data::Vector(self.matched(binary, span, left, right)?)
            }
            _ => unreachable!("the type check lets only numbers stand here"),
        })
    }

    /// Ends an operator between a vector, whose floats are computed, and a scalar.
    fn after_scalar(
        &self,
        binary: &Binary,
        span: Span,
        mut vector: Vector,
        scalar: &[f64],
        scalar_left: bool,
    ) -> Result<Vector, QueryError> {
        let operator = Operator::new(binary);
        if binary.op.is_trim() {
            operator.without_floats(&mut vector);
        }
        operator.with_scalar(&mut vector, scalar, scalar_left);
        self.notes(span, operator.into_notes(), "");
        vector.remove_empty_rows();
        if binary.op.drops_name() || binary.return_bool {
            self.drop_names(&mut vector, Collisions::Merge)?;
        }
        Ok(vector)
    }
}
