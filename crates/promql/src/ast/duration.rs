//! Durations as queries write them: a constant, or arithmetic over `step()` and `range()`.
//!
//! An expression is kept in postfix order: evaluated and printed with one explicit stack, never by recursion. It comes
//! from the parser only, so operands are never missing.

use std::fmt;

/// The longest duration, in seconds: 2^63 ns, what a Go duration can hold.
const DURATION_SECONDS_MAX: f64 = i64::MAX as f64 / 1e9;

/// Why a duration has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub enum DurationError {
    #[error("division by zero")]
    DivisionByZero,
    #[error("modulo by zero")]
    ModuloByZero,
    #[error("duration out of range")]
    OutOfRange,
    #[error("duration must be greater than 0")]
    NotPositive,
}

/// One step of a duration expression in postfix order.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are those of PromQL")]
pub enum DurationOp {
    /// Seconds, written as a plain number.
    Number(f64),
    /// Seconds, written with units.
    Duration(f64),
    Step,
    Range,
    Plus,
    Minus,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Min,
    Max,
    /// Parentheses around the operand.
    Paren,
}

/// A duration expression.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DurationExpr {
    pub(crate) ops: Vec<DurationOp>,
}

/// A duration in a query.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationSpec {
    /// Milliseconds; negative only in offsets.
    Constant(i64),
    /// To be evaluated when the query's step and range are known.
    Expression(Box<DurationExpr>),
}

impl DurationSpec {
    /// Returns milliseconds, given the query's step and range.
    ///
    /// # Errors
    /// [`DurationError`] when arithmetic fails or leaves what 64 bits of nanoseconds hold.
    pub fn resolve(&self, step_ms: i64, range_ms: i64) -> Result<i64, DurationError> {
        match self {
            Self::Constant(ms) => Ok(*ms),
            Self::Expression(expr) => {
                seconds_to_ms(expr.evaluate(step_ms as f64 / 1000.0, range_ms as f64 / 1000.0)?)
            }
        }
    }
}

pub(crate) fn seconds_to_ms(seconds: f64) -> Result<i64, DurationError> {
    // Written so that NaN fails too. Nanoseconds first, so that 1.001 s is 1,001 ms whatever its last bit says.
    if seconds.abs() < DURATION_SECONDS_MAX {
        Ok((seconds * 1e9).round() as i64 / 1_000_000)
    } else {
        Err(DurationError::OutOfRange)
    }
}

impl DurationExpr {
    /// Makes a constant of an expression that is a number with signs and parentheses; an expression otherwise.
    pub(crate) fn into_spec(self) -> Result<DurationSpec, DurationError> {
        let mut value = match self.ops.first() {
            Some(DurationOp::Number(seconds) | DurationOp::Duration(seconds)) => *seconds,
            _ => return Ok(DurationSpec::Expression(Box::new(self))),
        };
        for op in &self.ops[1..] {
            match op {
                DurationOp::Minus => value = -value,
                DurationOp::Plus | DurationOp::Paren => {}
                _ => return Ok(DurationSpec::Expression(Box::new(self))),
            }
        }
        Ok(DurationSpec::Constant(seconds_to_ms(value)?))
    }

    fn evaluate(&self, step: f64, range: f64) -> Result<f64, DurationError> {
        let mut stack: Vec<f64> = Vec::new();
        let pop2 = |stack: &mut Vec<f64>| {
            let right = stack.pop().expect("the parser pushes both operands");
            (stack.pop().expect("the parser pushes both operands"), right)
        };
        for op in &self.ops {
            let value = match op {
                DurationOp::Number(s) | DurationOp::Duration(s) => *s,
                DurationOp::Step => step,
                DurationOp::Range => range,
                DurationOp::Plus | DurationOp::Paren => continue,
                DurationOp::Minus => -stack.pop().expect("the parser pushes the operand"),
                binary => {
                    let (left, right) = pop2(&mut stack);
                    match binary {
                        DurationOp::Add => left + right,
                        DurationOp::Sub => left - right,
                        DurationOp::Mul => left * right,
                        DurationOp::Div if right == 0.0 => return Err(DurationError::DivisionByZero),
                        DurationOp::Div => left / right,
                        DurationOp::Mod if right == 0.0 => return Err(DurationError::ModuloByZero),
                        DurationOp::Mod => left % right,
                        DurationOp::Pow => left.powf(right),
                        DurationOp::Min => left.min(right),
                        _ => left.max(right),
                    }
                }
            };
            stack.push(value);
        }
        Ok(stack.pop().expect("an expression has a value"))
    }
}

/// Prints seconds with units.
pub(crate) fn format_seconds(seconds: f64) -> String {
    // The nearest one: 1.001 s is a little less than 1,001 ms.
    let ms = (seconds * 1000.0).round() as i64;
    let sign = if ms < 0 { "-" } else { "" };
    format!("{sign}{}", model::time::format_duration_ms(ms.unsigned_abs()))
}

impl fmt::Display for DurationSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(ms) => f.write_str(&format_seconds(*ms as f64 / 1000.0)),
            Self::Expression(expr) => expr.fmt(f),
        }
    }
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print())
    }
}

impl DurationExpr {
    fn print(&self) -> String {
        let mut stack: Vec<String> = Vec::new();
        for op in &self.ops {
            let mut pop = || stack.pop().unwrap_or_default();
            let text = match op {
                DurationOp::Number(s) => model::float::format_plain(*s),
                DurationOp::Duration(s) => format_seconds(*s),
                DurationOp::Step => "step()".to_owned(),
                DurationOp::Range => "range()".to_owned(),
                DurationOp::Plus => format!("+{}", pop()),
                DurationOp::Minus => format!("-{}", pop()),
                DurationOp::Paren => format!("({})", pop()),
                binary => {
                    let right = pop();
                    // Appends to the left text, so that long chains print in linear time.
                    let mut left = pop();
                    match binary {
                        DurationOp::Min => left = format!("min_of({left}, {right})"),
                        DurationOp::Max => left = format!("max_of({left}, {right})"),
                        _ => {
                            left.push_str(binary.infix());
                            left.push_str(&right);
                        }
                    }
                    left
                }
            };
            stack.push(text);
        }
        stack.pop().unwrap_or_default()
    }
}

impl DurationOp {
    fn infix(self) -> &'static str {
        match self {
            Self::Add => " + ",
            Self::Sub => " - ",
            Self::Mul => " * ",
            Self::Div => " / ",
            Self::Mod => " % ",
            _ => " ^ ",
        }
    }
}
