//! Functions of one float.

use crate::function::FunctionKind as K;

/// Returns the smaller; NaN when either is, and -0 before 0, as Go has it.
pub(super) fn go_min(a: f64, b: f64) -> f64 {
    match () {
        () if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY => f64::NEG_INFINITY,
        () if a.is_nan() || b.is_nan() => f64::NAN,
        () if a == 0.0 && b == 0.0 => {
            if a.is_sign_negative() {
                a
            } else {
                b
            }
        }
        () => a.min(b),
    }
}

/// Returns the greater; NaN when either is, and 0 before -0, as Go has it.
pub(super) fn go_max(a: f64, b: f64) -> f64 {
    match () {
        () if a == f64::INFINITY || b == f64::INFINITY => f64::INFINITY,
        () if a.is_nan() || b.is_nan() => f64::NAN,
        () if a == 0.0 && b == 0.0 => {
            if a.is_sign_negative() {
                b
            } else {
                a
            }
        }
        () => a.max(b),
    }
}

fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

/// Returns the function of a kind, if it is one of these.
pub(super) fn function(kind: K) -> Option<fn(f64) -> f64> {
    Some(match kind {
        K::Abs => f64::abs,
        K::Ceil => f64::ceil,
        K::Floor => f64::floor,
        K::Exp => f64::exp,
        K::Ln => f64::ln,
        K::Log2 => f64::log2,
        K::Log10 => f64::log10,
        K::Sqrt => f64::sqrt,
        K::Sgn => sign,
        K::Sin => f64::sin,
        K::Cos => f64::cos,
        K::Tan => f64::tan,
        K::Asin => f64::asin,
        K::Acos => f64::acos,
        K::Atan => f64::atan,
        K::Sinh => f64::sinh,
        K::Cosh => f64::cosh,
        K::Tanh => f64::tanh,
        K::Asinh => f64::asinh,
        K::Acosh => f64::acosh,
        K::Atanh => f64::atanh,
        K::Rad => |value| value * std::f64::consts::PI / 180.0,
        K::Deg => |value| value * 180.0 / std::f64::consts::PI,
        _ => return None,
    })
}
