//! Binary operators where either side is a native histogram.

use std::sync::{Arc, Mutex};

use model::FloatHistogram;
use model::histogram::CounterResetHint;

use super::super::note::{Note, Notes, Operation};
use super::super::vector::{ABSENT, Cell, Row, Vector, changed, is_absent};
use super::element;
use crate::ast::{Binary, BinaryOp};

/// One side of an operator at a step.
#[derive(Clone, Copy)]
pub(super) enum Operand<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

impl<'a> Operand<'a> {
    /// Returns what a row has at a step.
    pub(super) fn of(value: f64, cells: Option<&'a [Cell]>, step: usize) -> Option<Self> {
        match cells.and_then(|cells| cells[step].as_ref()) {
            Some(histogram) => Some(Self::Histogram(histogram)),
            None => (!is_absent(value)).then_some(Self::Float(value)),
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Float(_) => "float",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// Computes results, and gathers what is to be said of them.
pub(super) struct Operator<'a> {
    binary: &'a Binary,
    notes: Mutex<Notes>,
}

impl<'a> Operator<'a> {
    pub(super) fn new(binary: &'a Binary) -> Self {
        Self { binary, notes: Mutex::default() }
    }

    pub(super) fn into_notes(self) -> Notes {
        self.notes.into_inner().expect("no worker panics while it holds the lock")
    }

    fn note(&self, note: Note) {
        self.notes.lock().expect("no worker panics while it holds the lock").add(note);
    }

    /// Puts the result of two samples on a step, which has nothing yet.
    pub(super) fn compute(&self, left: Operand<'_>, right: Operand<'_>, step: usize, row: &mut Row) {
        let op = self.binary.op;
        match (left, right) {
            (Operand::Float(left), Operand::Float(right)) if !op.is_trim() => {
                row.values[step] = element(self.binary, left, right, left);
            }
            (Operand::Histogram(left), Operand::Histogram(right))
                if matches!(op, BinaryOp::Equal | BinaryOp::NotEqual) =>
            {
                let holds = left.equals(right) == (op == BinaryOp::Equal);
                if self.binary.return_bool {
                    row.values[step] = f64::from(u8::from(holds));
                } else if holds {
                    row.put(step, Arc::clone(left));
                }
            }
            _ => {
                if let Some(histogram) = self.histogram(left, right) {
                    row.put(step, histogram);
                }
            }
        }
    }

    /// Returns the result of an operator that yields histograms.
    pub(super) fn histogram(&self, left: Operand<'_>, right: Operand<'_>) -> Cell {
        let scaled = |histogram: &FloatHistogram, scale: &dyn Fn(&mut FloatHistogram)| {
            Some(changed(histogram, |histogram| {
                scale(histogram);
                histogram.compact();
            }))
        };
        match (left, self.binary.op, right) {
            (Operand::Histogram(histogram), BinaryOp::Mul, Operand::Float(factor))
            | (Operand::Float(factor), BinaryOp::Mul, Operand::Histogram(histogram)) => {
                scaled(histogram, &|histogram| histogram.scale(factor))
            }
            (Operand::Histogram(histogram), BinaryOp::Div, Operand::Float(divisor)) => {
                scaled(histogram, &|histogram| histogram.divide(divisor))
            }
            (Operand::Histogram(histogram), BinaryOp::TrimUpper, Operand::Float(value)) => {
                Some(Arc::new(histogram.trim_upper(value)))
            }
            (Operand::Histogram(histogram), BinaryOp::TrimLower, Operand::Float(value)) => {
                Some(Arc::new(histogram.trim_lower(value)))
            }
            (Operand::Histogram(left), BinaryOp::Add, Operand::Histogram(right)) => {
                self.combined(left, right, Operation::Addition)
            }
            (Operand::Histogram(left), BinaryOp::Sub, Operand::Histogram(right)) => {
                self.combined(left, right, Operation::Subtraction)
            }
            (_, op, _) => {
                self.note(Note::IncompatibleTypes(left.kind(), op.as_str(), right.kind()));
                None
            }
        }
    }

    fn combined(&self, left: &FloatHistogram, right: &FloatHistogram, operation: Operation) -> Cell {
        let mut result = left.clone();
        let combined = if operation == Operation::Addition { result.add(right) } else { result.sub(right) };
        let Ok(combined) = combined else {
            self.note(Note::IncompatibleBuckets(self.binary.op.as_str()));
            return None;
        };
        if combined.bounds_reconciled {
            self.note(Note::Reconciled(operation));
        }
        if combined.reset_collision {
            self.note(Note::ResetCollision(operation));
            return None;
        }
        if operation == Operation::Subtraction {
            result.reset_hint = CounterResetHint::Gauge;
        }
        result.compact();
        Some(Arc::new(result))
    }

    /// Computes the histograms of a vector against a scalar.
    pub(super) fn with_scalar(&self, vector: &mut Vector, scalar: &[f64], scalar_left: bool) {
        vector.map_histograms(|step, histogram| {
            let (histogram, scalar) = (Operand::Histogram(histogram), Operand::Float(scalar[step]));
            if scalar_left { self.histogram(scalar, histogram) } else { self.histogram(histogram, scalar) }
        });
    }

    /// Removes floats that an operator for histograms met.
    pub(super) fn without_floats(&self, vector: &mut Vector) {
        if (0..vector.series.len()).any(|row| vector.has_floats(row)) {
            self.note(Note::IncompatibleTypes("float", self.binary.op.as_str(), "float"));
        }
        vector.map(|_| ABSENT);
    }
}
